"""Lines of a tshark tsv -> PACKET records."""

import numpy as np
from numba import njit

from bricks.kernels.parse.literals import read_dotted, read_ipv6, read_mac, read_number, read_time
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ARP,
    BYTE_MASK,
    CODE_SHIFT,
    DST_KIND_SHIFT,
    ICMP,
    NO_PORT,
    PROTOCOL_SHIFT,
    SRC_KIND_SHIFT,
    TYPED,
)

# what a column holds; the pairs source and target are neighbours
TIME, LENGTH, MAC, IPV4, TCP, UDP, ARP_ADDRESS, IPV6, ICMP_TYPE, ARP_OPCODE, ICMP_CODE, FIELDS = 0, 1, 2, 4, 6, 8, 10, 12, 14, 15, 16, 17
_TAB, _LINE, _RETURN, _COMMA = 9, 10, 13, 44
SHORT, LONG = FIELDS, FIELDS + 1  # in place of a column that cannot be read: the line has too few values, or too many
_PORT_MAX = 65_535
_LENGTH_MAX = (1 << 32) - 1
_BAD = -1
_FORWARD, _REVERSE = 1, 2  # ARP whose protocol addresses count; reverse ARP, which the switch takes by its MAC addresses


@njit(cache=True)
def parse_lines(buffer, at, stop, form, out, row):
    """Parse whole lines of buffer[at:stop] into out[row:].

    form: (int64 [columns of the file]: what each holds, or -1; the character that values may stand in, or 0).
    Returns (where it stopped, records, lines, the column that cannot be read or -1). What cannot be read is the line where it stopped.
    """
    columns, quote = form
    first, lines = row, 0
    spans = np.zeros((FIELDS, 2), np.int64)
    while row < len(out):
        end = at
        while end < stop and buffer[end] != _LINE:
            end += 1
        if end == stop:
            break
        if not _blank(buffer, at, end):
            bad = _split(buffer, at, end, columns, quote, spans)
            if bad == _BAD:
                bad = _record(buffer, spans, out[row])
            if bad != _BAD:
                return at, row - first, lines, bad
            row += 1
        at = end + 1
        lines += 1
    return at, row - first, lines, _BAD


@njit(cache=True)
def _blank(buffer, at, end):
    return end == at or (end == at + 1 and buffer[at] == _RETURN)


@njit(cache=True)
def _split(buffer, at, end, columns, quote, spans):
    """Where the values of a line are. Returns SHORT, LONG or -1.

    Of several values in one column the first counts; a time and a length are one value, so that a comma in them is an error.
    """
    spans[:] = 0
    if buffer[end - 1] == _RETURN:
        end -= 1
    column, begin, comma = 0, at, -1
    for i in range(at, end + 1):
        if i < end and buffer[i] == _COMMA and comma < 0:
            comma = i
        if i == end or buffer[i] == _TAB:
            if column >= len(columns):
                return LONG
            if columns[column] >= 0:
                _put(buffer, begin, i, comma if columns[column] >= MAC else -1, quote, spans[columns[column]])
            column, begin, comma = column + 1, i + 1, -1
    return SHORT if column < len(columns) and (buffer[end - 1] == _TAB or _half(spans)) else _BAD


@njit(cache=True)
def _put(buffer, begin, end, comma, quote, span):
    """The place of a value, without the quotes around it, up to its first comma (-1: none that counts)."""
    if quote and end - begin >= 2 and buffer[begin] == quote and buffer[end - 1] == quote:
        begin, end = begin + 1, end - 1
    span[0] = begin
    span[1] = comma if comma >= 0 else end


@njit(cache=True)
def _half(spans):
    """Whether a packet has a source without a target, or the reverse.

    A line may lack the empty values at its end, which some editors cut off. One that lacks a value in between has its values in other
    columns, and is told by this: the pairs are torn apart.
    """
    for field in (MAC, IPV4, TCP, UDP, ARP_ADDRESS, IPV6):
        if (spans[field, 1] > spans[field, 0]) != (spans[field + 1, 1] > spans[field + 1, 0]):
            return True
    return False


@njit(cache=True)
def _record(buffer, spans, record):
    """One line as a record, `seq` left to the caller. Returns the field that cannot be read, or -1."""
    record.time_ns, good = read_time(buffer, spans[TIME, 0], spans[TIME, 1])
    if not good:
        return TIME
    length = read_number(buffer, spans[LENGTH, 0], spans[LENGTH, 1], _LENGTH_MAX)
    if length < 0:
        return LENGTH
    record.length = np.uint32(length)
    for field in (ICMP_TYPE, ARP_OPCODE, ICMP_CODE):
        if spans[field, 1] > spans[field, 0] and read_number(buffer, spans[field, 0], spans[field, 1], _PORT_MAX) < 0:
            return field
    arp = _arp(buffer, spans)
    icmp = _icmp(buffer, spans)
    source_mac, source_kind, high, low, port, bad = _side(buffer, spans, 0, arp)
    if bad != _BAD:
        return bad
    record.src_mac, record.src_hi, record.src_lo, record.src_port = source_mac, high, low, np.uint32(port)
    target_mac, target_kind, high, low, port, bad = _side(buffer, spans, 1, arp)
    if bad != _BAD:
        return bad
    record.dst_mac, record.dst_hi, record.dst_lo, record.dst_port = target_mac, high, low, np.uint32(port)
    kinds = source_kind << SRC_KIND_SHIFT | target_kind << DST_KIND_SHIFT
    record.flags = np.uint32(kinds | (ARP if arp else 0) | (ICMP if icmp else 0) | _protocol(buffer, spans, icmp))
    return _BAD


@njit(cache=True)
def _protocol(buffer, spans, icmp):
    """The flags of the IP protocol, of those that have columns: ICMP, TCP, UDP."""
    if icmp:
        kind = read_number(buffer, spans[ICMP_TYPE, 0], spans[ICMP_TYPE, 1], _PORT_MAX) & BYTE_MASK
        code = 0
        if spans[ICMP_CODE, 1] > spans[ICMP_CODE, 0]:
            code = read_number(buffer, spans[ICMP_CODE, 0], spans[ICMP_CODE, 1], _PORT_MAX) & BYTE_MASK
        return TYPED | kind << PROTOCOL_SHIFT | code << CODE_SHIFT
    if spans[UDP, 1] > spans[UDP, 0]:
        return 17 << PROTOCOL_SHIFT
    return 6 << PROTOCOL_SHIFT if spans[TCP, 1] > spans[TCP, 0] else 0


@njit(cache=True)
def _side(buffer, spans, side, arp):
    """Source (0) or target (1) of a packet: (MAC, kind, high word, low word, port, the field that cannot be read or -1)."""
    mac, good = read_mac(buffer, spans[MAC + side, 0], spans[MAC + side, 1])
    kind, high, low, bad = _address(buffer, spans, side, arp)
    if not good:
        bad = MAC + side
    elif kind == 0 and arp != _FORWARD and _no_ip(spans) and spans[MAC + side, 1] > spans[MAC + side, 0]:
        kind, low = ADDRESS_MAC, mac
    port = np.int64(NO_PORT)
    field = (UDP if spans[UDP + side, 1] > spans[UDP + side, 0] else TCP) + side  # TCP within UDP: a tunnel
    if not arp and spans[field, 1] > spans[field, 0]:
        port = read_number(buffer, spans[field, 0], spans[field, 1], _PORT_MAX)
        if port < 0:
            bad = field
    return mac, kind, high, low, port, bad


@njit(cache=True)
def _arp(buffer, spans):
    """0, _FORWARD or _REVERSE. ARP in a packet with IP addresses is within a tunnel: the outer addresses count."""
    begin, end = spans[ARP_OPCODE, 0], spans[ARP_OPCODE, 1]
    if begin == end or not _no_ip(spans):
        return 0
    return _REVERSE if read_number(buffer, begin, end, _PORT_MAX) in (3, 4) else _FORWARD


@njit(cache=True)
def _icmp(buffer, spans):
    """Whether it is ICMP. Of the kinds of ICMP only an error quotes ports; others in a packet with UDP ports are within a tunnel."""
    begin, end = spans[ICMP_TYPE, 0], spans[ICMP_TYPE, 1]
    if begin == end or spans[UDP, 0] == spans[UDP, 1]:
        return begin < end
    return read_number(buffer, begin, end, _PORT_MAX) in (3, 4, 5, 11, 12)


@njit(cache=True)
def _no_ip(spans):
    """Whether the packet has no IP source: then its addresses are the MACs."""
    return spans[IPV4, 1] == spans[IPV4, 0] and spans[IPV6, 1] == spans[IPV6, 0]


@njit(cache=True)
def _address(buffer, spans, side, arp):
    """(kind, high word, low word, field that cannot be read or -1) of the address that counts: ARP's, else IPv4, else IPv6."""
    nothing = np.uint64(0)
    field = ARP_ADDRESS if arp else IPV4
    if arp == _REVERSE:
        return 0, nothing, nothing, _BAD
    if arp or spans[IPV4, 1] > spans[IPV4, 0]:
        begin, end = spans[field + side, 0], spans[field + side, 1]
        if begin == end:
            return 0, nothing, nothing, _BAD
        value = read_dotted(buffer, begin, end)
        if value < 0:
            return 0, nothing, nothing, field + side
        return ADDRESS_IPV4, nothing, np.uint64(value), _BAD
    begin, end = spans[IPV6 + side, 0], spans[IPV6 + side, 1]
    if begin == end:
        return 0, nothing, nothing, _BAD
    high, low, good = read_ipv6(buffer, begin, end)
    return ADDRESS_IPV6, high, low, _BAD if good else IPV6 + side
