"""One frame -> one PACKET record: the parser that live capture and capture files share.

What a field means is what tshark shows for the frame (first occurrence, no reassembly); `tests/bricks/test_parse_*.py` compare the two on
every capture and on hand-made frames cut at every byte. The addresses are those of the outermost IP header, because that is what the switch
matches; the ports are those of the innermost one within reach: IP in IP, GRE, and the header that an ICMP error quotes.

Nothing outside the captured bytes is read, whatever the headers say: every reader below is guarded by an `end` that only ever shrinks.
"""

import numpy as np
from numba import njit

from bricks.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ARP,
    DST_KIND_SHIFT,
    FRAGMENT,
    ICMP,
    MALFORMED,
    NO_PORT,
    SRC_KIND_SHIFT,
    VLAN,
)

# link types, as numbered by the pcap formats
NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2 = 0, 1, 12, 14, 101, 108, 113, 228, 229, 276
LINKS = frozenset({NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2})

_IPV4, _ARP, _RARP, _IPV6, _CTAG, _STAG, _QINQ = 0x0800, 0x0806, 0x8035, 0x86DD, 0x8100, 0x88A8, 0x9100
_LENGTH_MAX = 1500  # an ethertype up to here is the length of an 802.3 frame
_ANY_IP, _NOTHING = -1, -2  # in place of an ethertype: the version nibble decides; nothing that has an address

_HOP, _ICMP4, _IPIP, _TCP, _UDP, _IP6, _ROUTING, _FRAGMENT, _GRE, _AH, _ICMP6, _OPTIONS, _UDPLITE = (
    0,
    1,
    4,
    6,
    17,
    41,
    43,
    44,
    47,
    51,
    58,
    60,
    136,
)
_NO_UPPER = -1  # in place of a protocol: there is no upper header to read

_BOTH_IPV4 = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
_BOTH_IPV6 = ADDRESS_IPV6 << SRC_KIND_SHIFT | ADDRESS_IPV6 << DST_KIND_SHIFT
_BOTH_MAC = ADDRESS_MAC << SRC_KIND_SHIFT | ADDRESS_MAC << DST_KIND_SHIFT


@njit(cache=True)
def _u16(buffer, at):
    return buffer[at] << 8 | buffer[at + 1]


@njit(cache=True)
def _u32(buffer, at):
    return buffer[at] << 24 | buffer[at + 1] << 16 | buffer[at + 2] << 8 | buffer[at + 3]


@njit(cache=True)
def _u48(buffer, at):
    return np.uint64(_u16(buffer, at) << 32 | _u32(buffer, at + 2))


@njit(cache=True)
def _u64(buffer, at):
    return np.uint64(_u32(buffer, at)) << np.uint64(32) | np.uint64(_u32(buffer, at + 4))


@njit(cache=True)
def parse_frame(buffer, start, captured, length, out, row):
    """Parse the Ethernet frame buffer[start : start + captured] into out[row]; `seq` and `time_ns` are left to the caller.

    buffer    uint8 [bytes]
    captured  bytes present; `length` is that on the wire
    out       PACKET [rows]

    A tag that the kernel took out of the frame is the caller's to add: to `length` (4) and to `flags` (VLAN or SHADOW).
    """
    parse_link(buffer, start, captured, length, ETHERNET, out, row)


@njit(cache=True)
def parse_frames(buffer, offsets, captured, lengths, times, out):
    """Parse Ethernet frames: frame i is buffer[offsets[i] : offsets[i] + captured[i]]; out[i] gets `time_ns` times[i] and `seq` i."""
    for i in range(len(offsets)):
        parse_link(buffer, offsets[i], np.int64(captured[i]), lengths[i], ETHERNET, out, i)
        out[i].seq = i
        out[i].time_ns = times[i]


@njit(cache=True)
def parse_link(buffer, start, captured, length, link, out, row):
    """As `parse_frame`, for any link type of LINKS."""
    record = out[row]
    record.src_hi = record.src_lo = record.dst_hi = record.dst_lo = record.src_mac = record.dst_mac = np.uint64(0)
    record.src_port = record.dst_port = np.uint32(NO_PORT)
    record.length = np.uint32(length)
    end = start + captured
    if link == ETHERNET:
        flags, kind, at, end = _ethernet(buffer, start, end, record)
    elif link in (COOKED, COOKED2):
        flags, kind, at = _cooked(buffer, start, end, link, record)
    else:
        flags, kind, at = _without_addresses(buffer, start, end, link)
    if kind in (_IPV4, _IPV6, _ANY_IP):
        flags = _ip(buffer, at, end, kind, flags, record)
    elif kind in (_ARP, _RARP):
        flags = _arp(buffer, at, end, flags, record)
    record.flags = np.uint32(flags)


@njit(cache=True)
def _ethernet(buffer, at, end, record):
    """MAC addresses, tags and 802.3 framing. Returns (flags, ethertype, where its payload begins, where it ends)."""
    if end - at < 14:
        return MALFORMED, _NOTHING, at, end
    record.dst_mac = record.dst_lo = _u48(buffer, at)
    record.src_mac = record.src_lo = _u48(buffer, at + 6)
    flags = _BOTH_MAC
    kind = _u16(buffer, at + 12)
    at += 14
    while kind in (_CTAG, _STAG, _QINQ):
        flags |= VLAN
        if end - at < 4:
            return flags | MALFORMED, _NOTHING, at, end
        kind = _u16(buffer, at + 2)
        at += 4
    if kind <= _LENGTH_MAX:
        end = min(end, at + kind)
        kind, at = _snap(buffer, at, end)
    return flags, kind, at, end


@njit(cache=True)
def _snap(buffer, at, end):
    """The ethertype within an 802.3 frame: only SNAP with the organisation code of Ethernet carries one."""
    if end - at < 8 or _u16(buffer, at) != 0xAAAA or _u32(buffer, at + 2) != 0x03000000:
        return _NOTHING, at
    return _u16(buffer, at + 6), at + 8


@njit(cache=True)
def _cooked(buffer, at, end, link, record):
    """Linux cooked capture, version 1 or 2: the sender's address only, if it is a MAC."""
    size = 16 if link == COOKED else 20
    if end - at < size:
        return MALFORMED, _NOTHING, at
    address_bytes = _u16(buffer, at + 4) if link == COOKED else np.int64(buffer[at + 11])
    flags = 0
    if address_bytes == 6:
        record.src_mac = record.src_lo = _u48(buffer, at + 6 if link == COOKED else at + 12)
        flags = ADDRESS_MAC << SRC_KIND_SHIFT
    kind = _u16(buffer, at + 14 if link == COOKED else at)
    at += size
    while kind in (_CTAG, _STAG, _QINQ):
        flags |= VLAN
        if end - at < 4:
            return flags | MALFORMED, _NOTHING, at
        kind = _u16(buffer, at + 2)
        at += 4
    return flags, kind if kind > _LENGTH_MAX else _NOTHING, at


@njit(cache=True)
def _without_addresses(buffer, at, end, link):
    """Raw IP, and loopback's four bytes of protocol family, in the byte order of whoever wrote them."""
    if link != NULL and link != LOOP:
        return 0, _ANY_IP, at
    if end - at < 4:
        return MALFORMED, _NOTHING, at
    family = _u32(buffer, at)
    if family > 0xFFFF:
        family = _u16(buffer, at) >> 8 | (_u16(buffer, at) & 0xFF) << 8
    if family == 2:
        return 0, _IPV4, at + 4
    return 0, _IPV6 if family == 10 or family == 24 or family == 28 or family == 30 else _NOTHING, at + 4


@njit(cache=True)
def _arp(buffer, at, end, flags, record):
    """ARP and reverse ARP. Protocol addresses only if they are IPv4; of other ARP nothing but the fact is kept."""
    mac_kinds = flags & _BOTH_MAC
    if end - at < 8:
        return flags | MALFORMED
    hardware = np.int64(buffer[at + 4])
    if end - at < 8 + 2 * (hardware + buffer[at + 5]):
        flags |= MALFORMED
    flags = flags & ~mac_kinds | ARP
    record.src_lo = record.dst_lo = np.uint64(0)
    if _u16(buffer, at + 2) != _IPV4 or buffer[at + 5] != 4:
        return flags
    sender, target = at + 8 + hardware, at + 12 + 2 * hardware
    if sender + 4 <= end:
        record.src_lo = np.uint64(_u32(buffer, sender))
        flags |= ADDRESS_IPV4 << SRC_KIND_SHIFT
    if target + 4 <= end:
        record.dst_lo = np.uint64(_u32(buffer, target))
        flags |= ADDRESS_IPV4 << DST_KIND_SHIFT
    return flags


@njit(cache=True)
def _ip(buffer, at, end, kind, flags, record):
    """The outermost IP header, then what it carries."""
    if end <= at:
        return flags | MALFORMED
    version = buffer[at] >> 4
    if version == 4 and kind != _IPV6:
        protocol, payload, end, facts = _ipv4(buffer, at, end)
        if protocol == _NO_UPPER and not facts & FRAGMENT:
            return flags | facts
        record.src_hi = record.dst_hi = np.uint64(0)
        record.src_lo = np.uint64(_u32(buffer, at + 12))
        record.dst_lo = np.uint64(_u32(buffer, at + 16))
        flags = flags & ~_BOTH_MAC | facts | _BOTH_IPV4
    elif version == 6:
        protocol, payload, end, facts = _ipv6(buffer, at, end)
        if protocol == _NO_UPPER:
            return flags | facts
        record.src_hi, record.src_lo = _u64(buffer, at + 8), _u64(buffer, at + 16)
        record.dst_hi, record.dst_lo = _u64(buffer, at + 24), _u64(buffer, at + 32)
        flags = flags & ~_BOTH_MAC | facts | _BOTH_IPV6
    else:
        return flags | MALFORMED
    return flags | _upper(buffer, protocol, payload, end, record)


@njit(cache=True)
def _ipv4(buffer, at, end):
    """Check an IPv4 header. Returns (protocol, where the payload begins, where it ends, flags)."""
    if end - at < 20:
        return _NO_UPPER, at, end, MALFORMED
    header = (buffer[at] & 15) * 4
    total = _u16(buffer, at + 2)
    if buffer[at] >> 4 != 4 or header < 20 or (total < header and total != 0):
        return _NO_UPPER, at, end, MALFORMED
    if total != 0:  # zero: left to the network card by a sender that segments in hardware
        end = min(end, at + total)
    facts = MALFORMED if end - at < header else 0
    if _u16(buffer, at + 6) & 0x1FFF:
        return _NO_UPPER, at + header, end, facts | FRAGMENT
    return np.int64(buffer[at + 9]), at + header, end, facts


@njit(cache=True)
def _ipv6(buffer, at, end):
    """Check an IPv6 header; extension headers are left to `_upper`. Returns as `_ipv4`."""
    if end - at < 40 or buffer[at] >> 4 != 6:
        return _NO_UPPER, at, end, MALFORMED
    payload = _u16(buffer, at + 4)
    if payload != 0:  # zero: a jumbogram, or segmented in hardware
        end = min(end, at + 40 + payload)
    return np.int64(buffer[at + 6]), at + 40, end, 0


@njit(cache=True)
def _upper(buffer, protocol, at, end, record):
    """Walk from header to header until one has ports. Within another packet (tunnelled, or quoted by an ICMP error) `inner` holds:
    that one may well be cut short or a fragment, and that says nothing against this one."""
    flags, inner = 0, False
    while protocol != _NO_UPPER:
        entered = False
        if protocol in (_TCP, _UDP, _UDPLITE):
            facts = _ports(buffer, protocol, at, end, record)
            protocol = _NO_UPPER
        elif protocol in (_ICMP4, _ICMP6):
            protocol, at, end, facts = _icmp(buffer, protocol, at, end)
            entered = True
        elif protocol in (_IPIP, _IP6, _GRE):
            protocol, at, end, facts = _tunnel(buffer, protocol, at, end)
            entered = True
        else:
            protocol, at, facts = _extension(buffer, protocol, at, end)
        flags |= facts & ICMP if inner else facts
        inner |= entered
    return flags


@njit(cache=True)
def _ports(buffer, protocol, at, end, record):
    """Ports of TCP, UDP or UDP-Lite; the rest of the header need not be there, but is then malformed."""
    if end - at < 4:
        return MALFORMED
    record.src_port = np.uint32(_u16(buffer, at))
    record.dst_port = np.uint32(_u16(buffer, at + 2))
    if protocol == _TCP:
        if end - at < 20 or buffer[at + 12] >> 4 < 5 or end - at < (buffer[at + 12] >> 4) * 4:
            return MALFORMED
    elif end - at < 8 or (protocol == _UDP and 0 < _u16(buffer, at + 4) < 8):
        return MALFORMED
    return 0


@njit(cache=True)
def _icmp(buffer, protocol, at, end):
    """ICMP of either version: an error quotes the header of the packet it is about. Returns as `_ipv4`, for the quoted header."""
    if end <= at:
        return _NO_UPPER, at, end, MALFORMED
    kind = buffer[at]
    if protocol == _ICMP4:
        facts = ICMP if end - at >= 4 else ICMP | MALFORMED
        if kind != 3 and kind != 4 and kind != 5 and kind != 11 and kind != 12:
            return _NO_UPPER, at, end, facts
        protocol, at, end, _ = _ipv4(buffer, at + 8, end)
        return protocol, at, end, facts
    facts = 0 if end - at >= 4 else MALFORMED
    if kind < 1 or kind > 4:
        return _NO_UPPER, at, end, facts
    protocol, at, end, _ = _ipv6(buffer, at + 8, end)
    return protocol, at, end, facts


@njit(cache=True)
def _extension(buffer, protocol, at, end):
    """Step over an extension header. Returns (next protocol, where it begins, flags)."""
    chained = protocol in (_HOP, _ROUTING, _OPTIONS, _FRAGMENT, _AH)
    if not chained:
        return _NO_UPPER, at, 0
    if end - at < 8:
        return _NO_UPPER, at, MALFORMED
    following = np.int64(buffer[at])
    if protocol == _FRAGMENT:
        if _u16(buffer, at + 2) & 0xFFF8:
            return _NO_UPPER, at, FRAGMENT
        return following, at + 8, 0
    size = (buffer[at + 1] + 2) * 4 if protocol == _AH else (buffer[at + 1] + 1) * 8
    return following, at + size, 0


@njit(cache=True)
def _tunnel(buffer, protocol, at, end):
    """The IP header carried by IP or GRE. Returns as `_ipv4`, for that header."""
    if protocol == _GRE:
        if end - at < 4:
            return _NO_UPPER, at, end, MALFORMED
        options, carried = _u16(buffer, at), _u16(buffer, at + 2)
        at += 4
        for bit in (0x8000, 0x2000, 0x1000):  # checksum, key, sequence number: four bytes each
            at += 4 if options & bit else 0
        if options & 0x4007 or carried not in (_IPV4, _IPV6):  # source routes and version 1 are not looked into
            return _NO_UPPER, at, end, 0
        protocol = _IPIP if carried == _IPV4 else _IP6
    if protocol == _IPIP:
        protocol, at, end, _ = _ipv4(buffer, at, end)
    else:
        protocol, at, end, _ = _ipv6(buffer, at, end)
    return protocol, at, end, 0
