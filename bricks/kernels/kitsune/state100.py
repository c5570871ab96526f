"""State of the `kitsunepy100` extractor: how its streams and pairs are counted, leave and enter.

A pair needs both of its streams, so the peers of a stream leave with it, and stay while one of their pairs is needed. That
layout reads what any sender wrote to its peers, so it cannot be split exactly; but one that goes on elsewhere with all
buckets goes on with the same bits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit

from bricks.kernels.kitsune import features100
from bricks.kernels.kitsune.features100 import KINDS
from bricks.kernels.streams.named_streams import (
    BORN,
    EVICTED,
    FREE,
    KEY,
    LAST,
    NEXT,
    PAIR_VALUES,
    USED,
    VALUES,
    NamedStreams,
    StreamGroup,
    create,
    drop_streams,
    find,
    link,
    make_way,
    with_room,
)
from bricks.kernels.streams.names import WORDS
from bricks.kernels.streams.state import StreamState
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey


class KitsunePy100State(StreamState):
    """All streams and pairs that the packets so far have left, at most `streams` of each kind: mi, hh, jit, hp."""

    layout = "kitsunepy100"
    kernel: ClassVar = features100

    def __init__(self, streams: int, key: SplitKey = BY_SOURCE) -> None:
        super().__init__(streams)
        self.key = key

    def counters(self) -> dict[str, int]:
        books = {kind: getattr(self.tables, kind).streams.book for kind in KINDS}
        books |= {f"pairs_{kind}": getattr(self.tables, kind).pairs.book for kind, paired in KINDS.items() if paired}
        held = {kind if kind.startswith("pairs") else f"streams_{kind}": int(book[USED] - book[FREE]) for kind, book in books.items()}
        return held | {f"evicted_{kind}": int(book[EVICTED]) for kind, book in books.items()}

    def _leave(self, chosen: np.ndarray, but: np.ndarray) -> dict:  # a pair is whole only with both its streams: all go again
        return {kind: _leaving(getattr(self.tables, kind), chosen) for kind in KINDS}

    def _enter(self, records: dict, chosen: np.ndarray | None) -> int:
        taken = 0
        for kind in KINDS:
            streams = np.frombuffer(records[kind]["streams"], np.uint64).reshape(-1, KEY + VALUES)
            ends = np.frombuffer(records[kind]["ends"], np.int64).reshape(-1, 2)
            pairs = np.frombuffer(records[kind]["pairs"]).reshape(-1, PAIR_VALUES)
            if chosen is not None:
                streams, ends, pairs = _of_buckets(streams, ends, pairs, chosen)
            keys, values = streams[:, :KEY].copy(), streams[:, KEY:].copy().view(np.float64)
            group = with_room(getattr(self.tables, kind), len(keys))
            self.tables = self.tables._replace(**{kind: group})
            taken += _enter_streams(group, keys, values)
            _enter_pairs(group, keys[ends], pairs)
        return taken

    def _drop_others(self, chosen: np.ndarray) -> int:
        dropped = 0
        for kind in KINDS:
            group = getattr(self.tables, kind)
            gone = ~np.isnan(_values(group.streams)[:, LAST])
            gone[_with_peers(group, chosen)[0]] = False
            drop_streams(group, gone)
            dropped += int(gone.sum())
        return dropped


def _values(streams: NamedStreams) -> np.ndarray:
    return streams.values.reshape(-1, VALUES)[: int(streams.book[USED])]


def _with_peers(group: StreamGroup, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the streams of the chosen buckets and of their peers, ascending; and the pairs that join them, oldest first."""
    streams, pairs = group
    low = streams.keys[: int(streams.book[USED]), WORDS] & np.uint64(len(chosen) - 1)
    rows = chosen[low] & ~np.isnan(_values(streams)[:, LAST])
    live = np.flatnonzero(~np.isnan(pairs.values.reshape(-1, PAIR_VALUES)[: int(pairs.book[USED]), LAST]))
    joining = live[rows[pairs.ends[live, :NEXT]].any(axis=1)]
    rows[pairs.ends[joining, :NEXT]] = True
    return np.flatnonzero(rows), joining[np.argsort(pairs.ends[joining, BORN])]


def _leaving(group: StreamGroup, chosen: np.ndarray) -> dict:
    streams, pairs = group
    rows, joining = _with_peers(group, chosen)
    return {
        "streams": np.concatenate([streams.keys[rows], _values(streams)[rows].view(np.uint64)], axis=1).tobytes(),
        "ends": np.searchsorted(rows, pairs.ends[joining, :NEXT]).tobytes(),
        "pairs": pairs.values.reshape(-1, PAIR_VALUES)[joining].tobytes(),
    }


def _of_buckets(streams: np.ndarray, ends: np.ndarray, pairs: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of records (ends: two rows of `streams` by pair), the streams of the chosen buckets, their peers, and the pairs that join them."""
    mine = chosen[streams[:, WORDS] & np.uint64(len(chosen) - 1)]
    joining = mine[ends].any(axis=1)
    mine[ends[joining]] = True
    at, pairs = np.cumsum(mine) - 1, pairs[joining]
    pairs.flags.writeable = False  # as it came: another kind of array would be compiled for anew
    return streams[mine], at[ends[joining]], pairs


@njit(cache=True)
def _enter_streams(group, keys, values):
    """Streams, but for those held already; returns how many."""
    taken = 0
    for i in range(len(keys)):
        if find(group.streams, keys[i]) >= 0:
            continue
        make_way(group, values[i, LAST])
        row = create(group, keys[i], keys[i, WORDS], values[i, LAST])
        for value in range(VALUES):
            group.streams.values[row * VALUES + value] = values[i, value]
        taken += 1
    return taken


@njit(cache=True)
def _enter_pairs(group, keys, values):
    """Pairs of streams, given by the keys of both, in the order in which they met; those held already stay."""
    for i in range(len(keys)):
        first, second = find(group.streams, keys[i, 0]), find(group.streams, keys[i, 1])
        if first < 0 or second < 0 or _are_linked(group, first, second):
            continue
        make_way(group, values[i, LAST])  # in which one of them may go
        first, second = find(group.streams, keys[i, 0]), find(group.streams, keys[i, 1])
        if first < 0 or second < 0:
            continue
        pair = link(group, first, second, values[i, LAST])
        for value in range(PAIR_VALUES):
            group.pairs.values[pair * PAIR_VALUES + value] = values[i, value]


@njit(cache=True)
def _are_linked(group, first, second):
    node = group.streams.lists[first, 0]
    while node >= 0:
        ends = group.pairs.ends[node >> 1]
        if (ends[0] == first and ends[1] == second) or (ends[0] == second and ends[1] == first):
            return True
        node = ends[NEXT + (node & 1)]
    return False
