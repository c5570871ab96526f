"""No answer holds a number that JSON does not have."""

import json
import math

import pytest

from lego_sdn.core.facts.json_text import json_text


def refuse(word):
    raise AssertionError(word)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_null_wherever_it_stands(number):
    data = {"a": number, "b": [1.5, (number, {"c": number})], number: "key"}
    found = json.loads(json_text(data), parse_constant=refuse)
    assert found["a"] is None
    assert found["b"] == [1.5, [None, {"c": None}]]
    assert json_text({"a": 1.0, "b": [True, None, "x"]}, indent=2) == json.dumps({"a": 1.0, "b": [True, None, "x"]}, indent=2)
