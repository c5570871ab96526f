"""When frames are due by a shape: times of constant rate, one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from lego_sdn.adapters.linux.pace import Pace
from lego_sdn.core.facts.errors import ConfigError

SQUARE = Pace(shape=((2.0, 10.0), (1.0, 100.0), (2.0, 10.0)))


def due(pace: Pace, first: int, count: int) -> np.ndarray:
    found = pace.schedule(np.zeros(count, np.int64), first, 0)
    assert found is not None
    return found


def test_a_shape_is_due_at_its_rates_however_it_is_asked_for():
    whole = due(SQUARE, 0, SQUARE.packets)
    assert SQUARE.packets == 140
    assert np.allclose(np.diff(whole[:20]), 1e8, atol=2)
    assert np.allclose(np.diff(whole[20:120]), 1e7, atol=2)
    assert np.allclose(np.diff(whole[120:]), 1e8, atol=2)
    assert (np.concatenate([due(SQUARE, 0, 50), due(SQUARE, 50, 90)]) == whole).all()


@pytest.mark.parametrize("wrong", [{"shape": ((0.0, 5.0),)}, {"shape": ((5.0,),)}, {"shape": ((5.0, 5.0),), "pps": 5.0}])
def test_what_is_no_shape(wrong):
    with pytest.raises(ConfigError):
        Pace(**wrong)
