"""Captures as packet records: pcap, pcapng, gzip of either, and the tshark tsv of Kitsune users, told apart by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from bricks.files.byte_window import ByteWindow
from bricks.files.pcap import MAGICS, PcapReader
from bricks.files.pcapng import MAGIC as PCAPNG_MAGIC
from bricks.files.pcapng import PcapngReader
from bricks.files.reader import Reader
from bricks.files.tsv import TsvReader
from bricks.records.packets import PACKET
from lego_sdn.core.facts.errors import CaptureError

BLOCK = 65_536  # records

Room = Callable[[], np.ndarray]  # PACKET rows to write the next block to

_KNOWN = {  # what people hand over by mistake, by its first bytes
    b"PK\3\4": "a zip archive",
    b"\xfd7zX": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
    b"snoop": "a snoop capture",
    b"\x34\xcd\xb2\xa1": "a pcap of the modified kind of 1999",
    b"\xa1\xb2\xcd\x34": "a pcap of the modified kind of 1999",
    b"\x93NUMPY": "a numpy array",
    b"\xff\xfe": "text in UTF-16; write it in UTF-8",
    b"\xfe\xff": "text in UTF-16; write it in UTF-8",
    b"f\0r\0": "text in UTF-16; write it in UTF-8",
    b"\0f\0r": "text in UTF-16; write it in UTF-8",
    b"\0\0\xfe\xff": "text in UTF-32; write it in UTF-8",
}


class Capture:
    """Iterate for blocks of records: PACKET arrays of up to `block` rows, in file order, `seq` from 0.

    truncated  None, or after iteration a sentence: at which byte and packet a cut or damaged file ended
    warnings   that, and what else was left out or is told by the file; a `LossWarning` where packets are not in the records
    packets    records delivered so far

    The file is read once, through a window of bounded size; use as a context manager, or `close`. Where a block goes is asked of `room`,
    if it is given: PACKET rows, as many as the block may have.
    """

    def __init__(self, reader: Reader, block: int = BLOCK, room: Room | None = None) -> None:
        self._reader = reader
        self._room = room or (lambda: np.empty(block, PACKET))

    @property
    def truncated(self) -> str | None:
        return self._reader.truncated

    @property
    def warnings(self) -> list[str]:
        return self._reader.warnings

    @property
    def packets(self) -> int:
        return self._reader.packets

    @property
    def window_bytes(self) -> int:
        """Memory of the window through which the file is read."""
        return len(self._reader.source.buffer)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            out, rows = self._room(), 0
            while rows < len(out) and (count := self._reader.read(out, rows)):
                rows += count
            if rows:
                yield out[:rows]
            if rows < len(out):
                return

    def close(self) -> None:
        self._reader.source.close()


def open_capture(path: str | Path, block: int = BLOCK, room: Room | None = None) -> Capture:
    """Open a capture of any known format; `CaptureError` if it is none, is empty, or cannot be read."""
    return Capture(open_reader(path), block, room)


def open_reader(path: str | Path) -> Reader:
    """The reader of the format that the file's first bytes show."""
    source = ByteWindow(path)
    try:
        source.fill(8)
        head = source.peek(16)
        if head[:4] in MAGICS:
            return PcapReader(source)
        if head[:4] == PCAPNG_MAGIC:
            return PcapngReader(source)
        if TsvReader.fits(source):
            return TsvReader(source)
        raise CaptureError(
            f"{source.path} is no capture: {_describe(source, head)}, and pcap, pcapng, gzip of these or a tshark tsv was expected"
        )
    except CaptureError:
        source.close()
        raise


def read_packets(paths: Iterable[str | Path], joined: bool = True) -> tuple[np.ndarray, list[str]]:
    """All records of several captures, PACKET [packets], and warnings, see `Capture`.

    With `joined`, each next capture is shifted in time to begin where the one before ended, so that they are one time line; `seq` runs on.
    """
    blocks: list[np.ndarray] = []
    warnings: list[str] = []
    seq, line = 0, TimeLine()
    for path in paths:
        with open_capture(path) as capture:
            for number, block in enumerate(capture):
                if joined:
                    line.place(block["time_ns"], begins=number == 0)
                if seq:
                    block["seq"] += np.uint64(seq)
                blocks.append(block)
            seq += capture.packets
            warnings += capture.warnings
    return np.concatenate(blocks) if blocks else np.zeros(0, PACKET), warnings


class TimeLine:
    """Several captures as one time line: each next one begins at the latest time before it."""

    def __init__(self) -> None:
        self._shift, self._latest = 0, None

    def place(self, times: np.ndarray, begins: bool) -> None:
        """Shift `times` (int64 nanoseconds, one block of a capture, its first if `begins`) in place."""
        if not len(times):
            return
        if begins and self._latest is not None:
            self._shift = self._latest - int(times[0])
        if self._shift:
            times += self._shift
        latest = int(times.max())
        self._latest = latest if self._latest is None else max(self._latest, latest)


def _describe(source: ByteWindow, head: bytes) -> str:
    if source.trouble:
        return source.trouble
    if not head:
        return "it is empty"
    for magic, what in _KNOWN.items():
        if head.startswith(magic):
            return f"it is {what}"
    return f"its first bytes are {head.hex(' ', 1)}"
