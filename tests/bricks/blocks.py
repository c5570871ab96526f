"""A TPACKET_V3 ring in plain memory, filled by a test as the kernel would fill it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from bricks.kernels.transport import packet_ring as kernel
from bricks.records.packets import PACKET, STAMP_MAGIC

HEADER, FRAME_AT = 48, 82  # block descriptor; bytes from a packet's header to its frame
VLAN_VALID, TPID_VALID = 16, 64


def stamped(frame: bytes, seq: int, time_ns: int = 0) -> bytes:
    """The frame with its trailer."""
    return frame + struct.pack(">IQQ", STAMP_MAGIC, seq, time_ns)


@dataclass(frozen=True)
class Arrived:
    """One frame as the kernel files it: with `tag` (TPID, TCI) if it took one out of the frame."""

    frame: bytes
    tag: tuple[int | None, int] | None = None
    time_ns: int = 0
    packet_type: int = 0
    cut: int = 0  # bytes that were on the wire and are not here

    def packed(self) -> bytes:
        tpid, tci = self.tag or (0, 0)
        status = 1 | (VLAN_VALID if self.tag else 0) | (TPID_VALID if self.tag and tpid is not None else 0)
        seconds, nanoseconds = divmod(self.time_ns, 10**9)
        size = FRAME_AT + len(self.frame)
        following = size + -size % 16
        lengths = len(self.frame), len(self.frame) + self.cut
        head = struct.pack("<6I2H2IH", following, seconds, nanoseconds, *lengths, status, FRAME_AT, FRAME_AT + 14, 0, tci, tpid or 0)
        address = struct.pack("<HHiHBB8s", 17, 0, 1, 1, self.packet_type, 6, b"")
        return (head.ljust(48, b"\0") + address).ljust(FRAME_AT, b"\0") + self.frame + bytes(-size % 16)


class Blocks:
    """The ring with what the walk keeps from call to call."""

    def __init__(self, blocks: int = 4, block_bytes: int = 4096, trailer: bool = False, switch: bool = False) -> None:
        self.blocks, self.block_bytes = blocks, block_bytes
        self.how = trailer * kernel.TRAILER | switch * kernel.SWITCH
        self.ring = np.zeros(blocks * block_bytes, np.uint8)
        self.words = self.ring.view(np.uint32)
        self.cursor = np.zeros(kernel.CURSOR, np.int64)
        self.cursor[kernel.LEFT] = -1
        self.counts = np.zeros(kernel.COUNTS, np.int64)
        self.counts[[kernel.FIRST, kernel.LAST]] = -1
        self.seen = np.zeros((1, kernel.WINDOW // 64), np.uint64)
        self.next = 0

    def fill(self, *arrived: Arrived) -> None:
        """The next block, handed over with these frames in it."""
        assert not self.owned_by_reader(self.next), "the kernel would have dropped them"
        body = b"".join(a.packed() for a in arrived)
        data = struct.pack("<5I", 1, 0, 1, len(arrived), HEADER).ljust(HEADER, b"\0") + body
        assert len(data) <= self.block_bytes
        base = self.next * self.block_bytes
        self.ring[base : base + len(data)] = np.frombuffer(data, np.uint8)
        self.next = (self.next + 1) % self.blocks

    def owned_by_reader(self, block: int) -> bool:
        return bool(self.words[(block * self.block_bytes + 8) // 4] & 1)

    def read(self, rows: int = 1000) -> np.ndarray:
        out = np.zeros(rows, PACKET)
        n = kernel.walk(self.ring, self.words, self.block_bytes, self.blocks, self.cursor, self.counts, self.seen, self.how, out)
        return out[:n]

    def waiting(self) -> int:
        return kernel.waiting(self.words, self.block_bytes, self.blocks, self.cursor)
