"""pcapng: interfaces, resolutions of time, every kind of packet block, blocks to pass over, sections."""

import struct
import time
from fractions import Fraction

import numpy as np
import pytest

from bricks.files.captures import open_capture, read_packets
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.loss import is_partial
from tests.bricks import tshark
from tests.bricks.files import written
from tests.bricks.files.written import Packet, block, enhanced, interface, obsolete, section, simple
from tests.bricks.kernels.test_parse_odd import SWITCHED
from tests.bricks.odd import FRAMES

TCP, UDP, ARP = FRAMES["tcp"], FRAMES["udp"], FRAMES["arp request"]


def read(tmp_path, *blocks):
    return read_packets([written.save(tmp_path / "x.pcapng", b"".join(blocks))])


@pytest.mark.parametrize("resolution", [0, 1, 3, 6, 8, 9, 10, 12, 18, 0x80, 0x81, 0x8A, 0x94, 0x9E, 0x9F, 0xA0, 0xA1, 0xA8, 0xB0, 0xBF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_resolution_of_time_is_exact(tmp_path, resolution, order):
    unit = Fraction(1, 2 ** (resolution & 127)) if resolution & 128 else Fraction(1, 10**resolution)
    rng = np.random.default_rng(resolution)
    most = min(2**64, int(2_000_000_000 / unit))
    ticks = [0, 1, most - 1, *(int(rng.integers(0, most, dtype=np.uint64)) for _ in range(50))]
    blocks = [section(order), interface(order, options=[(9, bytes([resolution]))])]
    packets, warnings = read(tmp_path, *blocks, *(enhanced(t, Packet(0, TCP), order) for t in ticks))
    assert warnings == []
    assert packets["time_ns"].tolist() == [int(t * unit * 10**9) for t in ticks]


def test_offset_of_time_and_default_resolution(tmp_path):
    offset = (1_700_000_000).to_bytes(8, "little")
    packets, _ = read(tmp_path, section(), interface(options=[(14, offset)]), enhanced(1_000_001, Packet(0, TCP)))
    assert packets["time_ns"].tolist() == [1_700_000_001_000_001_000]
    earlier = (-5).to_bytes(8, "little", signed=True)
    packets, _ = read(tmp_path, section(), interface(options=[(14, earlier)]), enhanced(7_000_000, Packet(0, TCP)))
    assert packets["time_ns"].tolist() == [2_000_000_000]


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_packet_block_on_several_interfaces(tmp_path, order):
    blocks = [
        section(order, options=b"\4\0\0\0" if order == "<" else b"\0\4\0\0"),
        interface(order, snap=48),
        interface(order, options=[(9, b"\x09")]),
        simple(Packet(0, TCP[:48], len(TCP)), order),
        obsolete(5_000_000, Packet(0, UDP), order),
        enhanced(6_000_000_007, Packet(0, ARP, 60), order, number=1),
        simple(Packet(0, UDP), order),
        block(0x0BAD, bytes(70_000), order),
        interface(order, link=101),
        enhanced(7_000_000, Packet(0, TCP[14:]), order, number=2),
    ]
    packets, warnings = read(tmp_path, *blocks)
    assert warnings == []
    assert packets["length"].tolist() == [len(TCP), len(UDP), 60, len(UDP), len(TCP) - 14]
    assert packets["time_ns"].tolist() == [0, 5 * 10**9, 6 * 10**9 + 7, 6 * 10**9 + 7, 7 * 10**9]
    assert packets["src_port"].tolist() == [40_000, 50_000, 65_536, 50_000, 40_000]
    assert packets["src_mac"][-1] == 0


@tshark.needs_tshark
def test_tshark_reads_the_same(tmp_path):
    blocks = [section(">"), interface(">"), interface(">", options=[(9, b"\x89"), (14, bytes(7) + b"\x64")])]
    blocks += [enhanced(123_456_789 * i, Packet(0, f), ">", number=i % 2) for i, f in enumerate(FRAMES.values())]
    path = written.save(tmp_path / "x.pcapng", b"".join(blocks))
    want = tshark.expected(tshark.write_tsv(path, tmp_path / "x.tsv"))
    got = tshark.found(read_packets([path])[0])
    for i, name in enumerate(FRAMES):
        if name in SWITCHED:  # its addresses are the switch's, not tshark's
            want[i] = (*want[i][:4], *got[i][4:6], *want[i][6:])
    assert tshark.difference(want, got) == ""


def test_a_new_section_forgets_the_interfaces_and_may_turn_the_byte_order(tmp_path):
    one = [section("<"), interface("<", options=[(9, b"\x09")]), enhanced(5, Packet(0, TCP), "<")]
    two = [section(">"), interface(">"), enhanced(5, Packet(0, TCP), ">")]
    packets, warnings = read(tmp_path, *one, *two, *one)
    assert warnings == []
    assert packets["time_ns"].tolist() == [5, 5000, 5]
    _, warnings = read(tmp_path, *one, section(">"), enhanced(5, Packet(0, TCP), ">"))
    assert len(warnings) == 1
    assert "the first" not in warnings[0]
    assert "packet 2" in warnings[0]


def test_packets_of_other_link_types_are_left_out_and_counted(tmp_path):
    blocks = [section(), interface(), interface(link=189), interface(link=220), enhanced(1, Packet(0, TCP))]
    packets, warnings = read(tmp_path, *blocks)
    assert (len(packets), warnings) == (1, [])
    others = [enhanced(1, Packet(0, TCP), number=number) for number in (1, 2, 1)]
    for sections in (1, 2):
        packets, warnings = read(tmp_path, *sections * [*blocks, *others, enhanced(2, Packet(0, UDP))])
        assert packets["src_port"].tolist() == sections * [40_000, 50_000]
        assert packets["seq"].tolist() == list(range(2 * sections))
        assert is_partial(warnings[:1])
        assert is_partial(warnings[1:])
        assert f"{2 * sections} packets are left out, of link type 189" in warnings[0]
        assert f"{sections} packet{'s are' if sections > 1 else ' is'} left out, of link type 220" in warnings[1]


def statistics(number, options, order="<"):
    body = struct.pack(order + "III", number, 0, 0)
    for code, value in options:
        body += struct.pack(order + "HHQ", code, 8, value)
    return block(5, body + bytes(4), order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_packets_that_were_lost_while_capturing_are_told(tmp_path, order):
    head = [section(order), interface(order), interface(order), enhanced(1, Packet(0, TCP), order)]
    counted = [statistics(0, [(4, 9), (5, 100), (7, 20)], order), statistics(0, [(4, 9), (5, 123_000), (7, 400)], order)]
    packets, warnings = read(tmp_path, *head, *counted, statistics(1, [(7, 56)], order))
    assert len(packets) == 1
    assert len(warnings) == 1
    assert "lost 123,456 packets" in warnings[0]
    assert not is_partial(warnings)  # all that is in the file was read
    _, warnings = read(tmp_path, *head, statistics(0, [(4, 9), (5, 0), (7, 0)], order))
    assert warnings == []


@pytest.mark.parametrize("order", ["<", ">"])
def test_packets_tell_how_many_were_lost_before_them(tmp_path, order):
    def told(count):
        option = struct.pack(order + "HHQHH", 4, 8, count, 0, 0)
        return block(
            6, struct.pack(order + "IIIII", 0, 0, 7, len(TCP), len(TCP)) + TCP.ljust((len(TCP) + 3) // 4 * 4, b"\0") + option, order
        )

    old = bytearray(obsolete(5, Packet(0, UDP), order))
    old[10:12] = struct.pack(order + "H", 40)
    packets, warnings = read(tmp_path, section(order), interface(order), told(2), told(1 << 40), bytes(old))
    assert len(packets) == 3
    assert f"lost {(1 << 40) + 42:,} packets" in warnings[0]


@pytest.mark.parametrize("size", [70_000, 600_000, 5_000_000])
def test_comments_may_be_of_any_length(tmp_path, size):
    comments = [(1, b"x" * 65_000)] * (size // 65_000)
    text = b"".join(struct.pack("<HH", code, len(value)) + value for code, value in comments) + bytes(4)
    body = struct.pack("<IIIII", 0, 0, 7, len(TCP), len(TCP)) + TCP.ljust((len(TCP) + 3) // 4 * 4, b"\0")
    blocks = [section(options=text), interface(options=[*comments, (9, b"\x09")]), block(6, body + text), enhanced(8, Packet(0, UDP))]
    packets, warnings = read(tmp_path, *blocks)
    assert warnings == []
    assert packets["time_ns"].tolist() == [7, 8]


def test_packets_without_an_interface_are_told_with_their_block(tmp_path):
    packets, warnings = read(tmp_path, section(), *(enhanced(1, Packet(0, TCP)) for _ in range(3)))
    assert len(packets) == 0
    assert "3 packets cannot be read and are left out" in warnings[0]
    assert f"at byte {len(section())}: it is of interface 0" in warnings[0]


def test_a_resolution_that_cannot_be(tmp_path):
    path = written.save(tmp_path / "x.pcapng", section() + interface(options=[(9, b"\x7f")]) + enhanced(1, Packet(0, TCP)))
    with open_capture(path) as capture, pytest.raises(CaptureError, match=r"times in units of 10\^-127 s"):
        list(capture)


def test_time_grows_with_the_number_of_interfaces_and_not_with_its_square(tmp_path):
    """40,000 descriptions, of links that nothing reads but the first and the last, with packets in between."""
    foreign = interface(link=147) * 200
    blocks = [
        section(),
        interface(),
        *([foreign, enhanced(1, Packet(0, TCP))] * 200),
        interface(),
        enhanced(2, Packet(0, TCP), number=40_001),
    ]
    read(tmp_path, *blocks[:4])
    began = time.process_time()
    packets, warnings = read(tmp_path, *blocks)
    assert time.process_time() - began < 6
    assert (len(packets), warnings) == (201, [])
