"""A host and its switch that follow the cost model, under long loads: what `step` asks for is done after the time that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.control.events import (
    Action,
    AgentUp,
    Drain,
    Drained,
    Event,
    InstanceStarted,
    InstanceStopped,
    Loads,
    StartInstance,
    Steer,
    Steered,
    StopInstance,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.state import fresh
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetDeadlines, SetQuota, StartReplica, StopReplica, TakeOut
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.facts.reports import usable
from lego_sdn.simulation.driver import CoreDriver
from lego_sdn.simulation.fluid import Fluid
from lego_sdn.simulation.loads import SimulatedLoad

# Seconds, rounded up from what `lego bench` and the tests see on a small machine.
TAKES: dict[type[Any], float] = {
    StartInstance: 0.5,
    StopInstance: 0.2,
    Drain: 0.3,
    Steer: 0.25,
    StartReplica: 0.2,
    StopReplica: 0.4,
    Separate: 0.3,
    ChainBrick: 0.4,
    SetQuota: 0.01,
    SetDeadlines: 0.01,
    TakeOut: 0.1,
}
HOLD_S = 0.15  # for which instances that hand buckets over stand still
DT = 0.05


@dataclass
class Interval:
    """What became of a second: packets scored, of which late; lost. `bricks`: quotas of a brick that were taken, on average."""

    scored: float = 0.0
    late: float = 0.0
    lost: float = 0.0
    bricks: float = 0.0


class World(CoreDriver):
    """`promise_s`: the latency that is promised. `full`: packets/s of one instance in `layout`, as it is started; loads are multiples."""

    def __init__(self, config: Config, costs: Costs, load: SimulatedLoad, promise_s: float) -> None:
        self.config, self.costs, self.load, self.promise_s = config, costs.configured(config), load, promise_s
        super().__init__(fresh(config, costs=self.costs), 0.0, TAKES)
        self.instances: dict[int, Fluid] = {}
        self.owners: dict[int, int] = {}  # as the switch has it
        self.intervals: list[Interval] = []
        self.actions = 0
        self.notes: list[tuple[float, Note]] = []
        self.quota = usable(self.config.instance.cpu_quota)
        one = Fluid(0, self._started(0), self.costs, 0.0)
        self.full, self.layout = one.limit(1.0)[0], one.layout()
        self._seen: tuple[Any, Any, dict[int, float]] = (None, None, {})
        self._next_round = self.config.scaling.period_s

    def run(self, seconds: float) -> World:
        """From the start, with the first instance there, to the end of so many seconds."""
        self.happen(SwitchUp(1))
        self.happen(AgentUp((), cores=64.0))
        self.actions = 0
        for answer in self.due(float("inf")):  # the first instance is there before the load begins
            self.happen(answer)
        for at in range(round(seconds / DT)):
            self.now = at * DT
            for answer in self.due(self.now):
                self.happen(answer)
            if self.now >= self._next_round:
                self._next_round += self.config.scaling.period_s
                self.happen(Tick())
                self.happen(self._loads())
            self._pass_time(at)
        return self

    # ---- the core's events and actions ----
    def perform(self, action: Action) -> Event | None:
        if isinstance(action, Note):
            self.notes.append((self.now, action))
            return None
        self.actions += not isinstance(action, Steer | Drain | SetDeadlines)
        return self._answer(action)

    def _answer(self, action: Any) -> Event:
        """What will be answered; what takes effect at once does so here, the rest when it is answered."""
        if isinstance(action, StartInstance):
            self.instances[action.instance] = Fluid(action.instance, self._started(action.instance), self.costs, self.now)
            return InstanceStarted(action.instance, 100 + action.instance, self.instances[action.instance].arrangement)
        if isinstance(action, StopInstance):
            self.instances.pop(action.instance, None)
            return InstanceStopped(action.instance)
        if isinstance(action, Drain):
            return Drained(action.instance)
        if isinstance(action, Steer):
            self._steer(action)
            return Steered(action.version)
        return self._regrow(action)

    def _started(self, instance: int) -> Arrangement:
        like = self.config.instance
        empty = Arrangement(graph=self.costs.graph, quota=like.cpu_quota, placement=like.placement)
        return empty.apply(StartInstance(instance))

    def _regrow(self, action: BrickAction) -> Event:
        one = self.instances[action.instance]
        before = one.arrangement
        try:
            one.arrangement = before.apply(action)
        except BrickError as error:
            return RegrowFailed(action.instance, str(error), action)
        return Regrown(action.instance, one.arrangement, action, one.arrangement.new_brick(before))

    def _steer(self, action: Steer) -> None:
        """Buckets go to their owners with what waits of them; whoever gives or takes stands still meanwhile."""
        if action.keep:
            return
        weights = self.load.shares(self.now)
        moved: dict[tuple[int, int], float] = {}
        for bucket, new in action.assignment.items():
            old = self.owners.get(bucket)
            if old is not None and old != new and old in self.instances and new in self.instances:
                moved[old, new] = moved.get((old, new), 0.0) + weights[bucket]
        shares = self._shares()
        for (old, new), weight in moved.items():
            giver, taker = self.instances[old], self.instances[new]
            rows = giver.backlog * min(1.0, weight / shares[old]) if shares.get(old) else 0.0
            if rows > 0:
                since = giver.came[0][1] if giver.came else self.now
                giver.arrived, taker.arrived = giver.arrived - rows, taker.arrived + rows
                giver.came = type(giver.came)((min(rows_so_far, giver.arrived), when) for rows_so_far, when in giver.came)
                taker.came.append((taker.arrived, since))
            giver.stands_until = taker.stands_until = self.now + HOLD_S
        self.owners = dict(action.assignment)

    # ---- time ----
    def _shares(self) -> dict[int, float]:
        """Of the traffic, by owner."""
        shares = self.load.shares(self.now)
        if shares is not self._seen[0] or self.owners is not self._seen[1]:
            found: dict[int, float] = {}
            for bucket, share in enumerate(shares):
                owner = self.owners.get(bucket)
                if owner is not None:
                    found[owner] = found.get(owner, 0.0) + share
            self._seen = (shares, self.owners, found)
        return self._seen[2]

    def _deliveries(self, share: float) -> float:
        """Packets and shadows for each own packet of an instance with this share of the traffic."""
        return self.costs.deliveries_to(share)

    def _pass_time(self, at: int) -> None:
        second = int(self.now)
        while len(self.intervals) <= second:
            self.intervals.append(Interval())
        seen, rate, shares = self.intervals[second], self.full * self.load.level(self.now), self._shares()
        for number, one in self.instances.items():
            share = shares.get(number, 0.0)
            scored, lost, latency = one.pass_time(self.now, DT, rate * share, self._deliveries(share))
            seen.scored += scored
            seen.lost += lost
            seen.late += scored if latency > self.promise_s else 0.0
            seen.bricks += DT * sum(usable(process.quota) for process in one.arrangement.processes) / self.quota

    def _loads(self) -> Loads:
        """What the monitor sees."""
        rate, weights, shares = self.full * self.load.level(self.now), self.load.shares(self.now), self._shares()
        reports = [
            report for number, one in self.instances.items() for report in one.reports(self.now, self._deliveries(shares.get(number, 0.0)))
        ]
        return Loads(tuple(reports), {bucket: rate * share for bucket, share in enumerate(weights)})

    def misses(self, tolerance: float) -> Iterator[bool]:
        """By second: whether packets were lost, or more than this share of them late."""
        return (one.lost > 0 or one.late > tolerance * one.scored for one in self.intervals)
