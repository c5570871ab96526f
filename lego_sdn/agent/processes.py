"""The brick processes of one instance: started with their specs, put under quotas, called, stopped."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.cgroups import Cgroups, CpuGroup
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.launcher import BrickProcess, Launcher
from lego_sdn.agent.layout import InstanceLayout, Rings
from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.core.facts.arrangement import Placed
from lego_sdn.core.facts.errors import BrickError, HostError, RpcError
from lego_sdn.core.facts.standby import KEPT_ROWS, scored_file

LOG = logging.getLogger(__name__)
INTERFACE = "in0"
STOP_S = 2.0


@dataclass(frozen=True)
class AgentContext:
    """What instances are built with on this host.

    prefix  begins the names of namespaces and ports
    owner   user id that may talk to the sockets besides root
    scores  folder for the scores of instances that are not told another one
    """

    run: str
    run_dir: Path
    bridge: str
    prefix: str
    journal: Journal
    ovs: Ovs
    cgroups: Cgroups
    launcher: Launcher
    owner: int | None = None
    scores: str | None = None


class BrickProcesses:
    """Processes by name ("1-a"). Whatever is made for one is in the instance's belongings, marked `of` that process."""

    def __init__(self, host: AgentContext, spec: InstanceSpec, belongings: OwnedResources) -> None:
        self.host, self.spec, self.belongings = host, spec, belongings
        self.quotas: dict[str, float | None] = {}  # in cores, as the kernel has them; None: no limit
        self.deadlines: dict[str, float] = {}
        self.replicas: dict[str, BrickProcess] = {}
        self.groups: dict[str, CpuGroup] = {}

    def fork(self, name: str, wiring: InstanceLayout) -> BrickProcess:
        """Start one process of the wiring, with its quota; `await_answer` says when it is up.

        What it `makes` is in the journal already.
        """
        self.quotas[name] = wiring.arrangement.quotas[name]
        if self.quotas[name] is not None:
            self._group(name)
        replica = self.host.launcher.fork(self._told(name, wiring))
        self.replicas[name] = replica
        self.belongings.note("process", str(replica.process.pid), of=name, start=replica.process.start)
        return replica

    def makes(self, name: str) -> list[tuple[str, str, dict[str, Any]]]:
        """What a process makes by itself, for `OwnedResources.note_all`. Its log stays, for whoever wants to know."""
        return [("file", self._socket(name), {"of": name})]

    def take_over(self, name: str, process: Process) -> None:
        """A process that an earlier agent started, and that runs."""
        self.replicas[name] = BrickProcess(name, process, self._socket(name), self._log(name))
        for thing in self.belongings.of(name):
            if thing.kind == "cgroup":
                self.groups[name] = self.host.cgroups.group(thing.name)

    def await_answer(self, name: str) -> None:
        """Wait until it answers calls. BrickError, with its last words, if it dies.

        Its quota holds from here on: under a fifth of a core, the start alone would take five times as long.
        """
        replica = self.replicas[name]
        self.host.launcher.launched(replica)
        if name in self.groups:
            self.groups[name].set_quota(self.quotas[name])
        if self.host.owner is not None:
            os.chown(replica.socket, self.host.owner, -1, follow_symlinks=False)

    def call(self, name: str, method: str, *params: Any, timeout: float = 5.0) -> Any:
        """Call a process. BrickError with its last words if it is dead, RpcError if it does not answer or refuses."""
        replica = self.replicas[name]
        try:
            with replica.client(timeout) as client:
                return client.call(method, *params)
        except RpcError:
            if not replica.process.is_alive():
                raise BrickError(self.host.launcher.obituary(replica)) from None
            raise

    def await_empty(self, name: str, brick: str, seconds: float) -> None:
        """Wait until nothing waits before a brick. BrickError if what waits does not get less for `seconds`."""
        least, deadline = math.inf, time.monotonic() + seconds
        while waits := sum(one["queue_in"] for one in self.call(name, "load")["bricks"] if one["id"] == brick):
            if waits < least:
                least, deadline = waits, time.monotonic() + seconds
            if time.monotonic() > deadline:
                raise BrickError(f"instance {self.spec.instance}: {brick} has {waits} rows before it and did none for {seconds:g} s")
            time.sleep(0.005)

    def stop(self, name: str) -> None:
        """Ask a process to stop and wait for it; whoever does not is ended with its belongings."""
        replica = self.replicas.pop(name, None)
        for kept in (self.groups, self.quotas):
            kept.pop(name, None)
        if replica is None or not replica.process.is_alive():  # it was never started, or nobody is there to be asked
            return
        try:
            with replica.client(STOP_S) as client:
                client.call("stop")
            replica.process.wait(time.monotonic() + STOP_S)
        except RpcError as error:
            LOG.debug("instance %d: %s did not take the request to stop: %s", self.spec.instance, name, error)

    def set_quotas(self, wanted: Mapping[str, float | None]) -> None:
        """Give processes these quotas, in cores by name (None: no limit). HostError, with all as before, if this host has none."""
        before = {name: self.quotas[name] for name, cores in wanted.items() if cores != self.quotas[name]}
        try:
            for name in before:
                self._limit(name, wanted[name])
        except HostError:
            for name, cores in before.items():
                with contextlib.suppress(HostError):
                    self._limit(name, cores)
            raise

    def _limit(self, name: str, cores: float | None) -> None:
        if cores is not None or name in self.groups:
            was_free = name not in self.groups
            self._group(name).set_quota(cores)
            if was_free:  # a process that starts with a quota joins its group by itself, before it does anything
                self.groups[name].add(self.replicas[name].process.pid)
        self.quotas[name] = cores

    def set_deadlines(self, ms: Mapping[str, float]) -> None:
        """Tell every process, and those that are still to be started."""
        self.deadlines = dict(ms)
        for name in self.replicas:
            self.call(name, "deadlines", self.deadlines)

    def is_alive(self, name: str) -> bool:
        return name in self.replicas and self.replicas[name].process.is_alive()

    def dead(self) -> list[str]:
        """Names of the processes that died."""
        return [name for name, replica in self.replicas.items() if not replica.process.is_alive()]

    def kill(self, name: str) -> None:
        """Kill a process that does not answer, if there is one of that name."""
        if name in self.replicas:
            self.replicas[name].process.send(signal.SIGKILL)

    def end(self, name: str) -> None:
        """Kill a process. BrickError if it does not go."""
        process = self.replicas[name].process
        process.send(signal.SIGKILL)
        if not process.wait(time.monotonic() + STOP_S):
            raise BrickError(f"brick process {name} does not end, though it was killed")

    def last_words(self, name: str) -> str:
        """One sentence on a process that died."""
        return self.host.launcher.obituary(self.replicas[name])

    def shares(self, wiring: InstanceLayout, node: str | None = None) -> dict[str, dict[str, str | None]]:
        """The keyed bricks (of a node), as the process at the interface is told of them: the ring to each, and where it answers."""
        keyed = wiring.keyed if node is None else wiring.of_kind(node)
        sockets = {brick: self._socket(wiring.process_of(brick)) for brick in keyed}
        return {brick: {"ring": wiring.ring_between(wiring.source, brick), "socket": sockets[brick]} for brick in keyed}

    def _socket(self, name: str) -> str:
        return str(self.host.run_dir / f"i{name}.sock")

    def as_dict(self, placed: Placed) -> dict[str, Any]:
        """A process as docs/reference/contract.md shows it."""
        name, replica = placed.process, self.replicas[placed.process]
        told = {"process": name, "pid": replica.process.pid, "socket": replica.socket, "bricks": list(placed.bricks)}
        return told | {"cpu_quota": self.quotas.get(name, placed.quota), "cpu_given": placed.given}

    def _group(self, process: str) -> CpuGroup:
        if process not in self.groups:
            name = f"lego-{self.host.run}-{process}"
            self.groups[process] = self.belongings.make("cgroup", name, lambda: self.host.cgroups.create(name), of=process)
        return self.groups[process]

    def _log(self, name: str) -> Path:
        return self.host.run_dir / f"i{name}.log"

    def _told(self, name: str, wiring: InstanceLayout) -> dict[str, Any]:
        """The spec of one process, as docs/reference/contract.md has it."""
        spec, bricks, run_dir = self.spec, wiring.processes[name], self.host.run_dir
        scores = spec.scores or self.host.scores
        first, has_end = wiring.source, wiring.has_end(name)
        shares = self.shares(wiring)
        return {
            "instance": spec.instance,
            "process": name,
            "bricks": list(bricks),
            "nf": spec.nf,
            "layout": spec.layout,
            "model": spec.model,
            "interface": INTERFACE if first in bricks else None,
            "stamps": spec.stamps,
            "switch": True,
            "buckets": spec.buckets,
            "batch": spec.batch,
            "socket": self._socket(name),
            "log": str(self._log(name)),
            "run_dir": str(run_dir),
            "rings_in": _inputs(wiring, bricks),
            "rings_out": {brick: wiring.routes(brick) for brick in bricks if any(ring.source == brick for ring in wiring.rings)},
            "limits": spec.limits,
            "capture": spec.capture,
            "scores": str(Path(scores) / f"{name}.scores") if scores and has_end else None,
            "kept": KEPT_ROWS if spec.standby and first in bricks else 0,
            "scored": scored_file(str(run_dir), spec.instance) if spec.failover and has_end else None,
            "threshold": spec.threshold,
            "slow_us": spec.slow_us,
            "exact": spec.exact,
            "granularity": spec.granularity,
            "replicas": shares if first in bricks and None not in [one["ring"] for one in shares.values()] else {},
            "deadlines": self.deadlines,
            "sampled": spec.sampled if has_end else [],
            "namespace": str(netns.path(f"{self.host.prefix}{spec.instance}")),
            "cgroup": [str(folder) for folder in self.groups[name].directories] if name in self.groups else [],
        }


def _inputs(wiring: InstanceLayout, bricks: tuple[str, ...]) -> Rings | dict[str, Rings]:
    """What the bricks of a process read: of the first brick alone, where that has one edge; else by brick."""
    told = {brick: wiring.inputs(brick) for brick in bricks if any(ring.target == brick for ring in wiring.rings)}
    only = next(iter(told.values()), []) if set(told) <= {bricks[0]} else None
    return only if isinstance(only, list) else told
