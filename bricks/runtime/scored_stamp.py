"""How far an instance has scored, in a file that outlives its processes: one number, in memory that they share.

Whoever takes over from the instance reads it, and scores what comes after it. The number is written after the scores: so a death between
the two costs a repeat with the same bits, and no score.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path

import numpy as np

from lego_sdn.core.facts.errors import BrickError

_NUMBER = struct.Struct("<q")  # one more than the stamp; 0: nothing is scored yet


class ScoredStamp:
    """Writes the number. BrickError if the file cannot be had."""

    def __init__(self, path: str | Path) -> None:
        self._highest = -1
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(file, _NUMBER.size)
                self._memory = mmap.mmap(file, _NUMBER.size)
            finally:
                os.close(file)
        except OSError as error:
            raise BrickError(f"how far this instance has scored cannot be written to {path}: {error.strerror}") from error

    def note(self, head: np.ndarray) -> None:
        """These rows, PACKET [n] in the order of their stamps, have scores now."""
        if len(head):
            self._highest = max(self._highest, int(head["seq"][-1]))
            _NUMBER.pack_into(self._memory, 0, self._highest + 1)

    def close(self) -> None:
        self._memory.close()


def read_scored(path: str | Path) -> int:
    """The highest stamp that was scored; -1 if nothing was, or if nothing is known."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            data = os.read(file, _NUMBER.size)
        finally:
            os.close(file)
        if len(data) == _NUMBER.size:
            return max(-1, int(_NUMBER.unpack(data)[0]) - 1)
    return -1
