"""The agent: the root-owning process of a host. It makes namespaces, ports and brick processes, and removes exactly what it made."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux import machine
from lego_sdn.adapters.linux.busy import BusyMark
from lego_sdn.adapters.linux.cgroups import Cgroups
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.adapters.rpc.wire import FOREIGN_LIMIT
from lego_sdn.agent import recovery
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.instance import Instance
from lego_sdn.agent.launcher import Launcher
from lego_sdn.agent.options import AgentOptions, make_run_dir, require_model, require_root, require_scores_below
from lego_sdn.agent.processes import AgentContext
from lego_sdn.agent.record import save_record
from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.agent.watched_bridge import WatchedBridge
from lego_sdn.core.facts.config import INSTANCES_MOST
from lego_sdn.core.facts.errors import HostError, RpcError
from lego_sdn.core.facts.messages import AGENT
from lego_sdn.core.facts.standby import scored_file

LOG = logging.getLogger(__name__)
JOURNAL = "agent.journal"
CALLS = (
    "hello",
    "start_instance",
    "stop_instance",
    "start_replica",
    "stop_replica",
    "separate",
    "chain",
    "take_out",
    "set_quota",
    "set_deadlines",
    "flush_cache",
)
LONGEST_S = 240.0  # of a call: starting, growing or shrinking an instance wait for its processes
LOOK_S = 0.25  # between two looks at whether every brick process lives
TAGS_S = 5.0  # between two looks at a setting of Open vSwitch


class Agent:
    """A context manager: inside it the bridge is there, the warm process starts up, and `serve` answers; after it nothing is left,
    unless an error ended it.

    Instances that run since an agent that was killed go on, under its mark (`lego_sdn.agent.recovery`).
    """

    def __init__(self, options: AgentOptions) -> None:
        self.options, self.run = options, secrets.token_hex(4)
        self.instances: dict[int, Instance] = {}
        self.ending = False
        self.trouble: str | None = None  # with the journal, as last logged
        self._tags: str | None = None  # what is wrong with Open vSwitch's limit on tags
        self._tags_due = 0.0
        self._busy = BusyMark.inherited()
        self._keeps = False  # what runs is left to the agent after this one
        self._to_preload = options.model
        self._rest = contextlib.ExitStack()

    def __enter__(self) -> Agent:
        options = self.options
        require_root()
        make_run_dir(options.run_dir, options.owner)
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(Journal(options.run_dir / JOURNAL))
            found = recovery.look_for(journal, options.bridge.name)
            for thing in recovery.clear_rest(journal, found):
                LOG.warning("removed what an earlier agent left: %s %s", thing.kind, thing.name)
            self.run = found.run or self.run
            self.belongings = OwnedResources(journal, self.run)
            self.belongings.things = list(found.things)
            self.host = self._host(journal)
            with self._busy.lasting(LONGEST_S):
                self._take_over(found)
            self._keeps = bool(self.instances)  # until it is up: a start that fails takes nothing down
            stack.callback(self._leave)
            self.server = stack.enter_context(self._serve())
            self._start_warm()
            self._ensure_bridge()
            self._rest, self._keeps = stack.pop_all(), False
        LOG.info("agent of run %s is ready on %s, bridge %s", self.run, options.address, options.bridge.name)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """An error that nobody foresaw is like a kill: what runs goes on, and the agent after this one takes it over."""
        self._keeps = kind is not None and issubclass(kind, Exception)
        self._rest.close()

    def _leave(self) -> None:
        if self._keeps:
            self.host.launcher.stop()
        else:
            self._remove_all()

    def serve(self) -> None:
        """Answer calls and watch the brick processes until `ending`."""
        while not self.ending:
            self.server.serve_once(LOOK_S)
            with self._busy.lasting(LONGEST_S):
                self._look()
                self._keep_journal()
                self._preload()

    # ---- what it answers ----
    def hello(self) -> dict[str, Any]:
        """Who this is, and everything that runs. `warm`: an instance would start at once; `error`: why none would start at all.

        `problems`: what is wrong with this host, a sentence each.
        """
        bridge = self.options.bridge.name
        return {
            "host": socket.gethostname(),
            "cores": machine.cores(),
            **machine.memory(),
            "run": self.run,
            "pid": os.getpid(),
            "bridge": bridge,
            "dpid": self.dpid,
            "datapath": self.datapath,
            "warm": self._to_preload is None and self.host.launcher.is_ready(),
            "error": self.host.launcher.problem(),
            "problems": [problem for problem in (self.trouble, *self._switch_problems()) if problem],
            "instances": self.list_instances(),
        }

    def _switch_problems(self) -> tuple[str | None, ...]:
        """What is wrong with Open vSwitch. Its setting is looked at every few seconds, since that starts a process."""
        ovs, now = self.host.ovs, time.monotonic()
        halted = ovs.problem() or ovs.silence()
        if halted is None and now >= self._tags_due:
            self._tags_due = now + TAGS_S
            with contextlib.suppress(HostError):
                self._tags = ovs.tag_problem()
        return halted, self._tags

    def start_instance(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Start an instance; one that runs already with the same spec is shown as it is."""
        wanted = InstanceSpec.parse(spec)
        require_model(wanted.model, self.options)
        require_scores_below(wanted.scores, self.options)
        there = self.instances.get(wanted.instance)
        if there is not None:
            if there.spec == wanted and not there.error:
                return there.as_dict()
            raise HostError(f"instance {wanted.instance} exists already ({there.error or 'with another spec'}); stop it first")
        if len(self.instances) >= INSTANCES_MOST + 2:  # and the auditor's, and the standby
            raise HostError(f"{len(self.instances)} instances run here, and no more can: stop one first")
        instance = Instance(self.host, wanted, self.options.load(wanted.nf).graph)
        if wanted.failover:
            self._forget_scored(wanted.instance)
        instance.start()
        self.instances[wanted.instance] = instance
        self._write_down(instance)
        return instance.as_dict()

    def _forget_scored(self, n: int) -> None:
        """What an instance says of how far it has scored outlives it, for whoever takes over, until another one has its number."""
        name = scored_file(str(self.options.run_dir), n)
        Path(name).unlink(missing_ok=True)
        if not any((thing.kind, thing.name) == ("file", name) for thing in self.belongings.things):
            self.belongings.note("file", name)

    def stop_instance(self, n: int, drain_ms: int = 0, silent: Sequence[str] = ()) -> dict[str, Any]:
        """Stop an instance; its final load reports. None if it is not there: whoever wants it gone has what they want.

        silent  its processes of which it is known that they do not answer: they are killed, and nobody waits for them
        """
        if n not in self.instances:
            return {"reports": []}
        with self._busy.lasting(LONGEST_S + drain_ms / 1e3):
            reports = self.instances[n].stop(drain_ms, frozenset(silent))
        del self.instances[n]
        return {"reports": reports}

    def list_instances(self) -> list[dict[str, Any]]:
        self._look()
        return [instance.as_dict() for _, instance in sorted(self.instances.items())]

    def start_replica(self, n: int, kind: str, cores: float | None = None) -> dict[str, Any]:
        """One more replica of a kind of brick in a running instance, with `cores` instead of what its processes get."""
        return self._instance(n).start_replica(kind, cores)

    def stop_replica(self, n: int, brick: str) -> dict[str, Any]:
        """Stop one replica; the instance, and the replica's final load `report`."""
        return self._instance(n).stop_replica(brick)

    def separate(self, n: int, kind: str, cores: float | None = None) -> dict[str, Any]:
        """A process of its own for a brick that is chained with others."""
        return self._instance(n).separate(kind, cores)

    def chain(self, n: int, kind: str) -> dict[str, Any]:
        """A separated brick back into the chain."""
        return self._instance(n).chain(kind)

    def take_out(self, n: int, process: str) -> dict[str, Any]:
        """End the process of a replica that does not answer: the others do its work, as if it had died."""
        return self._instance(n).take_out(process)

    def set_quota(self, n: int, cores: float | dict[str, float | None] | None) -> dict[str, Any]:
        """Cores for every process of an instance (None: no limit), or {process: cores}."""
        return self._instance(n).set_quota(cores)

    def set_deadlines(self, n: int, ms: dict[str, float]) -> dict[str, Any]:
        """Milliseconds, {kind of brick: ms}, from a row's arrival before the brick to its result."""
        return self._instance(n).set_deadlines(ms)

    def flush_cache(self) -> float:
        """Wait until the datapath's cached flows follow the rules as they are now; milliseconds."""
        return self.host.ovs.flush_cache()

    def shutdown(self) -> bool:
        """Remove everything the agent made; the agent ends after the answer."""
        self.ending = True
        self._remove_all()
        return True

    # ---- made at the start, gone at the end ----
    def _host(self, journal: Journal) -> AgentContext:
        options = self.options
        ovs = Ovs(self.run)
        ovs.require()
        warm = Launcher(options.run_dir, self.run, options.warm)
        named = {"bridge": options.bridge.name, "prefix": options.prefix, "owner": options.owner, "scores": options.scores}
        cgroups = Cgroups(period_us=1000 * options.period_ms)
        return AgentContext(self.run, options.run_dir, journal=journal, ovs=ovs, cgroups=cgroups, launcher=warm, **named)

    def _serve(self) -> Server:
        options = self.options
        if Path(options.address).parent == options.run_dir:
            self.belongings.note("file", options.address)
        handlers = {"instances": self.list_instances, "shutdown": self.shutdown} | {name: getattr(self, name) for name in CALLS}
        announced = {name: self._announced(work) for name, work in handlers.items()}
        return Server(options.address, announced, owner=options.owner, limit=FOREIGN_LIMIT, takes=AGENT)

    def _announced(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """While it is done nobody else is answered: whoever watches this process is told."""

        @functools.wraps(work)
        def announced(*parameters: Any) -> Any:
            with self._busy.lasting(LONGEST_S):
                return work(*parameters)

        return announced

    def _start_warm(self) -> None:
        """It gets ready while the bridge is made; whatever it forks carries the run's mark and is found by it."""
        self.belongings.note("marked", self.run)
        self.belongings.note("file", str(self.host.launcher.socket))
        process = self.host.launcher.start()
        self.belongings.note("process", str(process.pid), start=process.start)

    def _ensure_bridge(self) -> None:
        bridge, ovs = self.options.bridge, self.host.ovs
        if any(thing.kind in recovery.BRIDGES for thing in self.belongings.things):
            ovs.adjust_bridge(bridge, ovs.dpid(bridge.name))  # taken over: how it was before LEGO is in the journal
        elif ovs.bridge_exists(bridge.name):
            ovs.require_no_flows(bridge.name)
            dpid = ovs.dpid(bridge.name)
            self.belongings.make("bridge-settings", bridge.name, lambda: ovs.adjust_bridge(bridge, dpid), **ovs.settings(bridge.name))
        else:
            self.belongings.make("bridge", bridge.name, lambda: ovs.add_bridge(bridge))
        self.dpid, self.datapath = ovs.dpid(bridge.name), ovs.datapath(bridge.name)
        self.watched = WatchedBridge(ovs, bridge.name)

    def _remove_all(self) -> None:
        """Everything that this agent made goes, even if one thing after the other cannot be removed."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.belongings.remove)
            stack.callback(self.host.launcher.stop)
            for instance in self.instances.values():
                stack.callback(instance.stop, 0)
            self.instances = {}

    def _take_over(self, found: recovery.FoundAgent) -> None:
        """What runs since an earlier agent goes on."""
        for one in found.survivors:
            instance = recovery.take_over(self.host, one, self.options.load(one.spec.nf).graph)
            self.instances[one.spec.instance] = instance
            LOG.warning("took over what an earlier agent started: %r", instance)

    def _preload(self) -> None:
        """Once the warm process is ready, let it read the model; whoever wants an instance hears what is wrong with it then."""
        if self._to_preload and self.host.launcher.is_ready():
            model, self._to_preload = self._to_preload, None
            with contextlib.suppress(RpcError):
                self.host.launcher.preload(model)

    def _instance(self, n: int) -> Instance:
        if n not in self.instances:
            raise HostError(f"there is no instance {n} here; running: {', '.join(map(str, sorted(self.instances))) or 'none'}")
        return self.instances[n]

    def _look(self) -> None:
        for instance in self.instances.values():
            instance.check()
            self._write_down(instance)
        if self.watched.is_another_one():
            self._follow_bridge()

    def _write_down(self, instance: Instance) -> None:
        """How it is made up; where the disk does not take that, the next look tries again."""
        with contextlib.suppress(HostError):
            save_record(instance)

    def _follow_bridge(self) -> None:
        """Somebody removed the bridge, and perhaps made it anew: the ports of all instances are gone with it.

        A bridge that was LEGO's is made again; one that LEGO found there is its owner's to make, and is adjusted then.
        """
        name = self.options.bridge.name
        LOG.error("the bridge %s was removed by somebody: %s", name, "all instances fail" if self.instances else "nothing runs")
        for instance in self.instances.values():
            instance.error = instance.error or f"the bridge {name} was removed, and its port with it"
        mine = [thing for thing in self.belongings.things if thing.kind in recovery.BRIDGES]
        if self.host.ovs.bridge_exists(name) or any(thing.kind == "bridge" for thing in mine):
            self.belongings.forget(mine)
            try:
                self._ensure_bridge()
            except HostError as error:
                LOG.error("the bridge %s cannot be used again: %s", name, error)

    def _keep_journal(self) -> None:
        """A run_dir that was lost is made again; trouble with the journal is logged when it comes and when it goes."""
        try:
            make_run_dir(self.options.run_dir, self.options.owner)
            trouble = self.host.journal.keep()
        except HostError as error:
            trouble = str(error)
        if trouble != self.trouble:
            LOG.warning("%s", f"{trouble}; the agent goes on" if trouble else "the journal is kept again")
        self.trouble = trouble


def run(options: AgentOptions) -> None:
    """Be the agent until SIGTERM, SIGINT, SIGHUP or a call of `shutdown`; then everything it made is removed."""
    require_root()
    agent = Agent(options)

    def end(number: int, _frame: object) -> None:
        LOG.info("%s: ending", signal.Signals(number).name)
        agent.ending = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with agent:
            agent.serve()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
