"""Markers as the controller makes them and instances read them."""

from __future__ import annotations

import pytest

from bricks.kernels import packet_ring as kernel
from lego_sdn.core.move_steps import marker_frame
from tests.bricks.blocks import Arrived, Blocks, stamped
from tests.bricks.veth import udp


@pytest.mark.parametrize("trailer", [False, True])
def test_the_walk_stops_behind_a_marker_and_gives_no_row_for_it(trailer):
    ring = Blocks(trailer=trailer)
    packets = [Arrived(stamped(udp(port=port), port)) for port in range(4)]
    ring.fill(*packets[:2], Arrived(marker_frame(2**60 + 5)), packets[2])
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
    assert len(marker_frame(1)) == 60
