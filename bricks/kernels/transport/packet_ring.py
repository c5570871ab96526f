"""The walk over a TPACKET_V3 ring: from blocks that the kernel filled to PACKET records, without a copy of a frame.

Offsets are those of linux/if_packet.h (tpacket_block_desc, tpacket3_hdr, sockaddr_ll). Everything there is in host order (little-endian).
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from bricks.kernels.jit import compiled
from bricks.kernels.parse.ethernet import parse_switched
from bricks.records.packets import MARKER_BYTES, MARKER_MAGIC, MARKER_TYPE, SHADOW, STAMP_BYTES, STAMP_MAGIC, STAMPED, VLAN
from lego_sdn.core.facts.flow_rules import MARKER_VID, OWN_VID, SHADOW_VID, SWITCH_TPID

# how frames come: with a stamp trailer; from LEGO's switch, under its own tag; a packet once as an own one and once as a copy
TRAILER, SWITCH, APART = 1, 2, 4

# where the walk stands: block; packets of it still to come, -1 before it is entered; byte of the next one in the ring
BLOCK, LEFT, AT = 0, 1, 2
CURSOR = 3

# counters; FIRST and LAST are the lowest and highest stamp seen, -1 before there is one; MARKER is the token of the marker at which the
# walk stopped, 0 if it did not: the caller clears it
FRAMES, OUTGOING, SHADOWS, UNSTAMPED, GAPS, REPEATS, REORDERED, FIRST, LAST, NEXT, MARKER = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
CAME = 11  # when the kernel got the frame that was parsed last, nanoseconds since the epoch
FOREIGN, IMPLAUSIBLE = 12, 13  # frames that are not given out: none that the switch sends; of a stamp that cannot be true
STAMPED_AT, OTHER, AGREED = 14, 15, 16  # when the last stamp that was believed came; the last one that was not, and how many like it
HIGHEST_NS, SET_BACK = 17, 18  # the latest time given out; rows given out whose time is well before it
COUNTS = 19
WINDOW = 65_536  # how far back, in stamps, a repeat is told from a reordering

# A stamp is believed if it is near the highest so far, or if so many may have been given meanwhile. Many others that agree with each other
# are believed, too: the ingress has begun anew.
NEAR = 1 << 20
NS_PER_STAMP = 4
WITNESSES = 64
BACK_NS = 5_000_000_000
FARTHEST, LATEST_NS = 1 << 56, 1 << 62  # no sequence number is beyond (2,000 years at 1 million/s), no time (the year 2116)

_KERNEL, _USER = 0, 1  # who may touch a block
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6
_PACKET_OUTGOING = 4
_CTAG = 0x8100
_NO_TAG = -1
_ETHERNET, _TAG = 14, 4  # bytes


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


@compiled
def _ready(words, block, block_bytes):
    return _load_acquire(words, (block * block_bytes + 8) >> 2) & _USER != 0


@compiled
def waiting(words, block_bytes, blocks, cursor):
    """Blocks that the kernel has handed over and that are not finished."""
    n = 0
    while n < blocks and _ready(words, (cursor[BLOCK] + n) % blocks, block_bytes):
        n += 1
    return n


@compiled
def walk(ring, words, block_bytes, blocks, cursor, counts, seen, how, out):
    """Parse what is ready into `out`; returns the number of rows.

    ring     uint8 [blocks * block_bytes], the mapped ring; `words` is the same memory as uint32
    cursor   int64 [CURSOR], counts int64 [COUNTS], seen uint64 [roles, WINDOW / 64]: kept from call to call
    how      TRAILER: stamps come from a trailer on the frame; a frame without one is counted, not given out. SWITCH: every frame has the
             switch's tag, which is taken off and says what it is; one without is counted, not given out. APART: a stamp may
             come twice, once in a copy. Added to each other
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
            row += _take(ring, words, at, counts, seen, how, out, row)
            cursor[AT] = at + words[at >> 2]
            cursor[LEFT] -= 1
        if cursor[LEFT] == 0:
            _store_release(words, (base + 8) >> 2, np.uint32(_KERNEL))
            cursor[BLOCK] = (cursor[BLOCK] + 1) % blocks
            cursor[LEFT] = -1
    return row


@compiled
def _take(ring, words, at, counts, seen, how, out, row):
    """Parse the frame whose tpacket3_hdr is at `at`; returns the rows written (1 or 0)."""
    if ring[at + 58] == _PACKET_OUTGOING:
        counts[OUTGOING] += 1
        return 0
    start = at + np.int64(ring[at + 24] | np.uint16(ring[at + 25]) << 8)
    captured, length = np.int64(words[(at >> 2) + 3]), np.int64(words[(at >> 2) + 4])
    tag, flags, trusted, whole = _tag_taken_out(words, at), 0, True, captured == length
    if how & SWITCH:
        if tag == _NO_TAG and captured >= _ETHERNET + _TAG:
            tag = _take_out(ring, start)
            start, captured, length = start + _TAG, captured - _TAG, length - _TAG
        vid = tag & 0xFFF if tag >> 16 == SWITCH_TPID else 0
        if vid == MARKER_VID and captured >= MARKER_BYTES and _big_endian(ring, start + 12, 6) == MARKER_TYPE << 32 | MARKER_MAGIC:
            counts[MARKER] = _big_endian(ring, start + 18, 8)
            return 0
        if vid != OWN_VID and vid != SHADOW_VID:
            counts[FOREIGN] += 1
            return 0
        flags, trusted = SHADOW if vid == SHADOW_VID else 0, tag >> 13 & 7 == 0
    size, taken_out = length, 0  # as the switch saw it: with the stamp, without its own tag
    if not how & SWITCH and tag != _NO_TAG:
        flags, length, taken_out = VLAN, length + _TAG, 1
    counts[FRAMES] += 1
    time_ns = np.int64(words[(at >> 2) + 1]) * 1_000_000_000 + np.int64(words[(at >> 2) + 2])
    counts[CAME] = time_ns
    seq = counts[NEXT]
    if how & TRAILER:
        stamp = start + captured - STAMP_BYTES
        if not (trusted and whole and captured >= STAMP_BYTES and _big_endian(ring, stamp, 4) == STAMP_MAGIC):
            counts[UNSTAMPED] += 1
            return 0
        seq, time_ns = _big_endian(ring, stamp + 4, 8), _big_endian(ring, stamp + 12, 8)
        if not _believed(seq, time_ns, counts, seen):
            counts[IMPLAUSIBLE] += 1
            return 0
        captured, length, flags = captured - STAMP_BYTES, length - STAMP_BYTES, flags | STAMPED
        _note(seq, counts, seen, 1 if how & APART and flags & SHADOW else 0)
    else:
        counts[NEXT] += 1
    counts[SET_BACK] += time_ns < counts[HIGHEST_NS] - BACK_NS
    counts[HIGHEST_NS] = max(counts[HIGHEST_NS], time_ns)
    parse_switched(ring, start, captured, length, (size, taken_out), out, row)
    counts[SHADOWS] += flags & SHADOW != 0 and not how & APART
    record = out[row]
    record.flags |= np.uint32(flags)
    record.seq, record.time_ns = np.uint64(seq), time_ns
    return 1


@compiled
def _tag_taken_out(words, at):
    """The outermost VLAN tag, TPID << 16 | TCI, if the kernel has taken it out of the frame, as it usually does."""
    status = words[(at >> 2) + 5]
    if not status & _VLAN_VALID:
        return np.int64(_NO_TAG)
    tpid = np.int64(words[(at >> 2) + 9] & 0xFFFF if status & _TPID_VALID else _CTAG)
    return tpid << 16 | np.int64(words[(at >> 2) + 8] & 0xFFFF)


@compiled
def _take_out(ring, start):
    """Take the outermost tag, or what is in its place, out of the frame, by moving the two MAC addresses over it; returns it."""
    tag = _big_endian(ring, start + 12, _TAG)
    for i in range(11, -1, -1):
        ring[start + i + _TAG] = ring[start + i]
    return tag


@compiled
def _believed(stamp, time_ns, counts, seen):
    """Whether a stamp can be one that the ingress gave, by those before it: neither absurd, nor far from them without time for it."""
    if not (0 <= stamp < FARTHEST and 0 <= time_ns < LATEST_NS):
        return False
    ahead, elapsed_ns = stamp - counts[LAST], max(counts[CAME] - counts[STAMPED_AT], 0)
    if counts[FIRST] >= 0 and not -NEAR <= ahead <= NEAR + elapsed_ns // NS_PER_STAMP:
        counts[AGREED] = counts[AGREED] + 1 if abs(stamp - counts[OTHER]) <= NEAR else 1
        counts[OTHER] = stamp
        if counts[AGREED] < WITNESSES:
            return False
        counts[LAST] = stamp - 1
        counts[FIRST] = min(counts[FIRST], stamp)
        seen[:] = 0
    counts[AGREED] = 0
    counts[STAMPED_AT] = counts[CAME]
    return True


@compiled
def _big_endian(ring, at, size):
    """An unsigned number of up to 8 bytes, as int64 (the bits of uint64)."""
    value = np.int64(0)
    for i in range(size):
        value = value << 8 | np.int64(ring[at + i])
    return value


@compiled
def _note(stamp, counts, seen, role):
    """Hold a stamp against those before it: gaps, repeats, reorderings (see PacketRing for what they mean).

    seen  uint64 [roles, WINDOW // 64]: a stamp may come once in each role, and fills its gap with the first
    """
    if counts[FIRST] < 0:
        counts[FIRST] = counts[LAST] = stamp
        _mark(stamp, seen, role)
        return
    ahead = stamp - counts[LAST]
    if ahead > 0:
        counts[GAPS] += ahead - 1
        for missing in range(max(stamp - WINDOW, counts[LAST]) + 1, stamp + len(seen) - 1):  # in two roles also what the other had here
            for one in range(len(seen)):
                seen[one, (missing % WINDOW) >> 6] &= ~(np.uint64(1) << np.uint64(missing & 63))
        counts[LAST] = stamp
    elif ahead > -WINDOW and _is_marked(stamp, seen, role):
        counts[REPEATS] += 1
    elif not (ahead > -WINDOW and len(seen) > 1 and _is_marked(stamp, seen, 1 - role)):
        counts[REORDERED] += 1
        if stamp < counts[FIRST]:
            counts[GAPS] += counts[FIRST] - stamp - 1
            counts[FIRST] = stamp
        elif ahead > -WINDOW:
            counts[GAPS] -= 1
    if ahead > -WINDOW:
        _mark(stamp, seen, role)


@compiled
def _is_marked(stamp, seen, role):
    return seen[role, (stamp % WINDOW) >> 6] >> np.uint64(stamp & 63) & np.uint64(1)


@compiled
def _mark(stamp, seen, role):
    seen[role, (stamp % WINDOW) >> 6] |= np.uint64(1) << np.uint64(stamp & 63)
