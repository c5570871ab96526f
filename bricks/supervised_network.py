"""Supervised learning network: of which class a vector is."""

from __future__ import annotations

import numpy as np

from bricks.feature_mapping import wanted_width
from bricks.models.classifier import Classifier
from bricks.models.kinds import compile_model
from bricks.records.brick import Batch, Brick
from lego_sdn.core.facts.errors import BrickError

PRECISIONS = ("float64", "float32")
SCORE, CLASS, PROBABILITY = range(3)  # columns of what it gives
NO_CLASS = -1.0


class SupervisedNetwork(Brick, kind="supervised-network"):
    """Decide the class of each vector by a classifier with frozen weights.

    In:    features  float64 [n, width]
    Out:   the same rows, decisions  float64 [n, 3]
    State: none (any replica may take any batch)
    Reads: packets

    A decision is the score, which is 1 less the probability of the ordinary class, the number of the most probable class (the first of
    several), and its probability. Of a row with a feature that is not finite they are nan, -1 and nan.
    """

    def __init__(self, serial: int, model: Classifier, precision: str = "float64") -> None:
        super().__init__(serial)
        if precision not in PRECISIONS:
            raise BrickError(f"{self.id}: precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
        self.model, self.precision = model, precision
        self._probabilities = compile_model(model, precision)
        self.counters = {"packets": 0}

    def process(self, batch: Batch) -> Batch:
        features = wanted_width(self, batch, self.model.width)
        self.counters["packets"] += len(batch)
        return Batch(batch.head, decisions(self._probabilities(features), self.model.ordinary))


def decisions(probabilities: np.ndarray, ordinary: int) -> np.ndarray:
    """The decision of each row of probabilities [n, classes]: float64 [n, 3]."""
    found = np.empty((len(probabilities), 3))
    classes = probabilities.argmax(axis=1)
    found[:, SCORE] = 1.0 - probabilities[:, ordinary]
    found[:, PROBABILITY] = probabilities[np.arange(len(classes)), classes]
    found[:, CLASS] = np.where(np.isnan(found[:, PROBABILITY]), NO_CLASS, classes)
    return found
