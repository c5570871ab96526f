"""One running instance: its namespace, port, brick processes and rings; started, grown, shrunk and stopped here."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from typing import Any

from lego_sdn.adapters import netns
from lego_sdn.brick_processes import INTERFACE, BrickProcesses, Host
from lego_sdn.core.errors import LegoError
from lego_sdn.instance_spec import InstanceSpec
from lego_sdn.leftovers import Belongings
from lego_sdn.wiring import Wiring, kind_of, lay_out

LOG = logging.getLogger(__name__)
REPLICA_DRAIN_S = 2.0


class Instance:
    """One running graph. Everything it makes is in the journal first; `stop` removes exactly that."""

    def __init__(self, host: Host, spec: InstanceSpec, kinds: tuple[str, ...]) -> None:
        self.host, self.spec = host, spec
        self.name = f"{host.prefix}{spec.instance}"  # of the namespace and of the port
        self.wiring = lay_out(spec.instance, host.run, kinds, spec.placement)
        self.belongings = Belongings(host.journal, host.run, str(spec.instance))
        self.processes = BrickProcesses(host, spec, self.belongings)
        self.ofport = 0
        self.error: str | None = None

    def start(self) -> None:
        """Make everything and wait until every process answers. LegoError, with nothing left behind, if something fails."""
        laps = _Laps(f"start of instance {self.spec.instance}")
        if netns.link_exists(self.name):
            raise netns.NameTaken(f"an interface {self.name} exists that this agent did not make: remove it, or set another switch.bridge")
        try:
            self.belongings.make("namespace", self.name, lambda: netns.create(self.name))
            self.belongings.make("veth", self.name, lambda: netns.add_veth(self.name, self.name, INTERFACE))
            laps.note("network")
            self._note_rings(self.wiring)
            for name in self.wiring.processes:
                self.processes.fork(name, self.wiring)
            laps.note("fork")
            self.ofport = self.belongings.make("port", self.name, lambda: self.host.ovs.add_port(self.host.bridge, self.name))
            laps.note("port")
            for name in self.wiring.processes:
                self.processes.await_answer(name)
            laps.note("answer")
        except BaseException:
            self.belongings.remove()
            raise
        laps.log()

    def stop(self, drain_ms: int) -> list[dict[str, Any]]:
        """Drain in graph order, all within `drain_ms`, then end everything; returns the final load reports of living processes."""
        reports = []
        deadline = time.monotonic() + drain_ms / 1e3
        for name in self.wiring.in_graph_order:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                reports.append(self.processes.call(name, "drain", round(left_s * 1e3), timeout=left_s + 2))
            except LegoError as error:
                LOG.warning("instance %d: no final report of %s: %s", self.spec.instance, name, error)
        for name in self.wiring.processes:
            self.processes.stop(name)
        self.belongings.remove()
        return reports

    def check(self) -> None:
        """Look whether every process lives; one that does not makes the instance `failed`, with its last words."""
        if self.error is None:
            self.error = self.processes.first_dead()
            if self.error:
                LOG.error("instance %d failed: %s", self.spec.instance, self.error)

    def start_replica(self, kind: str) -> dict[str, Any]:
        """One more replica of a kind, in a process of its own: downstream listens to it first, upstream sends to it last."""
        laps = _Laps(f"start of a replica of {kind} in instance {self.spec.instance}")
        grown, brick = self.wiring.with_replica(kind)
        name, (before, after) = grown.process_of(brick), grown.neighbours(kind)
        try:
            self._note_rings(grown, of=name)
            self.processes.fork(name, grown)
            laps.note("fork")
            self._tell("inputs", after, grown)
            self.processes.await_answer(name)
            laps.note("answer")
            self._tell("routes", before, grown)
            laps.note("routes")
        except BaseException:
            self._call_off(name, before, after)
            self.wiring = replace(self.wiring, made_processes=grown.made_processes, made_rings=grown.made_rings)  # no name is used twice
            raise
        self.wiring = grown
        laps.log()
        return {"brick": brick, "process": self.processes.as_dict(name, (brick,))}

    def stop_replica(self, brick: str) -> dict[str, Any]:
        """Take a replica out: upstream sends it nothing more, it finishes what it has, downstream takes that; returns its final report."""
        rest = self.wiring.without(brick)
        name, (before, after) = self.wiring.process_of(brick), rest.neighbours(kind_of(brick))
        self._tell("routes", before, rest)
        report = self.processes.call(name, "drain", round(REPLICA_DRAIN_S * 1e3), timeout=REPLICA_DRAIN_S + 2)
        for target in after:
            self.processes.await_empty(rest.process_of(target), target, REPLICA_DRAIN_S)
        self._tell("inputs", after, rest)
        self.processes.stop(name)
        self.belongings.remove(self.belongings.of(name))
        self.wiring = rest
        return report

    def set_quota(self, cores: float | None) -> None:
        """Give each of its processes `cores` (None: no limit)."""
        self.processes.set_quota(cores)

    def as_dict(self) -> dict[str, Any]:
        """The instance as docs/contract.md shows it."""
        return {
            "instance": self.spec.instance,
            "namespace": self.name,
            "interface": INTERFACE,
            "port": self.name,
            "ofport": self.ofport,
            "state": "failed" if self.error else "running",
            "error": self.error,
            "cpu_quota": self.processes.quota,
            "processes": [self.processes.as_dict(name, self.wiring.processes[name]) for name in self.wiring.in_graph_order],
            "spec": asdict(self.spec),
        }

    def __repr__(self) -> str:
        return f"<Instance {self.spec.instance} {'failed' if self.error else 'running'} {list(self.wiring.processes)}>"

    def _tell(self, method: str, bricks: list[str], wiring: Wiring) -> None:
        """Give each brick its part of a wiring: its `routes` or its `inputs`."""
        for brick in bricks:
            rings = wiring.routes(brick) if method == "routes" else wiring.inputs(brick)
            self.processes.call(wiring.process_of(brick), method, {brick: rings})

    def _note_rings(self, wiring: Wiring, **detail: Any) -> None:
        known = {thing.name for thing in self.belongings.things}
        for ring in wiring.rings:
            if ring.name not in known:
                self.belongings.note("ring", ring.name, **detail)

    def _call_off(self, name: str, before: list[str], after: list[str]) -> None:
        """Back to the wiring without the replica that did not start."""
        for method, bricks in (("routes", before), ("inputs", after)):
            for brick in bricks:
                try:
                    self._tell(method, [brick], self.wiring)
                except (LegoError, KeyError) as error:
                    LOG.warning("instance %d: %s keeps its %s: %s", self.spec.instance, brick, method, error)
        if name in self.processes.replicas:
            self.processes.stop(name)
        self.belongings.remove(self.belongings.of(name))


class _Laps:
    """Milliseconds of the stages of something, for the debug log."""

    def __init__(self, what: str) -> None:
        self.what, self.began, self.stages = what, time.monotonic(), {}

    def note(self, stage: str) -> None:
        self.stages[stage] = (time.monotonic() - self.began) * 1e3

    def log(self) -> None:
        LOG.debug("%s: %s", self.what, ", ".join(f"{stage} after {ms:.0f} ms" for stage, ms in self.stages.items()))
