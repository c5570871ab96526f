"""Reorder and join buffer: puts batches that took several ways back in order, and joins parts of batches partitioned by key."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bricks.records.brick import Batch
from bricks.records.sequence import SequenceRange

MOST = 512  # batches that may be held
PATIENCE_S = 2.0  # for a batch that nobody seems to have, before it counts as lost
LONG_S = 60.0  # as long as somebody may have it who is behind


@dataclass
class _Pending:
    """A batch, or what has come of its `wanted` parts so far, by number; since: when the first of them came (seconds)."""

    since: float
    ticket: SequenceRange
    wanted: int
    parts: dict[int, Batch] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.parts) == self.wanted

    @property
    def rows(self) -> int:
        return sum(map(len, self.parts.values()))

    def joined(self) -> Batch:
        """All rows in stamp order."""
        parts = list(self.parts.values())
        if len(parts) == 1:
            return parts[0]
        head = np.concatenate([part.head for part in parts])
        order = np.argsort(head["seq"], kind="stable")
        values = [part.values for part in parts if part.values is not None and len(part)]
        return Batch(head[order], np.concatenate(values)[order] if values else parts[0].values)


class ReorderBuffer:
    """Gives out batches by their tickets: each begins where the one before ended. Holds those that come too early.

    `joins`: a batch that was cut is given out once its parts are there, as one; else a part counts as the batch: whoever sits before keyed
    replicas gives each its part of every batch.

    `wanted` is the row number of the next batch. Once any batch is held for `patience_s`, what does not come before it is given up, a batch
    or a part: its rows count as `lost`. What comes a second time, or after it was given up, counts as `repeated`. `behind`: a
    live writer has not yet passed the wanted number; wait up to `LONG_S` instead.
    """

    def __init__(self, wanted: int = 0, most: int = MOST, patience_s: float = PATIENCE_S, joins: bool = True) -> None:
        self.wanted, self.most, self.patience_s, self.joins = wanted, most, patience_s, joins
        self.lost = self.repeated = 0
        self.behind = False
        self.held_rows = 0
        self._held: dict[int, _Pending] = {}  # in the order in which they came

    def admits(self, first: int) -> bool:
        """Whether a batch that begins there could be offered: it is due, or there is room to hold it."""
        return first <= self.wanted or len(self._held) < self.most

    def offer(self, batch: Batch, ticket: SequenceRange, now: float) -> bool:
        """True: it is this batch's turn, process it now. False: it is held (copied), or it came before and is not to be processed."""
        part, parts = (ticket.part, ticket.parts) if self.joins else (0, 1)
        there = self._held.get(ticket.first)
        if ticket.first == self.wanted and parts == 1 and there is None:
            self.wanted = ticket.end
            return True
        if ticket.first < self.wanted or (there is not None and part in there.parts):
            self.repeated += len(batch)
            return False
        if there is None:
            there = self._held[ticket.first] = _Pending(now, ticket, parts)
        there.parts[part] = batch.copy()
        self.held_rows += len(batch)
        return False

    def due(self) -> tuple[Batch, SequenceRange] | None:
        """The held batch whose turn it is, if it is there."""
        there = self._held.get(self.wanted)
        return self._give(there) if there is not None and there.complete else None

    def overdue(self, now: float) -> tuple[Batch, SequenceRange] | None:
        """The earliest batch that is held, with what is there of it, if patience has ended; what should have come before is given up."""
        if not self._held or self.wait_s(now):
            return None
        earliest = min(self._held)
        self.lost += earliest - self.wanted
        self.wanted = earliest
        return self._give(self._held[earliest])

    def _give(self, there: _Pending) -> tuple[Batch, SequenceRange]:
        del self._held[self.wanted]
        if not there.complete:
            self.lost += there.ticket.scored - there.rows
        self.held_rows -= there.rows
        self.wanted = there.ticket.end
        return there.joined(), there.ticket.whole if self.joins else there.ticket

    def wait_s(self, now: float) -> float | None:
        """Seconds until something can be given out without anything more coming; None: nothing is held."""
        if not self._held:
            return None
        there = self._held.get(self.wanted)
        if there is not None and there.complete:
            return 0.0
        patience_s = max(LONG_S, self.patience_s) if self.behind else self.patience_s
        return max(0.0, next(iter(self._held.values())).since + patience_s - now)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<Order wanted={self.wanted} held={len(self._held)} lost={self.lost} repeated={self.repeated}>"
