"""Holding packets: bounded, for a limited time, and refusing what does not fit together. What it is for is in test_moves.py."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bricks.packet_batching import PacketBatching
from bricks.records.packets import PACKET, SHADOW
from bricks.streams.handover_buffer import LEASE_S, HandoverBuffer
from lego_sdn.core.facts.errors import BrickError


class Rows:
    """A source of rows with these stamps; odd ones are shadows."""

    def __init__(self, count: int) -> None:
        self.rows = np.zeros(count, PACKET)
        self.rows["seq"] = np.arange(count)
        self.rows["flags"] = np.where(np.arange(count) % 2, SHADOW, 0)
        self.at, self.markers = 0, {}

    def fileno(self) -> int:
        return -1

    def read(self, out: np.ndarray) -> int:
        rows = min(len(out), len(self.rows) - self.at)
        out[:rows] = self.rows[self.at : self.at + rows]
        self.at += rows
        return rows

    def queue(self) -> float:
        return 0.25

    def statistics(self) -> dict[str, int]:
        return {"received": self.at, "unstamped": 0}


def read(hold: HandoverBuffer, rows: int = 8) -> list[int]:
    out = np.zeros(rows, PACKET)
    return out["seq"][: hold.read(out)].tolist()


def drained(hold: HandoverBuffer) -> list[int]:
    found: list[int] = []
    while some := read(hold):
        found += some
    return found


def test_without_a_move_it_passes_everything_on():
    hold = HandoverBuffer(Rows(20), 4)
    assert drained(hold) == list(range(20))
    assert (hold.passed, hold.queue(), hold.fileno()) == (19, 0.25, -1)


def test_what_is_up_to_the_cut_goes_on_and_the_rest_waits():
    hold = HandoverBuffer(Rows(40), 4)
    assert read(hold) == list(range(8))
    assert hold.begin(1) == 7
    assert read(hold) == []
    hold.cut(1, 13, [0], [0])
    assert hold.arrived(1, [5]) is None
    assert drained(hold) == list(range(8, 14))
    hold.source.markers[5] = 39
    assert hold.arrived(1, [4, 5]) == 5
    assert hold.release(1) == {"held": 26, "handed_on": 0}
    assert drained(hold) == list(range(14, 40))


def test_a_hold_that_nobody_ends_ends_by_itself():
    now = time.monotonic()
    hold = HandoverBuffer(Rows(20), 4, clock=lambda: now)
    hold.begin(1)
    now += LEASE_S - 0.1
    assert read(hold) == []
    hold.begin(1)  # a word from the mover
    now += LEASE_S - 0.1
    assert read(hold) == []
    now += 0.2
    assert drained(hold) == list(range(20))
    assert hold.counters["holds_expired"] == 1
    assert hold.counters["expired"] == hold.counters["held"] > 0
    with pytest.raises(BrickError, match="does not hold for move 0x1"):
        hold.cut(1, 30, [], [])


def test_another_move_takes_over_what_waits():
    hold = HandoverBuffer(Rows(20), 4)
    hold.begin(1)
    assert read(hold) == []
    assert hold.begin(2) == -1
    assert read(hold) == []
    assert hold.release(1) == {"held": 0, "handed_on": 0}
    hold.release(2)
    assert drained(hold) == list(range(20))


def test_what_finds_no_room_is_counted_own_packets_as_dropped():
    hold = HandoverBuffer(Rows(20), 4, most=11)
    batching = PacketBatching(0, hold)
    hold.begin(1)
    assert batching.take() is None
    hold.release(1)
    assert drained(hold) == list(range(11))
    batching.report()
    assert batching.dropped == {"unstamped": 0, "held_dropped": 4}
    assert batching.counters["held_shadows_dropped"] == 5
    assert batching.counters["held"] == 11


def test_refusals():
    hold = HandoverBuffer(Rows(20), 4)
    drained(hold)
    hold.begin(1)
    for wrong in (lambda: hold.rows_for(1, [0], 5), lambda: hold.take(1, [0], np.empty(0, PACKET))):
        with pytest.raises(BrickError, match="before the cut"):
            wrong()
    with pytest.raises(BrickError, match="packets up to 19 went on already, the cut cannot be at 18"):
        hold.cut(1, 18, [], [])
    with pytest.raises(BrickError, match="there is no bucket 4: wanted one from 0 to 3"):
        hold.cut(1, 19, [4], [])
    assert hold.taken(1) == hold.taken(7) == []


class Given(Rows):
    """Rows with these stamps and times."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__(len(numbers))
        self.rows["seq"] = self.rows["time_ns"] = numbers


@pytest.mark.parametrize("ahead", [1000, 2**40, 2**55])
def test_a_stamp_far_ahead_does_not_make_later_moves_hold_nothing(ahead):
    hold = HandoverBuffer(Given([*range(40), ahead, *range(40, 200)]), 4)
    for _ in range(15):
        read(hold)
    assert hold.begin(1) < 200, "forgotten"
    hold.cut(1, hold.passed, [0], [0])
    assert drained(hold) == []
    assert hold.release(1)["held"] > 50


def test_a_clock_set_back_does_not_make_later_moves_hold_nothing():
    hour = 3600 * 10**9
    hold = HandoverBuffer(Given([*range(20), *range(hour, hour + 20), *range(20, 60)]), 4, stamped=False)
    for _ in range(6):
        read(hold)
    assert hold.begin(1) == 27
    hold.cut(1, 27, [0], [0])
    assert drained(hold) == []
    assert hold.release(1)["held"] == 32
