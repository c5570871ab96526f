"""Which brick of an instance holds up the others, and on what evidence (paper, Section III-C): two rounds of reports in, a diagnosis out.

A brick is *slow* if it is not held up itself, and work waits before it or its process is at its quota; of several of which both is
true, the one farthest downstream, for what waits before the others waits for it. What lies before it and has nowhere to put its rows is
*back-pressured*, what lies behind it and has time is *starved*. In a process with several bricks it is the one that uses most of its CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lego_sdn.core.brick_actions import Arrangement, kind_of
from lego_sdn.core.load import Quotas, Report, cores_used, pairs_of, usable

STANDING_S = 0.2  # what waits before a brick, as time to come, in times between two reports
RING_FILLED = 0.1  # share of the capture ring that may wait before that is a queue
FILLING = 0.001  # share of the capture ring by which it fills in a second, before that counts
BLOCKED, HELD_UP = 0.05, 0.5  # share of time without room downstream: that it is back-pressured; that it cannot be the slow one
DRAINING = 0.05  # a queue that shrinks by more than this share of what passes is on its way out
GROWING = 0.25  # share of what passes by which what waits grows, before that counts
BEHIND_S = 0.25  # of rows, as time to come
SHORT = 0.75  # an instance that gets less than this share of what the switch counts for it loses packets on the way
MEMORY = 0.9  # share of the memory limit

Verdict = Literal["slow", "starved", "back-pressured", "easy"]


@dataclass(frozen=True, slots=True)
class Outside:
    """What is seen of an instance from outside.

    offered  packets/s of its sources, as the switch counts them (None: unknown); lost: packets/s that the switch could not put out to it
    memory_bytes  its limit of resident memory (None: none)
    """

    offered: float | None = None
    lost: float = 0.0
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class BrickFigures:
    """One brick between two reports.

    packets  rows/s taken; growth: rows/s by which its queue grows; lost: rows/s that it dropped
    overrun  packets/s that the kernel dropped before it (of a brick at the interface)
    cores    CPU that the brick uses; share: its part of what its process's bricks use
    used     CPU of its process, as a share of what the process may use
    ring     share of the capture ring that waits (of a brick at the interface); filling: by how much that grows in a second
    blocked: share of time in which it had no room downstream
    late     rows/s after its deadline; alone: no other brick in its process
    """

    id: str
    kind: str
    process: str
    packets: float
    cores: float
    used: float
    share: float
    alone: bool
    service_us: float
    queue: int
    growth: float
    queue_out: int
    ring: float
    filling: float
    blocked: float
    wait_us: float
    late: float
    lost: float
    overrun: float
    seconds: float
    verdict: Verdict = "easy"

    @property
    def waits(self) -> bool:
        """Work stands before it, and does not become less."""
        standing = self.queue > max(self.packets, 1.0) * STANDING_S * self.seconds
        return self.ring > RING_FILLED or self.overrun > 0 or (standing and self.growth >= -DRAINING * self.packets)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What holds an instance up: `cause` brick, switch, memory, or None (nothing does); `brick` and `evidence` name it.

    offered  packets/s that come to it, as far as is known; counted: of its own sources, by the switch; memory: share of the limit
    """

    instance: int
    bricks: tuple[BrickFigures, ...]
    cause: Literal["brick", "switch", "memory"] | None = None
    brick: str | None = None
    evidence: str = ""
    offered: float = 0.0
    counted: float | None = None
    memory: float | None = None

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
        """How long a packet waits before all bricks together."""
        waits: dict[str, float] = {}
        for one in self.bricks:
            waits[one.kind] = max(waits.get(one.kind, 0.0), one.wait_us)
        return sum(waits.values()) / 1e6

    @property
    def slow(self) -> BrickFigures | None:
        return next((one for one in self.bricks if one.id == self.brick), None)

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
    at = {kind: number for number, kind in enumerate(arrangement.graph)}
    figures = sorted(
        (one for then, now in pairs for one in _figures(then, now, arrangement.quotas)),
        key=lambda f: (at.get(f.kind, len(at)), len(f.id), f.id),
    )
    memory = sum(now.rss_bytes for _, now in pairs) / outside.memory_bytes if outside.memory_bytes else None
    taken = max((one.packets for one in figures), default=0.0)
    offered = max(taken + sum(one.overrun for one in figures), outside.offered or 0.0)
    found = Diagnosis(pairs[0][1].instance, tuple(figures), offered=offered, counted=outside.offered, memory=memory)
    slow = _slow(figures, high)
    if slow is not None:
        verdicts = tuple(replace(one, verdict=_verdict(one, slow, at)) for one in figures)
        return replace(found, bricks=verdicts, cause="brick", brick=slow.id, evidence=in_words(slow))
    return _elsewhere(found, outside, taken)


def _figures(then: Report, now: Report, quotas: Quotas) -> list[BrickFigures]:
    """The bricks of one process; a brick that was not there in the report before has no figures yet."""
    earlier = {brick.id: brick for brick in then.bricks}
    both = [(earlier[brick.id], brick) for brick in now.bricks if brick.id in earlier]
    cpu = sum(after.cpu_s - before.cpu_s for before, after in both)
    seconds, used = now.time - then.time, cores_used(then, now) / usable(quotas.get(now.process))
    return [
        BrickFigures(
            id=after.id,
            kind=kind_of(after.id),
            process=now.process,
            packets=(after.packets_in - before.packets_in) / seconds,
            cores=(after.cpu_s - before.cpu_s) / seconds,
            used=used,
            share=(after.cpu_s - before.cpu_s) / cpu if cpu > 0 else 1.0 / len(both),
            alone=len(now.bricks) == 1,
            service_us=after.service_us,
            queue=after.queue_in,
            growth=(after.queue_in - before.queue_in) / seconds,
            queue_out=after.queue_out,
            ring=_ring(now) if after is now.bricks[0] else 0.0,
            filling=(_ring(now) - _ring(then)) / seconds if after is now.bricks[0] else 0.0,
            blocked=(after.blocked_s - before.blocked_s) / seconds,
            wait_us=after.wait_us,
            late=(after.late - before.late) / seconds,
            lost=max(0, after.lost - before.lost) / seconds,
            overrun=_overrun(then, now) / seconds if after is now.bricks[0] else 0.0,
            seconds=seconds,
        )
        for before, after in both
    ]


def _ring(report: Report) -> float:
    return report.capture.queue if report.capture else 0.0


def _overrun(then: Report, now: Report) -> int:
    return max(0, now.capture.kernel_drops - then.capture.kernel_drops) if then.capture and now.capture else 0


def _slow(figures: list[BrickFigures], high: float) -> BrickFigures | None:
    """The slow brick; `figures` are in the order of the packets' way.

    Rows also wait, before a brick with time to spare, for others that overtook them on the way through replicas: busy bricks before it
    explain that.
    """
    free = [one for one in figures if one.blocked < HELD_UP]
    hot = [one for one in free if one.used >= high]
    waiting = [one for one in free if one.waits and (one.used >= high or one.blocked < BLOCKED)]
    if both := [one for one in waiting if one.used >= high]:
        hot = [one for one in both if one.kind == both[-1].kind]
    elif waiting:
        before = figures[: figures.index(waiting[0])]
        hot = [one for one in hot if one in before] or waiting[:1]
    if hot:
        return _heaviest(figures, max(hot, key=lambda one: one.used).process)
    return _stuck(figures)


def _heaviest(figures: list[BrickFigures], process: str) -> BrickFigures:
    return max((one for one in figures if one.process == process), key=lambda one: one.share)


def _stuck(figures: list[BrickFigures]) -> BrickFigures | None:
    """Who is held up although nobody is busy waits for the next brick of its way: that one takes nothing."""
    held_up = [one for one in figures if one.blocked >= HELD_UP]
    if not held_up:
        return None
    kinds = list(dict.fromkeys(one.kind for one in figures))
    after = kinds.index(held_up[-1].kind) + 1
    return next((one for one in figures if kinds[after : after + 1] == [one.kind]), None)


def _verdict(one: BrickFigures, slow: BrickFigures, at: Mapping[str, int]) -> Verdict:
    here, there = at.get(one.kind, len(at)), at.get(slow.kind, len(at))
    if one.id == slow.id:
        return "slow"
    if here < there and (one.blocked >= BLOCKED or one.waits):
        return "back-pressured"
    return "starved" if here > there and not one.waits else "easy"


def _elsewhere(found: Diagnosis, outside: Outside, taken: float) -> Diagnosis:
    """No brick is slow: whether packets do not get as far as the bricks, or memory runs out."""
    if found.memory is not None and found.memory >= MEMORY:
        return replace(found, cause="memory", evidence=f"{found.memory:.0%} of the memory limit is in use")
    if outside.lost > 0:
        return replace(found, cause="switch", evidence=f"the switch could not put out {outside.lost:.0f} packets/s to its port")
    free = not any(one.overrun or one.blocked >= BLOCKED for one in found.bricks)
    if outside.offered is not None and taken < SHORT * outside.offered and free:
        counted = f"the switch counts {outside.offered:.0f} packets/s for it"
        return replace(found, cause="switch", evidence=f"{counted}, and it gets {taken:.0f}: packets are lost before the bricks")
    return found


def in_words(one: BrickFigures) -> str:
    """The evidence: CPU of its quota, what a row costs, what waits, and what goes wrong with it."""
    parts = [f"its process {one.process} uses {one.used:.0%} of its CPU quota"]
    if not one.alone:
        parts.append(f"{one.share:.0%} of that is this brick's")
    parts.append(f"{one.service_us:.1f} µs a packet")
    parts.append(f"{one.queue} rows wait" + (f", {one.growth:+.0f}/s" if one.queue else ""))
    if one.wait_us > 0:
        parts.append(f"a row waits {one.wait_us / 1e3:.1f} ms")
    if one.ring > RING_FILLED:
        parts.append(f"capture ring {one.ring:.0%} full")
    for value, words in ((one.overrun, "packets/s overrun"), (one.lost, "packets/s dropped"), (one.late, "packets/s late")):
        if value > 0:
            parts.append(f"{value:.0f} {words}")
    return f"{one.id}: " + ", ".join(parts)
