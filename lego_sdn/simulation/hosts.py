"""Hosts in memory, as the agent shows them: `SimulatedHost`, whose instances have one capacity, and `BrickHost`, whose instances are bricks
with queues: what is asked of single bricks is done, and shows in the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lego_sdn.core.control.events import Event, InstanceFailed, InstanceStarted, Running
from lego_sdn.core.facts.actions import BrickAction, SetDeadlines, StartInstance
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.facts.reports import BrickLoad, CaptureLoad, Report
from lego_sdn.simulation.brick_queues import GRAPH, BrickQueues

CAPACITY = 1000.0  # packets/s that an instance scores at its whole quota
QUOTA = 0.2  # cores of a process


@dataclass
class SimulatedHost:
    """The agent's side: instances with their totals."""

    ports: dict[int, int] = field(default_factory=dict)
    received: dict[int, float] = field(default_factory=dict)
    drops: dict[int, float] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)
    fail_starts: int = 0  # so many starts to come will fail
    streams: dict[int, int] = field(default_factory=dict)  # that an instance holds
    made: int = 0
    cores: float | None = None
    free_bytes: float | None = None
    standbys: set[int] = field(default_factory=set)  # instances that were started as one

    def start(self, instance: int) -> Event:
        if self.fail_starts:
            self.fail_starts -= 1
            return InstanceFailed(instance, "brick feature-quantization-0 ended with code 1")
        self.made += 1
        self.ports[instance] = 100 + self.made
        self.received[instance] = self.drops[instance] = self.cpu_s[instance] = 0.0
        return InstanceStarted(instance, self.ports[instance])

    def stop(self, instance: int) -> None:
        self.ports.pop(instance, None)

    def running(self) -> tuple[Running, ...]:
        return tuple(Running(i, port, standby=i in self.standbys) for i, port in sorted(self.ports.items()))

    def regrow(self, action: BrickAction) -> Event:
        return RegrowFailed(action.instance, "unknown method", action)

    def work(self, instance: int, offered: float, seconds: float) -> None:
        """So many packets/s come to an instance for so long."""
        done = min(offered, CAPACITY)
        self.received[instance] += done * seconds
        self.drops[instance] += (offered - done) * seconds
        self.cpu_s[instance] += QUOTA * done / CAPACITY * seconds

    def reports(self, i: int, now: float) -> tuple[Report, ...]:
        packets, cpu = round(self.received[i]), self.cpu_s[i]
        counters = {"streams_hp": self.streams.get(i, 0)}
        brick = BrickLoad("feature-quantization-0", "feature-quantization", 0, packets, packets, packets, cpu, 5.0, 0, 0, {}, counters)
        capture = CaptureLoad(packets, round(self.drops[i]), 0.0)
        return (Report(i, f"{i}-a", 4000 + self.ports[i], now, now, cpu, 1 << 20, capture, (brick,)),)


@dataclass
class BrickHost(SimulatedHost):
    """`cost_us` by node of `graph`, the same everywhere; `refuse`: so many changes within instances to come will fail.

    memory_of   bytes of a process, by the nodes in it
    late_share  of the rows that are scored, those that took longer than all deadlines together
    """

    cost_us: Mapping[str, float] = field(default_factory=dict)
    memory_of: Callable[[Sequence[str]], float] = lambda kinds: 1 << 20
    graph: Graph = field(default_factory=lambda: Graph.line(*GRAPH))
    placement: str = "separate"
    quota: float = QUOTA
    refuse: int = 0
    pipelines: dict[int, BrickQueues] = field(default_factory=dict)
    deadlines: dict[int, dict[str, float]] = field(default_factory=dict)
    late_share: float = 0.0

    def start(self, instance: int) -> Event:
        event = super().start(instance)
        if isinstance(event, InstanceStarted):
            empty = Arrangement(graph=self.graph, quota=self.quota, placement=self.placement)
            arrangement = empty.apply(StartInstance(instance))
            self.pipelines[instance] = BrickQueues(arrangement, self.cost_us, instance, self.memory_of)
            return replace(event, arrangement=arrangement)
        return event

    def stop(self, instance: int) -> None:
        super().stop(instance)
        self.pipelines.pop(instance, None)

    def running(self) -> tuple[Running, ...]:
        return tuple(replace(one, arrangement=self.pipelines[one.instance].arrangement) for one in super().running())

    def regrow(self, action: BrickAction) -> Event:
        if self.refuse or action.instance not in self.pipelines:
            self.refuse -= 1
            return RegrowFailed(action.instance, "it does not fit", action)
        pipeline = self.pipelines[action.instance]
        before = pipeline.arrangement
        try:
            pipeline.rearrange(before.apply(action))
        except BrickError as error:
            return RegrowFailed(action.instance, str(error), action)
        if isinstance(action, SetDeadlines):
            self.deadlines[action.instance] = dict(action.ms)
        return Regrown(action.instance, pipeline.arrangement, action, pipeline.arrangement.new_brick(before))

    def lose(self, instance: int, process: str, words: str) -> None:
        """The process of a replica is gone; the agent has taken it out."""
        pipeline = self.pipelines[instance]
        now = pipeline.arrangement.without(process)
        pipeline.rearrange(replace(now, died=(*now.died, words)))

    def work(self, instance: int, offered: float, seconds: float) -> None:
        pipeline = self.pipelines[instance]
        before = pipeline.scored
        pipeline.run(offered, seconds)
        pipeline.late += (pipeline.scored - before) * self.late_share

    def reports(self, i: int, now: float) -> tuple[Report, ...]:
        return tuple(self.pipelines[i].reports(now).values())
