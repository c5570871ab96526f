"""Reorder and join buffer: puts batches that took several ways back in order, joins parts of batches partitioned by key, and the
results of several nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bricks.records.brick import Batch
from bricks.records.sequence import SequenceRange

MOST = 512  # batches that may be held
PATIENCE_S = 2.0  # for a batch that nobody seems to have, before it counts as lost
LONG_S = 60.0  # as long as somebody may have it who is behind


class Joining(NamedTuple):
    """How a brick sees the results of several nodes before it.

    edges         how many there are; they are numbered as `Graph.before` names them
    side_by_side  one row for each packet, with the columns of all inputs in the order of the edges; else each input is another result, and
                  its rows stay rows of their own, in the order of stamps and then of edges
    results       of these, how many each row that entered the instance becomes
    gaps          rows of which nothing came count as lost here; else where the graph ends
    """

    edges: int = 1
    side_by_side: bool = True
    results: int = 1
    gaps: bool = True


@dataclass
class _Pending:
    """A batch, or what has come of it so far: by edge and part. `wanted`: how many parts it has on each edge of which one came.

    since: when the first of them came (seconds)
    """

    since: float
    ticket: SequenceRange
    edges: int
    wanted: dict[int, tuple[int, int]] = field(default_factory=dict)  # edge -> (parts, rows to be scored)
    parts: dict[tuple[int, int], Batch] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.wanted) == self.edges and len(self.parts) == sum(parts for parts, _ in self.wanted.values())

    @property
    def rows(self) -> int:
        return sum(map(len, self.parts.values()))

    def expected(self, edge: int) -> int:
        """Rows that an edge had to bring, as far as it is known."""
        parts, scored = self.wanted[edge]
        return self.arrived(edge) if parts == sum(there == edge for there, _ in self.parts) else scored

    def arrived(self, edge: int) -> int:
        return sum(len(batch) for (there, _), batch in self.parts.items() if there == edge)

    def of_edge(self, edge: int) -> Batch:
        """What came by an edge, in stamp order."""
        return _in_stamp_order([batch for (there, _), batch in self.parts.items() if there == edge])

    def joined(self, how: Joining) -> Batch:
        """All rows in stamp order; side by side: those that all edges brought."""
        if how.side_by_side and len(self.wanted) < how.edges:
            return Batch(next(iter(self.parts.values())).head[:0], None)
        return join([self.of_edge(edge) for edge in sorted(self.wanted)], how)

    def lost(self, how: Joining, given: int) -> int:
        """Rows that should have been given out and were not."""
        if self.complete:
            return 0
        expected = [self.expected(edge) for edge in self.wanted]
        if how.edges == 1 or how.side_by_side:
            return max(expected) - given
        missing = 0 if len(self.wanted) == how.edges else max(0, self.ticket.span * how.results - sum(expected))
        return sum(expected) + missing - given


def join(inputs: list[Batch], how: Joining) -> Batch:
    """The batches of all edges as the one that a brick gets."""
    if len(inputs) == 1:
        return inputs[0]
    return _side_by_side(inputs) if how.side_by_side else _in_stamp_order(inputs)


def _in_stamp_order(parts: list[Batch]) -> Batch:
    """Their rows, of equal stamps in the order of the parts."""
    if len(parts) == 1:
        return parts[0]
    head = np.concatenate([part.head for part in parts])
    order = np.argsort(head["seq"], kind="stable")
    values = [part.values for part in parts if part.values is not None and len(part)]
    return Batch(head[order], np.concatenate(values)[order] if values else parts[0].values)


def _side_by_side(inputs: list[Batch]) -> Batch:
    """One row for each stamp that all have: heads of the first, columns of all."""
    stamps = inputs[0].head["seq"]
    if any(not np.array_equal(stamps, one.head["seq"]) for one in inputs[1:]):
        for one in inputs[1:]:
            stamps = np.intersect1d(stamps, one.head["seq"])
        inputs = [_rows(one, np.isin(one.head["seq"], stamps)) for one in inputs]
    columns = [one.values for one in inputs if one.values is not None]
    return Batch(inputs[0].head, np.hstack(columns) if columns else None)


def _rows(batch: Batch, chosen: np.ndarray) -> Batch:
    return Batch(batch.head[chosen], None if batch.values is None else batch.values[chosen])


ONE_INPUT = Joining()


class ReorderBuffer:
    """Gives out batches by their tickets: each begins where the one before ended. Holds those that come too early.

    `joins`: a batch that was cut is given out once its parts are there, as one; else a part counts as the batch: whoever sits before keyed
    replicas gives each its part of every batch.

    `wanted` is the row number of the next batch. Once any batch is held for `patience_s`, what does not come before it is given up, a batch
    or a part: its rows count as `lost`. What comes a second time, or after it was given up, counts as `repeated`. `behind`: a
    live writer has not yet passed the wanted number; wait up to `LONG_S` instead.

    how  a batch comes once by each edge, and is given out as one once it came by all
    """

    def __init__(
        self, wanted: int = 0, most: int = MOST, patience_s: float = PATIENCE_S, joins: bool = True, how: Joining = ONE_INPUT
    ) -> None:
        self.wanted, self.most, self.patience_s, self.joins, self.how = wanted, most, patience_s, joins, how
        self.lost = self.repeated = 0
        self.behind = False
        self.held_rows = 0
        self._held: dict[int, _Pending] = {}  # in the order in which they came

    def admits(self, first: int) -> bool:
        """Whether a batch that begins there could be offered: it is due, or there is room to hold it."""
        return first <= self.wanted or len(self._held) < self.most or first in self._held

    def offer(self, batch: Batch, ticket: SequenceRange, now: float, edge: int = 0) -> bool:
        """True: it is this batch's turn, process it now. False: it is held (copied), or it came before and is not to be processed."""
        part, parts = (ticket.part, ticket.parts) if self.joins else (0, 1)
        there = self._held.get(ticket.first)
        if ticket.first == self.wanted and parts == 1 and there is None and self.how.edges == 1:
            self.wanted = ticket.end
            return True
        if ticket.first < self.wanted or (there is not None and (edge, part) in there.parts):
            self.repeated += len(batch)
            return False
        if there is None:
            there = self._held[ticket.first] = _Pending(now, ticket, self.how.edges)
        there.wanted.setdefault(edge, (parts, ticket.scored))
        there.parts[edge, part] = batch.copy()
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
        if self.how.gaps:
            self.lost += (earliest - self.wanted) * self.how.results
        self.wanted = earliest
        return self._give(self._held[earliest])

    def _give(self, there: _Pending) -> tuple[Batch, SequenceRange]:
        del self._held[self.wanted]
        joined = there.joined(self.how)
        self.lost += there.lost(self.how, len(joined))
        self.held_rows -= there.rows
        self.wanted = there.ticket.end
        return joined, there.ticket.whole if self.joins else there.ticket

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
