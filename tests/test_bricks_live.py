"""Brick by brick on a real host: the slow brick is found and replicated by itself, merged when load falls; no score differs in a bit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lego_sdn.adapters.wire import free_port
from lego_sdn.core.config import Config
from lego_sdn.experiment import Experiment, Observation, prepare
from lego_sdn.testbed import Load
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root

LEARNING = "unsupervised-network"
PACKETS = 3900
BRIDGE = f"lb{os.getpid()}"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> tuple[Path, ...]:
    made = traffic(devices=6, benign_packets=PACKETS - 1000, attack_packets=1000, seed=11)
    folder = tmp_path_factory.mktemp("traffic")
    paths = folder / "benign.pcap", folder / "attack.pcap"
    for path, rows in zip(paths, (slice(0, PACKETS - 1000), slice(PACKETS - 1000, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    return paths


def configuration(folder: Path, model: Path, **more: Any) -> Config:
    """A learning network that takes some 200 packets/s with its quota, and other bricks that take several times that."""
    slow = {LEARNING: 450.0, "feature-quantization": 20.0}
    sections = {
        "run_dir": str(folder / "run"),
        "model": str(model),
        "switch": {"bridge": BRIDGE, "openflow_port": free_port()},
        "rest": {"port": free_port()},
        "instance": {"cpu_quota": 0.1, "placement": "separate", "batch": 16, "slow_us": slow},
        "scaling": {"policy": "bricks", "reallocate": False, "max_instances": 1, "period_s": 0.4, "cooldown_s": 1.0, "down_after": 5},
        "sla": {"latency_ms": 10_000.0, "loss": 0.01, "window_s": 2.0},
    }
    return Config.parse(sections | more)


def until(experiment: Experiment, fact: Callable[[Observation], Any], what: str) -> Observation:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = experiment.look()
        if fact(seen):
            return seen
        assert time.monotonic() < deadline, f"not yet: {what}; {experiment.actions[-5:]}"


def of_kind(seen: Observation, kind: str) -> list[dict[str, Any]]:
    return [row for row in seen.bricks["bricks"] if row["kind"] == kind]


def rate(looks: list[Observation]) -> float:
    """The most packets/s that the learning network took, all replicas together."""
    return max(sum(row["packets_per_s"] for row in of_kind(seen, LEARNING)) for seen in looks)


def test_the_learning_network_is_replicated_and_merged_by_itself(captures, tmp_path):
    load = Load(captures, 260.0)
    prepared = prepare(load, None, tmp_path)
    with Experiment(configuration(tmp_path, prepared.model), tmp_path, print) as experiment:
        looks = list(experiment.watch(load, 0.0))
        alone = [seen for seen in looks if len(of_kind(seen, LEARNING)) == 1]
        joint = [seen for seen in looks if len(of_kind(seen, LEARNING)) == 2]
        until(experiment, lambda seen: len(of_kind(seen, LEARNING)) == 1 and seen.quiet, "the replica is merged")
        summary = experiment.finish(prepared.unsplit)
    texts = [f"{action['kind']}: {action['text']}" for action in experiment.actions]
    replicated = [text for text in texts if text.startswith(f"replicate: one more replica of {LEARNING} in instance 1: {LEARNING}-0: its")]
    assert replicated, texts
    assert f"started: {LEARNING}-1 runs in instance 1" in texts
    assert any(text.startswith(f"merge: {LEARNING}-1 of instance 1 goes") for text in texts), texts
    assert any(text.startswith("deadlines: deadlines in instance 1: packet-batching") for text in texts), texts
    found = [seen.status["instances"][0]["bottleneck"] for seen in alone if seen.status["instances"][0].get("bottleneck")]
    assert f"{LEARNING}-0" in [one["brick"] for one in found]
    assert rate(joint) > 1.2 * rate(alone)
    shown = [row for seen in joint for row in of_kind(seen, LEARNING) if row["cost_us"]]
    assert all(row["estimate_us"] > 400 for row in shown)
    assert any(row["deadline"] for row in shown)
    assert summary.sent == summary.forwarded == summary.comparison.scored == summary.comparison.equal == PACKETS
    assert (summary.missing, summary.comparison.twice, summary.dropped) == (0, 0, {})
