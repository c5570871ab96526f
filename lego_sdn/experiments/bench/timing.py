"""Clocks: wall and CPU time of a piece of work, and pieces of work in turns."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Lap(NamedTuple):
    """Seconds of one piece of work: by the wall clock, and of CPU of this process and of those that it started and that ended meanwhile."""

    wall: float
    cpu: float

    def rates(self, count: int) -> Lap:
        """`count` things per second, by either clock."""
        return Lap(count / max(self.wall, 1e-9), count / max(self.cpu, 1e-9))


def lap(work: Callable[[], object]) -> Lap:
    """Do it once."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return Lap(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def kernel_seconds() -> float:
    """CPU that the operating system has used for this process so far, new memory above all."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def in_turns(runs: int, works: Mapping[str, Callable[[], object]]) -> dict[str, list[Lap]]:
    """Every piece of work `runs` times, A B A B: the laps of one index were taken one after the other, so their ratio holds."""
    laps: dict[str, list[Lap]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            laps[name].append(lap(work))
    return laps


def rates(laps: list[Lap], count: int) -> dict[str, tuple[float, ...]]:
    """`runs` and `by_cpu` of a result: things per second."""
    both = [one.rates(count) for one in laps]
    return {"runs": tuple(one.wall for one in both), "by_cpu": tuple(one.cpu for one in both)}


def ratios(above: list[Lap], below: list[Lap]) -> dict[str, tuple[float, ...]]:
    """`runs` and `by_cpu` of a result: quotients of laps of the same run."""
    pairs = list(zip(above, below, strict=True))
    return {"runs": tuple(a.wall / b.wall for a, b in pairs), "by_cpu": tuple(a.cpu / max(b.cpu, 1e-9) for a, b in pairs)}
