"""The configuration: frozen values that check themselves; `Config()` is complete.

A wrong value or an unknown key raises `KeyProblem`, which names the key, what was wanted and what was found. Reading a file is
`lego_sdn.adapters.files.configfile`'s job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.headers import GROUPS
from lego_sdn.core.facts.keys import are_amounts
from lego_sdn.core.facts.section import KeyProblem as KeyProblem
from lego_sdn.core.facts.section import Section, checked, choice, count, flag, maybe, networks, number, seconds, share, text, users, whole

CAPTURE_BYTES_MOST = 1 << 30  # of the capture ring of one instance, which is pinned memory
STREAMS_LEAST, STREAMS_MOST = 1024, 100_000_000
BUCKETS_MOST, BATCH_MOST, INSTANCES_MOST, REPLICAS_MOST = 4096, 65536, 64, 64


@dataclass(frozen=True, slots=True)
class SwitchSettings(Section):
    """The Open vSwitch bridge and where it finds the controller.

    users  who may run a switch on the controller's machine, besides root and the controller's own user
    peers  addresses, or networks, of other machines whose switches may connect
    """

    bridge: str = checked("lego0", "an interface name of at most 15 characters", lambda v: isinstance(v, str) and 0 < len(v) <= 15)
    datapath: str = choice("auto", "auto", "netdev", "system")
    openflow_host: str = text("127.0.0.1", "an address")
    openflow_port: int = count(6653, 1, 65535)
    users: tuple[str | int, ...] = users()
    peers: tuple[str, ...] = networks()


@dataclass(frozen=True, slots=True)
class ForwardSettings(Section):
    """What happens to the traffic itself: `normal` (a learning switch), `drop` (LEGO sits on a mirror port), or wires between ports.

    A wire joins two ports, by name or OpenFlow number, in both directions.
    """

    mode: str = choice("normal", "normal", "drop", "wires")
    wires: tuple[tuple[str | int, str | int], ...] = checked((), "pairs of two different ports, each port once", lambda v: _are_wires(v))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if (self.mode == "wires") != bool(self.wires):
            raise KeyProblem("wires", "pairs of ports where mode is wires, and none otherwise", list(self.wires))


def _are_wires(value: object) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return False
    return not value or _are_ports(tuple(port for pair in value for port in pair))


def _are_ports(value: object) -> bool:
    if not isinstance(value, tuple) or not all((isinstance(p, str) and p) or whole(1, 0xFFFFFEFF)(p) for p in value):
        return False
    return 0 < len(set(value)) == len(value)


@dataclass(frozen=True, slots=True)
class CaptureSettings(Section):
    """How an instance takes packets: stamps by the kernel's clock or from a trailer on the frame; the ring of blocks.

    stamp_ports  the ports, by name or OpenFlow number, whose frames' trailers are believed (null: any port's); frames of others have none.
                 Who can send into a port whose trailers are believed can spoil scores
    A block is handed over when full or after `timeout_ms`, so an instance may stall for blocks * timeout_ms at any rate without a loss.
    """

    stamps: str = choice("kernel", "kernel", "trailer")
    blocks: int = count(2048, 2, 65536)
    block_bytes: int = checked(1 << 15, "a power of two from 4096 to 16777216", lambda v: whole(4096, 1 << 24)(v) and v & (v - 1) == 0)
    timeout_ms: int = count(1, 1, 1000)
    stamp_ports: tuple[str | int, ...] | None = maybe(None, "different ports, one at least", lambda v: _are_ports(v))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.stamp_ports is not None and self.stamps != "trailer":
            raise KeyProblem("stamp_ports", "null, unless stamps is trailer", list(self.stamp_ports))
        if self.blocks * self.block_bytes > CAPTURE_BYTES_MOST:
            wanted = f"at most {CAPTURE_BYTES_MOST // self.block_bytes} blocks of {self.block_bytes} bytes: the kernel keeps them in memory"
            raise KeyProblem("blocks", wanted, self.blocks)


@dataclass(frozen=True, slots=True)
class InstanceSettings(Section):
    """What every instance gets: CPU quota of each of its processes in cores (null: no limit), placement of its bricks, batch limit,
    bound of its state in streams, alert threshold (null: the model's).

    cpu_period_ms  over which the quota is reckoned: a process that has used it up waits for so long at the most; a long one costs less
    memory_mb  a mark for what its processes use together, shared pages counted once: from nine tenths of it on, an event and the
               bottleneck name the process with most; nothing is ended (`streams` is what bounds the state)
    silent_s   a process that lives and does not answer for so long is given up: its work goes to others, or its instance has failed
    slow_us    CPU microseconds that a kind of brick burns for every packet, for experiments with the costs of another implementation
    """

    cpu_quota: float | None = maybe(None, "cores, from 0.01 to 1024", lambda v: number(v) and 0.01 <= v <= 1024)
    cpu_period_ms: int = count(20, 1, 1000)
    placement: str = choice("chained", "chained", "separate")
    batch: int = count(256, 1, BATCH_MOST)
    streams: int = count(200_000, STREAMS_LEAST, STREAMS_MOST)
    threshold: float | None = maybe(None, "a score", number)
    memory_mb: float | None = maybe(None, "megabytes, above 0", lambda v: number(v) and v > 0)
    silent_s: float = seconds(10.0)
    slow_us: Mapping[str, float] = field(
        default_factory=dict, hash=False, metadata={"wanted": "kinds of bricks with microseconds from 0 to 1000000", "check": are_amounts}
    )


@dataclass(frozen=True, slots=True)
class SlaSettings(Section):
    """What is promised end to end: latency from the interface to the score, and loss. Where one is null, nothing is promised.

    latency_ms  is divided among the bricks; `tolerance`: share of the packets that may be later
    loss        share of the packets that may be lost; window_s: over which both are reckoned
    """

    latency_ms: float | None = maybe(None, "milliseconds, above 0", lambda v: number(v) and v > 0)
    loss: float | None = maybe(None, "a share from 0, below 1", lambda v: number(v) and 0 <= v < 1)
    tolerance: float = checked(0.01, "a share from 0 to 1", lambda v: number(v) and 0 <= v <= 1)
    window_s: float = seconds(5.0)


@dataclass(frozen=True, slots=True)
class ScalingSettings(Section):
    """When to replicate and merge. Water marks are shares of the CPU quota; `up_after`, `down_after` count load reports in a row.

    mode          act, or advise: say what would be done, and do nothing but keep min_instances running
    policy        bricks, water-marks, predictive, or a class of your own as package.module:Class (docs/how-to/policies.md)
    policy_folder  where its module may lie besides where Python looks; null: the folder of the configuration file
    max_replicas  of one kind of brick within an instance, whoever asks
    reallocate    CPU quotas may go from bricks with little to do to the bottleneck, before anything is started
    period_s      between load reports
    queue_high    share of a ring that may wait before an instance counts as overloaded
    merge_target  share of the CPU quota, or of what costs say can be taken, that the rest may reach if something goes
    cooldown_s    rest after a change, before the next one; what is known not to suffice does not wait
    horizon_s     how far a predictive policy looks ahead: about the time until a new instance takes packets
    """

    policy: str = text("bricks")
    policy_folder: str | None = maybe(None, "a path", lambda v: isinstance(v, str) and v != "")
    mode: str = choice("act", "act", "advise")
    reallocate: bool = flag(True)
    min_instances: int = count(1, 1, INSTANCES_MOST)
    max_instances: int = count(4, 1, INSTANCES_MOST)
    max_replicas: int = count(16, 1, REPLICAS_MOST)
    high_water: float = share(0.85)
    low_water: float = share(0.3)
    merge_target: float = share(0.65)
    queue_high: float = share(0.5)
    period_s: float = seconds(0.5)
    up_after: int = count(2, 1, 1000)
    down_after: int = count(10, 1, 1000)
    cooldown_s: float = seconds(5.0)
    drain_s: float = seconds(5.0)
    horizon_s: float = seconds(2.0)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.max_instances < self.min_instances:
            raise KeyProblem("max_instances", f"at least min_instances ({self.min_instances})", self.max_instances)
        if not self.low_water < self.high_water:
            raise KeyProblem("low_water", f"less than high_water ({self.high_water})", self.low_water)
        if not self.merge_target < self.high_water:
            raise KeyProblem("merge_target", f"less than high_water ({self.high_water})", self.merge_target)


@dataclass(frozen=True, slots=True)
class AuditSettings(Section):
    """The sampling auditor: `share` of the buckets is scored again, by an unsplit twin that gets every packet (0: there is none)."""

    share: float = checked(0.0, "a share from 0 to 1", lambda v: number(v) and 0 <= v <= 1)


@dataclass(frozen=True, slots=True)
class RestSettings(Section):
    """Where REST is answered, and `users`: who on this machine may give commands, besides root and the controller's own user."""

    host: str = text("127.0.0.1", "an address")
    port: int = count(8080, 1, 65535)
    users: tuple[str | int, ...] = users()


@dataclass(frozen=True, slots=True)
class Config(Section):
    """Everything the controller, the agent and the instances are told.

    nf, layout  which graph, and which of its feature layouts; model: its file (null: instances do not start before there is one)
    exact       scores equal those of the unsplit run: copies are sent and state moves; a split that cannot keep them equal is refused
    granularity  header group by which traffic is split (null: the result of Algorithm 1); without `exact`, as it is
    standby     1: one instance more takes every packet into its state and takes over from one that dies, at the cost of no score
    buckets     classes of keys that ownership is about; more are finer but cost rules (12 each) and time
    """

    nf: str = text("kitsune")
    model: str | None = maybe(None, "a file name", lambda v: isinstance(v, str) and v != "")
    layout: str = text("kitsune115")
    exact: bool = flag(True)
    granularity: str | None = maybe(None, f"one of {', '.join(GROUPS)}", lambda v: v in tuple(GROUPS))
    buckets: int = checked(64, "a power of two from 1 to 4096", lambda v: whole(1, BUCKETS_MOST)(v) and v & (v - 1) == 0)
    standby: int = count(0, 0, 1)
    run_dir: str = text("/run/lego", "a folder")
    agent_socket: str | None = maybe(None, "a path", lambda v: isinstance(v, str) and v != "")
    switch: SwitchSettings = field(default_factory=SwitchSettings)
    forward: ForwardSettings = field(default_factory=ForwardSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    instance: InstanceSettings = field(default_factory=InstanceSettings)
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    sla: SlaSettings = field(default_factory=SlaSettings)
    rest: RestSettings = field(default_factory=RestSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.audit.share > 0 and not (self.exact and self.capture.stamps == "trailer"):
            wanted = "0, unless exact is true and capture.stamps is trailer: without, scores differ between instances anyway"
            raise KeyProblem("audit.share", wanted, self.audit.share)
        if self.standby and not (self.exact and self.capture.stamps == "trailer"):
            wanted = "0, unless exact is true and capture.stamps is trailer: without, a packet has another score at the standby anyway"
            raise KeyProblem("standby", wanted, self.standby)
        if self.scaling.max_instances > self.buckets:
            raise KeyProblem("scaling.max_instances", f"at most one per bucket ({self.buckets})", self.scaling.max_instances)

    @property
    def agent(self) -> str:
        """The agent's socket."""
        return self.agent_socket or f"{self.run_dir.rstrip('/')}/agent.sock"

    @classmethod
    def parse(cls, data: Mapping[str, Any] | None) -> Config:
        """From nested maps, as a configuration file gives them; nothing at all gives the defaults."""
        built = _build(cls, data if data is not None else {}, "")
        assert isinstance(built, cls)
        return built

    def to_dict(self) -> dict[str, Any]:
        """Nested plain maps; `Config.parse` of it is this configuration."""
        return dataclasses.asdict(self)


SECTIONS: dict[str, type[Section]] = {
    "switch": SwitchSettings,
    "forward": ForwardSettings,
    "capture": CaptureSettings,
    "instance": InstanceSettings,
    "scaling": ScalingSettings,
    "sla": SlaSettings,
    "rest": RestSettings,
    "audit": AuditSettings,
}


def _build(section: type[Any], data: Mapping[str, Any], path: str) -> Any:
    if not isinstance(data, Mapping):
        raise KeyProblem(path.rstrip(".") or "configuration", "keys with values", data)
    known = {item.name for item in dataclasses.fields(section)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise KeyProblem(f"{path}{key}", "a key that exists (" + ", ".join(sorted(known)) + ")", key)
        inner = SECTIONS.get(key) if section is Config else None
        values[key] = _build(inner, value, f"{path}{key}.") if inner else _plain(value)
    try:
        return section(**values)
    except KeyProblem as problem:
        problem.key = f"{path}{problem.key}"
        problem.args = (f"{path}{problem}",)
        raise


def _plain(value: Any) -> Any:
    """Lists of a file as tuples, so that sections stay hashable."""
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value
