"""IP and what it carries, up to the ports: the inner half of the frame parser (`parse.py`).

A header that is found is described as (protocol, where its payload begins, where the packet ends, flags).
"""

import numpy as np

from bricks.kernels.jit import compiled
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    CODE_SHIFT,
    DST_KIND_SHIFT,
    FRAGMENT,
    ICMP,
    MALFORMED,
    PROTOCOL_SHIFT,
    SRC_KIND_SHIFT,
    TYPED,
    UNSOUND,
)

IPV4, IPV6 = 0x0800, 0x86DD
ANY_IP = -1  # in place of an ethertype: the version nibble decides
_TCP, _UDP, _UDPLITE, _ICMP4, _ICMP6, _IPIP, _IP6, _GRE = 6, 17, 136, 1, 58, 4, 41, 47
_HOP, _ROUTING, _FRAGMENT, _AH, _OPTIONS, _SHIM = 0, 43, 44, 51, 60, 140  # extension headers
_NO_UPPER = -1  # in place of a protocol: there is no upper header to read

BOTH_IPV4 = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
_BOTH_IPV6 = ADDRESS_IPV6 << SRC_KIND_SHIFT | ADDRESS_IPV6 << DST_KIND_SHIFT
BOTH_MAC = ADDRESS_MAC << SRC_KIND_SHIFT | ADDRESS_MAC << DST_KIND_SHIFT


# An index that is unsigned: numba asks of every signed one whether it counts from the end, which costs more than the read
@compiled
def u16(buffer, at):
    at = np.uint64(at)
    return np.int64(buffer[at]) << 8 | np.int64(buffer[at + np.uint64(1)])


@compiled
def u32(buffer, at):
    return u16(buffer, at) << 16 | u16(buffer, at + 2)


@compiled
def u48(buffer, at):
    return np.uint64(u16(buffer, at) << 32 | u32(buffer, at + 2))


@compiled
def u64(buffer, at):
    return np.uint64(u32(buffer, at)) << np.uint64(32) | np.uint64(u32(buffer, at + 4))


@compiled
def address_ip(buffer, bounds, kind, flags, record):
    """Addresses of the outermost IP header as the switch sees them: none of an unsound header; the version does not count.

    bounds  (where the header begins, where what is captured ends, where the frame ended when the switch saw it)
    Returns (flags, UNSOUND or 0). What was not captured for lack of a few bytes only is left as it is: the MAC addresses.
    """
    at, end, seen_end = bounds
    if kind == ANY_IP:  # no switch reads such frames
        version = buffer[at] >> 4 if at < end else 0
        kind = IPV4 if version == 4 else IPV6
        if version not in (4, 6):
            return flags, 0
    size = seen_end - at
    if end - at < (16 if kind == IPV4 else 24) and end < seen_end:
        return flags, 0 if size >= (20 if kind == IPV4 else 40) else UNSOUND
    sound = _seen4(buffer, at, size) if kind == IPV4 else _seen6(buffer, at, size)
    flags &= ~BOTH_MAC
    record.src_lo = record.dst_lo = np.uint64(0)
    if not sound:
        return flags, UNSOUND
    return flags | (_addresses4(buffer, at, end, record) if kind == IPV4 else _addresses6(buffer, at, end, record)), 0


@compiled
def _seen4(buffer, at, size):
    """Whether Open vSwitch takes an IPv4 header with `size` bytes of frame from it on as sound; the version does not count."""
    if size < 20:
        return False
    header, total = np.int64(buffer[at] & 15) * 4, u16(buffer, at + 2)
    return 20 <= header <= total <= size


@compiled
def _seen6(buffer, at, size):
    """As `_seen4`."""
    return size >= 40 and u16(buffer, at + 4) + 40 <= size


@compiled
def _addresses4(buffer, at, end, record):
    """Addresses of a sound IPv4 header as far as it is captured."""
    record.src_lo = np.uint64(u32(buffer, at + 12))
    if end - at < 20:
        return ADDRESS_IPV4 << SRC_KIND_SHIFT
    record.dst_lo = np.uint64(u32(buffer, at + 16))
    return BOTH_IPV4


@compiled
def _addresses6(buffer, at, end, record):
    """As `_addresses4`."""
    record.src_hi, record.src_lo = u64(buffer, at + 8), u64(buffer, at + 16)
    if end - at < 40:
        return ADDRESS_IPV6 << SRC_KIND_SHIFT
    record.dst_hi, record.dst_lo = u64(buffer, at + 24), u64(buffer, at + 32)
    return _BOTH_IPV6


@compiled
def parse_ip(buffer, at, end, kind, record):
    """What the outermost IP header carries. Returns flags."""
    version = buffer[at] >> 4 if at < end else 0
    if version == 4 and kind != IPV6:
        header = at
        protocol, at, end, facts = _ipv4(buffer, at, end)
        if facts & FRAGMENT:
            facts |= np.int64(buffer[header + 9]) << PROTOCOL_SHIFT
    elif version == 6:
        protocol, at, end, facts = _ipv6(buffer, at, end)
    else:
        return MALFORMED
    if protocol in (_TCP, _UDP):
        facts |= protocol << PROTOCOL_SHIFT
    elif protocol != _NO_UPPER:
        facts |= _outermost(buffer, protocol, at, end)
    return facts | _upper(buffer, protocol, at, end, record)


@compiled
def _outermost(buffer, protocol, at, end):
    """The flags that tell the protocol behind any extension headers, and the type and code of ICMP."""
    whole = True
    while whole and protocol in (_HOP, _ROUTING, _OPTIONS, _FRAGMENT, _AH, _SHIM) and end - at >= 8:
        whole = protocol != _FRAGMENT or u16(buffer, at + 2) & 0xFFF8 == 0
        size = (buffer[at + 1] + 2) * 4 if protocol == _AH else 8 if protocol == _FRAGMENT else (buffer[at + 1] + 1) * 8
        protocol, at = np.int64(buffer[at]), at + size
    if whole and protocol in (_ICMP4, _ICMP6) and end - at >= 2:
        return TYPED | np.int64(buffer[at]) << PROTOCOL_SHIFT | np.int64(buffer[at + 1]) << CODE_SHIFT
    return protocol << PROTOCOL_SHIFT


@compiled
def _sound4(buffer, at):
    """Whether version and lengths agree with each other; the caller has made sure of the first four bytes."""
    header, total = (buffer[at] & 15) * 4, u16(buffer, at + 2)
    return buffer[at] >> 4 == 4 and header >= 20 and (total >= header or total == 0)


@compiled
def _ipv4(buffer, at, end):
    """Check an IPv4 header. Returns (protocol, where the payload begins, where it ends, flags)."""
    if end - at < 20 or not _sound4(buffer, at):
        return _NO_UPPER, at, end, MALFORMED
    header, total = (buffer[at] & 15) * 4, u16(buffer, at + 2)
    if total != 0:  # zero: left to the network card by a sender that segments in hardware
        end = min(end, at + total)
    facts = MALFORMED if end - at < header else 0
    if u16(buffer, at + 6) & 0x1FFF:
        return _NO_UPPER, at + header, end, facts | FRAGMENT
    return np.int64(buffer[at + 9]), at + header, end, facts


@compiled
def _ipv6(buffer, at, end):
    """Check an IPv6 header; extension headers are left to `_upper`. Returns as `_ipv4`."""
    if end - at < 40 or buffer[at] >> 4 != 6:
        return _NO_UPPER, at, end, MALFORMED
    payload = u16(buffer, at + 4)
    if payload != 0 or buffer[at + 6] != _HOP:  # zero before hop-by-hop options: a jumbogram, whose length is among them
        end = min(end, at + 40 + payload)
    return np.int64(buffer[at + 6]), at + 40, end, 0


@compiled
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


@compiled
def _ports(buffer, protocol, at, end, record):
    """Ports of TCP, UDP or UDP-Lite; the rest of the header need not be there, but is then malformed."""
    if end - at < 4:
        return MALFORMED
    record.src_port = np.uint32(u16(buffer, at))
    record.dst_port = np.uint32(u16(buffer, at + 2))
    if protocol == _TCP:
        if end - at < 20 or buffer[at + 12] >> 4 < 5 or end - at < (buffer[at + 12] >> 4) * 4:
            return MALFORMED
    elif end - at < 8 or (protocol == _UDP and 0 < u16(buffer, at + 4) < 8):
        return MALFORMED
    return 0


@compiled
def _icmp(buffer, protocol, at, end):
    """ICMP of either version: an error quotes the header of the packet it is about. Returns as `_ipv4`, for the quoted header."""
    if end - at < 6:
        return _NO_UPPER, at, end, MALFORMED
    kind, facts = buffer[at], 0 if end - at >= 8 else MALFORMED
    if protocol == _ICMP4:
        facts |= ICMP
        quote = at + 8 if kind in (3, 4, 5, 11, 12) else end
    elif kind == 137:
        quote = _redirected(buffer, at + 40, end)
    else:
        quote = at + 8 if 1 <= kind <= 4 else end
    if quote >= end:
        return _NO_UPPER, at, end, facts
    protocol, at, end, _ = _carried(buffer, quote, end, ANY_IP if protocol == _ICMP4 else IPV6)
    return protocol, at, end, facts


@compiled
def _redirected(buffer, at, end):
    """Where an ICMPv6 redirect quotes the packet it is about: in an option, of type 4."""
    while end - at >= 8 and buffer[at + 1] != 0:
        if buffer[at] == 4:
            return at + 8
        at += buffer[at + 1] * 8
    return end


@compiled
def _carried(buffer, at, end, kind):
    """The header of a packet within a packet. Returns as `_ipv4`."""
    if kind == IPV6 or (at < end and buffer[at] >> 4 == 6):
        return _ipv6(buffer, at, end)
    return _ipv4(buffer, at, end)


@compiled
def _extension(buffer, protocol, at, end):
    """Step over an extension header. Returns (next protocol, where it begins, flags)."""
    chained = protocol in (_HOP, _ROUTING, _OPTIONS, _FRAGMENT, _AH, _SHIM)
    if not chained:
        return _NO_UPPER, at, 0
    if end - at < 8:
        return _NO_UPPER, at, MALFORMED
    following = np.int64(buffer[at])
    if protocol == _FRAGMENT:
        if u16(buffer, at + 2) & 0xFFF8:
            return _NO_UPPER, at, FRAGMENT
        return following, at + 8, 0
    size = (buffer[at + 1] + 2) * 4 if protocol == _AH else (buffer[at + 1] + 1) * 8
    return following, at + size, 0


@compiled
def _tunnel(buffer, protocol, at, end):
    """The packet carried by IP or GRE. Returns as `_ipv4`, for its header."""
    kind = IPV6 if protocol == _IP6 else ANY_IP
    if protocol == _GRE:
        if end - at < 4:
            return _NO_UPPER, at, end, MALFORMED
        options, kind = u16(buffer, at), u16(buffer, at + 2)
        at += 4
        for bits in (0xC000, 0x2000, 0x1000):  # checksum or route, key, sequence number: four bytes each
            at += 4 if options & bits else 0
        at += 4 if options & 0x0087 == 0x0081 else 0  # version 1: acknowledgement number
        routed = options & 0x4000 != 0
        while routed and end - at >= 4:  # hops of a source route: the last one is empty
            routed = buffer[at + 3] != 0
            at += 4 + buffer[at + 3]
        if kind not in (IPV4, IPV6):
            return _NO_UPPER, at, end, 0
    protocol, at, end, _ = _carried(buffer, at, end, kind)
    return protocol, at, end, 0
