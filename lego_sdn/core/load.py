"""Load reports of processes, and the rates between two of them."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class CaptureLoad:
    """Totals of the interface's ring; `queue` is the share of its blocks that wait, 0..1."""

    received: int
    kernel_drops: int
    queue: float
    shadows: int = 0
    gaps: int = 0
    repeats: int = 0
    reordered: int = 0

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> CaptureLoad:
        queue = float(_get(data, "queue", NUMBER, where))
        if queue > 1.0:
            raise ReportError(f"{where}: queue is {queue}, wanted a share from 0 to 1")
        totals = {name: _get(data, name, int, where) for name in cls.__slots__ if name != "queue"}
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
