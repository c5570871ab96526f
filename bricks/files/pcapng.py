"""The pcapng format: sections of either byte order, several interfaces, every resolution of time."""

from __future__ import annotations

import struct

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.files.reader import FrameReader, check_link
from bricks.kernels.parse.capture_walk import DAMAGED, INTERFACE, OTHER, walk_pcapng
from bricks.kernels.parse.ethernet import LINKS
from lego_sdn.core.facts.errors import CaptureError

MAGIC = bytes.fromhex("0a0d0d0a")
_SECTION, _INTERFACE = 0x0A0D0D0A, 1
_BYTE_ORDERS = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_DESCRIPTION_BYTES_MAX = 1 << 16  # of a section or interface; other blocks are passed over, whatever their size
_LINKS = np.array(sorted(LINKS), np.int64)
_END, _RESOLUTION, _OFFSET = 0, 9, 14  # options of an interface


class PcapngReader(FrameReader):
    """Reads blocks: packets in a kernel, descriptions of sections and interfaces here, others not at all."""

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        self._order, self._time = "<", 0
        self._room, self._known = np.zeros(8, INTERFACE), 0  # of the section: the first `_known` are described
        self._has_unread = False  # some are of a link type that nothing here parses
        source.fill(12)
        if source.peek(12)[8:] not in _BYTE_ORDERS:
            raise CaptureError(f"capture {source.path} begins like pcapng, but its first block holds no byte order: the file is damaged")

    def walk(self, limit: int) -> tuple[int, int, int]:
        source = self.source
        form = (self._order == ">", self._room[: self._known], self._time)
        at, rows, why = walk_pcapng(source.buffer, source.start, source.stop, form, self.index, limit)
        if rows:
            self._time = int(self.index.times[rows - 1])
            if self._has_unread:
                for link in self.index.links[:rows][~np.isin(self.index.links[:rows], _LINKS)][:1].tolist():
                    check_link(source.path, link)
        return at, rows, why

    def proceed(self, why: int) -> bool:
        return self._block() if why == OTHER else super().proceed(why)

    def _block(self) -> bool:
        """Take in or pass over the block without a packet at the start of the window."""
        source = self.source
        head = source.peek(12)
        if head[:4] == MAGIC:
            if head[8:] not in _BYTE_ORDERS:
                return super().proceed(DAMAGED)
            self._order, self._known = _BYTE_ORDERS[head[8:]], 0
            self._has_unread = False
        kind, size = struct.unpack(self._order + "II", head[:8])
        if size < 12 or size % 4 or (kind in (_SECTION, _INTERFACE) and size > _DESCRIPTION_BYTES_MAX):
            return super().proceed(DAMAGED)
        if kind == _INTERFACE:
            if not source.fill(size):
                return super().proceed(0)
            self._add(self._interface(source.peek(size)))
        if not source.skip(size):
            self.stop("the file stops within a block")
        return True

    def _add(self, described: np.ndarray) -> None:
        """One more interface: a file may describe as many as it has room for."""
        if self._known == len(self._room):
            self._room = np.concatenate([self._room, np.zeros_like(self._room)])
        self._room[self._known] = described[0]
        self._known += 1
        self._has_unread |= int(described["link"][0]) not in LINKS

    def _interface(self, block: bytes) -> np.ndarray:
        """An INTERFACE of an interface description block."""
        link, _, snap = struct.unpack_from(self._order + "HHI", block.ljust(20, b"\0"), 8)
        options = self._options(block[16:-4])
        resolution = options.get(_RESOLUTION, b"\6")[:1]
        offset = options.get(_OFFSET, b"").ljust(8, b"\0")[:8]
        times, parts, shift = _ticks(resolution[0] if resolution else 6, self.source.path)
        seconds = struct.unpack(self._order + "q", offset)[0]
        offset_ns = seconds * 10**9 if abs(seconds) < 1 << 33 else 0
        return np.array([(link, snap or 1 << 32, times, parts, shift, offset_ns)], INTERFACE)

    def _options(self, data: bytes) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(data):
            code, size = struct.unpack_from(self._order + "HH", data, at)
            if code == _END:
                break
            found.setdefault(code, data[at + 4 : at + 4 + size])
            at += 4 + (size + 3) // 4 * 4
        return found


def _ticks(resolution: int, path: str) -> tuple[int, int, int]:
    """(times, parts, shift) of INTERFACE, of the option if_tsresol."""
    power = resolution & 0x7F
    if resolution & 0x80 and power < 64:
        return 0, 0, power
    if not resolution & 0x80 and power <= 28:
        return (10 ** (9 - power), 0, 0) if power <= 9 else (0, 10 ** (power - 9), 0)
    raise CaptureError(f"capture {path} has times in units of {2 if resolution & 0x80 else 10}^-{power} s: the file is damaged")
