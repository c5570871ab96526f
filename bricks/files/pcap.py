"""The pcap format: both byte orders, micro- and nanoseconds."""

from __future__ import annotations

import struct

from bricks.files.byte_window import ByteWindow
from bricks.files.reader import FrameReader, check_link
from bricks.kernels.parse.capture_walk import AS_WRITTEN, HEADER, SORTED, SWAPPED, walk_pcap
from lego_sdn.core.facts.errors import CaptureError

_HEAD_BYTES = 24
# first four bytes -> (big-endian, nanoseconds in a unit of the fraction)
MAGICS = {
    bytes.fromhex("d4c3b2a1"): (False, 1000),
    bytes.fromhex("a1b2c3d4"): (True, 1000),
    bytes.fromhex("4d3cb2a1"): (False, 1),
    bytes.fromhex("a1b23c4d"): (True, 1),
}


class PcapReader(FrameReader):
    """Reads the 24-byte header, then records. A second header, where files were joined by `cat`, begins a second capture."""

    def __init__(self, source: ByteWindow) -> None:
        super().__init__(source)
        self._begin()

    def walk(self, limit: int) -> tuple[int, int, int]:
        source = self.source
        return walk_pcap(source.buffer, source.start, source.stop, self._form, self.index, limit)

    def proceed(self, why: int) -> bool:
        if why != HEADER:
            return super().proceed(why)
        try:
            self._begin()
        except CaptureError as refusal:
            self.stop(f"a second capture begins there, and it cannot be read: {refusal}")
        return True

    def _begin(self) -> None:
        """Take in the header at the start of the window."""
        source = self.source
        source.fill(_HEAD_BYTES)
        head = source.peek(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES:
            raise CaptureError(f"capture {source.path} is cut within its pcap header: {len(head)} of {_HEAD_BYTES} bytes are there")
        big, unit = MAGICS[head[:4]]
        major, minor, link = struct.unpack((">" if big else "<") + "HH12xI", head[4:])
        if major != 2:
            raise CaptureError(f"capture {source.path} is of pcap version {major}.{minor}, and only version 2 exists: the file is damaged")
        check_link(source.path, link & 0xFFFF)  # the upper bits tell of frame check sequences
        lengths = SWAPPED if minor < 3 else SORTED if minor == 3 else AS_WRITTEN
        self._form = (big, unit, link & 0xFFFF, lengths)
        source.skip(_HEAD_BYTES)
