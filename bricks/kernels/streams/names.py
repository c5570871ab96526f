"""Addresses and ports as the text that the public Kitsune glues its keys from; each name is 96 bytes, zero-padded."""

import numpy as np
from numba import njit

from bricks.kernels.streams.index import LOW, folded
from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC, ARP, DST_KIND_SHIFT, ICMP, KIND_MASK, NO_PORT

NAME = 96  # bytes: two IPv6 addresses of at most 45
WORDS = NAME // 8
BY_MAC, SOURCE, TARGET, CHANNEL, SOURCE_SOCKET, TARGET_SOCKET, NAMES = 0, 1, 2, 3, 4, 5, 6

_DOT, _COLON, _ZERO = 46, 58, 48
_ICMP_TEXT = np.frombuffer(b"icmp", np.uint8)


@njit(cache=True)
def write_names(packet, text):
    """Write the six names of a packet to the rows of `text`, uint8 [6, 96], which holds zeros."""
    flags = np.int64(packet.flags)
    source = _write_address(text[SOURCE], 0, flags & KIND_MASK, packet.src_hi, packet.src_lo)
    target = _write_address(text[TARGET], 0, flags >> DST_KIND_SHIFT & KIND_MASK, packet.dst_hi, packet.dst_lo)
    _copy(text[SOURCE], source, text[BY_MAC], _write_mac(text[BY_MAC], 0, packet.src_mac))
    _copy(text[TARGET], target, text[CHANNEL], _copy(text[SOURCE], source, text[CHANNEL], 0))
    if flags & ARP:
        _write_mac(text[SOURCE_SOCKET], 0, packet.src_mac)
        _write_mac(text[TARGET_SOCKET], 0, packet.dst_mac)
        return
    icmp = flags & ICMP != 0 and packet.src_port == NO_PORT
    _write_port(text[SOURCE_SOCKET], _copy(text[SOURCE], source, text[SOURCE_SOCKET], 0), packet.src_port, icmp)
    _write_port(text[TARGET_SOCKET], _copy(text[TARGET], target, text[TARGET_SOCKET], 0), packet.dst_port, icmp)


@njit(cache=True)
def name_tag(words):
    """32 bits of hash of a name, given as 12 words; not keyed: a collision costs time, never a wrong stream."""
    total = np.uint64(0x9E3779B97F4A7C15)
    for i in range(0, WORDS, 2):
        if words[i] == 0:
            break
        total = folded(words[i] ^ total, words[i + 1] ^ np.uint64(0xD1B54A32D192ED03))
    return total & LOW


@njit(cache=True)
def _copy(source, length, target, at):
    """Append bytes; the place after them."""
    for i in range(length):
        target[at + i] = source[i]
    return at + length


@njit(cache=True)
def _write_address(text, at, kind, high, low):
    if kind == ADDRESS_IPV4:
        return _write_ipv4(text, at, low)
    if kind == ADDRESS_IPV6:
        return _write_ipv6(text, at, high, low)
    return _write_mac(text, at, low) if kind == ADDRESS_MAC else at


@njit(cache=True)
def _write_number(text, at, number):
    size = 1
    while number >= 10**size:
        size += 1
    for i in range(size - 1, -1, -1):
        text[at + i] = _ZERO + number % 10
        number //= 10
    return at + size


@njit(cache=True)
def _write_port(text, at, port, icmp):
    if icmp:
        _copy(_ICMP_TEXT, 4, text, at)
    elif port != NO_PORT:
        _write_number(text, at, np.int64(port))


@njit(cache=True)
def _write_ipv4(text, at, low):
    for shift in (24, 16, 8, 0):
        at = _write_number(text, at, np.int64(low >> np.uint64(shift)) & 255)
        text[at] = _DOT
        at += 1
    text[at - 1] = 0
    return at - 1


@njit(cache=True)
def _hex(digit):
    return _ZERO + digit + (39 if digit > 9 else 0)


@njit(cache=True)
def _write_mac(text, at, mac):
    for i in range(6):
        octet = np.int64(mac >> np.uint64(40 - 8 * i)) & 255
        text[at], text[at + 1] = _hex(octet >> 4), _hex(octet & 15)
        if i < 5:
            text[at + 2] = _COLON
        at += 3
    return at - 1


@njit(cache=True)
def _group(high, low, i):
    """The i-th 16 bits of an IPv6 address."""
    word = high if i < 4 else low
    return np.int64(word >> np.uint64(48 - 16 * (i & 3))) & 0xFFFF


@njit(cache=True)
def _longest_zeros(high, low):
    """First and length of the leftmost longest run of zero groups; length 0 if none is longer than one."""
    best, length, begin = 0, 1, 0
    for i in range(9):
        if i < 8 and _group(high, low, i) == 0:
            continue
        if i - begin > length:
            best, length = begin, i - begin
        begin = i + 1
    return best, length if length > 1 else 0


@njit(cache=True)
def _write_ipv6(text, at, high, low):
    """As RFC 5952 says; the last 32 bits of a mapped or compatible address are dotted, as the C library does."""
    best, length = _longest_zeros(high, low)
    dotted = best == 0 and (length == 6 or (length == 5 and _group(high, low, 5) == 0xFFFF))
    i, separated = 0, True
    while i < 8:
        if length and i == best:
            text[at], text[at + 1] = _COLON, _COLON
            at, i, separated = at + 2, i + length, True
            continue
        if not separated:
            text[at] = _COLON
            at += 1
        if dotted and i == 6:
            return _write_ipv4(text, at, low & LOW)
        at = _write_group(text, at, _group(high, low, i))
        i, separated = i + 1, False
    return at


@njit(cache=True)
def _write_group(text, at, group):
    """Hexadecimal digits without leading zeros."""
    shift = 12
    while shift and group >> shift == 0:
        shift -= 4
    while shift >= 0:
        text[at] = _hex(group >> shift & 15)
        at, shift = at + 1, shift - 4
    return at
