"""Tables of keyed stream records: bounded, without a table of names, found by hash, evicted when full.

A record is a row of float64 (key words are kept as raw bits) in one flat array per table:

    0-4   key: source high and low word, destination high and low word, kinds and ports (`meta`)
    5     time of the stream's last packet, epoch seconds
    6     row of the opposite stream plus 1, 0 while there is none
    7-    weight, linear sum, squared sum [5 each, one per lambda], then what the kind of table adds

The product sum of a stream and its opposite belongs to both: it is in `pairs` at the lower of their two rows.
The index maps hash to row by open addressing with linear probing; an entry is 32 bits of hash over row + 1.
Memory is that of the rows in use: arrays of the bounded size are virtual until they are written.
"""

import os
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bricks.kernels.exponent import bits_float, exp2_f64, float_bits
from bricks.kernels.lanes import LANES

META, LAST, LINK, WEIGHT = 4, 5, 6, 7
LINEAR, SQUARES, RESIDUAL = WEIGHT + LANES, WEIGHT + 2 * LANES, WEIGHT + 3 * LANES
ONE_SIDED = WEIGHT + 3 * LANES  # words of a record without an opposite

USED, FREE, EVICTED, WORDS, CAPACITY, BOOK = 0, 1, 2, 3, 4, 8  # places in a table's book; the free rows follow

_SLOWEST = 0.01  # lambda by whose weight the faintest stream is found
_SMALLEST_INDEX = 4096
_PORT_BITS = np.uint64(0x3FFFF)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


class Table(NamedTuple):
    """One kind of stream; all arrays are shared with the compiled code, which writes to them."""

    rows: np.ndarray  # float64 [capacity * words]
    pairs: np.ndarray  # float64 [capacity * 5]
    index: np.ndarray  # uint64 [a power of two]
    book: np.ndarray  # int64 [8 + capacity]
    secret: np.ndarray  # uint64 [4]: keys the hash, so that nobody can send addresses that collide


def new_table(capacity: int, words: int) -> Table:
    """An empty table of at most `capacity` streams with records of `words` float64."""
    book = np.zeros(BOOK + capacity, np.int64)
    book[WORDS], book[CAPACITY] = words, capacity
    secret = np.frombuffer(os.urandom(32), np.uint64).copy()
    pairs = np.empty(capacity * LANES if words > ONE_SIDED else 0)
    return Table(np.empty(capacity * words), pairs, np.zeros(_SMALLEST_INDEX, np.uint64), book, secret)


def with_room(table: Table, more: int) -> Table:
    """The same table with an index that takes `more` new streams: three quarters full at most."""
    streams = min(int(table.book[USED]) - int(table.book[FREE]) + more, int(table.book[CAPACITY]))
    slots = len(table.index)
    while streams * 4 > slots * 3:
        slots *= 2
    if slots == len(table.index):
        return table
    index = np.zeros(slots, np.uint64)
    _refill(table.index, index)
    return table._replace(index=index)


@intrinsic
def folded(typingctx, a, b):
    """High word xor low word of the 128-bit product of two uint64."""

    def emit(context, builder, sig, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.lshr(product, wide(64))
        return builder.trunc(builder.xor(product, high), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


@njit(cache=True)
def tag_of(secret, key):
    """32 bits of hash of a key; the low ones are its place in the index."""
    source = folded(key[0] ^ secret[0], key[1] ^ secret[1])
    target = folded(key[2] ^ secret[0], key[3] ^ secret[1])
    both = folded(source ^ secret[2], target ^ secret[3])
    return folded(both ^ secret[0], key[4] ^ secret[1]) & _LOW


@njit(cache=True)
def key_of(table, row):
    """The key of a row: five uint64."""
    base = row * table.book[WORDS]
    rows = table.rows
    return (
        np.uint64(float_bits(rows[base])),
        np.uint64(float_bits(rows[base + 1])),
        np.uint64(float_bits(rows[base + 2])),
        np.uint64(float_bits(rows[base + 3])),
        np.uint64(float_bits(rows[base + 4])),
    )


@njit(cache=True)
def opposite_of(key):
    """The key of the opposite stream: addresses, kinds and ports change sides."""
    meta = key[4]
    kinds = ((meta & np.uint64(3)) << np.uint64(2)) | ((meta >> np.uint64(2)) & np.uint64(3))
    ports = ((meta >> np.uint64(8)) & _PORT_BITS) << np.uint64(32) | ((meta >> np.uint64(32)) & _PORT_BITS) << np.uint64(8)
    return key[2], key[3], key[0], key[1], kinds | ports


@njit(cache=True)
def find(table, tag, key):
    """Row of a key, or -1."""
    index = table.index
    mask = np.uint64(len(index) - 1)
    at = tag & mask
    while index[at] != 0:
        if index[at] >> np.uint64(32) == tag:
            row = np.int64(index[at] & _LOW) - 1
            held = key_of(table, row)
            if held[1] == key[1] and held[3] == key[3] and held[4] == key[4] and held[0] == key[0] and held[2] == key[2]:
                return row
        at = (at + _ONE) & mask
    return -1


@njit(cache=True)
def create(table, tag, key, now):
    """A new row of zeros for a key that has none, linked with its opposite; evicts when the table is full."""
    book = table.book
    if book[FREE] == 0 and book[USED] == book[CAPACITY]:
        evict(table, now)
    if book[FREE] > 0:
        book[FREE] -= 1
        row = book[BOOK + book[FREE]]
    else:
        row = book[USED]
        book[USED] += 1
    base = row * book[WORDS]
    for word in range(5):
        table.rows[base + word] = bits_float(key[word])
    for word in range(LINK, book[WORDS]):
        table.rows[base + word] = 0.0
    table.rows[base + LAST] = now
    _place(table.index, tag, np.uint64(row + 1))
    if book[WORDS] > ONE_SIDED:
        _join(table, row, key)
    return row


@njit(cache=True)
def find_or_create(table, tag, key, now):
    """Row of a key, a new one of weight 0 where there was none."""
    row = find(table, tag, key)
    return row if row >= 0 else create(table, tag, key, now)


@njit(cache=True)
def _join(table, row, key):
    """Link a new row with the opposite stream, if that is there: their product sum begins at 0."""
    key = opposite_of(key)
    other = find(table, tag_of(table.secret, key), key)
    if other < 0 or other == row:
        return
    words = table.book[WORDS]
    table.rows[row * words + LINK] = other + 1
    table.rows[other * words + LINK] = row + 1
    for lane in range(LANES):
        table.pairs[min(row, other) * LANES + lane] = 0.0


@njit(cache=True)
def _place(index, tag, entry):
    mask = np.uint64(len(index) - 1)
    at = tag & mask
    while index[at] != 0:
        at = (at + _ONE) & mask
    index[at] = tag << np.uint64(32) | entry


@njit(cache=True)
def _refill(old, new):
    """Copy all entries of an index to a larger, empty one."""
    for entry in old:
        if entry != 0:
            _place(new, entry >> np.uint64(32), entry & _LOW)


@njit(cache=True)
def drop(table, row):
    """Forget a row: out of the index, unlinked, on the list of free rows."""
    book, rows = table.book, table.rows
    base = row * book[WORDS]
    _take_out(table.index, tag_of(table.secret, key_of(table, row)), np.uint64(row + 1))
    other = np.int64(rows[base + LINK])
    if other > 0:
        rows[(other - 1) * book[WORDS] + LINK] = 0.0
    rows[base + WEIGHT] = 0.0
    book[BOOK + book[FREE]] = row
    book[FREE] += 1


@njit(cache=True)
def _take_out(index, tag, entry):
    """Empty the slot of an entry, then move back what probing had pushed beyond it."""
    mask = np.uint64(len(index) - 1)
    hole = tag & mask
    while index[hole] & _LOW != entry:
        hole = (hole + _ONE) & mask
    at = (hole + _ONE) & mask
    while index[at] != 0:
        home = (index[at] >> np.uint64(32)) & mask
        if (at - home) & mask >= (at - hole) & mask:
            index[hole] = index[at]
            hole = at
        at = (at + _ONE) & mask
    index[hole] = np.uint64(0)


@njit(cache=True)
def evict(table, now):
    """Forget the faintest eighth of a full table: lowest weight at lambda 0.01, faded to `now`; equals by row."""
    book, rows = table.book, table.rows
    faded = np.empty(book[USED])
    for row in range(book[USED]):
        base = row * book[WORDS]
        faded[row] = rows[base + WEIGHT + LANES - 1] * exp2_f64(-_SLOWEST * max(0.0, now - rows[base + LAST]))
    quota = max(1, book[USED] // 8)
    limit = np.partition(faded, quota - 1)[quota - 1]
    equal = quota
    for row in range(book[USED]):
        equal -= faded[row] < limit
    for row in range(book[USED]):
        if faded[row] < limit or (faded[row] == limit and equal > 0):
            equal -= faded[row] == limit
            drop(table, row)
    book[EVICTED] += quota
