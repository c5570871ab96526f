"""What the small apps of the controller have in common: configuration, store, what was observed, and the way to the decision core.

Ryu makes one `Shared` (a "context" in its words) and hands it to every app.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import resource
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ryu.cfg import CONF
from ryu.lib import hub

from lego_sdn.adapters.files import configfile, costfile
from lego_sdn.adapters.files.kept_store import KeptStore
from lego_sdn.adapters.files.store import Entry, Stored, StoreError
from lego_sdn.adapters.linux.logs import make_printable
from lego_sdn.adapters.linux.peers import Peers
from lego_sdn.adapters.rpc.calls import Client, Connect
from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.adapters.rpc.hosts import AgentHost, Host
from lego_sdn.core.control.events import Action, Command, Event, Steer
from lego_sdn.core.control.state import SystemState, fresh
from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError, LegoError
from lego_sdn.core.facts.instance_notes import ConnectionClosed
from lego_sdn.core.facts.notes import Note, Notice
from lego_sdn.core.nf.split_key import SplitKey
from lego_sdn.core.observe.score_audit import Ledger
from ryu_apps.context.exactness import key_of
from ryu_apps.context.facts import Observed
from ryu_apps.doors import rest_door
from ryu_apps.doors.openflow_door import OpenFlowDoor

LOG = logging.getLogger("lego")
ECHO_S, ECHOES = 5.0, 2  # between two questions whether a switch lives; how many it may leave unanswered
ANSWER_S = 10.0  # for a command's turn to come


class Withdrawn(LegoError):
    """A command whose turn did not come in time, and that is not carried out any more."""


@dataclass(frozen=True)
class Item:
    """Something for the core. `still`: whether it is still true when its turn comes; `answer`: where a command's refusal (or None) goes."""

    event: Event
    still: Callable[[], bool] | None = None
    answer: queue.Queue | None = None


@dataclass
class Shared:
    """Made without arguments by Ryu. A wrong configuration or a port in use ends the process with one sentence and exit code 2."""

    config: Config = field(init=False)
    config_path: str | None = field(init=False)
    key: SplitKey = field(init=False)
    store: KeptStore = field(init=False)
    state: SystemState = field(init=False)
    observed: Observed = field(default_factory=Observed)
    host: Host = field(init=False)
    commanders: Peers = field(init=False)  # whose commands REST takes
    inbox: queue.Queue[Item] = field(default_factory=queue.Queue)
    performers: dict[type[Any], Callable[[Any], Any]] = field(default_factory=dict)  # by type of action or request; each app adds its own
    clock: Clock = time.monotonic
    wall: Clock = time.time  # seconds since 1970, for people
    connect: Connect = Client  # to a brick process
    answer_s: float = ANSWER_S  # that an operator's command may wait
    began: float = field(init=False)
    unkept: bool = False  # decisions are in memory alone, and that was told
    last_failure: str | None = field(default=None, init=False)
    wake_agent: hub.Event = field(default_factory=hub.Event)
    agent_to_be_told: bool = False  # the core wants to hear again what runs
    audit: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.began = self.wall()
        try:
            self.config_path, self.config = read_config()
            self.key = key_of(self.config)
            self.key.require(self.config.scaling.max_instances, "scaling.max_instances")
            self.key.require_joined(self.config.capture.stamps, self.config.audit.share > 0)
            listen_where_told(self.config)
            self.host = AgentHost(self.config.agent)
            self._guard_doors()
        except LegoError as error:
            _leave(str(error))
        make_printable()
        logging.getLogger("ryu.lib.hub").setLevel(logging.WARNING)  # it logs every HTTP request
        self.store = self._open_store()
        stored = self.store.load()
        usable = stored is not None and stored.buckets == self.config.buckets
        kept = stored.assignment if stored and usable else None
        known = fresh(self.config, kept, profiled_costs(self.config), self.key.copies)
        self.state = replace(known, whole=self.key.whole, paused=self.store.paused())

    def _guard_doors(self) -> None:
        """Ryu's servers have not started yet: what they accept, and from whom, is decided here."""
        switch = self.config.switch
        self.commanders = Peers("rest", self.config.rest.users)
        OpenFlowDoor(Peers("switch", switch.users, switch.peers), Complaints(self._tell_of_the_door)).install()
        rest_door.install(Complaints(self._tell_of_the_door))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def _tell_of_the_door(self, text: str) -> None:
        self.note(ConnectionClosed(text))

    # ---- to the core ----
    def put(self, event: Event, still: Callable[[], bool] | None = None) -> None:
        """An event for the core, after those that wait already."""
        self.inbox.put(Item(event, still))

    def command(self, command: Command) -> str | None:
        """An operator's command; returns once it is begun (None) or refused (the reason). Withdrawn if neither happens in time."""
        answer: queue.Queue = queue.Queue()
        asked = [command]
        self.inbox.put(Item(command, lambda: bool(asked), answer))
        try:
            return answer.get(timeout=self.answer_s)
        except queue.Empty:
            asked.clear()
            late = f"the controller had no time for it within {self.answer_s:g} s"
            raise Withdrawn(f"{command.name} was asked, and {late}: it is withdrawn, nothing was done") from None

    # ---- from the core ----
    def perform(self, action: Action) -> None:
        """Hand an action to the app that carries it out; that app answers with an event later."""
        self.performers[type(action)](action)

    # ---- between apps ----
    def ask(self, request: Any) -> Any:
        """What the app that performs this type of request (`requests`) answers."""
        return self.performers[type(request)](request)

    def note(self, note: Note) -> None:
        """Keep an event for the log and for `GET events`."""
        LOG.info("%s: %s", note.kind, note)
        if note.kind in ("failed", "started"):
            self.last_failure = note.text if note.kind == "failed" else None
        try:
            self.store.note(Entry(self.wall(), note.kind, note.text, note.instance, note.type, note.fields()))
        except StoreError as error:
            LOG.error("an event is not kept: %s", error)

    def remember(self, steer: Steer) -> None:
        """Keep the assignment that goes into rules, so that a controller that comes after this one goes on with it."""
        if steer.keep:
            return
        try:
            self.store.save(Stored(steer.assignment, steer.version, self.config.buckets))
        except StoreError as error:
            LOG.error("the assignment is not kept: %s", error)

    def remember_pause(self) -> None:
        """Keep whether scaling is paused, for a controller that comes after this one."""
        try:
            self.store.save_paused(self.state.paused)
        except StoreError as error:
            LOG.error("whether scaling is paused is not kept: %s", error)

    def missing(self) -> list[str]:
        """What keeps the system from working, each with what to do."""
        config, seen = self.config, self.observed
        bridge, listen = config.switch.bridge, f"tcp:{CONF.ofp_listen_host}:{CONF.ofp_tcp_listen_port}"
        problems = list(seen.agent.get("problems", ())) if seen.agent is not None else []
        lacks = [
            (self.config_path is None, "no configuration file: defaults are used; give one with --lego-config FILE or LEGO_CONFIG"),
            (self.store.problem is not None, f"decisions are not kept over a restart: {self.store.problem}"),
            (
                not any(known.steered for known in seen.bridges.values()) and not problems,
                f"the bridge {bridge} is not connected: run 'lego up', or 'ovs-vsctl set-controller {bridge} {listen}'",
            ),
            (seen.agent is None, f"no agent answers on {config.agent} ({seen.agent_error}): run 'lego agent' as root"),
            (self.last_failure is not None and not self.state.running, f"no instance runs: {self.last_failure}"),
            (config.model is None, "no model is configured, so no instance is started: set 'model' to a file made by 'lego train'"),
        ]
        steered = [known for known in seen.bridges.values() if known.steered]
        more = [f"the rules are not in force on {known.name}: {known.error}" for known in steered if known.error]
        more += [f"on {known.name}, {known.foreign}" for known in steered if known.foreign]
        more += [f"instance {i} gets no packets: {lacking.text}; it is replaced" for i, lacking in sorted(self.state.lacking.items())]
        return [sentence for lacking, sentence in lacks if lacking] + more + problems

    def _open_store(self) -> KeptStore:
        try:
            return KeptStore(store_path(self.config.run_dir))
        except OSError as error:
            return KeptStore(None, str(error))

    def keep_store(self) -> None:
        """What could not be written is tried again; that decisions are in memory alone is told once, and so is that they are kept again."""
        was = self.unkept
        self.store.keep()
        self.unkept = self.store.problem is not None
        if self.unkept and not was:
            self.note(Notice("store", f"decisions and events are in memory alone, and end with the controller: {self.store.problem}"))
        elif was and not self.unkept:
            self.note(Notice("store", f"decisions and events are kept in {self.store.path} again"))

    def __repr__(self) -> str:
        return f"<Shared {self.config_path or 'defaults'} version={self.state.version} waiting={self.inbox.qsize()}>"


def read_config() -> tuple[str | None, Config]:
    """The file named by --lego-config or LEGO_CONFIG and what it says; (None, defaults) where none is named. ConfigError if it is wrong."""
    path = getattr(CONF, "lego_config", None) or os.environ.get("LEGO_CONFIG") or None
    return (path, configfile.load(path)) if path else (None, Config())


def profiled_costs(config: Config) -> Costs | None:
    """What `lego profile` stored with the model, with what bricks are to burn on top; None, and a warning, if it is of no use."""
    try:
        costs = costfile.read(config.model) if config.model else None
        if costs is not None and (costs.nf, costs.layout) != (config.nf, config.layout):
            raise CostError(f"costs of {config.model} are those of {costs.nf}, {costs.layout}")
        return costs.slowed(config.instance.slow_us) if costs is not None else None
    except CostError as error:
        LOG.warning("costs are learned while it runs: %s", error)
        return None


def store_path(run_dir: str) -> str:
    """Where decisions are kept: in run_dir, or, where that is root's, in the state folder of the user who runs the controller.

    Only root makes run_dir: an agent that comes later would not use another user's. OSError if no folder can be had.
    """
    if os.geteuid() == 0:
        os.makedirs(run_dir, mode=0o700, exist_ok=True)
    if os.access(run_dir, os.W_OK | os.X_OK):
        return os.path.join(run_dir, "controller.db")
    folder = os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "lego")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return os.path.join(folder, f"{os.path.abspath(run_dir).strip('/').replace('/', '-')}.db")


def listen_where_told(config: Config) -> None:
    """Ryu's listeners go where the command line says, else where the configuration says; HostError if somebody is there already."""
    CONF.set_default("ofp_listen_host", config.switch.openflow_host)
    CONF.set_default("ofp_tcp_listen_port", config.switch.openflow_port)
    CONF.set_default("echo_request_interval", ECHO_S)  # so that a switch that hangs is noticed
    CONF.set_default("maximum_unreplied_echo_requests", ECHOES)
    CONF.set_default("wsapi_host", config.rest.host)
    CONF.set_default("wsapi_port", config.rest.port)
    check_free(CONF.ofp_listen_host, CONF.ofp_tcp_listen_port, "OpenFlow", "switch.openflow_port or --ofp-tcp-listen-port")
    check_free(CONF.wsapi_host, CONF.wsapi_port, "REST", "rest.port or --wsapi-port")


def check_free(host: str, port: int, what: str, option: str) -> None:
    """HostError unless this process can listen there. Ryu's servers share ports silently (SO_REUSEPORT), so they would not notice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "another process listens there; stop it, or choose another port" if used else f"{error}; choose another one"
            raise HostError(f"cannot listen on {host}:{port} for {what}: {reason} ({option})") from error


def _leave(sentence: str) -> NoReturn:
    print(f"lego: {sentence}", file=sys.stderr)
    raise SystemExit(2)
