"""Which replica of one keyed node owns which bucket, and how buckets change hands within an instance."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bricks.runtime.outputs import Outputs, opened
from bricks.service.shard_clients import ShardClient
from bricks.streams.partitioner import KeyTable, LoadSketch
from bricks.transport.rings import RingWriter
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.nf.split_key import SplitKey

LOG = logging.getLogger(__name__)
PORTION = 4  # buckets whose streams go in one message


@dataclass(frozen=True, eq=False)
class KeyedReplica:
    """A keyed brick, and the ring that leads to it; None: it is in this process."""

    brick: str
    streams: ShardClient
    ring: str | None = None


class NodeShards:
    """`replicas`: the bricks of a keyed node that have a share in the stream now; `owners`: by bucket, the index of the one that owns it.

    key   by which the node's packets are divided; dead: ids of replicas that will never answer again
    """

    def __init__(self, replicas: list[KeyedReplica], buckets: int, key: SplitKey) -> None:
        self.replicas, self.key = replicas, key
        self.owners = (0,) * buckets
        self.dead: set[str] = set()

    def of(self, replica: int) -> list[int]:
        """The buckets of a replica."""
        return [bucket for bucket, owner in enumerate(self.owners) if owner == replica]

    def consumed(self, row: int) -> bool:
        """Whether all streams are those of the rows before this one."""
        return all(replica.streams.consumed(row) for replica in self.replicas)

    def in_step(self, row: int) -> bool:
        """As `consumed`, but that nobody waits for the dead."""
        return all(replica.streams.consumed(row) for replica in self.replicas if replica.brick not in self.dead)

    def exported(self, buckets: Iterable[int]) -> Iterable[bytes]:
        """The records of the streams with an end in these buckets, in portions."""
        given: list[int] = []  # the receiver has all streams with an end in there already
        for index, replica in enumerate(self.replicas):
            mine = [bucket for bucket in buckets if self.owners[bucket] == index]
            for at in range(0, len(mine), PORTION):
                yield replica.streams.export(mine[at : at + PORTION], given)
                given += mine[at : at + PORTION]

    def adopt(self, data: bytes) -> dict[str, int]:
        """Take records in: every replica those of the streams with an end in its buckets, as within the instance.

        records: that were new, those with an end at each of two replicas twice; evicted: streams that had to go for them.
        """
        alone = len(self.replicas) == 1
        taken = [replica.streams.adopt(data, None if alone else self.of(index)) for index, replica in enumerate(self.replicas)]
        return {key: sum(one[key] for one in taken) for key in ("records", "evicted")}

    def tidy(self, owned: Iterable[int] | None = None) -> None:
        """Forget the streams with no end in the buckets that the instance owns (None: all); and in each replica, with none in its own."""
        kept = None if owned is None else frozenset(owned)
        for index, replica in enumerate(self.replicas):
            if replica.brick in self.dead:
                continue
            if kept is not None:
                replica.streams.keep(kept)
            if len(self.replicas) > 1:
                replica.streams.keep(self.of(index))

    # ---- who gets which share ----
    def deal(self, wanted: list[KeyedReplica], way: Outputs, sketch: LoadSketch, stream: tuple[int, int]) -> dict[str, Any]:
        """Share the stream out among these replicas. Streams go to the new owners first; if that fails, nothing has changed.

        stream  the number of the next row to come, and how many rows a batch has at most
        """
        owners = self._new_owners(wanted, sketch)
        next_row, rows = stream
        names = [replica.ring for replica in wanted if replica.ring is not None]
        rings = opened(RingWriter, names, {ring.name: ring for ring in way.rings}, rows)
        answer = self._hand_over(wanted, owners, next_row)
        self._switch(way, rings, (wanted, owners))
        return answer

    def _new_owners(self, wanted: list[KeyedReplica], sketch: LoadSketch) -> tuple[int, ...]:
        names = [replica.brick for replica in wanted]
        kept = [names.index(one.brick) if one.brick in names else None for one in self.replicas]
        owners = sketch.shared_out(tuple(kept[owner] for owner in self.owners), len(wanted))
        return tuple(owner for owner in owners if owner is not None)

    def _hand_over(self, wanted: list[KeyedReplica], owners: tuple[int, ...], next_row: int) -> dict[str, Any]:
        """Streams of every bucket that changes hands, from its old owner to the new one, which leaves a copy with the old one."""
        self.tidy()  # what is out of date must not be taken for what a new owner has already
        for replica in wanted:
            if replica not in self.replicas:
                replica.streams.begin(next_row)
        size, records, lost = 0, 0, list[int]()
        for (old, new), buckets in self._changes(wanted, owners).items():
            for at in range(0, len(buckets), PORTION):
                portion = buckets[at : at + PORTION]
                if old.brick in self.dead:
                    lost += portion
                    continue
                data = old.streams.export(portion, buckets[:at])
                size += len(data)
                records += new.streams.adopt(data)["records"]
        moved = sum(map(len, self._changes(wanted, owners).values()))
        return {"buckets": moved, "bytes": size, "records": records, "lost": lost}

    def _changes(self, wanted: list[KeyedReplica], owners: tuple[int, ...]) -> dict[tuple[KeyedReplica, KeyedReplica], list[int]]:
        found: dict[tuple[KeyedReplica, KeyedReplica], list[int]] = {}
        for bucket, (before, after) in enumerate(zip(self.owners, owners, strict=True)):
            old, new = self.replicas[before], wanted[after]
            if old != new:
                found.setdefault((old, new), []).append(bucket)
        return found

    def _switch(self, way: Outputs, rings: list[RingWriter], now: tuple[list[KeyedReplica], tuple[int, ...]]) -> None:
        """From here on packets go by the new table; what nobody needs any more is forgotten."""
        left = [replica for replica in self.replicas if replica not in now[0]]
        self.dead.clear()
        self.replicas, self.owners = now
        here = any(replica.ring is None for replica in self.replicas)
        remote = [index for index, replica in enumerate(self.replicas) if replica.ring is not None]
        hop = {index: at for at, index in enumerate(remote)}
        table = np.array([hop.get(owner, len(remote)) for owner in self.owners], np.int64)
        way.set_parts(rings, here, KeyTable(table, len(self.replicas), self.key) if len(self.replicas) > 1 else None)
        try:
            self.tidy()
            for replica in left:
                if replica.ring is None:
                    replica.streams.keep(())
        except LegoError as error:  # what is kept too long costs memory, and goes before anything is adopted
            LOG.warning("streams that moved within the instance are not forgotten: %s", error)
