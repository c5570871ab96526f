"""Meter of a brick: rows, CPU, waiting and deadlines, as totals since start and as averages over the latest rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bricks.records.sequence import SequenceRange
from lego_sdn.core.facts.clock import Clock, ClockNs

MEMORY = 2048  # packets: how far back averages look


class Meter:
    """Of one brick. Everything is per batch: nothing here is done for each packet.

    slow_us      CPU microseconds burnt for every row that comes in, for experiments with the costs of another implementation
    deadline_ns  from a row's arrival before the brick to its result; None: the brick has no deadline
    now_ns, thread_s  clocks: monotonic time, and the CPU that this thread used
    whole_ns     the same from the interface to the end of the graph, for the last brick; None for others
    """

    def __init__(
        self, slow_us: float = 0.0, last: bool = False, now_ns: ClockNs = time.monotonic_ns, thread_s: Clock = time.thread_time
    ) -> None:
        self.slow_us, self.last = slow_us, last
        self._now_ns, self._thread_s = now_ns, thread_s
        self.deadline_ns: int | None = None
        self.whole_ns: int | None = None
        self.packets_in = self.packets_out = self.batches = self.late = self.late_total = 0
        self.cpu_s = self.service_us = self.wait_us = self.latency_us = 0.0
        self._blocked_s = self._stuck = 0.0

    def set_deadlines(self, kind: str, ms: Mapping[str, float]) -> None:
        """Deadlines by kind of brick; the whole path has their sum."""
        self.deadline_ns = round(ms[kind] * 1e6) if kind in ms else None
        self.whole_ns = round(sum(ms.values()) * 1e6) if self.last and ms else None

    def burn(self, rows: int, began: float) -> None:
        """Use the CPU that these rows shall cost; `began` (thread CPU seconds): what was used since then counts."""
        if self.slow_us:
            until = began + self.slow_us * rows / 1e6
            while self._thread_s() < until:
                pass

    def account(self, rows: tuple[int, int], cpu_s: float, ticket: SequenceRange, taken_ns: int) -> int:
        """A batch is done: rows in and out, what it cost, when the brick took it. Returns the time, monotonic nanoseconds."""
        done_ns = self._now_ns()
        rows_in, rows_out = rows
        self.packets_in += rows_in
        self.packets_out += rows_out
        self.batches += 1
        self.cpu_s += cpu_s
        if rows_in:
            share = min(1.0, rows_in / min(self.packets_in, MEMORY))
            self.service_us += (1e6 * cpu_s / rows_in - self.service_us) * share
            since = ticket.since or taken_ns
            self.wait_us += ((taken_ns - since) / 1e3 - self.wait_us) * share
            if self.deadline_ns is not None and done_ns - since > self.deadline_ns:
                self.late += rows_in
            if self.last and ticket.born:
                self._arrived(rows_in, share, done_ns - ticket.born)
        return done_ns

    def _arrived(self, rows: int, share: float, latency_ns: int) -> None:
        self.latency_us += (latency_ns / 1e3 - self.latency_us) * share
        if self.whole_ns is not None and latency_ns > self.whole_ns:
            self.late_total += rows

    # ---- back-pressure ----
    def stuck(self, is_so: bool, now: float) -> None:
        """Whether rows wait for the brick now and have nowhere to go after it; `now` in monotonic seconds."""
        if is_so:
            self._stuck = self._stuck or now
        elif self._stuck:
            self._blocked_s += now - self._stuck
            self._stuck = 0.0

    def blocked_s(self, now: float) -> float:
        """Seconds so far in which it was so."""
        return self._blocked_s + (now - self._stuck if self._stuck else 0.0)

    def report(self) -> dict[str, Any]:
        """Its part of a brick's load report."""
        averages = {"service_us": self.service_us, "wait_us": self.wait_us}
        totals = {"packets_in": self.packets_in, "packets_out": self.packets_out, "batches": self.batches, "cpu_s": self.cpu_s}
        pace = {"late": self.late, "blocked_s": self.blocked_s(self._now_ns() / 1e9)}
        return totals | averages | pace | ({"latency_us": self.latency_us} if self.last else {})

    def counters(self) -> dict[str, int]:
        """`late_total`, of the last brick: rows that took longer than all deadlines together."""
        return {"late_total": self.late_total} if self.last and self.whole_ns is not None else {}
