"""What bricks count: names and numbers in their reports, one value here. Names begin with what is counted; the kind of streams follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STREAMS, EVICTED = "streams_", "evicted_"


@dataclass(frozen=True, slots=True)
class BrickCounters:
    """Counters with a meaning beyond their own brick.

    streams     held now, by kind; evicted: that the bound on them made the brick forget, by kind
    shadows     copies that were taken into state; None: the brick keeps no state by key
    late_total  rows that took longer than all deadlines together
    others      by name
    """

    streams: Mapping[str, int] = field(default_factory=dict)
    evicted: Mapping[str, int] = field(default_factory=dict)
    shadows: int | None = None
    late_total: int = 0
    others: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counters: Mapping[str, int]) -> BrickCounters:
        """From the names and numbers of a report."""
        streams = {name.removeprefix(STREAMS): count for name, count in counters.items() if name.startswith(STREAMS)}
        evicted = {name.removeprefix(EVICTED): count for name, count in counters.items() if name.startswith(EVICTED)}
        others = {name: count for name, count in counters.items() if not name.startswith((STREAMS, EVICTED))}
        return cls(streams, evicted, others.pop("shadows", None), others.pop("late_total", 0), others)

    @property
    def is_keyed(self) -> bool:
        """Whether the brick keeps state by key."""
        return self.shadows is not None

    @property
    def all_evicted(self) -> int:
        """Streams of any kind that were forgotten."""
        return sum(self.evicted.values())
