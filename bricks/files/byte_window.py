"""The bytes of a capture file, seen through a window of bounded size; gzip is unpacked on the way."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from lego_sdn.core.facts.errors import CaptureError

WINDOW = 1 << 20  # bytes; small enough to stay in the processor's cache between walking and parsing
_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"


class ByteWindow:
    """A window on a file: `buffer[start:stop]` are the bytes read and not yet used, `position` is that of `start` in the unpacked file.

    `trouble` says, once the end is reached, what is wrong with the file as such (damaged gzip data, an error of the disk).
    """

    def __init__(self, path: str | Path, window: int = WINDOW) -> None:
        self.path = str(path)
        self.buffer = np.zeros(window, np.uint8)
        self.start = self.stop = self.position = 0
        self.trouble: str | None = None
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise CaptureError(f"capture {self.path} cannot be opened: {error.strerror}") from error
        self._reader: _Plain | _Gzip = _Plain(self._file)
        self.fill(2)
        self.packed = self.peek(2) == _GZIP
        if self.packed:
            self._reader = _Gzip(self._file, self.peek(self.stop))
            self.start = self.stop = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def peek(self, count: int) -> bytes:
        """Up to `count` bytes from the start of the window, left where they are."""
        return self.buffer[self.start : min(self.stop, self.start + count)].tobytes()

    def use(self, at: int) -> None:
        """Move the start of the window to buffer index `at`."""
        self.position += at - self.start
        self.start = at

    def fill(self, wanted: int = 0) -> bool:
        """Read on until the window holds `wanted` bytes, or just more than before; False if the file ends before."""
        wanted = wanted or len(self) + 1
        self._make_room(wanted)
        while len(self) < wanted:
            try:
                count = self._reader.read_into(self.buffer[self.stop :])
            except _Damaged as damage:
                self.trouble, count = self.trouble or str(damage), 0
            if not count:
                return False
            self.stop += count
        return True

    def skip(self, count: int) -> bool:
        """Pass over `count` bytes, however many; False if the file ends before."""
        while count > len(self):
            count -= len(self)
            self.use(self.stop)
            if not self.fill():
                return False
        self.use(self.start + count)
        return True

    def end_line(self) -> None:
        """Put the newline that a text file lacks behind its last byte."""
        self._make_room(len(self) + 1)
        self.buffer[self.stop] = ord("\n")
        self.stop += 1

    def where(self) -> str:
        return f"byte {self.position}" + (" of the unpacked data" if self.packed else "")

    def close(self) -> None:
        self._file.close()

    def _make_room(self, wanted: int) -> None:
        if self.start + wanted <= len(self.buffer) and self.stop < len(self.buffer):
            return
        kept = self.buffer[self.start : self.stop].copy()
        if wanted > len(self.buffer):
            self.buffer = np.zeros(max(wanted, 2 * len(self.buffer)), np.uint8)
        self.buffer[: len(kept)] = kept
        self.start, self.stop = 0, len(kept)


class _Damaged(Exception):
    """The file as such cannot be read on; the text says why."""


class _Plain:
    def __init__(self, file) -> None:
        self._file = file

    def read_into(self, room: np.ndarray) -> int:
        try:
            return self._file.readinto(memoryview(room)) or 0
        except OSError as error:
            raise _Damaged(f"the file cannot be read on ({error.strerror})") from error


class _Gzip:
    """One or more gzip members, as `gzip` and `cat a.gz b.gz` write them."""

    def __init__(self, file, head: bytes) -> None:
        self._file, self._packed = file, head
        self._unpacker = zlib.decompressobj(wbits=31)

    def read_into(self, room: np.ndarray) -> int:
        while True:
            if self._unpacker.eof:
                self._packed = self._unpacker.unused_data.lstrip(b"\0")  # tapes pad with zeros
                if not self._packed and not self._more():
                    return 0
                self._unpacker = zlib.decompressobj(wbits=31)
            elif not self._packed and not self._more():
                raise _Damaged("its gzip data stop in the middle")
            data = self._unpack(len(room))
            if data:
                room[: len(data)] = np.frombuffer(data, np.uint8)
                return len(data)

    def _unpack(self, most: int) -> bytes:
        """Up to `most` bytes. What a failing call unpacked is lost: the call is made again for half as much, down to one byte."""
        while True:
            before = self._unpacker.copy()
            try:
                data = self._unpacker.decompress(self._packed, most)
            except zlib.error:
                self._unpacker, most = before, most // 2
                if not most:
                    return self._unpack_byte()
                continue
            self._packed = self._unpacker.unconsumed_tail
            return data

    def _unpack_byte(self) -> bytes:
        """The next byte, though what comes after it is damaged: what is packed is given piece by piece."""
        packed, self._packed = self._packed, b""
        try:
            for at in range(len(packed)):
                if data := self._unpacker.decompress(packed[at : at + 1], 1):
                    self._packed = self._unpacker.unconsumed_tail + packed[at + 1 :]
                    return data
        except zlib.error as error:
            raise _Damaged(_fault_of(error)) from error
        return b""

    def _more(self) -> bool:
        try:
            self._packed = self._file.read(_CHUNK) or b""
        except OSError as error:
            raise _Damaged(f"the file cannot be read on ({error.strerror})") from error
        return bool(self._packed)


def _fault_of(error: zlib.error) -> str:
    whole = "incorrect data check" in str(error) or "incorrect length check" in str(error)
    return "its gzip data do not match their checksum" if whole else "its gzip data are damaged"
