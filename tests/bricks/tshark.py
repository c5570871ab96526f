"""What tshark says a capture holds, field by field: the reference for the parser."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

FIELDS = [
    *("frame.time_epoch", "frame.len", "eth.src", "eth.dst", "ip.src", "ip.dst"),
    *("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "icmp.type", "icmp.code"),
    *("arp.opcode", "arp.src.hw_mac", "arp.src.proto_ipv4", "arp.dst.hw_mac", "arp.dst.proto_ipv4", "ipv6.src", "ipv6.dst"),
]
OPTIONS = ("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE")
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
FACTS = ("time_ns", "length", "src_mac", "dst_mac", "src", "dst", "src_port", "dst_port", "icmp", "arp")


def write_tsv(capture: Path, out: Path, occurrence: str = "f") -> Path:
    """The capture as the tsv that Kitsune users exchange."""
    fields = [argument for field in FIELDS for argument in ("-e", field)]
    command = ["tshark", "-n", "-r", str(capture), *OPTIONS, "-T", "fields", *fields, "-E", "header=y", "-E", f"occurrence={occurrence}"]
    with out.open("wb") as lines:
        subprocess.run(command, stdout=lines, stderr=subprocess.PIPE, check=False, timeout=300)
    return out


def expected(tsv: Path) -> list[tuple]:
    """One tuple of FACTS for each packet, by the rules of the oracle's `packets`; addresses are (kind, number)."""
    rows = []
    with tsv.open(encoding="utf8") as lines:
        assert next(lines).rstrip("\n").split("\t") == FIELDS
        for line in lines:
            f = line.rstrip("\r\n").split("\t")
            f += [""] * (len(FIELDS) - len(f))
            rows.append(_facts(f))
    return rows


def found(packets: np.ndarray) -> list[tuple]:
    """The same facts, of records."""
    rows = []
    for p in packets.tolist():
        _, time_ns, src_hi, src_lo, dst_hi, dst_lo, src_mac, dst_mac, length, src_port, dst_port, flags = p
        src, dst = (flags & 3, src_hi << 64 | src_lo), (flags >> 2 & 3, dst_hi << 64 | dst_lo)
        rows.append((time_ns, length, src_mac, dst_mac, src, dst, src_port, dst_port, bool(flags & 1 << 5), bool(flags & 1 << 4)))
    return rows


def difference(want: list[tuple], got: list[tuple]) -> str:
    """The first differences, in words; empty if there are none."""
    if len(want) != len(got):
        return f"{len(want)} packets by tshark, {len(got)} records"
    lines = [
        f"packet {i}: {name} is {b!r}, tshark says {a!r}"
        for i, rows in enumerate(zip(want, got, strict=True))
        for name, a, b in zip(FACTS, *rows, strict=True)
        if a != b
    ]
    return "\n".join(lines[:20]) + (f"\n... {len(lines)} in all" if len(lines) > 20 else "")


def _facts(f: list[str]) -> tuple:
    whole, _, part = (f[0] or "0").partition(".")
    time_ns = int(whole) * 10**9 + int(part.ljust(9, "0")[:9] or 0)
    src, dst = (_address(f[4]), _address(f[5])) if f[4] else (_address(f[17]), _address(f[18]))
    if f[12]:
        src, dst = _address(f[14]), _address(f[16])
    elif not src[0]:
        src, dst = _mac(f[2]), _mac(f[3])
    port = [int(text) if text else 0x10000 for text in (f[6] or f[8], f[7] or f[9])]
    return time_ns, int(f[1]), _mac(f[2])[1], _mac(f[3])[1], src, dst, *port, bool(f[10]), bool(f[12])


def _address(text: str) -> tuple[int, int]:
    if not text:
        return (0, 0)
    address = ipaddress.ip_address(text)
    return (1 if address.version == 4 else 2, int(address))


def _mac(text: str) -> tuple[int, int]:
    return (3, int(text.replace(":", ""), 16)) if text else (0, 0)
