"""Carries out what the core wants of instances, by asking the agent; and tells the core what the agent says runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ryu.base import app_manager

from lego_sdn.adapters.linux.processes import await_end
from lego_sdn.core.control.events import (
    AgentDown,
    AgentUp,
    Disturbed,
    Drain,
    Drained,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    ProcessDied,
    Running,
    StartInstance,
    StopInstance,
)
from lego_sdn.core.facts.actions import BrickAction
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import LegoError, RpcError
from lego_sdn.core.facts.instance_notes import HostProblem
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.facts.reports import Report
from lego_sdn.core.observe.score_audit import sampled_buckets
from ryu_apps.apps.brick_calls import METHODS, call_of
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.greenthreads import spawn
from ryu_apps.context.liveness import is_gone
from ryu_apps.context.requests import PullLastScores
from ryu_apps.context.shared import Shared

LOG = logging.getLogger("lego.instances")
ASK_S = 1.0  # between two questions to the agent
ANSWER_S = 5.0  # for a process to answer
WARMING_S = 0.1  # while it warms up and nothing runs


def spec(config: Config, instance: int, standby: bool = False) -> dict[str, Any]:
    """What the agent is told to start, as the configuration says."""
    own, capture = config.instance, config.capture
    every = instance == REFERENCE or standby  # it gets every packet: it holds and uses what all the others do together
    holders = config.scaling.max_instances if every else 1
    return {
        "instance": instance,
        "nf": config.nf,
        "layout": config.layout,
        "model": config.model,
        "cpu_quota": None if every else own.cpu_quota,
        "placement": "chained" if standby else own.placement,
        "stamps": capture.stamps,
        "buckets": config.buckets,
        "batch": own.batch,
        "limits": {"streams": own.streams * holders},
        "capture": {"blocks": capture.blocks, "block_bytes": capture.block_bytes, "timeout_ms": capture.timeout_ms},
        "threshold": math.inf if instance == REFERENCE else own.threshold,  # the twin raises no alerts
        "slow_us": dict(own.slow_us),
        "exact": config.exact,
        "granularity": config.granularity,
        "sampled": list(sampled_buckets(config.audit.share, config.buckets)),
        "scores": None,
        "failover": bool(config.standby) and instance != REFERENCE,
        "standby": standby,
    }


def running(one: Mapping[str, Any]) -> Running:
    """An instance that the agent tells of, for the core."""
    return Running(one["instance"], one["ofport"], Arrangement.of(one), bool(one.get("spec", {}).get("standby")))


def _warms_up(hello: Mapping[str, Any]) -> bool:
    """Whether the agent has nothing to tell yet: nothing runs, and no instance could be started."""
    return not (hello["warm"] or hello["error"] or hello["instances"])


class Instances(app_manager.RyuApp):
    """Every call to the agent has a greenthread and a connection of its own, so that nothing waits for a slow start."""

    _CONTEXTS = {"lego": Shared}  # noqa: RUF012 (Ryu's declaration)

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego
        self.busy = 0  # starts and stops under way: until they end, what the agent lists is no statement
        self.generation = 0  # of starts and stops
        self.known: frozenset[Running] | None = None  # as the core was last told; None: it must be told
        self.failed: dict[int, str] = {}
        self.problems: set[str] = set()
        self.deaths: dict[int, int] | None = None  # of replicas, by instance, as the agent last told
        self.link_downs: dict[int, int] | None = None  # times that a link was off, by instance, as the agent last told
        self.heard: tuple[float, ...] = ()  # when the last two answers came; the older one was there before what the latest tells
        for action, work in ((StartInstance, self._start), (StopInstance, self._stop), *((one, self._regrow) for one in METHODS)):
            lego.performers[action] = self._counted(work)
        lego.performers[Drain] = lambda action: spawn(self._drain, action)

    def start(self) -> None:
        super().start()
        spawn(self._ask_again_and_again)

    # ---- what runs ----
    def _ask_again_and_again(self) -> None:
        while True:
            generation = self.generation
            self.shared.wake_agent.clear()
            if self.shared.agent_to_be_told:
                self.shared.agent_to_be_told, self.known = False, None
            try:
                hello = self.shared.host.hello()
            except RpcError as error:
                self._silent(str(error))
            else:
                self._take_in(hello, generation)
            warming = self.shared.observed.agent is not None and _warms_up(self.shared.observed.agent)
            self.shared.wake_agent.wait(WARMING_S if warming else ASK_S)

    def _silent(self, reason: str) -> None:
        seen = self.shared.observed
        if seen.agent is not None:
            self.shared.put(AgentDown(reason))
        seen.agent, seen.agent_error, self.known = None, reason, None

    def _take_in(self, hello: dict[str, Any], generation: int) -> None:
        seen = self.shared.observed
        seen.agent = hello
        self._tell_problems(hello.get("problems", []))
        if self.busy or generation != self.generation or _warms_up(hello):
            return
        instances = hello["instances"]
        there = self._watch_processes(instances)
        for key in set(seen.processes) - there:
            del seen.processes[key]
        self._tell_failures(instances)
        self._tell_deaths(instances)
        self._tell_links(instances)
        self.heard = (*self.heard, self.shared.clock())[-2:]
        told = frozenset(map(running, instances))
        if told != self.known:
            self.known = told
            up = AgentUp(tuple(running(one) for one in instances if one["state"] == "running"), hello["cores"], hello.get("memory_bytes"))
            self.shared.put(up, still=lambda: self._still(generation))

    def _tell_problems(self, problems: list[str]) -> None:
        """Of the host, each when it comes and when it goes."""
        now = {str(problem) for problem in problems}
        for problem in sorted(now - self.problems):
            self.shared.note(HostProblem(problem))
        for problem in sorted(self.problems - now):
            self.shared.note(HostProblem(problem, over=True))
        self.problems = now

    def _still(self, generation: int) -> bool:
        """Whether the core may still believe it: it has asked for no start or stop since. If not, it is told again later."""
        if self.busy or generation != self.generation:
            self.known = None
            return False
        return True

    def _tell_failures(self, instances: Iterable[Mapping[str, Any]]) -> None:
        failed = {one["instance"]: str(one["error"] or "it failed") for one in instances if one["state"] == "failed"}
        for instance, error in failed.items():
            if self.failed.get(instance) != error:
                self.shared.put(InstanceFailed(instance, error))
        self.failed = failed

    def _tell_deaths(self, instances: Iterable[Mapping[str, Any]]) -> None:
        """Of replicas that had streams: the instance goes on without these. Packets that others lost are in a counter of load reports."""
        deaths = {one["instance"]: len(one.get("streams_lost") or ()) for one in instances}
        for one in instances:
            if self.deaths is not None and deaths[one["instance"]] > self.deaths.get(one["instance"], 0):
                text = f"a replica of instance {one['instance']} died with its streams: {one['streams_lost'][-1]}"
                self.shared.put(Disturbed("replica-died", text, self._good(), one["instance"]))
        self.deaths = deaths

    def _tell_links(self, instances: Iterable[Mapping[str, Any]]) -> None:
        """Of links that were switched off: the switch does not tell of one that was on again soon."""
        downs = {one["instance"]: one.get("link_downs", 0) for one in instances}
        for instance, times in downs.items():
            if self.link_downs is not None and times > self.link_downs.get(instance, 0):
                self.shared.put(Disturbed("link-down", f"instance {instance}: its link was switched off", self._good(), instance))
        self.link_downs = downs

    def _good(self) -> float | None:
        """A moment before the agent's last answer but one was made: it told of no loss."""
        return self.heard[0] if self.heard else None

    def _watch_processes(self, instances: Iterable[Mapping[str, Any]]) -> set[tuple[int, str]]:
        """The monitor pulls from these processes from now on, kept in the agent's order, that of the packets' way; their keys."""
        processes = self.shared.observed.processes
        keys = set()
        for one in instances:
            for told in one["processes"]:
                key = one["instance"], told["process"]
                keys.add(key)
                known = processes.pop(key, None)
                processes[key] = known if known and known.pid == told["pid"] else self._observed(key, told)
                processes[key].bricks = tuple(told["bricks"])
        return keys

    def _observed(self, key: tuple[int, str], told: Mapping[str, Any]) -> ObservedProcess:
        process = ObservedProcess(*key, told["socket"], told["pid"])
        if self.shared.config.standby:
            spawn(self._await_end, process)
        return process

    def _await_end(self, process: ObservedProcess) -> None:
        """The kernel tells at once that a process has ended; the agent, which is busy at times, would take longer."""
        await_end(process.pid)
        if self.shared.observed.processes.get((process.instance, process.process)) is process:
            self.shared.put(ProcessDied(process.instance, process.process))
            self.shared.wake_agent.set()

    # ---- what is asked ----
    def _counted(self, work):
        def perform(action) -> None:
            self.busy += 1
            self.generation += 1
            spawn(finish, action)

        def finish(action) -> None:
            try:
                work(action)
            finally:
                self.busy -= 1
                self.generation += 1
                self.shared.wake_agent.set()

        return perform

    def _start(self, action: StartInstance) -> None:
        try:
            one = self.shared.host.start_instance(spec(self.shared.config, action.instance, action.standby))
        except RpcError as error:
            self.shared.put(InstanceFailed(action.instance, str(error)))
            return
        self._watch_processes([one])
        self._knows_of(one["instance"], running(one))
        self.shared.put(InstanceStarted(one["instance"], one["ofport"], Arrangement.of(one)))

    def _stop(self, action: StopInstance) -> None:
        self.shared.ask(PullLastScores(action.instance))
        try:
            told = self.shared.host.stop_instance(action.instance, action.drain_ms, action.silent)
        except RpcError as error:
            self.shared.put(InstanceFailed(action.instance, str(error)))
            return
        for report in told["reports"]:
            self.shared.observed.alerts.finish(report)
        self.shared.observed.finished.extend(told["reports"])
        self._knows_of(action.instance, None)
        self.shared.put(InstanceStopped(action.instance))

    def _regrow(self, action: BrickAction) -> None:
        """A change within an instance; processes that are gone with it are not watched any more."""
        try:
            one = self.shared.host.regrow(*call_of(action))
        except RpcError as error:
            self.shared.put(RegrowFailed(action.instance, str(error), action))
            return
        there, processes = self._watch_processes([one]), self.shared.observed.processes
        for key in [key for key in processes if key[0] == action.instance and key not in there]:
            del processes[key]
        if "report" in one:
            self.shared.observed.alerts.finish(one["report"])
            self.shared.observed.finished.append(one["report"])
        for words in one.get("undone", ()):
            self.shared.note(Notice("unfinished", f"{action}: packets go the new way, but {words}", instance=action.instance))
        self._knows_of(action.instance, running(one))
        self.shared.put(Regrown(action.instance, Arrangement.of(one), action, one.get("brick")))

    def _knows_of(self, instance: int, one: Running | None) -> None:
        """The core is told of this by an event of its own: only other differences make it worth telling everything."""
        if self.known is not None:
            others = {other for other in self.known if other.instance != instance}
            self.known = frozenset(others | ({one} if one is not None else set()))

    def _drain(self, action: Drain) -> None:
        """One process after the other, as packets go through them."""
        clean = True
        chain = [process for (instance, _), process in self.shared.observed.processes.items() if instance == action.instance]
        for process in chain:
            try:
                with self.shared.connect(process.socket, ANSWER_S) as brick:
                    report = Report.parse(brick.call("drain", action.deadline_ms, timeout=action.deadline_ms / 1000 + 2.0))
                clean = clean and not report.queued
            except LegoError as error:
                if not is_gone(process, self.shared.host):  # else it was a replica, and drained when it was merged
                    LOG.warning("process %s was not drained: %s", process.process, error)
                    clean = False
        self.shared.put(Drained(action.instance, clean))
