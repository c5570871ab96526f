"""What a brick process uses of its host besides its own count of CPU: memory, the disk, and how long its quota kept it from running.

Cheap enough for every load report (37 us), but for the pages that it shares: the kernel walks all pages for that (1.2 ms of CPU for 108 MB,
5.8 ms for 318 MB, which is a long time under a small quota, and for a replica that packets wait for).
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lego_sdn.core.facts.clock import Clock

PSS_S = 30.0  # between two walks over the pages
FIRST_S = 1.0  # before the first one: until then its memory is what it has touched since it was forked
BLOCK = 512  # bytes, in which the kernel counts what comes from the disk
DELAYS = 42  # field of /proc/PID/stat: clock ticks of waiting for the disk; 0 unless sysctl kernel.task_delayacct is 1


class Usage:
    """Of this process. `groups`: its cgroups' folders, the one with the quota first; none: it has no quota. `pages`: tells its memory."""

    def __init__(self, groups: Sequence[str] = (), clock: Clock = time.monotonic, pages: Callable[[int | str], int] | None = None) -> None:
        self._stat = Path(groups[0]) / "cpu.stat" if groups else None
        self._clock, self._pages = clock, pages or proportional_bytes
        self._pss: int | None = None
        self._again = clock() + FIRST_S

    def report(self) -> dict[str, Any]:
        """The part of the load report: totals since start; `pss_bytes` is up to 30 s old; in the first second it is reckoned."""
        if self._clock() >= self._again:
            self._pss, self._again = self._pages("self"), self._clock() + PSS_S
        pss = _touched_bytes() if self._pss is None else self._pss
        throttled = throttled_s(self._stat) if self._stat is not None else 0.0
        return {"rss_bytes": _resident_bytes(), "pss_bytes": pss, "throttled_s": throttled, "disk": _disk()}


def proportional_bytes(pid: int | str) -> int:
    """Resident memory of a process, each page divided by the number of processes that have it. OSError if it has gone."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return 0  # a process that has ended and was not waited for has no pages


def throttled_s(stat: Path) -> float:
    """Seconds for which its quota kept a cgroup from running, by its `cpu.stat` of version 2 or 1."""
    counts = dict(line.split() for line in stat.read_text().splitlines())
    return int(counts["throttled_usec"]) / 1e6 if "throttled_usec" in counts else int(counts.get("throttled_time", 0)) / 1e9


def _touched_bytes() -> int:
    """Of the pages that a process has of its own since it was forked: each took a page fault."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt * os.sysconf("SC_PAGESIZE")


def _disk() -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    delays = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return {
        "major_faults": used.ru_majflt,
        "read_bytes": BLOCK * used.ru_inblock,
        "written_bytes": BLOCK * used.ru_oublock,
        "wait_s": int(delays[DELAYS - 3]) / os.sysconf("SC_CLK_TCK"),
    }


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
