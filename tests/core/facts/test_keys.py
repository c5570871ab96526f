"""Unknown and missing keys are named."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.keys import check_keys


@dataclass
class Message:
    number: int
    text: str = ""
    more: list = field(default_factory=list)


def test_what_fits():
    check_keys(Message, {"number": 1}, "here")
    check_keys(Message, {"number": 1, "text": "", "more": []}, "here")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "here: number is missing"),
        ({"text": ""}, "here: number is missing"),
        ({"number": 1, "nummer": 2}, "here: unknown key 'nummer'; the keys are more, number, text"),
        ({7: 1}, "here: unknown key 7; the keys are more, number, text"),
    ],
)
def test_what_does_not_fit_is_named(data, sentence):
    with pytest.raises(ConfigError) as refused:
        check_keys(Message, data, "here")
    assert str(refused.value) == sentence
