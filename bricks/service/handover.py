"""A brick process's part in moving buckets, between instances or within one: the calls of the handover executor and of the agent.

The packets wait in the process at the interface, which answers for all keyed state of the instance. Between instances, streams and packets
go from the old owner to the new one directly, never through the controller.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bricks.records.packets import PACKET
from bricks.runtime.pipeline import Pipeline
from bricks.service.shard_clients import LocalShard
from bricks.service.shards import ShardTable
from bricks.streams.handover_buffer import HandoverBuffer
from lego_sdn.adapters.rpc.calls import Client, Connect, Unreachable
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import BrickError, RpcError

LOG = logging.getLogger(__name__)
PEER_S = 5.0  # for the other instance to answer


class HandoverCalls:
    """Handlers of the calls about a move; `token` names it."""

    def __init__(self, process: Pipeline, clock: Clock = time.monotonic, connect: Connect = Client) -> None:
        self.process, self.front = process, ShardTable(process, clock, connect)
        self._connect = connect

    def handlers(self) -> dict[str, Callable]:
        names = "hold cut renew settled consumed give_streams take_streams give_rows copy_rows take_rows release taken"
        names += " abandon begin keep export adopt"
        within = {"pause": self.front.pause, "deal": self.front.deal, "bury": self.bury}
        return {name: getattr(self, name) for name in names.split()} | within

    # ---- asked by the mover ----
    def hold(self, token: int) -> dict[str, Any]:
        """Hold packets from now on, if this process takes any. passed: highest stamp passed on; state: whether it answers for streams."""
        hold = self._hold_if_any()
        return {"passed": None if hold is None else hold.begin(token), "state": hold is not None and bool(self.front.replicas)}

    def cut(self, token: int, stamp: int, before: list[int], after: list[int]) -> bool:
        """Packets up to `stamp` go on, later ones wait; what the instance owns before and after."""
        self._hold().cut(token, stamp, before, after)
        return True

    def renew(self, token: int) -> bool:
        """The mover lives: wait on."""
        self._hold().renew(token)
        return True

    def settled(self, token: int, markers: list[int]) -> list[int] | None:
        """None until one of the markers has come and everything up to the cut is passed on; then the first of them that came, and the
        number of rows passed on so far."""
        marker = self._hold().arrived(token, markers)
        return None if marker is None else [marker, self.process.next_row]

    def consumed(self, row: int) -> bool:
        """Whether all bricks with streams have taken in all rows before this one."""
        return self._front().consumed(row)

    def give_streams(self, token: int, buckets: list[int], owned: list[int], address: str) -> dict[str, int]:
        """Hand the streams of these buckets to the process at `address`, whose instance owned `owned` before."""
        size, records, evicted, first = 0, 0, 0, True
        with self._connect(address, PEER_S) as peer:
            for node, data in self._front().exported(buckets):
                size += len(data)
                taken = peer.call("take_streams", token, data, owned if first else None, node)
                records, evicted, first = records + taken["records"], evicted + taken["evicted"], False
                self._hold().renew(token)
        return {"bytes": size, "records": records, "evicted": evicted}

    def give_rows(self, token: int, buckets: list[int], marker: int, address: str) -> int:
        """Hand the waiting packets of these buckets to the process at `address`; from then on the buckets are that instance's."""
        hold = self._hold()
        rows = hold.rows_for(token, buckets, marker)
        with self._connect(address, PEER_S) as peer:
            try:
                peer.call("take_rows", token, buckets, rows.tobytes())
            except Unreachable:  # it may have taken them all the same
                if not set(buckets) <= set(peer.call("taken", token)):
                    raise
        hold.gave(token, buckets)
        return len(rows)

    def copy_rows(self, token: int, buckets: list[int], marker: int, scored: list[int], address: str) -> int:
        """Hand a copy of the waiting packets of `buckets`, which this instance keeps, to the auditor's twin at `address`."""
        rows = self._hold().rows_to_copy(token, marker, scored)
        with self._connect(address, PEER_S) as peer:
            peer.call("take_rows", token, buckets, rows.tobytes())
        return len(rows)

    def abandon(self, token: int, buckets: list[int]) -> bool:
        """These buckets are neither this instance's nor that of the other one, which failed: a standby scores their packets."""
        self._hold().abandon(token, buckets)
        return True

    def release(self, token: int, owned: list[int] | None) -> dict[str, int]:
        """Go on. Streams with no end in `owned` are forgotten, unless it is None, or the word comes so late that another move has begun."""
        hold = self._hold_if_any()
        if hold is not None and hold.latest == token:
            try:
                self.front.tidy(owned)
            except RpcError as error:  # a brick that is dead by now: packets go on all the same
                LOG.warning("streams that are not this instance's any more are not forgotten: %s", error)
        return hold.release(token) if hold is not None else {"held": 0, "handed_on": 0}

    def taken(self, token: int) -> list[int]:
        """Buckets taken over in this move, also if it is over: asked by a controller that was started anew."""
        hold = self._hold_if_any()
        return hold.taken(token) if hold is not None else []

    # ---- asked by the old owner ----
    def take_streams(self, token: int, data: bytes, owned: list[int] | None, node: str | None = None) -> dict[str, int]:
        """Take streams of a keyed node in (None: of the only one).

        owned    first forget streams with no end in there, which an earlier ownership left
        records  that were new here; evicted: streams that had to go for them, since the instance is full.
        """
        self._hold().renew(token)
        if owned is not None:
            self._front().tidy(owned)
        return self.front.adopt(data, node)

    def take_rows(self, token: int, buckets: list[int], data: bytes) -> bool:
        """Take waiting packets of these buckets; they are this instance's from now on."""
        if len(data) % PACKET.itemsize:
            raise BrickError(f"packets to take over: {len(data)} bytes are not a whole number of records of {PACKET.itemsize}")
        self._hold().take(token, buckets, np.frombuffer(data, PACKET))
        return True

    # ---- asked by the process at the interface, and by the agent ----
    def begin(self, row: int) -> bool:
        """Forget all streams; the next row to come is this one."""
        self._here().begin(row)
        return True

    def keep(self, buckets: list[int]) -> bool:
        """Forget the streams with no end in these buckets."""
        self._here().keep(buckets)
        return True

    def export(self, buckets: list[int], but: list[int] | None = None) -> bytes:
        """The records of the streams with an end in these buckets; those with one in `but` may be left out."""
        return self._here().export(buckets, but or [])

    def adopt(self, data: bytes, buckets: list[int] | None = None) -> dict[str, int]:
        """Take in what `export` gave, or of that only streams with an end in `buckets`. records: that were not here; evicted: streams that
        had to go for them."""
        return self._here().adopt(data, buckets)

    def bury(self, bricks: list[str]) -> bool:
        """These keyed bricks are dead: `deal` comes next."""
        self.front.bury(bricks)
        return True

    # ---- where things are ----
    def _hold_if_any(self) -> HandoverBuffer | None:
        source = getattr(self.process.source, "source", None)
        return source if isinstance(source, HandoverBuffer) else None

    def _hold(self) -> HandoverBuffer:
        hold = self._hold_if_any()
        if hold is None:
            raise BrickError(f"process {self.process.spec.process} takes no packets from an interface that could wait")
        return hold

    def _front(self) -> ShardTable:
        if not self.front.replicas:
            raise BrickError(f"process {self.process.spec.process} has no brick with streams")
        return self.front

    def _here(self) -> LocalShard:
        here = next((one.streams for one in self._front().replicas if isinstance(one.streams, LocalShard)), None)
        if here is None:
            raise BrickError(f"process {self.process.spec.process} has no brick with streams of its own")
        return here
