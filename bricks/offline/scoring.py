"""What the offline commands do: features, training and scores of captures, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bricks.explanation.shares import EXPLAINED, Explainer
from bricks.feature_mapping import FeatureMapping
from bricks.feature_quantization import NAMES, FeatureQuantization
from bricks.files.captures import BLOCK, Capture, Room, TimeLine, open_capture
from bricks.files.npy import NpyWriter
from bricks.kernels.transport.worker_pick import BATCH
from bricks.learning.training import Training, fitted, train_model
from bricks.models.model_file import Model
from bricks.records.brick import Batch, Brick
from bricks.records.hidden import count_hidden, hidden_warnings
from bricks.records.packets import HIDDEN, PACKET, SHADOW
from bricks.unsupervised_network import UnsupervisedNetwork
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.errors import CaptureError, LegoError
from lego_sdn.core.facts.loss import is_partial

STREAMS = 1_000_000  # of each kind; memory is taken as they come

Progress = Callable[[int], None]  # hears of each number of packets done


def silent(packets: int) -> None:
    """Nobody listens."""


@dataclass
class CaptureSummary:
    """What became of the packets, and what the user should know."""

    packets: int = 0
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"packets": self.packets, **self.facts, "partial": is_partial(self.warnings), "warnings": self.warnings}

    @contextmanager
    def told(self) -> Iterator[None]:
        """If the body fails, its error carries the warnings: what was lost may be why."""
        try:
            yield
        except LegoError as error:
            for warning in self.warnings:
                error.add_note(warning)
            raise


def read_blocks(paths: Iterable[str | Path], summary: CaptureSummary, block: int = BLOCK, room: Room | None = None) -> Iterator[np.ndarray]:
    """PACKET blocks of the captures, as one time line; a cut file is read up to the cut, and `summary` says so,
    and how many packets have addresses that the switch does not see. `room`: see `Capture`."""
    line, hidden = TimeLine(), np.zeros(len(HIDDEN), np.int64)
    try:
        for path in paths:
            before = summary.packets
            with open_capture(path, block, room) as capture, _warnings_of(capture, summary):
                for number, rows in enumerate(capture):
                    line.place(rows["time_ns"], begins=number == 0)
                    rows["seq"] += np.uint64(before)
                    summary.packets += len(rows)
                    hidden += count_hidden(rows)
                    yield rows
    finally:  # also if the reader of the blocks has enough of them
        summary.warnings += hidden_warnings(hidden)
    if not summary.packets:
        raise no_packet(paths, summary.warnings)


@contextmanager
def _warnings_of(capture: Capture, summary: CaptureSummary) -> Iterator[None]:
    """Take them over at the end, also if the reader of the blocks has enough of them."""
    try:
        yield
    finally:
        summary.warnings += capture.warnings


def no_packet(paths: Iterable[str | Path], warnings: Iterable[str]) -> CaptureError:
    """The error of captures without a packet that can be read: with what is known of why."""
    told, none = "; ".join(warnings), "there is no packet in it that can be read"
    return CaptureError(f"{none}: {told}" if told else f"{' '.join(map(str, paths))}: {none}")


def note_evictions(counters: dict[str, int], summary: CaptureSummary) -> None:
    """Say so if the bound on streams made the state forget some."""
    evicted = BrickCounters.of(counters).all_evicted
    summary.facts["evicted"] = evicted
    if evicted:
        summary.warnings.append(
            f"{evicted} streams were forgotten to stay within the bound; raise --streams for exact statistics of all of them"
        )


def write_features(paths: list[str | Path], out: str | Path, brick: Brick, width: int, progress: Progress = silent) -> CaptureSummary:
    """Write the features of every packet, by a keyed brick: float64 [packets, width]."""
    summary = CaptureSummary()
    with summary.told(), NpyWriter(out, width) as writer:
        for rows in read_blocks(paths, summary):
            for first in range(0, len(rows), BATCH):
                writer.append(_values(brick.process(Batch(rows[first : first + BATCH]))))
            progress(len(rows))
    note_evictions(brick.counters, summary)
    return summary


def train_on(paths: list[str | Path], training: Training, fit: bool = False, progress: Progress = silent) -> tuple[Model, CaptureSummary]:
    """Learn a model from the first packets of captures; what comes after them is not read.

    With `fit`, a shorter capture is used whole, see `fitted`; else it is an error. `progress` hears of a packet twice: read, learned.
    """
    summary, brick = CaptureSummary(), FeatureQuantization(0, training.layout, STREAMS)
    with summary.told():
        features = _first_features(read_blocks(paths, summary), brick, training.vectors, progress)
        taken = summary.packets = len(features)
        training = fitted(training, taken) if fit else training
        model = train_model(features, training, progress)
    summary.facts = {
        "layout": training.layout,
        "fm_grace": training.fm_grace,
        "ad_grace": training.ad_grace,
        "clusters": model.sizes.tolist(),
        "threshold": model.threshold,
        "calibration": model.about["calibration"],
    }
    note_evictions(brick.counters, summary)
    return model, summary


def _first_features(blocks: Iterable[np.ndarray], brick: FeatureQuantization, most: int, progress: Progress) -> np.ndarray:
    """Features of the first packets, up to `most`: float64 [packets, width]."""
    features, taken = np.empty((most, brick.width)), 0
    for rows in blocks:
        for first in range(0, len(rows), BATCH):
            found = _values(brick.process(Batch(rows[first : first + BATCH])))[: most - taken]
            features[taken : taken + len(found)] = found
            taken += len(found)
            progress(len(found))
        if taken == most:
            break
    return features[:taken]


def _values(batch: Batch) -> np.ndarray:
    assert batch.values is not None
    return batch.values


@dataclass(frozen=True)
class Scoring:
    """How to score. `skip` packets are taken into the statistics only: their score is 0; `workers` processes share the work.
    `explain`: alerts are explained."""

    model: Model
    skip: int = 0
    workers: int = 1
    precision: str = "float64"
    threshold: float | None = None
    streams: int = STREAMS
    explain: bool = False

    @property
    def limit(self) -> float:
        """The score above which there is an alert."""
        return self.model.threshold if self.threshold is None else self.threshold


class OfflineChain:
    """The bricks from packets to scores, in this process."""

    def __init__(self, scoring: Scoring) -> None:
        model = scoring.model
        self.extractor = FeatureQuantization(0, model.layout, scoring.streams)
        self.mapping = FeatureMapping(0, model)
        self.network = UnsupervisedNetwork(0, model, scoring.precision)

        self._explainer = Explainer(model, NAMES[model.layout], scoring.precision)
        self._limit = scoring.limit
        self._no_heads = np.zeros(BATCH, PACKET)  # where only values are of interest

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Features of PACKET rows, in stamp order: float64 [rows that are no shadows, width]."""
        return _values(self.extractor.process(Batch(rows)))

    def features_into(self, rows: np.ndarray, out: np.ndarray) -> int:
        """Features of PACKET rows into `out`, which may lie anywhere; returns how many."""
        return self.extractor.state.advance(rows, out)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Scores of up to BATCH features [n, width]: float64 [n]."""
        return _values(self.network.process(self.mapping.process(Batch(self._no_heads[: len(features)], features))))[:, 0]

    def explain_alerts(self, features: np.ndarray, scores: np.ndarray, places: np.ndarray, explained: np.ndarray) -> None:
        """Explain those of the features [n, width] whose score raises an alert; they are at `places` [n] of scores and EXPLAINED."""
        raised = np.flatnonzero(scores[places] > self._limit)
        if len(raised):
            explained[places[raised]] = self._explainer.records(features[raised])


class ScoredBlock(NamedTuple):
    """PACKET rows [n] in stamp order, their scores, float64 [n], and EXPLAINED [n], of the alerts among them, or None."""

    rows: np.ndarray
    scores: np.ndarray
    explained: np.ndarray | None = None


Scored = Iterator[ScoredBlock]  # valid until the next one


def score_here(paths: list[str | Path], scoring: Scoring, summary: CaptureSummary) -> Scored:
    """Block after block, one batch at a time through the whole chain."""
    chain = OfflineChain(scoring)
    for rows in read_blocks(paths, summary):
        scores, explained = np.zeros(len(rows)), np.zeros(len(rows), EXPLAINED) if scoring.explain else None
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            features = chain.features(batch)
            if len(features) and int(batch["seq"][-1]) >= scoring.skip:
                places = first + np.flatnonzero(batch["flags"] & SHADOW == 0)
                scores[places] = chain.score(features)
                if explained is not None:
                    chain.explain_alerts(features, scores, places, explained)
        zero_skipped(scores, int(rows["seq"][0]), scoring.skip)
        yield ScoredBlock(rows, scores, explained)
    note_evictions(chain.extractor.counters, summary)


def zero_skipped(scores: np.ndarray, first: int, skip: int) -> None:
    """The packets before number `skip` have the score 0; `first`: the number of the first row."""
    scores[: max(0, skip - first)] = 0.0
