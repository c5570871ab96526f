"""Learning a model from packets as they come: the model is that of `train_model` on the same vectors, bit for bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from bricks.feature_quantization import LAYOUTS, NAMES
from bricks.learning.feature_map import learn_map
from bricks.learning.threshold import choose_threshold, score_features
from bricks.learning.training import Trainee, Training
from bricks.models.model_file import Model
from bricks.records.addresses import address_text, addresses
from bricks.records.packets import PACKET

_CHUNK = 1024  # vectors that are trained on before the next packets are read
_SHOWN = 5  # sources
_DAY_S = 86_400
_NO_EVENT = 3.0  # of n vectors none exceeds: with 95 % confidence the true share is at most this / n


class LiveTraining:
    """Takes vectors, in stamp order, until there are `training.vectors` of them. They are held for the threshold and the report."""

    def __init__(self, training: Training) -> None:
        self.training, self.taken = training, 0
        self._features = np.empty((training.vectors, LAYOUTS[training.layout]))
        self._heads = np.empty(training.vectors, PACKET)
        self._trainee: Trainee | None = None
        self._trained = training.fm_grace + 1

    @property
    def done(self) -> bool:
        return self.taken == self.training.vectors

    def add(self, head: np.ndarray, features: np.ndarray) -> int:
        """Take in vectors: PACKET [n] and float64 [n, width]. Returns how many were wanted, the first of them."""
        count = min(len(features), self.training.vectors - self.taken)
        place = slice(self.taken, self.taken + count)
        self._features[place], self._heads[place] = features[:count], head[:count]
        self.taken += count
        if self._trainee is None and self.taken > self.training.fm_grace:
            self._trainee = Trainee(learn_map(self._features[: self.training.fm_grace + 1], self.training.max_size), self.training)
        while self._trainee is not None and self._trained < self.taken and (self.done or self.taken - self._trained >= _CHUNK):
            last = min(self._trained + _CHUNK, self.taken)
            self._trainee.learn(self._features[self._trained : last])
            self._trained = last
        return count

    def model(self) -> Model:
        """The model, when it is `done`; `about["report"]` says what it was learned from."""
        assert self._trainee is not None
        trained = self._features[self.training.fm_grace + 1 :]
        model = choose_threshold(self._trainee.model(), trained)
        return replace(model, about={**model.about, "report": self._report(model)})

    def _report(self, model: Model) -> dict[str, Any]:
        """See docs/reference/eve.md, "Training report"."""
        names, times = NAMES[model.layout], self._heads["time_ns"]
        scores = score_features(model, self._features[self.training.fm_grace + 1 :])
        seconds = (int(times.max()) - int(times.min())) / 1e9
        flat = np.flatnonzero(self._features.max(axis=0) == self._features.min(axis=0))
        above = self._heads[self.training.fm_grace + 1 :][scores > model.threshold]
        return {
            "packets": self.taken,
            "seconds": seconds,
            "sources": len(np.unique(addresses(self._heads))),
            "constant_features": [names[at] for at in flat.tolist()],
            "outliers": {"packets": len(above), "sources": _most(above)},
            "threshold": model.threshold,
            "alerts_per_day": _cost(model, self.taken / seconds if seconds > 0 else None),
        }


def _most(heads: np.ndarray) -> dict[str, int]:
    """The sources with most packets."""
    return {address_text(*source): count for source, count in Counter(addresses(heads).tolist()).most_common(_SHOWN)}


def _cost(model: Model, packets_per_s: float | None) -> dict[str, float] | None:
    """Alerts that ordinary traffic of this rate raises in a day: by the fit of the scores, and at most, with 95 % confidence."""
    if packets_per_s is None:
        return None
    found = model.about["calibration"]
    deviation = found["log_deviation"]
    beyond = (float(np.log(model.threshold)) - found["log_mean"]) / deviation if deviation > 0 else 0.0
    share = NormalDist().cdf(-beyond) if deviation > 0 else 0.0
    a_day = packets_per_s * _DAY_S
    return {"expected": share * a_day, "at_most": max(share, _NO_EVENT / found["vectors"]) * a_day}


def report_text(report: dict[str, Any]) -> list[str]:
    """The training report in sentences."""
    lines = [f"learned from {report['packets']:,} packets of {report['sources']:,} sources in {report['seconds']:,.1f} s"]
    if flat := report["constant_features"]:
        lines.append(f"{len(flat)} features never changed: {', '.join(flat[:_SHOWN])}{', ...' if len(flat) > _SHOWN else ''}")
    outliers = report["outliers"]
    if outliers["packets"]:
        by = ", ".join(f"{source} {count:,}" for source, count in outliers["sources"].items())
        lines.append(f"{outliers['packets']:,} of them are above the threshold (by source: {by}): was that ordinary traffic?")
    cost = report["alerts_per_day"]
    a_day = f": {cost['expected']:,.1f} alerts a day are to be expected, {cost['at_most']:,.0f} at most" if cost else ""
    lines.append(f"threshold {report['threshold']:.6g}{a_day}")
    return lines
