"""Putting batches back in order that came over several ways."""

from __future__ import annotations

from bricks.base import Batch
from bricks.rings import Ticket

MOST = 512  # batches that may be held
PATIENCE_S = 2.0  # for a batch that does not come, before it counts as lost


class Order:
    """Gives out batches by their tickets: each begins where the one before ended. Holds those that come too early.

    `wanted` is the row number of the next batch. A batch that does not come within `patience_s` of a later one is given up:
    its rows count as `lost`. One that comes a second time, or after it was given up, counts as `repeated`.
    """

    def __init__(self, wanted: int = 0, most: int = MOST, patience_s: float = PATIENCE_S) -> None:
        self.wanted, self.most, self.patience_s = wanted, most, patience_s
        self.lost = self.repeated = 0
        self.held_rows = 0
        self._held: dict[int, tuple[Batch, Ticket]] = {}
        self._since: float | None = None  # waiting for `wanted` while others are held

    def admits(self, first: int) -> bool:
        """Whether a batch that begins there could be offered: it is due, or there is room to hold it."""
        return first <= self.wanted or len(self._held) < self.most

    def offer(self, batch: Batch, ticket: Ticket, now: float) -> bool:
        """True: it is this batch's turn, process it now. False: it is held (copied), or it came before and is not to be processed."""
        if ticket.first == self.wanted:
            self.wanted += ticket.span
            return True
        if ticket.first < self.wanted or ticket.first in self._held:
            self.repeated += len(batch)
            return False
        self._held[ticket.first] = (batch.copy(), ticket)
        self.held_rows += len(batch)
        self._since = now if self._since is None else self._since
        return False

    def due(self, now: float) -> tuple[Batch, Ticket] | None:
        """The held batch whose turn it is, if there is one; after `patience_s` of waiting, the earliest held."""
        if self._held and self.wanted not in self._held and self.wait_s(now) == 0:
            earliest = min(self._held)
            self.lost += earliest - self.wanted
            self.wanted = earliest
        there = self._held.pop(self.wanted, None)
        if there is not None:
            self.held_rows -= len(there[0])
            self.wanted += there[1].span
            self._since = now if self._held else None
        return there

    def wait_s(self, now: float) -> float | None:
        """Seconds until patience ends; None: nothing is held."""
        if self._since is None or not self._held:
            return None
        return 0.0 if self.wanted in self._held else max(0.0, self._since + self.patience_s - now)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<Order wanted={self.wanted} held={len(self._held)} lost={self.lost} repeated={self.repeated}>"
