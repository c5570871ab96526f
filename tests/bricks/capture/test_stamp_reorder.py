"""Stamp order, on packets in memory and a clock turned by hand; and the alarm that ends its patience."""

import select
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.capture.stamp_reorder import PATIENCE_NS, REACH, StampReorder
from bricks.capture.timer import Alarm
from bricks.records.packets import PACKET
from tests.examples import examples


class Wire:
    """Packets with these stamps, `rows` of them readable at a time; `length` tells repeats apart."""

    def __init__(self, stamps, rows: int = 10**6) -> None:
        self.packets = np.zeros(len(stamps), PACKET)
        self.packets["seq"] = stamps
        self.packets["length"] = np.arange(len(stamps))
        self.at, self.rows, self.ready = 0, rows, len(stamps)

    def read(self, out: np.ndarray) -> int:
        n = min(len(out), self.rows, self.ready - self.at)
        out[:n] = self.packets[self.at : self.at + n]
        self.at += n
        return n


def read(order: StampReorder, wire: Wire, now_ns: int = 0, rows: int = 256) -> list[int]:
    out = np.zeros(rows, PACKET)
    return out["seq"][: order.read(wire.read, out, now_ns)].tolist()


def through(stamps, rows: int = 256, at_a_time: int = 10**6) -> tuple[list[int], list[int], int]:
    """What comes out before patience ends, and after; and how many were late."""
    order, wire = StampReorder(), Wire(stamps, at_a_time)
    before, after = [], []
    while some := read(order, wire, 0, rows):
        before += some
    while some := read(order, wire, PATIENCE_NS, rows):
        after += some
    assert order.held == 0
    assert order.due_ns is None
    return before, after, order.late


def test_consecutive_stamps_do_not_wait():
    assert through(range(1000)) == (list(range(1000)), [], 0)


def test_a_gap_makes_wait_until_reach_or_patience():
    assert through([0, 1, 5]) == ([0, 1], [5], 0)
    assert through([0, 1, 5, 5 + REACH]) == ([0, 1, 5], [5 + REACH], 0)
    assert through([7]) == ([], [7], 0)


def test_patience_counts_from_when_each_row_was_read():
    order, wire = StampReorder(), Wire([5, 9])
    wire.ready = 1
    assert read(order, wire, 1000) == []
    assert order.due_ns == 1000 + PATIENCE_NS
    wire.ready = 2
    assert read(order, wire, 2000) == []
    assert read(order, wire, 999 + PATIENCE_NS) == []
    assert read(order, wire, 1000 + PATIENCE_NS) == [5]
    assert order.due_ns == 2000 + PATIENCE_NS
    assert read(order, wire, 2000 + PATIENCE_NS) == [9]


def test_what_comes_too_late_is_given_out_and_counted():
    order, wire = StampReorder(), Wire([50, 100, 48, 120])
    wire.ready = 2
    assert read(order, wire) == [50]
    wire.ready = 4
    assert read(order, wire) == [48]
    assert order.late == 1
    assert read(order, wire, PATIENCE_NS) == [100, 120]


def test_repeats_stay_and_in_their_order():
    order, wire = StampReorder(), Wire([0, 2, 1, 2, 1])
    out = np.zeros(9, PACKET)
    assert order.read(wire.read, out, 0) == 5
    assert out["seq"][:5].tolist() == [0, 1, 1, 2, 2]
    assert out["length"][:5].tolist() == [0, 2, 4, 1, 3]


@pytest.mark.parametrize("rows", [1, 3, 256, 5000])
def test_a_flood_of_held_rows_is_let_go(rows):
    before, after, _ = through([7] * 5000, rows)
    assert len(before) + len(after) == 5000


@st.composite
def shuffled(draw):
    """Stamps of one instance of several, taken by the switch in batches that span no more than its reach, each in any order."""
    stamps, batches = 0, []
    for _ in range(draw(st.integers(0, 8))):
        span = draw(st.integers(1, REACH))
        mine = draw(st.lists(st.integers(stamps, stamps + span - 1), unique=True, max_size=span))
        batches += draw(st.permutations(mine))
        stamps += span
    return batches


@pytest.mark.slow
@given(shuffled(), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=examples(200), deadline=None)
def test_batches_of_the_switch_come_out_in_order_however_they_are_cut(stamps, rows, at_a_time):
    before, after, late = through(stamps, rows, at_a_time)
    assert before + after == sorted(stamps)
    assert late == 0


@given(st.lists(st.integers(0, 300), max_size=80), st.integers(1, 20))
@settings(max_examples=examples(200), deadline=None)
def test_any_stamps_come_out_once_and_late_ones_are_counted(stamps, rows):
    before, after, late = through(stamps, rows)
    out = before + after
    assert sorted(out) == sorted(stamps)
    assert late == sum(s < max(out[:i]) for i, s in enumerate(out) if i)


def test_an_alarm_rings_until_it_is_set_again():
    with Alarm() as alarm:
        poll = select.poll()
        poll.register(alarm, select.POLLIN)
        assert poll.poll(0) == []
        alarm.set(time.monotonic_ns() + 10**6)
        assert len(poll.poll(5000)) == 1
        assert len(poll.poll(0)) == 1
        alarm.set(None)
        assert poll.poll(0) == []
        alarm.set(1)  # long ago
        assert len(poll.poll(5000)) == 1
        alarm.set(time.monotonic_ns() + 10**12)
        assert poll.poll(0) == []
        alarm.close()
        alarm.close()


@pytest.mark.parametrize("ahead", [5000, 2**20, 2**55])
@pytest.mark.parametrize("forged", [1, 6])
def test_stamps_far_ahead_of_their_time_do_not_end_the_order(ahead, forged):
    """Neighbours are swapped, as by a switch; between them came forged ones."""
    swapped = [number ^ 1 for number in range(2000)]
    stamps = [*swapped[:500], *range(ahead, ahead + forged), *swapped[500:]]
    order, wire, given = StampReorder(), Wire(stamps), []
    for now_ms in range(len(stamps) // 20 + 10):
        wire.ready = min(20 * now_ms, len(stamps))
        given += read(order, wire, now_ms * 10**6)
    assert sorted(given) == sorted(stamps)
    true = [number for number in given if number < 2000]
    assert true[:480] == list(range(480))
    assert true[-1200:] == list(range(800, 2000)), "put in order again"
    assert 0 < order.late <= 200
