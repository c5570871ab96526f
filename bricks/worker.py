"""One process of a parallel scoring run; see `bricks.parallel`."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from bricks.crew_plan import BATCH, ROWS, Part, Slot
from bricks.kernels.crew import pick
from bricks.offline import Chain, Scoring
from bricks.packets import PACKET
from bricks.partition import SHADOW_COST
from lego_sdn.core.errors import LegoError


@dataclass(frozen=True)
class Seat:
    """What a worker shares with the others: its number, its pipe to the parent, the slots, and the semaphores given[giver][taker]."""

    number: int
    pipe: Connection
    slots: list[Slot]
    given: list[list[Any]]
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
    pick(nobody, nowhere, nowhere, 0, nobody.copy(), np.zeros(1, np.int32))
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
        self.rows = np.empty(ROWS, PACKET)
        self.scored, self.score_s = 0, 0.0

    def do(self, part: Part) -> Answer:
        """Extract what is this worker's, score it but for the rows it gives away, then score what others give."""
        slot, me = self.seat.slots[part.slot], self.seat.number
        self.scored, self.score_s = 0, 0.0
        began = time.thread_time()
        block = (slot.packets[: part.rows], slot.owner[: part.rows], slot.target[: part.rows])
        rows, own = pick(*block, me, self.rows, slot.places[part.begins[me] : part.begins[me + 1]])
        self._extract(self.rows[:rows], slot, part)
        extract_s = time.thread_time() - began - self.score_s
        for giver, first, last in part.takes:
            begin, end = part.begins[giver : giver + 2]
            for at in range(begin + first * BATCH, min(begin + last * BATCH, end), BATCH):
                self._await(giver)
                self._score(slot, (at, min(at + BATCH, end)), slot.features[at : min(at + BATCH, end)])
        return Answer(
            part.slot, (own + SHADOW_COST * (rows - own), extract_s, self.scored, self.score_s), self.chain.extractor.state.counters()
        )

    def _extract(self, rows: np.ndarray, slot: Slot, part: Part) -> None:
        """Features of this worker's rows: the chunks that it gives go to the slot, chunk by chunk; the rest is scored here."""
        begin, end = part.begins[self.seat.number : self.seat.number + 2]
        done, gives = 0, min(end - begin, BATCH * len(part.gives))
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            if done + len(batch) <= gives:
                count = given = self.chain.features_into(batch, slot.features[begin + done : begin + gives])
            else:
                features = self.chain.features(batch)
                count, given = len(features), max(0, min(gives - done, len(features)))
                slot.features[begin + done : begin + done + given] = features[:given]
            self._tell(part.gives, (done, done + given), gives)
            if given < count:
                self._score(slot, (begin + done + given, begin + done + count), features[given:])
            done += count

    def _score(self, slot: Slot, numbers: tuple[int, int], features: np.ndarray) -> None:
        """Scores of the rows whose places are numbers[0] to numbers[1] - 1."""
        places = slot.places[slice(*numbers)]
        if int(slot.packets["seq"][places[-1]]) < self.skip:
            return
        began = time.thread_time()
        slot.scores[places] = self.chain.score(features)
        self.score_s += time.thread_time() - began
        self.scored += len(places)

    def _tell(self, takers: tuple[int, ...], rows: tuple[int, int], gives: int) -> None:
        """Tell the takers of the chunks that became complete with `rows` (from, to) of the `gives` rows to be given."""
        before, after = (-(-row // BATCH) if row == gives else row // BATCH for row in rows)
        for taker in takers[before:after]:
            self.seat.given[self.seat.number][taker].release()

    def _await(self, giver: int) -> None:
        """Wait for another worker's features; give up when the parent, which watches over it, is gone."""
        while not self.seat.given[giver][self.seat.number].acquire(timeout=1.0):
            if os.getppid() != self.seat.parent:
                raise EOFError("the parent is gone")
