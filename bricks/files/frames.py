"""The raw frames of captures, for replay: bytes as they were captured, on one time line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bricks.files.captures import TimeLine, open_reader
from bricks.files.reader import FrameReader
from bricks.kernels.parse.ethernet import ETHERNET, parse_frames
from bricks.records.packets import PACKET, STAMP_BYTES
from lego_sdn.core.facts.errors import CaptureError


class Frames(NamedTuple):
    """Frames in capture order; frame i is buffer[offsets[i] : offsets[i] + captured[i]].

    buffer    uint8 [bytes]
    offsets   int64 [frames]
    captured  uint32 [frames], bytes present
    lengths   uint32 [frames], bytes on the wire
    times_ns  int64 [frames], since the epoch
    warnings  see `Capture`
    """

    buffer: np.ndarray
    offsets: np.ndarray
    captured: np.ndarray
    lengths: np.ndarray
    times_ns: np.ndarray
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def stamped_packets(self) -> np.ndarray:
        """PACKET rows as the bricks get them when each frame has a stamp behind it, into which lengths in headers may reach."""
        rows, size = np.zeros(len(self), PACKET), np.uint32(STAMP_BYTES)
        parse_frames(self.buffer, self.offsets, self.captured, self.lengths + size, self.times_ns, rows)
        rows["length"] -= size
        return rows

    def tiled(self, count: int) -> Frames:
        """`count` frames: these again and again, their bytes held once; none if these are none."""
        rounds = -(-count // max(len(self), 1))
        return Frames(self.buffer, *(np.tile(column, rounds)[:count] for column in self[1:5]), self.warnings)


def read_frames(paths: Iterable[str | Path]) -> Frames:
    """All Ethernet frames of several captures (pcap, pcapng, gzip of these), each next one beginning where the one before ended.

    `CaptureError` for a tsv, which holds no frames, and for frames that are not Ethernet.
    """
    pieces, line = _Pieces(), TimeLine()
    warnings: list[str] = []
    for path in paths:
        reader = open_reader(path)
        try:
            if not isinstance(reader, FrameReader):
                raise CaptureError(f"capture {path} is a tsv, which holds no frames to replay: give the pcap or pcapng that it was made of")
            _collect(reader, line, pieces)
        finally:
            reader.source.close()
        warnings += reader.warnings
    return Frames(*pieces.joined(), tuple(warnings))


def _collect(reader: FrameReader, line: TimeLine, pieces: _Pieces) -> None:
    index, begins = reader.index, True
    while rows := reader.frames(len(index.offsets)):
        if (index.links[:rows] != ETHERNET).any():
            raise CaptureError(f"capture {reader.source.path} holds frames that are not Ethernet and cannot be sent into an interface")
        times = index.times[:rows]
        line.place(times, begins)
        begins = False
        first = int(index.offsets[0])
        last = int(index.offsets[rows - 1]) + int(index.captured[rows - 1])
        pieces.add(reader.source.buffer[first:last], index.offsets[:rows] - first, index.captured[:rows], index.lengths[:rows], times)


class _Pieces:
    """What was collected so far; the headers between the frames stay in the buffer."""

    def __init__(self) -> None:
        self._columns: tuple[list[np.ndarray], ...] = ([], [], [], [], [])
        self._bytes = 0

    def add(self, buffer: np.ndarray, offsets: np.ndarray, *others: np.ndarray) -> None:
        """Copy what the reader is about to overwrite."""
        for column, values in zip(self._columns, (buffer, offsets + self._bytes, *others), strict=True):
            column.append(values.copy())
        self._bytes += len(buffer)

    def joined(self) -> list[np.ndarray]:
        kinds = ("u1", "i8", "u4", "u4", "i8")
        return [np.concatenate(column) if column else np.zeros(0, kind) for column, kind in zip(self._columns, kinds, strict=True)]
