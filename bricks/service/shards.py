"""Shard table of an instance: which keyed replica owns which bucket.

The process at the interface has the table. It answers for all keyed state of the instance, local or remote.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bricks.runtime.outputs import opened
from bricks.runtime.pipeline import Pipeline
from bricks.runtime.stage import Stage
from bricks.service.shard_clients import LocalShard, RemoteShard, ShardClient
from bricks.streams.partitioner import KeyTable
from bricks.transport.rings import RingWriter
from lego_sdn.adapters.rpc.calls import Client, Connect
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import BrickError, LegoError

LOG = logging.getLogger(__name__)
PORTION = 4  # buckets whose streams go in one message


@dataclass(frozen=True, eq=False)
class KeyedReplica:
    """A keyed brick, and the ring that leads to it; None: it is the next brick of this process."""

    brick: str
    streams: ShardClient
    ring: str | None = None


class ShardTable:
    """`replicas`: the keyed bricks that have a share in the stream now; `owners`: by bucket, the index of the one that owns it.

    dead  of these, ids of those that will never answer again
    """

    def __init__(self, process: Pipeline, clock: Clock = time.monotonic, connect: Connect = Client) -> None:
        self.process, self.buckets = process, process.spec.buckets
        self._clock, self._connect = clock, connect
        self.replicas: list[KeyedReplica] = []
        self.dead: set[str] = set()
        self.replicas = self._at_the_start()
        self.owners = (0,) * self.buckets

    def _at_the_start(self) -> list[KeyedReplica]:
        told = self.process.spec.replicas
        here = [
            KeyedReplica(stage.brick.id, LocalShard(stage, self.buckets)) for stage in self.process.stages if stage.brick.state is not None
        ]
        return [self._replica(brick, where) for brick, where in told.items()] if told else here  # one: `assembly.build` refuses several

    def _replica(self, brick: str, where: Mapping[str, Any]) -> KeyedReplica:
        """As `deal` is told of it."""
        there = next((one for one in self.replicas if one.brick == brick), None)
        if there is not None:
            return there
        if where.get("ring") is None:
            return KeyedReplica(brick, LocalShard(self.process.stage(brick), self.buckets))
        return KeyedReplica(brick, RemoteShard(where["socket"], self._connect), where["ring"])

    @property
    def takes_packets(self) -> bool:
        return self.process.source is not None

    def of(self, replica: int) -> list[int]:
        """The buckets of a replica."""
        return [bucket for bucket, owner in enumerate(self.owners) if owner == replica]

    # ---- what the instance's streams are, to others ----
    def consumed(self, row: int) -> bool:
        """Whether all streams are those of the rows before this one."""
        return all(replica.streams.consumed(row) for replica in self.replicas)

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
    def pause(self, seconds: float) -> bool:
        """Take no packets for so long; True: the streams are those of all packets that were taken. Zero seconds: go on."""
        self.process.paused_until = self._clock() + seconds if seconds else 0.0
        return bool(seconds) and self._in_step()

    def _in_step(self) -> bool:
        """As `consumed`, but that nobody waits for the dead."""
        return all(replica.streams.consumed(self.process.next_row) for replica in self.replicas if replica.brick not in self.dead)

    def bury(self, bricks: Iterable[str]) -> None:
        """These are dead; until `deal` shares their buckets out among others, nothing goes on."""
        self.dead |= set(bricks)

    def deal(self, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Share the stream out among these bricks, {brick: {"ring", "socket"} or {"ring": None} for the next brick of this process}, after
        `pause` said that nothing is under way; then packets are taken again.

        Streams go to the new owners first; if that fails, nothing has changed. `lost`: buckets whose owner was dead: they begin anew.
        """
        began = self._clock()
        try:
            if not told or not self.takes_packets or self._clock() > self.process.paused_until or not self._in_step():
                raise BrickError("the stream can be shared out only at the interface, among one brick or more, while nothing is under way")
            wanted = [self._replica(brick, where) for brick, where in told.items()]
            owners = self._new_owners(wanted)
            stage = self.process.stages[0]
            rings = self._rings(stage, wanted)
            answer = self._hand_over(wanted, owners)
            self._switch(stage, rings, (wanted, owners))
            return answer | {"ms": (self._clock() - began) * 1e3}
        finally:
            self.pause(0.0)

    def _new_owners(self, wanted: list[KeyedReplica]) -> tuple[int, ...]:
        names = [replica.brick for replica in wanted]
        kept = [names.index(one.brick) if one.brick in names else None for one in self.replicas]
        owners = self.process.traffic.shared_out(tuple(kept[owner] for owner in self.owners), len(wanted))
        return tuple(owner for owner in owners if owner is not None)

    def _rings(self, stage: Stage, wanted: list[KeyedReplica]) -> list[RingWriter]:
        names = [replica.ring for replica in wanted if replica.ring is not None]
        return opened(RingWriter, names, {ring.name: ring for ring in stage.outputs}, self.process.spec.batch)

    def _hand_over(self, wanted: list[KeyedReplica], owners: tuple[int, ...]) -> dict[str, Any]:
        """Streams of every bucket that changes hands, from its old owner to the new one, which leaves a copy with the old one."""
        self.tidy()  # what is out of date must not be taken for what a new owner has already
        for replica in wanted:
            if replica not in self.replicas:
                replica.streams.begin(self.process.next_row)
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

    def _switch(self, stage: Stage, rings: list[RingWriter], now: tuple[list[KeyedReplica], tuple[int, ...]]) -> None:
        """From here on packets go by the new table; what nobody needs any more is forgotten."""
        left = [replica for replica in self.replicas if replica not in now[0]]
        self.dead.clear()
        self.replicas, self.owners = now
        here = any(replica.ring is None for replica in self.replicas)
        remote = [index for index, replica in enumerate(self.replicas) if replica.ring is not None]
        hop = {index: at for at, index in enumerate(remote)}
        table = np.array([hop.get(owner, len(remote)) for owner in self.owners], np.int64)
        cut = KeyTable(table, len(self.replicas), self.process.key) if len(self.replicas) > 1 else None
        stage.exits.set_parts(rings, here, cut)
        try:
            self.tidy()
            for replica in left:
                if replica.ring is None:
                    replica.streams.keep(())
        except LegoError as error:  # what is kept too long costs memory, and goes before anything is adopted
            LOG.warning("streams that moved within the instance are not forgotten: %s", error)
