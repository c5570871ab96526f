"""How a key of the configuration is declared: its default, what its value must be, in words and as a test."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Callable
from dataclasses import field
from typing import Any

from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.text import printable, shown

Check = Callable[[Any], bool]


class KeyProblem(ConfigError):
    """A key of the configuration is wrong; `key` is its dotted path, so that whoever read the file can add the line."""

    def __init__(self, key: str, wanted: str, found: object) -> None:
        super().__init__(f"{printable(key)}: wanted {printable(wanted)}, found {shown(found)}")
        self.key = key


def checked(default: Any, wanted: str, check: Check) -> Any:
    """A field of a configuration section: its default, what a value must be, in words and as a test."""
    return field(default=default, metadata={"wanted": wanted, "check": check})


def number(value: object) -> bool:
    """Whether it is a finite number; a whole one that is no float (above 1e308) is none."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def whole(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def count(default: int, low: int, high: int) -> Any:
    return checked(default, f"a whole number from {low} to {high}", whole(low, high))


def share(default: float) -> Any:
    return checked(default, "a share above 0, up to 1", lambda v: number(v) and 0 < v <= 1)


def seconds(default: float) -> Any:
    return checked(default, "seconds, above 0 and at most 3600", lambda v: number(v) and 0 < v <= 3600)


def choice(default: str, *choices: str) -> Any:
    return checked(default, "one of " + ", ".join(choices), lambda v: isinstance(v, str) and v in choices)


def text(default: str, wanted: str = "a name") -> Any:
    return checked(default, wanted, lambda v: isinstance(v, str) and v.strip() != "")


def flag(default: bool) -> Any:
    return checked(default, "true or false", lambda v: isinstance(v, bool))


def maybe(default: Any, wanted: str, check: Check) -> Any:
    return checked(default, f"{wanted} or null", lambda v: v is None or check(v))


def users() -> Any:
    """Users of the controller's machine; none unless told otherwise."""

    def check(value: Any) -> bool:
        return isinstance(value, tuple) and all((isinstance(user, str) and user != "") or whole(0, 0xFFFFFFFE)(user) for user in value)

    return checked((), "names or numbers of users", check)


def networks() -> Any:
    """Addresses of other machines; none unless told otherwise."""
    return checked((), "addresses or networks, as 192.0.2.7 or 192.0.2.0/24", lambda v: isinstance(v, tuple) and all(map(_is_network, v)))


def _is_network(value: object) -> bool:
    try:
        ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        return False
    return True


class Section:
    """Base of the configuration's sections: checks every key when made."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if item.metadata and not item.metadata["check"](value):
                raise KeyProblem(item.name, item.metadata["wanted"], value)
