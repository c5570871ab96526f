"""The agent: the root-owning process of a host. It makes namespaces, ports and brick processes, and removes exactly what it made."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lego_sdn import leftovers
from lego_sdn.adapters import launcher
from lego_sdn.adapters.cgroups import Cgroups
from lego_sdn.adapters.journal import Journal
from lego_sdn.adapters.launcher import Launcher
from lego_sdn.adapters.ovs import Bridge, Ovs
from lego_sdn.adapters.rpc import Server
from lego_sdn.brick_processes import Host
from lego_sdn.core.config import Config
from lego_sdn.core.errors import HostError
from lego_sdn.graphs import kinds_of
from lego_sdn.instance import Instance
from lego_sdn.instance_spec import InstanceSpec
from lego_sdn.leftovers import Belongings

LOG = logging.getLogger(__name__)
JOURNAL = "agent.journal"
CALLS = ("hello", "start_instance", "stop_instance", "start_replica", "stop_replica", "set_quota", "flush_cache", "shutdown")
LOOK_S = 0.25  # between two looks at whether every brick process lives


@dataclass(frozen=True)
class Options:
    """How an agent is run.

    address  its socket
    owner    user id that may talk to it besides root
    scores   folder for the scores of instances that are not told another one
    warm     command of the warm process, to which the path of its socket is added
    graph    kinds of the bricks of an NF, by its name
    """

    run_dir: Path
    address: str
    bridge: Bridge
    owner: int | None = None
    scores: str | None = None
    warm: tuple[str, ...] = launcher.COMMAND
    graph: Callable[[str], tuple[str, ...]] = kinds_of

    @classmethod
    def of(cls, config: Config, **more: Any) -> Options:
        switch = config.switch
        controller = f"tcp:{switch.openflow_host}:{switch.openflow_port}"
        return cls(Path(config.run_dir), config.agent, Bridge(switch.bridge, controller, switch.datapath), **more)

    @property
    def prefix(self) -> str:
        """Of namespaces and ports: lego1 with the usual bridge, else br0-1 (of a name's 15 characters, 11 are the bridge's)."""
        return "lego" if self.bridge.name == "lego0" else f"{self.bridge.name[:11]}-"


class Agent:
    """A context manager: inside it the bridge is there, the warm process starts up, and `serve` answers; after it nothing is left."""

    def __init__(self, options: Options) -> None:
        self.options, self.run = options, secrets.token_hex(4)
        self.instances: dict[int, Instance] = {}
        self.ending = False
        self._rest = contextlib.ExitStack()

    def __enter__(self) -> Agent:
        options = self.options
        require_root()
        make_run_dir(options.run_dir, options.owner)
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(Journal(options.run_dir / JOURNAL))
            for thing in leftovers.clear(journal):
                LOG.warning("removed what an earlier agent left: %s %s", thing.kind, thing.name)
            self.belongings = Belongings(journal, self.run)
            self.host = self._host(journal)
            stack.callback(self._remove_all)
            self.server = stack.enter_context(self._serve())
            self._start_warm()
            self._ensure_bridge()
            self._rest = stack.pop_all()
        LOG.info("agent of run %s is ready on %s, bridge %s", self.run, options.address, options.bridge.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    def serve(self) -> None:
        """Answer calls and watch the brick processes until `ending`."""
        while not self.ending:
            self.server.serve_once(LOOK_S)
            self._look()

    # ---- what it answers ----
    def hello(self) -> dict[str, Any]:
        """Who this is, and everything that runs. `warm`: an instance would start at once; `error`: why none would start at all."""
        bridge = self.options.bridge.name
        return {
            "host": socket.gethostname(),
            "cores": os.cpu_count(),
            "run": self.run,
            "pid": os.getpid(),
            "bridge": bridge,
            "dpid": self.dpid,
            "datapath": self.datapath,
            "warm": self.host.launcher.is_ready(),
            "error": self.host.launcher.problem(),
            "instances": self.list_instances(),
        }

    def start_instance(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Start an instance; one that runs already with the same spec is shown as it is."""
        wanted = InstanceSpec.parse(spec)
        there = self.instances.get(wanted.instance)
        if there is not None:
            if there.spec == wanted and not there.error:
                return there.as_dict()
            raise HostError(f"instance {wanted.instance} exists already ({there.error or 'with another spec'}); stop it first")
        instance = Instance(self.host, wanted, self.options.graph(wanted.nf))
        instance.start()
        self.instances[wanted.instance] = instance
        return instance.as_dict()

    def stop_instance(self, n: int, drain_ms: int = 0) -> dict[str, Any]:
        """Stop an instance; its final load reports."""
        instance = self._instance(n)
        reports = instance.stop(drain_ms)
        del self.instances[n]
        return {"reports": reports}

    def list_instances(self) -> list[dict[str, Any]]:
        self._look()
        return [instance.as_dict() for _, instance in sorted(self.instances.items())]

    def start_replica(self, n: int, kind: str) -> dict[str, Any]:
        """One more replica of a kind of brick in a running instance."""
        return self._instance(n).start_replica(kind)

    def stop_replica(self, n: int, brick: str) -> dict[str, Any]:
        """Stop one replica; its final load report."""
        return self._instance(n).stop_replica(brick)

    def set_quota(self, n: int, cores: float | None) -> bool:
        self._instance(n).set_quota(cores)
        return True

    def flush_cache(self) -> float:
        """Wait until the datapath's cached flows follow the rules as they are now; milliseconds."""
        return self.host.ovs.flush_cache()

    def shutdown(self) -> bool:
        """Remove everything the agent made; the agent ends after the answer."""
        self.ending = True
        self._remove_all()
        return True

    # ---- made at the start, gone at the end ----
    def _host(self, journal: Journal) -> Host:
        options = self.options
        ovs = Ovs(self.run)
        ovs.require()
        warm = Launcher(options.run_dir, self.run, options.warm)
        named = {"bridge": options.bridge.name, "prefix": options.prefix, "owner": options.owner, "scores": options.scores}
        return Host(self.run, options.run_dir, journal=journal, ovs=ovs, cgroups=Cgroups(), launcher=warm, **named)

    def _serve(self) -> Server:
        options = self.options
        if Path(options.address).parent == options.run_dir:
            self.belongings.note("file", options.address)
        handlers = {"instances": self.list_instances} | {name: getattr(self, name) for name in CALLS}
        return Server(options.address, handlers, owner=options.owner)

    def _start_warm(self) -> None:
        """It gets ready while the bridge is made; whatever it forks carries the run's mark and is found by it."""
        self.belongings.note("marked", self.run)
        self.belongings.note("file", str(self.host.launcher.socket))
        process = self.host.launcher.start()
        self.belongings.note("process", str(process.pid), start=process.start)

    def _ensure_bridge(self) -> None:
        bridge, ovs = self.options.bridge, self.host.ovs
        if ovs.bridge_exists(bridge.name):
            dpid = ovs.dpid(bridge.name)
            self.belongings.make("bridge-settings", bridge.name, lambda: ovs.adjust_bridge(bridge, dpid), **ovs.settings(bridge.name))
        else:
            self.belongings.make("bridge", bridge.name, lambda: ovs.add_bridge(bridge))
        self.dpid, self.datapath = ovs.dpid(bridge.name), ovs.datapath(bridge.name)

    def _remove_all(self) -> None:
        """Everything that this agent made goes, even if one thing after the other cannot be removed."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.belongings.remove)
            stack.callback(self.host.launcher.stop)
            for instance in self.instances.values():
                stack.callback(instance.stop, 0)
            self.instances = {}

    def _instance(self, n: int) -> Instance:
        if n not in self.instances:
            raise HostError(f"there is no instance {n} here; running: {', '.join(map(str, sorted(self.instances))) or 'none'}")
        return self.instances[n]

    def _look(self) -> None:
        for instance in self.instances.values():
            instance.check()


def require_root() -> None:
    """HostError if this process may not make namespaces."""
    if os.geteuid() != 0:
        raise HostError("the agent makes network namespaces and switch ports and needs root: run it with sudo")


def make_run_dir(run_dir: Path, owner: int | None = None) -> None:
    """The folder of sockets, logs and journals, for nobody else. HostError if others could put things into it."""
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run_dir.stat()
        if found.st_mode & 0o022:
            raise HostError(f"run_dir {run_dir} is writable by others: choose a folder of LEGO's own, or 'chmod go-w {run_dir}'")
        if owner is not None and found.st_uid != owner:
            os.chown(run_dir, owner, -1)
    except OSError as error:
        raise HostError(f"cannot use run_dir {run_dir}: {error.strerror}") from error


def run(options: Options) -> None:
    """Be the agent until SIGTERM, SIGINT or a call of `shutdown`; then everything it made is removed."""
    require_root()
    agent = Agent(options)

    def end(number: int, _frame: object) -> None:
        LOG.info("%s: ending", signal.Signals(number).name)
        agent.ending = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with agent:
            agent.serve()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
