"""Rows of a hop over a ring between two processes, per packet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.profile.ring_hop import BATCH, Hop, cross

_TABLE = {
    "ring.features": (115, "a packet with its 115 features"),
    "ring.packets": (0, "a packet alone"),
    "ring.scores": (1, "a packet with its score"),
}
TABLE = {name: Row(name, f"ring hop, batches of {BATCH}: {what}", "us/packet", 0.5, fewer=True) for name, (_, what) in _TABLE.items()}
ROWS = tuple(TABLE.values())


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    batches = max(2, bench.sizes.packets // BATCH)
    chosen = [name for name in TABLE if name in wanted]
    hops: dict[str, list[Hop]] = {name: [] for name in chosen}
    for _ in range(bench.runs):
        for name in chosen:
            hops[name].append(cross(batches, _TABLE[name][0]))
    for name in chosen:
        yield _result(TABLE[name], hops[name], batches * BATCH)


def _result(row: Row, hops: list[Hop], packets: int) -> Result:
    both = tuple((hop.writer + hop.reader) / packets * 1e6 for hop in hops)
    each = [float(np.median([getattr(hop, side) for hop in hops])) / packets * 1e6 for side in Hop._fields]
    note = f"CPU of both sides; writer {each[1]:.3f}, reader {each[2]:.3f}; a packet every {each[0]:.3f} by the wall clock"
    return Result(row, runs=both, note=note, detail=dict(zip(("wall_us", "writer_us", "reader_us"), each, strict=True)))
