"""Brick by brick on a real host: the slow brick is found and replicated by itself, merged when load falls; no score differs in a bit."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.config import Config
from lego_sdn.experiments.accounting import RunSummary
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.run import Experiment, RunObservation, prepare
from tests.live.session import fields_of
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root

LEARNING, KEYED = "unsupervised-network", "feature-quantization"
PACKETS = 3600
PPS = {"separate": 400.0, "chained": 240.0}  # twice what the learning network takes; a little more than the chain takes
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


def configuration(folder: Path, model: Path, placement: str) -> Config:
    """One brick takes some 200 packets/s with its quota, and the others several times that: the learning network; or, chained, the brick
    with the streams, which is the one that leaves its chain (a learning network gets a replica beside it)."""
    slow = {LEARNING: 450.0, KEYED: 20.0} if placement == "separate" else {KEYED: 450.0}
    scaling = {"policy": "bricks", "reallocate": False, "max_instances": 1, "period_s": 0.4, "cooldown_s": 1.0, "down_after": 5}
    sections = {
        "run_dir": str(folder / "run"),
        "model": str(model),
        "switch": {"bridge": BRIDGE, "openflow_port": free_port()},
        "rest": {"port": free_port()},
        "instance": {"cpu_quota": 0.1, "placement": placement, "batch": 16, "slow_us": slow},
        "scaling": scaling,
        "sla": {"latency_ms": 200.0 if placement == "separate" else 10_000.0, "loss": 0.01, "window_s": 1.0},
    }
    return Config.parse(sections)


@dataclass
class Run:
    """What was seen of a run: looks while packets were sent, events, and the account at the end."""

    looks: list[RunObservation]
    events: list[dict[str, Any]]
    summary: RunSummary

    def assert_exact(self) -> None:
        summary = self.summary
        assert summary.sent == summary.forwarded == summary.comparison.scored == summary.comparison.equal == PACKETS
        assert (summary.missing, summary.comparison.twice, summary.out_of_order, summary.dropped) == (0, 0, 0, {})

    def at(self, kind: str, type: str, **fields: Any) -> int:
        """The number of the first event of this kind and type with these fields."""
        found = [at for at, event in enumerate(self.events) if is_it(event, kind, type, **fields)]
        assert found, f"{kind}, {type}, {fields}: {self.events}"
        return found[0]


def is_it(event: dict[str, Any], kind: str, type: str, **fields: Any) -> bool:
    return (event["kind"], event["type"]) == (kind, type) and fields.items() <= event["fields"].items()


def run(captures: tuple[Path, ...], folder: Path, placement: str, last: dict[str, str]) -> Run:
    """Send everything, faster than one slow brick can take it, and wait for an event and the end of its change."""
    load = OfferedTraffic(captures, PPS[placement])
    prepared = prepare(load, None, folder)
    with Experiment(configuration(folder, prepared.model, placement), folder, print) as experiment:
        looks = list(experiment.watch(load, 0.0))
        deadline = time.monotonic() + PATIENCE_S
        while not (experiment.look().quiet and any(is_it(one, **last) for one in experiment.actions)):
            assert time.monotonic() < deadline, f"not yet: {last}; {experiment.actions[-5:]}"
        summary = experiment.finish(prepared.unsplit)
    return Run(looks, experiment.actions, summary)


def of_kind(seen: RunObservation, kind: str) -> list[dict[str, Any]]:
    return [row for row in seen.bricks["bricks"] if row["kind"] == kind]


def verdicts(seen: RunObservation) -> dict[str, str]:
    """Of the learning network, and of the bricks before and after it."""
    near = ("feature-mapping", LEARNING, "sample-result")
    return {row["id"]: row.get("verdict") for kind in near for row in of_kind(seen, kind)}


def rate(looks: list[RunObservation]) -> float:
    """The most packets/s that the learning network took, all replicas together."""
    return max(sum(row["packets_per_s"] for row in of_kind(seen, LEARNING)) for seen in looks)


def test_the_learning_network_is_replicated_and_merged_by_itself(captures, tmp_path):
    merge = {"kind": "merge", "type": "BrickChange", "node": LEARNING}
    done = run(captures, tmp_path, "separate", merge)
    replicated = done.at("replicate", "BrickChange", node=LEARNING)
    assert replicated < done.at("started", "BrickRuns", brick=f"{LEARNING}-1") < done.at(**merge)
    done.at("deadlines", "Notice")
    alone, joint = ([seen for seen in done.looks if len(of_kind(seen, LEARNING)) == count] for count in (1, 2))
    found = [(verdicts(seen), seen.status["instances"][0].get("bottleneck") or {}) for seen in alone]
    found = [(of, told["evidence"]) for of, told in found if told.get("brick") == f"{LEARNING}-0"]
    assert {"feature-mapping-0": "back-pressured", f"{LEARNING}-0": "slow", "sample-result-0": "starved"} in [of for of, _ in found]
    for words in ("kept from running by its quota", "; feature-mapping-0 before it has no room downstream"):
        assert any(words in evidence for _, evidence in found), found
    assert rate(joint) > 1.2 * rate(alone)
    shown = [row for seen in joint for row in of_kind(seen, LEARNING) if row["cost_us"]]
    assert all(row["cost_us"] > 400 for row in shown)
    assert all(row["estimate_us"] is None for row in shown), "nothing was profiled"
    parts = [row["deadline"] for row in shown if row.get("deadline")]
    assert parts
    assert all(0 < part["may_lose"] < 0.01 and part["lost"] == 0 for part in parts)
    assert done.at("sla", "PromiseBroken", promises=["latency"]) < done.at("sla", "PromiseKept")
    assert not any("loss" in one["promises"] for one in fields_of(done.events, "PromiseBroken"))
    done.assert_exact()


def test_a_chained_brick_is_separated_and_chained_again_by_itself(captures, tmp_path):
    done = run(captures, tmp_path, "chained", {"kind": "chain", "type": "ChangeEnded", "outcome": "done"})
    separated = done.at("separate", "BrickChange", node=KEYED)
    assert separated < done.at("separate", "ChangeEnded", outcome="done") < done.at("chain", "BrickChange", node=KEYED)
    done.assert_exact()
