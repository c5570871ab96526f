"""Numbered packets from one namespace through a bridge, and what arrives in others: every copy, with its mark."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.ovs.socket_buffer import give_room
from lego_sdn.adapters.ovs.vsctl import Ovs
from tests.ryu_apps.bridges import vsctl

SO_RCVBUFFORCE, PACKET_AUXDATA, PACKET_STATISTICS, SOL_PACKET = 33, 8, 6, 263
ETH_P_ALL, VLAN_VALID, SHADOW_TCI = 3, 1 << 4, (0x88A8, 4094)
MAGIC = b"numbered"
SOURCE_MAC, SINK_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def frame(number: int, source: int, destination: int) -> bytes:
    """UDP over IPv4 with the number in its payload; addresses as integers."""
    payload = MAGIC + struct.pack(">Q", number) + bytes(10)
    udp = struct.pack(">HHHH", 4000, 4001, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, destination)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return SINK_MAC + SOURCE_MAC + b"\x08\x00" + head + udp


@dataclass
class Seen:
    """What arrived at one place: how often each number, as owner's packet and as shadow; in the order of arrival."""

    owned: list[int] = field(default_factory=list)
    shadows: list[int] = field(default_factory=list)
    kernel_drops: int = 0

    @property
    def repeated(self) -> list[int]:
        return [number for number, count in Counter(self.owned).items() if count > 1]


class Listener:
    """A socket on an interface in a namespace, with a buffer large enough to be read afterwards."""

    def __init__(self, namespace: str, interface: str) -> None:
        with netns.inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((interface, ETH_P_ALL))

    def read(self, quiet_s: float = 0.5) -> Seen:
        """Everything so far, once nothing came for a while."""
        seen = Seen()
        self.socket.settimeout(quiet_s)
        while True:
            try:
                data, extra, _, _ = self.socket.recvmsg(2048, 256)
            except TimeoutError:
                break
            at = data.find(MAGIC)
            if at >= 0:
                (number,) = struct.unpack_from(">Q", data, at + len(MAGIC))
                (seen.shadows if _tag(data, extra) == SHADOW_TCI else seen.owned).append(number)
        _, seen.kernel_drops = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return seen


def _tag(data: bytes, extra: list) -> tuple[int, int] | None:
    """(TPID, VLAN id) of the outer tag, which the kernel may have taken out of the frame."""
    for level, kind, content in extra:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", content[:20])
            if status & VLAN_VALID:
                return tpid, tci & 0xFFF
    tpid, tci = struct.unpack_from(">HH", data, 12)
    return (tpid, tci & 0xFFF) if tpid in (0x8100, 0x88A8) else None


@dataclass
class Wire:
    """A source and a sink, each in a namespace, on a bridge; ports 1 and 2."""

    sender: socket.socket
    sink: Listener
    sent: int = 0

    def send(self, count: int, sources: list[int], destinations: list[int], per_second: int = 8000) -> None:
        """Numbered packets, sources and destinations in turn, at no more than the given rate, in bursts that every queue can hold."""
        burst = max(1, per_second // 500)
        end = self.sent + count
        while self.sent < end:
            for number in range(self.sent, min(self.sent + burst, end)):
                self.sender.send(frame(number, sources[number % len(sources)], destinations[number // len(sources) % len(destinations)]))
                self.sent = number + 1
            time.sleep(0.002)


@contextmanager
def wire(bridge: str) -> Iterator[Wire]:
    """Namespaces `<bridge>s` and `<bridge>d`, plugged into the bridge."""
    with ExitStack() as stack:
        ovs = Ovs(bridge)
        for number, end in enumerate("sd", 1):
            name = f"{bridge}{end}"
            netns.create(name)
            stack.callback(netns.remove, name)
            netns.add_veth(name, name, "e0")
            stack.callback(netns.remove_link, name)
            vsctl("add-port", bridge, name, "--", "set", "Interface", name, f"ofport_request={number}")
            ovs.ofport(name)
            give_room(name)
        with netns.inside(f"{bridge}s"):
            sender = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        sender.bind(("e0", 0))
        sink = Listener(f"{bridge}d", "e0")
        stack.enter_context(sink.socket)
        yield Wire(sender, sink)
