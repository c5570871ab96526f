"""Large traffic out of a small capture: the same packets again, later."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from bricks.files.frames import Frames

_FILE_HEAD = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)  # nanoseconds, Ethernet
_RECORD_HEAD = np.dtype([("seconds", "<u4"), ("rest", "<u4"), ("captured", "<u4"), ("length", "<u4")])
_BILLION = 1_000_000_000


def repeated(packets: np.ndarray, count: int) -> np.ndarray:
    """`count` packets: the given ones (PACKET [n]) round after round, each round beginning when the one before ended; `seq` from 0."""
    rounds = -(-count // len(packets))
    out = np.tile(packets, rounds)
    out["time_ns"] += np.repeat(np.arange(rounds), len(packets)) * np.ptp(packets["time_ns"])
    out["seq"] = np.arange(len(out))
    return out[:count]


def write_repeated(path: Path, frames: Frames, count: int) -> Path:
    """A pcap of `count` frames: the given ones round after round, as `repeated` does; returns its path."""
    rounds, span = -(-count // len(frames)), int(np.ptp(frames.times_ns))
    with path.open("wb") as file:
        file.write(_FILE_HEAD)
        left, text, places = count, *_one_round(frames)
        for number in range(rounds):
            _set_times(text, places, frames.times_ns + number * span)
            end = len(text) if left >= len(frames) else int(places[left])
            file.write(text[:end])
            left -= len(frames)
    return path


def _one_round(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """All records of one round, uint8, their times yet to be set, and where each begins."""
    heads = np.zeros(len(frames), _RECORD_HEAD)
    heads["captured"], heads["length"] = frames.captured, frames.lengths
    pieces = []
    for head, offset, captured in zip(heads, frames.offsets.tolist(), frames.captured.tolist(), strict=True):
        pieces += [head.tobytes(), frames.buffer[offset : offset + captured].tobytes()]
    sizes = frames.captured.astype(np.int64) + _RECORD_HEAD.itemsize
    return np.frombuffer(bytearray(b"".join(pieces)), np.uint8), np.cumsum(sizes) - sizes


def _set_times(text: np.ndarray, places: np.ndarray, times_ns: np.ndarray) -> None:
    both = np.stack((times_ns // _BILLION, times_ns % _BILLION), axis=1).astype("<u4")
    text[places[:, None] + np.arange(8)] = both.view(np.uint8)


def scan(count: int) -> np.ndarray:
    """One host asks `count` different addresses for telnet, 10,000 a second: PACKET [count], dressed as TCP SYNs."""
    out = _syns(count)
    out["time_ns"] += np.arange(count) * 100_000
    out["src_lo"], out["src_port"] = 0xC0A8286E, 40_000  # 192.168.40.110
    out["dst_lo"] = _different(count)
    return out


def flood(count: int, rows: np.ndarray | None) -> np.ndarray:
    """A SYN flood from `count` different, spoofed sources: PACKET [count]. `rows`: packets of a real one that goes on so."""
    if rows is None:
        rows = _syns(min(count, 4096))
        rows["time_ns"] += np.arange(len(rows)) * 100_000
        rows["src_port"] = 1024 + np.arange(len(rows)) * 7919 % 60_000
        rows["dst_lo"] = 0xC6120001  # 198.18.0.1
    out = repeated(rows, count)
    out["src_lo"], out["src_hi"] = _different(count), 0
    return out


def _syns(count: int) -> np.ndarray:
    from bricks.records.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SRC_KIND_SHIFT

    out = np.zeros(count, PACKET)
    out["seq"], out["time_ns"] = np.arange(count), 1_700_000_000 * _BILLION
    out["src_mac"], out["dst_mac"], out["length"], out["dst_port"] = 0x020000000001, 0x020000000002, 60, 23
    out["flags"] = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
    return out


def _different(count: int) -> np.ndarray:
    """Different IPv4 addresses, scattered: uint64 [count]."""
    return (np.arange(count, dtype=np.uint64) * np.uint64(2_654_435_761)) & np.uint64(0xFFFFFFFF)
