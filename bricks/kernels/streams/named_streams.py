"""Streams keyed by name, and the pairs between them in the order in which they met: state of the `kitsunepy100` layout.

A stream is a row of `keys` (its name, 12 words, then the low word of the address that it belongs to: its bucket) and a row
of `values`: last time, then weight, linear sum, squared sum, mean, variance [5 each]. Mean and variance are those after its
own last packet. A pair is a row of `values` (last time, product sum, weight, last residual of either side [5 each]) and a
row of `ends`: its two streams, for either side the next node in that stream's list, and a number that grows from pair to
pair. Node 2p + s is side s of pair p;
`lists` has the first and last node of every stream. -1 is none.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bricks.kernels.exponent import exp2_f64, float_bits
from bricks.kernels.streams.eviction import smallest
from bricks.kernels.streams.index import LOW, SMALLEST, TAG_SHIFT, place, refill, take_out
from bricks.kernels.streams.names import WORDS, name_tag
from bricks.kernels.streams.table import COUNTS

LAST, WEIGHT, LINEAR, SQUARES, MEAN, VARIANCE, VALUES = 0, 1, 6, 11, 16, 21, 26
KEY = WORDS + 1
PRODUCTS, PAIR_WEIGHT, RESIDUAL, PAIR_VALUES = 1, 6, 11, 21
NEXT, BORN, ENDS = 2, 4, 5
USED, FREE, EVICTED, CAPACITY, MADE, BOOK = 0, 1, 2, 3, 4, 8  # places in a book; the free rows follow
TINY = 1e-20  # weight of a stream or pair before its first packet

_FREE_ROW = 1 << 59  # beyond every weight
_SLOWEST, _SLOWEST_LANE, _SHARE, _IGNORED_BITS = 0.01, 4, 4, 4


class NamedStreams(NamedTuple):
    """Streams of one kind."""

    keys: np.ndarray  # uint64 [capacity, 13]
    values: np.ndarray  # float64 [capacity * 26]
    lists: np.ndarray  # int64 [capacity, 2]
    index: np.ndarray  # uint64 [a power of two]
    book: np.ndarray  # int64 [8 + capacity]


class Pairs(NamedTuple):
    """Pairs of the streams of one kind."""

    values: np.ndarray  # float64 [capacity * 21]
    ends: np.ndarray  # int64 [capacity, 5]
    book: np.ndarray  # int64 [8 + capacity]


class StreamGroup(NamedTuple):
    """Streams of one kind with the pairs between them, if that kind has any."""

    streams: NamedStreams
    pairs: Pairs


def new_group(capacity: int, paired: bool) -> StreamGroup:
    """No streams and no pairs, of at most `capacity` each."""
    return StreamGroup(_new_streams(capacity), _new_pairs(capacity if paired else 0))


def _book(capacity: int) -> np.ndarray:
    book = np.zeros(BOOK + capacity, np.int64)
    book[CAPACITY] = capacity
    return book


def _new_streams(capacity: int) -> NamedStreams:
    lists, index = np.empty((capacity, 2), np.int64), np.zeros(SMALLEST, np.uint64)
    return NamedStreams(np.empty((capacity, KEY), np.uint64), np.empty(capacity * VALUES), lists, index, _book(capacity))


def _new_pairs(capacity: int) -> Pairs:
    return Pairs(np.empty(capacity * PAIR_VALUES), np.empty((capacity, ENDS), np.int64), _book(capacity))


def with_room(group: StreamGroup, more: int) -> StreamGroup:
    """The same group with an index that takes `more` new streams: three quarters full at most."""
    book, index = group.streams.book, group.streams.index
    wanted, slots = min(int(book[USED] - book[FREE]) + more, int(book[CAPACITY])), len(index)
    while wanted * 4 > slots * 3:
        slots *= 2
    if slots == len(index):
        return group
    larger = np.zeros(slots, np.uint64)
    refill(index, larger)
    return group._replace(streams=group.streams._replace(index=larger))


@njit(cache=True)
def find(streams, name):
    """Row of a name of 12 words, or -1."""
    index, tag = streams.index, name_tag(name)
    mask = np.uint64(len(index) - 1)
    at = tag & mask
    while index[at] != 0:
        if index[at] >> TAG_SHIFT == tag:
            row = np.int64(index[at] & LOW) - 1
            word = 0
            while word < WORDS and streams.keys[row, word] == name[word]:
                word += 1
            if word == WORDS:
                return row
        at = (at + np.uint64(1)) & mask
    return -1


@njit(cache=True)
def make_way(group, now):
    """See to it that two streams and a pair can be added. Rows found earlier may be gone."""
    streams, pairs = group.streams.book, group.pairs.book
    if streams[FREE] + streams[CAPACITY] - streams[USED] < 2:
        _evict_streams(group, now)
    if pairs[CAPACITY] and pairs[FREE] + pairs[CAPACITY] - pairs[USED] < 1:
        _evict_pairs(group, now)


@njit(cache=True)
def _free_row(book):
    if book[FREE] > 0:
        book[FREE] -= 1
        return book[BOOK + book[FREE]]
    book[USED] += 1
    return book[USED] - 1


@njit(cache=True)
def _give_back(book, row):
    book[BOOK + book[FREE]] = row
    book[FREE] += 1


@njit(cache=True)
def create(group, name, low, now):
    """A new stream without a packet, for a name that has none; there must be a way for it."""
    streams = group.streams
    row = _free_row(streams.book)
    for word in range(WORDS):
        streams.keys[row, word] = name[word]
    streams.keys[row, WORDS] = low
    at = row * VALUES
    for value in range(VALUES):
        streams.values[at + value] = 0.0
    for lane in range(5):
        streams.values[at + WEIGHT + lane] = TINY
    streams.values[at + LAST] = now
    streams.lists[row, 0] = streams.lists[row, 1] = -1
    place(streams.index, name_tag(name), row)
    return row


@njit(cache=True)
def link(group, first, second, now):
    """A new pair of two streams, last in both lists (a stream with itself: twice in its list); there must be a way for it."""
    pairs = group.pairs
    pair = _free_row(pairs.book)
    at = pair * PAIR_VALUES
    for value in range(PAIR_VALUES):
        pairs.values[at + value] = 0.0
    for lane in range(5):
        pairs.values[at + PAIR_WEIGHT + lane] = TINY
    pairs.values[at + LAST] = now
    pairs.ends[pair, 0], pairs.ends[pair, 1], pairs.ends[pair, BORN] = first, second, pairs.book[MADE]
    pairs.book[MADE] += 1
    _append(group, first, 2 * pair)
    _append(group, second, 2 * pair + 1)
    return pair


@njit(cache=True)
def _append(group, row, node):
    lists, ends = group.streams.lists, group.pairs.ends
    last = lists[row, 1]
    if last < 0:
        lists[row, 0] = node
    else:
        ends[last >> 1, NEXT + (last & 1)] = node
    lists[row, 1] = node
    ends[node >> 1, NEXT + (node & 1)] = -1


@njit(cache=True)
def _evict_streams(group, now):
    """Forget the faintest quarter of the streams and their pairs; among equals the first ones."""
    book = group.streams.book
    gone = _faintest(_faded(group.streams.values, (VALUES, WEIGHT), book[USED], now))
    drop_streams(group, gone)
    book[EVICTED] += np.sum(gone)


@njit(cache=True)
def _evict_pairs(group, now):
    """Forget the faintest quarter of the pairs; among equals the first ones."""
    book = group.pairs.book
    gone = _faintest(_faded(group.pairs.values, (PAIR_VALUES, PAIR_WEIGHT), book[USED], now))
    _drop_pairs(group, gone)
    book[EVICTED] += np.sum(gone)


@njit(cache=True)
def _faded(values, layout, rows, now):
    """Weight at lambda 0.01 of every row, faded to now, as a whole number in the same order; free rows come last."""
    words, weight = layout
    faded = np.full(rows, _FREE_ROW)
    for row in range(rows):
        if np.isnan(values[row * words + LAST]):
            continue
        gap = max(0.0, now - values[row * words + LAST])
        faded[row] = float_bits(values[row * words + weight + _SLOWEST_LANE] * exp2_f64(-_SLOWEST * gap)) >> _IGNORED_BITS
    return faded


@njit(cache=True)
def _faintest(faded):
    """Which rows are the lowest quarter, two at least."""
    quota = max(2, np.sum(faded < _FREE_ROW) // _SHARE)
    limit, equals = smallest(faded, quota, np.empty(COUNTS, np.int64))
    gone = np.zeros(len(faded), np.bool_)
    for row in range(len(faded)):
        if faded[row] < limit or (faded[row] == limit and equals > 0):
            equals -= faded[row] == limit
            gone[row] = True
    return gone


@njit(cache=True)
def drop_streams(group, gone):
    """Forget these streams (bool [rows]), the last ones first, so that the first are used again first; and their pairs."""
    streams, ends = group.streams, group.pairs.ends
    lost = np.zeros(group.pairs.book[USED], np.bool_)
    for pair in range(len(lost)):
        if not np.isnan(group.pairs.values[pair * PAIR_VALUES + LAST]):
            lost[pair] = gone[ends[pair, 0]] or gone[ends[pair, 1]]
    _drop_pairs(group, lost)
    for row in range(len(gone) - 1, -1, -1):
        if gone[row]:
            take_out(streams.index, name_tag(streams.keys[row]), row)
            streams.values[row * VALUES + LAST] = np.nan
            _give_back(streams.book, row)


@njit(cache=True)
def _drop_pairs(group, gone):
    """Forget these pairs: every list is written anew without them."""
    streams, pairs = group
    for row in range(streams.book[USED]):
        if np.isnan(streams.values[row * VALUES + LAST]):
            continue
        node = streams.lists[row, 0]
        streams.lists[row, 0] = streams.lists[row, 1] = -1
        while node >= 0:
            after = pairs.ends[node >> 1, NEXT + (node & 1)]
            if not gone[node >> 1]:
                _append(group, row, node)
            node = after
    for pair in range(len(gone) - 1, -1, -1):
        if gone[pair]:
            pairs.values[pair * PAIR_VALUES + LAST] = np.nan
            _give_back(pairs.book, pair)
