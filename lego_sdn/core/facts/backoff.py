"""Waiting after failures in a row, each time longer."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.facts.instance_notes import EarlyDeath


@dataclass(frozen=True, slots=True)
class RetryWaits:
    """Seconds to wait: `first_s` after one failure, twice as long after each further one, `longest_s` at the most.

    give_up_after  from so many failures on it is `longest_s` at once; None: doubling leads there
    """

    first_s: float
    longest_s: float
    give_up_after: int | None = None

    def after(self, failures: int) -> float:
        """After so many failures in a row, one at least."""
        if self.give_up_after is not None and failures >= self.give_up_after:
            return self.longest_s
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 64))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row, and when it may be tried again."""

    failures: int = 0
    until: float = 0.0

    def after_failure(self, now: float, waits: RetryWaits) -> Backoff:
        """One more."""
        failures = self.failures + 1
        return Backoff(failures, now + waits.after(failures))

    def early(self, lived_s: float, now: float) -> EarlyDeath:
        """What is told of a death that was too soon."""
        return EarlyDeath(lived_s, self.failures, self.until - now)
