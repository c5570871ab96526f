"""Frames that a parser has most work with: tags, tunnels, extension headers, fragments, headers cut short or at odds with themselves."""

from __future__ import annotations

import struct

import numpy as np

from bricks.files.frames import Frames

_MACS = bytes.fromhex("020000000001020000000002")
_TCP = struct.pack("!HHIIBBHHH", 40_000, 23, 1, 0, 5 << 4, 2, 1024, 0, 0)
_UDP = struct.pack("!HHHH", 50_000, 53, 12, 0) + b"data"
_PADDED = bytes([0, 1, 4, 0, 0, 0, 0])  # an extension header of 8 bytes, but for its first: only padding
_GAP_NS = 100_000


def _ethernet(kind: int, payload: bytes, *tags: tuple[int, int]) -> bytes:
    return _MACS + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + payload


def _ipv4(protocol: int, payload: bytes, first: int = 0x45, fragment: int = 0, options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH", first, 0, 20 + len(options) + len(payload), 7, fragment, 64, protocol, 0)
    return head + bytes((192, 168, 1, 10, 10, 1, 2, 3)) + options + payload


def _ipv6(following: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + bytes(range(32)) + payload


def _kinds() -> tuple[bytes, ...]:
    plain, quoted = _ipv4(6, _TCP), struct.pack("!BBHI", 3, 1, 0, 0) + _ipv4(17, _UDP)
    extended = bytes([60]) + _PADDED + bytes([43]) + _PADDED + bytes([44, 0, 0, 0, 0, 0, 0, 0]) + bytes([6, 0, 0, 1, 0, 0, 0, 1]) + _TCP
    return (
        _ethernet(0x0800, plain, (0x8100, 7)),
        _ethernet(0x0800, plain, (0x88A8, 3), (0x8100, 7)),
        _ethernet(0x86DD, _ipv6(0, extended)),
        _ethernet(0x0800, _ipv4(17, _UDP, fragment=0x2000)),
        _ethernet(0x0800, _ipv4(17, _UDP, fragment=185)),
        _ethernet(0x0800, _ipv4(6, _TCP, first=0x47, options=bytes([1] * 8))),
        _ethernet(0x0800, _ipv4(1, quoted)),
        _ethernet(0x0800, _ipv4(47, struct.pack("!HH", 0, 0x0800) + plain)),
        _ethernet(0x0800, plain[:22]),
        _ethernet(0x86DD, _ipv6(0, extended)[:58]),
        _ethernet(0x0800, _ipv4(6, _TCP, first=0x42)),
    )


def odd_frames() -> Frames:
    """One of each kind, to be repeated."""
    frames = _kinds()
    captured = np.array([len(frame) for frame in frames], np.uint32)
    offsets = np.cumsum(captured, dtype=np.int64) - captured
    return Frames(np.frombuffer(b"".join(frames), np.uint8), offsets, captured, captured, np.arange(len(frames)) * _GAP_NS)
