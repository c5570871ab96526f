"""Link types other than Ethernet, against tshark."""

import struct

import pytest

from bricks.files.captures import open_capture, read_packets
from bricks.records.packets import ADDRESS_MAC, VLAN
from lego_sdn.core.facts.errors import CaptureError
from tests.bricks import odd, tshark
from tests.bricks.files import written
from tests.bricks.odd import FRAMES, SRC

IP4, IP6 = FRAMES["tcp"][14:], FRAMES["ipv6 all extensions"][14:]


def cooked(kind: int, payload: bytes) -> bytes:
    return struct.pack("!HHH", 0, 1, 6) + SRC + b"\0\0" + struct.pack("!H", kind) + payload


def cooked2(kind: int, payload: bytes) -> bytes:
    return struct.pack("!HHIHBB", kind, 0, 2, 1, 0, 6) + SRC + b"\0\0" + payload


LINKS = {
    113: [cooked(0x0800, IP4), cooked(0x86DD, IP6), cooked(0x0806, odd.arp()), cooked(0x8100, b"\0\5\x08\0" + IP4), cooked(4, bytes(40))],
    276: [cooked2(0x0800, IP4), cooked2(0x86DD, IP6), cooked2(0x0806, odd.arp()), cooked2(0x88CC, bytes(20))],
    101: [IP4, IP6],
    12: [IP4],
    14: [IP4],
    228: [IP4],
    229: [IP6],
    0: [struct.pack("<I", 2) + IP4, struct.pack(">I", 2) + IP4, struct.pack("<I", 30) + IP6, struct.pack("<I", 24) + IP6],
    108: [struct.pack(">I", 2) + IP4, struct.pack(">I", 28) + IP6],
}


@pytest.mark.slow
@tshark.needs_tshark
@pytest.mark.parametrize("link", LINKS)
def test_addresses_and_ports_are_what_tshark_shows(link, tmp_path):
    packets = [written.Packet(1000, frame[:cut], len(frame)) for frame in LINKS[link] for cut in range(len(frame) + 1)]
    path = written.save(tmp_path / "link.pcap", written.pcap(packets, link=link))
    want = tshark.expected(tshark.write_tsv(path, tmp_path / "link.tsv"))
    records, warnings = read_packets([path])
    assert warnings == []
    got = tshark.found(records)
    for i, row in enumerate(got):  # the sender's address in a cooked header is kept; for tshark it is no Ethernet address
        src = (0, 0) if row[4][0] == ADDRESS_MAC else row[4]
        got[i] = (*row[:2], 0, 0, src, *row[5:])
    assert tshark.difference(want, got) == ""


def test_the_cooked_header_gives_the_sender_and_the_tag(tmp_path):
    frames = [cooked(0x8100, b"\0\5\x88\xcc" + bytes(20)), cooked2(0x88CC, bytes(20))]
    for link, frame in zip((113, 276), frames, strict=True):
        path = written.save(tmp_path / "one.pcap", written.pcap([written.Packet(1, frame)], link=link))
        record = read_packets([path])[0][0]
        assert record["src_mac"] == record["src_lo"] == int.from_bytes(SRC, "big")
        assert record["flags"] == ADDRESS_MAC | (VLAN if link == 113 else 0)


def test_an_unknown_link_type_is_named(tmp_path):
    path = written.save(tmp_path / "wifi.pcap", written.pcap([], link=127))
    with pytest.raises(CaptureError, match=r"wifi\.pcap has link type 127, which cannot be read \(only Ethernet"):
        open_capture(path)
