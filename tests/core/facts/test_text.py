"""Text from outside is one printable line, whatever it is."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.text import printable, printable_in, shown


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\ud800", "\u202e", "\x00", "x" * 10**6, "ü 中"])
def test_every_text_is_one_printable_line(text):
    assert printable(text).isprintable()
    assert len(printable(text)) < 3000


def test_what_is_printable_stays():
    assert printable("ü 中 [x]") == "ü 中 [x]"
    assert printable_in({"a\n": ["\x1b", 1, None]}) == {"a\\n": ["\\x1b", 1, None]}


NESTED: list = []
for _ in range(5000):
    NESTED = [NESTED]


VALUES = [10**5000, [10**5000], NESTED, "x" * 10**6, b"\x1b" * 10**6, dict.fromkeys(range(10**5), "\n"), object()]


@pytest.mark.parametrize("at", range(len(VALUES)))
def test_every_value_can_be_shown(at):
    assert shown(VALUES[at]).isprintable()
    assert len(shown(VALUES[at])) < 300
