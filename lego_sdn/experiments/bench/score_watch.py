"""Scores as they leave running instances: pipes in the place of their files, read by a thread that notes when each score came."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bricks.files.scores import SCORE
from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.bench.latency import score_pipe

SEEN = np.dtype([*SCORE.descr, ("seen_ns", "<i8")])
LOOK_MS = 50
PATIENCE_S, STILL_S = 120.0, 10.0  # only waited for where a score is missing: a slow machine must not count as a loss


class ScoreWatch:
    """A context manager. `folder` and the names of the score files of the instances that are started afterwards."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder, self.names = folder, names
        self._parts: list[np.ndarray] = []
        self._over = threading.Event()
        self._rest = ExitStack()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> ScoreWatch:
        self.folder.mkdir()
        with ExitStack() as stack:
            self._pipes = {stack.enter_context(score_pipe(self.folder / name)): b"" for name in self.names}
            stack.callback(self._thread.join)
            stack.callback(self._over.set)
            self._thread.start()
            self._rest = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    def take(self, first: int, count: int) -> np.ndarray:
        """SEEN records of the `count` stamps from `first` on, as far as they come; waits for them. HostError if none comes."""
        deadline, still, had = time.monotonic() + PATIENCE_S, time.monotonic() + STILL_S, -1
        while time.monotonic() < min(deadline, still):
            found = self._those(first, count)
            if len(found) >= count:
                break
            if len(found) != had:
                still, had = time.monotonic() + STILL_S, len(found)
            self._over.wait(LOOK_MS / 1e3)
        found = self._those(first, count)
        if not len(found):
            raise HostError(f"no score of {count} packets came within {STILL_S:g} s")
        return found

    def _those(self, first: int, count: int) -> np.ndarray:
        every = np.concatenate([np.empty(0, SEEN), *list(self._parts)])
        return every[(every["seq"] >= first) & (every["seq"] < first + count)]

    def _read(self) -> None:
        door = select.poll()
        for pipe in self._pipes:
            door.register(pipe, select.POLLIN)
        while not self._over.is_set():
            rung = [pipe for pipe, event in door.poll(LOOK_MS) if event & select.POLLIN]
            for pipe in rung:
                self._take(pipe)
            if not rung:
                self._over.wait(0.001)  # a pipe without a writer rings all the time

    def _take(self, pipe: int) -> None:
        try:
            data = self._pipes[pipe] + os.read(pipe, 1 << 20)
        except BlockingIOError:
            return
        now = time.time_ns()
        whole = len(data) // SCORE.itemsize * SCORE.itemsize
        records = np.empty(whole // SCORE.itemsize, SEEN)
        for name in SCORE.names or ():
            records[name] = np.frombuffer(data[:whole], SCORE)[name]
        records["seen_ns"] = now
        self._pipes[pipe] = data[whole:]
        if len(records):
            self._parts.append(records)
