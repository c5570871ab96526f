"""Rate limit for log entries about other parties' faults: a log must not grow as fast as somebody else likes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

BURST, PAUSE_S = 5, 30.0  # complaints that are told at once; seconds to the next one after these


class Complaints:
    """`tell` is called with the text, and with what `say` was given besides; of those that are left out the next text gives the number."""

    def __init__(self, tell: Callable[..., object], clock: Callable[[], float] = time.monotonic) -> None:
        self.tell, self.clock = tell, clock
        self.allowed, self.since, self.untold = float(BURST), clock(), 0

    def say(self, text: str, **details: Any) -> None:
        """Tell it, or count it as one of those that the next text that is told mentions."""
        now = self.clock()
        self.allowed, self.since = min(BURST, self.allowed + (now - self.since) / PAUSE_S), now
        if self.allowed < 1:
            self.untold += 1
            return
        self.allowed -= 1
        more, self.untold = self.untold, 0
        self.tell(f"{text} ({more} more of the like were not told one by one)" if more else text, **details)
