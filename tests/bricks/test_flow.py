"""Flows of packets, against tshark: protocol, ICMP type and code, community ID, of every packet of every capture."""

import subprocess

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.records.flow import flow_of
from bricks.records.packets import PACKET, PROTOCOL_SHIFT
from tests.bricks import odd, tshark
from tests.bricks.files import written
from tests.bricks.kernels.test_parse_captures import CAPTURES

FIELDS = ("ip.proto", "ipv6.nxt", "icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code", "communityid", "frame.protocols")


def as_tshark(path):
    """FIELDS of each packet, the first occurrence of each."""
    command = ["tshark", "-n", "-r", str(path), "--enable-protocol", "communityid", *tshark.OPTIONS, "-T", "fields", "-E", "occurrence=f"]
    command += [argument for field in FIELDS for argument in ("-e", field)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout.splitlines()
    return [line.split("\t") for line in lines]


def icmp_of(fields):
    at = 2 if fields[2] else 4
    return (int(fields[at]), int(fields[at + 1] or 0)) if fields[at] else None


def in_tunnel(fields):
    """There tshark hashes outer addresses with inner ports. LEGO takes all from the outer packet."""
    layers = fields[7].split(":")
    return "gre" in layers or (layers.count("ip") + layers.count("ipv6") > 1 and "icmp" not in layers and "icmpv6" not in layers)


# tshark goes by the innermost header (of one quoted, too), takes UDP-Lite for UDP, and leaves out ports of a header that is cut;
# a packet record has no ports of SCTP
OTHERWISE = {"icmp of ipv6 in ipv4", "ipv6 redirect", "udp-lite", "ipv6 udp-lite", "udp length 0", "udp length 7"}


@pytest.mark.slow
@pytest.mark.data
@tshark.needs_tshark
@pytest.mark.parametrize("name", CAPTURES)
def test_protocol_and_community_id_are_those_of_tshark(name, data):
    packets, _ = read_packets([data / f"{name}.pcap"])
    compared = 0
    for row, fields in zip(packets, as_tshark(data / f"{name}.pcap"), strict=True):
        flow = flow_of(row)
        if not fields[0]:
            continue  # not IPv4: the next test has IPv6, where tshark's next header is the first of a chain
        assert flow.protocol.number == int(fields[0])
        assert flow.protocol.icmp == (icmp_of(fields) if flow.protocol.number in (1, 58) else None)
        if fields[6] and not in_tunnel(fields):
            assert flow.community == fields[6], fields
            compared += 1
    assert compared > 0.9 * sum(bool(flow_of(row).community) for row in packets)


@tshark.needs_tshark
def test_odd_frames_have_the_community_id_of_tshark(tmp_path):
    frames = [frame for _, frame in sorted(odd.FRAMES.items())]
    path = written.save(tmp_path / "odd.pcap", written.pcap([written.Packet(i, frame) for i, frame in enumerate(frames)]))
    packets, _ = read_packets([path])
    differing = {
        name: (fields, flow_of(row).community)
        for name, row, fields in zip(sorted(odd.FRAMES), packets, as_tshark(path), strict=True)
        if fields[6] and not in_tunnel(fields) and flow_of(row).community not in ("", fields[6])
    }
    assert differing.keys() <= OTHERWISE, differing


def test_the_community_id_of_the_specification():
    """The one in its README."""
    row = np.zeros(1, PACKET)[0]
    row["src_lo"], row["dst_lo"], row["flags"] = 0x7F000001, 0x0A000001, 0b0101 | 6 << PROTOCOL_SHIFT
    row["src_port"], row["dst_port"] = 1234, 80
    assert flow_of(row).community == "1:mgRgpIZSu0KHDp/QrtcWZpkJpMU="
