"""One brick process from its spec to its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lego_sdn.core.facts.errors import LegoError

if TYPE_CHECKING:
    from bricks.runtime.assembly import Models


def run(spec: Mapping[str, Any], models: Models | None = None) -> int:
    """Be the brick process of this spec (docs/reference/contract.md) until it is stopped; returns the exit status.

    Status 1, with one sentence on standard error, if it cannot start or go on; anything unforeseen is raised.
    """
    from bricks.runtime.assembly import Models
    from bricks.service.loop import serve

    try:
        serve(spec, models or Models())
    except LegoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
