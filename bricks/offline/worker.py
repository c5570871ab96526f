"""One process of a parallel scoring run; see `bricks.offline.parallel`."""

from __future__ import annotations

import select
import signal
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from bricks.explanation.shares import EXPLAINED
from bricks.feature_quantization import LAYOUTS
from bricks.kernels.transport.worker_pick import BATCH, pick
from bricks.offline.scoring import OfflineChain, Scoring
from bricks.offline.shared_blocks import Chunk, Pool, Slot, new_chunk
from bricks.records.packets import PACKET
from lego_sdn.core.facts.errors import LegoError


@dataclass(frozen=True)
class Seat:
    """What a worker shares with the others: its number, its pipe to the parent, blocks, chunks, and the lock of what is left of a block."""

    number: int
    pipe: Connection
    slots: list[Slot]
    pool: Pool
    lock: Any


def warm_up(scoring: Scoring) -> None:
    """Load the compiled code, by one packet of no source."""
    chain = OfflineChain(replace(scoring, streams=8))
    nobody, nowhere = np.zeros(1, PACKET), np.zeros(1, np.uint8)
    pick(nobody, nowhere, nowhere, 0, nobody.copy(), np.zeros(1, np.int32), np.zeros(1, np.int64))
    features = chain.features(nobody)
    chain.score(features)
    if scoring.explain:
        chain.explain_alerts(features, np.full(1, np.inf), np.zeros(1, np.int64), np.zeros(1, EXPLAINED))


def work(seat: Seat, scoring: Scoring, foreign: list[Connection]) -> None:
    """A worker's life: blocks come in, what is done goes out, until the parent closes the pipe. `foreign`: the parent's ends, inherited."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever the parent does at it
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    for pipe in foreign:
        pipe.close()
    try:
        OfflineWorker(seat, scoring).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except LegoError as error:
        seat.pipe.send(str(error))


class OfflineWorker:
    def __init__(self, seat: Seat, scoring: Scoring) -> None:
        self.seat, self.chain, self.skip = seat, OfflineChain(scoring), scoring.skip
        self.mine = new_chunk(LAYOUTS[scoring.model.layout])
        most = len(seat.slots[0].packets)
        self.rows, self.places = np.empty(most, PACKET), np.empty(most, np.int32)
        self.ends = np.empty(most // BATCH + 1, np.int64)

    def run(self) -> None:
        """Score what others give before the next block is begun: it belongs to an older one."""
        events = select.poll()
        events.register(self.seat.pipe, select.POLLIN)
        events.register(self.seat.pool, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in events.poll()}
            if self.seat.pool.fileno() in ready:
                self._take()
            else:
                self._hear()

    def _hear(self) -> None:
        """A block, as (number of its slot, rows), or None: the parent asks for the counters."""
        message = self.seat.pipe.recv()
        if message is None:
            self.seat.pipe.send(self.chain.extractor.state.counters())
        else:
            self.extract(*message)

    def extract(self, number: int, rows: int) -> None:
        """Extract what is this worker's in a block, chunk by chunk, and have it scored."""
        slot = self.seat.slots[number]
        block = (slot.packets[:rows], slot.owner[:rows], slot.target[:rows])
        copied, own = pick(*block, self.seat.number, self.rows, self.places, self.ends)
        self._done(number, 1)
        first = 0
        for chunk in range(-(-own // BATCH)):
            last = int(self.ends[chunk])
            self._chunk(number, self.rows[first:last], self.places[chunk * BATCH : min(own, (chunk + 1) * BATCH)])
            first = last
        if first < copied:
            self.chain.features(self.rows[first:copied])  # shadows after the last of its own

    def _chunk(self, number: int, rows: np.ndarray, places: np.ndarray) -> None:
        """Extract one chunk's rows (and the shadows among them); give it away if somebody may have time for it, else score it."""
        pool = self.seat.pool
        free = pool.free()
        chunk = self.mine if free is None else pool.chunks[free]
        self.chain.features_into(rows, chunk.features)
        chunk.slot[0], chunk.rows[0], chunk.places[: len(places)] = number, len(places), places
        if free is None:
            self._score(chunk)
        else:
            pool.give(free)

    def _take(self) -> None:
        """Score a chunk that waits, unless another worker was faster."""
        pool = self.seat.pool
        if (number := pool.take()) is not None:
            self._score(pool.chunks[number])
            pool.release(number)

    def _score(self, chunk: Chunk) -> None:
        number, rows = int(chunk.slot[0]), int(chunk.rows[0])
        slot, places = self.seat.slots[number], chunk.places[:rows]
        if int(slot.packets["seq"][places[-1]]) >= self.skip:
            features = chunk.features[:rows]
            slot.scores[places] = self.chain.score(features)
            if len(slot.explained):
                self.chain.explain_alerts(features, slot.scores, places, slot.explained)
        self._done(number, rows)

    def _done(self, number: int, count: int) -> None:
        """Count down what is left of a block; who finishes it says so."""
        with self.seat.lock:
            left = self.seat.slots[number].left
            left[0] -= count
            finished = left[0] == 0
        if finished:
            self.seat.pipe.send(number)
