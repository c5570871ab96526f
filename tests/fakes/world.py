"""A world for the decision core: a clock turned by hand, an agent, a switch that interprets rules, and a simple model of load.

Nothing sleeps and nothing is random: every answer comes a fixed time after its action. After each step the core's promises are checked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lego_sdn.core.control.events import (
    Action,
    AgentUp,
    Drain,
    Drained,
    Event,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    Loads,
    Running,
    StartInstance,
    Steer,
    Steered,
    StopInstance,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import SystemState, fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetDeadlines, SetQuota, StartReplica, StopReplica, TakeOut
from lego_sdn.core.facts.arrangement import RegrowFailed
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.facts.reports import BrickLoad, CaptureLoad, Report
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules, diff
from tests.fakes.switch import FakeSwitch

DPID = 0x42
DELAYS = {
    StartInstance: 0.3,
    StopInstance: 0.1,
    Drain: 0.2,
    Steer: 0.05,
    StartReplica: 0.1,
    StopReplica: 0.3,
    Separate: 0.2,
    ChainBrick: 0.2,
}
DELAYS |= {SetQuota: 0.01, SetDeadlines: 0.01, TakeOut: 0.1}
CAPACITY = 1000.0  # packets/s that an instance scores at its whole quota
QUOTA = 0.2


@dataclass
class Host:
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
        return tuple(Running(i, port) for i, port in sorted(self.ports.items()))

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
class World:
    """`offered(bucket, time)` is the traffic in packets/s; `log` every (time, event, actions)."""

    config: Config
    offered: Callable[[int, float], float] = lambda bucket, time: 0.0
    now: float = 1000.0
    host: Host = field(default_factory=Host)
    switch: FakeSwitch = field(default_factory=FakeSwitch)
    rules_of: Mapping[int, int] = field(default_factory=dict)  # bucket -> instance, as the switch has it
    state: SystemState = None
    queue: list = field(default_factory=list)
    log: list[tuple[float, Event, tuple[Action, ...]]] = field(default_factory=list)
    steer_errors: int = 0
    mute: set[type] = field(default_factory=set)  # actions that get no answer
    next_round: float = 0.0

    def __post_init__(self) -> None:
        self.state = self.state or fresh(self.config)
        self.next_round = self.now + self.config.scaling.period_s

    # ---- driving it ----
    def happen(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = step(self.state, event, self.now)
        self.log.append((self.now, event, actions))
        self.check()
        for action in actions:
            self._carry_out(action)
        return actions

    def up(self) -> World:
        self.happen(SwitchUp(DPID))
        self.happen(AgentUp(self.host.running(), self.host.cores))
        return self

    def run(self, seconds: float) -> World:
        """Let time pass, with a tick and a round of loads every period, and answers when they are due."""
        end = self.now + seconds
        while True:
            due = min(self.next_round, self.queue[0][0] if self.queue else self.next_round)
            if due > end:
                break
            self._work(due - self.now)
            self.now = due
            if self.queue and self.queue[0][0] <= due:
                self.happen(heapq.heappop(self.queue)[2])
            else:
                self.next_round += self.config.scaling.period_s
                self.happen(Tick())
                self.happen(self.loads())
        self._work(end - self.now)
        self.now = end
        return self

    def kill(self, instance: int) -> None:
        """An instance dies; the agent says so."""
        self.host.stop(instance)
        self.happen(InstanceFailed(instance, "process ended by signal 9"))

    def restart_controller(self, stored: Mapping[int, int] | None) -> None:
        self.state = fresh(self.config, stored)
        self.queue.clear()

    # ---- what one reads off ----
    def actions(self, kind: type) -> list:
        return [action for _, _, actions in self.log for action in actions if isinstance(action, kind)]

    def notes(self, kind: str) -> list[Note]:
        return [note for note in self.actions(Note) if note.kind == kind]

    @property
    def owned(self) -> dict[int, int]:
        return self.state.assignment

    # ---- how it works ----
    def check(self) -> None:
        state = self.state
        if state.running:
            assert set(state.owners) <= set(state.running), "every bucket has one owner, and that one runs"
        assert sum(member.phase == "starting" for member in state.members.values()) <= 1
        assert sum(member.phase in ("leaving", "draining") for member in state.members.values()) <= 1

    def _later(self, action: Action, event: Event) -> None:
        if type(action) not in self.mute:
            heapq.heappush(self.queue, (self.now + DELAYS[type(action)], len(self.log) * 100 + len(self.queue), event))

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, StartInstance) and StartInstance not in self.mute:
            self._later(action, self.host.start(action.instance))
        elif isinstance(action, StopInstance):
            self.host.stop(action.instance)
            self._later(action, InstanceStopped(action.instance))
        elif isinstance(action, Drain):
            assert action.instance not in self.rules_of.values(), "drained while traffic is steered to it"
            self._later(action, Drained(action.instance))
        elif isinstance(action, Steer):
            self._later(action, self._steer(action))
        elif isinstance(action, BrickAction) and type(action) not in self.mute:
            self._later(action, self.host.regrow(action))

    def _steer(self, action: Steer) -> Event:
        if self.steer_errors:
            self.steer_errors -= 1
            return Steered(action.version, "table full")
        options = RuleOptions(self.config.buckets, self.config.exact, self.config.forward.mode)
        change = diff(self.switch.rules, compile_rules(action.assignment, action.ports, options))
        self.switch.apply(type(change)(change.add) if action.keep else change)
        if not action.keep:
            self.rules_of = dict(action.assignment)
        return Steered(action.version)

    def _work(self, seconds: float) -> None:
        for instance in self.host.ports:
            self.host.work(instance, sum(self.offered(b, self.now) for b, owner in self.rules_of.items() if owner == instance), seconds)

    def loads(self) -> Loads:
        there = [instance for instance in self.host.ports if instance in self.rules_of.values()]
        buckets = {b: rate for b in range(self.config.buckets) if (rate := self.offered(b, self.now))}
        return Loads(
            tuple(report for instance in there for report in self.host.reports(instance, self.now)),
            buckets,
            free_bytes={} if self.host.free_bytes is None else {LOCAL: self.host.free_bytes},
        )
