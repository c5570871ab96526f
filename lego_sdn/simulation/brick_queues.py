"""An instance's bricks with a bounded queue before each: what they cost is known, so what holds them up is known too. Full queues push
back, as rings do.

A clock turned by hand in steps of 50 ms; rows are a quantity. `fluid` is coarser and faster: it has one queue. Not modelled: batches,
noise, the CPU that a process uses besides its bricks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lego_sdn.core.facts.actions import StartInstance
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.graph import BrickId, Graph, node_of
from lego_sdn.core.facts.reports import BrickLoad, CaptureLoad, Report, usable

STEP_S = 0.05
RING = 512.0  # rows before a brick in another process
CHAIN = 16.0  # rows between chained bricks: they are passed on at once
CAPTURE = 20_000.0  # packets in the ring of the interface
GRAPH = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
KEYED = "feature-quantization"  # in graphs that do not say which node is keyed


@dataclass
class QueuedBrick:
    queue: float = 0.0
    taken: float = 0.0
    cpu_s: float = 0.0
    blocked_s: float = 0.0


@dataclass
class BrickQueues:
    """`cost_us` of a row by kind; `granted`: share of its quota that a process really gets (a busy host gives less); `memory_of`: bytes
    of a process, by the kinds in it."""

    arrangement: Arrangement
    cost_us: Mapping[str, float]
    instance: int = 1
    memory_of: Callable[[Sequence[str]], float] = lambda kinds: 1 << 20
    granted: Mapping[str, float] = field(default_factory=dict)
    bricks: dict[str, QueuedBrick] = field(default_factory=dict)
    received: float = 0.0
    drops: float = 0.0
    late: float = 0.0
    scored: float = 0.0
    now: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    _next: dict[str, list[tuple[str, ...]]] = field(init=False, repr=False)  # brick -> for each edge, the bricks of which one gets a row
    _limit: dict[tuple[str, str], float] = field(init=False, repr=False)  # (brick, target) -> rows that may wait between them

    def __post_init__(self) -> None:
        self.rearrange(self.arrangement)

    def rearrange(self, arrangement: Arrangement) -> None:
        """Bricks that go leave their rows to the others of their kind."""
        left = {brick: self.bricks.pop(brick) for brick in set(self.bricks) - set(arrangement.bricks)}
        self.arrangement = arrangement
        for brick in arrangement.bricks:
            self.bricks.setdefault(brick, QueuedBrick())
        for brick, gone in left.items():
            self.bricks[arrangement.of_kind(node_of(brick))[0]].queue += gone.queue
        for one in arrangement.processes:
            self.cpu_s.setdefault(one.process, 0.0)
        self._next = {b: [arrangement.of_kind(node) for node in arrangement.graph.after(node_of(b))] for b in arrangement.bricks}
        homes = {brick: one.process for one in arrangement.processes for brick in one.bricks}
        self._limit = {(b, t): CHAIN if homes[b] == homes[t] else RING for b, edges in self._next.items() for edge in edges for t in edge}

    def run(self, offered: float, seconds: float) -> BrickQueues:
        for _ in range(round(seconds / STEP_S)):
            self._arrive(offered * STEP_S)
            for one in reversed(self.arrangement.processes):
                self._work(one)
            self.now += STEP_S
        return self

    def _arrive(self, packets: float) -> None:
        first = self.bricks[self.arrangement.bricks[0]]
        fitting = min(packets, CAPTURE - first.queue)
        first.queue += fitting
        self.received += packets
        self.drops += packets - fitting

    def _work(self, one: Placed) -> None:
        """One step of a process: it takes what waits, the last of its bricks first, until its CPU is used up or nothing can go on."""
        whole = budget = usable(one.quota) * self.granted.get(one.process, 1.0) * STEP_S
        while budget > 1e-12:
            spent = sum(self._do(brick, one, budget / len(one.bricks)) for brick in reversed(one.bricks))
            if spent <= 1e-4 * whole:
                break
            budget -= spent
            self.cpu_s[one.process] += spent
        for brick in one.bricks:  # what is left of the step
            if self.bricks[brick].queue > 1e-9 and self._room(brick, one) <= 1e-9:
                self.bricks[brick].blocked_s += STEP_S * (budget / whole if whole else 1.0)

    def _do(self, brick: str, one: Placed, budget: float) -> float:
        here, cost = self.bricks[brick], self.cost_us[node_of(brick)] / 1e6
        rows = min(here.queue, self._room(brick, one), budget / cost)
        if rows <= 0:
            return 0.0
        here.queue -= rows
        here.taken += rows
        here.cpu_s += rows * cost
        self._give(brick, rows)
        return rows * cost

    def _room(self, brick: str, one: Placed) -> float:
        rooms = (sum(max(0.0, self._limit[brick, t] - self.bricks[t].queue) for t in targets) for targets in self._next[brick])
        return min(rooms, default=float("inf"))

    def _give(self, brick: str, rows: float) -> None:
        edges = self._next[brick]
        if not edges:
            self.scored += rows
        for targets in edges:
            self._share(brick, rows, targets)

    def _share(self, brick: str, rows: float, targets: tuple[str, ...]) -> None:
        while rows > 1e-12:
            target = targets[0] if len(targets) == 1 else min(targets, key=lambda t: self.bricks[t].queue / self._limit[brick, t])
            part = min(rows, max(1e-6, min(rows / len(targets), self._limit[brick, target] - self.bricks[target].queue)))
            self.bricks[target].queue += part
            rows -= part

    # ---- what it says of itself ----
    def reports(self, now: float | None = None) -> dict[str, Report]:
        return {one.process: self._report(one, self.now if now is None else now) for one in self.arrangement.processes}

    def _report(self, one: Placed, now: float) -> Report:
        at_interface = self.arrangement.bricks[0] in one.bricks
        first = self.bricks[self.arrangement.bricks[0]]
        capture = CaptureLoad(round(self.received), round(self.drops), min(1.0, first.queue / CAPTURE)) if at_interface else None
        bricks = tuple(self._load(brick, one) for brick in one.bricks)
        memory = round(self.memory_of([node_of(brick) for brick in one.bricks]))
        return Report(self.instance, one.process, 4000, now, now, self.cpu_s[one.process], memory, capture, bricks)

    def _load(self, brick: str, one: Placed) -> BrickLoad:
        here, kind = self.bricks[brick], node_of(brick)
        taken = round(here.taken)
        chained = one.bricks.index(brick) > 0 and kind not in self.arrangement.graph.sources
        at_interface = kind in self.arrangement.graph.sources
        queue = 0 if chained or at_interface else round(here.queue)
        ahead = sum(round(self.bricks[t].queue) for targets in self._next[brick] for t in targets if self.arrangement.process_of(t) != one)
        counters = {"late_total": round(self.late)} if kind in self.arrangement.graph.ends else {}
        counters |= {"shadows": 0} if kind == KEYED or kind in self.arrangement.graph.keyed else {}
        serial = BrickId.parse(brick).serial
        cost = self.cost_us[kind]
        loads = (taken, taken, taken, here.cpu_s, cost, queue, ahead, {}, counters)
        wait_us = here.queue * cost / usable(one.quota)
        return BrickLoad(brick, kind, serial, *loads, wait_us, blocked_s=here.blocked_s)


def apart(quota: float | None = 0.2, graph: tuple[str, ...] = GRAPH) -> Arrangement:
    """A process for each brick."""
    return Arrangement(graph=Graph.line(*graph), quota=quota, placement="separate").apply(StartInstance(1))


def chained(quota: float | None = 0.2, graph: tuple[str, ...] = GRAPH) -> Arrangement:
    """All in one process."""
    return Arrangement(graph=Graph.line(*graph), quota=quota).apply(StartInstance(1))


def cut(cuts: set[int], quota: float | None = 0.2, graph: tuple[str, ...] = GRAPH) -> Arrangement:
    """A chain that is cut before some of its bricks."""
    edges = [0, *sorted(cuts), len(graph)]
    runs = [graph[a:b] for a, b in itertools.pairwise(edges)]
    return Arrangement(
        tuple(Placed(f"1-{chr(97 + at)}", tuple(f"{kind}-0" for kind in run), quota) for at, run in enumerate(runs)), Graph.line(*graph)
    )
