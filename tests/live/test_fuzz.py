"""Mutated files and messages: nothing comes out but LegoError, in a printable sentence. `make fuzz` does a million of them."""

from __future__ import annotations

import random

import pytest

from tests.examples import examples
from tests.fuzz.targets import TARGETS

INPUTS = {"models": 1500, "captures": 1500, "configurations": 1000, "requests": 2000}


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_a_fault(name, tmp_path):
    target = TARGETS[name](tmp_path)
    inputs = examples(INPUTS[name])
    refused = target.run(random.Random(f"1 {name}"), inputs)
    target.close()
    assert name == "requests" or refused > inputs // 20, "the mutations hardly break anything"
