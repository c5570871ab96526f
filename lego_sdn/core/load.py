"""Load reports of processes, and the rates between two of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.errors import LegoError


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
NEWER = frozenset({"holds_expired", "expired", "held_dropped", "held_shadows_dropped"})  # an older report lacks them


@dataclass(frozen=True, slots=True)
class CaptureLoad:
    """Totals of the interface's ring; `queue` is the share of its blocks that wait, 0..1.

    holds_expired, expired              holds that ended without their mover, and the rows that waited in them
    held_dropped, held_shadows_dropped  packets and shadows that had to wait and for which there was no room
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

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> CaptureLoad:
        queue = float(_get(data, "queue", NUMBER, where))
        if queue > 1.0:
            raise ReportError(f"{where}: queue is {queue}, wanted a share from 0 to 1")
        totals = {name: _get(data, name, int, where) for name in cls.__slots__ if name != "queue" and (name in data or name not in NEWER)}
        return cls(queue=queue, **totals)


@dataclass(frozen=True, slots=True)
class BrickLoad:
    """Totals of one brick since its start; queues in rows, `service_us` per packet, `dropped` by reason."""

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

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> BrickLoad:
        names: dict[str, Any] = {"id": str, "kind": str, "dropped": Mapping, "counters": Mapping, "cpu_s": NUMBER, "service_us": NUMBER}
        return cls(**{name: _get(data, name, names.get(name, int), where) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Report:
    """What one process of an instance says of itself: totals since its start, `time` in its monotonic seconds."""

    instance: int
    process: str
    pid: int
    time: float
    uptime_s: float
    cpu_s: float
    rss_bytes: int
    capture: CaptureLoad | None
    bricks: tuple[BrickLoad, ...]

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
        )

    @property
    def queued(self) -> int:
        """Rows that wait before the process's bricks."""
        return sum(brick.queue_in for brick in self.bricks)

    @property
    def dropped(self) -> int:
        """Packets lost so far, by the kernel or by a brick."""
        kernel = self.capture.kernel_drops if self.capture else 0
        return kernel + sum(sum(brick.dropped.values()) for brick in self.bricks)


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


def instance_load(before: Mapping[str, Report], after: Mapping[str, Report], quota: float | None) -> InstanceLoad | None:
    """Load of one instance from two rounds of its processes' reports (by process name); `quota` in cores, for each process.

    None where no process can be compared: the first round, or every process was started anew since.
    """
    pairs = [(before[name], now) for name, now in sorted(after.items()) if name in before and _comparable(before[name], now)]
    if not pairs:
        return None
    cores = [(now.cpu_s - then.cpu_s) / (now.time - then.time) for then, now in pairs]
    packets = _rate(pairs, _taken)
    return InstanceLoad(
        instance=pairs[0][1].instance,
        packets=packets,
        cpu=max(cores) / min(1.0, quota or 1.0),
        queue=max(_waiting(then, now) for then, now in pairs),
        drops=_rate(pairs, _lost),
        service_us=1e6 * sum(cores) / packets if packets else 0.0,
    )


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
