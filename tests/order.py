"""In which order files of tests run, and how long each took: two workers end together when the longest files begin first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

SHOWN = 20
# Seconds of a file in two workers on two cores, as a run shows them at its end; only files that take long must be here.
SECONDS: dict[str, float] = {}


def seconds_of(path: str) -> float:
    """The seconds that a file takes, as far as they are known."""
    return SECONDS.get(path, 0.0)


def slowest_files(reports: Iterable[Any]) -> list[tuple[str, float]]:
    """Files and their seconds, of tests with their fixtures, the slowest first."""
    total: Counter[str] = Counter()
    for report in reports:
        total[report.nodeid.partition("::")[0]] += getattr(report, "duration", 0.0)
    return total.most_common(SHOWN)
