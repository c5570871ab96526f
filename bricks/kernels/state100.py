"""State of the `kitsunepy100` extractor: how its streams and pairs are counted, leave and enter.

A pair needs both of its streams, so the peers of a stream leave with it, and stay while one of their pairs is needed. That
layout reads what any sender wrote to its peers, so it cannot be split exactly; but one that goes on elsewhere with all
buckets goes on with the same bits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit

from bricks.kernels import kitsunepy100
from bricks.kernels.namedstreams import (
    BORN,
    EVICTED,
    FREE,
    KEY,
    LAST,
    NEXT,
    PAIR_VALUES,
    USED,
    VALUES,
    Pairs,
    Streams,
    create,
    drop_streams,
    drop_with_pairs,
    evict_pairs,
    evict_single,
    evict_streams,
    find,
    is_full,
    link,
    with_room,
)
from bricks.kernels.names import WORDS
from bricks.kernels.state import StreamState

_SINGLE, _DOUBLE = ("mi", "jit"), ("hh", "hp")


class KitsunePy100State(StreamState):
    """All streams and pairs that the packets so far have left, at most `streams` of each kind: mi, jit, hh, hp."""

    layout = "kitsunepy100"
    kernel: ClassVar = kitsunepy100

    def counters(self) -> dict[str, int]:
        kinds = {f"streams_{kind}": getattr(self.tables, kind) for kind in _SINGLE + _DOUBLE}
        kinds |= {f"pairs_{kind}": self._pairs(kind) for kind in _DOUBLE}
        held = {name: int(table.book[USED] - table.book[FREE]) for name, table in kinds.items()}
        return held | {
            name.replace("streams_", "evicted_").replace("pairs", "evicted_pairs"): int(table.book[EVICTED])
            for name, table in kinds.items()
        }

    def _pairs(self, kind: str) -> Pairs:
        return getattr(self.tables, f"{kind}_pairs")

    def _leave(self, chosen: np.ndarray) -> dict:
        records = {}
        for kind in _SINGLE:
            records[kind] = _records(getattr(self.tables, kind), _at_home(getattr(self.tables, kind), chosen))
        for kind in _DOUBLE:
            streams, pairs = getattr(self.tables, kind), self._pairs(kind)
            rows, needed = _with_peers(streams, pairs, chosen)
            records[kind] = _records(streams, rows)
            needed = needed[np.argsort(pairs.ends[needed, BORN])]
            records[f"{kind}_ends"] = np.searchsorted(rows, pairs.ends[needed, :NEXT]).tobytes()
            records[f"{kind}_pairs"] = pairs.values.reshape(-1, PAIR_VALUES)[needed].tobytes()
        return records

    def _enter(self, records: dict) -> int:
        taken = 0
        for kind in _SINGLE + _DOUBLE:
            new = np.frombuffer(records[kind], np.uint64).reshape(-1, KEY + VALUES)
            keys, values = new[:, :KEY].copy(), new[:, KEY:].copy().view(np.float64)
            streams = with_room(getattr(self.tables, kind), len(new))
            self.tables = self.tables._replace(**{kind: streams})
            if kind in _SINGLE:
                taken += _enter_single(streams, keys, values)
                continue
            taken += _enter_double(streams, self._pairs(kind), keys, values)
            ends = np.frombuffer(records[f"{kind}_ends"], np.int64).reshape(-1, 2)
            _enter_pairs(streams, self._pairs(kind), keys[ends], np.frombuffer(records[f"{kind}_pairs"]).reshape(-1, PAIR_VALUES))
        return taken

    def _drop_others(self, chosen: np.ndarray) -> int:
        dropped = 0
        for kind in _SINGLE + _DOUBLE:
            streams = getattr(self.tables, kind)
            gone = ~np.isnan(_values(streams)[:, LAST])
            if kind in _SINGLE:
                gone[_at_home(streams, chosen)] = False
                drop_streams(streams, gone)
            else:
                gone[_with_peers(streams, self._pairs(kind), chosen)[0]] = False
                drop_with_pairs(streams, self._pairs(kind), gone)
            dropped += int(gone.sum())
        return dropped


def _values(streams: Streams) -> np.ndarray:
    return streams.values.reshape(-1, VALUES)[: int(streams.book[USED])]


def _at_home(streams: Streams, chosen: np.ndarray) -> np.ndarray:
    """Rows of the streams whose address is in the chosen buckets."""
    low = streams.keys[: int(streams.book[USED]), WORDS] & np.uint64(len(chosen) - 1)
    return np.flatnonzero(chosen[low] & ~np.isnan(_values(streams)[:, LAST]))


def _with_peers(streams: Streams, pairs: Pairs, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the streams at home in the chosen buckets and of their peers, ascending; and the pairs that join them."""
    home = np.zeros(int(streams.book[USED]), np.bool_)
    home[_at_home(streams, chosen)] = True
    live = np.flatnonzero(~np.isnan(pairs.values.reshape(-1, PAIR_VALUES)[: int(pairs.book[USED]), LAST]))
    needed = live[home[pairs.ends[live, :NEXT]].any(axis=1)]
    home[pairs.ends[needed, :NEXT]] = True
    return np.flatnonzero(home), needed


def _records(streams: Streams, rows: np.ndarray) -> bytes:
    return np.concatenate([streams.keys[rows], _values(streams)[rows].view(np.uint64)], axis=1).tobytes()


@njit(cache=True)
def _fill(streams, row, values):
    for value in range(VALUES):
        streams.values[row * VALUES + value] = values[value]


@njit(cache=True)
def _enter_single(streams, keys, values):
    """Streams without pairs, but for those held already; returns how many."""
    taken = 0
    for i in range(len(keys)):
        if find(streams, keys[i]) < 0:
            if is_full(streams.book):
                evict_single(streams, values[i, LAST])
            _fill(streams, create(streams, keys[i], keys[i, WORDS], values[i, LAST]), values[i])
            taken += 1
    return taken


@njit(cache=True)
def _enter_double(streams, pairs, keys, values):
    """Streams with pairs, but for those held already; returns how many."""
    taken = 0
    for i in range(len(keys)):
        if find(streams, keys[i]) < 0:
            if is_full(streams.book):
                evict_streams(streams, pairs, values[i, LAST], -1)
            _fill(streams, create(streams, keys[i], keys[i, WORDS], values[i, LAST]), values[i])
            taken += 1
    return taken


@njit(cache=True)
def _enter_pairs(streams, pairs, keys, values):
    """Pairs of streams, given by the keys of both, in the order in which they met; those held already stay."""
    for i in range(len(keys)):
        first, second = find(streams, keys[i, 0]), find(streams, keys[i, 1])
        if first < 0 or second < 0 or _are_linked(streams, pairs, first, second):
            continue
        if is_full(pairs.book):
            evict_pairs(streams, pairs, values[i, LAST])
        pair = link(streams, pairs, first, second)
        for value in range(PAIR_VALUES):
            pairs.values[pair * PAIR_VALUES + value] = values[i, value]


@njit(cache=True)
def _are_linked(streams, pairs, first, second):
    node = streams.lists[first, 0]
    while node >= 0:
        ends = pairs.ends[node >> 1]
        if (ends[0] == first and ends[1] == second) or (ends[0] == second and ends[1] == first):
            return True
        node = ends[NEXT + (node & 1)]
    return False
