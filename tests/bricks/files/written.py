"""Captures written by the tests, byte by byte, independently of the readers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple


class Packet(NamedTuple):
    time_ns: int
    frame: bytes
    length: int | None = None  # on the wire, if more than was captured


def pcap(packets: list[Packet], order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
    for time_ns, frame, length in packets:
        seconds, rest = divmod(time_ns, 10**9)
        parts += (struct.pack(order + "IIII", seconds, rest // unit, len(frame), length or len(frame)), frame)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    size = 12 + (len(body) + 3) // 4 * 4
    return struct.pack(order + "II", kind, size) + body.ljust(size - 12, b"\0") + struct.pack(order + "I", size)


def section(order: str = "<", options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options, order)


def interface(order: str = "<", link: int = 1, snap: int = 0, options: list[tuple[int, bytes]] | None = None) -> bytes:
    body = struct.pack(order + "HHI", link, 0, snap)
    for code, value in options or []:
        body += struct.pack(order + "HH", code, len(value)) + value.ljust((len(value) + 3) // 4 * 4, b"\0")
    return block(1, body + (bytes(4) if options else b""), order)


def enhanced(ticks: int, packet: Packet, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.frame), packet.length or len(packet.frame))
    comment = struct.pack(order + "HH", 1, 5) + b"hello\0\0\0" + bytes(4)
    return block(6, head + packet.frame.ljust((len(packet.frame) + 3) // 4 * 4, b"\0") + comment, order)


def simple(packet: Packet, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", packet.length or len(packet.frame)) + packet.frame, order)


def obsolete(ticks: int, packet: Packet, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(order + "HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.frame), packet.length or len(packet.frame))
    return block(2, head + packet.frame, order)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
