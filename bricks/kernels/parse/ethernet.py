"""One frame -> one PACKET record: the parser that live capture and capture files share.

Addresses are those that the switch matches (docs/reference/contract.md, "Source and destination"), so the switch and the bricks find the
same bucket; `tests/ryu_apps/apps/test_same_source.py` compares them. Every other field is what tshark shows for the frame (first
occurrence, no reassembly); `tests/bricks/kernels/test_parse_*.py` compare these. The ports are those of the first transport header within
reach: IP in IP, GRE, and the header that an ICMP error quotes.

No byte outside the captured bytes is read, whatever the headers say: each reader below stops at an `end` that only shrinks.
"""

import numpy as np

from bricks.kernels.jit import compiled
from bricks.kernels.parse.ip import ANY_IP, BOTH_IPV4, BOTH_MAC, IPV4, IPV6, address_ip, parse_ip, u16, u32, u48
from bricks.records.packets import (
    ADDRESS_MAC,
    ARP,
    HIDDEN_SHIFT,
    IN_MPLS,
    IN_OTHER,
    IN_PPPOE,
    IN_TAGS,
    MALFORMED,
    NO_PORT,
    SRC_KIND_SHIFT,
    UNSOUND,
    VLAN,
)

# link types, as numbered by the pcap formats
NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2 = 0, 1, 12, 14, 101, 108, 113, 228, 229, 276
LINKS = frozenset({NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2})

_ARP, _RARP, _CTAG, _STAG, _QINQ = 0x0806, 0x8035, 0x8100, 0x88A8, 0x9100
_MORE_TAGS = (0x9200, 0x9300)  # of old switches; only their number is known
_PPPOE = 0x8864
_MPLS = (0x8847, 0x8848)
_OTHERS = (0x22F3, 0x6558, 0x8903, 0x88E5, 0x88E7, 0x8926, 0x894F)  # TRILL, bridged GRE, FabricPath, MACsec, PBB, VN-tag, NSH
_LENGTH_MAX = 1500  # an ethertype up to here is the length of an 802.3 frame
_ETHERTYPE_MIN = 0x600  # what lies between is neither; the switch reads it as a length
_NOTHING = -2  # in place of an ethertype: nothing that has an address
_TAGS_MAX = 1  # that the switch looks through: `vlan-limit` of Open vSwitch


@compiled
def parse_frame(buffer, start, captured, length, out, row):
    """Parse the Ethernet frame buffer[start : start + captured] into out[row]; `seq` and `time_ns` are left to the caller.

    buffer    uint8 [bytes]
    captured  bytes present; `length` is that on the wire
    out       PACKET [rows]

    A tag that the kernel took out of the frame is the caller's to add: to `length` (4) and to `flags` (VLAN or SHADOW); see
    `parse_switched`.
    """
    parse_link(buffer, start, captured, length, ETHERNET, out, row)


@compiled
def parse_switched(buffer, start, captured, length, seen, out, row):
    """As `parse_frame`, for a frame that has changed since the switch saw it.

    seen  (bytes that the switch saw from `start` on, less tags that were taken out since; number of tags of the traffic taken out)
    """
    _parse(buffer, (start, start + captured, start + seen[0]), ETHERNET, seen[1], out[row])
    out[row].length = np.uint32(length)


@compiled
def parse_frames(buffer, offsets, captured, lengths, times, out):
    """Parse Ethernet frames: frame i is buffer[offsets[i] : offsets[i] + captured[i]]; out[i] gets `time_ns` times[i] and `seq` i."""
    for i in range(len(offsets)):
        parse_link(buffer, offsets[i], np.int64(captured[i]), lengths[i], ETHERNET, out, i)
        out[i].seq = i
        out[i].time_ns = times[i]


@compiled
def parse_link(buffer, start, captured, length, link, out, row):
    """As `parse_frame`, for any link type of LINKS."""
    _parse(buffer, (start, start + captured, start + max(np.int64(captured), np.int64(length))), link, 0, out[row])
    out[row].length = np.uint32(length)


@compiled
def _parse(buffer, bounds, link, tags, record):
    """Fill everything but stamp and length. bounds: where the frame begins, where what is captured ends, where the frame ended."""
    record.src_hi = record.src_lo = record.dst_hi = record.dst_lo = record.src_mac = record.dst_mac = np.uint64(0)
    record.src_port = record.dst_port = np.uint32(NO_PORT)
    at, end, seen_end = bounds
    last, hidden = end, 0
    if link == ETHERNET:
        flags, kind, at, last, hidden = _ethernet(buffer, at, end, tags, record)
    elif link in (COOKED, COOKED2):
        flags, kind, at, hidden = _cooked(buffer, at, end, link, record)
    else:
        flags, kind, at = _without_addresses(buffer, at, end, link)
    if kind in (IPV4, IPV6, ANY_IP):
        if not hidden:
            flags, hidden = address_ip(buffer, (at, end, seen_end), kind, flags, record)
        flags |= parse_ip(buffer, at, last, kind, record)
    elif kind in (_ARP, _RARP):
        if kind == _ARP and not hidden:
            flags, hidden = _address_arp(buffer, (at, end, seen_end), flags, record)
        flags |= _arp(buffer, at, last)
    elif not hidden:
        hidden = _wrapping(kind)
    record.flags = np.uint32(flags | hidden << HIDDEN_SHIFT)


@compiled
def _wrapping(kind):
    """What hides the addresses of a packet of this ethertype from the switch, 0 if nothing does."""
    if kind == _PPPOE:
        return IN_PPPOE
    if kind in _MPLS:
        return IN_MPLS
    if kind in _MORE_TAGS:
        return IN_TAGS
    return IN_OTHER if kind in _OTHERS else 0


@compiled
def _ethernet(buffer, at, end, tags, record):
    """MAC addresses, tags and 802.3 framing. Returns (flags, ethertype, where its payload begins, where it ends, what hides it)."""
    if end - at < 14:
        return MALFORMED, _NOTHING, at, end, 0
    record.dst_mac = record.dst_lo = u48(buffer, at)
    record.src_mac = record.src_lo = u48(buffer, at + 6)
    flags, kind, at, hidden = _untag(buffer, u16(buffer, at + 12), at + 14, end, tags)
    flags |= BOTH_MAC
    last = end
    if 0 <= kind < _ETHERTYPE_MIN:
        if kind <= _LENGTH_MAX:
            last = min(end, at + kind)
        kind, at = _snap(buffer, at, end)  # where the length ends is nothing to the switch
    return flags, kind, at, last, hidden


@compiled
def _untag(buffer, kind, at, end, tags):
    """Step over VLAN tags to the ethertype: `kind` is the first one's, and `at` is behind it; `tags` were taken out before.

    Returns (flags, ethertype, where its payload begins, what hides it from the switch).
    """
    flags, hidden = 0, 0
    while kind in (_CTAG, _STAG, _QINQ):
        flags |= VLAN
        if tags >= _TAGS_MAX or kind == _QINQ:
            hidden = IN_TAGS
        if end - at < 4:
            return flags | MALFORMED, _NOTHING, at, hidden
        kind = u16(buffer, at + 2)
        at += 4
        tags += 1
    return flags, kind, at, hidden


@compiled
def _snap(buffer, at, end):
    """The ethertype within an 802.3 frame: only SNAP with the organisation code of Ethernet carries one."""
    if end - at < 8 or u16(buffer, at) != 0xAAAA or u32(buffer, at + 2) != 0x03000000:
        return _NOTHING, at
    return u16(buffer, at + 6), at + 8


@compiled
def _cooked(buffer, at, end, link, record):
    """Linux cooked capture, version 1 or 2: the sender's address only, if it is a MAC. Returns as `_ethernet`, but for the end."""
    size = 16 if link == COOKED else 20
    if end - at < size:
        return MALFORMED, _NOTHING, at, 0
    address_bytes = u16(buffer, at + 4) if link == COOKED else np.int64(buffer[at + 11])
    kinds = 0
    if address_bytes == 6:
        record.src_mac = record.src_lo = u48(buffer, at + 6 if link == COOKED else at + 12)
        kinds = ADDRESS_MAC << SRC_KIND_SHIFT
    kind = u16(buffer, at + 14 if link == COOKED else at)
    flags, kind, at, hidden = _untag(buffer, kind, at + size, end, 0)
    return flags | kinds, kind if kind > _LENGTH_MAX else _NOTHING, at, hidden


@compiled
def _without_addresses(buffer, at, end, link):
    """Raw IP, and loopback's four bytes of protocol family, in the byte order of whoever wrote them."""
    if link not in (NULL, LOOP):
        return 0, ANY_IP, at
    if end - at < 4:
        return MALFORMED, _NOTHING, at
    family = u32(buffer, at)
    if family > 0xFFFF:
        family = u16(buffer, at) >> 8 | (u16(buffer, at) & 0xFF) << 8
    if family == 2:
        return 0, IPV4, at + 4
    return 0, IPV6 if family in (10, 24, 28, 30) else _NOTHING, at + 4


@compiled
def _address_arp(buffer, bounds, flags, record):
    """The protocol addresses, if it is ARP of IPv4 on Ethernet and all there; else none. Returns (flags, what hides them)."""
    at, end, seen_end = bounds
    if end - at < 8 and end < seen_end:
        return flags, 0  # cut by whoever captured it
    flags &= ~BOTH_MAC
    record.src_lo = record.dst_lo = np.uint64(0)
    if seen_end - at < 28:
        return flags, UNSOUND
    if u16(buffer, at + 2) != IPV4 or buffer[at + 5] != 4:
        return flags, 0
    if u16(buffer, at) != 1 or buffer[at + 4] != 6:
        return flags, UNSOUND
    if end - at < 28:
        return flags, 0
    record.src_lo, record.dst_lo = np.uint64(u32(buffer, at + 14)), np.uint64(u32(buffer, at + 24))
    return flags | BOTH_IPV4, 0


@compiled
def _arp(buffer, at, end):
    """Flags of ARP or reverse ARP, if it is whole."""
    if end - at < 8:
        return MALFORMED
    return ARP if end - at >= 8 + 2 * (np.int64(buffer[at + 4]) + np.int64(buffer[at + 5])) else ARP | MALFORMED
