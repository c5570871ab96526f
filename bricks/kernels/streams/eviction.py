"""What a full table forgets: the faintest quarter of its streams, in one sweep, so that a new stream costs O(1) on average.

The faintest are those of the lowest weight at lambda 0.01, faded to now. Weights fade alike, so those are at any time the
streams whose weight fades (or faded) to 1 first, and that time changes only with a packet.
"""

import numpy as np

from bricks.kernels.exponent import float_bits
from bricks.kernels.jit import compiled
from bricks.kernels.streams.index import LOW, TAG_SHIFT, prefetch
from bricks.kernels.streams.table import CAPACITY, EVICTED, FREE, USED, drop, key_of, secret_of, tag_of

_SHARE = 4
_AHEAD = 16  # rows by which the index slot of one that goes is asked for
_DIGIT, _IGNORED_BITS = 12, 4
_SIGN, _ALL_BUT_SIGN = 63, (1 << 63) - 1


@compiled
def make_way(table):
    """See to it that a table has a free row."""
    if table.book[FREE] == 0 and table.book[USED] == table.book[CAPACITY]:
        _sweep(table)


@compiled
def _sweep(table):
    """Drop the faintest streams; among equals those of the lowest rows."""
    book, dusk, gone = table.book, table.sweep[: table.book[USED]], table.sweep[table.book[USED] :]
    for row in range(len(dusk)):
        dusk[row] = in_order(table.dusk[row])
    quota, count = max(1, len(dusk) // _SHARE), 0
    limit, equals = smallest(dusk, quota, table.counts)
    for row in range(len(dusk)):
        if dusk[row] <= limit and (dusk[row] < limit or equals > 0):
            equals -= dusk[row] == limit
            gone[count] = row
            count += 1
    drop_all(table, gone[:count])
    book[EVICTED] += count


@compiled
def drop_all(table, rows):
    """Forget rows, the last ones first, so that the first are used again first; index slots are asked for ahead.

    `rows`, int64, is memory for their hashes too: it is written over.
    """
    secret, last = secret_of(table), np.uint64(len(table.index) - 1)
    for i in range(len(rows) - 1, -1 - _AHEAD, -1):
        if i >= 0:
            tag = tag_of(secret, key_of(table.heads, rows[i]))
            prefetch(table.index, np.int64(tag & last))
            rows[i] = np.int64(tag << TAG_SHIFT | np.uint64(rows[i]))
        if i + _AHEAD < len(rows):
            both = np.uint64(rows[i + _AHEAD])
            drop(table, np.int64(both & LOW), both >> TAG_SHIFT)


@compiled
def in_order(number):
    """A whole number from 0 to 2**60 for a float64, in the same order; the last four bits do not count."""
    bits = float_bits(number)
    return ((bits ^ ((bits >> _SIGN) & _ALL_BUT_SIGN)) >> _IGNORED_BITS) + (1 << 59)


@compiled
def smallest(numbers, quota, counts):
    """The `quota`-th smallest number (they are below 2**60 and not negative), and how many equal to it are among the first.

    `counts` is memory for the count of each digit.
    """
    spread, shift, left = 0, 0, quota
    for number in numbers:
        spread |= number ^ numbers[0]
    while spread >> shift:
        shift += 1
    prefix = numbers[0] >> shift  # common to all: times of one capture differ late
    while shift > 0:
        width = min(_DIGIT, shift)
        shift -= width
        counts[:] = 0
        for number in numbers:
            if number >> (shift + width) == prefix:
                counts[(number >> shift) & ((1 << width) - 1)] += 1
        digit = 0
        while counts[digit] < left:
            left -= counts[digit]
            digit += 1
        prefix = prefix << width | digit
    return prefix, left
