"""A row of the bench: what is measured and how much is wanted, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """What is measured. `least` and `aim` in `unit`; None: nothing is promised.

    fewer     less is better, and `least` is the most that is allowed
    by_worst  the worst run is judged, not the median: of what must never happen, such as a loss
    """

    name: str
    what: str
    unit: str
    least: float | None = None
    aim: float | None = None
    fewer: bool = False
    by_worst: bool = False

    @classmethod
    def of_losses(cls, name: str, what: str) -> Row:
        """Of packets that must not be lost, or scores that must not differ: not one in any run."""
        return cls(name, what, "packets", 0, fewer=True, by_worst=True)

    def judged(self, runs: tuple[float, ...]) -> float | None:
        """The figure that the runs are judged by; None if there are none."""
        if not runs:
            return None
        if self.by_worst:
            return max(runs) if self.fewer else min(runs)
        return median(runs)

    def reaches(self, value: float, target: float | None) -> bool:
        """Whether a figure is as good as a target; one that is not set is reached by nothing."""
        if target is None:
            return False
        return value <= target if self.fewer else value >= target


@dataclass(frozen=True)
class Result:
    """What came out of the runs of a row.

    runs     a figure for each run, by the wall clock
    by_cpu   the same figures by the CPU time of the process, where one process did the work: other load on the machine hardly shows
    skipped  why it was not measured; failed: why it could not be
    detail   plain values behind the figure; `note` says them
    """

    row: Row
    runs: tuple[float, ...] = ()
    by_cpu: tuple[float, ...] = ()
    note: str = ""
    skipped: str | None = None
    failed: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        return median(self.runs) if self.runs else None

    @property
    def cpu_value(self) -> float | None:
        return median(self.by_cpu) if self.by_cpu else None

    @property
    def verdict(self) -> str:
        """Of the median, or of the worst run where the row says so.

        "aim", "at least" or "below"; "at least, by CPU time" where other load alone can be to blame; "" where nothing is promised.
        """
        judged, by_cpu = self.row.judged(self.runs), self.row.judged(self.by_cpu)
        if judged is None or self.row.least is None:
            return ""
        wall = self._level(judged)
        if by_cpu is None or wall == self._level(by_cpu) or wall == "aim":
            return wall
        return f"{self._level(by_cpu)}, by CPU time" if wall == "below" else wall

    def _level(self, value: float) -> str:
        if self.row.reaches(value, self.row.aim):
            return "aim"
        return "at least" if self.row.reaches(value, self.row.least) else "below"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        row = self.row
        out: dict[str, Any] = {"name": row.name, "what": row.what, "unit": row.unit, "at_least": row.least, "aim": row.aim}
        out |= {"better": "less" if row.fewer else "more", "judged_by": "worst run" if row.by_worst else "median"}
        out |= {"skipped": self.skipped, "failed": self.failed}
        runs, cpu = list(self.runs), list(self.by_cpu)
        out |= {"median": self.value, "min": min(runs, default=None), "max": max(runs, default=None), "runs": runs}
        out |= {"median_by_cpu": self.cpu_value, "runs_by_cpu": cpu, "verdict": self.verdict}
        return out | {"note": self.note, "detail": self.detail}
