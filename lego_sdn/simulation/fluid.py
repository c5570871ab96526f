"""One running instance as a fluid: rows flow in, and out as fast as the cost model says that its layout can take them.

What it cannot take waits before the brick that decides: in the rings between processes, then in the capture ring, and what that has no room
for is lost. What it says of itself are the load reports of real processes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from functools import cache

from lego_sdn.core.cost.capacity import Layout, ProcessShare, capacity, kind_us
from lego_sdn.core.cost.model import BATCH, Costs
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.graph import BrickId, node_of
from lego_sdn.core.facts.reports import BrickLoad, CaptureLoad, Report, usable

RING_ROWS = 32 * BATCH  # between two processes
CAPTURE_ROWS = 170_000  # the capture ring's 64 MiB, packets of 300 bytes and the kernel's head of each
WAKE_S = 0.002  # a brick that had nothing to do finds what came in that time
BASE_S = 0.003  # of a packet through all bricks where nothing waits


@dataclass
class Totals:
    """Of one brick."""

    rows: float = 0.0
    batches: float = 0.0
    cpu_s: float = 0.0
    blocked_s: float = 0.0


@dataclass
class Fluid:
    """Rows (own ones; shadows are reckoned as a factor) of one instance.

    arrived, left  rows so far; came: when rows so far had come, for the latency of those that leave
    """

    number: int
    arrangement: Arrangement
    costs: Costs
    born: float
    arrived: float = 0.0
    left: float = 0.0
    lost: float = 0.0
    stands_until: float = 0.0
    came: deque[tuple[float, float]] = field(default_factory=deque)
    totals: dict[str, Totals] = field(default_factory=dict)
    process_cpu: dict[str, float] = field(default_factory=dict)
    _known: dict[tuple[Arrangement, float], tuple[float, str]] = field(default_factory=dict)
    _us: dict[tuple[Arrangement, float, float], dict[str, float]] = field(default_factory=dict)

    @property
    def backlog(self) -> float:
        return self.arrived - self.left

    def layout(self) -> Layout:
        return tuple(ProcessShare(tuple(map(node_of, one.bricks)), usable(one.quota)) for one in self.arrangement.processes)

    def limit(self, deliveries: float) -> tuple[float, str]:
        """Packets/s that it can take, and the kind that decides."""
        key = self.arrangement, round(deliveries, 2)
        if key not in self._known:
            found = capacity(self.costs, self.layout(), deliveries=key[1])
            self._known[key] = found.packets, found.slowest
        return self._known[key]

    def pass_time(self, now: float, seconds: float, offered: float, deliveries: float) -> tuple[float, float, float]:
        """`offered` packets/s for some seconds; returns rows that left, rows lost, and the longest latency of those that left (seconds)."""
        most, slowest = self.limit(deliveries)
        self.arrived += offered * seconds
        lost = max(0.0, self.backlog - most * seconds - self._room(slowest))
        self.arrived -= lost
        self.lost += lost
        self.came.append((self.arrived, now))
        out = 0.0 if now < self.stands_until else min(self.backlog, most * seconds)
        self.left += out
        latency = BASE_S
        while self.came and self.came[0][0] <= self.left + 1e-6:
            latency = max(latency, now - self.came.popleft()[1] + BASE_S)
        if self.came and out:
            latency = max(latency, now - self.came[0][1])
        self._work(out, seconds, deliveries, slowest)
        return out, lost, latency

    def _room(self, slowest: str) -> float:
        return CAPTURE_ROWS + RING_ROWS * self._hops(slowest)

    def _hops(self, slowest: str) -> int:
        """Rings on the way to the kind that decides."""
        return _shape(self.arrangement).hops[slowest]

    def _work(self, rows: float, seconds: float, deliveries: float, slowest: str) -> None:
        """CPU and totals of every brick."""
        most = self.costs.batch
        batch = float(most) if self.backlog > most else 2.0 ** round(math.log2(max(1.0, min(most, rows / seconds * WAKE_S))))
        key = self.arrangement, batch, round(deliveries, 2)
        if key not in self._us:
            self._us[key] = kind_us(self.costs, self.layout(), *key[1:])
        us, shape = self._us[key], _shape(self.arrangement)
        held_up = shape.before[slowest] if self.backlog > RING_ROWS * shape.hops[slowest] else frozenset()
        for one in self.arrangement.processes:
            wanted, given = 0.0, usable(one.quota) * seconds
            for brick in one.bricks:
                kind, total = shape.kinds[brick], self.totals.setdefault(brick, Totals())
                part = rows * shape.parts[brick]
                cpu = part * us[kind] / 1e6
                wanted += cpu
                total.rows, total.batches, total.cpu_s = total.rows + part, total.batches + part / batch, total.cpu_s + cpu
                if kind in held_up:
                    total.blocked_s += seconds * max(0.0, 1 - cpu / given)
            self.process_cpu[one.process] = self.process_cpu.get(one.process, 0.0) + min(wanted, given)

    # ---- what it says of itself ----
    def reports(self, now: float, deliveries: float) -> tuple[Report, ...]:
        limit = self.limit(deliveries)
        return tuple(self._report(at, now, limit, deliveries) for at in range(len(self.arrangement.processes)))

    def _report(self, at: int, now: float, limit: tuple[float, str], deliveries: float) -> Report:
        most, slowest = limit
        one, sources = self.arrangement.processes[at], self.arrangement.graph.sources
        waiting = self.backlog if self.backlog > self.costs.batch else 0.0
        in_rings = min(waiting, RING_ROWS * self._hops(slowest))
        bricks = []
        for brick in one.bricks:
            kind, total = node_of(brick), self.totals.get(brick, Totals())
            queue = in_rings * _shape(self.arrangement).parts[brick] if kind == slowest else 0.0
            wait = 1e6 * self.backlog / most if kind == slowest else 0.0
            service = 1e6 * total.cpu_s / total.rows if total.rows else 0.0
            counts = round(total.rows), round(total.rows), round(total.batches)
            serial = BrickId.parse(brick).serial
            load = BrickLoad(brick, kind, serial, *counts, total.cpu_s, service, round(queue), 0, {}, {}, wait, blocked_s=total.blocked_s)
            bricks.append(load)
        capture = None
        if any(node_of(brick) in sources for brick in one.bricks):
            full = min(1.0, (waiting - in_rings) / CAPTURE_ROWS)
            capture = CaptureLoad(round(self.left * deliveries), round(self.lost), full)
        cpu = self.process_cpu.get(one.process, 0.0)
        pid = 1000 * self.number + ord(one.process[-1])
        return Report(self.number, one.process, pid, now, now - self.born, cpu, 1 << 25, capture, tuple(bricks))


@dataclass(frozen=True)
class Shape:
    """What follows from an arrangement: kinds of bricks, and each brick's part of its kind's rows, for replicas share as their processes
    have CPU; by kind, the rings on the way to it, and the kinds in earlier processes."""

    kinds: dict[str, str]
    parts: dict[str, float]
    hops: dict[str, int]
    before: dict[str, frozenset[str]]


@cache
def _shape(arrangement: Arrangement) -> Shape:
    kinds = {brick: node_of(brick) for brick in arrangement.bricks}
    homes = {k: [one for one in arrangement.processes if any(kinds[b] == k for b in one.bricks)] for k in arrangement.graph.order}
    names = {kind: {one.process for one in there} for kind, there in homes.items()}
    weights = {b: usable(one.quota) / len(one.bricks) for one in arrangement.processes for b in one.bricks}
    wholes = {kind: sum(weights[b] for b in arrangement.of_kind(kind)) for kind in arrangement.graph.order}
    before: dict[str, frozenset[str]] = {}
    hops: dict[str, int] = {}
    for kind in arrangement.graph.order:
        earlier = arrangement.graph.before(kind)
        hops[kind] = max((hops[k] + (names[k] != names[kind]) for k in earlier), default=0)
        before[kind] = frozenset(k for k in names if kind in arrangement.graph.beyond(k) and not names[k] & names[kind])
    return Shape(kinds, {b: weights[b] / wholes[kinds[b]] for b in kinds}, hops, before)
