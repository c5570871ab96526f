"""The pcapng format: sections of either byte order, several interfaces, every resolution of time."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.files.reader import READABLE, FrameReader
from bricks.kernels.parse.capture_walk import BLOCK_BYTES_MAX, DAMAGED, INTERFACE, MORE, OTHER, UNREADABLE, walk_pcapng
from bricks.kernels.parse.ethernet import LINKS
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.loss import LossWarning

MAGIC = bytes.fromhex("0a0d0d0a")
_SECTION, _INTERFACE, _STATISTICS, _SIMPLE, _OBSOLETE = 0x0A0D0D0A, 1, 5, 3, 2
_BYTE_ORDERS = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_READ = (_INTERFACE, _STATISTICS)  # held whole; other blocks without a packet are passed over, whatever their size
_END, _RESOLUTION, _OFFSET = 0, 9, 14  # options of an interface
_INTERFACE_DROPS, _SYSTEM_DROPS = 5, 7  # options of its statistics: packets that the interface, and the operating system, lost


class PcapngReader(FrameReader):
    """Reads blocks: packets in a kernel, descriptions of sections and interfaces here, others not at all."""

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        self._order, self._time = "<", 0
        self._room, self._known = np.zeros(8, INTERFACE), 0  # of the section: the first `_known` are described
        self._told: dict[int, int] = {}  # interface -> packets lost, as its statistics tell
        self._links: Counter[int] = Counter()  # of sections before: packets left out, by link type
        self._dropped = 0  # of sections before
        source.fill(12)
        if source.peek(12)[8:] not in _BYTE_ORDERS:
            raise CaptureError(f"capture {source.path} begins like pcapng, but its first block holds no byte order: the file is damaged")

    def walk(self, limit: int) -> tuple[int, int, int]:
        source = self.source
        form = (self._order == ">", self._room[: self._known], self._time)
        at, rows, why = walk_pcapng(source.buffer, source.start, source.stop, form, self.index, limit)
        if rows:
            self._time = int(self.index.times[rows - 1])
        return at, rows, why

    def proceed(self, why: int) -> bool:
        if why == UNREADABLE:
            return self._leave_out_block()
        return self._block() if why == OTHER else super().proceed(why)

    @property
    def warnings(self) -> list[str]:
        links, dropped = self._tally()
        found = super().warnings
        for link, count in sorted(links.items()):
            found.append(
                LossWarning(
                    f"capture {self.source.path}: {count:,} packet{'s are' if count > 1 else ' is'} left out, of link type {link}, "
                    f"which cannot be read ({READABLE})"
                )
            )
        if dropped:
            found.append(
                f"capture {self.source.path}: the program that captured tells that it lost {dropped:,} packets; they are not in the file"
            )
        return found

    def _tally(self) -> tuple[Counter[int], int]:
        """Packets left out by link type, and packets lost while capturing, of all sections so far."""
        links, dropped = self._links.copy(), self._dropped
        for number, one in enumerate(self._room[: self._known]):
            if one["left_out"]:
                links[int(one["link"])] += int(one["left_out"])
            dropped += max(int(one["dropped"]), self._told.get(number, 0))
        return links, dropped

    def _leave_out_block(self) -> bool:
        """Pass over a packet block whose length is sound and whose content is not."""
        block = self.source.peek(16)
        kind, size, number = struct.unpack_from(self._order + "III", block)
        if kind == _OBSOLETE:
            number = struct.unpack_from(self._order + "H", block, 8)[0]
        number = 0 if kind == _SIMPLE else number
        described = f"there {'is' if self._known == 1 else 'are'} {self._known} before it"
        wrong = (
            "holds more than it is long"
            if number < self._known
            else f"is of interface {number}, of which no description came ({described})"
        )
        self.leave_out(f"packet {self.packets + self._left_out + 1}, a block of {size} bytes", f"it {wrong}")
        return self.source.skip(size)

    def _block(self) -> bool:
        """Take in or pass over the block without a packet at the start of the window."""
        source = self.source
        head = source.peek(12)
        if head[:4] == MAGIC:
            if head[8:] not in _BYTE_ORDERS:
                return super().proceed(DAMAGED)
            self._links, self._dropped = self._tally()
            self._order, self._known = _BYTE_ORDERS[head[8:]], 0
            self._told.clear()
        kind, size = struct.unpack(self._order + "II", head[:8])
        if size < 12 or size % 4 or (kind in _READ and size > BLOCK_BYTES_MAX):
            return super().proceed(DAMAGED)
        if kind in _READ:
            if not source.fill(size):
                return super().proceed(MORE)
            self._describe(kind, source.peek(size))
        if not source.skip(size):
            self.stop("the file stops within a block")
        return True

    def _describe(self, kind: int, block: bytes) -> None:
        if kind == _INTERFACE:
            self._add(self._interface(block))
        elif len(block) >= 24:
            (number,) = struct.unpack_from(self._order + "I", block, 8)
            options = self._options(block[20:-4])
            counts = (options.get(code, b"") for code in (_INTERFACE_DROPS, _SYSTEM_DROPS))
            lost = sum(struct.unpack(self._order + "Q", count)[0] for count in counts if len(count) == 8)
            if number < self._known:
                self._told[number] = max(self._told.get(number, 0), lost)  # counted from the start of the capture

    def _add(self, described: np.ndarray) -> None:
        """One more interface: a file may describe as many as it has room for."""
        if self._known == len(self._room):
            self._room = np.concatenate([self._room, np.zeros_like(self._room)])
        self._room[self._known] = described[0]
        self._known += 1

    def _interface(self, block: bytes) -> np.ndarray:
        """An INTERFACE of an interface description block."""
        link, _, snap = struct.unpack_from(self._order + "HHI", block.ljust(20, b"\0"), 8)
        options = self._options(block[16:-4])
        resolution = options.get(_RESOLUTION, b"\6")[:1]
        offset = options.get(_OFFSET, b"").ljust(8, b"\0")[:8]
        times, parts, shift = _ticks(resolution[0] if resolution else 6, self.source.path)
        seconds = struct.unpack(self._order + "q", offset)[0]
        offset_ns = seconds * 10**9 if abs(seconds) < 1 << 33 else 0
        return np.array([(link, snap or 1 << 32, times, parts, shift, offset_ns, link in LINKS, 0, 0)], INTERFACE)

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
