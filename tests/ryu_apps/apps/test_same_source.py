"""One definition of source: a switch's rules and the bricks take the same bits of every frame."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from bricks.files.frames import read_frames
from bricks.kernels.parse.ethernet import parse_frames
from bricks.records.packets import PACKET, bucket_of
from lego_sdn.adapters.ovs import unixctl
from lego_sdn.adapters.ovs.vsctl import Bridge, Ovs
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.flow_rules import OWN_VID, SWITCH_TPID, VLAN_PRESENT
from lego_sdn.core.traffic.rule_compiler import OWN, SHADOW, Cookie, Match, Rule, RuleOptions, compile_rules
from tests.bricks import odd
from tests.bricks.files import written
from tests.bricks.kernels.test_parse_fuzz import mutations
from tests.bricks.odd import FRAMES
from tests.conftest import DATA

BUCKETS = 64
BRIDGE = Bridge(f"lss{os.getpid()}"[:14], "tcp:127.0.0.1:16659", datapath="netdev")
SIZES = {"ipv4_src": 4, "ipv4_dst": 4, "arp_spa": 4, "arp_tpa": 4, "ipv6_src": 16, "ipv6_dst": 16}
FIELDS = {"ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "eth_src": "dl_src", "eth_dst": "dl_dst"}  # as Open vSwitch prints them
IP4, IP6, ARP = odd.ipv4(17, odd.udp()), odd.ipv6(17, odd.udp()), odd.arp()
TAGS = [(), (0x8100,), (0x88A8,), (0x9100,), (0x9200,)]
TAGS += [(first, second) for first in (0x8100, 0x88A8, 0x9100) for second in (0x8100, 0x88A8, 0x9100)]
TAGS += [(0x8100,) * 3, (0x88A8, 0x8100, 0x8100, 0x8100)]


def tagged(kinds: tuple[int, ...], ethertype: int, payload: bytes) -> bytes:
    """A frame with a tag of each kind, of VLAN 5 with a priority and the drop bit."""
    chain = [*kinds, ethertype]
    return odd.DST + odd.SRC + chain[0].to_bytes(2, "big") + b"".join(b"\x70\5" + kind.to_bytes(2, "big") for kind in chain[1:]) + payload


def made() -> dict[str, bytes]:
    """Frames of every kind about which two parsers could differ, by name."""
    frames = dict(FRAMES)
    frames |= {
        f"{name} in {' '.join(map(hex, kinds))}": tagged(kinds, ethertype, payload)
        for kinds in TAGS
        for name, ethertype, payload in (("ipv4", 0x0800, IP4), ("ipv6", 0x86DD, IP6), ("arp", 0x0806, ARP), ("lldp", 0x88CC, bytes(40)))
    }
    frames |= {
        f"ipv4 of total length {n}": odd.ether(0x0800, odd.ipv4(17, odd.udp(), total=n)) for n in (0, 19, 20, 31, 32, 33, 52, 65_535)
    }
    frames |= {
        f"ipv4 that begins with {n:#x}": odd.ether(0x0800, odd.ipv4(17, odd.udp(), first=n))
        for n in (5, 0x40, 0x44, 0x46, 0x48, 0x55, 0x65)
    }
    frames |= {f"ipv6 of payload {n}": odd.ether(0x86DD, odd.ipv6(17, odd.udp(), n)) for n in (0, 11, 12, 13, 52, 65_535)}
    frames |= {f"padded {name}": odd.ether(kind, payload + bytes(20)) for name, kind, payload in (("4", 0x800, IP4), ("6", 0x86DD, IP6))}
    frames |= {
        f"arp {how}": odd.ether(0x0806, odd.arp(**how)) for how in ({"opcode": 0}, {"opcode": 9}, {"opcode": 256}, {"opcode": 65_535})
    }
    frames |= {
        f"arp {how}": odd.ether(0x0806, odd.arp(**how))
        for how in ({"hardware": 6}, {"protocol": 0x86DD}, {"sizes": (8, 4)}, {"sizes": (6, 16)})
    }
    frames |= {f"reverse arp {n}": odd.ether(0x8035, odd.arp(opcode=n)) for n in (3, 4)}
    frames |= {f"type or length {n}": odd.ether(n, b"\xaa\xaa\3\0\0\0\x08\0" + IP4) for n in (0, 4, 20, 1500, 1501, 1535, 1536)}
    frames |= {f"snap {n:#x}": odd.llc(b"\xaa\xaa\3\0\0\0" + n.to_bytes(2, "big") + IP4) for n in (0x0100, 0x05FF, 0x0800, 0x8100, 0x86DD)}
    frames["snap in a tag"] = tagged((0x8100,), len(IP4) + 8, b"\xaa\xaa\3\0\0\0\x08\0" + IP4)
    frames["snap of another organisation"] = odd.llc(b"\xaa\xaa\3\0\0\xf8\x08\0" + IP4)
    frames["pppoe"] = odd.ether(0x8864, b"\x11\0\0\1\0\x22\0\x21" + IP4)
    frames["mpls"] = odd.ether(0x8847, b"\0\1\1\x40" + IP4)
    frames["vn-tag"] = odd.ether(0x8926, b"\0\0\0\0\x08\0" + IP4)
    frames["vxlan"] = odd.ether(0x0800, odd.ipv4(17, (50_000).to_bytes(2, "big") + b"\x12\xb5\0\x6a\0\0\x08\0\0\0\0\0\7\0" + FRAMES["tcp"]))
    return frames


def records(frames: list[bytes]) -> np.ndarray:
    """The frames, whole, as the bricks see them."""
    sizes = np.array([len(frame) for frame in frames], np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    out = np.zeros(len(frames), PACKET)
    parse_frames(np.frombuffer(b"".join(frames), np.uint8), offsets, sizes, sizes, np.zeros(len(frames), np.int64), out)
    return out


@pytest.fixture(scope="module")
def bridge():
    """A bridge with the bucket rules of one instance, which owns every bucket; cookies name the buckets."""
    ovs = Ovs(f"same{os.getpid()}")
    ovs.require()
    ovs.add_bridge(BRIDGE)
    subprocess.run(["ovs-vsctl", "del-controller", BRIDGE.name], check=True, timeout=60)
    rules = compile_rules(dict.fromkeys(range(BUCKETS), 1), {1: 1}, RuleOptions(BUCKETS))
    lines = "".join(f"{as_text(rule)}\n" for rule in rules if rule.table in (OWN, SHADOW))
    guard = f"table=0,actions=push_vlan:{SWITCH_TPID:#x},set_field:{VLAN_PRESENT | OWN_VID}->vlan_vid,goto_table:{OWN}\n"
    command = ["ovs-ofctl", "-OOpenFlow14", "add-flows", BRIDGE.name, "-"]
    subprocess.run(command, input=guard + lines, text=True, check=True, timeout=60)
    yield BRIDGE.name
    ovs.remove_bridge(BRIDGE.name)


def as_text(rule: Rule) -> str:
    """A rule of the pipeline, without what it puts out."""
    matches = "".join(f",{as_match(match)}" for match in rule.match)
    metadata = f"write_metadata:{rule.metadata}," if rule.metadata else ""
    after = f"goto_table:{rule.goto}" if rule.table == OWN else "drop"
    return f"table={rule.table},priority={rule.priority},cookie={rule.cookie:#x}{matches},actions={metadata}{after}"


def as_match(match: Match) -> str:
    if match.field in ("eth_type", "metadata"):
        return f"{match.field}={match.value:#x}"
    if match.field == "vlan_vid":
        return f"vlan_vid={match.value:#x}/{match.mask:#x}"
    texts = [
        str(ip_address(n.to_bytes(SIZES[match.field], "big"))) if match.field[:3] != "eth" else mac(n) for n in (match.value, match.mask)
    ]
    return f"{FIELDS.get(match.field, match.field)}={'/'.join(texts)}"


def mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def by_rules(bridge: str, frame: bytes) -> tuple[int, int]:
    """Buckets of source and destination by which the switch's rules take the frame."""
    found = unixctl.ask("ofproto/trace", bridge, "in_port=LOCAL", frame.hex())
    cookies = {int(table): int(cookie, 16) for table, cookie in re.findall(r"^ *(\d+)\. .*, cookie (0x[0-9a-f]+)$", found, re.M)}
    return Cookie.decode(cookies[OWN]).bucket, Cookie.decode(cookies[SHADOW]).bucket


def differing(bridge: str, frames: dict[str, bytes]) -> dict[str, tuple]:
    rows = records(list(frames.values()))
    pairs = zip(bucket_of(rows, BUCKETS).tolist(), bucket_of(rows, BUCKETS, ("dst_ip",)).tolist(), strict=True)
    both = {name: (by_rules(bridge, frame), pair) for (name, frame), pair in zip(frames.items(), pairs, strict=True)}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


@pytest.mark.root
def test_a_switch_and_the_bricks_take_the_same_bits_of_every_made_frame(bridge):
    frames = made()
    assert len(frames) > 200
    assert differing(bridge, frames) == {}


@pytest.mark.root
def test_they_do_wherever_a_frame_is_cut(bridge):
    whole = made()
    names = ["tcp", "ipv6 udp", "arp request", "802.1Q", "three tags", "snap in a tag", "options", "ipv4 in 0x88a8", "reverse arp"]
    assert differing(bridge, {f"{name} cut at {n}": whole[name][:n] for name in names for n in range(14, len(whole[name]))}) == {}


@pytest.mark.root
def test_they_do_whatever_the_bytes_are(bridge):
    frames = {frame.hex(): frame for frame in mutations(4000, seed=21) if len(frame) >= 14}
    assert len(frames) > 2500
    assert differing(bridge, frames) == {}


def captures() -> list[Path]:
    return sorted(path for folder in (DATA, DATA / "nf" / "pcaps") for path in folder.glob("*.pcap*"))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="Open vSwitch is not installed")
def test_they_do_on_every_capture(tmp_path):
    """By `ovs-ofctl parse-pcap`, which has the parser of ovs-vswitchd and prints what it finds, but looks through one tag more."""
    wrong, compared = [], 0
    for path in captures():
        try:
            frames = read_frames([path])
        except CaptureError:
            continue  # not of Ethernet
        whole = [i for i in range(len(frames)) if 14 <= frames.captured[i] == frames.lengths[i]]
        kept = [
            bytes(frames.buffer[at : at + size])
            for at, size in zip(frames.offsets[whole].tolist(), frames.captured[whole].tolist(), strict=True)
        ]
        if not kept:
            continue
        copy = written.save(tmp_path / "copy.pcap", written.pcap([written.Packet(1, frame) for frame in kept]))
        lines = subprocess.run(
            ["ovs-ofctl", "parse-pcap", str(copy)], capture_output=True, text=True, check=True, timeout=120
        ).stdout.splitlines()
        rows = records(kept)
        found = zip(rows["src_lo"].tolist(), rows["dst_lo"].tolist(), strict=True)
        pairs = [(addresses(line), tuple(n % 2**32 for n in pair)) for line, pair in zip(lines, found, strict=True)]
        wrong += [(path.name, line, pair) for line, pair in zip(lines, pairs, strict=True) if pair[0] != pair[1]]
        compared += len(pairs)
    assert wrong[:5] == []
    assert compared > 100_000


def addresses(line: str) -> tuple[int, int]:
    """The low 32 bits of the addresses by which a packet is steered of which Open vSwitch prints `line`."""
    fields = dict(word.partition("=")[::2] for word in line.split(","))
    of = "dl_src", "dl_dst"
    if "dl_vlan1" not in fields and "rarp" not in fields:
        of = next((pair for pair in (("arp_spa", "arp_tpa"), ("nw_src", "nw_dst"), ("ipv6_src", "ipv6_dst")) if pair[0] in fields), of)
    numbers = [int(fields[name].replace(":", ""), 16) if of[0] == "dl_src" else int(ip_address(fields[name])) for name in of]
    return numbers[0] % 2**32, numbers[1] % 2**32
