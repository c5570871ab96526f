"""Traffic for the tests of the feature extractor, and what the executable definition says of it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from bricks.files.captures import read_packets
from bricks.records.brick import Batch
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ARP,
    DST_KIND_SHIFT,
    ICMP,
    KIND_MASK,
    NO_PORT,
    PACKET,
    SHADOW,
    bucket_of,
    seconds,
)

START = 1_540_446_382_933_899_000
_HOSTS = [
    (ADDRESS_IPV4, 0, 0xC0A80001),
    (ADDRESS_IPV4, 0, 0xC0A80002),
    (ADDRESS_IPV6, 0xFE80 << 48, 0xC0A80001),
    (ADDRESS_MAC, 0, 0xC0A80001),
]
_GAPS = [0, 0, 1, 1_000, 40_000_000, 999_999_999, 7_000_000_001, 86_400_000_000_000, -1, -3_000_000_000]


def capture(data, name: str, packets: int | None = None) -> np.ndarray:
    """The first packets of a capture."""
    return read_packets([data / name])[0][:packets]


def _port_words(packet) -> tuple:
    if packet["flags"] & ARP:
        return "arp", "arp"
    if packet["flags"] & ICMP:
        return "icmp", "icmp"
    return tuple("" if port == NO_PORT else int(port) for port in (packet["src_port"], packet["dst_port"]))


def defined(oracle, packets: np.ndarray) -> np.ndarray:
    """The 115 statistics by the executable definition, float64 [n, 115]."""
    statistics, rows = oracle.Statistics(), []
    for now, packet in zip(seconds(packets["time_ns"]), packets, strict=True):
        kinds = int(packet["flags"])
        source = (kinds & KIND_MASK, int(packet["src_hi"]), int(packet["src_lo"]))
        target = (kinds >> DST_KIND_SHIFT & KIND_MASK, int(packet["dst_hi"]), int(packet["dst_lo"]))
        macs = int(packet["src_mac"]), int(packet["dst_mac"])
        rows.append(statistics.features(float(now), int(packet["length"]), *macs, source, target, *_port_words(packet)))
    return np.array(rows).reshape(-1, 115)


def distance(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Relative difference, absolute below 1."""
    return np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))


@st.composite
def traffic(draw, most: int = 40) -> np.ndarray:
    """A few hosts that talk across each other, to themselves too, with equal times and with times that run back."""
    packets = np.zeros(draw(st.integers(1, most)), PACKET)
    now = START
    for packet in packets:
        now += draw(st.sampled_from(_GAPS))
        source, target = draw(st.sampled_from(_HOSTS)), draw(st.sampled_from(_HOSTS))
        packet["time_ns"], packet["length"] = now, draw(st.sampled_from([60, 61, 590, 1514]))
        packet["src_hi"], packet["src_lo"], packet["dst_hi"], packet["dst_lo"] = *source[1:], *target[1:]
        packet["src_mac"], packet["dst_mac"] = draw(st.sampled_from([1, 2])), 3
        packet["src_port"], packet["dst_port"] = draw(st.sampled_from([23, 80, NO_PORT])), draw(st.sampled_from([23, 80, NO_PORT]))
        packet["flags"] = source[0] | target[0] << DST_KIND_SHIFT | draw(st.sampled_from([0, 0, 0, ARP, ICMP]))
    packets["seq"] = np.arange(len(packets))
    return packets


def shares(packets: np.ndarray, owner: np.ndarray, replica: int) -> np.ndarray:
    """What a replica is sent when the buckets are owned so (int [buckets]): its sources' packets, and shadows of those to them."""
    of = len(owner)
    mine = owner[bucket_of(packets, of)] == replica
    towards = owner[bucket_of(packets, of, ("dst_ip",))] == replica
    sent = packets.copy()
    sent["flags"] |= np.where(mine, 0, SHADOW).astype(np.uint32)
    return sent[mine | towards]


def flood(packets, spoofed=True):
    """Packets of a flood: a new source (or, spoofed=False, a new destination) each."""
    made = np.zeros(packets, PACKET)
    made["seq"] = np.arange(packets)
    made["time_ns"] = START + np.arange(packets) * 1_000_000
    made["length"], made["flags"] = 60, ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    made["src_lo"], made["dst_lo"] = 0x0A000001, 0x0A000002
    made["src_lo" if spoofed else "dst_lo"] = 0x0B000000 + np.arange(packets)
    return made


def in_batches(brick, packets, sizes):
    """Features of packets that come in batches of these sizes, again and again."""
    parts, begin, turn = [np.empty((0, brick.width))], 0, 0
    while begin < len(packets):
        end = begin + sizes[turn % len(sizes)]
        parts.append(brick.process(Batch(packets[begin:end])).values)
        begin, turn = end, turn + 1
    return np.concatenate(parts)


def in_a_process(code):
    """What a fresh Python prints at last."""
    head = "import numpy as np\nfrom bricks.records.brick import Batch\nfrom tests.bricks.feature_traffic import flood\n"
    command = [sys.executable, "-c", head + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]
