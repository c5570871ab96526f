"""Clients of an instance's keyed bricks: those of this process, and those of other processes, called over their sockets.

Each keyed brick has the streams with an end in its buckets. Streams pass from one to another through the process at the interface.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from bricks.records.brick import State
from bricks.runtime.stage import Stage
from lego_sdn.adapters.rpc.calls import Client, Connect
from lego_sdn.core.facts.counters import BrickCounters

ANSWER_S = 5.0


class ShardClient(Protocol):
    """One keyed brick."""

    def consumed(self, row: int) -> bool:
        """Whether it took in every row of the instance before this one."""

    def begin(self, row: int) -> None:
        """Forget everything; the next row to come is this one."""

    def keep(self, buckets: Iterable[int]) -> None:
        """Forget the streams with no end in these buckets."""

    def export(self, buckets: list[int], but: list[int]) -> bytes:
        """The records of the streams with an end in these buckets; those with one in `but` may be left out."""

    def adopt(self, data: bytes, buckets: list[int] | None = None) -> dict[str, int]:
        """Take records in; `buckets`: only those of streams with an end in there. records: how many were not there; evicted: streams that
        had to go for them."""


class LocalShard:
    """The keyed brick of a stage of this process."""

    def __init__(self, stage: Stage, buckets: int) -> None:
        self.stage, self.buckets = stage, buckets

    @property
    def state(self) -> State:
        assert self.stage.brick.state is not None
        return self.stage.brick.state

    def consumed(self, row: int) -> bool:
        return self.stage.order is not None and self.stage.order.wanted >= row

    def begin(self, row: int) -> None:
        self.state.forget(frozenset(), self.buckets)
        if self.stage.order is not None:
            self.stage.order.wanted = row

    def keep(self, buckets: Iterable[int]) -> None:
        self.state.forget(frozenset(buckets), self.buckets)

    def export(self, buckets: list[int], but: list[int]) -> bytes:
        return self.state.export(frozenset(buckets), self.buckets, frozenset(but))

    def adopt(self, data: bytes, buckets: list[int] | None = None) -> dict[str, int]:
        before = _evicted(self.state)
        records = self.state.adopt(data, None if buckets is None else frozenset(buckets), self.buckets)
        return {"records": records, "evicted": _evicted(self.state) - before}


class RemoteShard:
    """A keyed brick in another process, by its socket."""

    def __init__(self, address: str, connect: Connect = Client) -> None:
        self._client = connect(address, ANSWER_S)

    def consumed(self, row: int) -> bool:
        return bool(self._client.call("consumed", row))

    def begin(self, row: int) -> None:
        self._client.call("begin", row)

    def keep(self, buckets: Iterable[int]) -> None:
        self._client.call("keep", sorted(buckets))

    def export(self, buckets: list[int], but: list[int]) -> bytes:
        return self._client.call("export", buckets, but)

    def adopt(self, data: bytes, buckets: list[int] | None = None) -> dict[str, int]:
        return self._client.call("adopt", data, buckets)


def _evicted(state: Any) -> int:
    """Streams that the bound on them made it forget so far."""
    return BrickCounters.of(state.counters()).all_evicted
