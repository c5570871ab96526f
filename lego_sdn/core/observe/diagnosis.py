"""Which brick of an instance is the bottleneck, and on what evidence (paper, Section III-C): two rounds of reports in, a diagnosis out.

A brick is *slow* if it is not blocked itself, and rows wait before it or its process is at its quota. Of several slow bricks the one
farthest downstream counts, since rows before the others wait for it. A brick before it that has nowhere to put its rows is
*back-pressured*; a brick behind it that has time is *starved*. In a process with several bricks, the one that uses most CPU counts.
A slow brick whose process uses little CPU and waits for the disk has the cause `io`: more CPU would not help it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.graph import EMPTY, Graph
from lego_sdn.core.facts.reports import Report, pairs_of
from lego_sdn.core.observe.brick_rates import BLOCKED, DRAINING, RING_FILLED, BrickFigures, Verdict, figures, in_front, in_words

FILLING = 0.001  # share of the capture ring by which it fills in a second, before that counts
HELD_UP = 0.5  # share of time without room downstream from which a brick cannot be the slow one
GROWING = 0.25  # share of what passes by which what waits grows, before that counts
BEHIND_S = 0.25  # of rows, as time to come
SHORT = 0.75  # an instance that gets less than this share of what the switch counts for it loses packets on the way
MEMORY = 0.9  # share of the memory mark
IDLE = 0.5  # share of its CPU below which a process waits for something else
DISK_WAIT, FAULTS, FETCHED = 0.2, 10.0, 1e6  # from which that is the disk: share of time; pages/s waited for; bytes/s read

Cause = Literal["brick", "io", "memory", "switch"]  # every one of them is in GET status and in /metrics


@dataclass(frozen=True, slots=True)
class Outside:
    """What is seen of an instance from outside.

    offered  packets/s of its sources, as the switch counts them (None: unknown); lost: packets/s that the switch could not put out to it
    memory_bytes  the mark for its memory (None: none)
    """

    offered: float | None = None
    lost: float = 0.0
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What holds an instance up: `cause`, or None (nothing does); `brick` and `evidence` name it.

    brick    of causes brick and io; of memory, the one in the process with most of it, if there is no other in that process
    offered  packets/s that come to it, as far as is known; counted: of its own sources, by the switch; memory: share of the mark
    """

    instance: int
    bricks: tuple[BrickFigures, ...]
    cause: Cause | None = None
    brick: str | None = None
    evidence: str = ""
    offered: float = 0.0
    counted: float | None = None
    memory: float | None = None
    graph: Graph = EMPTY

    @property
    def growing(self) -> bool:
        """What waits becomes more, or is lost. Rows between bricks come and go: while any wait at the interface, these tell more."""
        if any(one.ring > RING_FILLED / 10 or one.overrun > 0 for one in self.bricks):
            return any(one.filling > FILLING or one.overrun > 0 for one in self.bricks)
        return sum(one.growth for one in self.bricks) > GROWING * max((one.packets for one in self.bricks), default=0.0)

    @property
    def behind(self) -> bool:
        """There is something to catch up with: more waits than comes together while a process waits for its share of CPU."""
        rows, packets = sum(one.growth for one in self.bricks), max((one.packets for one in self.bricks), default=0.0)
        sinks = rows < -DRAINING * packets or any(one.filling < -FILLING for one in self.bricks)
        return sinks or any(one.ring > RING_FILLED / 4 or one.queue > BEHIND_S * max(one.packets, 1.0) for one in self.bricks)

    @property
    def wait_s(self) -> float:
        """How long a packet waits before all bricks on its way together; where ways part, on the longest."""
        waits: dict[str, float] = {}
        for one in self.bricks:
            waits[one.kind] = max(waits.get(one.kind, 0.0), one.wait_us)
        return max((sum(waits.get(node, 0.0) for node in path) for path in self.graph.paths()), default=0.0) / 1e6

    @property
    def slow(self) -> BrickFigures | None:
        """The brick that has too little CPU."""
        return next((one for one in self.bricks if self.cause == "brick" and one.id == self.brick), None)

    @property
    def is_full(self) -> bool:
        """Its memory is at the mark, whatever holds it up."""
        return self.memory is not None and self.memory >= MEMORY

    def of_kind(self, kind: str) -> tuple[BrickFigures, ...]:
        return tuple(one for one in self.bricks if one.kind == kind)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Two rounds of reports of one instance, by process."""

    before: Mapping[str, Report]
    after: Mapping[str, Report]


def diagnose(rounds: Rounds, arrangement: Arrangement, outside: Outside, high: float = 0.8) -> Diagnosis | None:
    """Names the bottleneck. `high`: share of its quota from which a process is at its limit. None where nothing can be compared."""
    pairs = pairs_of(rounds.before, rounds.after)
    if not pairs:
        return None
    graph = arrangement.graph
    bricks = sorted(
        (one for then, now in pairs for one in figures(then, now, arrangement.quotas)),
        key=lambda f: (graph.place(f.kind), len(f.id), f.id),
    )
    last = [now for _, now in pairs]
    memory = sum(now.memory_bytes for now in last) / outside.memory_bytes if outside.memory_bytes else None
    offered = max(_taken(bricks) + sum(one.overrun for one in bricks), outside.offered or 0.0)
    found = Diagnosis(last[0].instance, tuple(bricks), offered=offered, counted=outside.offered, memory=memory, graph=graph)
    slow = _slow(bricks, graph, high)
    if slow is None:
        return _elsewhere(found, outside, last)
    verdicts = tuple(replace(one, verdict=_verdict(one, slow, graph)) for one in bricks)
    evidence = "; ".join([in_words(slow), *_before(verdicts), *_besides(found, outside, last)])
    return replace(found, bricks=verdicts, cause="io" if _at_the_disk(slow) else "brick", brick=slow.id, evidence=evidence)


def _taken(bricks: Sequence[BrickFigures]) -> float:
    return max((one.packets for one in bricks), default=0.0)


def _at_the_disk(one: BrickFigures) -> bool:
    """Its process has CPU to spare and waits for the disk: as the kernel counts it, else as far as what it fetches tells."""
    return one.used < IDLE and (one.disk_wait >= DISK_WAIT or one.faults >= FAULTS or one.fetched >= FETCHED)


def _before(bricks: Sequence[BrickFigures]) -> list[str]:
    """What the slow brick does to the one before it."""
    held_up = [one for one in bricks if one.verdict == "back-pressured" and one.blocked >= BLOCKED]
    return [f"{held_up[-1].id} before it has {in_front(held_up[-1])}"] if held_up else []


def _besides(found: Diagnosis, outside: Outside, last: Sequence[Report]) -> list[str]:
    """What goes wrong whichever brick is slow."""
    lost = [f"the switch could not put out {outside.lost:.0f} packets/s to its port"] if outside.lost > 0 else []
    return ([_memory_in_words(found, last)] if found.is_full else []) + lost


def _memory_in_words(found: Diagnosis, last: Sequence[Report]) -> str:
    most = max(last, key=lambda now: now.memory_bytes)
    its = f"{most.memory_bytes / 1e6:.1f} MB in process {most.process} ({', '.join(brick.id for brick in most.bricks)})"
    return f"{found.memory:.0%} of the memory mark is in use, {its}"


def _slow(bricks: list[BrickFigures], graph: Graph, high: float) -> BrickFigures | None:
    """The slow brick; `bricks` are in the order of the packets' way.

    Rows also wait, before a brick with time to spare, for others that overtook them on the way through replicas: busy bricks before it
    explain that.
    """
    free = [one for one in bricks if one.blocked < HELD_UP]
    hot = [one for one in free if one.used >= high]
    waiting = [one for one in free if one.waits and (one.used >= high or one.blocked < BLOCKED)]
    if both := [one for one in waiting if one.used >= high]:
        hot = [one for one in both if not graph.beyond(one.kind) & {other.kind for other in both}]
    elif waiting:
        first = waiting[0]
        before = [one for one in bricks[: bricks.index(first)] if one.kind == first.kind or first.kind in graph.beyond(one.kind)]
        hot = [one for one in hot if one in before] or [first]
    if hot:
        return _heaviest(bricks, max(hot, key=lambda one: one.used).process)
    return _stuck(bricks, graph)


def _heaviest(bricks: list[BrickFigures], process: str) -> BrickFigures:
    return max((one for one in bricks if one.process == process), key=lambda one: one.share)


def _stuck(bricks: list[BrickFigures], graph: Graph) -> BrickFigures | None:
    """The last brick that is held up although nobody is busy waits for one after it: that one takes nothing, and the most waits there."""
    held_up = [one for one in bricks if one.blocked >= HELD_UP]
    if not held_up:
        return None
    after = graph.after(held_up[-1].kind)
    return max((one for one in bricks if one.kind in after), key=lambda one: one.queue if len(after) > 1 else 0.0, default=None)


def _verdict(one: BrickFigures, slow: BrickFigures, graph: Graph) -> Verdict:
    if one.id == slow.id:
        return "slow"
    if slow.kind in graph.beyond(one.kind) and (one.blocked >= BLOCKED or one.waits):
        return "back-pressured"
    return "starved" if one.kind in graph.beyond(slow.kind) and not one.waits else "easy"


def _elsewhere(found: Diagnosis, outside: Outside, last: Sequence[Report]) -> Diagnosis:
    """No brick is slow: whether packets do not get as far as the bricks, or memory runs out."""
    words, taken = "; ".join(_besides(found, outside, last)), _taken(found.bricks)
    if found.is_full:
        most = max(last, key=lambda now: now.memory_bytes)
        return replace(found, cause="memory", brick=most.bricks[0].id if len(most.bricks) == 1 else None, evidence=words)
    if outside.lost > 0:
        return replace(found, cause="switch", evidence=words)
    free = not any(one.overrun or one.blocked >= BLOCKED for one in found.bricks)
    if outside.offered is not None and taken < SHORT * outside.offered and free:
        counted = f"the switch counts {outside.offered:.0f} packets/s for it"
        return replace(found, cause="switch", evidence=f"{counted}, and it gets {taken:.0f}: packets are lost before the bricks")
    return found
