"""Keys of a message that becomes a dataclass: none unknown, none missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.text import printable, shown


def are_amounts(value: object) -> bool:
    """Whether it is a map from names to numbers from 0 to 1000000."""
    if not isinstance(value, Mapping):
        return False
    numbers = all(isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount <= 1e6 for amount in value.values())
    return numbers and all(isinstance(name, str) for name in value)


def check_keys(kind: type, data: Mapping[str, Any], where: str) -> None:
    """ConfigError, beginning with `where`, names a key that the dataclass `kind` lacks, or one that is missing and has no default."""
    known = {item.name: item for item in fields(kind)}
    for key in data:
        if key not in known:
            raise ConfigError(f"{printable(where)}: unknown key {shown(key)}; the keys are {', '.join(sorted(known))}")
    for key, item in known.items():
        if key not in data and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"{where}: {key} is missing")
