"""`lego score` end to end: a large capture, parsing and writing included, by one process and by two, with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bricks.offline import Scoring, score_captures
from lego_sdn.bench.inputs import Bench
from lego_sdn.bench.rows import Result, Row
from lego_sdn.bench.timing import Lap, in_turns, rates, ratios
from lego_sdn.core.errors import LegoError

SCORE = Row("score", "score a capture, one worker, parsing included", "packets/s", 250_000, 500_000)
SCORE32 = Row("score.f32", "the same in float32", "packets/s")
WORKERS = Row("score.workers", "two workers against one, same bits", "times", 1.7)
ROWS = (SCORE, SCORE32, WORKERS)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    ways = {SCORE.name: (1, "float64"), SCORE32.name: (1, "float32"), WORKERS.name: (2, "float64")}
    chosen = {name: ways[name] for name in ways if name in wanted or (name == SCORE.name and WORKERS.name in wanted)}
    outs = {name: bench.folder / f"{name}.npy" for name in chosen}
    works = {name: lambda n=name, w=way: score_to(bench, outs[n], *w) for name, way in chosen.items()}
    for work in works.values():
        work()
    laps = in_turns(bench.runs, works)
    for row in (SCORE, SCORE32):
        if row.name in chosen:
            yield Result(row, **rates(laps[row.name], bench.sizes.packets), note=f"{bench.sizes.packets:,} packets")
    if WORKERS.name in chosen:
        _require_same(outs[SCORE.name], outs[WORKERS.name])
        yield _workers(laps[SCORE.name], laps[WORKERS.name], bench.sizes.packets)


def _workers(one: list[Lap], two: list[Lap], packets: int) -> Result:
    """By CPU time: as if two cores were free and evenly used by all processes of the run."""
    quotients = ratios(one, two)
    even = tuple(2 * quotient for quotient in quotients["by_cpu"])
    best = max(rates(two, packets)["runs"])
    note = f"{best:,.0f} packets/s at best, start of the workers included; by CPU time: with two free cores, evenly used"
    return Result(WORKERS, runs=quotients["runs"], by_cpu=even, note=note)


def score_to(bench: Bench, out: Path, workers: int = 1, precision: str = "float64") -> None:
    """Score the large capture, as `lego score` does."""
    score_captures([bench.large_capture], out, Scoring(bench.model, workers=workers, precision=precision))


def _require_same(one: Path, two: Path) -> None:
    """LegoError unless both files hold the same bits."""
    a, b = np.load(one), np.load(two)
    if a.tobytes() != b.tobytes():
        different = int(np.count_nonzero(a != b)) if a.shape == b.shape else max(len(a), len(b))
        raise LegoError(f"two workers gave other scores than one for {different} of {len(a)} packets: report this with the capture")
