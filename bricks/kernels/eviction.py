"""What a full table forgets: the faintest quarter of its streams, in one sweep, so that a new stream costs O(1) on average."""

import numpy as np
from numba import njit

from bricks.kernels.exponent import exp2_f64, float_bits
from bricks.kernels.index import prefetch
from bricks.kernels.lanes import LANES
from bricks.kernels.streams import CAPACITY, EVICTED, FREE, HEAD, LAST, USED, WEIGHT, WORDS, drop, key_of, links, secret_of, tag_of

_SLOWEST = 0.01  # lambda by whose weight a stream is judged
_SHARE = 4
_AHEAD = 16
_DIGIT, _PASSES, _LOWEST_BIT = 12, 5, 4  # a weight is compared by its first 60 bits


@njit(cache=True)
def make_way(table, now):
    """See to it that a table has a free row."""
    if table.book[FREE] == 0 and table.book[USED] == table.book[CAPACITY]:
        _sweep(table, now)


@njit(cache=True)
def _sweep(table, now):
    """Drop the streams of lowest weight, faded to `now`; among equals those of the lowest rows."""
    book = table.book
    faded = _weights(table, now)
    quota = max(1, len(faded) // _SHARE)
    limit, equals = smallest(faded, quota)
    gone, count = np.empty(quota, np.int64), 0
    for row in range(len(faded)):
        if faded[row] <= limit and (faded[row] < limit or equals > 0):
            equals -= faded[row] == limit
            gone[count] = row
            count += 1
    drop_all(table, gone)
    book[EVICTED] += quota


@njit(cache=True)
def drop_all(table, rows):
    """Forget rows, the last ones first, so that the first are used again first; index slots are asked for ahead."""
    secret, last = secret_of(table), np.uint64(len(table.index) - 1)
    tags = np.empty(len(rows), np.uint64)
    for i in range(len(rows)):
        tags[i] = tag_of(secret, key_of(table.heads, rows[i]))
    for i in range(len(rows) - 1, -1, -1):
        prefetch(table.index, np.int64(tags[max(i - _AHEAD, 0)] & last))
        drop(table, rows[i], tags[i])


@njit(cache=True)
def _weights(table, now):
    """Weight of every stream of a full table at a time, as the whole number that its bits are: int64 [rows]."""
    faded = np.empty(table.book[USED], np.int64)
    for row in range(len(faded)):
        body = links(table, row)[1]
        weight = 1.0 if body < 0 else table.bodies[body * table.book[WORDS] + WEIGHT + LANES - 1]
        weight *= exp2_f64(-_SLOWEST * max(0.0, now - table.heads[row * HEAD + LAST]))
        faded[row] = float_bits(weight) >> _LOWEST_BIT
    return faded


@njit(cache=True)
def smallest(numbers, quota):
    """The `quota`-th smallest number (they are below 2**60 and not negative), and how many equal to it are among the first."""
    counts = np.empty(1 << _DIGIT, np.int64)
    prefix, left = 0, quota
    for shift in range((_PASSES - 1) * _DIGIT, -1, -_DIGIT):
        counts[:] = 0
        for number in numbers:
            if number >> (shift + _DIGIT) == prefix:
                counts[(number >> shift) & ((1 << _DIGIT) - 1)] += 1
        digit = 0
        while counts[digit] < left:
            left -= counts[digit]
            digit += 1
        prefix = prefix << _DIGIT | digit
    return prefix, left
