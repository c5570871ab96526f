"""Text and values from outside, as they may stand in a message: on one line, short, and no command to a terminal."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

LONGEST = 2000  # characters of a sentence from outside
SHOWN = 200  # characters of a value in a sentence
WORD_BITS = 64  # a longer number is told by its length: Python refuses to print one of some thousand digits


class _Brief(reprlib.Repr):
    """`repr` that stops early."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, SHOWN, SHOWN
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 20

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= WORD_BITS else f"a number of {x.bit_length()} bits"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x[:SHOWN])


_BRIEF = _Brief()


def printable(text: str, longest: int = LONGEST) -> str:
    """The text with every character escaped that is not printable (new line, escape, halves of surrogates); cut at `longest`."""
    if len(text) > longest:
        text = text[:longest] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(value: object) -> str:
    """The value as a message shows it: at most some 200 characters, whatever it is."""
    try:
        text = _BRIEF.repr(value)
    except (ValueError, RecursionError, TypeError):  # it cannot be written down
        text = f"a {type(value).__name__}"
    return printable(text, SHOWN)


def printable_in(value: Any) -> Any:
    """A plain value with every text in it made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_in(key): printable_in(item) for key, item in value.items()}
    return [printable_in(item) for item in value] if isinstance(value, (list, tuple)) else value


def whole_number(text: str) -> int | None:
    """The number that a text of up to 18 ASCII digits, between spaces or not, stands for; None for any other text."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
