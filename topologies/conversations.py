"""What the devices of a home network say to each other and to their servers: generators of (wait in microseconds, frame).

A conversation ends; an activity goes on for ever. Each draws from a random generator of its own, so that one does not disturb another.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator

import numpy as np

from topologies import frames
from topologies.frames import ACK, FIN, PSH, SYN, Endpoint, Segment

Step = tuple[int, bytes | None]  # wait this many microseconds, then send the frame, if there is one
_SEGMENT_BYTES = 1460
_SYN_OPTIONS = bytes.fromhex("020405b401010402")  # maximum segment size 1460, selective acknowledgement
_NOISE_BYTES = 1 << 16


def every(rng: np.random.Generator, period_s: float, converse: Callable[[], Iterator[Step]]) -> Iterator[Step]:
    """An activity: `converse` again and again, `period_s` apart give or take a tenth, from a random moment of the first period."""
    wait = rng.uniform(0.02, 1.0)
    while True:
        yield int(wait * period_s * 1e6), None
        yield from converse()
        wait = rng.uniform(0.9, 1.1)


@functools.cache
def _noise() -> bytes:
    return np.random.default_rng(0).bytes(_NOISE_BYTES)


def data(rng: np.random.Generator, size: int) -> bytes:
    """`size` bytes that stand for whatever devices say."""
    start = int(rng.integers(0, _NOISE_BYTES - size))
    return _noise()[start : start + size]


def near(rng: np.random.Generator) -> int:
    """The delay of an answer from the same network, in microseconds."""
    return int(rng.gamma(4.0, 150.0)) + 80


def far(rng: np.random.Generator) -> int:
    """The delay of an answer from a server."""
    return int(rng.gamma(16.0, 1500.0)) + 4_000


def resolve(rng: np.random.Generator, device: Endpoint, resolver: Endpoint, name: bytes) -> Iterator[Step]:
    """A DNS question and its answer."""
    port, number = int(rng.integers(32_768, 61_000)), int(rng.integers(0, 1 << 16))
    question = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0\0\1\0\1"
    yield 0, frames.udp(device, resolver, (port, 53), struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + question)
    answer = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 300, 4) + bytes([198, 18, 0, number & 0xFF])
    yield far(rng), frames.udp(resolver, device, (53, port), struct.pack("!6H", number, 0x8180, 1, 1, 0, 0) + question + answer)


def clock(rng: np.random.Generator, device: Endpoint, server: Endpoint) -> Iterator[Step]:
    """NTP."""
    yield 0, frames.udp(device, server, (123, 123), b"\x23" + bytes(47))
    yield far(rng), frames.udp(server, device, (123, 123), b"\x24\2\6\xec" + data(rng, 44))


def who_has(rng: np.random.Generator, device: Endpoint, target: Endpoint) -> Iterator[Step]:
    """ARP, asked by broadcast."""
    unknown = target._replace(mac=bytes(6))
    yield 0, frames.arp(1, device, unknown, frames.BROADCAST)
    yield near(rng), frames.arp(2, target, device, device.mac)


def ping(rng: np.random.Generator, asker: Endpoint, device: Endpoint) -> Iterator[Step]:
    """Three echoes, a second apart."""
    for number in range(3):
        content = data(rng, 56)
        yield 0 if number == 0 else 1_000_000, frames.echo(asker, device, False, number, content)
        yield near(rng), frames.echo(device, asker, True, number, content)


def announce(rng: np.random.Generator, device: Endpoint) -> Iterator[Step]:
    """mDNS to its groups, over IPv4 and IPv6."""
    service, name = b"\4_hap\4_tcp\5local\0", data(rng, 8).hex().encode()
    record = service + struct.pack("!HHIH", 12, 1, 4500, len(name) + 3) + bytes([len(name)]) + name + b"\xc0\x0c"
    answer = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + record
    group = Endpoint(bytes.fromhex("01005e0000fb"), bytes([224, 0, 0, 251]))
    group6 = Endpoint(bytes.fromhex("3333000000fb"), bytes(4), bytes.fromhex("ff02") + bytes(13) + b"\xfb")
    yield 0, frames.udp(device, group, (5353, 5353), answer)
    yield 150, frames.udp6(device, group6, (5353, 5353), answer)


def neighbour(rng: np.random.Generator, device: Endpoint, gateway: Endpoint) -> Iterator[Step]:
    """IPv6 neighbour discovery: solicitation to the gateway's group, advertisement back."""
    group = Endpoint(b"\x33\x33\xff" + gateway.ip6[13:], bytes(4), bytes.fromhex("ff02") + bytes(9) + b"\1\xff" + gateway.ip6[13:])
    yield 0, frames.icmp6(device, group, 135, bytes(4) + gateway.ip6 + b"\1\1" + device.mac)
    yield near(rng), frames.icmp6(gateway, device, 136, b"\xe0\0\0\0" + gateway.ip6 + b"\2\1" + gateway.mac)


def advertise(gateway: Endpoint) -> Iterator[Step]:
    """An IPv6 router advertisement."""
    everyone = Endpoint(bytes.fromhex("333300000001"), bytes(4), bytes.fromhex("ff02") + bytes(13) + b"\1")
    yield 0, frames.icmp6(gateway, everyone, 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\1\1" + gateway.mac)


def stream(rng: np.random.Generator, camera: Endpoint, recorder: Endpoint, ports: tuple[int, int]) -> Iterator[Step]:
    """One picture of a camera: full packets and a rest, and the recorder's receipt."""
    head = bytes.fromhex("80600000") + data(rng, 8)
    for number in range(int(rng.integers(2, 5))):
        yield 0 if number == 0 else 350, frames.udp(camera, recorder, ports, head + data(rng, 1316))
    yield 350, frames.udp(camera, recorder, ports, head + data(rng, int(rng.integers(200, 1200))))
    yield near(rng), frames.udp(recorder, camera, ports[::-1], data(rng, 32))


class Connection:
    """A TCP connection that a device opens to a server: sequence numbers run on."""

    def __init__(self, rng: np.random.Generator, device: Endpoint, server: Endpoint, port: int) -> None:
        self._rng, self._ends = rng, (device, server)
        self._ports = (int(rng.integers(32_768, 61_000)), port)
        self._seq = [int(rng.integers(1, 1 << 32)), int(rng.integers(1, 1 << 32))]

    def opened(self) -> Iterator[Step]:
        yield 0, self._send(0, SYN, options=_SYN_OPTIONS, answers=False)
        yield far(self._rng), self._send(1, SYN | ACK, options=_SYN_OPTIONS)
        yield near(self._rng), self._send(0, ACK)

    def said(self, side: int, content: bytes) -> Iterator[Step]:
        """Bytes from the device (0) or the server (1), acknowledged every second segment and at the end."""
        wait = near(self._rng) if side == 0 else far(self._rng)
        for count, start in enumerate(range(0, len(content), _SEGMENT_BYTES)):
            yield wait, self._send(side, ACK | PSH, content[start : start + _SEGMENT_BYTES])
            wait = 120
            if count % 2 or start + _SEGMENT_BYTES >= len(content):
                yield near(self._rng) if side else far(self._rng), self._send(1 - side, ACK)

    def closed(self) -> Iterator[Step]:
        yield near(self._rng), self._send(0, FIN | ACK)
        yield far(self._rng), self._send(1, FIN | ACK)
        yield near(self._rng), self._send(0, ACK)

    def _send(self, side: int, flags: int, content: bytes = b"", options: bytes = b"", answers: bool = True) -> bytes:
        ports = self._ports if side == 0 else self._ports[::-1]
        segment = Segment(ports, self._seq[side], self._seq[1 - side] if answers else 0, flags, options)
        self._seq[side] += len(content) + bool(flags & (SYN | FIN))
        return frames.tcp(self._ends[side], self._ends[1 - side], segment, content)


def fetch(rng: np.random.Generator, device: Endpoint, server: Endpoint, sizes: tuple[int, int]) -> Iterator[Step]:
    """An HTTP exchange on a connection of its own: about sizes[0] bytes up, sizes[1] down."""
    connection = Connection(rng, device, server, 80)
    up, down = (data(rng, int(size * rng.uniform(0.8, 1.2))) for size in sizes)
    ask = b"POST /v1/state HTTP/1.1\r\nHost: home.example\r\nContent-Length: %d\r\n\r\n" % len(up)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(down)
    yield from connection.opened()
    yield from connection.said(0, ask + up)
    yield from connection.said(1, answer + down)
    yield from connection.closed()


def keep_alive(rng: np.random.Generator, device: Endpoint, broker: Endpoint, period_s: float) -> Iterator[Step]:
    """An activity: one long MQTT connection, a ping each period, now and then a reading published."""
    connection = Connection(rng, device, broker, 1883)
    yield int(rng.uniform(0, period_s) * 1e6), None
    yield from connection.opened()
    name = device.mac.hex().encode()
    yield from connection.said(0, b"\x10" + bytes([12 + len(name)]) + b"\0\4MQTT\4\2" + struct.pack("!HH", 60, len(name)) + name)
    yield from connection.said(1, b"\x20\2\0\0")
    while True:
        yield int(period_s * rng.uniform(0.95, 1.05) * 1e6), None
        if rng.random() < 0.3:
            reading = b"\0\5state" + data(rng, int(rng.integers(40, 110)))
            yield from connection.said(0, bytes([0x30, len(reading)]) + reading)
        yield from connection.said(0, b"\xc0\0")
        yield from connection.said(1, b"\xd0\0")
