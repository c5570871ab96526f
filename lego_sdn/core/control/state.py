"""What the controller knows and wants: one frozen value, changed only by `step`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lego_sdn.core.control.events import Action, Steer
from lego_sdn.core.control.hosts import LOCAL, HostState
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import BrickAction
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.assignment import REFERENCE, Owners
from lego_sdn.core.facts.backoff import Backoff, RetryWaits
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.exact_since import ExactSince
from lego_sdn.core.facts.reports import InstanceLoad, Report
from lego_sdn.core.facts.standby import StandbyInstance, TakeOver
from lego_sdn.core.observe.diagnosis import Diagnosis
from lego_sdn.core.observe.score_audit import ReferenceInstance
from lego_sdn.core.observe.slo import Promised
from lego_sdn.core.policy.base import Memory

GIVE_UP_AFTER = 5  # failures in a row
GIVE_UP_S = 300.0
STARTS = RetryWaits(0.5, GIVE_UP_S, GIVE_UP_AFTER)
SETTLED_S = 60.0  # what lived this long did not die of its start

Phase = Literal["starting", "running", "leaving", "draining", "stopping"]


@dataclass(frozen=True, slots=True)
class Member:
    """An instance that exists or is asked for.

    starting  asked of the agent          leaving   owns nothing, until the switch has said so
    running   owns buckets                draining  works off what it has
                                          stopping  the agent takes it away
    since     when it came into this phase; tries: how often the phase's request was sent again
    arrangement    its processes and bricks, as the agent last told
    born           when each brick was first told of; dying: by kind, replicas that died young, in a row
    host           the name of the host on which it runs; heir: it was a standby that took over
    """

    instance: int
    phase: Phase
    since: float
    ofport: int | None = None
    tries: int = 0
    arrangement: Arrangement = field(default_factory=Arrangement)
    born: Mapping[str, float] = field(default_factory=dict)
    dying: Mapping[str, Backoff] = field(default_factory=dict)
    host: str = LOCAL
    heir: bool = False

    def arranged(self, arrangement: Arrangement, now: float) -> Member:
        """As the agent tells now that its bricks lie."""
        return replace(self, arrangement=arrangement, born={brick: self.born.get(brick, now) for brick in arrangement.bricks})


@dataclass(frozen=True, slots=True)
class Change:
    """The one change in flight. It is done when what `kind` needs has happened to `instance` (None: only rules change).

    version  of the first `Steer` that carries it; None before there is one
    action   of a change within an instance: what was asked of it, and is done when the answer comes
    """

    kind: Literal["replicate", "merge", "rebalance", "move", "separate", "chain", "quota"]
    evidence: str
    since: float
    instance: int | None = None
    version: int | None = None
    action: BrickAction | None = None


@dataclass(frozen=True, slots=True)
class Lacking:
    """Why an instance gets no packets, and since when. gone: its port is not there; else the link is down."""

    text: str
    since: float
    gone: bool


@dataclass(frozen=True, slots=True)
class Regret:
    """A merge that was soon followed by a replica was a mistake: the next one waits, each time twice as long."""

    merged_at: float = float("-inf")
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class SystemState:
    """Everything that `step` decides from.

    switch    the connected switch, which decides who gets which packet
    hosts     what is known of each, by name; there is one today
    owners    bucket -> owner, as wanted; sent: the last `Steer`; confirmed: the last version that the switch has
    reports      of the last round, before: of the round before it
    quiet_until  no policy's change before (cooldown)
    regret       what came of the last merges
    regrowing    failures of changes within instances, as `backoff` has those of starts
    diagnoses    by instance, of the last round of reports; full: instances whose memory is at the mark
    advice       what was last said to be done, in mode advise
    costs        of the bricks: as profiled, or as first seen, and kept true while they run; sla: how the promise is kept
    shadows      copies of a packet that the split wants
    whole        why all packets must go to one instance, and to one of its keyed bricks; None: they may be split
    standby      the instance that takes over from one that dies; takeovers: that the switch and the heir have not answered yet
    exact        by instance, since when its scores are exact; orphaned: why streams were lost that no instance owns yet
    lacking      by instance, why its port gives it no packets; ports_seen_at: when that was looked at last
    """

    config: Config
    owners: Owners
    switch: int | None = None
    hosts: Mapping[str, HostState] = field(default_factory=lambda: {LOCAL: HostState()})
    members: Mapping[int, Member] = field(default_factory=dict)
    change: Change | None = None
    sent: Steer | None = None
    sent_at: float = 0.0
    version: int = 0
    confirmed: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    paused: bool = False
    quiet_until: float = 0.0
    regret: Regret = field(default_factory=Regret)
    memory: Memory = field(default_factory=Memory)
    reports: Mapping[tuple[int, str], Report] = field(default_factory=dict)
    before: Mapping[tuple[int, str], Report] = field(default_factory=dict)
    loads: Mapping[int, InstanceLoad] = field(default_factory=dict)
    rates: Mapping[int, float] = field(default_factory=dict)
    refused: str = ""
    regrowing: Backoff = field(default_factory=Backoff)
    diagnoses: Mapping[int, Diagnosis] = field(default_factory=dict)
    full: frozenset[int] = frozenset()
    advice: str = ""
    costs: Costs | None = None
    shadows: int = 0
    whole: str | None = None
    sla: Promised = field(default_factory=Promised)
    twin: ReferenceInstance = field(default_factory=ReferenceInstance)
    standby: StandbyInstance = field(default_factory=StandbyInstance)
    takeovers: tuple[TakeOver, ...] = ()
    exact: Mapping[int, ExactSince] = field(default_factory=dict)
    orphaned: str | None = None
    lacking: Mapping[int, Lacking] = field(default_factory=dict)
    ports_seen_at: float | None = None

    @property
    def agents_spoke(self) -> bool:
        """Whether the agent of every host has said once what runs."""
        return all(host.agent is not None for host in self.hosts.values())

    def answers(self, host: str = LOCAL) -> bool:
        """Whether the agent of a host answers."""
        return host in self.hosts and self.hosts[host].agent is True

    @property
    def running(self) -> tuple[int, ...]:
        """Instances that may own buckets."""
        return tuple(i for i, member in sorted(self.members.items()) if member.phase == "running")

    @property
    def assignment(self) -> dict[int, int]:
        return {bucket: owner for bucket, owner in enumerate(self.owners) if owner is not None}

    @property
    def ports(self) -> dict[int, int]:
        """Instance -> OpenFlow port, of every instance that has one, the auditor's twin and the standby among them."""
        more = {REFERENCE: self.twin.ofport, self.standby.instance: self.standby.ofport}
        others = {i: ofport for i, ofport in more.items() if i is not None and ofport is not None}
        return {i: member.ofport for i, member in sorted(self.members.items()) if member.ofport is not None} | others


def fresh(config: Config, stored: Mapping[int, int] | None = None, costs: Costs | None = None, shadows: int = 0) -> SystemState:
    """The state at the controller's start. `stored`: the last assignment that was sent, if there is a record; `costs`: as profiled.

    shadows  copies of a packet that an exact split of the NF wants: for costs that are learned while it runs
    """
    kept = stored or {}
    known = costs.configured(config) if costs is not None else None
    return SystemState(
        config, tuple(kept.get(bucket) for bucket in range(config.buckets)), costs=known, shadows=shadows if config.exact else 0
    )


@dataclass(slots=True)
class Turn:
    """One step being made: the state so far, the actions so far, and the time."""

    state: SystemState
    now: float
    actions: list[Action] = field(default_factory=list)

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def learn(self, host: str, **changes: Any) -> None:
        """What is known of a host from now on."""
        known = self.state.hosts.get(host, HostState())
        self.set(hosts={**self.state.hosts, host: replace(known, **changes)})

    def put(self, member: Member) -> None:
        self.set(members={**self.state.members, member.instance: member})

    def enter(self, instance: int, phase: Phase, **changes: Any) -> None:
        """A member comes into another phase, now."""
        self.put(replace(self.state.members[instance], phase=phase, since=self.now, tries=0, **changes))

    def place(self, instance: int, arrangement: Arrangement) -> None:
        """What the agent says of a member's bricks."""
        self.put(self.state.members[instance].arranged(arrangement, self.now))

    def forget(self, instance: int) -> None:
        """An instance is gone, with what was known of its load."""
        self.set(
            members={i: member for i, member in self.state.members.items() if i != instance},
            reports={key: report for key, report in self.state.reports.items() if key[0] != instance},
            before={key: report for key, report in self.state.before.items() if key[0] != instance},
            loads={i: load for i, load in self.state.loads.items() if i != instance},
            diagnoses={i: found for i, found in self.state.diagnoses.items() if i != instance},
            sla=self.state.sla.without(instance),
            lacking={i: why for i, why in self.state.lacking.items() if i != instance},
        )
