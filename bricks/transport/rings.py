"""Rings: batches from one process to one other through shared memory, with a doorbell for each side's sleep.

A ring is a folder (`ring_place`) with the ring itself and two FIFOs. Whoever of its two users comes first makes it, so
that neither has to wait for the other to start; its reader removes it when it ends in order, and what a killed process
leaves is removed by name. A lock that the system drops with its holder keeps a second reader or writer out, and tells
whether the peer lives. A process that is started anew goes on where the ring stands.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import struct
import time
from pathlib import Path

import numpy as np

from bricks.kernels.transport import ring as kernel
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.transport.ring_place import ATTEMPTS, make_parent, names, place_of, remove
from lego_sdn.core.facts.errors import BrickError

__all__ = ["RingReader", "RingWriter", "make", "names", "remove"]
SLOTS, WIDEST = 32, 128  # slots of a ring, and columns that its slots have room for
MAGIC = 0x4C45474F52494E33  # "LEGORIN3"
WRITER, READER = 0, 1  # the byte of the file that each side locks
_LOCK = "hhqqi4x"  # struct flock of 64-bit Linux
_WORD_COLUMNS = PACKET.itemsize // 8
_NOTHING = np.empty((0, 0))


class _End:
    """One side of a ring: its memory, its lock, and the doorbells `bell` (rung for the reader) and `room` (for the writer)."""

    def __init__(self, name: str, rows: int, slots: int, side: int) -> None:
        self.name, self.path = name, place_of(name)
        make(name, rows, slots)
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        self._files = [os.open(self.path / part, flags) for part in ("ring", "bell", "room")]
        self._file, self._bell, self._room = self._files
        self._map = mmap.mmap(self._file, 0)
        try:
            self._lay_out(rows)
            if not self._lock(side):
                raise BrickError(f"ring {name} has a {('writer', 'reader')[side]} already; stop it, or give the brick another ring")
        except BrickError:
            self.close()
            raise

    def _lay_out(self, rows: int) -> None:
        words = np.frombuffer(self._map, np.int64, kernel.WORDS)
        if words[kernel.MAGIC] != MAGIC or os.fstat(self._file).st_uid != os.geteuid():
            raise BrickError(f"{self.path} is no ring of this version and user; remove it")
        self.slots, self.rows, self.width = (int(words[index]) for index in (kernel.SLOTS, kernel.ROWS, kernel.WIDTH))
        if self.rows < rows:
            raise BrickError(
                f"ring {self.name} takes batches of {self.rows} rows, not {rows}; give all processes of an instance one batch limit"
            )
        table = np.frombuffer(self._map, np.int64, self.slots * kernel.ENTRY, words.nbytes).reshape(self.slots, kernel.ENTRY)
        heads = np.frombuffer(self._map, np.uint64, self.slots * self.rows * _WORD_COLUMNS, words.nbytes + table.nbytes)
        start = words.nbytes + table.nbytes + heads.nbytes
        cells = np.frombuffer(self._map, np.float64, self.slots * self.rows * self.width, start)
        self.words, self.table = words, table
        self.heads, self.cells = heads.reshape(self.slots, self.rows, _WORD_COLUMNS), cells.reshape(self.slots, -1)

    def _lock(self, side: int, command: int = fcntl.F_OFD_SETLK) -> bool:
        """Lock this side's byte of the file, or (F_OFD_GETLK) ask whether it could be locked."""
        wanted = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, side, 1, 0)
        try:
            found = fcntl.fcntl(self._file, command, wanted)
        except BlockingIOError:
            return False
        return command == fcntl.F_OFD_SETLK or struct.unpack(_LOCK, found)[0] == fcntl.F_UNLCK

    @property
    def queued_rows(self) -> int:
        """Rows written and not released."""
        read = kernel.peek(self.words, kernel.ROWS_READ)
        return max(0, kernel.peek(self.words, kernel.ROWS_WRITTEN) - read)

    @property
    def queued(self) -> int:
        """Batches written and not released."""
        tail = kernel.peek(self.words, kernel.TAIL)
        return max(0, kernel.peek(self.words, kernel.HEAD) - tail)

    @property
    def next_written(self) -> int:
        """The row number that follows the last batch written."""
        return kernel.peek(self.words, kernel.NEXT_WRITTEN)

    @property
    def next_wanted(self) -> int:
        """The row number that the reader wanted next when it last released a batch."""
        return kernel.peek(self.words, kernel.NEXT_READ)

    def close(self) -> None:
        """Let go of the ring and of its lock; it stays for its other side. Views of its slots must be gone."""
        for name in ("words", "table", "heads", "cells", "_batches"):
            self.__dict__.pop(name, None)
        for file in self._files:
            os.close(file)
        self._files = []
        with contextlib.suppress(BufferError):  # somebody still looks at a slot: the memory goes with the last view
            self._map.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {f'queued={self.queued}/{self.slots}' if self._files else 'closed'}>"


class RingWriter(_End):
    """The writing side. `fileno()` is readable when the reader made room after `wait_for_room()`."""

    def __init__(self, name: str, rows: int, slots: int = SLOTS) -> None:
        super().__init__(name, rows, slots, WRITER)

    def fileno(self) -> int:
        return self._room

    @property
    def has_room(self) -> bool:
        return self.queued < self.slots and not kernel.peek(self.words, kernel.CLOSED)

    @property
    def reader_lives(self) -> bool:
        return not self._lock(READER, fcntl.F_OFD_GETLK)

    def put(self, batch: Batch, ticket: SequenceRange) -> bool:
        """Copy the batch into the ring; False if it is full, or its reader has ended. BrickError if the batch is too large."""
        values = _NOTHING[:, :0] if batch.values is None else np.ascontiguousarray(batch.values, np.float64)
        if len(batch) > self.rows or values.shape[1] > self.width:
            raise BrickError(f"ring {self.name} takes {self.rows} rows of {self.width} values, not {len(batch)} of {values.shape[1]}")
        head = np.ascontiguousarray(batch.head).view(np.uint64).reshape(len(batch), _WORD_COLUMNS)
        done = kernel.put(self.words, self.table, self.heads, self.cells, _stamped(ticket), (head, values))
        if done == kernel.WAKE:
            _ring(self._bell)
        return done != kernel.FULL

    def wait_for_room(self) -> bool:
        """Ask to be rung when there is room; True if there is some already."""
        kernel.announce(self.words, kernel.WRITER_WAITS, 1)
        return self.has_room

    def awake(self) -> None:
        """No ringing from here on."""
        kernel.announce(self.words, kernel.WRITER_WAITS, 0)
        _silence(self._room)


class RingReader(_End):
    """The reading side. `fileno()` is readable when a batch came after `sleep()`."""

    def __init__(self, name: str, rows: int, slots: int = SLOTS) -> None:
        super().__init__(name, rows, slots, READER)
        kernel.announce(self.words, kernel.CLOSED, 0)
        self._batches = [(heads.view(PACKET)[:, 0], cells) for heads, cells in zip(self.heads, self.cells, strict=True)]

    def fileno(self) -> int:
        return self._bell

    @property
    def writer_lives(self) -> bool:
        return not self._lock(WRITER, fcntl.F_OFD_GETLK)

    def peek(self) -> tuple[Batch, SequenceRange] | None:
        """The oldest batch, in place: its arrays lie in the ring and are valid until `release()`. None: there is none."""
        if not kernel.ready(self.words):
            return None
        slot = int(self.words[kernel.TAIL]) % self.slots
        count, columns, *ticket = self.table[slot, : kernel.TICKET + kernel.TICKET_WORDS].tolist()
        heads, cells = self._batches[slot]
        values = cells[: count * columns].reshape(count, columns) if columns else None
        return Batch(heads[:count], values), SequenceRange(*ticket)

    def release(self, done: int) -> None:
        """Give the oldest batch's slot back. `done`: the row number wanted next, for a reader that takes over."""
        if kernel.release(self.words, self.table, done):
            _ring(self._room)

    def sleep(self) -> bool:
        """Ask to be rung when a batch comes; True if one is there already."""
        kernel.announce(self.words, kernel.READER_SLEEPS, 1)
        return kernel.ready(self.words) > 0

    def awake(self) -> None:
        """No ringing from here on."""
        kernel.announce(self.words, kernel.READER_SLEEPS, 0)
        _silence(self._bell)

    def end(self) -> None:
        """Close the ring for good and remove it: nothing more is taken from it."""
        kernel.announce(self.words, kernel.CLOSED, 1)
        self.close()
        with contextlib.suppress(OSError):
            remove(self.name)


def _stamped(ticket: SequenceRange) -> tuple[int, ...]:
    """A plain tuple, which the kernel is compiled for; what goes into a ring waits there from now on."""
    return *ticket[:3], time.monotonic_ns(), *ticket[4:]


def make(name: str, rows: int, slots: int = SLOTS, width: int = WIDEST) -> None:
    """Make the ring if it does not exist: `slots` batches of up to `rows` rows and `width` values each. Memory is taken on use."""
    for _ in range(ATTEMPTS):
        make_parent(name)
        with contextlib.suppress(FileNotFoundError):  # the folder of the run went with what was its last ring
            return _make(place_of(name), (rows, slots, width))
    raise BrickError(f"ring {name} cannot be made: its folder is removed again and again")


def _make(path: Path, form: tuple[int, int, int]) -> None:
    if path.is_dir():
        return
    rows, slots, width = form
    unborn = path.with_name(f"{path.name}.new.{os.getpid()}")
    shutil.rmtree(unborn, ignore_errors=True)
    os.mkdir(unborn, 0o700)
    words = np.zeros(kernel.WORDS, np.int64)
    words[[kernel.MAGIC, kernel.SLOTS, kernel.ROWS, kernel.WIDTH]] = MAGIC, slots, rows, width
    with open(os.open(unborn / "ring", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(words.tobytes())
        file.truncate(words.nbytes + slots * (8 * kernel.ENTRY + rows * (PACKET.itemsize + 8 * width)))
    for bell in ("bell", "room"):
        os.mkfifo(unborn / bell, 0o600)
    try:
        os.rename(unborn, path)  # one of several makers succeeds
    except OSError:
        shutil.rmtree(unborn)
        if not path.is_dir():
            raise


def _ring(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full: it has been rung often enough
        os.write(bell, b"\0")


def _silence(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(bell, 4096)
