"""A brick process's part in moving buckets to another instance: what the mover asks of it, and what instances give each other.

The packets wait in the process at the interface, the streams are in that of the brick with state; chained bricks are in one process.
Streams and packets go from the old owner to the new one directly, never through the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bricks.hold import Hold
from bricks.packets import PACKET
from bricks.process import Process
from bricks.stage import Stage
from lego_sdn.adapters.rpc import Client, Unreachable
from lego_sdn.core.errors import BrickError

PEER_S = 5.0  # for the other instance to answer
PORTION = 4  # buckets whose streams go in one message


class Moving:
    """Handlers of the calls about a move; `token` names it."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def handlers(self) -> dict[str, Callable]:
        names = "hold cut renew settled consumed give_streams take_streams give_rows copy_rows take_rows release taken"
        return {name: getattr(self, name) for name in names.split()}

    # ---- asked by the mover ----
    def hold(self, token: int) -> dict[str, Any]:
        """Hold packets from now on, if this process takes any. passed: highest stamp passed on; state: whether streams are here."""
        hold = self._hold_if_any()
        return {"passed": None if hold is None else hold.begin(token), "state": self._stage_if_any() is not None}

    def cut(self, token: int, stamp: int, before: list[int], after: list[int]) -> bool:
        """Packets up to `stamp` go on, later ones wait; what the instance owns before and after."""
        self._hold().cut(token, stamp, before, after)
        return True

    def renew(self, token: int) -> bool:
        """The mover lives: wait on."""
        self._renew(token)
        return True

    def settled(self, token: int, markers: list[int]) -> list[int] | None:
        """None until one of the markers has come and everything up to the cut is passed on; then the first of them that came, and the
        number of rows passed on so far."""
        marker = self._hold().arrived(token, markers)
        return None if marker is None else [marker, self.process.next_row]

    def consumed(self, row: int) -> bool:
        """Whether the brick with the streams has taken in all rows before this one."""
        stage = self._stage()
        return stage.order is not None and stage.order.wanted >= row

    def give_streams(self, token: int, buckets: list[int], owned: list[int], address: str) -> dict[str, int]:
        """Hand the streams of these buckets to the process at `address`, whose instance owned `owned` before."""
        state, size, records, evicted = self._state(), 0, 0, 0
        with Client(address, PEER_S) as peer:
            for at in range(0, len(buckets), PORTION):
                data = state.export(frozenset(buckets[at : at + PORTION]), self.process.spec.buckets, frozenset(buckets[:at]))
                size += len(data)
                taken = peer.call("take_streams", token, data, owned if at == 0 else None)
                records, evicted = records + taken["records"], evicted + taken["evicted"]
                self._renew(token)
        return {"bytes": size, "records": records, "evicted": evicted}

    def give_rows(self, token: int, buckets: list[int], marker: int, address: str) -> int:
        """Hand the waiting packets of these buckets to the process at `address`; from then on the buckets are that instance's."""
        hold = self._hold()
        rows = hold.rows_for(token, buckets, marker)
        with Client(address, PEER_S) as peer:
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
        with Client(address, PEER_S) as peer:
            peer.call("take_rows", token, buckets, rows.tobytes())
        return len(rows)

    def release(self, token: int, owned: list[int] | None) -> dict[str, int]:
        """Go on. Streams with no end in `owned` are forgotten, unless it is None."""
        hold, stage = self._hold_if_any(), self._stage_if_any()
        if owned is not None and stage is not None and stage.brick.state is not None:
            stage.brick.state.forget(frozenset(owned), self.process.spec.buckets)
        return hold.release(token) if hold is not None else {"held": 0, "handed_on": 0}

    def taken(self, token: int) -> list[int]:
        """Buckets taken over in this move, also if it is over: asked by a controller that was started anew."""
        hold = self._hold_if_any()
        return hold.taken(token) if hold is not None else []

    # ---- asked by the old owner ----
    def take_streams(self, token: int, data: bytes, owned: list[int] | None) -> dict[str, int]:
        """Take streams in; `owned`: first forget those with no end in there, which an earlier ownership left.

        records: that were new here; evicted: streams that had to go for them, since the instance is full.
        """
        self._renew(token)
        state = self._state()
        if owned is not None:
            state.forget(frozenset(owned), self.process.spec.buckets)
        before = _evicted(state)
        return {"records": state.adopt(data), "evicted": _evicted(state) - before}

    def take_rows(self, token: int, buckets: list[int], data: bytes) -> bool:
        """Take waiting packets of these buckets; they are this instance's from now on."""
        if len(data) % PACKET.itemsize:
            raise BrickError(f"packets to take over: {len(data)} bytes are not a whole number of records of {PACKET.itemsize}")
        self._hold().take(token, buckets, np.frombuffer(data, PACKET))
        return True

    # ---- where things are ----
    def _renew(self, token: int) -> None:
        hold = self._hold_if_any()
        if hold is not None:
            hold.renew(token)

    def _hold_if_any(self) -> Hold | None:
        source = getattr(self.process.source, "source", None)
        return source if isinstance(source, Hold) else None

    def _hold(self) -> Hold:
        hold = self._hold_if_any()
        if hold is None:
            raise BrickError(f"process {self.process.spec.process} takes no packets from an interface that could wait")
        return hold

    def _stages(self) -> Iterator[Stage]:
        return (stage for stage in self.process.stages if stage.brick.state is not None)

    def _stage_if_any(self) -> Stage | None:
        return next(self._stages(), None)

    def _stage(self) -> Stage:
        stage = self._stage_if_any()
        if stage is None:
            raise BrickError(f"process {self.process.spec.process} has no brick with streams")
        return stage

    def _state(self) -> Any:
        return self._stage().brick.state


def _evicted(state: Any) -> int:
    """Streams that the bound on them made it forget so far."""
    return sum(count for name, count in state.counters().items() if name.startswith("evicted_"))
