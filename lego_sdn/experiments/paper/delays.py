"""How long packets take from the interface to their score, by the files of scores that instances write, read as they grow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bricks.files.scores import SCORE

EVERY_S = 0.05  # between two looks: a delay is known this well


@dataclass(frozen=True)
class Window:
    """Some time of a run: when it ended (seconds of the run), packets scored in it, and the delay that 99 % of them kept, in ms."""

    at: float
    scored: int
    delay_ms: float


class Delays:
    """Follows the files in a folder. Packets must carry the time of their arrival, the kernel's stamp."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def look(self) -> np.ndarray:
        """Delays of the packets scored since the last look, in ms: float64 [packets]."""
        found = [np.zeros(0)]
        for path in sorted(self._folder.glob("*.scores")):
            at = self._read.get(path, 0)
            with path.open("rb") as file:
                file.seek(at)
                data = file.read()
            whole = len(data) // SCORE.itemsize * SCORE.itemsize
            self._read[path] = at + whole
            found.append((time.time_ns() - np.frombuffer(data[:whole], SCORE)["time_ns"]) / 1e6)
        return np.concatenate(found)


def window(at: float, delays: list[np.ndarray]) -> Window:
    """From the looks of some time; where nothing was scored the delay is 0."""
    seen = np.concatenate([np.zeros(0), *delays])
    return Window(at, len(seen), float(np.percentile(seen, 99)) if len(seen) else 0.0)
