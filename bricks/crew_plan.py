"""How the blocks of a parallel scoring run are laid out in shared memory and shared out over the workers; see `bricks.parallel`."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bricks.kernels.crew import count
from bricks.packets import PACKET
from bricks.partition import SHADOW_COST

ROWS = 16_384  # of a block
BATCH = 512  # rows that pass through the chain of bricks while they are in the cache
SLOTS = 4  # blocks under way: enough that nobody waits for the reader, few enough to stay within 80 MB


class Slot(NamedTuple):
    """One block in shared memory.

    packets, scores  row by row
    owner, target    the workers of each row's source and destination
    places, features of the rows to be scored, worker after worker: where in the block each is, and its features if another
                     worker scores it than extracts it
    """

    packets: np.ndarray
    owner: np.ndarray
    target: np.ndarray
    places: np.ndarray
    features: np.ndarray
    scores: np.ndarray


def new_slot(width: int) -> Slot:
    fields = [(PACKET, ()), ("u1", ()), ("u1", ()), ("i4", ()), ("f8", (width,)), ("f8", ())]
    return Slot(*(_shared((ROWS, *shape), np.dtype(kind)) for kind, shape in fields))


def _shared(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """An array that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)


@dataclass(frozen=True)
class Part:
    """One worker's part of a block. The rows to be scored of each worker's sources are numbered in chunks of BATCH.

    begins  where in `Slot.places` and `Slot.features` each worker's rows begin; one more for the end
    gives   the takers of this worker's first chunks, one each: it extracts these and leaves their scoring to the taker
    takes   (worker, first, last): chunks of that worker that it scores, first to last - 1
    """

    slot: int
    rows: int
    begins: tuple[int, ...]
    gives: tuple[int, ...]
    takes: tuple[tuple[int, int, int], ...]


@dataclass
class Costs:
    """Seconds of CPU: to extract a packet (a shadow counts SHADOW_COST), to score one; as measured lately."""

    extract: float = 8e-7
    score: float = 8e-7

    def learn(self, extracted: float, extract_s: float, scored: int, score_s: float) -> None:
        if extracted > ROWS / 16:
            self.extract += 0.2 * (extract_s / extracted - self.extract)
        if scored > ROWS / 16:
            self.score += 0.2 * (score_s / scored - self.score)


def share_out(own: list[int], shadows: list[int], costs: Costs) -> list[list[tuple[int, int, int]]]:
    """For each worker, what it scores for others: (worker, first chunk, last chunk), so that all have about the same to do.

    own, shadows: rows of each worker. Who has more than the average gives the chunks that would bring it there, at most all it has.
    """
    work = [n * (costs.extract + costs.score) + s * SHADOW_COST * costs.extract for n, s in zip(own, shadows, strict=True)]
    average = sum(work) / len(work)
    chunk = BATCH * costs.score
    takes: list[list[tuple[int, int, int]]] = [[] for _ in own]
    room = [max(0, round((average - mine) / chunk)) for mine in work]
    for giver, mine in enumerate(work):
        first, end = 0, min(-(-own[giver] // BATCH), max(0, round((mine - average) / chunk)))
        for taker in range(len(own)):
            last = min(end, first + room[taker])
            if last > first:
                takes[taker].append((giver, first, last))
                room[taker] -= last - first
                first = last
    return takes


def parts_of(slot: Slot, at: tuple[int, int], workers: int, costs: Costs) -> list[Part]:
    """Every worker's part of a block; at: (number of the slot, rows)."""
    number, rows = at
    own, others = np.empty(workers, np.int64), np.empty(workers, np.int64)
    count(slot.packets[:rows], slot.owner[:rows], slot.target[:rows], own, others)
    takes = share_out(own.tolist(), others.tolist(), costs)
    gives: list[list[int]] = [[] for _ in range(workers)]
    for giver, first, last, taker in sorted((*take, worker) for worker in range(workers) for take in takes[worker]):
        gives[giver] += [taker] * (last - first)
    begins = (0, *np.cumsum(own).tolist())
    return [Part(number, rows, begins, tuple(gives[worker]), tuple(takes[worker])) for worker in range(workers)]
