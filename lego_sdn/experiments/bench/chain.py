"""`lego score` end to end: a large capture, parsing and writing included, by one process and by two, with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bricks.offline.commands import score_captures
from bricks.offline.scoring import Scoring
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.experiments.bench.inputs import LARGER, Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import in_turns, rates, ratios

SCORE = Row("score", "score a capture, one worker, parsing included", "packets/s", 250_000, 500_000)
SCORE32 = Row("score.f32", "the same in float32", "packets/s")
WORKERS = Row("score.workers", "two workers against one, same bits", "times", 1.7)
ROWS = (SCORE, SCORE32, WORKERS)
_PRECISIONS = {SCORE: "float64", SCORE32: "float32"}


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    yield from _alone(bench, {row: precision for row, precision in _PRECISIONS.items() if row.name in wanted})
    if WORKERS.name in wanted:
        yield _together(bench)


def _alone(bench: Bench, chosen: dict[Row, str]) -> Iterator[Result]:
    laps = in_turns(bench.runs, _warm({row.name: partial(score_to, bench, row.name, precision=how) for row, how in chosen.items()}))
    for row in chosen:
        yield Result(row, **rates(laps[row.name], bench.sizes.packets), note=f"{bench.sizes.packets:,} packets")


def _together(bench: Bench) -> Result:
    """By CPU time: as if two cores were free and evenly used by all processes of the run."""
    path, count = bench.larger_capture, LARGER * bench.sizes.packets
    names = {workers: f"workers-{workers}" for workers in (1, 2)}
    laps = in_turns(bench.runs, _warm({name: partial(score_to, bench, name, path, workers) for workers, name in names.items()}))
    _require_same(*(bench.folder / f"{name}.npy" for name in names.values()))
    quotients = ratios(laps[names[1]], laps[names[2]])
    even = tuple(2 * quotient for quotient in quotients["by_cpu"])
    best = max(rates(laps[names[2]], count)["runs"])
    note = f"{count:,} packets, {best:,.0f} a second at best, start of the workers included; by CPU time: with two free cores, evenly used"
    return Result(WORKERS, runs=quotients["runs"], by_cpu=even, note=note)


def _warm(works: dict[str, Callable[[], None]]) -> dict[str, Callable[[], None]]:
    """The same, each done once: what is compiled or loaded at first use is there."""
    for work in works.values():
        work()
    return works


def score_to(bench: Bench, name: str, path: Path | None = None, workers: int = 1, precision: str = "float64") -> None:
    """Score a capture, the large one unless told otherwise, as `lego score` does."""
    out = bench.folder / f"{name}.npy"
    score_captures([path or bench.large_capture], out, Scoring(bench.model, workers=workers, precision=precision))


def _require_same(one: Path, two: Path) -> None:
    """LegoError unless both files hold the same bits."""
    a, b = np.load(one), np.load(two)
    if a.tobytes() != b.tobytes():
        different = int(np.count_nonzero(a != b)) if a.shape == b.shape else max(len(a), len(b))
        raise LegoError(f"two workers gave other scores than one for {different} of {len(a)} packets: report this with the capture")
