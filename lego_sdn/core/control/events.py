"""What the decision core observes (events) and asks for (actions): frozen values, so that a run can be replayed.

The edge (the Ryu app) turns what happens into events, calls `step.step(state, event, now)`, and carries the actions out in order.
`now` and every time here are monotonic seconds of the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.facts.actions import BrickAction
from lego_sdn.core.facts.actions import StartInstance as StartInstance
from lego_sdn.core.facts.actions import StopInstance as StopInstance
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.facts.reports import Report
from lego_sdn.core.facts.standby import TakenOver, TakeOver
from lego_sdn.core.traffic.handover import Moved


# ---- events: what happened ----
@dataclass(frozen=True, slots=True)
class SwitchUp:
    """The switch (re)connected; its flow table may hold anything.

    The edge asks the agent again (`AgentUp`), since port numbers may differ.
    """

    dpid: int


@dataclass(frozen=True, slots=True)
class SwitchDown:
    dpid: int


@dataclass(frozen=True, slots=True)
class Running:
    """An instance that the agent says is running, behind this OpenFlow port, and laid out like this. standby: it was started as one."""

    instance: int
    ofport: int
    arrangement: Arrangement = field(default_factory=Arrangement)
    standby: bool = False


@dataclass(frozen=True, slots=True)
class AgentUp:
    """The agent of a host answered `hello`: all instances that run there now, and no others; its `cores` and memory (None: not said)."""

    instances: tuple[Running, ...] = ()
    cores: float | None = None
    memory_bytes: float | None = None
    host: str = LOCAL


@dataclass(frozen=True, slots=True)
class AgentDown:
    """The agent of a host does not answer. Its instances may well go on."""

    reason: str = ""
    host: str = LOCAL


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    """Answer to `StartInstance`: processes run and take packets from the port."""

    instance: int
    ofport: int
    arrangement: Arrangement = field(default_factory=Arrangement)


@dataclass(frozen=True, slots=True)
class InstanceFailed:
    """An instance did not start, could not be stopped, or died while it ran; `error` is one sentence."""

    instance: int
    error: str


@dataclass(frozen=True, slots=True)
class ProcessDied:
    """A process of an instance has ended, and nobody asked it to, as far as the edge knows. The agent tells later what became of it."""

    instance: int
    process: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A process of an instance lives, but has not answered for long; `error` is one sentence."""

    instance: int
    process: str
    error: str


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """Answer to `StopInstance`."""

    instance: int


@dataclass(frozen=True, slots=True)
class Loads:
    """One round of monitoring.

    reports  one for every process that answered
    buckets  packets/s by source bucket, from the switch's flow counters (a bucket not named: 0)
    lost     packets/s, by OpenFlow port, that the switch could not put out there
    free_bytes  of the memory of each host, by name, that says so
    """

    reports: tuple[Report, ...]
    buckets: Mapping[int, float] = field(default_factory=dict)
    lost: Mapping[int, float] = field(default_factory=dict)
    free_bytes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortsSeen:
    """The ports of the steered switch as they are now: number -> whether the link is up."""

    up: Mapping[int, bool]


@dataclass(frozen=True, slots=True)
class Disturbed:
    """Packets or streams may have been lost, other than by what load reports count: scores may differ from those of the unsplit run.

    reason    a short name, of a fixed set; text: one sentence
    good      when it was last seen that nothing was wrong (None: now)
    instance  whose scores; None: those of every instance
    """

    reason: Literal["rules-repaired", "rules-of-others", "rules-refused", "replica-died", "link-down"]
    text: str
    good: float | None = None
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class Steered:
    """Answer to `Steer`: the bundle is committed and the barrier answered; where `settle` was asked, cached flows are revalidated.

    moved   what was handed over between running instances; ms: how long their packets waited at the most; held: packets that waited
    taken    what became of takeovers: those of `Steer.takeovers`, and of instances that failed meanwhile
    standby  the standby, if it has every stream; heir: a standby that owns buckets now, and is none any more
    """

    version: int
    error: str | None = None
    moved: tuple[Moved, ...] = ()
    ms: float = 0.0
    held: int = 0
    taken: tuple[TakenOver, ...] = ()
    standby: int | None = None
    heir: int | None = None


@dataclass(frozen=True, slots=True)
class Drained:
    """Answer to `Drain`: nothing is queued in the instance any more, or (`clean` false) the deadline passed."""

    instance: int
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; once a second or oftener."""


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator asks: replicate, merge `instance`, move `buckets` to `instance`, pause or resume scaling.

    brick       replicate this kind of brick, or merge this replica, instead of a whole instance
    assignment  of a move to several owners at once: (bucket, new owner)
    """

    name: Literal["replicate", "merge", "move", "pause", "resume"]
    instance: int | None = None
    buckets: tuple[int, ...] = ()
    brick: str | None = None
    assignment: tuple[tuple[int, int], ...] = ()

    @property
    def targets(self) -> dict[int, int]:
        """Of a move: bucket -> new owner."""
        to_one = {bucket: self.instance for bucket in self.buckets if self.instance is not None}
        return to_one | dict(self.assignment)


Event = (
    SwitchUp
    | SwitchDown
    | AgentUp
    | AgentDown
    | InstanceStarted
    | InstanceFailed
    | ProcessDied
    | Silent
    | InstanceStopped
    | Loads
    | PortsSeen
    | Disturbed
    | Steered
    | Drained
    | Tick
    | Command
    | Regrown
    | RegrowFailed
)


# ---- actions: what to do, each answered by an event ----
@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until the instance's processes have nothing queued (RPC `drain`, in graph order). Answer: `Drained`."""

    instance: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Steer:
    """Make the switch's rules those of this assignment; store the assignment. Answer: `Steered` with the same version.

    assignment  bucket -> owner; a bucket not named goes nowhere but is forwarded
    ports       instance -> OpenFlow port, of every instance that has one
    settle      before answering, wait until cached flows of the datapath are revalidated (an instance is about to drain)
    keep        add and replace rules but delete none: what the switch holds may be right, the instances are not known yet
    standby     of the instances with a port, the one that gets every packet and scores none
    takeovers   that are not answered yet: the heir takes over before anything else is done

    Buckets that change from one running instance to another are handed over, streams and packets under way
    (`lego_sdn.core.traffic.handover`).
    """

    version: int
    assignment: Mapping[int, int]
    ports: Mapping[int, int]
    settle: bool = False
    keep: bool = False
    standby: int | None = None
    takeovers: tuple[TakeOver, ...] = ()


# A note is for the log and for `GET events`: it has no answer.
Action = StartInstance | StopInstance | Drain | Steer | Note | BrickAction
