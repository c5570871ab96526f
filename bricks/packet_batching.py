"""Packet batching: the first brick of a graph, from the frames of an interface to batches of packet records."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bricks.records.brick import Batch, Brick
from bricks.records.hidden import count_hidden
from bricks.records.packets import HIDDEN_MASK, HIDDEN_SHIFT, PACKET, UNSOUND
from lego_sdn.core.facts.errors import BrickError

COUNTERS = ("held", "held_shadows_dropped", "holds_expired", "handed_on")  # of a `bricks.streams.handover_buffer.Hold`
_HIDDEN = np.uint32(HIDDEN_MASK << HIDDEN_SHIFT)  # set: addresses that the switch does not see (`bricks.records.hidden`)


class PacketSource(Protocol):
    """Where packets come from; `bricks.capture.packet_ring.PacketRing` is one."""

    def fileno(self) -> int:
        """A descriptor that is readable when there may be packets."""

    def read(self, out: np.ndarray) -> int:
        """Fill `out` (PACKET [rows]) with what is there, without waiting; returns the number of rows."""

    def queue(self) -> float:
        """How full the source is, 0 to 1."""

    def statistics(self) -> dict[str, int]:
        """Totals, as `PacketRing.statistics` has them."""


class PacketBatching(Brick, kind="packet-batching"):
    """Take the packets that are there, up to the batch limit, without waiting for more.

    Counts also those whose IP addresses the switch does not see: taken by their MAC addresses, or without an address.

    In:    frames of the interface, through `source`
    Out:   PACKET [n], 1 <= n <= batch, in the order of arrival
    State: none (what was not taken yet is in the source)
    Reads: packets, batches, by_mac, no_address
    """

    def __init__(self, serial: int = 0, source: PacketSource | None = None, batch: int = 256) -> None:
        if batch < 1:
            raise BrickError(f"packet-batching-{serial}: a batch must hold at least 1 packet, not {batch}")
        super().__init__(serial)
        self.source, self.batch = source, batch
        self.counters = {"packets": 0, "batches": 0, "by_mac": 0, "no_address": 0}
        self._rows = np.zeros(batch, PACKET)

    def take(self) -> Batch | None:
        """The next batch, or None if nothing is there. The rows are the caller's: later batches do not touch them."""
        if self.source is None:
            raise BrickError(f"{self.id} has no interface to take packets from: name one in the instance's spec")
        rows = self.source.read(self._rows)
        return self._count(Batch(self._rows[:rows].copy())) if rows else None

    def waited_ns(self) -> int:
        """How long the packet that was taken last had waited in the source, if the source knows."""
        waited = getattr(self.source, "waited_ns", None)
        return waited() if waited is not None else 0

    def process(self, batch: Batch) -> Batch:
        """Packets that come another way, from a capture say, pass as they are."""
        return self._count(batch)

    def _count(self, batch: Batch) -> Batch:
        self.counters["packets"] += len(batch)
        self.counters["batches"] += 1
        if (batch.head["flags"] & _HIDDEN).any():
            counts = count_hidden(batch.head).tolist()
            self.counters["by_mac"] += sum(counts[1:UNSOUND])
            self.counters["no_address"] += counts[UNSOUND]
        return batch

    def report(self) -> dict[str, int | float] | None:
        """The `capture` part of a load report: the source's totals and its queue (0 to 1); None without a source.

        Frames without a stamp, or with one that cannot be true, where stamps are required, become `dropped`; what the kernel dropped stays
        in that part, to be counted once.
        """
        if self.source is None:
            return None
        totals = self.source.statistics()
        self.dropped["unstamped"] = totals["unstamped"]
        if totals.get("implausible"):
            self.dropped["implausible"] = totals["implausible"]
        self.counters |= {name: count for name, count in totals.items() if name in COUNTERS}
        if totals.get("held_dropped"):
            self.dropped["held_dropped"] = totals["held_dropped"]
        return {**totals, "queue": self.source.queue()}
