"""Packets from an interface, through a memory-mapped AF_PACKET ring (TPACKET_V3): blocks, no copy, kernel drops counted."""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
import struct
import time
from collections import deque
from typing import Any

import numpy as np

from bricks.capture.stamp_reorder import StampReorder
from bricks.capture.timer import Alarm
from bricks.kernels.transport import packet_ring as kernel
from bricks.records.packets import PACKET
from lego_sdn.core.facts.clock import ClockNs
from lego_sdn.core.facts.errors import BrickError, HostError

STAMPS = ("kernel", "trailer")

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 1, 5, 6, 10, 23
_TPACKET_V3 = 2
_PROMISCUOUS = 1
_ALL_PROTOCOLS = 0x0003
_FRAME_BYTES = 2048  # only a divisor of the block in version 3; frames may be larger

_MARKERS = 64  # that are remembered


class PacketRing:
    """Incoming packets of an interface of the current network namespace, as PACKET records. A context manager.

    interface    its name; it is made promiscuous while the ring is open
    blocks       blocks of the ring. The kernel hands a block over when it is full or `timeout_ms` after its first packet, so a reader may
                 stall for blocks * timeout_ms at any rate before packets are lost: many small blocks are safer than few large ones
    block_bytes  a multiple of the page size; a frame larger than a block is cut
    stamps       "kernel": `time_ns` is the kernel's receive time, `seq` counts the packets of this ring;
                 "trailer": both come from the stamp at the end of the frame, which is stripped, and packets are given out in the order of
                 their stamps (see StampOrder). A frame without one is counted as `unstamped` and not given out, since a local time among
                 those of the stamps would spoil every statistic; one whose stamp cannot be true (far from those before it) as `implausible`
    switch       frames come from LEGO's switch: the outermost tag is the switch's own and says what each is. A frame under another tag or
                 none is `foreign` and not given out. Without, every frame is a packet of its own, whatever tags it has
    apart        a packet may come as an own one and as a copy: neither repeats the other, and the copy is no shadow (see `SplitKey.apart`)

    HostError if the interface is missing, gone, or root is missing; BrickError for an impossible ring.
    """

    def __init__(
        self,
        interface: str,
        blocks: int = 512,
        block_bytes: int = 1 << 17,
        timeout_ms: int = 1,
        stamps: str = "kernel",
        switch: bool = False,
        apart: bool = False,
        now_ns: ClockNs = time.monotonic_ns,
    ) -> None:
        _check(blocks, block_bytes, timeout_ms, stamps)
        self.interface, self.blocks, self.block_bytes, self.timeout_ms = interface, blocks, block_bytes, timeout_ms
        self.stamps, self.switch, self.now_ns = stamps, switch, now_ns
        self._how = (kernel.TRAILER if stamps == "trailer" else 0) | (kernel.SWITCH if switch else 0)
        self._how |= kernel.APART if apart else 0
        self._cursor = np.zeros(kernel.CURSOR, np.int64)
        self._cursor[kernel.LEFT] = -1
        self._counts = np.zeros(kernel.COUNTS, np.int64)
        self._counts[[kernel.FIRST, kernel.LAST]] = -1
        self._seen = np.zeros((1 + apart, kernel.WINDOW // 64), np.uint64)
        self._kernel_drops = 0
        self._order = StampReorder(apart=apart) if stamps == "trailer" else None
        self._passed: deque[tuple[int, int, int]] = deque(maxlen=_MARKERS)  # token, highest stamp before it, when it was read
        self.markers: dict[int, int] = {}  # token of a marker that came, all rows before it given out -> highest stamp before it, or -1
        self._socket = _socket(interface)
        self._alarm, self._poll = Alarm(), select.epoll()
        try:
            self._index = self._set_up()
        except BaseException:
            self._close()
            raise
        for opened in (self._socket, self._alarm):
            self._poll.register(opened, select.EPOLLIN)

    def _set_up(self) -> int:
        """Ring, then binding: no packet comes before everything is in place. Returns the interface's index."""
        size = self.blocks * self.block_bytes
        try:
            index = socket.if_nametoindex(self.interface)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            self._ignore_outgoing()
            request = (self.block_bytes, self.blocks, _FRAME_BYTES, size // _FRAME_BYTES, self.timeout_ms, 0, 0)
            self._set_ring(struct.pack("7I", *request), size)
            self.read(np.zeros(1, PACKET))  # the kernels are loaded before there is anything to lose
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8s", index, _PROMISCUOUS, 0, b""))
            self._socket.bind((self.interface, _ALL_PROTOCOLS))
        except OSError as error:
            raise HostError(f"cannot capture on {self.interface}: {_reason(error)}") from error
        return index

    def _ignore_outgoing(self) -> None:
        try:
            self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:  # before Linux 4.20: the walk skips them
                raise

    def _set_ring(self, request: bytes, size: int) -> None:
        try:
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
            self._map = mmap.mmap(self._socket.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            raise BrickError(
                f"no memory for a ring of {self.blocks} blocks of {self.block_bytes} bytes on {self.interface} "
                f"({os.strerror(error.errno or 0)}): choose fewer or smaller blocks"
            ) from error
        self._ring: np.ndarray | None = np.frombuffer(self._map, np.uint8)
        self._words: np.ndarray | None = self._ring.view(np.uint32)

    def fileno(self) -> int:
        """The descriptor to poll: readable once a block is ready, or what was held back for its order is due."""
        return self._poll.fileno()

    def read(self, out: np.ndarray) -> int:
        """Fill `out` (PACKET [rows]) with what is there, without waiting; returns the number of rows.

        What does not fit stays for the next call. HostError if the interface has gone.
        """
        if self._order is None:
            rows = self._walk(out)
        else:
            rows = self._order.read(self._walk, out, self.now_ns())
            if rows == 0:
                self._alarm.set(self._order.due_ns)
        if rows == 0:
            self._look_for_errors()
        if self._passed:
            self._look_for_markers()
        return rows

    def _walk(self, out: np.ndarray) -> int:
        where = self._ring, self._words, self.block_bytes, self.blocks
        while True:
            rows = kernel.walk(*where, self._cursor, self._counts, self._seen, self._how, out)
            token = int(self._counts[kernel.MARKER])
            if token == 0:
                return rows
            self._counts[kernel.MARKER] = 0
            self._passed.append((token, int(self._counts[kernel.LAST]), self.now_ns()))
            if rows:
                return rows

    def _look_for_markers(self) -> None:
        """A marker counts once every row that was read before it is given out."""
        while self._passed and (self._order is None or not self._order.holds_from(self._passed[0][2])):
            token, highest, _ = self._passed.popleft()
            self.markers[token] = highest
            if len(self.markers) > _MARKERS:
                del self.markers[next(iter(self.markers))]

    def _look_for_errors(self) -> None:
        """An interface that is merely down comes back by itself; one that was removed does not."""
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            return
        try:
            there = socket.if_nametoindex(self.interface) == self._index
        except OSError:
            there = False
        if not there:
            raise HostError(f"the interface {self.interface} was removed while packets were captured from it: start the instance again")

    def queue(self) -> float:
        """Share of the ring's blocks that wait to be read, 0 to 1."""
        return kernel.waiting(self._words, self.block_bytes, self.blocks, self._cursor) / self.blocks

    def waited_ns(self) -> int:
        """How long the frame that was read last had waited, nanoseconds; 0 where the clock was set back meanwhile."""
        return max(0, time.time_ns() - int(self._counts[kernel.CAME]))

    def statistics(self) -> dict[str, int]:
        """Totals since the ring was opened.

        received, kernel_drops  frames read from the ring; frames that the kernel had no room for
        foreign                 frames besides that are none of the switch's (not given out)
        shadows, unstamped      of the received: marked as a copy for state; without a stamp although stamps="trailer" (not given out)
        implausible             of the received: with a stamp that cannot be true (not given out)
        gaps                    stamps between the lowest and the highest seen that were not seen. One instance of several does not see
                                every packet: there this is no loss. Loss over all instances is
                                max(last) - min(first) + 1 - sum(received - shadows - unstamped - implausible - repeats)
        repeats                 stamps seen before, among the last 65,536
        reordered               stamps that came after a higher one, first seen then (each fills its gap); also any beyond that window
        late                    of these, those that came too late to be put in order: given out after a higher one
        set_back                packets whose time is more than 5 s before the latest one: a clock was set back, or a time was forged
        first, last             the lowest and highest stamp, -1 before there is one
        """
        packed = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        self._kernel_drops += struct.unpack("3I", packed)[1]  # the kernel starts again at zero after each call
        counts = self._counts.tolist()
        return {
            "received": counts[kernel.FRAMES],
            "kernel_drops": self._kernel_drops,
            "shadows": counts[kernel.SHADOWS],
            "foreign": counts[kernel.FOREIGN],
            "unstamped": counts[kernel.UNSTAMPED],
            "implausible": counts[kernel.IMPLAUSIBLE],
            "gaps": counts[kernel.GAPS],
            "repeats": counts[kernel.REPEATS],
            "reordered": counts[kernel.REORDERED],
            "set_back": counts[kernel.SET_BACK],
            "late": self._order.late if self._order is not None else 0,
            "first": counts[kernel.FIRST],
            "last": counts[kernel.LAST],
        }

    def close(self) -> None:
        """Give the interface and the ring's memory back; again: nothing happens."""
        self._ring = self._words = None  # the map cannot be closed while arrays look into it
        self._map.close()
        self._close()

    def _close(self) -> None:
        for opened in (self._poll, self._alarm, self._socket):
            opened.close()

    def __enter__(self) -> PacketRing:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PacketRing {self.interface} {self.blocks} blocks of {self.block_bytes} bytes, stamps={self.stamps!r}>"


def _check(blocks: int, block_bytes: int, timeout_ms: int, stamps: str) -> None:
    if stamps not in STAMPS:
        raise BrickError(f"stamps are from one of {', '.join(STAMPS)}, not from {stamps!r}")
    if block_bytes <= 0 or block_bytes % mmap.PAGESIZE:
        raise BrickError(f"a ring's block_bytes must be a multiple of {mmap.PAGESIZE}, not {block_bytes}")
    if blocks < 2 or timeout_ms < 1:
        raise BrickError(f"a ring needs 2 blocks and a timeout of 1 ms at least, not {blocks} blocks and {timeout_ms} ms")


def _socket(interface: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # no protocol: nothing is received before it is bound
    except OSError as error:
        raise HostError(f"cannot capture on {interface}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return "it needs root (CAP_NET_RAW); let the agent, run as root, start the instance"
    if error.errno in (errno.ENODEV, errno.ENXIO) or error.errno is None:
        return "there is no interface of this name in this network namespace"
    return os.strerror(error.errno)
