"""A batch over a ring from one process to another: what it costs both of them."""

from __future__ import annotations

import multiprocessing as mp
import os
import select
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.transport import rings
from bricks.transport.rings import SLOTS, RingReader, RingWriter
from lego_sdn.core.facts.errors import BrickError

BATCH = 256  # rows
PATIENCE_S = 30.0
WARM = 2 * SLOTS  # batches before the clock is read: the memory of every slot is there then, and the kernels are loaded on both sides
_LINE = 8  # float64 of a cache line


class Hop(NamedTuple):
    """Seconds: the wall clock's, and of CPU of the writing and the reading process."""

    wall: float
    writer: float
    reader: float


def cross(batches: int, width: int) -> Hop:
    """Send batches from this process to another one that looks at every cache line of them."""
    name = f"lego-hop-{os.getpid()}"
    fork = mp.get_context("fork")
    here, there = fork.Pipe()
    reader = fork.Process(target=_read, args=(name, batches, there), daemon=True)
    writer = RingWriter(name, BATCH)
    try:
        reader.start()
        there.close()
        _write(writer, range(WARM), width)
        _hear(here, "the reader did not see the first batches")
        began, cpu = time.perf_counter(), time.process_time()
        _write(writer, range(WARM, WARM + batches), width)
        mine = time.process_time() - cpu
        theirs, ended = _hear(here, "the reader did not see all batches")
        return Hop(ended - began, mine, theirs)
    finally:
        here.close()
        writer.close()
        reader.terminate()
        reader.join()
        reader.close()
        rings.remove(name)


def _hear(pipe: Connection, problem: str) -> Any:
    try:
        if pipe.poll(PATIENCE_S):
            return pipe.recv()
    except EOFError:
        pass
    raise BrickError(f"ring hop: {problem} within {PATIENCE_S:g} s; look for a traceback above")


def _write(ring: RingWriter, numbers: range, width: int) -> None:
    batch = Batch(np.zeros(BATCH, PACKET), np.ones((BATCH, width)) if width else None)
    for number in numbers:
        while not ring.put(batch, SequenceRange(number * BATCH, BATCH)):
            if not ring.wait_for_room():
                select.select([ring], [], [], PATIENCE_S)
            ring.awake()


def _read(name: str, batches: int, pipe: Connection) -> None:
    """The other process: tells when it has seen the first batches, then its CPU seconds and when it had seen the rest."""
    ring = RingReader(name, BATCH)
    _take(ring, range(WARM))
    pipe.send(True)
    cpu = time.process_time()
    _take(ring, range(WARM, WARM + batches))
    pipe.send((time.process_time() - cpu, time.perf_counter()))
    ring.close()


def _take(ring: RingReader, numbers: range) -> None:
    """Batches of these numbers. BrickError if one does not come."""
    for number in numbers:
        while (there := ring.peek()) is None:
            if not ring.sleep() and not select.select([ring], [], [], PATIENCE_S)[0]:
                raise BrickError(f"batch {number} did not come within {PATIENCE_S:g} s")
            ring.awake()
        _look(there[0])
        there = None  # no view of the slot may outlive its release
        ring.release((number + 1) * BATCH)


def _look(batch: Batch) -> float:
    """The sum of something of every cache line, so that all of them come over, as a brick would need them."""
    seen = float(batch.head["length"].sum())
    return seen if batch.values is None else seen + float(batch.values.reshape(-1)[::_LINE].sum())
