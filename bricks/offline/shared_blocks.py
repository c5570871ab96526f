"""Memory that the processes of a parallel scoring run share (`bricks.offline.parallel`). It has no name, so it ends with the processes."""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import numpy as np

from bricks.explanation.shares import EXPLAINED
from bricks.kernels.transport.worker_pick import BATCH
from bricks.records.packets import PACKET

ROWS = 32_768  # of a block
SLOTS = 6  # blocks under way: enough that nobody waits for the reader


class Slot(NamedTuple):
    """One block.

    packets, scores  row by row
    owner, target    the workers of each row's source and destination
    left             [1]: rows to be scored, and workers that have yet to take out what is theirs
    explained        EXPLAINED row by row, of alerts; no rows if they are not explained
    """

    packets: np.ndarray
    scores: np.ndarray
    owner: np.ndarray
    target: np.ndarray
    left: np.ndarray
    explained: np.ndarray


def new_slot(explain: bool = False) -> Slot:
    rows = (_shared((ROWS,), kind) for kind in (PACKET, "f8", "u1", "u1"))
    return Slot(*rows, _shared((1,), "i8"), _shared((ROWS,), EXPLAINED) if explain else np.empty(0, EXPLAINED))


class Chunk(NamedTuple):
    """Up to BATCH rows of a block, extracted and to be scored.

    slot, rows  [1], each: which block, how many
    places      of the rows in the block
    features    [BATCH, width]
    """

    slot: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    features: np.ndarray


def new_chunk(width: int) -> Chunk:
    return Chunk(_shared((1,), "i8"), _shared((1,), "i8"), _shared((BATCH,), "i4"), _shared((BATCH, width), "f8"))


class Pool:
    """Chunks on their way from who extracted them to who scores them.

    Two pipes hold their numbers, a byte each: those that are free and those that wait to be scored. The operating system gives each byte to
    one reader, whoever comes first. Readable (`fileno`) when a chunk waits.
    """

    def __init__(self, chunks: int, width: int) -> None:
        """Up to 256 chunks."""
        self.chunks = [new_chunk(width) for _ in range(chunks)]
        self._free, self._waiting = os.pipe2(os.O_NONBLOCK), os.pipe2(os.O_NONBLOCK)
        os.write(self._free[1], bytes(range(chunks)))

    def free(self) -> int | None:
        """The number of a chunk to be written, if one is free."""
        return _next(self._free[0])

    def give(self, number: int) -> None:
        """It is written: whoever has time may score it."""
        os.write(self._waiting[1], bytes((number,)))

    def take(self) -> int | None:
        """The number of a chunk to be scored, if one waits."""
        return _next(self._waiting[0])

    def release(self, number: int) -> None:
        """It is scored."""
        os.write(self._free[1], bytes((number,)))

    def fileno(self) -> int:
        return self._waiting[0]

    def close(self) -> None:
        for end in (*self._free, *self._waiting):
            os.close(end)


def _next(pipe: int) -> int | None:
    try:
        return os.read(pipe, 1)[0]
    except BlockingIOError:
        return None


def _shared(shape: tuple[int, ...], kind: np.dtype | str) -> np.ndarray:
    """An array that forked processes share; memory is taken when it is used."""
    kind = np.dtype(kind)
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)
