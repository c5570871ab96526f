"""Putting batches in order: whatever way they come, they are given out once, in order, and what is missing is counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.runtime.reorder import ReorderBuffer


def batch(ticket: SequenceRange) -> Batch:
    head = np.zeros(ticket.span, PACKET)
    head["seq"] = np.arange(ticket.first, ticket.first + ticket.span)
    return Batch(head, head["seq"][:, None].astype(np.float64))


def tickets(spans: list[int]) -> list[SequenceRange]:
    return [SequenceRange(sum(spans[:at]), span) for at, span in enumerate(spans)]


def feed(order: ReorderBuffer, arriving: list[SequenceRange], now: float = 0.0) -> list[int]:
    """Offer the batches as far as they are admitted, taking out what is due in between; the rows in the order given out."""
    rows: list[int] = []
    for ticket in arriving:
        if not order.admits(ticket.first):
            continue
        mine = batch(ticket)
        if order.offer(mine, ticket, now):
            rows += mine.head["seq"].tolist()
        mine.head["seq"] = 0  # a held batch must be a copy
        rows += take(order, now)
    return rows


def take(order: ReorderBuffer, now: float) -> list[int]:
    rows: list[int] = []
    while (there := order.due() or order.overdue(now)) is not None:
        rows += there[0].head["seq"].tolist()
    return rows


@given(some.lists(some.integers(1, 5), min_size=1, max_size=30), some.randoms())
def test_any_order_becomes_the_order(spans, random):
    arriving = tickets(spans)
    random.shuffle(arriving)
    order = ReorderBuffer()
    assert feed(order, arriving) == list(range(sum(spans)))
    assert (order.lost, order.repeated, len(order), order.held_rows, order.wanted) == (0, 0, 0, 0, sum(spans))


@given(some.lists(some.tuples(some.integers(1, 5), some.booleans()), min_size=1, max_size=30), some.randoms())
def test_what_does_not_come_is_given_up_after_patience_and_counted(plan, random):
    all_of_them = tickets([span for span, _ in plan])
    arriving = [ticket for ticket, (_, comes) in zip(all_of_them, plan, strict=True) if comes]
    wanted = [row for ticket in arriving for row in range(ticket.first, ticket.end)]
    random.shuffle(arriving)
    order = ReorderBuffer(patience_s=1.0)
    rows, now = feed(order, arriving), 0.0
    assert take(order, 0.99) == []
    while len(order):
        assert 0 < order.wait_s(now) <= 1.0
        now += 1.0
        rows += take(order, now)
    assert rows == wanted
    assert order.lost == (max(wanted, default=-1) + 1) - len(wanted)
    assert order.wait_s(now) is None


def test_what_comes_twice_or_too_late_is_counted_and_not_given_out():
    first, second, third = tickets([2, 3, 4])
    order = ReorderBuffer(patience_s=1.0)
    assert feed(order, [first, first, third, third]) == [0, 1]
    assert order.repeated == 2 + 4
    assert take(order, 1.0) == [5, 6, 7, 8]
    assert order.lost == 3
    assert feed(order, [second], 2.0) == []
    assert (order.repeated, order.wanted) == (2 + 4 + 3, 9)


def test_only_so_much_is_held_but_the_one_that_is_due_is_always_taken():
    first, *others = tickets([1] * 5)
    order = ReorderBuffer(most=3)
    assert feed(order, others) == []
    assert (len(order), order.held_rows) == (3, 3)
    assert not order.admits(4)
    assert order.admits(0)
    assert feed(order, [first, others[3]]) == [0, 1, 2, 3, 4]


def test_rows_that_were_dropped_on_the_way_leave_no_gap():
    """A batch keeps its ticket when a brick gives out fewer rows than it got."""
    order = ReorderBuffer()
    assert order.offer(batch(SequenceRange(0, 2)), SequenceRange(0, 5), 0.0)
    assert order.offer(batch(SequenceRange(5, 1)), SequenceRange(5, 1), 0.0)
    assert order.lost == 0
