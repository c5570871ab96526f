"""Score Output Equivalence, checked: a capture scored without a split and with simulated ones, compared bit for bit.

Table II of the LEGO paper is the same comparison for one split per header group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bricks.feature_quantization import NAMES, FeatureQuantization
from bricks.learning.threshold import score_features
from bricks.models.model_file import Model
from bricks.offline.scoring import STREAMS, CaptureSummary, Progress, note_evictions, read_blocks, silent
from bricks.offline.simulated_split import SimulatedSplit, Split
from bricks.records.brick import Batch
from lego_sdn.core.facts.errors import LegoError

BLOCK = 16_384  # packets compared at a time
FINE, COARSE = 1e-6, 0.1  # a score is off by more than this share of itself


Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class VerifiedNF:
    """What is verified: names of the features of a layout, how its keyed brick is built, and how features become scores.

    new_brick  (number, layout, streams, split key) -> brick; score  (PACKET [n], features [n, width]) -> float64 [n]
    threshold  a score above it is an alert
    """

    layout: str
    names: tuple[str, ...]
    threshold: float
    new_brick: Callable[..., Any]
    score: Score


def of_kitsune(model: Model) -> VerifiedNF:
    """Kitsune with this model."""
    score: Score = lambda heads, features: score_features(model, features)  # noqa: E731
    return VerifiedNF(model.layout, NAMES[model.layout], model.threshold, FeatureQuantization, score)


@dataclass
class Comparison:
    """Features and scores of a split run against those of the unsplit run, as the blocks come.

    packets, different   packets that are no shadows; those of them with any feature that has other bits
    counts, largest      int64, float64 [features]: packets in which a feature has other bits, and its largest relative difference
    scores               packets whose score has other bits; fine, coarse: whose score is off by more than FINE, COARSE
    first_feature, first_score   number of the first packet whose features, or score, differ
    total, alerts, lost  sum of the split run's scores, its alerts, and the unsplit run's alerts that it does not raise
    """

    width: int
    threshold: float
    packets: int = 0
    different: int = 0
    scores: int = 0
    fine: int = 0
    coarse: int = 0
    largest_score: float = 0.0
    first_feature: int | None = None
    first_score: int | None = None
    total: float = 0.0
    alerts: int = 0
    lost: int = 0
    counts: np.ndarray = field(init=False)
    largest: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts, self.largest = np.zeros(self.width, np.int64), np.zeros(self.width)

    def add(self, seqs: np.ndarray, features: tuple[np.ndarray, np.ndarray], scores: tuple[np.ndarray, np.ndarray]) -> None:
        """A block: numbers of its packets [n]; features [n, width] and scores [n], float64, each unsplit and split."""
        self._add_features(seqs, *features)
        self._add_scores(seqs, *scores)

    def _add_features(self, seqs: np.ndarray, unsplit: np.ndarray, split: np.ndarray) -> None:
        other = unsplit.view(np.uint64) != split.view(np.uint64)
        rows = np.flatnonzero(other.any(axis=1))
        self.packets += len(seqs)
        self.different += len(rows)
        if len(rows):
            self.counts += np.count_nonzero(other, axis=0)
            self.largest = np.fmax(self.largest, np.fmax.reduce(relative(unsplit[rows], split[rows]), axis=0))
            self.first_feature = int(seqs[rows[0]]) if self.first_feature is None else self.first_feature

    def _add_scores(self, seqs: np.ndarray, unsplit: np.ndarray, split: np.ndarray) -> None:
        rows = np.flatnonzero(unsplit.view(np.uint64) != split.view(np.uint64))
        self.total += float(split.sum())
        self.alerts += int(np.count_nonzero(split > self.threshold))
        self.lost += int(np.count_nonzero((unsplit > self.threshold) & ~(split > self.threshold)))
        self.scores += len(rows)
        if len(rows):
            off = relative(unsplit[rows], split[rows])
            self.fine += int(np.count_nonzero(off > FINE))
            self.coarse += int(np.count_nonzero(off > COARSE))
            self.largest_score = float(np.fmax(self.largest_score, np.fmax.reduce(off)))
            self.first_score = int(seqs[rows[0]]) if self.first_score is None else self.first_score


def relative(unsplit: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Difference as a share of the unsplit value; of the other one where that is 0."""
    against = np.abs(np.where(unsplit != 0, unsplit, split))
    return np.abs(split - unsplit) / np.where(against > 0, against, 1.0)


@dataclass(frozen=True)
class Verified:
    """What one split did to the scores; names: of the features."""

    split: Split
    fleet: SimulatedSplit
    found: Comparison
    names: tuple[str, ...]

    @property
    def same(self) -> bool:
        return self.found.scores == 0

    @property
    def promised(self) -> tuple[str, ...]:
        """Features that the plan declares exact when split so; none after state was left behind."""
        if self.fleet.moved and not self.split.state_moves:
            return ()
        return self.split.plan.exact if self.split.shadows else self.split.plan.alone


@dataclass(frozen=True)
class VerifyOutcome:
    """All splits of one pass over the captures; `unsplit`: the unsplit run, held against itself."""

    unsplit: Comparison
    runs: list[Verified]
    summary: CaptureSummary


def verify(paths: list[str | Path], model: Model | VerifiedNF, splits: list[Split], progress: Progress = silent) -> VerifyOutcome:
    """Play the captures (one time line) unsplit and through each split, in bounded memory.

    CaptureError as `read_blocks` raises it; LegoError if the captures end before an event.
    """
    nf = model if isinstance(model, VerifiedNF) else of_kitsune(model)
    summary, extractor = CaptureSummary(), nf.new_brick(0, nf.layout, STREAMS)
    unsplit = Comparison(len(nf.names), nf.threshold)
    runs = [Verified(split, SimulatedSplit(split, nf.layout, STREAMS, nf.new_brick), replace(unsplit), nf.names) for split in splits]
    with summary.told():
        for rows in read_blocks(paths, summary, BLOCK):
            batch = extractor.process(Batch(rows))
            assert batch.values is not None
            scores = nf.score(batch.head, batch.values)
            unsplit.add(batch.head["seq"], (batch.values, batch.values), (scores, scores))
            for run in runs:
                values = run.fleet.features(rows)
                run.found.add(batch.head["seq"], (batch.values, values), (scores, nf.score(batch.head, values)))
            progress(len(rows))
        _check_events(runs, summary)
    note_evictions(extractor.counters | {f"evicted_{n}": run.fleet.evicted for n, run in enumerate(runs)}, summary)
    return VerifyOutcome(unsplit, runs, summary)


def _check_events(runs: list[Verified], summary: CaptureSummary) -> None:
    for run in runs:
        for event in run.fleet.pending:
            raise LegoError(
                f"event {event.packet}:{event.replicas} never comes: the captures have {summary.packets} packets; give an earlier one"
            )


def describe(run: Verified) -> dict[str, Any]:
    """What `lego verify` says of a run, as JSON: see its help; features are those that differ, the most packets first."""
    found, fleet, plan = run.found, run.fleet, run.split.plan
    names = run.names
    order = sorted(np.flatnonzero(found.counts).tolist(), key=lambda at: (-found.counts[at], at))
    differing = {names[at] for at in order}
    return {
        "packets": found.packets,
        "identical": run.same,
        "packets_different": found.different,
        "share_of_packets": _share(found.different, found.packets),
        "share_of_values": _share(int(found.counts.sum()), found.packets * found.width),
        "first_packet_with_other_features": found.first_feature,
        "features": [{"name": names[at], "packets": int(found.counts[at]), "largest": float(found.largest[at])} for at in order],
        "scores": {
            "different": found.scores,
            "share": _share(found.scores, found.packets),
            "largest": found.largest_score,
            "first_packet": found.first_score,
            "alerts": found.alerts,
            "alerts_lost": found.lost,
        },
        "split": {
            "granularity": plan.granularity.name,
            "replicas": run.split.replicas,
            "shadows": [plan.spell(target) for target in run.split.targets],
            "deliveries_per_packet": 1 + fleet.shadows / fleet.packets,
            "events": [
                {"packet": moved.event.packet, "replicas": moved.event.replicas, "buckets": moved.buckets, "state_bytes": moved.state_bytes}
                for moved in fleet.moved
            ],
        },
        "promised_exact": len(run.promised),
        "promise_broken": sorted(differing & set(run.promised)),
        "promise_rests_on": _rests_on(run.split),
        "notes": notes(run.split),
    }


def _rests_on(split: Split) -> str:
    """What is wrong where a feature declared exact differs."""
    assumed = " and ".join(split.assume)
    return f"the traffic does not keep to {assumed}" if assumed else "the declaration and the extractor contradict each other"


def notes(split: Split) -> list[str]:
    """What the user should know of a split: why it has no shadows, what they cannot keep, and where state stays behind."""
    plan, said = split.plan, []
    lost = len(plan.approximate)
    if not plan.shadows:
        said.append(
            f"a split by {plan.granularity} can have no shadows: {lost} features read streams whose readers no header field names"
            if lost
            else f"a split by {plan.granularity} needs no shadows"
        )
    elif split.shadows and lost:
        said.append(f"shadows cannot keep {lost} features exact: they read streams whose readers no header field names")
    if split.shadows and plan.rounding:
        said.append(f"{len(plan.rounding)} features change by rounding only (which may be all of a variance near 0)")
    if split.events and not split.by_address:
        said.append(f"state moves by one address, so that new owners of a {plan.granularity} start cold")
    elif split.events and not split.shadows:
        said.append("without shadows no state moves: new owners start cold")
    return said


def row_of(name: str, found: Comparison, original: Comparison) -> dict[str, Any]:
    """One row of Table II (LEGO paper, section V): what is left of the scores when traffic is split so."""
    mean = found.total / max(1, found.packets)
    return {
        "split": name,
        "mean_score": mean,
        "ratio": found.total / original.total if original.total else 1.0,
        "share_off_fine": _share(found.fine, found.packets),
        "share_off_coarse": _share(found.coarse, found.packets),
        "scores_different": found.scores,
        "alerts": found.alerts,
        "alerts_lost": found.lost,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
