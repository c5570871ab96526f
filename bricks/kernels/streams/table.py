"""Tables of keyed stream records: bounded, without a table of names, found by hash.

Every stream has a head of 8 words, one cache line, in one flat array:

    0-4   key: source high and low word, destination high and low word, kinds and ports (`meta`); raw bits
    5     time of the stream's last packet, epoch seconds; nan in a free row
    6     row of the opposite stream plus 1 in the low half, row of its body plus 1 in the high half; 0 where there is none
    7     value of its first packet

and from its second packet on a body: weight, linear sum, squared sum [5 each, one per lambda], then what the kind of table
adds. All that a first packet leaves follows from its value, so that a flood of new sources costs little more than heads.
The product sum of a stream and its opposite belongs to both: it is in `pairs` at the lower of their two rows.
Memory is that of the rows in use, since arrays of the bounded size are virtual until they are written, and the index, which is
there from the beginning: 11 to 22 bytes for each stream of the bound.
"""

import os
from typing import NamedTuple

import numpy as np

from bricks.kernels.exponent import bits_float, float_bits
from bricks.kernels.jit import compiled
from bricks.kernels.streams.index import LOW, SMALLEST, TAG_SHIFT, folded, place, prefetch, take_out
from bricks.kernels.streams.lanes import LANES
from bricks.kernels.streams.memory import untouched, zeros_ahead

HEAD, META, LAST, LINKS, FIRST = 8, 4, 5, 6, 7
WEIGHT, LINEAR, SQUARES, ONE_SIDED = 0, LANES, 2 * LANES, 3 * LANES  # places in a body; words of a one-sided one
RESIDUAL, TWO_SIDED = ONE_SIDED, ONE_SIDED + LANES

# places in a table's book; then the list of free rows, then that of free bodies
USED, FREE, BODIES_USED, BODIES_FREE, EVICTED, WORDS, CAPACITY, SECRET, BOOK = 0, 1, 2, 3, 4, 5, 6, 8, 12

COUNTS = 4096  # of a table's memory for counting digits

_PORT_BITS = np.uint64(0x3FFFF)
_BITS_OF_ONE = 1023 << 52
_SECONDS_PER_BIT = 100.0 * 2.0**-52
_AHEAD = 8  # rows by which a free head is asked for


class Table(NamedTuple):
    """One kind of stream; all arrays are shared with the compiled code, which writes to them."""

    heads: np.ndarray  # float64 [capacity * 8]
    bodies: np.ndarray  # float64 [capacity * words]
    pairs: np.ndarray  # float64 [capacity * 5], of a two-sided table
    dusk: np.ndarray  # float64 [capacity]: the time at which a stream's weight fades to 1, by which the faintest are found
    index: np.ndarray  # uint64 [a power of two]
    book: np.ndarray  # int64 [12 + 2 * capacity]
    sweep: np.ndarray  # int64 [2 * capacity]: memory to sort out what to evict
    counts: np.ndarray  # int64 [4096]: likewise


def new_secret() -> np.ndarray:
    """Four random words, int64, that key the hash: nobody can send addresses that collide."""
    return np.frombuffer(os.urandom(32), np.int64)


def new_table(capacity: int, words: int, secret: np.ndarray) -> Table:
    """An empty table of at most `capacity` streams with bodies of `words` float64."""
    book = np.zeros(BOOK + 2 * capacity, np.int64)
    book[WORDS], book[CAPACITY] = words, capacity
    book[SECRET:BOOK] = secret
    return Table(
        heads=untouched(capacity * HEAD),
        bodies=np.empty(capacity * words),
        pairs=np.empty(capacity * LANES if words > ONE_SIDED else 0),
        dusk=untouched(capacity),
        index=zeros_ahead(_slots(capacity)),
        book=book,
        sweep=np.empty(2 * capacity, np.int64),
        counts=np.empty(COUNTS, np.int64),
    )


def _slots(streams: int) -> int:
    """Of an index of so many streams: three quarters full at most. It never grows, which would take long in one packet."""
    return max(SMALLEST, 1 << (streams * 4 // 3).bit_length())


@compiled
def secret_of(table):
    """The four words that key the hash: all tables of an extractor have the same."""
    book = table.book
    return np.uint64(book[SECRET]), np.uint64(book[SECRET + 1]), np.uint64(book[SECRET + 2]), np.uint64(book[SECRET + 3])


@compiled
def tag_of(secret, key):
    """32 bits of hash of a key; the low ones are where the index is searched first."""
    a, b, c, d = secret
    both = folded(folded(key[0] ^ a, key[1] ^ b) ^ c, folded(key[2] ^ a, key[3] ^ b) ^ d)
    return folded(both ^ a, key[4] ^ b) & LOW


@compiled
def key_of(heads, row):
    """The key of a row: five uint64."""
    at = row * HEAD
    return (
        np.uint64(float_bits(heads[at])),
        np.uint64(float_bits(heads[at + 1])),
        np.uint64(float_bits(heads[at + 2])),
        np.uint64(float_bits(heads[at + 3])),
        np.uint64(float_bits(heads[at + META])),
    )


@compiled
def opposite_of(key):
    """The key of the opposite stream: addresses, kinds and ports change sides."""
    meta = key[4]
    kinds = ((meta & np.uint64(3)) << np.uint64(2)) | ((meta >> np.uint64(2)) & np.uint64(3))
    ports = ((meta >> np.uint64(8)) & _PORT_BITS) << np.uint64(32) | ((meta >> np.uint64(32)) & _PORT_BITS) << np.uint64(8)
    return key[2], key[3], key[0], key[1], kinds | ports


@compiled
def links(table, row):
    """Row of the opposite stream and row of the body, -1 where there is none."""
    both = np.uint64(float_bits(table.heads[row * HEAD + LINKS]))
    return np.int64(both & LOW) - 1, np.int64(both >> TAG_SHIFT) - 1


@compiled
def set_links(table, row, opposite, body):
    """Say which rows belong to a stream; -1 is none."""
    both = np.uint64(opposite + 1) | np.uint64(body + 1) << TAG_SHIFT
    table.heads[row * HEAD + LINKS] = bits_float(both)


@compiled
def find(table, tag, key):
    """Row of a key, or -1."""
    index = table.index
    mask = np.uint64(len(index) - 1)
    at = tag & mask
    while index[at] != 0:
        if index[at] >> TAG_SHIFT == tag:
            row = np.int64(index[at] & LOW) - 1
            held = key_of(table.heads, row)
            if held[1] == key[1] and held[3] == key[3] and held[4] == key[4] and held[0] == key[0] and held[2] == key[2]:
                return row
        at = (at + np.uint64(1)) & mask
    return -1


@compiled
def create(table, tag, key, seen):
    """A new row for a key that has none, of a first packet `seen`: (value, time). There must be a free one."""
    book, heads = table.book, table.heads
    if book[FREE] > 0:
        book[FREE] -= 1
        row = book[BOOK + book[FREE]]
        prefetch(heads, book[BOOK + max(book[FREE] - _AHEAD, 0)] * HEAD)
    else:
        row = book[USED]
        book[USED] += 1
    at = row * HEAD
    for word in range(5):
        heads[at + word] = bits_float(key[word])
    heads[at + LAST] = seen[1]
    heads[at + LINKS] = 0.0
    heads[at + FIRST] = seen[0]
    table.dusk[row] = seen[1]
    place(table.index, tag, row)
    return row


@compiled
def join(table, row, key, tag):
    """Link a new row with the opposite stream (its key and hash), if that is there: their product sum begins at 0."""
    other = find(table, tag, key)
    if other < 0 or other == row:
        return
    set_links(table, row, other, links(table, row)[1])
    set_links(table, other, row, links(table, other)[1])
    for lane in range(LANES):
        table.pairs[min(row, other) * LANES + lane] = 0.0


@compiled
def embody(table, row):
    """Give a stream its body, as its first packet left it; returns the row of the body."""
    book, first = table.book, table.heads[row * HEAD + FIRST]
    if book[BODIES_FREE] > 0:
        book[BODIES_FREE] -= 1
        body = book[BOOK + book[CAPACITY] + book[BODIES_FREE]]
    else:
        body = book[BODIES_USED]
        book[BODIES_USED] += 1
    set_links(table, row, links(table, row)[0], body)
    at = body * book[WORDS]
    for lane in range(LANES):
        table.bodies[at + WEIGHT + lane] = 1.0
        table.bodies[at + LINEAR + lane] = first
        table.bodies[at + SQUARES + lane] = first * first
    for word in range(ONE_SIDED, book[WORDS]):
        table.bodies[at + word] = 0.0
    return body


@compiled
def dusk_of(last, weight):
    """The time at which a weight at lambda 0.01 will have faded to 1; log2 by the bits, 9 s too early at most."""
    return last + np.float64(float_bits(weight) - _BITS_OF_ONE) * _SECONDS_PER_BIT


@compiled
def drop(table, row, tag):
    """Forget a row by its hash: out of the index, unlinked, on the list of free rows."""
    book = table.book
    take_out(table.index, tag, row)
    other, body = links(table, row)
    if other >= 0:
        set_links(table, other, -1, links(table, other)[1])
    if body >= 0:
        book[BOOK + book[CAPACITY] + book[BODIES_FREE]] = body
        book[BODIES_FREE] += 1
    table.heads[row * HEAD + LAST] = np.nan
    book[BOOK + book[FREE]] = row
    book[FREE] += 1
