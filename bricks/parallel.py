"""Scoring one capture with several processes, with the bits of one.

This process reads and splits: by source, with shadows to the owner of the destination, as the live system does (LEGO paper, section III-A).
Each worker extracts the features of its sources. Scoring needs no state, so a worker with fewer packets also scores for others;
who does what is settled per block from the costs measured so far. Blocks lie in memory shared by all, which has no name and
goes when its processes go.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bricks.crew_plan import ROWS, SLOTS, Costs, Part, new_lanes, new_slot, parts_of
from bricks.feature_quantization import LAYOUTS
from bricks.offline import Scored, Scoring, Summary, note_evictions, read_blocks, zero_skipped
from bricks.partition import NOBODY, Partition
from lego_sdn.core.errors import LegoError


def splits_exactly(layout: str) -> bool:
    """Whether a split by source, with shadows to the owner of the destination, keeps every bit: derived from the declaration."""
    from bricks.nfs.kitsune_declaration import EXTRACTORS
    from lego_sdn.core.granularity import split_plan
    from lego_sdn.core.headers import SRC_IP

    plan = split_plan(EXTRACTORS[layout], SRC_IP, ())
    return not plan.approximate and not plan.rounding and set(plan.shadows) <= {("dst_ip",)}


def score_in_parallel(paths: list[str | Path], scoring: Scoring, summary: Summary) -> Scored:
    """As `bricks.offline.score_here`, by `scoring.workers` processes."""
    if not 2 <= scoring.workers < NOBODY:
        raise LegoError(f"--workers is {scoring.workers}; it must be 1 to {NOBODY - 1}")
    with Crew(scoring) as crew:
        for rows in read_blocks(paths, summary, ROWS):
            if crew.full:
                yield crew.oldest()
            crew.give(rows)
        while crew.busy:
            yield crew.oldest()
        note_evictions(crew.counters, summary)


class Crew:
    """The workers, and the blocks that they work on, oldest first."""

    def __init__(self, scoring: Scoring) -> None:
        from bricks.worker import Seat, warm_up, work

        warm_up(scoring)  # compiled code is inherited
        layout, workers = scoring.model.layout, scoring.workers
        self._partition = Partition(workers, whole=not splits_exactly(layout))
        self._scoring, self._costs = scoring, Costs()
        self._slots = [new_slot() for _ in range(SLOTS)]
        self._under_way: deque[tuple[int, int]] = deque()  # (slot, rows)
        self._answers: list[set[int]] = [set() for _ in range(SLOTS)]
        self._next, self.counters = 0, dict[str, int]()
        fork = mp.get_context("fork")
        lanes = new_lanes(workers, LAYOUTS[layout], fork)
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(workers):
            here, there = fork.Pipe()
            seat = Seat(number, there, self._slots, lanes, os.getpid())
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

    def give(self, rows: np.ndarray) -> None:
        """Hand a block out; only if not `full`."""
        number, slot = self._next, self._slots[self._next]
        self._next = (number + 1) % SLOTS
        owner, target = self._partition.owners(rows)
        slot.packets[: len(rows)], slot.owner[: len(rows)], slot.target[: len(rows)] = rows, owner, target
        slot.scores[: len(rows)] = 0.0  # shadows that the capture itself holds are not scored
        self._under_way.append((number, len(rows)))
        self._answers[number].clear()
        parts = parts_of(slot, (number, len(rows)), len(self._pipes), self._costs)
        for worker, part in enumerate(parts):
            self._send(worker, part)

    def oldest(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scores of the oldest block, when it is done; they lie in its slot, so they are valid until a block is given out."""
        number, rows = self._under_way[0]
        while len(self._answers[number]) < len(self._pipes):
            self._hear()
        self._under_way.popleft()
        packets, scores = self._slots[number].packets[:rows], self._slots[number].scores[:rows]
        zero_skipped(scores, int(packets["seq"][0]), self._scoring.skip)
        return packets, scores

    def _send(self, number: int, part: Part) -> None:
        try:
            self._pipes[number].send(part)
        except OSError:
            self._listen(number)  # its last word may be there
            self._raise(number)

    def _hear(self) -> None:
        """Take in the answers that are there; wait for one."""
        for ready in wait(self._pipes):
            self._listen(self._pipes.index(ready))

    def _listen(self, number: int) -> None:
        """Take in one answer of a worker: its part is done, or why it cannot go on."""
        try:
            answer = self._pipes[number].recv()
        except (EOFError, OSError):
            self._raise(number)
        if isinstance(answer, str):
            raise LegoError(f"scoring worker {number}: {answer}")
        self._answers[answer.slot].add(number)
        self._costs.learn(*answer.cost)
        self.counters.update({f"{name}_{number}": count for name, count in answer.counters.items()})

    def _raise(self, number: int) -> NoReturn:
        process = self._processes[number]
        process.join(5)
        raise LegoError(f"scoring worker {number} (process {process.pid}) ended with exit code {process.exitcode}; use fewer --workers")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
            process.close()
