"""Markers as the controller makes them and instances read them."""

from __future__ import annotations

import struct

import pytest

from bricks.kernels.transport import packet_ring as kernel
from lego_sdn.core.traffic.handover import ATTEMPTS, BucketMove
from lego_sdn.core.traffic.handover_steps import marker_frame
from tests.bricks.blocks import Arrived, Blocks, stamped
from tests.bricks.veth import udp

OWN = 0x88A8, 4093


def sent(frame: bytes, tag: tuple[int, int] | None = None) -> Arrived:
    """As the kernel files it: the outermost tag taken out of the frame, here the one that the switch put there or a marker has."""
    if tag is not None:
        return Arrived(frame, tag)
    return Arrived(frame[:12] + frame[16:], struct.unpack("!HH", frame[12:16]))  # type: ignore[arg-type]


@pytest.mark.parametrize("trailer", [False, True])
def test_the_walk_stops_behind_a_marker_and_gives_no_row_for_it(trailer):
    ring = Blocks(trailer=trailer, switch=True)
    packets = [sent(stamped(udp(port=port), port), OWN) for port in range(4)]
    ring.fill(*packets[:2], sent(marker_frame(2**60 + 5)), packets[2])
    ring.fill(Arrived(marker_frame(7)), packets[3])
    assert ring.read()["src_port"].tolist() == [0, 1]
    assert ring.counts[kernel.MARKER] == 2**60 + 5
    assert len(ring.read()) == 0, "until the caller has seen it"
    ring.counts[kernel.MARKER] = 0
    assert ring.read()["src_port"].tolist() == [2]
    assert ring.counts[kernel.MARKER] == 7
    ring.counts[kernel.MARKER] = 0
    assert ring.read()["src_port"].tolist() == [3]
    assert ring.counts[kernel.FRAMES] == 4
    assert ring.waiting() == 0


def test_a_marker_is_a_whole_frame():
    assert len(marker_frame(1)) == 64


@pytest.mark.parametrize("mark", [OWN, (0x88A8, 4094), (0x88A8, 1 << 13 | 4093)])
@pytest.mark.parametrize("tags", [slice(12, 16), slice(0, 0)], ids=["tagged", "bare"])
def test_a_marker_that_comes_with_the_traffic_is_a_packet(mark, tags):
    whole = marker_frame(7)
    ring = Blocks(switch=True)
    ring.fill(*[sent(whole[:12] + whole[tags] + whole[16:], mark)] * 20)
    assert len(ring.read()) == 20
    assert ring.counts[kernel.MARKER] == 0


def test_a_marker_s_number_does_not_tell_the_next():
    move = BucketMove(token=5, before={}, after={}, running=frozenset())
    numbers = [move.marker(attempt, kind) for attempt in range(ATTEMPTS) for kind in (0, 1)]
    assert len(set(numbers)) == 2 * ATTEMPTS
    assert all(0 < number < 2**63 for number in numbers)
    steps = {abs(a - b) for a in numbers for b in numbers if a != b}
    assert min(steps) > 2**32, "numbers of one move are far from each other"
