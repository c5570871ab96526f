"""Files of scores: what an instance gave each packet, for comparison with an unsplit run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from bricks.records.brick import Batch
from lego_sdn.adapters.linux import owned
from lego_sdn.core.facts.errors import BrickError, CaptureError, HostError

SCORE = np.dtype([("seq", "<u8"), ("time_ns", "<i8"), ("score", "<f8"), ("src_hi", "<u8"), ("src_lo", "<u8"), ("flags", "<u4")])
_FROM_HEAD = ("seq", "time_ns", "src_hi", "src_lo", "flags")


def records_of(batch: Batch) -> np.ndarray:
    """SCORE [n] of rows with their scores, the first column of float64 [n, 1 or more]."""
    if batch.values is None or batch.values.ndim != 2 or len(batch.values) != len(batch) or not batch.values.shape[1]:
        raise BrickError(f"scores must be one value or more for each row, not {None if batch.values is None else batch.values.shape}")
    records = np.empty(len(batch), SCORE)
    for name in _FROM_HEAD:
        records[name] = batch.head[name]
    records["score"] = batch.values[:, 0]
    return records


class ScoreFile:
    """Appends SCORE records, a batch at a time, so that a killed process loses none that it gave."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._file = owned.append_to(path)
            self._cut()
        except HostError as error:
            raise BrickError(f"scores cannot be written to {path}: {error}; name another file, or none") from error

    def _cut(self) -> None:
        """A record that a crash cut short goes: what comes after it would not be read as it is."""
        there = os.fstat(self._file)
        if stat.S_ISREG(there.st_mode) and there.st_size % SCORE.itemsize:
            os.ftruncate(self._file, there.st_size // SCORE.itemsize * SCORE.itemsize)

    def append(self, batch: Batch) -> None:
        """Write the scores of a batch: values float64 [n, 1] with their rows. BrickError if the disk does not take them."""
        data = records_of(batch).tobytes()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise BrickError(f"scores cannot be written to {self.path}: {error.strerror}; make room, or start without scores") from error

    def close(self) -> None:
        os.close(self._file)


def read_scores(path: str | Path) -> np.ndarray:
    """The SCORE records of a file; a record that a crash cut short is left out. CaptureError if there is no such file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CaptureError(f"scores {path} cannot be read: {error.strerror}") from error
    return np.frombuffer(data[: len(data) // SCORE.itemsize * SCORE.itemsize], SCORE)
