"""What to forget is found by counting digits; sorting says the same."""

import numpy as np
import pytest

from bricks.kernels.streams.eviction import smallest
from bricks.kernels.streams.table import COUNTS

_RANDOM = np.random.default_rng(7)
NUMBERS = {
    "all digits": _RANDOM.integers(0, 1 << 60, 3000),
    "late digits": (1 << 59) + _RANDOM.integers(0, 5000, 3000),
    "few values": _RANDOM.integers(0, 3, 3000) << 40,
    "all equal": np.full(3000, 77),
    "one": np.array([1 << 59]),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_smallest_is_that_of_the_sorted_numbers(kind, share):
    numbers = NUMBERS[kind]
    quota = max(1, int(share * len(numbers)))
    limit = np.sort(numbers)[quota - 1]
    equals = quota - int((numbers < limit).sum())
    assert smallest(numbers, quota, np.empty(COUNTS, np.int64)) == (limit, equals)
