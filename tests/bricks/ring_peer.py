"""The other process of the ring tests: writes numbered batches into a ring, or reads a ring to its end."""

from __future__ import annotations

import os
import select
import sys

import numpy as np

from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.records.sequence import SequenceRange
from bricks.transport.rings import RingReader, RingWriter

ROWS = 64


def batch(first: int, count: int, width: int) -> Batch:
    """Rows whose every cell follows from the row number."""
    head = np.zeros(count, PACKET)
    head["seq"] = np.arange(first, first + count)
    head["src_hi"], head["flags"] = ~head["seq"], head["seq"] & 0xFFFF
    return Batch(head, head["seq"][:, None] * 1000.0 + np.arange(width) if width else None)


def sizes(seed: int, batches: int) -> np.ndarray:
    """(rows, columns) of every batch: small and large, with values and without."""
    random = np.random.default_rng(seed)
    return np.stack([random.integers(0, ROWS + 1, batches), random.choice([0, 1, 7, 115], batches)], axis=1)


def write(name: str, seed: int, batches: int) -> None:
    """Every batch in turn; waits at the doorbell for room."""
    ring, first = RingWriter(name, ROWS), 0
    for count, width in sizes(seed, batches).tolist():
        while not ring.put(batch(first, count, width), SequenceRange(first, count)):
            if not ring.wait_for_room():
                select.select([ring], [], [], 10)
            ring.awake()
        first += count
    ring.close()


def read(name: str, seed: int, batches: int) -> int:
    """Take every batch and compare it; waits at the doorbell. Returns the number of sleeps."""
    ring, first, sleeps = RingReader(name, ROWS), 0, 0
    for number, (count, width) in enumerate(sizes(seed, batches).tolist()):
        while (there := ring.peek()) is None:
            sleeps += 1
            if not ring.sleep() and not select.select([ring], [], [], 10)[0]:
                raise TimeoutError(f"batch {number} did not come: {ring!r}")
            ring.awake()
        want = batch(first, count, width)
        assert there[1][:2] == (first, count), f"batch {number}: {there[1]}"
        assert np.array_equal(there[0].head, want.head), f"batch {number}: head"
        assert (there[0].values is None) == (width == 0), f"batch {number}: values"
        assert width == 0 or np.array_equal(there[0].values, want.values), f"batch {number}: values"
        first += count
        there = None
        ring.release(first)
    ring.end()
    return sleeps


def die_holding(name: str) -> None:
    """Write one batch, say so, and wait to be killed."""
    ring = RingWriter(name, ROWS)
    ring.put(batch(0, 3, 2), SequenceRange(0, 3))
    os.write(1, b"written\n")
    select.select([], [], [], 60)


if __name__ == "__main__":
    {"write": write, "read": read, "die": die_holding}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
