"""The walk over a ring in plain memory: blocks, tags, trailers, and what stamps tell of losses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.kernels import packet_ring as kernel
from bricks.packets import MALFORMED, SHADOW, STAMPED, VLAN
from tests.bricks.blocks import Arrived, Blocks, stamped
from tests.bricks.veth import tag, udp

MARK = 0x88A8, 4094
FACTS = SHADOW | VLAN | STAMPED | MALFORMED


def one(arrived: Arrived, trailer: bool = False) -> np.void:
    ring = Blocks(trailer=trailer)
    ring.fill(arrived)
    rows = ring.read()
    assert len(rows) == 1
    return rows[0]


def test_walk_gives_rows_in_order_and_blocks_back():
    ring = Blocks()
    ring.fill(*(Arrived(udp(port=p), time_ns=1_500_000_000_123_456_789 + p) for p in range(5)))
    ring.fill(Arrived(udp(port=5)))
    assert ring.waiting() == 2
    rows = ring.read()
    assert rows["src_port"].tolist() == rows["seq"].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["time_ns"][1] == 1_500_000_000_123_456_790
    assert ring.waiting() == 0
    assert not ring.owned_by_reader(0)
    assert not ring.owned_by_reader(1)


def test_a_block_partly_read_stays_with_the_reader():
    ring = Blocks()
    ring.fill(*(Arrived(udp(port=p)) for p in range(5)))
    assert ring.read(2)["src_port"].tolist() == [0, 1]
    assert ring.owned_by_reader(0)
    assert ring.waiting() == 1
    assert ring.read(2)["src_port"].tolist() == [2, 3]
    assert ring.read(2)["src_port"].tolist() == [4]
    assert not ring.owned_by_reader(0)
    assert len(ring.read()) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_cut_of_blocks_and_reads_gives_every_packet_once(steps):
    ring, sent, got = Blocks(blocks=3), 0, []
    for count, rows in steps:
        if not ring.owned_by_reader(ring.next):
            ring.fill(*(Arrived(udp(port=sent + i)) for i in range(count)))
            sent += count
        got += ring.read(rows)["src_port"].tolist()
    while len(rest := ring.read(7)):
        got += rest["src_port"].tolist()
    assert got == list(range(sent))
    assert ring.waiting() == 0


@pytest.mark.parametrize("trailer", [False, True])
@pytest.mark.parametrize(
    ("tags", "taken_out", "flags", "more"),
    [
        (b"", None, 0, 0),
        (b"", (0x8100, 5), VLAN, 4),
        (b"", (None, 5), VLAN, 4),
        (b"", (None, 4094), VLAN, 4),
        (b"", (0x8100, 4094), VLAN, 4),
        (b"", (0x88A8, 100), VLAN, 4),
        (b"", MARK, SHADOW, 0),
        (b"", (0x88A8, 0xE000 | 4094), SHADOW, 0),
        (tag(0x8100, 5), MARK, SHADOW | VLAN, 4),
        (tag(*MARK), (0x8100, 5), VLAN, 8),
        (tag(0x8100, 5), None, VLAN, 4),
        (tag(*MARK), None, SHADOW, 0),
        (tag(*MARK) + tag(0x8100, 5), None, SHADOW | VLAN, 4),
        (tag(0x9100, 4094) + tag(0x8100, 5), None, VLAN, 8),
    ],
)
def test_outer_tag_is_mark_or_traffic(tags, taken_out, flags, more, trailer):
    frame = udp(60 + len(tags), tags)
    row = one(Arrived(stamped(frame, 7, 9) if trailer else frame, taken_out), trailer)
    assert row["flags"] & FACTS == flags | (STAMPED if trailer else 0)
    assert row["length"] == 60 + more
    address = 0x0200000000FF if more == 8 else 0x0A000001  # behind two tags of the traffic's own the switch sees no IP
    assert (row["src_mac"], row["src_lo"], row["dst_port"]) == (0x0200000000FF, address, 53)


def test_a_trailer_is_stripped_and_read():
    row = one(Arrived(stamped(udp(), 2**40 + 3, 1_400_000_000_000_000_001), time_ns=5), trailer=True)
    assert (row["seq"], row["time_ns"], row["length"]) == (2**40 + 3, 1_400_000_000_000_000_001, 60)


def test_a_trailer_is_traffic_when_the_kernel_stamps():
    row = one(Arrived(stamped(udp(), 7, 9), time_ns=5))
    assert (row["seq"], row["time_ns"], row["length"], row["flags"] & STAMPED) == (0, 5, 80, 0)


@pytest.mark.parametrize("arrived", [Arrived(udp()), Arrived(b"\x4c\x45"), Arrived(stamped(udp(), 1), cut=1), Arrived(b"")])
def test_without_a_trailer_it_is_counted_and_not_given_out(arrived):
    ring = Blocks(trailer=True)
    ring.fill(arrived, Arrived(stamped(udp(), 4)))
    assert ring.read()["seq"].tolist() == [4]
    assert (ring.counts[kernel.FRAMES], ring.counts[kernel.UNSTAMPED]) == (2, 1)


def test_a_cut_frame_keeps_its_length():
    row = one(Arrived(udp(60)[:50], cut=10))
    assert (row["length"], row["dst_port"]) == (60, 53)


def test_outgoing_packets_are_left_out():
    ring = Blocks()
    ring.fill(Arrived(udp(port=1)), Arrived(udp(port=2), packet_type=4), Arrived(udp(port=3), packet_type=3))
    assert ring.read()["src_port"].tolist() == [1, 3]
    assert (ring.counts[kernel.FRAMES], ring.counts[kernel.OUTGOING]) == (2, 1)


def losses(stamps: list[int]) -> tuple[int, ...]:
    ring = Blocks(trailer=True)
    for at in range(0, len(stamps), 20):
        ring.fill(*(Arrived(stamped(udp(), s)) for s in stamps[at : at + 20]))
        assert ring.read()["seq"].tolist() == stamps[at : at + 20]
    return tuple(int(ring.counts[c]) for c in (kernel.GAPS, kernel.REPEATS, kernel.REORDERED, kernel.FIRST, kernel.LAST))


@given(st.integers(0, 2**50), st.lists(st.integers(0, 150), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_losses_are_counted_as_sets_would(base, offsets):
    stamps = [base + o for o in offsets]
    known, repeats, reordered = set(), 0, 0
    for s in stamps:
        repeats += s in known
        reordered += s not in known and s < max(known, default=s)
        known.add(s)
    gaps = max(stamps) - min(stamps) + 1 - len(known)
    assert losses(stamps) == (gaps, repeats, reordered, min(stamps), max(stamps))


def test_losses_across_the_window():
    w = kernel.WINDOW
    assert losses([0, w - 1, 0]) == (w - 2, 1, 0, 0, w - 1)
    assert losses([0, w, 0]) == (w - 1, 0, 1, 0, w)  # too far back to know: a reordering, whose gap stays
    assert losses([5, 3 * w + 5, 2 * w + 6, 2 * w + 6]) == (3 * w - 2, 1, 1, 5, 3 * w + 5)
    assert losses([1, 2, w + 1, w + 2, w + 3, 3]) == (w - 2, 0, 1, 1, w + 3)
