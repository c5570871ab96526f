"""Class result: from the decisions of a classifier to alerts that name the class, the decision maker of an instance."""

from __future__ import annotations

from typing import Any

import numpy as np

from bricks.feature_mapping import wanted_width
from bricks.models.classifier import Classifier
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from bricks.sample_result import KEPT, SampleResult, _Log
from bricks.supervised_network import CLASS, NO_CLASS, PROBABILITY, SCORE
from lego_sdn.core.facts.errors import BrickError

CLASS_ALERT = np.dtype([("packet", PACKET), ("score", "<f8"), ("class", "<i8"), ("probability", "<f8")])


class ClassResult(SampleResult, kind="class-result"):
    """Raise an alert for every row that is of another class than the ordinary one, with a probability above that class's threshold.

    In:    decisions  float64 [n, 3], in stamp order
    Out:   the same rows, scores  float64 [n, 1]
    State: none that another replica needs; the latest alerts, bounded, and the sources with most of them, bounded
    Reads: packets, alerts, alerts_forgotten, sources_forgotten, out_of_order, not_a_number

    `threshold` stands in for those of all classes. A row without a class raises no alert, and is counted.
    """

    def __init__(self, serial: int, model: Classifier, threshold: float | None = None, kept: int = KEPT) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise BrickError(f"{self.kind}-{serial}: the threshold is {threshold}; of a classifier it is a probability, 0 to 1")
        self.model = model
        self.thresholds = model.thresholds if threshold is None else np.full(len(model.classes), float(threshold))
        super().__init__(serial, model, 1.0, kept)  # the base has one threshold, which is not used here
        self._log = _Log(kept, CLASS_ALERT)
        self.by_class = dict.fromkeys((name for number, name in enumerate(model.classes) if number != model.ordinary), 0)  # alerts

    def process(self, batch: Batch) -> Batch:
        values = wanted_width(self, batch, 3)
        if len(batch):
            self._check_order(batch.head["seq"])
        self.counters["packets"] += len(batch)
        unknown = values[:, CLASS] == NO_CLASS
        self.counters["not_a_number"] += int(np.count_nonzero(unknown))
        classes = np.where(unknown, self.model.ordinary, values[:, CLASS]).astype(np.int64)
        raised = np.flatnonzero((classes != self.model.ordinary) & (values[:, PROBABILITY] > self.thresholds[classes]))
        if len(raised):
            rows = np.empty(len(raised), CLASS_ALERT)
            rows["packet"], rows["class"] = batch.head[raised], classes[raised]
            rows["score"], rows["probability"] = values[raised, SCORE], values[raised, PROBABILITY]
            self._keep(rows)
            for number, count in zip(*np.unique(rows["class"], return_counts=True), strict=True):
                self.by_class[self.model.classes[number]] += int(count)
        return Batch(batch.head, values[:, [SCORE]])

    def _told(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """As of `SampleResult`, with the class's name, its probability and its threshold."""
        told = super()._told(rows)
        for alert, number, probability in zip(told, rows["class"].tolist(), rows["probability"].tolist(), strict=True):
            name = self.model.classes[number]
            alert |= {"class": name, "probability": probability, "threshold": float(self.thresholds[number])}
        return told
