"""Where a command may write: a new name, or a regular file that is none of its inputs; a link is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from lego_sdn.core.facts.errors import LegoError


def output_path(path: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """The file that is to be replaced, behind links. LegoError if it is an input, a device, a pipe or anything else but a regular file."""
    try:
        real = Path(os.path.realpath(path))
        found = os.stat(path) if os.path.exists(path) else None
    except (OSError, ValueError) as error:
        raise LegoError(f"{path} cannot be written: {error}; choose another place") from None
    if found is None:
        return real
    if not stat.S_ISREG(found.st_mode):
        raise LegoError(f"{path} cannot be written: it is no regular file; choose another place")
    for one in inputs:
        if os.path.exists(one) and os.path.samestat(found, os.stat(one)):
            raise LegoError(f"{path} cannot be written: it is the same file as {one}, which is read; choose another place")
    return real
