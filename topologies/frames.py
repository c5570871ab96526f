"""Frames with valid lengths and checksums, built layer by layer for synthetic traffic."""

from __future__ import annotations

import struct
from typing import NamedTuple

SHORTEST = 60  # bytes of an Ethernet frame, without its check sequence
BROADCAST = b"\xff" * 6
SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4


class Endpoint(NamedTuple):
    """One end of a conversation; a host beyond the gateway has the gateway's MAC address."""

    mac: bytes
    ip: bytes
    ip6: bytes = bytes(16)

    @property
    def address(self) -> str:
        return ".".join(map(str, self.ip))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the sum of 16-bit words is the number they form, modulo 0xFFFF."""
    number = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return 0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))


def ethernet(src: bytes, dst: bytes, kind: int, payload: bytes) -> bytes:
    return (dst + src + struct.pack("!H", kind) + payload).ljust(SHORTEST, b"\0")


def arp(operation: int, sender: Endpoint, target: Endpoint, dst: bytes) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return ethernet(sender.mac, dst, 0x0806, body + sender.mac + sender.ip + target.mac + target.ip)


def ipv4(src: Endpoint, dst: Endpoint, protocol: int, payload: bytes, identity: int = 0) -> bytes:
    hops = 255 if dst.ip[0] >= 224 else 64  # as multicast DNS asks for
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), identity & 0xFFFF, 0x4000, hops, protocol)
    total = checksum(head + b"\0\0" + src.ip + dst.ip)
    return ethernet(src.mac, dst.mac, 0x0800, head + struct.pack("!H", total) + src.ip + dst.ip + payload)


def udp(src: Endpoint, dst: Endpoint, ports: tuple[int, int], data: bytes) -> bytes:
    return ipv4(src, dst, 17, _udp_body(src.ip + dst.ip, ports, data))


def udp6(src: Endpoint, dst: Endpoint, ports: tuple[int, int], data: bytes) -> bytes:
    return _ipv6(src, dst, 17, _udp_body(src.ip6 + dst.ip6, ports, data), 255)


class Segment(NamedTuple):
    """The part of a TCP header that changes from packet to packet."""

    ports: tuple[int, int]
    seq: int
    ack: int
    flags: int
    options: bytes = b""


def tcp(src: Endpoint, dst: Endpoint, segment: Segment, data: bytes = b"") -> bytes:
    head = struct.pack("!HHII", *segment.ports, segment.seq & 0xFFFFFFFF, segment.ack & 0xFFFFFFFF)
    size = 20 + len(segment.options)
    head += struct.pack("!BBH", size // 4 << 4, segment.flags, 14_600)
    pseudo = src.ip + dst.ip + struct.pack("!HH", 6, size + len(data))
    total = checksum(pseudo + head + bytes(4) + segment.options + data)
    return ipv4(src, dst, 6, head + struct.pack("!HH", total, 0) + segment.options + data, segment.seq)


def echo(src: Endpoint, dst: Endpoint, reply: bool, number: int, data: bytes) -> bytes:
    """ICMP echo request or reply."""
    rest = struct.pack("!HH", 0x4C45, number & 0xFFFF) + data
    head = bytes([0 if reply else 8, 0])
    return ipv4(src, dst, 1, head + struct.pack("!H", checksum(head + b"\0\0" + rest)) + rest)


def icmp6(src: Endpoint, dst: Endpoint, kind: int, body: bytes) -> bytes:
    """ICMPv6 with code 0; `body` is what follows the checksum."""
    pseudo = src.ip6 + dst.ip6 + struct.pack("!II", 4 + len(body), 58)
    total = checksum(pseudo + bytes([kind, 0, 0, 0]) + body)
    return _ipv6(src, dst, 58, struct.pack("!BBH", kind, 0, total) + body, 255)


def _ipv6(src: Endpoint, dst: Endpoint, following: int, payload: bytes, hops: int) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), following, hops)
    return ethernet(src.mac, dst.mac, 0x86DD, head + src.ip6 + dst.ip6 + payload)


def _udp_body(addresses: bytes, ports: tuple[int, int], data: bytes) -> bytes:
    size = 8 + len(data)
    head = struct.pack("!HHH", *ports, size)
    total = checksum(addresses + struct.pack("!HH", 17, size) + head + b"\0\0" + data) or 0xFFFF
    return head + struct.pack("!H", total) + data
