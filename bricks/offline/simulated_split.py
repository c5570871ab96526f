"""A split, simulated in this process: replicas of a keyed brick between which the keys of a granularity are shared out.

Each replica is the brick itself and is fed what the switch would send it: the packets whose key it owns and, as shadows, those that the
split plan sends it (LEGO paper, section III-A). Ownership goes by bucket of the key, and buckets change hands as in the live system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bricks.feature_quantization import FeatureQuantization
from bricks.records.brick import Batch
from bricks.records.packets import ARP, ICMP, NO_PORT, PACKET, SHADOW, bucket_of
from lego_sdn.core.facts.assignment import Owners, balance, moves, place
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.headers import ADDRESSES
from lego_sdn.core.nf.granularity import SplitPlan
from lego_sdn.core.nf.split_key import SplitKey

BUCKETS = 64
EVEN = (1.0,) * BUCKETS

_WORDS = {"src_ip": ("src_hi", "src_lo"), "dst_ip": ("dst_hi", "dst_lo")}  # of a field that has not just one, of its own name
_MIX = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class OwnershipChange:
    """From packet number `packet` on there are `replicas` replicas. `owners`: which owns which bucket; None: as few move as it takes."""

    packet: int
    replicas: int
    owners: Owners | None = None


@dataclass(frozen=True)
class MovedStreams:
    """What an event did: buckets that changed hands, and the bytes of state that went with them (0: new owners start cold)."""

    event: OwnershipChange
    buckets: int
    state_bytes: int


@dataclass(frozen=True)
class Split:
    """By which plan to split, over how many replicas at first, whether the plan's shadows are sent, and how the replicas change.

    assume: the assumptions that the plan was derived with; owners: by bucket, the replica that owns it at first (None: evenly).
    """

    plan: SplitPlan
    replicas: int
    shadows: bool = True
    events: tuple[OwnershipChange, ...] = ()
    assume: tuple[str, ...] = ()
    owners: Owners | None = None

    @property
    def key(self) -> SplitKey:
        """The plan's fields as they are."""
        return SplitKey(tuple(sorted(self.plan.granularity.fields)), self.plan.shadows if self.shadows else ())

    @property
    def targets(self) -> tuple[tuple[str, ...], ...]:
        """Fields to the owners of which shadows go."""
        return self.key.shadows

    @property
    def by_address(self) -> bool:
        """State leaves a brick by bucket of one address; keys of several fields cannot be told apart there."""
        return len(self.key.own) == 1 and self.key.own[0] in ADDRESSES

    @property
    def state_moves(self) -> bool:
        return self.shadows and self.by_address


def key_buckets(packets: np.ndarray, fields: Iterable[str]) -> np.ndarray:
    """Bucket of each packet's key, the values of `fields` in that order: int64 [packets].

    A single address goes by its low bits, as in the switch; other keys by the upper bits of a multiplicative hash of their words.
    """
    fields = tuple(fields)
    if len(fields) == 1 and fields[0] in ADDRESSES:
        return bucket_of(packets, BUCKETS, fields).astype(np.int64)
    mixed = np.zeros(len(packets), np.uint64)
    for field in fields:
        for word in _WORDS.get(field, (field,)):
            mixed = (mixed ^ _values(packets, word)) * _MIX
            mixed ^= mixed >> np.uint64(32)
    return (mixed * _MIX >> np.uint64(58)).astype(np.int64)


def _values(packets: np.ndarray, word: str) -> np.ndarray:
    """A word of the key; the ports of ARP and of ICMP are one each, as they are in the extractor's streams."""
    values = packets[word].astype(np.uint64)
    if word.endswith("_port"):
        values[packets["flags"] & ICMP != 0] = NO_PORT + 1
        values[packets["flags"] & ARP != 0] = NO_PORT + 2
    return values


class SimulatedSplit:
    """The replicas of a split, and `owners`: by bucket, the replica that owns it.

    new_brick  (number, layout, streams, split key) -> the keyed brick; its `width` is that of its values
    """

    def __init__(self, split: Split, layout: str, streams: int, new_brick: Callable[..., Any] = FeatureQuantization) -> None:
        self.split, self.moved = split, list[MovedStreams]()
        self.packets, self.shadows = 0, 0
        self.layout, self._streams, self._new_brick = layout, streams, new_brick
        self._todo = list(split.events)
        self._bricks: dict[int, Any] = {}
        self._evicted = 0
        self._own(split.owners or place((None,) * BUCKETS, EVEN, range(split.replicas)), split.replicas)

    @property
    def evicted(self) -> int:
        """Streams that the bound on them made the replicas forget."""
        return self._evicted + sum(map(_evicted, self._bricks.values()))

    @property
    def taken(self) -> dict[int, tuple[int, int]]:
        """Packets and shadows that each replica has taken in."""
        counted = {replica: brick.counters for replica, brick in self._bricks.items()}
        return {replica: (counters["packets"] - counters["shadows"], counters["shadows"]) for replica, counters in counted.items()}

    @property
    def pending(self) -> tuple[OwnershipChange, ...]:
        """Events whose packet has not come."""
        return tuple(self._todo)

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Features of PACKET rows, the next ones of the time line, from their owners: float64 [rows that are no shadows, width]."""
        out = np.empty((len(rows), self._bricks[0].width))
        begin = 0
        while begin < len(rows):
            while self._todo and self._todo[0].packet <= self.packets:
                self._change(self._todo.pop(0))
            end = len(rows) if not self._todo else min(len(rows), begin + self._todo[0].packet - self.packets)
            self._play(rows[begin:end], out[begin:end])
            self.packets += end - begin
            begin = end
        return out[rows["flags"] & SHADOW == 0]

    def _play(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Features of rows between two events, into `out` [rows, width]; shadows among them are taken as such by everyone."""
        owner = self._table[key_buckets(rows, self.split.key.own)]
        others = [self._table[key_buckets(rows, target)] for target in self.split.targets]
        scored = rows["flags"] & SHADOW == 0
        for replica, brick in self._bricks.items():
            mine = owner == replica
            sent = mine.copy()
            for other in others:
                sent |= other == replica
            self.shadows += int(np.count_nonzero(sent & ~mine))
            found = rows[sent]
            found["flags"] |= np.where(mine[sent], 0, SHADOW).astype(PACKET["flags"])
            values = brick.process(Batch(found)).values
            out[mine & scored] = values

    def _change(self, event: OwnershipChange) -> None:
        """Another number of replicas: as few buckets as it takes change hands, with their state where that can go."""
        running = range(event.replicas)
        owners = event.owners or balance(place(self.owners, EVEN, running), EVEN, running)
        leaving: dict[tuple[int, int], set[int]] = {}
        for bucket, new in moves(self.owners, owners).items():
            old = self.owners[bucket]
            assert old is not None
            leaving.setdefault((old, new), set()).add(bucket)
        exported = []
        if self.split.state_moves:
            exported = [(new, self._bricks[old].state.export(frozenset(found), BUCKETS)) for (old, new), found in leaving.items()]
        self._forget()  # what shadows alone left must not be taken for what a new owner has already
        self._own(owners, event.replicas)
        for new, state in exported:
            self._bricks[new].state.adopt(state)
        self._forget()
        self.moved.append(MovedStreams(event, sum(map(len, leaving.values())), sum(len(state) for _, state in exported)))

    def _own(self, owners: Owners, replicas: int) -> None:
        self.owners, self._table = owners, np.array(owners)
        for gone in [replica for replica in self._bricks if replica >= replicas]:
            self._evicted += _evicted(self._bricks.pop(gone))
        for replica in range(replicas):
            if replica not in self._bricks:
                self._bricks[replica] = self._new_brick(replica, self.layout, self._streams, self.split.key)

    def _forget(self) -> None:
        """Drop the streams that a replica hears no more of: should their bucket come back, they would be out of date."""
        if self.split.by_address:
            for replica, brick in self._bricks.items():
                brick.state.forget(frozenset(np.flatnonzero(self._table == replica).tolist()), BUCKETS)


def _evicted(brick: Any) -> int:
    return BrickCounters.of(brick.counters).all_evicted
