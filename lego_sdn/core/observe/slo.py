"""The service-level objective (`sla`) while the system runs: divides it into deadlines as costs change, and watches whether it is kept.

Paper, Section III-C: an end-to-end promise becomes a deadline of every brick, in proportion to its cost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts import config as configuration
from lego_sdn.core.facts.actions import SetDeadlines
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.change_notes import PromiseBroken, PromiseKept
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import Report, pairs_of, usable
from lego_sdn.core.observe.deadlines import Deadline, Promise, divide

AGAIN_S = 10.0
CHANGED = 0.25  # deadlines are divided anew when a cost has changed by more than this share


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of packets: scored, of which late; lost before or in the bricks."""

    scored: int = 0
    late: int = 0
    lost: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.scored + other.scored, self.late + other.late, self.lost + other.lost)

    @property
    def late_share(self) -> float:
        return self.late / self.scored if self.scored else 0.0

    @property
    def lost_share(self) -> float:
        return self.lost / (self.scored + self.lost) if self.lost else 0.0


@dataclass(frozen=True, slots=True)
class PromiseBasis:
    """What a promise is divided by: costs, the cores that each kind's slowest replica can use, and the paths through the graph."""

    costs: Costs
    cores: Mapping[str, float]
    paths: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Promised:
    """How the promise is kept.

    deadlines  by kind; basis: the costs that they were divided by; problem: why the promise can hardly be kept
    told       by instance, the deadlines that it was last sent; again_at: earliest time to resend what it rejected
    window     by instance, since `since`; last: the same of the window before
    broken     by instance, what was not kept in the last window; violations: windows in which it was not kept so far, by what was not
    """

    deadlines: Mapping[str, Deadline] = field(default_factory=dict)
    basis: PromiseBasis | None = None
    told: Mapping[int, SetDeadlines] = field(default_factory=dict)
    again_at: float = 0.0
    problem: str = ""
    since: float | None = None
    window: Mapping[int, Tally] = field(default_factory=dict)
    last: Mapping[int, Tally] = field(default_factory=dict)
    broken: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    violations: Mapping[str, int] = field(default_factory=dict)

    def without(self, instance: int) -> Promised:
        """An instance is gone: whoever gets its number knows nothing of this."""
        names = ("told", "window", "last", "broken")
        rest: dict[str, Any] = {name: {i: one for i, one in getattr(self, name).items() if i != instance} for name in names}
        return replace(self, **rest)


Notes = list[PromiseBroken | PromiseKept]


def tally(before: Mapping[str, Report], after: Mapping[str, Report], ends: Collection[str], unsent: float = 0.0) -> Tally:
    """What became of an instance's own packets between two rounds. `ends`: the last nodes of the graph count what is late on the whole way;
    `unsent`: packets/s that the switch could not put out to it.

    Nobody looked into a packet that the switch or the kernel dropped: of these, as many were shadows as of those that came in.
    """
    found = Tally()
    for then, now in pairs_of(before, after):
        lost = _lost(then, now, unsent)
        earlier = {brick.id: brick for brick in then.bricks}
        for brick in now.bricks:
            old = earlier.get(brick.id)
            if brick.node in ends and old is not None:
                late = BrickCounters.of(brick.counters).late_total - BrickCounters.of(old.counters).late_total
                found += Tally(brick.packets_in - old.packets_in, max(0, late))
        found += Tally(lost=lost)
    return found


def _lost(then: Report, now: Report, unsent: float) -> int:
    in_bricks = max(0, sum(brick.lost for brick in now.bricks) - sum(brick.lost for brick in then.bricks))
    if now.capture is None or then.capture is None:
        return in_bricks
    old, new = then.capture, now.capture
    came, shadows = max(0, new.received - old.received), max(0, new.shadows - old.shadows)
    unseen = max(0, new.kernel_drops - old.kernel_drops) + unsent * (now.time - then.time)
    own = 1.0 - min(1.0, shadows / came) if came else 1.0
    return in_bricks + max(0, new.held_dropped - old.held_dropped) + round(unseen * own)


def watch(kept: Promised, promise: configuration.SlaSettings, tallies: Mapping[int, Tally], now: float) -> tuple[Promised, Notes]:
    """With another round; at the end of a window it is judged, by instance, and what began or ended to be broken is told."""
    window = {i: kept.window.get(i, Tally()) + tallies.get(i, Tally()) for i in sorted({*kept.window, *tallies})}
    since = now if kept.since is None else kept.since
    if now - since < promise.window_s:
        return replace(kept, window=window, since=since), []
    broken = {i: what for i, one in window.items() if (what := _broken(promise, one))}
    violations = dict(kept.violations)
    for word in sorted({word for words in broken.values() for word in words}):
        violations[word] = violations.get(word, 0) + 1
    notes: Notes = [_told(promise, window[i], i, what) for i, what in broken.items() if kept.broken.get(i) != what]
    notes += [PromiseKept(instance=i) for i in sorted(set(kept.broken) - set(broken)) if i in window]
    return replace(kept, since=now, window={}, last=window, broken=broken, violations=violations), notes


def _broken(promise: configuration.SlaSettings, one: Tally) -> tuple[str, ...]:
    late = promise.latency_ms is not None and one.late_share > promise.tolerance
    lost = promise.loss is not None and one.lost_share > promise.loss
    return ("latency",) * late + ("loss",) * lost


def _told(promise: configuration.SlaSettings, one: Tally, instance: int, what: tuple[str, ...]) -> PromiseBroken:
    parts = []
    if "latency" in what:
        parts.append(f"{one.late_share:.1%} of its packets took longer than {promise.latency_ms:g} ms ({promise.tolerance:.1%} may)")
    if "loss" in what:
        parts.append(f"{one.lost_share:.2%} were lost ({promise.loss:.2%} may be)")
    text = f"instance {instance} breaks the promise of {' and '.join(what)}: {', '.join(parts)} in {promise.window_s:g} s"
    return PromiseBroken(what, one.late_share, one.lost_share, text, instance=instance)


def basis_of(config: configuration.Config, costs: Costs, laid: Iterable[Arrangement]) -> PromiseBasis:
    """By how the bricks of the running instances lie, each with the CPU of its process; of a kind that nobody has yet, as configured."""
    cores: dict[str, float] = {}
    graph = costs.graph
    for one in laid:
        graph = one.graph if set(one.graph.order) == set(costs.kinds) else graph
        for process in one.processes:
            for node in map(node_of, process.bricks):
                cores[node] = min(cores.get(node, 1.0), usable(process.quota))
    return PromiseBasis(costs, dict.fromkeys(costs.kinds, usable(config.instance.cpu_quota)) | cores, graph.paths())


def divided(kept: Promised, config: configuration.Config, basis: PromiseBasis) -> Promised:
    """With deadlines of this basis, if there are none yet, a cost has changed by more than a quarter, or how bricks lie has changed."""
    told = config.sla
    if (told.latency_ms is None and told.loss is None) or (kept.basis is not None and not _changed(kept.basis, basis)):
        return kept
    parts = divide(Promise(told.latency_ms, told.loss), basis.costs, basis.cores, basis.paths)
    ways = basis.paths or (tuple(parts),)
    bare = max(sum(parts[kind].bare_ms for kind in way) for way in ways)
    work = f"a full batch ({basis.costs.batch} packets) takes {bare:.3g} ms by what bricks cost, without any waiting"
    return replace(kept, basis=basis, deadlines=parts, problem=work if bare > (told.latency_ms or bare) else "")


def _changed(basis: PromiseBasis, now: PromiseBasis) -> bool:
    if (basis.cores, basis.paths, basis.costs.kinds) != (now.cores, now.paths, now.costs.kinds):
        return True
    before, after = ([brick.per_packet_us(one.costs.batch) for brick in one.costs.bricks] for one in (basis, now))
    return any(abs(b - a) > CHANGED * a for a, b in zip(before, after, strict=True))


def not_taken(kept: Promised, instance: int, now: float) -> Promised:
    """An instance was told its deadlines and did not take them: it is told again, after a while."""
    return replace(kept, told={i: one for i, one in kept.told.items() if i != instance}, again_at=now + AGAIN_S)


def to_tell(kept: Promised, running: tuple[int, ...]) -> tuple[Promised, tuple[SetDeadlines, ...]]:
    """What each running instance must be told; those that know it already are left alone."""
    ms = tuple((kind, round(part.ms, 4)) for kind, part in kept.deadlines.items() if part.ms is not None)
    if not ms:
        return kept, ()
    wanted = {i: SetDeadlines(i, ms) for i in running}
    return replace(kept, told=wanted), tuple(one for i, one in wanted.items() if kept.told.get(i) != one)
