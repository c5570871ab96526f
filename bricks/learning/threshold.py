"""The score above which an alert is raised, chosen from the scores of ordinary traffic.

The frozen model scores the last quarter of the vectors it was trained on. The threshold is the score that one in a million such
vectors would exceed if the logarithms of scores were normally distributed, and at least the largest one seen; but
no more than ten times that one, for a distribution of two humps has a far tail that nothing would ever reach.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from bricks.feature_mapping import FeatureMapping
from bricks.models.model_file import Model
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.unsupervised_network import UnsupervisedNetwork

SHARE = 4  # one in so many of the trained vectors, the last ones
EXCEEDED = 1e-6  # share of ordinary scores above the threshold, by the fit
FARTHEST = 10.0  # times the largest ordinary score
LEAST = 1e-12


def score_features(model: Model, features: np.ndarray, precision: str = "float64") -> np.ndarray:
    """Scores of features [n, width of the layout]: float64 [n]."""
    mapped = FeatureMapping(0, model).process(Batch(np.zeros(len(features), PACKET), features))
    scores = UnsupervisedNetwork(0, model, precision).process(mapped).values
    assert scores is not None
    return scores[:, 0]


def choose_threshold(model: Model, trained: np.ndarray) -> Model:
    """The model with a threshold, from the features [n, width] it was trained on; `about["calibration"]` says how it came about."""
    calibration = trained[-max(1, len(trained) // SHARE) :]
    scores = score_features(model, calibration)
    logs = np.log(np.maximum(scores, LEAST))
    largest, mean, deviation = float(scores.max()), float(logs.mean()), float(logs.std())
    fitted = float(np.exp(min(mean + NormalDist().inv_cdf(1 - EXCEEDED) * deviation, 700.0)))
    threshold = max(min(max(fitted, largest), FARTHEST * largest), LEAST)
    found = {"vectors": len(scores), "largest": largest, "log_mean": mean, "log_deviation": deviation, "exceeded": EXCEEDED}
    return replace(model, threshold=threshold, about={**model.about, "calibration": found})
