"""Find the frames in a piece of a capture file: the record headers of pcap, the packet blocks of pcapng.

A walk stops before anything that it cannot finish and says why, so that the caller reads on, or looks at a block that holds no packet.
"""

from typing import NamedTuple

import numpy as np

from bricks.kernels.jit import compiled
from bricks.kernels.parse.ethernet import parse_link

# more bytes (or rows) are needed; lengths that cannot be; a block without a packet; a packet block whose content cannot be; a second header
MORE, DAMAGED, OTHER, UNREADABLE, HEADER = 0, 1, 2, 3, 4
PACKET_BYTES_MAX = 1 << 18  # the longest packet that capture programs write; a longer one is a damaged length
BLOCK_BYTES_MAX = 1 << 24  # of a block that is held whole: a packet with its comments; libpcap has the same bound
AS_WRITTEN, SWAPPED, SORTED = 0, 1, 2  # lengths of a pcap record: captured first; before version 2.3 last; in 2.3 either
_DROP_COUNT = 4  # option of an enhanced packet block

INTERFACE = np.dtype(
    [
        ("link", "<i8"),
        ("snap", "<i8"),  # bytes kept of each packet
        ("times", "<u8"),  # a tick is `times` nanoseconds if above 0, else 1 / `parts` of one if above 0, else 2 ** -`shift` seconds
        ("parts", "<u8"),
        ("shift", "<u8"),
        ("offset_ns", "<i8"),
        ("readable", "<i8"),  # 0: its link type is none that can be parsed
        ("left_out", "<i8"),  # packets that were passed over for that, counted by the walk
        ("dropped", "<i8"),  # packets that the capture program lost, as its packet blocks tell
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


@compiled
def parse_index(buffer, index, count, first, out, row):
    """Parse the first `count` frames of `index` into out[row:], with sequence numbers from `first`; see `parse_link`."""
    for i in range(count):
        parse_link(buffer, index.offsets[i], np.int64(index.captured[i]), index.lengths[i], index.links[i], out, row + i)
        out[row + i].seq = first + i
        out[row + i].time_ns = index.times[i]


@compiled
def _u16(buffer, at, big):
    at = np.uint64(at)
    first, second = np.int64(buffer[at]), np.int64(buffer[at + np.uint64(1)])
    return first << 8 | second if big else second << 8 | first


@compiled
def _u32(buffer, at, big):
    first, second = _u16(buffer, at, big), _u16(buffer, at + 2, big)
    return first << 16 | second if big else second << 16 | first


@compiled
def walk_pcap(buffer, at, stop, form, index, limit):
    """Walk pcap records from buffer[at], at most `limit`.

    form: (big-endian, nanoseconds in a unit of the fraction, link type, AS_WRITTEN, SWAPPED or SORTED).
    Returns (where it stopped, frames, MORE, DAMAGED or HEADER).
    """
    big, unit, link, lengths = form
    rows = 0
    while rows < limit and stop - at >= 16:
        if buffer[at] in (0xA1, 0xD4, 0x4D) and _is_header(buffer, at):
            return at, rows, HEADER
        captured, length = _u32(buffer, at + 8, big), _u32(buffer, at + 12, big)
        if lengths == SWAPPED or (lengths == SORTED and captured > length):
            captured, length = length, captured
        if captured > PACKET_BYTES_MAX or (captured == 0 and _zeros(buffer, at, at + 16)):  # zeros: never written
            return at, rows, DAMAGED
        if stop - at < 16 + captured:
            break
        index.offsets[rows] = at + 16
        index.captured[rows] = captured
        index.lengths[rows] = length
        index.times[rows] = _u32(buffer, at, big) * 1_000_000_000 + _u32(buffer, at + 4, big) * unit
        index.links[rows] = link
        rows += 1
        at += 16 + captured
    return at, rows, MORE


@compiled
def _zeros(buffer, at, stop):
    while at < stop and buffer[at] == 0:
        at += 1
    return at == stop


@compiled
def _is_header(buffer, at):
    """Whether a pcap header begins here: its magic number, of either byte order and either unit of time, and version 2.0 to 2.4."""
    first, last = buffer[at], buffer[at + 3]
    if first == 0xA1:
        known = buffer[at + 1] == 0xB2 and ((buffer[at + 2] == 0xC3 and last == 0xD4) or (buffer[at + 2] == 0x3C and last == 0x4D))
    else:
        known = last == 0xA1 and buffer[at + 2] == 0xB2 and buffer[at + 1] == (0xC3 if first == 0xD4 else 0x3C)
    big = first == 0xA1
    return known and _u16(buffer, at + 4, big) == 2 and _u16(buffer, at + 6, big) <= 4


@compiled
def walk_pcapng(buffer, at, stop, form, index, limit):
    """Walk pcapng packet blocks from buffer[at], at most `limit`.

    form: (big-endian, INTERFACE [interfaces], the time before: a simple packet block has none of its own).
    Returns (where it stopped, frames, MORE, DAMAGED, OTHER or UNREADABLE). Packets of an interface that is not readable are counted there.
    """
    big, interfaces, time = form
    rows = 0
    while rows < limit and stop - at >= 12:
        kind, size = _u32(buffer, at, big), _u32(buffer, at + 4, big)
        if kind not in (2, 3, 6):
            return at, rows, OTHER
        head = 12 if kind == 3 else 28
        if size < head + 4 or size % 4 or size > BLOCK_BYTES_MAX:
            return at, rows, DAMAGED
        if stop - at < size:
            break
        if _u32(buffer, at + size - 4, big) != size:
            return at, rows, DAMAGED
        number, captured, length = _packet_block(buffer, at, kind, big)
        if number >= len(interfaces):
            return at, rows, UNREADABLE
        if kind == 3:
            captured = min(length, interfaces[number].snap, size - 16)
        if captured > min(size - head - 4, PACKET_BYTES_MAX):
            return at, rows, UNREADABLE
        if kind != 3:
            time = _nanoseconds(_u32(buffer, at + 12, big), _u32(buffer, at + 16, big), interfaces[number])
            interfaces[number].dropped += _dropped(buffer, at, at + head + (captured + 3) // 4 * 4, at + size - 4, big)
        if interfaces[number].readable:
            index.offsets[rows], index.captured[rows], index.lengths[rows] = at + head, captured, length
            index.times[rows], index.links[rows] = time, interfaces[number].link
            rows += 1
        else:
            interfaces[number].left_out += 1
        at += size
    return at, rows, MORE


@compiled
def _dropped(buffer, at, options, end, big):
    """Packets that were lost between the one before and this one, as its block tells; 0 if it tells nothing."""
    if _u32(buffer, at, big) == 2:
        count = _u16(buffer, at + 10, big)
        return count if count != 0xFFFF else np.int64(0)
    while options + 4 <= end:
        code, size = _u16(buffer, options, big), _u16(buffer, options + 2, big)
        if code == 0:
            break
        if code == _DROP_COUNT and size == 8 and options + 12 <= end:
            first, second = _u32(buffer, options + 4, big), _u32(buffer, options + 8, big)
            count = first << 32 | second if big else second << 32 | first
            return min(max(count, 0), 1 << 48)
        options += 4 + (size + 3) // 4 * 4
    return np.int64(0)


@compiled
def _packet_block(buffer, at, kind, big):
    """(interface, captured, length) of a packet block: obsolete (2), simple (3) or enhanced (6)."""
    if kind == 3:
        return 0, 0, _u32(buffer, at + 8, big)
    number = _u16(buffer, at + 8, big) if kind == 2 else _u32(buffer, at + 8, big)
    return number, _u32(buffer, at + 20, big), _u32(buffer, at + 24, big)


@compiled
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
