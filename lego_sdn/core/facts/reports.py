"""Load reports of processes, and the rates between two of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.graph import node_of


class ReportError(LegoError):
    """A load report is not what the contract says."""


def _get(data: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`data[key]`, checked; a bool is no number, and a number of a load report is never negative."""
    if not isinstance(data, Mapping):
        raise ReportError(f"{where}: wanted a map, found {data!r}")
    if key not in data:
        raise ReportError(f"{where}: {key} is missing")
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ReportError(f"{where}: {key} is {value!r}")
    if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
        raise ReportError(f"{where}: {key} is {value!r}, wanted a finite number that is not negative")
    return value


NUMBER = (int, float)
LATER = ("wait_us", "late", "blocked_s", "latency_us")  # what a brick may leave out
BRICK_TYPES: dict[str, Any] = {"id": str, "kind": str, "dropped": Mapping, "counters": Mapping}
BRICK_TYPES |= dict.fromkeys(("cpu_s", "service_us", "wait_us", "blocked_s", "latency_us"), NUMBER)
NEWER = frozenset(
    {"late", "implausible", "set_back", "foreign", "holds_expired", "expired", "held_dropped", "held_shadows_dropped", "next_stamp"}
)  # an older report lacks them


@dataclass(frozen=True, slots=True)
class CaptureLoad:
    """Totals of the interface's ring; `queue` is the share of its blocks that wait, 0..1.

    holds_expired, expired              holds that ended without their mover, and the rows that waited in them
    held_dropped, held_shadows_dropped  packets and shadows that had to wait and for which there was no room
    late, implausible                   packets that came too late to be put in the order of their stamps; with a stamp that cannot be true
    set_back                            packets whose time is more than 5 s before the latest one
    foreign                             frames besides `received` that are none of the switch's packets
    next_stamp                          the number above the highest stamp so far
    """

    received: int
    kernel_drops: int
    queue: float
    shadows: int = 0
    gaps: int = 0
    repeats: int = 0
    reordered: int = 0
    holds_expired: int = 0
    expired: int = 0
    held_dropped: int = 0
    held_shadows_dropped: int = 0
    late: int = 0
    implausible: int = 0
    set_back: int = 0
    foreign: int = 0
    next_stamp: int = 0

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> CaptureLoad:
        queue = float(_get(data, "queue", NUMBER, where))
        if queue > 1.0:
            raise ReportError(f"{where}: queue is {queue}, wanted a share from 0 to 1")
        totals = {name: _get(data, name, int, where) for name in cls.__slots__ if name != "queue" and (name in data or name not in NEWER)}
        return cls(queue=queue, **totals)


@dataclass(frozen=True, slots=True)
class DiskLoad:
    """What a process had to do with the disk: totals since its start, all 0 where a report does not say.

    major_faults  pages that it had to wait for; read_bytes, written_bytes: fetched from the disk for it, and to be stored there
    wait_s        seconds in which it waited for the disk, where the kernel counts them (sysctl kernel.task_delayacct), else 0
    """

    major_faults: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    wait_s: float = 0.0

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> DiskLoad:
        whole = {name: _get(data, name, int, where) for name in ("major_faults", "read_bytes", "written_bytes")}
        return cls(**whole, wait_s=float(_get(data, "wait_s", NUMBER, where)))


@dataclass(frozen=True, slots=True)
class BrickLoad:
    """Totals of one brick since its start; queues in rows, `service_us` per packet, `dropped` by reason.

    wait_us     how long rows waited before the brick (moving average)
    late        rows that were done after the brick's deadline
    blocked_s   seconds in which rows waited and what they become had nowhere to go
    latency_us  of the last brick: from the interface to the result (moving average); its counter `late_total` has the rows for which that
                was more than all deadlines together
    """

    id: str
    kind: str
    serial: int
    packets_in: int
    packets_out: int
    batches: int
    cpu_s: float
    service_us: float
    queue_in: int
    queue_out: int
    dropped: Mapping[str, int]
    counters: Mapping[str, int]
    wait_us: float = 0.0
    late: int = 0
    blocked_s: float = 0.0
    latency_us: float = 0.0

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> BrickLoad:
        """Bricks of before there were deadlines do not say how they keep them."""
        there = [name for name in cls.__slots__ if name not in LATER or (isinstance(data, Mapping) and name in data)]
        return cls(**{name: _get(data, name, BRICK_TYPES.get(name, int), where) for name in there})

    @property
    def node(self) -> str:
        """The brick's node in the graph."""
        return node_of(self.id)

    @property
    def lost(self) -> int:
        """Rows dropped so far, for whatever reason."""
        return sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Report:
    """What one process of an instance says of itself: totals since its start, `time` in its monotonic seconds.

    pss_bytes    resident memory, pages that others have too divided among them (None: the report does not say)
    throttled_s  seconds for which its CPU quota kept it from running
    """

    instance: int
    process: str
    pid: int
    time: float
    uptime_s: float
    cpu_s: float
    rss_bytes: int
    capture: CaptureLoad | None
    bricks: tuple[BrickLoad, ...]
    pss_bytes: int | None = None
    throttled_s: float = 0.0
    disk: DiskLoad = DiskLoad()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Report:
        """From a load report of the contract. Raises ReportError, naming process and key."""
        process = _get(data, "process", str, "load report")
        where = f"load report of process {process}"
        capture = data.get("capture")
        bricks = _get(data, "bricks", (list, tuple), where)
        return cls(
            process=process,
            instance=_get(data, "instance", int, where),
            pid=_get(data, "pid", int, where),
            time=float(_get(data, "time", NUMBER, where)),
            uptime_s=float(_get(data, "uptime_s", NUMBER, where)),
            cpu_s=float(_get(data, "cpu_s", NUMBER, where)),
            rss_bytes=_get(data, "rss_bytes", int, where),
            capture=None if capture is None else CaptureLoad.parse(capture, f"{where}, capture"),
            bricks=tuple(BrickLoad.parse(brick, f"{where}, brick {index}") for index, brick in enumerate(bricks)),
            pss_bytes=_get(data, "pss_bytes", int, where) if data.get("pss_bytes") is not None else None,
            throttled_s=float(_get(data, "throttled_s", NUMBER, where)) if "throttled_s" in data else 0.0,
            disk=DiskLoad.parse(data["disk"], f"{where}, disk") if "disk" in data else DiskLoad(),
        )

    @property
    def memory_bytes(self) -> int:
        """Its part of the memory that is in use; processes that are forked from one share what was there before."""
        return self.rss_bytes if self.pss_bytes is None else self.pss_bytes

    @property
    def queued(self) -> int:
        """Rows that wait before the process's bricks."""
        return sum(brick.queue_in for brick in self.bricks)

    @property
    def dropped(self) -> int:
        """Packets lost so far, by the kernel or by a brick."""
        kernel = self.capture.kernel_drops if self.capture else 0
        return kernel + sum(brick.lost for brick in self.bricks)


@dataclass(frozen=True, slots=True)
class InstanceLoad:
    """What an instance does between two rounds of reports.

    packets     packets/s taken from its interface, shadows included
    cpu         share of its quota (of one core, where it has none) that its busiest process uses. 1.0: the instance cannot do more
    queue       what waits: share of the capture ring, or of a period's work, whichever is more; 0..1
    drops       packets/s lost before the bricks, since it does not keep up
    service_us  CPU microseconds per packet
    """

    instance: int
    packets: float
    cpu: float
    queue: float
    drops: float
    service_us: float

    @property
    def demand(self) -> float:
        """Share of the quota that it would use if nothing were dropped."""
        return self.cpu * (1 + self.drops / self.packets) if self.packets else self.cpu


Quotas = Mapping[str, float | None]  # cores by process; None: no limit


def pairs_of(before: Mapping[str, Report], after: Mapping[str, Report]) -> list[tuple[Report, Report]]:
    """The two reports of each process that goes on, in order of the processes' names."""
    return [(before[name], now) for name, now in sorted(after.items()) if name in before and _comparable(before[name], now)]


def cores_used(then: Report, now: Report) -> float:
    return (now.cpu_s - then.cpu_s) / (now.time - then.time)


def usable(quota: float | None) -> float:
    """Cores that a process can use: it has one thread of work."""
    return min(1.0, quota or 1.0)


def instance_load(before: Mapping[str, Report], after: Mapping[str, Report], quotas: Quotas | float | None) -> InstanceLoad | None:
    """Load of one instance from two rounds of its processes' reports (by process name); `quotas`: one for all, or by process.

    None where no process can be compared: the first round, or every process was started anew since.
    """
    pairs = pairs_of(before, after)
    if not pairs:
        return None
    cores = [cores_used(then, now) for then, now in pairs]
    packets = _rate(pairs, _taken)
    return InstanceLoad(
        instance=pairs[0][1].instance,
        packets=packets,
        cpu=max(used / usable(_quota(quotas, now.process)) for used, (_, now) in zip(cores, pairs, strict=True)),
        queue=max(_waiting(then, now) for then, now in pairs),
        drops=_rate(pairs, _lost),
        service_us=1e6 * sum(cores) / packets if packets else 0.0,
    )


def _quota(quotas: Quotas | float | None, process: str) -> float | None:
    return quotas.get(process) if isinstance(quotas, Mapping) else quotas


def _comparable(then: Report, now: Report) -> bool:
    return now.pid == then.pid and now.time > then.time and now.cpu_s >= then.cpu_s


def _rate(pairs: list[tuple[Report, Report]], total: Callable[[Report], int]) -> float:
    return sum(max(0, total(now) - total(then)) / (now.time - then.time) for then, now in pairs)


def _taken(report: Report) -> int:
    return report.capture.received if report.capture else 0


def _lost(report: Report) -> int:
    return report.capture.kernel_drops if report.capture else 0


def _waiting(then: Report, now: Report) -> float:
    """Share of the ring that waits, or the time to work off what waits before bricks, as a share of the time between reports."""
    work_s = sum(brick.queue_in * brick.service_us for brick in now.bricks) / 1e6
    return max(now.capture.queue if now.capture else 0.0, min(1.0, work_s / (now.time - then.time)))
