"""Since when the scores of an instance are surely those of the unsplit run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

KEPT_LOOKS = 16


@dataclass(frozen=True, slots=True)
class ExactSince:
    """Nothing was lost since `since` (seconds of the controller's clock), when `reason` was the last to set it back.

    sure_until  a moment up to which every score is that of the unsplit run; None: there was no loss since its start
    stamp       the first stamp that had not been taken by then: only scores from this one on may be wrong
    losses      by reason, so far, as far as they can be counted (at least 1 each); also of earlier instances with this number
    seen        by reason, when the last loss was seen; by counter, when the last packets that cannot be split were
    looks       the latest load reports: when each came, and the first stamp that it had not taken
    gaps        of stamps that are no loss, or were told as one; alone: looks in a row at which no other instance got packets
    """

    since: float
    reason: str = "start"
    sure_until: float | None = None
    stamp: int = 0
    losses: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    looks: tuple[tuple[float, int], ...] = ()
    gaps: int = 0
    alone: int = 0

    def stamp_at(self, time: float) -> int:
        """The first stamp that it is not known to have taken by then."""
        return max((stamp for at, stamp in self.looks if at <= time), default=0)

    def looked(self, now: float, stamp: int) -> ExactSince:
        return replace(self, looks=(*self.looks, (now, stamp))[-KEPT_LOOKS:])

    def after_loss(self, reason: str, count: int, good: float, now: float) -> ExactSince:
        """`good`: when it was last known that there was no such loss."""
        first = self.sure_until is None
        return replace(
            self,
            since=now,
            reason=reason,
            sure_until=good if first else self.sure_until,
            stamp=self.stamp_at(good) if first else self.stamp,
            losses={**self.losses, reason: self.losses.get(reason, 0) + count},
            seen={**self.seen, reason: now},
        )
