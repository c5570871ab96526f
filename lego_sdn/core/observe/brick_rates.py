"""What a brick does and suffers between two load reports of its process: the figures that a diagnosis rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import BrickLoad, Quotas, Report, cores_used, usable

STANDING_S = 0.2  # what waits before a brick, as time to come, in times between two reports
RING_FILLED = 0.1  # share of the capture ring that may wait before that is a queue
DRAINING = 0.05  # a queue that shrinks by more than this share of what passes is on its way out
SEEN = 0.01  # share of time below which evidence says nothing of it
BLOCKED = 0.05  # share of time without room downstream from which that counts

Verdict = Literal["slow", "starved", "back-pressured", "easy"]


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
    throttled  share of time for which its process had used up its quota
    disk_wait  share of time for which its process waited for the disk; faults: pages/s that it waited for; fetched: bytes/s read
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
    throttled: float = 0.0
    disk_wait: float = 0.0
    faults: float = 0.0
    fetched: float = 0.0
    verdict: Verdict = "easy"

    @property
    def waits(self) -> bool:
        """Work stands before it, and does not become less."""
        standing = self.queue > max(self.packets, 1.0) * STANDING_S * self.seconds
        return self.ring > RING_FILLED or self.overrun > 0 or (standing and self.growth >= -DRAINING * self.packets)


def figures(then: Report, now: Report, quotas: Quotas) -> list[BrickFigures]:
    """The bricks of one process; a brick that was not there in the report before has no figures yet."""
    earlier = {brick.id: brick for brick in then.bricks}
    both = [(earlier[brick.id], brick) for brick in now.bricks if brick.id in earlier]
    cpu = sum(after.cpu_s - before.cpu_s for before, after in both)
    process, seconds = _of_process(then, now, quotas), now.time - then.time
    return [
        BrickFigures(
            **process,
            **_of_brick(before, after, seconds),
            **_at_interface(then, now, after is now.bricks[0]),
            share=(after.cpu_s - before.cpu_s) / cpu if cpu > 0 else 1.0 / len(both),
        )
        for before, after in both
    ]


def _of_process(then: Report, now: Report, quotas: Quotas) -> dict[str, Any]:
    """What all bricks of a process have in common."""
    seconds, disk, before = now.time - then.time, now.disk, then.disk
    return {
        "process": now.process,
        "seconds": seconds,
        "used": cores_used(then, now) / usable(quotas.get(now.process)),
        "alone": len(now.bricks) == 1,
        "throttled": max(0.0, now.throttled_s - then.throttled_s) / seconds,
        "disk_wait": max(0.0, disk.wait_s - before.wait_s) / seconds,
        "faults": max(0, disk.major_faults - before.major_faults) / seconds,
        "fetched": max(0, disk.read_bytes - before.read_bytes) / seconds,
    }


def _of_brick(before: BrickLoad, after: BrickLoad, seconds: float) -> dict[str, Any]:
    return {
        "id": after.id,
        "kind": node_of(after.id),
        "packets": (after.packets_in - before.packets_in) / seconds,
        "cores": (after.cpu_s - before.cpu_s) / seconds,
        "service_us": after.service_us,
        "queue": after.queue_in,
        "growth": (after.queue_in - before.queue_in) / seconds,
        "queue_out": after.queue_out,
        "blocked": (after.blocked_s - before.blocked_s) / seconds,
        "wait_us": after.wait_us,
        "late": (after.late - before.late) / seconds,
        "lost": max(0, after.lost - before.lost) / seconds,
    }


def _at_interface(then: Report, now: Report, first: bool) -> dict[str, Any]:
    """Of the capture ring, which is the queue of a process's first brick."""
    if now.capture is None or not first:
        return {"ring": 0.0, "filling": 0.0, "overrun": 0.0}
    seconds, before = now.time - then.time, then.capture
    drops = max(0, now.capture.kernel_drops - before.kernel_drops) if before else 0
    filled = now.capture.queue - (before.queue if before else 0.0)
    return {"ring": now.capture.queue, "filling": filled / seconds, "overrun": drops / seconds}


def in_words(one: BrickFigures) -> str:
    """The evidence: CPU of its quota, what a row costs, what waits before and behind it, and what goes wrong with it."""
    parts = [f"its process {one.process} uses {one.used:.0%} of its CPU quota"]
    if not one.alone:
        parts.append(f"{one.share:.0%} of that is this brick's")
    parts.append(f"{one.service_us:.1f} µs a packet")
    parts.append(f"{one.queue} rows wait" + (f", {one.growth:+.0f}/s" if one.queue else ""))
    if one.wait_us > 0:
        parts.append(f"a row waits {one.wait_us / 1e3:.1f} ms")
    if one.ring > RING_FILLED:
        parts.append(f"capture ring {one.ring:.0%} full")
    for value, words in ((one.throttled, "kept from running by its quota"), (one.disk_wait, "waiting for the disk")):
        if value >= SEEN:
            parts.append(f"{words} {value:.0%} of the time")
    if one.faults >= 1:
        parts.append(f"{one.faults:.0f} pages/s fetched from the disk")
    if one.fetched >= 1e4:
        parts.append(f"{one.fetched / 1e6:.2f} MB/s read")
    if one.blocked >= BLOCKED:
        parts.append(in_front(one))
    for value, words in ((one.overrun, "packets/s overrun"), (one.lost, "packets/s dropped"), (one.late, "packets/s late")):
        if value > 0:
            parts.append(f"{value:.0f} {words}")
    return f"{one.id}: " + ", ".join(parts)


def in_front(one: BrickFigures) -> str:
    """How it is held up by what comes after it."""
    return f"no room downstream {one.blocked:.0%} of the time with {one.queue_out} rows on their way"
