"""What a running system does from moment to moment: packets scored, CPU given and used, memory, by what its controller shows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bricks.service.usage import proportional_bytes
from lego_sdn.system.session import Live

EVERY_S = 0.25  # between two looks


@dataclass(frozen=True)
class Sample:
    """One look.

    at         seconds since the meter was made
    scored     packets/s at the end of the graph since its process's report before
    cores      CPU quotas of all brick processes together; used_s: CPU seconds that they have used so far, those that are gone included
    memory     bytes of all brick processes; what forked processes share is divided among them
    processes  brick processes; instances: running ones
    """

    at: float
    scored: float
    cores: float
    used_s: float
    memory: int
    processes: int
    instances: int


@dataclass
class SystemMeter:
    """Looks through the controller, which asks the brick processes anyway: measuring costs them nothing.

    last  kind at the end of the graph
    """

    live: Live
    last: str
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self._before: dict[int, tuple[float, int]] = {}  # of the processes with a last brick, by pid: when, packets so far
        self._rates: dict[int, float] = {}
        self._used: dict[int, float] = {}

    def watch(self, seconds: float) -> list[Sample]:
        """Look for so long; the samples of that time."""
        found, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            found.append(self.look())
            time.sleep(EVERY_S)  # the pace of looking, not a wait for a fact
        return found

    def look(self) -> Sample:
        """One more sample."""
        self.live.system.check()
        shown, graph = self.live.get("bricks"), self.live.get("graph")
        ends = {row["process"]: row for row in shown["bricks"] if row["kind"] == self.last}
        for process in shown["processes"]:
            self._used[process["pid"]] = process["cpu_s"] or self._used.get(process["pid"], 0.0)
            if process["process"] in ends:
                self._scored(process, ends[process["process"]])
        quotas = [process["cpu_quota"] or 0.0 for one in graph["instances"] for process in one["processes"]]
        there = {process["pid"] for process in shown["processes"]}
        sample = Sample(
            at=time.monotonic() - self.began,
            scored=sum(rate for pid, rate in self._rates.items() if pid in there),
            cores=sum(quotas),
            used_s=sum(self._used.values()),
            memory=sum(map(_memory, there)),
            processes=len(there),
            instances=len(graph["instances"]),
        )
        self.samples.append(sample)
        return sample

    def _scored(self, process: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Rate of one process's last brick between its latest two reports; by the clock of the process itself."""
        pid, now = process["pid"], (process["uptime_s"], row["packets_in"])
        before = self._before.get(pid)
        if before is not None and now[0] > before[0]:
            self._rates[pid] = (now[1] - before[1]) / (now[0] - before[0])
        self._before[pid] = now


def _memory(pid: int) -> int:
    """Proportional bytes of a process; 0 if it has just gone."""
    with contextlib.suppress(OSError):
        return proportional_bytes(pid)
    return 0
