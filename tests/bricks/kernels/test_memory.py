"""Memory of the tables."""

import numpy as np
import pytest

from bricks.kernels.streams.memory import untouched, zeros_ahead

HUGE = 1 << 18  # words of a huge page


@pytest.mark.parametrize("words", [1, 4096, HUGE - 1, HUGE, 2 * HUGE + 5])
def test_an_index_begins_empty_and_takes_every_word(words):
    index = zeros_ahead(words)
    assert index.shape == (words,)
    assert index.dtype == np.uint64
    assert not index.any()
    index[:] = np.arange(words)
    assert index[-1] == words - 1
    assert int(index.sum()) == words * (words - 1) // 2


def test_two_indices_share_nothing():
    one, other = zeros_ahead(HUGE), zeros_ahead(HUGE)
    one[:] = 1
    assert not other.any()


@pytest.mark.parametrize("words", [0, 1, 8 * HUGE])
def test_heads_begin_on_a_cache_line_and_take_every_word(words):
    heads = untouched(words)
    assert heads.shape == (words,)
    assert heads.dtype == np.float64
    assert heads.ctypes.data % 64 == 0
    heads[:] = 3.0
    assert float(heads.sum()) == 3.0 * words
