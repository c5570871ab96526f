"""One frame -> one PACKET record: the parser that live capture and capture files share.

What a field means is what tshark shows for the frame (first occurrence, no reassembly); `tests/bricks/test_parse_*.py` compare the two on
every capture and on hand-made frames cut at every byte. The addresses are those of the outermost IP header, because that is what the switch
matches; the ports are those of the innermost one within reach: IP in IP, GRE, and the header that an ICMP error quotes.

Nothing outside the captured bytes is read, whatever the headers say: every reader below is guarded by an `end` that only ever shrinks.
"""

import numpy as np
from numba import njit

from bricks.kernels.internet import ANY_IP, BOTH_IPV4, BOTH_MAC, IPV4, IPV6, parse_ip, u16, u32, u48
from bricks.packets import (
    ADDRESS_MAC,
    ARP,
    MALFORMED,
    NO_PORT,
    SRC_KIND_SHIFT,
    VLAN,
)

# link types, as numbered by the pcap formats
NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2 = 0, 1, 12, 14, 101, 108, 113, 228, 229, 276
LINKS = frozenset({NULL, ETHERNET, RAW_BSD, RAW_OPENBSD, RAW, LOOP, COOKED, RAW_IPV4, RAW_IPV6, COOKED2})

_ARP, _RARP, _CTAG, _STAG, _QINQ = 0x0806, 0x8035, 0x8100, 0x88A8, 0x9100
_LENGTH_MAX = 1500  # an ethertype up to here is the length of an 802.3 frame
_NOTHING = -2  # in place of an ethertype: nothing that has an address


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
    if kind in (IPV4, IPV6, ANY_IP):
        flags = parse_ip(buffer, at, end, kind, flags, record)
    elif kind in (_ARP, _RARP):
        flags = _arp(buffer, at, end, flags, record)
    record.flags = np.uint32(flags)


@njit(cache=True)
def _ethernet(buffer, at, end, record):
    """MAC addresses, tags and 802.3 framing. Returns (flags, ethertype, where its payload begins, where it ends)."""
    if end - at < 14:
        return MALFORMED, _NOTHING, at, end
    record.dst_mac = record.dst_lo = u48(buffer, at)
    record.src_mac = record.src_lo = u48(buffer, at + 6)
    flags = BOTH_MAC
    kind = u16(buffer, at + 12)
    at += 14
    while kind in (_CTAG, _STAG, _QINQ):
        flags |= VLAN
        if end - at < 4:
            return flags | MALFORMED, _NOTHING, at, end
        kind = u16(buffer, at + 2)
        at += 4
    if kind <= _LENGTH_MAX:
        end = min(end, at + kind)
        kind, at = _snap(buffer, at, end)
    return flags, kind, at, end


@njit(cache=True)
def _snap(buffer, at, end):
    """The ethertype within an 802.3 frame: only SNAP with the organisation code of Ethernet carries one."""
    if end - at < 8 or u16(buffer, at) != 0xAAAA or u32(buffer, at + 2) != 0x03000000:
        return _NOTHING, at
    return u16(buffer, at + 6), at + 8


@njit(cache=True)
def _cooked(buffer, at, end, link, record):
    """Linux cooked capture, version 1 or 2: the sender's address only, if it is a MAC."""
    size = 16 if link == COOKED else 20
    if end - at < size:
        return MALFORMED, _NOTHING, at
    address_bytes = u16(buffer, at + 4) if link == COOKED else np.int64(buffer[at + 11])
    flags = 0
    if address_bytes == 6:
        record.src_mac = record.src_lo = u48(buffer, at + 6 if link == COOKED else at + 12)
        flags = ADDRESS_MAC << SRC_KIND_SHIFT
    kind = u16(buffer, at + 14 if link == COOKED else at)
    at += size
    while kind in (_CTAG, _STAG, _QINQ):
        flags |= VLAN
        if end - at < 4:
            return flags | MALFORMED, _NOTHING, at
        kind = u16(buffer, at + 2)
        at += 4
    return flags, kind if kind > _LENGTH_MAX else _NOTHING, at


@njit(cache=True)
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


@njit(cache=True)
def _arp(buffer, at, end, flags, record):
    """ARP and reverse ARP. Protocol addresses only if they are IPv4; of other ARP nothing but the fact is kept."""
    if end - at < 8:
        return flags | MALFORMED
    hardware, protocol = np.int64(buffer[at + 4]), np.int64(buffer[at + 5])
    flags = flags & ~BOTH_MAC | ARP
    record.src_lo = record.dst_lo = np.uint64(0)
    if end - at < 8 + 2 * (hardware + protocol):
        return flags | MALFORMED
    if u16(buffer, at + 2) != IPV4 or protocol != 4:
        return flags
    record.src_lo = np.uint64(u32(buffer, at + 8 + hardware))
    record.dst_lo = np.uint64(u32(buffer, at + 12 + 2 * hardware))
    return flags | BOTH_IPV4
