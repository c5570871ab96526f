"""The learning network alone: execution in both precisions, and training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bricks.feature_mapping import FeatureMapping
from bricks.learning.training import train_model
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.unsupervised_network import UnsupervisedNetwork
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import in_turns, rates

_WIDE, _NARROW = (600_000, 1_200_000), (1_500_000, 3_000_000)
RUNS = {
    (precision, batch): Row(f"kitnet.{name}.{batch}", f"KitNET execution, {precision}, batches of {batch}", "vectors/s", *targets)
    for precision, name, targets in (("float64", "f64", _WIDE), ("float32", "f32", _NARROW))
    for batch in (64, 256)
}
ERROR = Row("kitnet.f32.error", "scores in float32: largest difference to float64", "relative", 1e-5, fewer=True)
TRAIN = Row("train", "training: feature map, then autoencoders", "vectors/s", 30_000, 100_000)
ROWS = (*RUNS.values(), ERROR, TRAIN)
VECTORS = 16_384  # scored again and again: more than the first caches hold


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    if wanted - {TRAIN.name}:
        yield from _execution(bench)
    if TRAIN.name in wanted:
        vectors, training = bench.vectors, bench.training
        laps = in_turns(bench.runs, {"train": lambda: train_model(vectors, training)})["train"]
        note = f"{training.fm_grace + 1:,} for the map, {training.ad_grace:,} for the autoencoders"
        yield Result(TRAIN, **rates(laps, len(vectors)), note=note)


def mapped(bench: Bench) -> Batch:
    """Vectors as the network takes them: up to VECTORS rows."""
    features = bench.vectors[:VECTORS]
    return FeatureMapping(0, bench.model).process(Batch(np.zeros(len(features), PACKET), features))


def score_all(brick: UnsupervisedNetwork, vectors: Batch, batch: int, rounds: int) -> None:
    """All vectors, `batch` at a time, `rounds` times over."""
    assert vectors.values is not None
    for _ in range(rounds):
        for first in range(0, len(vectors), batch):
            brick.process(Batch(vectors.head[first : first + batch], vectors.values[first : first + batch]))


def _execution(bench: Bench) -> Iterator[Result]:
    vectors = mapped(bench)
    rounds = max(1, min(bench.sizes.packets, 250_000) // len(vectors))
    bricks = {precision: UnsupervisedNetwork(0, bench.model, precision) for precision, _ in RUNS}
    scores = {precision: brick.process(vectors).values for precision, brick in bricks.items()}
    works = {row.name: lambda p=p, b=b: score_all(bricks[p], vectors, b, rounds) for (p, b), row in RUNS.items()}
    laps = in_turns(bench.runs, works)
    for row in RUNS.values():
        yield Result(row, **rates(laps[row.name], rounds * len(vectors)), note=f"{rounds * len(vectors):,} vectors")
    wide, narrow = scores["float64"], scores["float32"]
    error = float(np.max(np.abs(narrow - wide) / np.maximum(np.abs(wide), 1e-300)))
    yield Result(ERROR, runs=(error,), note=f"{len(vectors):,} vectors")
