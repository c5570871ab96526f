"""Scoring one capture with several processes, with the bits of one.

This process reads and splits by the NF's split key, with its shadows, as the live system does (LEGO paper, section III-A).
Each worker extracts the features of its keys. Scoring needs no state: as long as there is room for chunks that wait to be scored, a
worker leaves them to whoever is idle, else it scores them itself. So all have the same to do, with no plan and no measured costs.
"""

from __future__ import annotations

import multiprocessing as mp
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bricks.feature_quantization import LAYOUTS
from bricks.offline.scoring import CaptureSummary, Scored, ScoredBlock, Scoring, note_evictions, read_blocks, zero_skipped
from bricks.offline.shared_blocks import SLOTS, Pool, new_slot
from bricks.offline.source_partition import NOBODY, Partition
from bricks.records.packets import SHADOW
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.nf.split_key import SplitKey, split_key

CHUNKS = 3  # for each worker: one is written, one waits, one is scored


def key_of(layout: str) -> SplitKey:
    """The split key of Kitsune with these features."""
    from bricks.nfs.registry import load

    return split_key(load("kitsune").extractor(layout))


def score_in_parallel(paths: list[str | Path], scoring: Scoring, summary: CaptureSummary) -> Scored:
    """As `bricks.offline.scoring.score_here`, by `scoring.workers` processes."""
    if not 2 <= scoring.workers < NOBODY:
        raise LegoError(f"--workers is {scoring.workers}; it must be 1 to {NOBODY - 1}")
    with ScoringWorkers(scoring) as crew:
        for rows in read_blocks(paths, summary, room=crew.room):
            crew.give(rows)
            if crew.full:
                yield crew.oldest()
        while crew.busy:
            yield crew.oldest()
        note_evictions(crew.counters(), summary)


class ScoringWorkers:
    """The workers, and the blocks that they work on, oldest first."""

    def __init__(self, scoring: Scoring) -> None:
        from bricks.offline.worker import Seat, warm_up, work

        warm_up(scoring)  # compiled code is inherited
        layout, workers = scoring.model.layout, scoring.workers
        self._partition = Partition(workers, key_of(layout))
        self._skip = scoring.skip
        self._slots = [new_slot(scoring.explain) for _ in range(SLOTS)]
        self._pool = Pool(min(CHUNKS * workers, 256), LAYOUTS[layout])
        self._under_way: deque[tuple[int, int]] = deque()  # (slot, rows)
        self._done: set[int] = set()
        self._counters: list[dict[str, int]] = [{} for _ in range(workers)]
        self._next = 0
        fork = mp.get_context("fork")
        lock = fork.Lock()
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(workers):
            here, there = fork.Pipe()
            seat = Seat(number, there, self._slots, self._pool, lock)
            process = fork.Process(target=work, args=(seat, scoring, [*self._pipes, here]), name=f"lego-score-{number}", daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    @property
    def full(self) -> bool:
        return len(self._under_way) == SLOTS

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    def room(self) -> np.ndarray:
        """Where the next block is to be read to; only if not `full`."""
        return self._slots[self._next].packets

    def give(self, rows: np.ndarray) -> None:
        """Hand out the block that was read to `room`."""
        number, slot, count = self._next, self._slots[self._next], len(rows)
        self._next = (number + 1) % SLOTS
        slot.owner[:count], slot.target[:count] = self._partition.owners(rows)
        slot.scores[:count] = 0.0  # shadows that the capture itself holds are not scored
        slot.left[0] = np.count_nonzero(rows["flags"] & SHADOW == 0) + len(self._pipes)
        self._under_way.append((number, count))
        for worker in range(len(self._pipes)):
            self._send(worker, (number, count))

    def oldest(self) -> ScoredBlock:
        """The oldest block, when it is done; they lie in its slot, so they are valid until the next block is read."""
        number, rows = self._under_way[0]
        while number not in self._done:
            self._hear()
        self._done.remove(number)
        self._under_way.popleft()
        slot = self._slots[number]
        packets, scores = slot.packets[:rows], slot.scores[:rows]
        zero_skipped(scores, int(packets["seq"][0]), self._skip)
        return ScoredBlock(packets, scores, slot.explained[:rows] if len(slot.explained) else None)

    def counters(self) -> dict[str, int]:
        """Of the extractors of all workers, by name and worker; when no block is under way."""
        for worker in range(len(self._pipes)):
            self._send(worker, None)
        while not all(self._counters):
            self._hear()
        return {f"{name}_{worker}": count for worker, counters in enumerate(self._counters) for name, count in counters.items()}

    def _send(self, number: int, message: tuple[int, int] | None) -> None:
        try:
            self._pipes[number].send(message)
        except OSError:
            self._listen(number)  # its last word may be there
            self._raise(number)

    def _hear(self) -> None:
        """Take in the answers that are there; wait for one."""
        for ready in wait(self._pipes):
            self._listen(self._pipes.index(ready))

    def _listen(self, number: int) -> None:
        """Take in one answer of a worker: the slot of a block that is done, its counters, or why it cannot go on."""
        try:
            answer = self._pipes[number].recv()
        except (EOFError, OSError):
            self._raise(number)
        if isinstance(answer, str):
            raise LegoError(f"scoring worker {number}: {answer}")
        if isinstance(answer, dict):
            self._counters[number] = answer
        else:
            self._done.add(answer)

    def _raise(self, number: int) -> NoReturn:
        process = self._processes[number]
        process.join(5)
        raise LegoError(f"scoring worker {number} (process {process.pid}) ended with exit code {process.exitcode}; use fewer --workers")

    def __enter__(self) -> ScoringWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        self._pool.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
            process.close()
