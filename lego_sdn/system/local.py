"""The whole system on this host: Open vSwitch, the agent and the controller, started together and always ended together."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bricks.nfs.registry import load
from lego_sdn.adapters.linux.journal import Journal, Thing
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.adapters.rpc import rest_client
from lego_sdn.adapters.rpc.calls import Client, Unreachable
from lego_sdn.adapters.rpc.wire import is_free
from lego_sdn.agent.options import make_run_dir, require_root
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError, RpcError
from lego_sdn.core.nf.split_key import SplitKey, configured_key
from lego_sdn.system.children import Children
from lego_sdn.system.end_signals import EndSignals
from lego_sdn.system.shutdown import AGENT, CONTROLLER, JOURNAL, end_all, process_of
from lego_sdn.system.supervisor import Supervisor

START_S = 600.0  # the first start on a machine compiles every kernel
TELL_S = 10.0
ASK_S = 2.0  # for a part to answer whether it lives
SWITCH = "Open vSwitch"


class System:
    """A context manager: inside it LEGO runs and is ready to start instances; after it nothing of it is left.

    agent   a client of the agent
    url     of the controller's REST interface
    """

    def __init__(self, config: Config, say: Callable[[str], None] = lambda line: None, scores: Path | None = None) -> None:
        self.config, self.say, self.scores = config, say, scores
        self.on_bridge: Callable[[Journal, str], None] = lambda journal, run: None  # adds ports before the controller makes rules
        self.run_dir = Path(config.run_dir)
        self.run = secrets.token_hex(4)
        self.agent = Client(config.agent, timeout=10.0)
        self.url = f"http://{config.rest.host}:{config.rest.port}/lego/v1"
        self._journal: Journal | None = None
        self._children = Children(config, self.run, scores)
        self._signals = EndSignals()
        self._supervisor: Supervisor | None = None
        self._has_switch = False  # it was started here
        self._trouble: str | None = None  # with the folder or the journal, as last told

    def __enter__(self) -> System:
        require_root()
        make_run_dir(self.run_dir)
        self._journal = Journal(self.run_dir / JOURNAL)
        try:
            self._refuse_second(self._journal)
            self._signals.hear()
            self._start(self._journal)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def status(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """The controller's `GET status`. HostError if it does not answer."""
        return self.ask("GET", "status", timeout_s=timeout_s)

    def ask(self, method: str, name: str, body: Any = None, timeout_s: float = rest_client.TIMEOUT_S) -> dict[str, Any]:
        """What the controller answers. HostError if it does not, Refused if it will not."""
        return rest_client.request((self.config.rest.host, self.config.rest.port), method, name, body, timeout_s)

    def log(self, role: str) -> Path:
        """Log file of the agent or the controller."""
        return self._children.log(role)

    def check(self) -> None:
        """HostError, with its last words, if the agent or the controller has ended."""
        self._signals.check()
        words = self._children.ended()
        if words is not None:
            raise HostError(words)

    def keep_up(self) -> None:
        """Start anew what has ended or does not answer: traffic, rules and instances have gone on without it. To be called often."""
        assert self._journal is not None
        self._signals.check()
        if self._supervisor is None:
            self._supervisor = Supervisor(self, self._tell, time.monotonic())
        self._keep_folder(self._journal)
        self._supervisor.look(time.monotonic())

    def revive(self, role: str) -> None:
        """Start the agent or the controller anew after it has ended, and wait until it answers."""
        self.start(role)
        self._await(f"{role} answers", {AGENT: self._agent_answers, CONTROLLER: self._controller_is_ready}[role])

    # ---- for the supervisor ----
    @property
    def parts(self) -> tuple[str, ...]:
        """Open vSwitch first, if it was started here: the others need it."""
        return (*((SWITCH,) if self._has_switch else ()), AGENT, CONTROLLER)

    def ended(self, part: str) -> str | None:
        """One sentence on a part that does not run, or None."""
        if part == SWITCH:
            return Ovs(self.run).problem()
        return self._children.ended(part)

    def start(self, part: str) -> None:
        """Start a part anew after it has ended."""
        assert self._journal is not None
        if part == SWITCH:
            Ovs(self.run).start()
            return
        self._children.end(self._journal, part)
        make_run_dir(self.run_dir)
        self._children.start(self._journal, part, "ab")

    def answers(self, part: str) -> bool:
        """Whether it does, within seconds."""
        return {SWITCH: self._switch_answers, AGENT: self._agent_answers, CONTROLLER: self._controller_answers}[part]()

    def is_busy(self, part: str) -> bool:
        """Whether the agent is at something that takes long; one that is stopped is not."""
        return self._children.is_busy(part)

    def kill(self, part: str) -> None:
        """End it at once."""
        Ovs(self.run).kill() if part == SWITCH else self._children.kill(part)

    def end_controller(self) -> None:
        """End the controller alone: the traffic, the rules and the instances go on without it."""
        assert self._journal is not None
        self._children.end(self._journal, CONTROLLER)

    def stop(self) -> None:
        """End the controller, then the agent, and remove what they left. No further signal that ends processes stops this."""
        if self._journal is None:
            return
        self._signals.ignore()
        try:
            self.agent.close()
            end_all(self._journal)
            self._children.await_all()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Nothing is this process's any more: not the journal, the children, the signals."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._supervisor = None, None
        self._children.let_go()
        self._signals.let_go()

    def _start(self, journal: Journal) -> None:
        require_model(self.config)
        self._require_ports()
        me = Process.of(os.getpid())
        assert me is not None
        journal.made(Thing("holder", str(me.pid), self.run, {"start": me.start}))
        self._start_switch(journal)
        journal.made(Thing("marked", self.run, self.run))
        self._children.start(journal, AGENT)
        self._await("bridge ready", self._agent_answers)
        self.on_bridge(journal, self.run)
        self._children.start(journal, CONTROLLER)  # it starts while the bricks warm up, and asks for no instance before they are
        self._await("agent ready", self._agent_is_ready)
        self._await("controller ready", self._controller_is_ready)

    def _start_switch(self, journal: Journal) -> None:
        """Start Open vSwitch if it does not run; then it ends with this system."""
        ovs = Ovs(self.run)
        if ovs.is_running():
            self.say("Open vSwitch runs")
            return
        journal.made(Thing("switch", "openvswitch", self.run))
        ovs.start()
        self._has_switch = True
        self.say("Open vSwitch started")

    def _require_ports(self) -> None:
        config = self.config
        for what, host, port, key in (
            ("REST", config.rest.host, config.rest.port, "rest.port"),
            ("OpenFlow", config.switch.openflow_host, config.switch.openflow_port, "switch.openflow_port"),
        ):
            if not is_free(host, port):
                raise HostError(f"port {port} of {host} ({what}) is in use by another process: stop it, or set {key} to another port")

    def _await(self, line: str, is_ready: Callable[[], bool]) -> None:
        began, told = time.monotonic(), False
        while not is_ready():
            self.check()
            waited = time.monotonic() - began
            if waited > TELL_S and not told:
                told = True
                kernels = "the first start on a machine compiles the kernels, which takes a minute or two"
                self.say(f"waiting for '{line}': {kernels if line == 'agent ready' else f'the logs are in {self.run_dir}'}")
            if waited > START_S:
                raise HostError(f"'{line}' did not come true within {START_S:g} s; see the logs in {self.run_dir}")
            time.sleep(0.05)
        self.say(line)

    def _keep_folder(self, journal: Journal) -> None:
        """A run_dir that was lost is made again, with what is known; trouble with it is told when it comes and when it goes."""
        try:
            make_run_dir(self.run_dir)
            trouble = journal.keep()
        except HostError as error:
            trouble = str(error)
        if trouble != self._trouble:
            self._tell(f"{trouble}; LEGO goes on" if trouble else f"the journal in {self.run_dir} is kept again")
        self._trouble = trouble

    def _tell(self, line: str) -> None:
        """To where `lego up` writes, as long as that takes it: a full disk, or a terminal that is gone, ends nothing."""
        with contextlib.suppress(OSError):
            self.say(line)

    def _switch_answers(self) -> bool:
        return Ovs(self.run).silence() is None

    def _agent_answers(self) -> bool:
        try:
            self.agent.call("hello", timeout=ASK_S)
        except Unreachable:
            return False
        except RpcError:  # it answered, whatever
            return True
        return True

    def _controller_answers(self) -> bool:
        try:
            self.status(timeout_s=ASK_S)
        except rest_client.RequestRefused:
            return True
        except HostError:
            return False
        return True

    def _agent_is_ready(self) -> bool:
        try:
            hello = self.agent.call("hello")
        except Unreachable:
            return False
        if hello["error"]:
            raise HostError(hello["error"])
        return hello["warm"]

    def _controller_is_ready(self) -> bool:
        try:
            status = self.status(timeout_s=2.0)
        except HostError:
            return False
        return status["bridge"]["connected"] and status["agent"]["answers"]

    def _refuse_second(self, journal: Journal) -> None:
        """HostError if a LEGO that was left running is still there; what remains of a dead one is removed."""
        if any(process_of(thing).is_alive() for thing in journal.things if thing.kind == "process"):
            self._let_go()
            raise HostError(f"LEGO runs already with run_dir {self.run_dir}: 'lego down' ends it")
        end_all(journal)


def require_model(config: Config) -> None:
    """Before anything is made: the NF exists, its model is one, of the layout of the configuration, and its traffic can be split among as
    many instances as there may be. LegoError if not."""
    nf = load(config.nf)
    for read in nf.models.values() if config.model is not None else ():
        read(config.model, config.layout)
    key = key_of(config)
    key.require(config.scaling.max_instances, "scaling.max_instances")
    key.require_joined(config.capture.stamps, config.audit.share > 0)


def key_of(config: Config) -> SplitKey:
    """The split key that is carried out."""
    return configured_key(load(config.nf).extractor(config.layout), config)
