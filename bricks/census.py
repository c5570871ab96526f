"""What a capture says of buckets, for predictions: packets between them, and the streams that it leaves, by the buckets of their ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bricks.base import Batch
from bricks.feature_quantization import FeatureQuantization
from bricks.kernels import handover, kitsune115
from bricks.kernels.state115 import Kitsune115State
from bricks.kernels.streams import HEAD, LAST, ONE_SIDED, USED, WORDS, Table
from bricks.offline import Progress, Summary, note_evictions, read_blocks, silent
from bricks.packets import bucket_of
from lego_sdn.core.whatif import Pair, Talk

_SOURCE, _TARGET = 1, 3  # words of a head that hold the low words of its addresses
_WORD = 8  # bytes


def count_packets(rows: np.ndarray, buckets: int) -> Counter[Pair]:
    """Packets (PACKET [n]) by the buckets of source and destination."""
    source, target = (bucket_of(rows, buckets, side).astype(np.int64) for side in ("src", "dst"))
    return Counter(_by_pair(source, target, buckets))


def count_streams(state: Any, buckets: int) -> dict[Pair, tuple[int, int]] | None:
    """(streams, bytes) of a state by the buckets of both ends; a one-sided stream has its bucket twice. None for other layouts."""
    if not isinstance(state, Kitsune115State):
        return None
    found: dict[Pair, tuple[int, int]] = {}
    for kind in kitsune115.KINDS:
        table = getattr(state.tables, kind)
        size = handover.record_words(table) * _WORD
        for pair, count in _by_pair(*_ends(table, buckets), buckets).items():
            streams, space = found.get(pair, (0, 0))
            found[pair] = streams + count, space + count * size
    return found


def _ends(table: Table, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    heads = table.heads[: int(table.book[USED]) * HEAD].reshape(-1, HEAD)
    keys = heads[~np.isnan(heads[:, LAST])].view(np.uint64)
    source, target = ((keys[:, word] & np.uint64(buckets - 1)).astype(np.int64) for word in (_SOURCE, _TARGET))
    return source, source if table.book[WORDS] == ONE_SIDED else target


def _by_pair(source: np.ndarray, target: np.ndarray, buckets: int) -> dict[Pair, int]:
    codes, counts = np.unique(source * buckets + target, return_counts=True)
    return {divmod(code, buckets): count for code, count in zip(codes.tolist(), counts.tolist(), strict=True)}


def take_census(paths: Iterable[str | Path], layout: str, bounds: tuple[int, int], progress: Progress = silent) -> tuple[Talk, list[str]]:
    """What the captures, as one time line, say of buckets, and warnings. `bounds`: streams of a state, buckets."""
    streams, buckets = bounds
    summary, brick = Summary(), FeatureQuantization(0, layout, streams)
    packets: Counter[Pair] = Counter()
    size = 0
    for rows in read_blocks(paths, summary):
        packets += count_packets(rows, buckets)
        size += int(rows["length"].sum())
        brick.process(Batch(rows))
        progress(len(rows))
    note_evictions(brick.counters, summary)
    return Talk(buckets, packets, count_streams(brick.state, buckets), size / summary.packets), summary.warnings
