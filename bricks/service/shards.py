"""Shard table of an instance: which replica of each keyed node owns which bucket.

The process at the interface has the table. It answers for all keyed state of the instance, local or remote.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bricks.runtime.pipeline import Pipeline
from bricks.service.node_shards import KeyedReplica, NodeShards
from bricks.service.shard_clients import LocalShard, RemoteShard
from lego_sdn.adapters.rpc.calls import Client, Connect
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import node_of


class ShardTable:
    """`nodes`: by keyed node, which replicas of it share the stream out.

    In a process that is not at the interface: its own keyed bricks.
    """

    def __init__(self, process: Pipeline, clock: Clock = time.monotonic, connect: Connect = Client) -> None:
        self.process, self.buckets = process, process.spec.buckets
        self._clock, self._connect = clock, connect
        self.nodes: dict[str, NodeShards] = {}
        told = process.spec.replicas
        here = {stage.brick.id: {"ring": None} for stage in process.stages if stage.brick.state is not None}
        for brick, where in (told or here).items():
            node = node_of(brick)
            if node not in self.nodes:
                self.nodes[node] = NodeShards([], self.buckets, process.key.of_node(node))
            self.nodes[node].replicas.append(self._replica(brick, where))

    def _replica(self, brick: str, where: Mapping[str, Any]) -> KeyedReplica:
        """As `deal` is told of it."""
        there = next((one for one in self.replicas if one.brick == brick), None)
        if there is not None:
            return there
        if where.get("ring") is None:
            return KeyedReplica(brick, LocalShard(self.process.stage(brick), self.buckets))
        return KeyedReplica(brick, RemoteShard(where["socket"], self._connect), where["ring"])

    @property
    def replicas(self) -> list[KeyedReplica]:
        """Those of all keyed nodes."""
        return [replica for shards in self.nodes.values() for replica in shards.replicas]

    @property
    def takes_packets(self) -> bool:
        return self.process.source is not None

    # ---- what the instance's streams are, to others ----
    def consumed(self, row: int) -> bool:
        """Whether all streams are those of the rows before this one."""
        return all(shards.consumed(row) for shards in self.nodes.values())

    def exported(self, buckets: list[int]) -> Iterator[tuple[str, bytes]]:
        """The records of the streams with an end in these buckets, in portions, each with the node whose they are."""
        for node, shards in self.nodes.items():
            for data in shards.exported(buckets):
                yield node, data

    def adopt(self, data: bytes, node: str | None = None) -> dict[str, int]:
        """Take records of a node in (None: of the only one), as `NodeShards.adopt`. BrickError if there is no such node here."""
        only = node is None and len(self.nodes) == 1
        if not only and node not in self.nodes:
            raise BrickError(f"streams of {node} came to an instance that has those of {', '.join(self.nodes) or 'none'}")
        return self.nodes[next(iter(self.nodes)) if node is None else node].adopt(data)

    def tidy(self, owned: Iterable[int] | None = None) -> None:
        """Forget the streams with no end in the buckets that the instance owns (None: all); and in each replica, with none in its own."""
        kept = None if owned is None else frozenset(owned)
        for shards in self.nodes.values():
            shards.tidy(kept)

    # ---- who gets which share ----
    def pause(self, seconds: float) -> bool:
        """Take no packets for so long; True: the streams are those of all packets that were taken. Zero seconds: go on."""
        self.process.paused_until = self._clock() + seconds if seconds else 0.0
        return bool(seconds) and self._in_step()

    def _in_step(self) -> bool:
        return all(shards.in_step(self.process.next_row) for shards in self.nodes.values())

    def bury(self, bricks: Iterable[str]) -> None:
        """These are dead; until `deal` shares their buckets out among others, nothing goes on."""
        for brick in bricks:
            if node_of(brick) in self.nodes:
                self.nodes[node_of(brick)].dead.add(brick)

    def deal(self, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Share the stream out among these bricks of one keyed node, {brick: {"ring", "socket"} or {"ring": None} for one of this process},
        after `pause` said that nothing is under way; then packets are taken again.

        Streams go to the new owners first; if that fails, nothing has changed. `lost`: buckets whose owner was dead: they begin anew.
        """
        began = self._clock()
        try:
            nodes = {node_of(brick) for brick in told}
            idle = self.takes_packets and self._clock() <= self.process.paused_until and self._in_step()
            if len(nodes) != 1 or not nodes <= set(self.nodes) or not idle:
                raise BrickError(
                    "the stream can be shared out only at the interface, among bricks of one keyed node, while nothing is under way"
                )
            node = nodes.pop()
            wanted = [self._replica(brick, where) for brick, where in told.items()]
            stream = self.process.next_row, self.process.spec.batch
            answer = self.nodes[node].deal(wanted, self.process.stages[0].way(node), self.process.traffic[node], stream)
            return answer | {"ms": (self._clock() - began) * 1e3}
        finally:
            self.pause(0.0)
