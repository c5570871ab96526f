"""Text and numbers of others, as they may be shown: on one line, printable, and not without end."""

from __future__ import annotations

LONGEST = 2000  # characters of an event's text
REQUESTED = 100  # characters of a value that somebody asked for
LARGEST = 10**9  # a number that is written out


def shown(text: str, most: int = LONGEST) -> str:
    """One line of printable characters, at most `most`: others (line ends, escapes, halves of pairs) are written as Python writes them."""
    cut = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)[: 10 * most]


def shown_number(value: int) -> str:
    """Its digits; of one that has very many, how many bits it has."""
    return str(value) if -LARGEST <= value <= LARGEST else f"a number of {value.bit_length()} bits"
