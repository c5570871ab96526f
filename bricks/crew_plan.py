"""How the blocks of a parallel scoring run are laid out in shared memory and shared out over the workers; see `bricks.parallel`."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bricks.kernels.crew import BATCH, count
from bricks.packets import PACKET
from bricks.partition import SHADOW_COST

ROWS = 16_384  # of a block
SLOTS = 4  # blocks under way: enough that nobody waits for the reader
DEPTH = 3  # chunks under way from one worker to another: few, so that they stay in the cache


class Slot(NamedTuple):
    """One block in shared memory.

    packets, scores  row by row
    owner, target    the workers of each row's source and destination
    places           of the rows to be scored, worker after worker: where in the block each is
    """

    packets: np.ndarray
    owner: np.ndarray
    target: np.ndarray
    places: np.ndarray
    scores: np.ndarray


def new_slot() -> Slot:
    fields = (PACKET, "u1", "u1", "i4", "f8")
    return Slot(*(_shared((ROWS,), np.dtype(kind)) for kind in fields))


class Lane(NamedTuple):
    """Features on their way from one worker to another that scores them: DEPTH chunks, in turn.

    given, free: semaphores that count the chunks to be scored, and those to be written
    """

    chunks: np.ndarray
    given: Any
    free: Any


def new_lanes(workers: int, width: int, context: Any) -> list[list[Lane]]:
    """lanes[giver][taker]. Memory is taken when a lane is used."""
    return [
        [Lane(_shared((DEPTH, BATCH, width), np.dtype("f8")), context.Semaphore(0), context.Semaphore(DEPTH)) for _ in range(workers)]
        for _ in range(workers)
    ]


def _shared(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """An array that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)


@dataclass(frozen=True)
class Part:
    """One worker's part of a block. The rows to be scored of each worker's sources are numbered in chunks of BATCH.

    begins   where in `Slot.places` each worker's rows begin; one more for the end
    scorers  who scores each of this worker's chunks: itself or another
    takes    worker -> the chunks of that worker that this one scores, in order
    """

    slot: int
    rows: int
    begins: tuple[int, ...]
    scorers: tuple[int, ...]
    takes: dict[int, tuple[int, ...]]


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


def share_out(own: list[int], shadows: list[int], costs: Costs) -> list[list[int]]:
    """Who scores each worker's chunks, so that all have about the same to do.

    own, shadows: rows of each worker. Who has more than the average gives the chunks that would bring it there, at most all it has.
    """
    work = [n * (costs.extract + costs.score) + s * SHADOW_COST * costs.extract for n, s in zip(own, shadows, strict=True)]
    average = sum(work) / len(work)
    chunk = BATCH * costs.score
    room = [max(0, round((average - mine) / chunk)) for mine in work]
    scorers = []
    for giver, mine in enumerate(work):
        chunks = -(-own[giver] // BATCH)
        left = min(chunks, max(0, round((mine - average) / chunk)))
        given: list[int] = []
        for taker in range(len(own)):  # in proportion to what each has room for
            open_to = sum(room[taker:])
            many = min(room[taker], round(min(left, open_to) * room[taker] / max(1, open_to)))
            given += [taker] * many
            room[taker] -= many
            left -= many
        scorers.append(_spread(given, chunks, giver))
    return scorers


def _spread(given: list[int], chunks: int, giver: int) -> list[int]:
    """The given chunks evenly among all: whoever scores them shall have them from the beginning, and not all at once."""
    scorers = [giver] * chunks
    for number, taker in enumerate(sorted(given, key=_turns())):
        scorers[number * chunks // len(given)] = taker
    return scorers


def _turns() -> Any:
    """A sort key by which several takers take turns."""
    seen: dict[int, int] = {}

    def turn(taker: int) -> tuple[int, int]:
        seen[taker] = seen.get(taker, 0) + 1
        return seen[taker], taker

    return turn


def parts_of(slot: Slot, at: tuple[int, int], workers: int, costs: Costs) -> list[Part]:
    """Every worker's part of a block; at: (number of the slot, rows)."""
    number, rows = at
    own, others = np.empty(workers, np.int64), np.empty(workers, np.int64)
    count(slot.packets[:rows], slot.owner[:rows], slot.target[:rows], own, others)
    scorers = share_out(own.tolist(), others.tolist(), costs)
    takes: list[dict[int, tuple[int, ...]]] = [{} for _ in range(workers)]
    for giver, theirs in enumerate(scorers):
        for taker in set(theirs) - {giver}:
            takes[taker][giver] = tuple(chunk for chunk, scorer in enumerate(theirs) if scorer == taker)
    begins = (0, *np.cumsum(own).tolist())
    return [Part(number, rows, begins, tuple(scorers[worker]), takes[worker]) for worker in range(workers)]
