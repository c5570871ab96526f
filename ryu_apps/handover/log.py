"""What is kept of each move of buckets, for `GET moves`: how long which step took, and what went from where to where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.traffic.handover import BucketMove, Moved
from lego_sdn.core.traffic.handover_steps import PrepareRules


class Laps:
    """Milliseconds of each kind of step since the move began; `began`, `ended` in epoch seconds."""

    def __init__(self, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._clock, self.began = clock, wall()
        self.steps: dict[str, float] = {}
        self._first = self._last = clock()

    def note(self, step: str) -> None:
        """A step is over; those of one name are added up."""
        now = self._clock()
        self.steps[step] = self.steps.get(step, 0.0) + (now - self._last) * 1e3
        self._last = now

    @property
    def ms(self) -> float:
        """From the first step to the end of the last."""
        return (self._last - self._first) * 1e3

    @property
    def held_ms(self) -> float:
        """Of it, what packets may have to wait: all but getting the rules ready."""
        return self.ms - self.steps.get(PrepareRules.__name__, 0.0)

    def __str__(self) -> str:
        return ", ".join(f"{name} {ms:.0f} ms" for name, ms in self.steps.items())


def told(move: BucketMove, moved: Sequence[Moved], laps: Laps) -> dict[str, Any]:
    """One row of `GET moves`, plain values."""
    return {
        "began": laps.began,
        "ms": round(laps.ms, 3),
        "held_ms": round(laps.held_ms, 3),
        "steps": {name: round(ms, 3) for name, ms in laps.steps.items()},
        "cut": move.cut,
        "held": move.held,
        "handovers": [
            asdict(one.handover) | {key: getattr(one, key) for key in ("bytes", "records", "packets", "evicted", "error")} for one in moved
        ],
        "errors": {str(instance): error for instance, error in sorted(move.errors.items())},
    }
