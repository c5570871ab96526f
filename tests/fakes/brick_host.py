"""A host for the world whose instances are pipelines of bricks: what is asked of single bricks is done, and shows in the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lego_sdn.core.control.events import Event, InstanceStarted, Running
from lego_sdn.core.facts.actions import BrickAction, SetDeadlines, StartInstance
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.facts.reports import Report
from tests.fakes.pipeline import GRAPH, Pipeline
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

    def start(self, instance: int) -> Event:
        event = super().start(instance)
        if isinstance(event, InstanceStarted):
            empty = Arrangement(graph=Graph.line(*GRAPH), quota=self.quota, placement=self.placement)
            arrangement = empty.apply(StartInstance(instance))
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
