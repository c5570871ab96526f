"""A host for the world whose instances are pipelines of bricks: what is asked of single bricks is done, and shows in the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lego_sdn.core.control.events import Event, InstanceStarted, Running
from lego_sdn.core.cost.cpu_quotas import resettled
from lego_sdn.core.facts.arrangement import (
    Arrangement,
    BrickAction,
    ChainBrick,
    Placed,
    RegrowFailed,
    Regrown,
    Separate,
    SetDeadlines,
    SetQuota,
    StartReplica,
    StopReplica,
    TakeOut,
)
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import Report
from tests.fakes.pipeline import Pipeline, apart, chained
from tests.fakes.world import QUOTA, Host


@dataclass
class BrickHost(Host):
    """`cost_us` by kind, the same everywhere; `refuse`: so many changes within instances to come will fail."""

    cost_us: Mapping[str, float] = field(default_factory=dict)
    memory_of: Callable[[Sequence[str]], float] = lambda kinds: 1 << 20
    placement: str = "separate"
    quota: float = QUOTA
    refuse: int = 0
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    deadlines: dict[int, dict[str, float]] = field(default_factory=dict)
    late_share: float = 0.0
    processes_made: int = 0

    def start(self, instance: int) -> Event:
        event = super().start(instance)
        if isinstance(event, InstanceStarted):
            arrangement = (chained if self.placement == "chained" else apart)(self.quota)
            self.pipelines[instance] = Pipeline(arrangement, self.cost_us, instance, self.memory_of)
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
        if isinstance(action, SetDeadlines):
            self.deadlines[action.instance] = dict(action.ms)
            return Regrown(action.instance, pipeline.arrangement, action)
        if isinstance(action, TakeOut):
            self.lose(action.instance, action.process, "it did not answer and was ended")
            return Regrown(action.instance, pipeline.arrangement, action)
        arrangement, brick = self._rearranged(pipeline.arrangement, action)
        pipeline.rearrange(arrangement)
        return Regrown(action.instance, arrangement, action, brick)

    def lose(self, instance: int, process: str, words: str) -> None:
        """The process of a replica is gone; the agent has taken it out."""
        pipeline = self.pipelines[instance]
        now = resettled(pipeline.arrangement, process)
        pipeline.rearrange(replace(now, died=(*now.died, words)))

    def _rearranged(self, now: Arrangement, action: BrickAction) -> tuple[Arrangement, str | None]:
        if isinstance(action, StartReplica):
            serials = [int(brick.rpartition("-")[2]) for brick in now.of_kind(action.kind)]
            brick = f"{action.kind}-{max(serials) + 1}"
            return self._with(now, brick, action.cores), brick
        if isinstance(action, SetQuota):
            given = dict(action.cores)
            return replace(now, processes=tuple(replace(p, quota=given.get(p.process, p.quota)) for p in now.processes)), None
        if isinstance(action, StopReplica):
            return resettled(replace(now, processes=tuple(p for p in now.processes if p.bricks != (action.brick,)))), None
        brick = now.of_kind(action.kind)[0]
        if isinstance(action, Separate):
            rest = tuple(replace(p, bricks=tuple(b for b in p.bricks if b != brick)) for p in now.processes)
            return self._with(replace(now, processes=rest), brick), None
        assert isinstance(action, ChainBrick)
        rest = tuple(p for p in now.processes if p.bricks != (brick,))
        order = sorted((*rest[0].bricks, brick), key=lambda b: now.graph.order.index(node_of(b)))
        return resettled(replace(now, processes=(replace(rest[0], bricks=tuple(order)), *rest[1:]))), None

    def _with(self, now: Arrangement, brick: str, cores: float | None = None) -> Arrangement:
        """With a brick in a process of its own."""
        self.processes_made += 1
        return replace(now, processes=(*now.processes, Placed(f"p{self.processes_made}", (brick,), cores or self.quota)))

    def work(self, instance: int, offered: float, seconds: float) -> None:
        pipeline = self.pipelines[instance]
        before = pipeline.scored
        pipeline.run(offered, seconds)
        pipeline.late += (pipeline.scored - before) * self.late_share

    def reports(self, i: int, now: float) -> tuple[Report, ...]:
        return tuple(self.pipelines[i].reports(now).values())
