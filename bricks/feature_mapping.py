"""Feature mapping: from features to the inputs of the autoencoders."""

from __future__ import annotations

import numpy as np

from bricks.kernels.kitnet.mapping import map_batch
from bricks.models.model_file import Model
from bricks.records.brick import Batch, Brick
from lego_sdn.core.facts.errors import BrickError


def wanted_width(brick: Brick, batch: Batch, width: int) -> np.ndarray:
    """The values of a batch for the kernels: float64 [n, width], rows contiguous; BrickError if they are something else."""
    values = batch.values
    found = None if values is None else values.shape
    if found != (len(batch), width):
        raise BrickError(f"{brick.id}: takes values of shape ({len(batch)}, {width}), was given {found}; its model is of another layout")
    return np.ascontiguousarray(values, dtype=np.float64)


class FeatureMapping(Brick, kind="feature-mapping"):
    """Normalise each feature by its range in training and put the features of each autoencoder side by side.

    In:    features  float64 [n, width of the layout]
    Out:   the same rows, mapped values  float64 [n, width], in cluster order
    State: none (any replica may take any batch)
    Reads: packets
    """

    def __init__(self, serial: int, model: Model) -> None:
        super().__init__(serial)
        self.model = model
        self._scale = 1.0 / model.span  # a division costs as much as all the rest of this brick
        self.counters = {"packets": 0}

    def process(self, batch: Batch) -> Batch:
        model = self.model
        features = wanted_width(self, batch, model.width)
        mapped = np.empty_like(features)
        map_batch(features, model.order, model.low, self._scale, mapped)
        self.counters["packets"] += len(batch)
        return Batch(batch.head, mapped)
