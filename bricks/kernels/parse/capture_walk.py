"""Find the frames in a piece of a capture file: the record headers of pcap, the packet blocks of pcapng.

A walk stops before anything that it cannot finish and says why, so that the caller reads on, or looks at a block that holds no packet.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bricks.kernels.parse.ethernet import parse_link

MORE, DAMAGED, OTHER = 0, 1, 2  # more bytes (or rows) are needed; lengths that cannot be; a block without a packet
PACKET_BYTES_MAX = 1 << 18  # the longest packet that capture programs write; a longer one is a damaged length

INTERFACE = np.dtype(
    [
        ("link", "<i8"),
        ("snap", "<i8"),  # bytes kept of each packet
        ("times", "<u8"),  # a tick is `times` nanoseconds if above 0, else 1 / `parts` of one if above 0, else 2 ** -`shift` seconds
        ("parts", "<u8"),
        ("shift", "<u8"),
        ("offset_ns", "<i8"),
    ]
)


class Index(NamedTuple):
    """Where the frames of a piece are: one row per frame."""

    offsets: np.ndarray  # int64
    captured: np.ndarray  # uint32
    lengths: np.ndarray  # uint32, on the wire
    times: np.ndarray  # int64, nanoseconds since the epoch
    links: np.ndarray  # int64

    @classmethod
    def empty(cls, rows: int) -> "Index":
        return cls(*(np.zeros(rows, kind) for kind in ("i8", "u4", "u4", "i8", "i8")))


@njit(cache=True)
def parse_index(buffer, index, count, first, out, row):
    """Parse the first `count` frames of `index` into out[row:], with sequence numbers from `first`; see `parse_link`."""
    for i in range(count):
        parse_link(buffer, index.offsets[i], np.int64(index.captured[i]), index.lengths[i], index.links[i], out, row + i)
        out[row + i].seq = first + i
        out[row + i].time_ns = index.times[i]


@njit(cache=True)
def _u16(buffer, at, big):
    first, second = np.int64(buffer[at]), np.int64(buffer[at + 1])
    return first << 8 | second if big else second << 8 | first


@njit(cache=True)
def _u32(buffer, at, big):
    first, second = _u16(buffer, at, big), _u16(buffer, at + 2, big)
    return first << 16 | second if big else second << 16 | first


@njit(cache=True)
def walk_pcap(buffer, at, stop, form, index, limit):
    """Walk pcap records from buffer[at], at most `limit`.

    form: (big-endian, nanoseconds in a unit of the fraction, link type). Returns (where it stopped, frames, MORE or DAMAGED).
    """
    big, unit, link = form
    rows = 0
    while rows < limit and stop - at >= 16:
        captured = _u32(buffer, at + 8, big)
        if captured > PACKET_BYTES_MAX:
            return at, rows, DAMAGED
        if stop - at < 16 + captured:
            break
        index.offsets[rows] = at + 16
        index.captured[rows] = captured
        index.lengths[rows] = _u32(buffer, at + 12, big)
        index.times[rows] = _u32(buffer, at, big) * 1_000_000_000 + _u32(buffer, at + 4, big) * unit
        index.links[rows] = link
        rows += 1
        at += 16 + captured
    return at, rows, MORE


@njit(cache=True)
def walk_pcapng(buffer, at, stop, form, index, limit):
    """Walk pcapng packet blocks from buffer[at], at most `limit`.

    form: (big-endian, INTERFACE [interfaces], the time before: a simple packet block has none of its own).
    Returns (where it stopped, frames, MORE, DAMAGED or OTHER).
    """
    big, interfaces, time = form
    rows = 0
    while rows < limit and stop - at >= 12:
        kind, size = _u32(buffer, at, big), _u32(buffer, at + 4, big)
        if kind not in (2, 3, 6):
            return at, rows, OTHER
        head = 12 if kind == 3 else 28
        if size < head + 4 or size % 4 or size > 2 * PACKET_BYTES_MAX:
            return at, rows, DAMAGED
        if stop - at < size:
            break
        number, captured, length = _packet_block(buffer, at, kind, big)
        if number >= len(interfaces) or _u32(buffer, at + size - 4, big) != size:
            return at, rows, DAMAGED
        if kind == 3:
            captured = min(length, interfaces[number].snap, size - 16)
        else:
            time = _nanoseconds(_u32(buffer, at + 12, big), _u32(buffer, at + 16, big), interfaces[number])
        if captured > size - head - 4:
            return at, rows, DAMAGED
        index.offsets[rows], index.captured[rows], index.lengths[rows] = at + head, captured, length
        index.times[rows], index.links[rows] = time, interfaces[number].link
        rows += 1
        at += size
    return at, rows, MORE


@njit(cache=True)
def _packet_block(buffer, at, kind, big):
    """(interface, captured, length) of a packet block: obsolete (2), simple (3) or enhanced (6)."""
    if kind == 3:
        return 0, 0, _u32(buffer, at + 8, big)
    number = _u16(buffer, at + 8, big) if kind == 2 else _u32(buffer, at + 8, big)
    return number, _u32(buffer, at + 20, big), _u32(buffer, at + 24, big)


@njit(cache=True)
def _nanoseconds(high, low, interface):
    """Whole nanoseconds since the epoch of a 64-bit count of ticks, rounded down; exact for every resolution."""
    ticks = np.uint64(high) << np.uint64(32) | np.uint64(low)
    if interface.times:
        return np.int64(ticks * interface.times) + interface.offset_ns
    if interface.parts:
        return np.int64(ticks // interface.parts) + interface.offset_ns
    shift, half, billion = interface.shift, np.uint64(32), np.uint64(1_000_000_000)
    whole = ticks >> shift
    part = ticks & ((np.uint64(1) << shift) - np.uint64(1))
    product, carried = (part >> half) * billion, (part & np.uint64(0xFFFFFFFF)) * billion  # 128 bits, by halves
    product += carried >> half
    if shift >= half:
        return np.int64(whole * billion + (product >> (shift - half))) + interface.offset_ns
    return np.int64(whole * billion + ((product << half | carried & np.uint64(0xFFFFFFFF)) >> shift)) + interface.offset_ns
