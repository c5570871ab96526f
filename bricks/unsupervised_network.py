"""Unsupervised learning network: how far a vector is from what was learned."""

from __future__ import annotations

from bricks.feature_mapping import wanted_width
from bricks.models.kinds import compile_model
from bricks.models.model_file import Model
from bricks.records.brick import Batch, Brick
from lego_sdn.core.facts.errors import BrickError

PRECISIONS = ("float64", "float32")


class UnsupervisedNetwork(Brick, kind="unsupervised-network"):
    """Score each vector by an ensemble of autoencoders (KitNET, Kitsune paper, section V), with frozen weights.

    In:    mapped values  float64 [n, width], in cluster order
    Out:   the same rows, scores  float64 [n, 1]
    State: none (any replica may take any batch)
    Reads: packets

    `precision` "float32" computes in half the width: scores within 1e-5 of those in float64.
    """

    def __init__(self, serial: int, model: Model, precision: str = "float64") -> None:
        super().__init__(serial)
        if precision not in PRECISIONS:
            raise BrickError(f"{self.id}: precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
        self.model, self.precision = model, precision
        self._score = compile_model(model, precision)
        self.counters = {"packets": 0}

    def process(self, batch: Batch) -> Batch:
        mapped = wanted_width(self, batch, self.model.width)
        scores = self._score(mapped)
        self.counters["packets"] += len(batch)
        return Batch(batch.head, scores)
