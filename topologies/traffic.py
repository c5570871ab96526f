"""Synthetic traffic: a network of IoT devices; then one of them is infected and scans, as Mirai does.

The same arguments give the same bytes (with the same version of numpy, whose random generators may change). Nothing here is taken from a
real capture, and no address belongs to anybody: the network is 192.168.40.0/24, servers and the scanned are in 198.18.0.0/15, which is set
aside for tests of network devices (RFC 2544).
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lego_sdn.core.facts.errors import CaptureError
from topologies import conversations as talk
from topologies import frames
from topologies.frames import ACK, RST, SYN, Endpoint, Segment

DEVICES_MAX = 200
_BEGIN_US = 1_700_000_000_000_000  # epoch microseconds
_SCAN_GAP_S = 0.0045  # between two packets of the scanner: some 220 a second
_ARP_SHARE = 0.8
_TELNET, _TELNET_OTHER = 23, 2323
_NAMES = (b"api.thermo.example", b"cam.watch.example", b"hub.lights.example", b"time.example", b"update.example")


class Labels(NamedTuple):
    """What is an attack in the traffic.

    infected      address of the infected device
    infected_mac  its MAC address, as text
    first_attack  index of the first packet after the infection; benign traffic goes on among the packets from there
    attack        bool [packets]: sent by the scanner
    """

    infected: str
    infected_mac: str
    first_attack: int
    attack: np.ndarray


class Traffic(NamedTuple):
    """frames: the bytes of each packet; times_us: int64 [packets], epoch microseconds, never falling."""

    frames: list[bytes]
    times_us: np.ndarray
    labels: Labels


class Home(NamedTuple):
    """The hosts of the network; `servers` are beyond the gateway and have its MAC address."""

    gateway: Endpoint
    devices: tuple[Endpoint, ...]
    servers: tuple[Endpoint, ...]


def traffic(devices: int = 12, benign_packets: int = 20_000, attack_packets: int = 5_000, seed: int = 1) -> Traffic:
    """`benign_packets` without an attack, then `attack_packets` while one device scans (and the others go on).

    `ValueError` for a number of devices other than 2 to 200, or a negative number of packets.
    """
    if not 2 <= devices <= DEVICES_MAX or benign_packets < 0 or attack_packets < 0:
        raise ValueError(f"2 to {DEVICES_MAX} devices and no negative number of packets are possible")
    home = build_home(devices, np.random.default_rng([seed, 0]))
    queue = _Queue(_BEGIN_US)
    for activity in _activities(home, seed):
        queue.add(activity, scanner=False)
    packets = [queue.next() for _ in range(benign_packets)]
    rng = np.random.default_rng([seed, 1])
    infected = home.devices[int(rng.integers(devices))]
    if attack_packets:
        queue.add(scan(rng, infected, home), scanner=True)
    packets += [queue.next() for _ in range(attack_packets)]
    times, frames, scanned = zip(*packets, strict=True) if packets else ((), (), ())
    attack = np.array([by and frame[6:12] == infected.mac for frame, by in zip(frames, scanned, strict=True)], bool)
    labels = Labels(infected.address, infected.mac.hex(":"), benign_packets, attack)
    return Traffic(list(frames), np.array(times, np.int64), labels)


def write_pcap(path: str | Path, frames: list[bytes], times_us: np.ndarray) -> None:
    """Write frames as a pcap with microseconds; `CaptureError` if that cannot be done."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)]
    for frame, time in zip(frames, times_us.tolist(), strict=True):
        parts += (struct.pack("<IIII", time // 1_000_000, time % 1_000_000, len(frame), len(frame)), frame)
    try:
        Path(path).write_bytes(b"".join(parts))
    except OSError as error:
        raise CaptureError(f"capture {path} cannot be written: {error.strerror}") from error


def write_capture(path: str | Path, benign: int = 20_000, attack: int = 5_000, seed: int = 1, devices: int = 12) -> Labels:
    """Write one capture of `traffic`; returns which packets are the attack."""
    made = traffic(devices, benign, attack, seed)
    write_pcap(path, made.frames, made.times_us)
    return made.labels


def build_home(devices: int, rng: np.random.Generator) -> Home:
    """A gateway, devices and the servers that they use."""

    def host(last: int) -> Endpoint:
        mac = b"\x02" + rng.bytes(5)
        interface = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
        return Endpoint(mac, bytes([192, 168, 40, last]), bytes.fromhex("fe80000000000000") + interface)

    gateway = host(1)
    lasts = rng.choice(np.arange(20, 251), devices, replace=False)
    servers = tuple(Endpoint(gateway.mac, bytes([198, 18, 0, 10 + n])) for n in range(6))
    return Home(gateway, tuple(host(int(last)) for last in sorted(lasts)), servers)


def scan(rng: np.random.Generator, infected: Endpoint, home: Home) -> Iterator[talk.Step]:
    """The scanner: who is there in the network, and who answers to telnet anywhere. Few do."""
    neighbours = {host.ip: host for host in (home.gateway, *home.devices)}
    port = int(rng.integers(1024, 65_536))
    wait = 0
    while True:
        if rng.random() < _ARP_SHARE:
            address = infected.ip[:3] + bytes([int(rng.integers(1, 255))])
            yield wait, frames.arp(1, infected, Endpoint(bytes(6), address), frames.BROADCAST)
            found = neighbours.get(address)
            answer = frames.arp(2, found, infected, infected.mac) if found and found != infected else None
        else:
            target = Endpoint(home.gateway.mac, bytes([198, 19, *rng.integers(0, 256, 2).tolist()]))
            ports = (port, _TELNET_OTHER if rng.random() < 0.1 else _TELNET)
            seq = int.from_bytes(target.ip, "big")  # Mirai knows its answers by this
            yield wait, frames.tcp(infected, target, Segment(ports, seq, 0, SYN))
            closed = Segment(ports[::-1], 0, seq + 1, RST | ACK)
            answer = frames.tcp(target, infected, closed) if rng.random() < 0.05 else None
        wait = int(rng.exponential(_SCAN_GAP_S) * 1e6) + 20
        if answer:
            yield talk.near(rng), answer


def _activities(home: Home, seed: int) -> Iterator[Iterator[talk.Step]]:
    """Everything that goes on without an attack; each activity with a random generator of its own."""
    generators = (np.random.default_rng([seed, 2, n]) for n in count())
    gateway, servers = home.gateway, home.servers
    yield talk.every(next(generators), 20, lambda: talk.advertise(gateway))
    for n, device in enumerate(home.devices):
        yield from _common(device, n, home, generators)
        rng = next(generators)
        if n % 4 == 0:  # a camera
            ports = (40_000 + n, 5004)
            yield talk.every(rng, 1.1, lambda r=rng, d=device, p=ports: talk.stream(r, d, servers[0], p))
        elif n % 4 == 1:  # a sensor
            yield talk.every(rng, 12, lambda r=rng, d=device: talk.fetch(r, d, servers[1], (420, 180)))
        elif n % 4 == 2:  # a hub, which fetches more than it sends
            yield talk.every(rng, 25, lambda r=rng, d=device: talk.fetch(r, d, servers[2], (300, 14_000)))
        else:  # a bulb: only its long connection, with short pings
            yield talk.keep_alive(rng, device, servers[3], 3)


def _common(device: Endpoint, n: int, home: Home, generators: Iterator[np.random.Generator]) -> Iterator[Iterator[talk.Step]]:
    """What every device does."""
    gateway, servers = home.gateway, home.servers
    name = _NAMES[n % len(_NAMES)]
    a, b, c, d, e, f = (next(generators) for _ in range(6))
    yield talk.every(a, 15, lambda: talk.resolve(a, device, gateway, name))
    yield talk.every(b, 32, lambda: talk.clock(b, device, servers[5]))
    yield talk.every(c, 30, lambda: talk.who_has(c, device, gateway))
    yield talk.every(d, 20, lambda: talk.ping(d, gateway, device))
    yield talk.every(e, 45, lambda: talk.announce(e, device) if n % 2 else talk.neighbour(e, device, gateway))
    yield talk.keep_alive(f, device, servers[4], 10)


class _Queue:
    """Activities, in the order of their next steps."""

    def __init__(self, begin_us: int) -> None:
        self._now, self._numbers = begin_us, count()
        self._steps: list[tuple[int, int, bytes | None, bool, Iterator[talk.Step]]] = []

    def add(self, activity: Iterator[talk.Step], scanner: bool) -> None:
        self._push(self._now, activity, scanner)

    def next(self) -> tuple[int, bytes, bool]:
        """(time, frame, whether it belongs to the scanner) of the next packet."""
        while True:
            self._now, _, frame, scanner, activity = heapq.heappop(self._steps)
            self._push(self._now, activity, scanner)
            if frame is not None:
                return self._now, frame, scanner

    def _push(self, now: int, activity: Iterator[talk.Step], scanner: bool) -> None:
        wait, frame = next(activity)
        heapq.heappush(self._steps, (now + wait, next(self._numbers), frame, scanner, activity))
