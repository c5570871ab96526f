"""A veth pair for a test, offloads and IPv6 off, gone afterwards; and frames to send through it."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from pyroute2 import IPRoute

_NUMBER = count()
MACS = bytes.fromhex("0200000000010200000000ff")


@contextlib.contextmanager
def veth(mtu: int = 9000) -> Iterator[tuple[str, str]]:
    """The names of both ends, up."""
    number = f"{os.getpid() % 10**6}{next(_NUMBER)}"
    ends = f"lt{number}a", f"lt{number}b"
    with IPRoute() as route:
        route.link("add", ifname=ends[0], kind="veth", mtu=mtu, peer={"ifname": ends[1], "mtu": mtu})
        try:
            for end in ends:
                switch = Path("/proc/sys/net/ipv6/conf", end, "disable_ipv6")
                if switch.exists():
                    switch.write_text("1")
                set_link(end, "up")
            yield ends
        finally:
            for index in route.link_lookup(ifname=ends[0]):
                route.link("del", index=index)


def set_link(name: str, state: str) -> None:
    with IPRoute() as route:
        route.link("set", index=route.link_lookup(ifname=name)[0], state=state)


def remove(name: str) -> None:
    with IPRoute() as route:
        route.link("del", index=route.link_lookup(ifname=name)[0])


def udp(size: int = 60, tags: bytes = b"", port: int = 1000) -> bytes:
    """A UDP packet 10.0.0.1 -> 10.0.0.2 in a frame of `size` bytes (42 at least, tags included)."""
    payload = size - 14 - len(tags)
    ip = struct.pack(">BBHIBBH4s4s", 0x45, 0, payload, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    body = ip + struct.pack(">HHHH", port, 53, payload - 20, 0)
    return (MACS + tags + b"\x08\x00" + body).ljust(size, b"\0")


def tag(tpid: int, vid: int) -> bytes:
    return struct.pack(">HH", tpid, vid)


@dataclass(frozen=True)
class Frames:
    """What a Sender takes."""

    buffer: np.ndarray
    offsets: np.ndarray
    captured: np.ndarray
    lengths: np.ndarray
    times_ns: np.ndarray


def frames(*sent: bytes, lengths: list[int] | None = None, step_ns: int = 1_000_000) -> Frames:
    """Frames `step_ns` apart, beginning at 10**18."""
    captured = np.array([len(f) for f in sent], np.uint32)
    offsets = np.concatenate([[0], np.cumsum(captured[:-1], dtype=np.int64)]).astype(np.int64)
    return Frames(
        np.frombuffer(b"".join(sent), np.uint8),
        offsets,
        captured,
        captured if lengths is None else np.array(lengths, np.uint32),
        10**18 + np.arange(len(sent), dtype=np.int64) * step_ns,
    )
