"""Traffic matrix of a capture, for predictions: packets and remaining streams by the buckets whose owners see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bricks.feature_quantization import FeatureQuantization
from bricks.kernels.kitsune.state115 import Kitsune115State
from bricks.kernels.streams import transfer
from bricks.offline.scoring import CaptureSummary, Progress, note_evictions, read_blocks, silent
from bricks.records.brick import Batch
from bricks.records.packets import bucket_of
from lego_sdn.core.nf.split_key import SplitKey
from lego_sdn.core.traffic.split_prediction import Sides, TrafficMatrix

_WORD = 8  # bytes


def count_packets(rows: np.ndarray, buckets: int, key: SplitKey) -> Counter[Sides]:
    """Packets (PACKET [n]) by the buckets of the key's sides."""
    return Counter(_by_sides([bucket_of(rows, buckets, fields).astype(np.int64) for fields in key.sides], buckets))


def count_streams(state: Any, buckets: int) -> dict[Sides, tuple[int, int]] | None:
    """(streams, bytes) of a state by the buckets whose owners hold them. None for other layouts."""
    if not isinstance(state, Kitsune115State):
        return None
    found: dict[Sides, tuple[int, int]] = {}
    for kind, table in state.named():
        size = transfer.record_words(table) * _WORD
        for sides, count in _by_sides(transfer.buckets_of(table, state.ends(kind), buckets), buckets).items():
            streams, space = found.get(sides, (0, 0))
            found[sides] = streams + count, space + count * size
    return found


def _by_sides(sides: list[np.ndarray], buckets: int) -> dict[Sides, int]:
    """How many rows have each combination of buckets: `sides` are int64 [rows]."""
    codes = np.zeros(len(sides[0]), np.int64)
    for side in sides:
        codes = codes * buckets + side
    found, counts = np.unique(codes, return_counts=True)
    return {_digits(code, buckets, len(sides)): count for code, count in zip(found.tolist(), counts.tolist(), strict=True)}


def _digits(code: int, buckets: int, count: int) -> Sides:
    digits = []
    for _ in range(count):
        code, digit = divmod(code, buckets)
        digits.append(digit)
    return tuple(reversed(digits))


@dataclass(frozen=True)
class Scope:
    """What a census is of: feature layout, split key, bound of a state's streams, buckets."""

    layout: str
    key: SplitKey
    streams: int
    buckets: int


def take_census(paths: Iterable[str | Path], scope: Scope, progress: Progress = silent) -> tuple[TrafficMatrix, list[str]]:
    """What the captures, as one time line, say of buckets, and warnings."""
    summary, brick = CaptureSummary(), FeatureQuantization(0, scope.layout, scope.streams, scope.key)
    packets: Counter[Sides] = Counter()
    size = 0
    with summary.told():
        for rows in read_blocks(paths, summary):
            packets += count_packets(rows, scope.buckets, scope.key)
            size += int(rows["length"].sum())
            brick.process(Batch(rows))
            progress(len(rows))
    note_evictions(brick.counters, summary)
    return TrafficMatrix(scope.buckets, packets, count_streams(brick.state, scope.buckets), size / summary.packets), summary.warnings
