"""One process of a parallel scoring run; see `bricks.parallel`."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from bricks.crew_plan import DEPTH, ROWS, Lane, Part, Slot
from bricks.kernels.crew import BATCH, pick
from bricks.offline import Chain, Scoring
from bricks.packets import PACKET
from bricks.partition import SHADOW_COST
from lego_sdn.core.errors import LegoError


@dataclass(frozen=True)
class Seat:
    """What a worker shares with the others: its number, its pipe to the parent, the slots and the lanes [giver][taker]."""

    number: int
    pipe: Connection
    slots: list[Slot]
    lanes: list[list[Lane]]
    parent: int


class Answer(NamedTuple):
    """A worker's word that its part of a block is done. cost: (rows extracted, shadows counted less, seconds, rows scored, seconds)."""

    slot: int
    cost: tuple[float, float, int, float]
    counters: dict[str, int]


def warm_up(scoring: Scoring) -> None:
    """Load the compiled code, by one packet of no source."""
    chain = Chain(scoring)
    nobody, nowhere = np.zeros(1, PACKET), np.zeros(1, np.uint8)
    pick(nobody, nowhere, nowhere, 0, nobody.copy(), np.zeros(1, np.int32), np.zeros(1, np.int64))
    chain.score(chain.features(nobody))


def work(seat: Seat, scoring: Scoring, foreign: list[Connection]) -> None:
    """A worker's life: parts come in, answers go out, until the parent closes the pipe. `foreign`: the parent's ends, inherited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    for pipe in foreign:
        pipe.close()
    try:
        worker = _Worker(seat, scoring)
        while True:
            seat.pipe.send(worker.do(seat.pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except LegoError as error:
        seat.pipe.send(str(error))


class _Worker:
    def __init__(self, seat: Seat, scoring: Scoring) -> None:
        self.seat, self.chain, self.skip = seat, Chain(scoring), scoring.skip
        self.rows, self.ends = np.empty(ROWS, PACKET), np.empty(ROWS // BATCH + 1, np.int64)
        self.given, self.taken = Counter[int](), Counter[int]()  # chunks so far, by taker and by giver
        self.scored, self.score_s = 0, 0.0

    def do(self, part: Part) -> Answer:
        """Extract what is this worker's and score it but for the chunks it gives away; score what others give, as it comes."""
        slot, me = self.seat.slots[part.slot], self.seat.number
        self.scored, self.score_s = 0, 0.0
        began = time.thread_time()
        block = (slot.packets[: part.rows], slot.owner[: part.rows], slot.target[: part.rows])
        rows, own = pick(*block, me, self.rows, slot.places[part.begins[me] : part.begins[me + 1]], self.ends)
        awaited = {giver: deque(chunks) for giver, chunks in part.takes.items()}
        first = 0
        for chunk, scorer in enumerate(part.scorers):
            self._extract(part, chunk, scorer, self.rows[first : self.ends[chunk]])
            first = int(self.ends[chunk])
            self._take_one(part, awaited)
        if first < rows:
            self.chain.features(self.rows[first:rows])  # shadows after the last of its own
        extract_s = time.thread_time() - began - self.score_s
        while awaited:
            if not self._take_one(part, awaited):
                self._sleep(awaited)
        cost = (own + SHADOW_COST * (rows - own), extract_s, self.scored, self.score_s)
        return Answer(part.slot, cost, self.chain.extractor.state.counters())

    def _extract(self, part: Part, chunk: int, scorer: int, rows: np.ndarray) -> None:
        """Features of one chunk's rows (and of the shadows among them), to be scored here or by another."""
        if scorer == self.seat.number:
            self._score(part, (scorer, chunk), self.chain.features(rows))
            return
        lane = self.seat.lanes[self.seat.number][scorer]
        while not lane.free.acquire(timeout=1.0):
            self._check_parent()
        self.chain.features_into(rows, lane.chunks[self.given[scorer] % DEPTH])
        self.given[scorer] += 1
        lane.given.release()

    def _take_one(self, part: Part, awaited: dict[int, deque[int]]) -> bool:
        """Score one chunk that another worker has given, if one is there."""
        for giver, chunks in awaited.items():
            lane = self.seat.lanes[giver][self.seat.number]
            if lane.given.acquire(block=False):
                self._score(part, (giver, chunks.popleft()), lane.chunks[self.taken[giver] % DEPTH])
                self.taken[giver] += 1
                lane.free.release()
                if not chunks:
                    del awaited[giver]
                return True
        return False

    def _sleep(self, awaited: dict[int, deque[int]]) -> None:
        """Wait for a chunk of the first giver, but not for long if there are others."""
        given = self.seat.lanes[next(iter(awaited))][self.seat.number].given
        if given.acquire(timeout=0.001 if len(awaited) > 1 else 1.0):
            given.release()
        else:
            self._check_parent()

    def _score(self, part: Part, which: tuple[int, int], features: np.ndarray) -> None:
        """Score a chunk, which = (worker, chunk), from its features [rows of the chunk or more, width]."""
        slot, (worker, chunk) = self.seat.slots[part.slot], which
        begin, end = part.begins[worker] + chunk * BATCH, part.begins[worker + 1]
        places = slot.places[begin : min(begin + BATCH, end)]
        if int(slot.packets["seq"][places[-1]]) < self.skip:
            return
        began = time.thread_time()
        slot.scores[places] = self.chain.score(features[: len(places)])
        self.score_s += time.thread_time() - began
        self.scored += len(places)

    def _check_parent(self) -> None:
        """Give up when the parent, which watches over all workers, is gone."""
        if os.getppid() != self.seat.parent:
            raise EOFError("the parent is gone")
