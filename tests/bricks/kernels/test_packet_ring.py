"""The walk over a ring in plain memory: blocks, tags, trailers, and what stamps tell of losses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.kernels.transport import packet_ring as kernel
from bricks.records.packets import MALFORMED, SHADOW, STAMPED, VLAN
from tests.bricks.blocks import Arrived, Blocks, stamped
from tests.bricks.veth import tag, udp
from tests.examples import examples

OWN, MARK, MARKER = (0x88A8, 4093), (0x88A8, 4094), (0x88A8, 4092)
FACTS = SHADOW | VLAN | STAMPED | MALFORMED


def one(arrived: Arrived, trailer: bool = False, switch: bool = False) -> np.void:
    ring = Blocks(trailer=trailer, switch=switch)
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
@settings(max_examples=examples(100), deadline=None)
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
        (b"", MARK, VLAN, 4),
        (tag(*MARK), (0x8100, 5), VLAN, 8),
        (tag(0x8100, 5), None, VLAN, 4),
        (tag(*MARK), None, VLAN, 4),
        (tag(*MARK) + tag(0x8100, 5), None, VLAN, 8),
        (tag(0x9100, 4094) + tag(0x8100, 5), None, VLAN, 8),
    ],
)
def test_without_the_switch_every_tag_is_the_traffic_s(tags, taken_out, flags, more, trailer):
    frame = udp(60 + len(tags), tags)
    row = one(Arrived(stamped(frame, 7, 9) if trailer else frame, taken_out), trailer)
    assert row["flags"] & FACTS == flags | (STAMPED if trailer else 0)
    assert row["length"] == 60 + more
    address = 0x0200000000FF if more == 8 else 0x0A000001  # behind two tags of the traffic's own the switch sees no IP
    assert (row["src_mac"], row["src_lo"], row["dst_port"]) == (0x0200000000FF, address, 53)


WRITTEN = [b"", *(tag(*one) for one in (OWN, MARK, MARKER, (0x8100, 4094), (0x8100, 5), (0x88A8, 1 << 13 | 4093)))]


@pytest.mark.parametrize("trailer", [False, True])
@pytest.mark.parametrize("taken_out", [False, True])
@pytest.mark.parametrize(("mark", "flag"), [(OWN, 0), (MARK, SHADOW)])
@pytest.mark.parametrize("tags", [*WRITTEN, tag(*MARK) + tag(*OWN)])
def test_the_outermost_tag_is_the_switch_s_and_those_within_are_the_traffic_s(tags, mark, flag, taken_out, trailer):
    frame = udp(60 + len(tags), tags)
    frame = stamped(frame, 7, 9) if trailer else frame
    within = frame if taken_out else frame[:12] + tag(*mark) + frame[12:]
    row = one(Arrived(within, mark if taken_out else None), trailer, switch=True)
    assert row["flags"] & FACTS == flag | (VLAN if tags else 0) | (STAMPED if trailer else 0)
    assert row["length"] == 60 + len(tags)
    address = 0x0200000000FF if len(tags) == 8 else 0x0A000001  # as above; the switch's own tag does not count
    assert (row["src_mac"], row["src_lo"], row["dst_port"]) == (0x0200000000FF, address, 53)


@pytest.mark.parametrize("taken_out", [None, (0x8100, 4093), (0x88A8, 4095), (0x8100, 4094), (0x88A8, 0), (0x88A8, 4092), (None, 4093)])
def test_what_the_switch_did_not_send_is_counted_and_not_given_out(taken_out):
    ring = Blocks(switch=True)
    ring.fill(Arrived(udp(), taken_out), Arrived(b"\x4c\x45"), Arrived(b""), Arrived(udp(port=9), OWN))
    assert ring.read()["src_port"].tolist() == [9]
    assert (ring.counts[kernel.FRAMES], ring.counts[kernel.FOREIGN]) == (1, 3)


@pytest.mark.parametrize("mark", [OWN, MARK])
def test_stamps_of_a_port_that_is_not_trusted_are_none(mark):
    ring = Blocks(trailer=True, switch=True)
    ring.fill(Arrived(stamped(udp(), 2**40), (mark[0], 1 << 13 | mark[1])), Arrived(stamped(udp(), 4), mark))
    assert ring.read()["seq"].tolist() == [4]
    assert ring.counts[kernel.UNSTAMPED] == 1


def stamps_read(ring: Blocks, *stamps: tuple[int, int, int]) -> list[int]:
    """Stamps given out of these: (number, time, when it came)."""
    found: list[int] = []
    for at in range(0, len(stamps), 16):
        ring.fill(*(Arrived(stamped(udp(), seq, time_ns), time_ns=came) for seq, time_ns, came in stamps[at : at + 16]))
        found += ring.read()["seq"].tolist()
    return found


@pytest.mark.parametrize("seq", [2**62, 2**63 - 1, 2**63 + 5, 2**64 - 1, 2**56, 2**40])
@pytest.mark.parametrize("first", [True, False])
def test_a_number_that_cannot_be_true_is_refused(seq, first):
    ring = Blocks(trailer=True)
    true = [(n, n, 1000 * n) for n in range(100)]
    forged = [(seq, 0, 0)] * 6
    given = stamps_read(ring, *(forged + true if first and seq >= 2**56 else true[:50] + forged + true[50:]))
    assert given == list(range(100))
    assert ring.counts[kernel.IMPLAUSIBLE] == 6
    assert (ring.counts[kernel.GAPS], ring.counts[kernel.LAST]) == (0, 99)


@pytest.mark.parametrize("time_ns", [2**62, 7_258_118_400 * 10**9, 2**63 + 5, 2**64 - 1])
def test_a_time_that_cannot_be_true_is_refused(time_ns):
    ring = Blocks(trailer=True)
    assert stamps_read(ring, (0, 5, 0), (1, time_ns, 0), (1, 6, 0)) == [0, 1]
    assert ring.counts[kernel.IMPLAUSIBLE] == 1


@pytest.mark.parametrize("trailer", [False, True])
def test_times_that_fall_back_are_counted(trailer):
    """An NTP step, or a time that was forged and is possible."""
    ring, year, hour = Blocks(trailer=trailer), 365 * 86_400 * 10**9, 3600 * 10**9
    times = [year, year + 86_395 * 10**9, year + 86_394 * 10**9, year + hour, year + hour + 1]
    if trailer:
        stamps_read(ring, *((number, time_ns, 0) for number, time_ns in enumerate(times)))
    else:
        ring.fill(*(Arrived(udp(), time_ns=time_ns) for time_ns in times))
        assert len(ring.read()) == 5
    assert ring.counts[kernel.SET_BACK] == 2


def test_numbers_go_on_after_a_silence_of_this_instance_s_sources():
    """Others got 10 million packets meanwhile, in a second."""
    ring = Blocks(trailer=True)
    assert stamps_read(ring, (5, 0, 10**9), (10**7, 0, 2 * 10**9)) == [5, 10**7]
    assert ring.counts[kernel.IMPLAUSIBLE] == 0


@pytest.mark.parametrize(("before", "after"), [(2**50, 0), (0, 2**50)])
def test_an_ingress_that_begins_anew_is_believed_after_a_while(before, after):
    ring = Blocks(trailer=True)
    anew = [(after + n, 0, 0) for n in range(100)]
    given = stamps_read(ring, *((before + n, 0, 0) for n in range(20)), *anew)
    assert given == [before + n for n in range(20)] + [after + n for n in range(kernel.WITNESSES - 1, 100)]
    assert ring.counts[kernel.IMPLAUSIBLE] == kernel.WITNESSES - 1
    assert ring.counts[kernel.REPEATS] == 0


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
@settings(max_examples=examples(200), deadline=None)
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
