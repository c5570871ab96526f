"""A whole system in memory, for tests: the real decision core, a host, a switch that interprets rules, a load, and a clock turned by hand.

Nothing sleeps and nothing is random: every answer comes a fixed time after its action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lego_sdn.core.control.events import (
    Action,
    AgentUp,
    Drain,
    Drained,
    Event,
    InstanceFailed,
    InstanceStopped,
    Loads,
    StartInstance,
    Steer,
    Steered,
    StopInstance,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import SystemState, fresh
from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetDeadlines, SetQuota, StartReplica, StopReplica, TakeOut
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.facts.standby import TakenOver
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules, diff
from lego_sdn.simulation.driver import CoreDriver
from lego_sdn.simulation.hosts import SimulatedHost
from lego_sdn.simulation.switch import SimulatedSwitch

DPID = 0x42
TAKES: dict[type[Any], float] = {  # seconds, shorter than on a real host
    StartInstance: 0.3,
    StopInstance: 0.1,
    Drain: 0.2,
    Steer: 0.05,
    StartReplica: 0.1,
    StopReplica: 0.3,
    Separate: 0.2,
    ChainBrick: 0.2,
    SetQuota: 0.01,
    SetDeadlines: 0.01,
    TakeOut: 0.1,
}


class InMemorySystem(CoreDriver):
    """The decision core, a host, a switch and a load. After each step the core's promises are checked: AssertionError if one is broken.

    offered  the traffic in packets/s, by bucket and time
    log      every (time, event, actions) so far
    mute     types of actions that get no answer; steer_errors: so many changes of rules to come will be refused
    """

    def __init__(
        self,
        config: Config,
        offered: Callable[[int, float], float] = lambda bucket, time: 0.0,
        host: SimulatedHost | None = None,
        state: SystemState | None = None,
        now: float = 1000.0,
    ) -> None:
        super().__init__(state or fresh(config), now, TAKES)
        self.config, self.offered, self.host = config, offered, host or SimulatedHost()
        self.switch = SimulatedSwitch()
        self.rules_of: Mapping[int, int] = {}  # bucket -> instance, as the switch has it
        self.log: list[tuple[float, Event, tuple[Action, ...]]] = []
        self.steer_errors = 0
        self.mute: set[type[Any]] = set()
        self.next_round = now + config.scaling.period_s

    # ---- driving it ----
    def saw(self, event: Event, actions: tuple[Action, ...]) -> None:
        self.log.append((self.now, event, actions))
        self.check()

    def up(self) -> InMemorySystem:
        self.happen(SwitchUp(DPID))
        self.happen(AgentUp(self.host.running(), self.host.cores))
        return self

    def run(self, seconds: float) -> InMemorySystem:
        """Let time pass, with a tick and a round of loads every period, and answers when they are due."""
        end = self.now + seconds
        while True:
            due = min(self.next_round, self.next_answer)
            if due > end:
                break
            self._work(due - self.now)
            self.now = due
            answer = next(self.due(due), None)
            if answer is not None:
                self.happen(answer)
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
        self.forget_answers()

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

    def perform(self, action: Action) -> Event | None:
        mute = type(action) in self.mute
        if isinstance(action, StartInstance):
            (self.host.standbys.add if action.standby else self.host.standbys.discard)(action.instance)
            return None if mute else self.host.start(action.instance)
        if isinstance(action, BrickAction):
            return None if mute else self.host.regrow(action)
        if isinstance(action, Note):
            return None
        answer = self._answer(action)
        return None if mute else answer

    def _answer(self, action: StopInstance | Drain | Steer) -> Event:
        if isinstance(action, StopInstance):
            self.host.stop(action.instance)
            return InstanceStopped(action.instance)
        if isinstance(action, Drain):
            assert action.instance not in self.rules_of.values(), "drained while traffic is steered to it"
            return Drained(action.instance)
        return self._steer(action)

    def _steer(self, action: Steer) -> Event:
        if self.steer_errors:
            self.steer_errors -= 1
            return Steered(action.version, "table full")
        options = RuleOptions(self.config.buckets, self.config.exact, self.config.forward.mode, standby=action.standby)
        change = diff(self.switch.rules, compile_rules(action.assignment, action.ports, options))
        self.switch.apply(type(change)(change.add) if action.keep else change)
        if not action.keep:
            self.rules_of = dict(action.assignment)
        return Steered(action.version, standby=action.standby, taken=tuple(map(TakenOver, action.takeovers)))

    def _work(self, seconds: float) -> None:
        for instance in self.host.ports:
            self.host.work(instance, sum(self.offered(b, self.now) for b, owner in self.rules_of.items() if owner == instance), seconds)

    def loads(self) -> Loads:
        there = [instance for instance in self.host.ports if instance in self.rules_of.values() or instance in self.host.standbys]
        buckets = {b: rate for b in range(self.config.buckets) if (rate := self.offered(b, self.now))}
        return Loads(
            tuple(report for instance in there for report in self.host.reports(instance, self.now)),
            buckets,
            free_bytes={} if self.host.free_bytes is None else {LOCAL: self.host.free_bytes},
        )
