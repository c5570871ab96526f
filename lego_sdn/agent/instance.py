"""One running instance: its namespace, port, brick processes and rings; started, grown, shrunk and stopped here."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from typing import Any

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.rpc.calls import Unreachable
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.layout import InstanceLayout, lay_out
from lego_sdn.agent.processes import INTERFACE, AgentContext, BrickProcesses
from lego_sdn.agent.record import save_record
from lego_sdn.agent.spec import InstanceSpec, require_cores, require_deadlines
from lego_sdn.agent.transition import LayoutTransition
from lego_sdn.core.facts.actions import ChainBrick, Separate, SetQuota, StartReplica, StopInstance, StopReplica, TakeOut
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.errors import HostError, LegoError
from lego_sdn.core.facts.graph import Graph

LOG = logging.getLogger(__name__)
ANSWER_S = 2.0  # on top of what a process has to drain in


class Instance:
    """One running graph. Everything it makes is in the journal first; `stop` removes exactly that."""

    def __init__(self, host: AgentContext, spec: InstanceSpec, graph: Graph) -> None:
        spec.require_kinds(graph.order)
        self.host, self.spec = host, spec
        self.name = f"{host.prefix}{spec.instance}"  # of the namespace and of the port
        empty = Arrangement(graph=graph, quota=spec.cpu_quota, placement=spec.placement)
        self.wiring = lay_out(spec.instance, host.run, empty)
        self.belongings = OwnedResources(host.journal, host.run, str(spec.instance))
        self.processes = BrickProcesses(host, spec, self.belongings)
        self.ofport = 0
        self.error: str | None = None
        self.dealt: dict[str, Any] | None = None  # what the latest change of keyed replicas moved
        self.streams_lost: list[str] = []  # last words of those replicas that died with streams
        self.link_downs = 0  # times that somebody switched its link off
        self._downs_before: int | None = None  # of its link when it was started or taken over
        self._last_report: dict[str, Any] | None = None

    def start(self) -> None:
        """Make everything and wait until every process answers. LegoError, with nothing left behind, if something fails."""
        laps = _Laps(f"start of instance {self.spec.instance}")
        if netns.link_exists(self.name):
            raise netns.NameTaken(f"an interface {self.name} exists that this agent did not make: remove it, or set another switch.bridge")
        try:
            self.belongings.make("namespace", self.name, lambda: netns.create(self.name))
            self.belongings.make("veth", self.name, lambda: netns.add_veth(self.name, self.name, INTERFACE, netns.MTU + netns.TAGS))
            laps.note("network")
            own = [thing for name in self.wiring.processes for thing in self.processes.makes(name)]
            self.belongings.note_all([*(("ring", ring.name, {}) for ring in self.wiring.rings), *own])
            for name in self.wiring.processes:
                self.processes.fork(name, self.wiring)
            laps.note("fork")
            self.ofport = self.belongings.make("port", self.name, lambda: self.host.ovs.add_port(self.host.bridge, self.name))
            laps.note("port")
            for name in self.wiring.processes:
                self.processes.await_answer(name)
            self._count_link_downs()
            laps.note("answer")
        except BaseException:
            self.belongings.remove()
            raise
        laps.log()

    def stop(self, drain_ms: int, silent: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """Drain in graph order, all within `drain_ms`, then end everything; returns the final load reports of those who answer.

        silent  processes of which it is known that they do not: they are killed first, so that nobody waits for them
        """
        reports: dict[str, dict[str, Any]] = {}
        silent |= frozenset(name for name, replica in self.processes.replicas.items() if replica.process.is_stopped())
        for name in silent:
            self.processes.kill(name)
        deadline = time.monotonic() + drain_ms / 1e3
        for name in self.wiring.in_draining_order:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                reports[name] = self.processes.call(name, "drain", round(left_s * 1e3), timeout=left_s + ANSWER_S)
            except Unreachable as error:
                LOG.warning("instance %d: no final report of %s: %s", self.spec.instance, name, error)
                self.processes.kill(name)  # it had its time
            except LegoError as error:
                LOG.warning("instance %d: no final report of %s: %s", self.spec.instance, name, error)
        for name in self.wiring.processes:
            self.processes.stop(name)
        self.belongings.remove()
        self.wiring = self.wiring.after(StopInstance(self.spec.instance))
        return list(reports.values())

    def check(self) -> None:
        """Look whether every process lives. A dead replica is taken out, and the others do its work; others make the instance `failed`.

        Where a standby takes over, each does: nothing that was in it is lost then, and no brick goes on without streams.
        """
        if self.error is None:
            dead = self.processes.dead()
            if dead and self.spec.failover:
                self.error = self.processes.last_words(dead[0])
                LOG.error("instance %d failed: %s", self.spec.instance, self.error)
                return
            for name in dead:
                self._bury(name, self.processes.last_words(name))
            self._keep_link_up()

    def _keep_link_up(self) -> None:
        """A link that somebody switched off is switched on again, and counted: of a short time the switch tells nobody."""
        try:
            self._count_link_downs()
            if netns.is_up(self.name):
                return
            LOG.error("instance %d: the link of its port %s was switched off by somebody; it is switched on", self.spec.instance, self.name)
            netns.set_up(self.name)
            with netns.inside(self.name):
                netns.set_up(INTERFACE)
        except HostError as error:
            LOG.error("instance %d: its link is down: %s", self.spec.instance, error)

    def _count_link_downs(self) -> None:
        now = netns.times_down(self.name)
        self._downs_before = now if self._downs_before is None else self._downs_before
        self.link_downs = now - self._downs_before

    def start_replica(self, kind: str, cores: float | None = None) -> dict[str, Any]:
        """One more replica of a kind, in a process of its own."""
        return self._add(StartReplica(self.spec.instance, kind, require_cores(cores)))

    def stop_replica(self, brick: str) -> dict[str, Any]:
        """Take a replica out: it gets nothing more, finishes what it has, and hands its streams over, if it has any."""
        return self._rewire(self.wiring.after(StopReplica(self.spec.instance, brick))) | self._last_words()

    def separate(self, kind: str, cores: float | None = None) -> dict[str, Any]:
        """A process of its own for a chained brick, which takes everything over."""
        return self._add(Separate(self.spec.instance, kind, require_cores(cores)))

    def chain(self, kind: str) -> dict[str, Any]:
        """A separated brick goes back into its chain."""
        before, back = self.wiring.arrangement, self.wiring.after(ChainBrick(self.spec.instance, kind))
        return self._rewire(back) | {"brick": back.arrangement.new_brick(before)} | self._last_words()

    def _last_words(self) -> dict[str, Any]:
        """The report of the process that went, if it gave one."""
        return {} if self._last_report is None else {"report": self._last_report}

    def _add(self, action: StartReplica | Separate) -> dict[str, Any]:
        told = self._rewire(self.wiring.after(action))
        started = self.wiring.arrangement.processes[-1]
        return told | {"brick": started.bricks[0], "process": self.processes.as_dict(started)}

    def _rewire(self, new: InstanceLayout, dead: frozenset[str] = frozenset()) -> dict[str, Any]:
        """To another wiring; what has been made for it keeps its name, also if it cannot be had. `undone`: what failed afterwards."""
        more, fewer = (new, self.wiring) if set(new.processes) - set(self.wiring.processes) else (self.wiring, new)
        save_record(self, more, fewer.counting(new))
        change = LayoutTransition(self.processes, self.wiring, new, dead)
        try:
            change.carry_out()
        except BaseException:
            self.wiring = self.wiring.counting(new)
            raise
        self.wiring = new
        self._last_report = next(iter(change.reports), None)
        self.dealt = change.dealt or self.dealt
        save_record(self)
        return self.as_dict() | {"undone": change.undone}

    def end_change(self, to: InstanceLayout) -> None:
        """Finish a change that a killed agent left half done: roll back what it added, complete what it was removing. Every process is
        sent its complete routes and inputs, so it does not matter how far the change had come."""
        gone = set(self.wiring.processes) - set(to.processes)
        dead = frozenset(name for name in gone if not self.processes.is_alive(name))
        LOG.warning("instance %d: ending what was begun: without %s", self.spec.instance, ", ".join(sorted(gone)))
        try:
            self._rewire(to, dead=dead)
        except LegoError as error:
            self.error = f"a change was begun by an agent that was killed, and could not be ended: {error}"

    def take_out(self, name: str) -> dict[str, Any]:
        """End a process that does not answer, and go on without it. BrickError, with nothing done, if no other one does its work."""
        words = self.wiring.after(TakeOut(self.spec.instance, name)).arrangement.died[-1]
        self.processes.end(name)
        self._bury(name, words)
        return self.as_dict()

    def _bury(self, name: str, words: str) -> None:
        """Go on without a dead process, if it was a replica; what was in it is counted as `lost` where batches are put in order."""
        LOG.error("instance %d: %s", self.spec.instance, words)
        has_streams = not set(self.wiring.keyed).isdisjoint(self.wiring.processes[name])
        try:
            self._rewire(self.wiring.after_death(name, words), dead=frozenset({name}))
        except LegoError as error:
            self.error = words
            LOG.error("instance %d failed: %s", self.spec.instance, error)
        else:
            self.streams_lost += [words] if has_streams else []

    def set_quota(self, cores: float | dict[str, float | None] | None) -> dict[str, Any]:
        """Give each of its processes `cores` (None: no limit), and those that are still to be started; or, by name, some of them theirs.

        BrickError if there is no such process, HostError if this host has no CPU quotas: nothing is changed then.
        """
        each = cores if isinstance(cores, dict) else dict.fromkeys(self.wiring.processes, cores)
        told = tuple((name, require_cores(share)) for name, share in each.items())
        new = self.wiring.after(SetQuota(self.spec.instance, told))
        if not isinstance(cores, dict):
            new = replace(new, arrangement=replace(new.arrangement, quota=cores))
        self.processes.set_quotas(new.arrangement.quotas)
        self.wiring = new
        return self.as_dict()

    def set_deadlines(self, ms: dict[str, float]) -> dict[str, Any]:
        """Milliseconds that each kind of brick has for a row."""
        self.processes.set_deadlines(require_deadlines(ms, self.wiring.graph.order))
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The instance as docs/reference/contract.md shows it."""
        return {
            "instance": self.spec.instance,
            "namespace": self.name,
            "interface": INTERFACE,
            "port": self.name,
            "ofport": self.ofport,
            "state": "failed" if self.error else "running",
            "error": self.error,
            "buried": list(self.wiring.arrangement.died),
            "streams_lost": self.streams_lost,
            "link_downs": self.link_downs,
            "dealt": self.dealt,
            "cpu_quota": self.wiring.arrangement.quota,
            "deadlines": self.processes.deadlines,
            "graph": self.wiring.graph.to_dict(),
            "processes": [self.processes.as_dict(one) for one in self.wiring.placed],
            "spec": asdict(self.spec),
        }

    def __repr__(self) -> str:
        return f"<Instance {self.spec.instance} {'failed' if self.error else 'running'} {list(self.wiring.processes)}>"


class _Laps:
    """Milliseconds of the stages of something, for the debug log."""

    def __init__(self, what: str) -> None:
        self.what, self.began, self.stages = what, time.monotonic(), {}

    def note(self, stage: str) -> None:
        self.stages[stage] = (time.monotonic() - self.began) * 1e3

    def log(self) -> None:
        LOG.debug("%s: %s", self.what, ", ".join(f"{stage} after {ms:.0f} ms" for stage, ms in self.stages.items()))
