"""Table II of the LEGO paper through the live system: instances behind the switch, split by one header group after the other.

The Ryu app steers by each of them (`granularity`, with `exact: false`), and by SrcIP with shadows. All packets carry stamps, so a split
alone decides what is scored how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bricks.feature_quantization import extract
from bricks.files.frames import read_frames
from bricks.files.scores import SCORE, read_scores
from bricks.learning.threshold import score_features
from bricks.models.model_file import Model, load_model
from bricks.offline.verify import Comparison, row_of
from bricks.streams.assign import assign
from lego_sdn.core.facts.config import CaptureSettings, Config, InstanceSettings, ScalingSettings
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.nf.split_key import SplitKey
from lego_sdn.experiments.paper.inputs import PaperInputs
from lego_sdn.experiments.paper.lab import Lab, Offered
from lego_sdn.system.local import key_of

ORIGINAL = "Original"
DRAIN_MS = 10_000
REPLAY_S = 600.0
BUCKETS = 256  # 4 low bits of either field of two, 2 of each of four
_MIX, _SHIFT = 0x9E3779B1, 15


@dataclass(frozen=True)
class Table2Plan:
    """What is replayed, how many instances, packets/s, a folder, and who hears of progress."""

    inputs: PaperInputs
    replicas: int
    pps: float
    folder: Path
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Offline:
    """The traffic and what scores it has to get.

    packets  PACKET [packets]; unsplit: float64 [packets]
    """

    model: Model
    packets: np.ndarray
    unsplit: np.ndarray

    def split(self, owners: np.ndarray) -> np.ndarray:
        """Scores if each owner (int64 [packets]) sees its own packets and nothing else: float64 [packets]."""
        scores = np.empty(len(self.packets))
        for owner in np.unique(owners):
            mine = owners == owner
            scores[mine] = score_features(self.model, extract(self.packets[mine], self.model.layout))
        return scores

    def compared(self, seqs: np.ndarray, scores: np.ndarray) -> Comparison:
        """Scores of some packets against those of the unsplit run."""
        found = Comparison(0, self.model.threshold)
        nothing = np.empty((len(seqs), 0))
        found.add(seqs, (nothing, nothing), (self.unsplit[seqs], scores))
        return found


def offline(inputs: PaperInputs) -> Offline:
    """Read and score the traffic without a split."""
    model = load_model(inputs.model)
    packets = read_frames(inputs.captures).stamped_packets()
    return Offline(model, packets, score_features(model, extract(packets, model.layout)))


def measure(plan: Table2Plan, names: tuple[str, ...], ours: str) -> list[dict[str, Any]]:
    """A row for each header group, then one for SrcIP with shadows, after one for the unsplit run.

    A row is what `lego verify --table2` says of a split, and: packets that got no score (missing) or two (twice), and packets whose score
    is not, bit for bit, what the same division gives when it is simulated (unlike_simulated).
    """
    known = offline(plan.inputs)
    everyone = np.arange(len(known.packets))
    original = known.compared(everyone, known.unsplit)
    rows = [row_of(ORIGINAL, original, original) | {"missing": 0, "twice": 0, "unlike_simulated": 0}]
    for at, name in enumerate((*names, ours)):
        plan.say(f"{name}: {plan.replicas} instances")
        rows.append(_row(plan, known, original, (at, name, name == ours)))
    return rows


def _row(plan: Table2Plan, known: Offline, original: Comparison, which: tuple[int, str, bool]) -> dict[str, Any]:
    at, name, exact = which
    config = _config(plan, None if exact else name)
    with Lab(config, plan.folder / f"row{at}", plan.say, scores=True) as lab:
        if not exact:
            _scatter(lab, plan.replicas)
        owners = _owners(lab, known.packets, key_of(config))
        records = _play(lab, plan)
    seqs, first, counts = np.unique(records["seq"].astype(np.int64), return_index=True, return_counts=True)
    scores = np.ascontiguousarray(records["score"][first])
    simulated = (known.unsplit if exact else known.split(owners))[seqs]
    told = {"missing": len(known.packets) - len(seqs), "twice": int(np.count_nonzero(counts > 1))}
    told["unlike_simulated"] = int(np.count_nonzero(scores.view(np.uint64) != simulated.view(np.uint64)))
    return row_of(name, known.compared(seqs, scores), original) | told


def _config(plan: Table2Plan, granularity: str | None) -> Config:
    """Split by a header group without copies, or (None) exactly."""
    return Config(
        model=str(plan.inputs.model),
        layout=plan.inputs.layout,
        exact=granularity is None,
        granularity=granularity,
        buckets=BUCKETS,
        instance=InstanceSettings(),
        capture=CaptureSettings(stamps="trailer"),
        scaling=ScalingSettings(min_instances=plan.replicas, max_instances=plan.replicas),
    )


def _scatter(lab: Lab, replicas: int) -> None:
    """Buckets to instances without a pattern: those of A to B and of B to A are two keys, and neighbours are strangers."""
    for instance in range(1, replicas + 1):
        lab.ask("move", buckets=[bucket for bucket in range(BUCKETS) if scattered(bucket, replicas) == instance], instance=instance)
        lab.wait_for(f"buckets of instance {instance} moved", lambda: lab.settled(replicas))


def scattered(bucket: int, replicas: int) -> int:
    """The instance of a bucket."""
    return 1 + ((bucket + 1) * _MIX >> _SHIFT) % replicas


def _owners(lab: Lab, packets: np.ndarray, key: SplitKey) -> np.ndarray:
    """The instance of each packet, by the assignment in force."""
    shown = lab.get("assignment")["buckets"]
    owners, _ = assign(packets, np.array([row["owner"] for row in shown], np.int64), key)
    return owners


def _play(lab: Lab, plan: Table2Plan) -> np.ndarray:
    """Replay everything once, end the instances, drained; their SCORE records."""
    replay = lab.replay(Offered(plan.inputs.captures, ("--pps", str(plan.pps), "--stamp")))
    _, words = replay.communicate(timeout=REPLAY_S)
    if replay.returncode:
        raise HostError(f"the replay ended: {(words.strip().splitlines() or ['without a word'])[-1]}")
    lab.end_controller()  # it would start instances again
    for one in lab.agent.call("instances"):
        lab.agent.call("stop_instance", one["instance"], DRAIN_MS, timeout=DRAIN_MS / 1e3 + 20)
    files = [read_scores(path) for path in sorted((lab.folder / "scores").iterdir())]
    return np.concatenate(files) if files else np.empty(0, SCORE)
