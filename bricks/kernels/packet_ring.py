"""The walk over a TPACKET_V3 ring: from blocks that the kernel filled to PACKET records, without a copy of a frame.

Offsets are those of linux/if_packet.h (tpacket_block_desc, tpacket3_hdr, sockaddr_ll). Everything there is in host order (little-endian).
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from bricks.kernels.parse import parse_switched
from bricks.packets import MARKER_BYTES, MARKER_MAGIC, MARKER_TYPE, SHADOW, SHADOW_TPID, SHADOW_VID, STAMP_BYTES, STAMP_MAGIC, STAMPED, VLAN

# where the walk stands: block; packets of it still to come, -1 before it is entered; byte of the next one in the ring
BLOCK, LEFT, AT = 0, 1, 2
CURSOR = 3

# counters; FIRST and LAST are the lowest and highest stamp seen, -1 before there is one; MARKER is the token of the marker at which the
# walk stopped, 0 if it did not: the caller clears it
FRAMES, OUTGOING, SHADOWS, UNSTAMPED, GAPS, REPEATS, REORDERED, FIRST, LAST, NEXT, MARKER = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
CAME = 11  # when the kernel got the frame that was parsed last, nanoseconds since the epoch
COUNTS = 12
WINDOW = 65_536  # how far back, in stamps, a repeat is told from a reordering

_KERNEL, _USER = 0, 1  # who may touch a block
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6
_PACKET_OUTGOING = 4
_CTAG = 0x8100
_NO_TAG = -1


@intrinsic
def _load_acquire(typing_context, words, index):
    """words[index], uint32; no later read is done before it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(builder.gep(array.data, [arguments[1]]), "acquire", 4)

    return types.uint32(words, types.intp), generate


@intrinsic
def _store_release(typing_context, words, index, value):
    """words[index] = value, uint32; no earlier read or write is done after it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        builder.store_atomic(arguments[2], builder.gep(array.data, [arguments[1]]), "release", 4)
        return context.get_dummy_value()

    return types.none(words, types.intp, types.uint32), generate


@njit(cache=True)
def _ready(words, block, block_bytes):
    return _load_acquire(words, (block * block_bytes + 8) >> 2) & _USER != 0


@njit(cache=True)
def waiting(words, block_bytes, blocks, cursor):
    """Blocks that the kernel has handed over and that are not finished."""
    n = 0
    while n < blocks and _ready(words, (cursor[BLOCK] + n) % blocks, block_bytes):
        n += 1
    return n


@njit(cache=True)
def walk(ring, words, block_bytes, blocks, cursor, counts, seen, trailer, out):
    """Parse what is ready into `out`; returns the number of rows.

    ring     uint8 [blocks * block_bytes], the mapped ring; `words` is the same memory as uint32
    cursor   int64 [CURSOR], counts int64 [COUNTS], seen uint64 [WINDOW / 64]: kept from call to call
    trailer  stamps come from a trailer on the frame; a frame without one is counted, not given out
    out      PACKET [rows]

    A block goes back to the kernel as soon as its last packet is parsed. The walk stops behind a marker, and says so in counts[MARKER].
    """
    row = 0
    while row < len(out) and counts[MARKER] == 0:
        base = cursor[BLOCK] * block_bytes
        if cursor[LEFT] < 0:
            if not _ready(words, cursor[BLOCK], block_bytes):
                break
            cursor[LEFT] = words[(base + 12) >> 2]
            cursor[AT] = base + words[(base + 16) >> 2]
        while cursor[LEFT] > 0 and row < len(out) and counts[MARKER] == 0:
            at = cursor[AT]
            row += _take(ring, words, at, counts, seen, trailer, out, row)
            cursor[AT] = at + words[at >> 2]
            cursor[LEFT] -= 1
        if cursor[LEFT] == 0:
            _store_release(words, (base + 8) >> 2, np.uint32(_KERNEL))
            cursor[BLOCK] = (cursor[BLOCK] + 1) % blocks
            cursor[LEFT] = -1
    return row


@njit(cache=True)
def _take(ring, words, at, counts, seen, trailer, out, row):
    """Parse the frame whose tpacket3_hdr is at `at`; returns the rows written (1 or 0)."""
    if ring[at + 58] == _PACKET_OUTGOING:
        counts[OUTGOING] += 1
        return 0
    start = at + np.int64(ring[at + 24] | np.uint16(ring[at + 25]) << 8)
    captured, length = np.int64(words[(at >> 2) + 3]), np.int64(words[(at >> 2) + 4])
    size = length  # with the stamp: so the switch saw it
    if captured >= MARKER_BYTES and _big_endian(ring, start + 12, 6) == MARKER_TYPE << 32 | MARKER_MAGIC:
        counts[MARKER] = _big_endian(ring, start + 18, 8)
        return 0
    counts[FRAMES] += 1
    stamp = _NO_TAG
    time_ns = np.int64(words[(at >> 2) + 1]) * 1_000_000_000 + np.int64(words[(at >> 2) + 2])
    counts[CAME] = time_ns
    if trailer:
        stamp = start + captured - STAMP_BYTES
        if captured != length or captured < STAMP_BYTES or _big_endian(ring, stamp, 4) != STAMP_MAGIC:
            counts[UNSTAMPED] += 1
            return 0
        captured -= STAMP_BYTES
        length -= STAMP_BYTES
    flags, skipped, more = _outer_tag(ring, words, at, start, captured)
    switched = size - skipped, 1 if more > 0 else 0
    parse_switched(ring, start + skipped, captured - skipped, length + more, switched, out, row)
    if flags == SHADOW:
        counts[SHADOWS] += 1
    record = out[row]
    record.flags |= np.uint32(flags)
    if trailer:
        record.flags |= np.uint32(STAMPED)
        record.seq = np.uint64(_big_endian(ring, stamp + 4, 8))
        record.time_ns = _big_endian(ring, stamp + 12, 8)
        _note(np.int64(record.seq), counts, seen)
    else:
        record.seq = np.uint64(counts[NEXT])
        record.time_ns = time_ns
        counts[NEXT] += 1
    return 1


@njit(cache=True)
def _outer_tag(ring, words, at, start, captured):
    """What the outermost VLAN tag says: (flag, bytes of the frame to skip, bytes to add to its length).

    The kernel has usually taken it out of the frame and into the header of the ring. The mark of a shadow left in the frame is taken out
    here, by moving the two MAC addresses over it.
    """
    status = words[(at >> 2) + 5]
    if status & _VLAN_VALID:
        word = words[(at >> 2) + 9]
        kind = word & 0xFFFF if status & _TPID_VALID else _CTAG
        if kind == SHADOW_TPID and words[(at >> 2) + 8] & 0xFFF == SHADOW_VID:
            return SHADOW, 0, 0
        return VLAN, 0, 4
    if captured < 16 or _big_endian(ring, start + 12, 2) != SHADOW_TPID or _big_endian(ring, start + 14, 2) & 0xFFF != SHADOW_VID:
        return 0, 0, 0
    for i in range(11, -1, -1):
        ring[start + i + 4] = ring[start + i]
    return SHADOW, 4, -4


@njit(cache=True)
def _big_endian(ring, at, size):
    """An unsigned number of up to 8 bytes, as int64 (the bits of uint64)."""
    value = np.int64(0)
    for i in range(size):
        value = value << 8 | np.int64(ring[at + i])
    return value


@njit(cache=True)
def _note(stamp, counts, seen):
    """Hold a stamp against those before it: gaps, repeats, reorderings (see PacketRing for what they mean)."""
    if counts[FIRST] < 0:
        counts[FIRST] = counts[LAST] = stamp
        _mark(stamp, seen)
        return
    ahead = stamp - counts[LAST]
    if ahead > 0:
        counts[GAPS] += ahead - 1
        for missing in range(max(stamp - WINDOW, counts[LAST]) + 1, stamp):
            seen[(missing % WINDOW) >> 6] &= ~(np.uint64(1) << np.uint64(missing & 63))
        counts[LAST] = stamp
    elif ahead > -WINDOW and seen[(stamp % WINDOW) >> 6] >> np.uint64(stamp & 63) & np.uint64(1):
        counts[REPEATS] += 1
    else:
        counts[REORDERED] += 1
        if stamp < counts[FIRST]:
            counts[GAPS] += counts[FIRST] - stamp - 1
            counts[FIRST] = stamp
        elif ahead > -WINDOW:
            counts[GAPS] -= 1
    if ahead > -WINDOW:
        _mark(stamp, seen)


@njit(cache=True)
def _mark(stamp, seen):
    seen[(stamp % WINDOW) >> 6] |= np.uint64(1) << np.uint64(stamp & 63)
