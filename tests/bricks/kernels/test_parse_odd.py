"""Hand-made frames of every odd kind, cut at every byte, against tshark; and the flags that tshark has no field for."""

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.kernels.parse.ethernet import parse_frame, parse_frames
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ADDRESS_NONE,
    ARP,
    FRAGMENT,
    HIDDEN,
    HIDDEN_MASK,
    HIDDEN_SHIFT,
    ICMP,
    MALFORMED,
    NO_PORT,
    PACKET,
    VLAN,
)
from tests.bricks import odd, tshark
from tests.bricks.files import written
from tests.bricks.odd import FRAMES

# Where a cut frame is read otherwise than by tshark, on purpose: a destination that is there counts although options behind it are cut.
CUT_DST = {"igmp": range(34, 36), "options": range(34, 74)}

# Where the switch sees other addresses than tshark, and the parser what the switch sees (test_same_source.py asks a switch):
# the kind of both addresses of the whole frame, and the low words
MACS = ADDRESS_MAC, 0x02000000000A, 0x02000000000B
NONE = ADDRESS_NONE, 0, 0
SWITCHED = {
    "options beyond the end": NONE,
    "header of 16 bytes": NONE,
    "version 5": (ADDRESS_IPV4, 0xC0A8010A, 0x0A010203),
    "total length 0": NONE,
    "total length below header": NONE,
    "total length beyond the frame": NONE,
    "arp with long hardware addresses": NONE,
    "reverse arp": MACS,
    "802.1ad and 802.1Q": MACS,
    "0x9100 and 802.1Q": MACS,
    "three tags": MACS,
    "802.3 length ends in the ip header": (ADDRESS_IPV4, 0xC0A8010A, 0x0A010203),
    "ipv6 header of version 4": (ADDRESS_IPV6, 0xA, 0x000100020003000B),
    "ipv6 header of version 5": (ADDRESS_IPV6, 0xA, 0x000100020003000B),
    "ipv6 in an ipv4 ethertype": NONE,
    "ipv4 in an ipv6 ethertype": (ADDRESS_IPV6, 0x0A0102039C400017, 0x5002040000000000),
    "ipv6 payload beyond the frame": NONE,
    "empty payload": NONE,
}

FLAGS = {
    "tcp": 0,
    "padded to 60": 0,
    "padding is not payload": MALFORMED,
    "options beyond the end": MALFORMED,
    "header of 16 bytes": MALFORMED,
    "version 5": MALFORMED,
    "total length 0": 0,
    "total length below header": MALFORMED,
    "total length ends in the ports": MALFORMED,
    "total length beyond the frame": 0,
    "first fragment": 0,
    "later fragment": FRAGMENT,
    "later fragment of icmp": FRAGMENT,
    "tcp offset 4": MALFORMED,
    "udp length 7": MALFORMED,
    "udp length 0": 0,
    "echo": ICMP,
    "unreachable": ICMP,
    "error about a fragment": ICMP,
    "error about nonsense": ICMP,
    "arp request": ARP,
    "arp of another protocol": ARP,
    "reverse arp": ARP,
    "802.1Q": VLAN,
    "0x9100 and 802.1Q": VLAN | ARP,
    "three tags": VLAN,
    "spanning tree": 0,
    "ipv6 all extensions": 0,
    "ipv6 later fragment": FRAGMENT,
    "ipv6 extension beyond the end": MALFORMED,
    "ipv6 unreachable": 0,
    "gre of a fragment": 0,
    "gre of an echo": ICMP,
    "empty payload": MALFORMED,
}


def parse(frame: bytes, length: int | None = None) -> np.void:
    out = np.zeros(1, PACKET)
    parse_frame(np.frombuffer(frame, np.uint8), 0, len(frame), length or len(frame), out, 0)
    return out[0]


@pytest.mark.slow
@tshark.needs_tshark
def test_every_frame_cut_at_every_byte_is_read_as_by_tshark(tmp_path):
    cases = [(name, cut) for name, frame in FRAMES.items() for cut in range(len(frame) + 1)]
    packets = [written.Packet(10**9 + i * 1000, FRAMES[name][:cut], len(FRAMES[name])) for i, (name, cut) in enumerate(cases)]
    path = written.save(tmp_path / "odd.pcap", written.pcap(packets))
    want = tshark.expected(tshark.write_tsv(path, tmp_path / "odd.tsv"))
    got = tshark.found(read_packets([path])[0])
    for i, (name, cut) in enumerate(cases):
        if cut in CUT_DST.get(name, ()):
            got[i] = (*got[i][:5], (0, 0), *got[i][6:])
        if name in SWITCHED:
            want[i], got[i] = ((*facts[:4], *facts[6:]) for facts in (want[i], got[i]))
    wrong = [(cases[i], tshark.difference([a], [b])) for i, (a, b) in enumerate(zip(want, got, strict=True)) if a != b]
    assert wrong == []
    assert len(got) > 7000


@pytest.mark.parametrize("name", FLAGS)
def test_facts_of_a_frame(name):
    flags = int(parse(FRAMES[name])["flags"])
    assert flags & (ARP | ICMP | VLAN | FRAGMENT | MALFORMED) == FLAGS[name]


@pytest.mark.parametrize("name", SWITCHED)
def test_addresses_are_those_that_the_switch_sees(name):
    record = parse(FRAMES[name])
    kind, source, target = SWITCHED[name]
    assert record["flags"] & 15 == kind | kind << 2
    assert (record["src_lo"], record["dst_lo"]) == (source, target)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (FRAMES["tcp"], ""),
        (FRAMES["802.1Q"], ""),
        (FRAMES["spanning tree"], ""),
        (FRAMES["three tags"], "tags"),
        (odd.ether(0x9200, FRAMES["802.1Q"][12:]), "tags"),
        (odd.ether(0x8864, b"\x11\0\0\1\0\x36\0\x21" + FRAMES["tcp"][14:]), "PPPoE"),
        (odd.ether(0x8864, b"\x11\0\0\1\0\x36\0\x21" + FRAMES["tcp"][14:], ((0x8100, 5),)), "PPPoE"),
        (odd.ether(0x8847, b"\0\1\1\x40" + FRAMES["tcp"][14:]), "MPLS"),
        (odd.ether(0x8926, b"\0\0\0\0" + FRAMES["tcp"][12:]), "encapsulation"),
        (FRAMES["total length 0"], "unsound"),
    ],
)
def test_why_the_switch_sees_no_ip_addresses(frame, why):
    said = HIDDEN[int(parse(frame)["flags"]) >> HIDDEN_SHIFT & HIDDEN_MASK]
    assert why in said if why else said == ""


def test_a_cut_frame_keeps_the_fields_before_the_cut():
    record = parse(FRAMES["tcp"][:37], len(FRAMES["tcp"]))
    assert record["flags"] & MALFORMED
    assert (record["src_lo"], record["dst_lo"], record["src_port"]) == (0xC0A8010A, 0x0A010203, NO_PORT)
    record = parse(FRAMES["tcp"][:38])
    assert record["flags"] & MALFORMED  # the ports are there, the rest of the TCP header is not
    assert (record["src_port"], record["dst_port"]) == (40_000, 23)


@pytest.mark.slow
def test_nothing_of_an_earlier_packet_stays_in_the_row():
    out = np.zeros(1, PACKET)
    out.view(np.uint8)[:] = 0xFF
    parse_frame(np.zeros(0, np.uint8), 0, 0, 77, out, 0)
    assert out[0].tolist()[2:] == (0, 0, 0, 0, 0, 0, 77, NO_PORT, NO_PORT, MALFORMED)
    assert out[0]["seq"] == 2**64 - 1  # the caller's


def test_tunnels_show_the_outer_addresses_and_the_inner_ports():
    record = parse(odd.ether(0x86DD, odd.ipv6(4, odd.ipv4(6, odd.tcp()))))
    assert record["flags"] & 15 == 2 | 2 << 2
    assert (record["src_port"], record["dst_port"]) == (40_000, 23)


def test_parse_frames_numbers_and_times():
    frames = [FRAMES["tcp"], FRAMES["arp request"], FRAMES["ipv6 udp"]]
    sizes = np.array([len(frame) for frame in frames], np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    out = np.zeros(3, PACKET)
    times = np.array([5, 7, 6], np.int64)
    parse_frames(np.frombuffer(b"".join(frames), np.uint8), offsets, sizes, sizes + np.uint32(4), times, out)
    assert out["seq"].tolist() == [0, 1, 2]
    assert out["time_ns"].tolist() == [5, 7, 6]
    assert out["length"].tolist() == [len(frame) + 4 for frame in frames]
    for row, frame in zip(out, frames, strict=True):
        assert row.tolist()[2:8] == parse(frame).tolist()[2:8]
