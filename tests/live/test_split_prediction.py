"""What `lego plan` predicts is what then happens: the very split is carried out, offline and on a live switch, and compared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bricks.feature_quantization import new_state
from bricks.files.captures import read_packets
from bricks.nfs.kitsune.declaration import EXTRACTORS
from bricks.offline.bucket_traffic import count_packets, count_streams
from bricks.offline.simulated_split import OwnershipChange, SimulatedSplit, Split
from lego_sdn.adapters.files.assignment import read_assignment
from lego_sdn.adapters.files.metis import partition
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.commands.plan import plan
from lego_sdn.commands.verify import verify
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.headers import SRC_IP
from lego_sdn.core.nf.granularity import split_plan
from lego_sdn.core.nf.split_key import BY_SOURCE
from lego_sdn.core.traffic.split_prediction import Prices, SplitOutcome, TrafficMatrix, graph, hashing, one_owner, predict, talkers
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.equivalence import Drive, ProofStep, move
from lego_sdn.experiments.equivalence import prove as carry_out
from lego_sdn.experiments.run import Experiment, prepare
from topologies.traffic import traffic, write_pcap

LAYOUT, STREAMS = "kitsune115", 200_000
WITHIN = 0.1


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    made = traffic(devices=14, benign_packets=6000, attack_packets=2000, seed=5)
    path = tmp_path_factory.mktemp("plan") / "talk.pcap"
    write_pcap(path, made.frames, made.times_us)
    return path


def census(rows: np.ndarray) -> TrafficMatrix:
    state = new_state(LAYOUT, STREAMS)
    state.advance(rows, np.empty((len(rows), 115)))
    return TrafficMatrix(64, count_packets(rows, 64, BY_SOURCE), count_streams(state, 64))


def owners_of(talk: TrafficMatrix, method: str, instances: int) -> tuple[int, ...]:
    return hashing(talk, instances) if method == "hashing" else talkers(partition(*graph(talk), instances)[0], talk)


@pytest.mark.slow
@pytest.mark.parametrize("instances", [2, 4])
@pytest.mark.parametrize("method", ["hashing", "talkers"])
def test_offline_everything_is_as_predicted(capture, method, instances):
    """The prediction is made from the first half of the capture; the split is carried out there, and the same traffic comes again."""
    rows, _ = read_packets([capture])
    talk = census(rows)
    owners = owners_of(talk, method, instances)
    told = predict(talk, (one_owner(64), owners), instances, Prices())
    split = Split(
        split_plan(EXTRACTORS[LAYOUT], SRC_IP), 1, events=(OwnershipChange(len(rows), instances, tuple(owner - 1 for owner in owners)),)
    )
    fleet = SimulatedSplit(split, LAYOUT, STREAMS)
    fleet.features(rows)
    before = fleet.taken
    assert before == {0: (len(rows), 0)}
    fleet.features(again(rows))
    (moved,) = fleet.moved
    assert moved.buckets == told.moved
    assert moved.state_bytes == pytest.approx(told.state_bytes, rel=WITHIN)
    assert fleet.shadows / len(rows) == told.shadows
    for share in told.shares:
        packets, shadows = fleet.taken[share.instance - 1]
        assert (packets - before.get(share.instance - 1, (0, 0))[0], shadows) == (share.packets, share.shadows)


def again(rows: np.ndarray) -> np.ndarray:
    later = rows.copy()
    later["seq"] += np.uint64(len(rows))
    later["time_ns"] += np.ptp(rows["time_ns"])
    return later


def test_talkers_are_put_together(capture):
    talk = census(read_packets([capture])[0])
    by = {method: predict(talk, (one_owner(64), owners_of(talk, method, 2)), 2, Prices()) for method in ("hashing", "talkers")}
    assert by["talkers"].shadows <= by["hashing"].shadows


def invoke(command: Any, *words: str) -> Any:
    return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.slow
def test_the_command_says_what_pays_and_writes_what_others_read(capture, tmp_path):
    shown = json.loads(invoke(plan, capture, "--instances", "2,8", "--json").stdout)
    assert shown["packets"] == 8000
    assert [(row["instances"], row["method"]) for row in shown["plans"]] == [(n, how) for n in (2, 8) for how in ("hashing", "talkers")]
    for row in shown["plans"]:
        assert row["gain"] == pytest.approx(1 / max(share["load"] for share in row["shares"]))
        assert row["pays"] == (row["gain"] >= 1 + 0.5 * (row["instances"] - 1))
        assert sum(share["packets"] for share in row["shares"]) == 8000
    text = invoke(plan, capture, "--instances", "8", "--shadow-cost", "1").stdout
    assert "does not pay" in text
    done = invoke(plan, capture, "--instances", "2", "--out", tmp_path / "a.json")
    assert f"{tmp_path / 'a.json'} has the assignment by" in done.stdout
    assert sorted(set(read_assignment(tmp_path / "a.json").owners)) == [1, 2]
    checked = invoke(verify, capture, "--assignment", tmp_path / "a.json", "--json")
    assert checked.exit_code == 0
    best = max(shown["plans"][:2], key=lambda row: row["gain"])
    assert json.loads(checked.stdout)["split"]["deliveries_per_packet"] == pytest.approx(1 + best["shadows"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instances", "0"], "there can be 1 to 64"),
        (["--instances", "65"], "there can be 1 to 64"),
        (["--instances", "4", "--buckets", "2"], "there can be 1 to 2"),
        (["--buckets", "6"], "wanted a power of two"),
        (["--out", "x"], "name one number of instances"),
    ],
)
def test_bad_use_is_said(capture, words, message):
    with pytest.raises(LegoError, match=message):
        invoke(plan, capture, *words)
    assert invoke(plan, capture, "--instances", "2,x").exit_code == 2


def test_without_a_census_of_the_layout_the_state_is_not_known(capture):
    (row, *_) = json.loads(invoke(plan, capture, "--instances", "2", "--layout", "kitsunepy100", "--no-shadow", "--json").stdout)["plans"]
    assert (row["streams"], row["state_bytes"]) == (None, None)
    assert row["gain"] > 1


@pytest.mark.root
def test_on_a_live_switch_everything_is_as_predicted(capture, tmp_path):
    """The capture goes through one instance, is split as planned, and goes through once more from its first packet to its last."""
    rows, _ = read_packets([capture])
    talk = census(rows)
    told = predict(talk, (one_owner(64), owners_of(talk, "talkers", 2)), 2, Prices())
    load = OfferedTraffic((capture,), 2000.0, rounds=3)
    prepared = prepare(load, None, tmp_path)
    config = Config.parse(
        {
            "run_dir": str(tmp_path / "run"),
            "model": str(prepared.model),
            "switch": {"bridge": f"lw{os.getpid() % 10**6}", "openflow_port": free_port()},
            "rest": {"port": free_port()},
            "scaling": {"period_s": 0.25, "cooldown_s": 0.01, "min_instances": 2, "max_instances": 2},
        }
    )
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        seen = _Seen()
        steps = (move(range(64), 1), _as_planned(told, seen, len(rows)))
        proof = carry_out(Drive(experiment, load), prepared, steps, seen.look)
    assert proof.undone == ()
    assert proof.holds, proof.summary.dropped
    *_, split = proof.summary.moves
    _check_move(split, told)
    assert seen.rules == (told.rules_added, told.rules_deleted)
    assert split["cut"] < 2 * len(rows), "the last round is split as a whole"
    for share in told.shares:
        assert np.count_nonzero(_scores(tmp_path, share.instance)["seq"] >= 2 * len(rows)) == share.packets
    after = 3 * len(rows) - split["cut"] - 1
    assert (seen.shadows - seen.shadows_before) / after == pytest.approx(told.shadows, rel=WITHIN)


class _Seen:
    """What the controller showed: shadows that came before the split was asked for and in all, and the rules that the last change took."""

    def __init__(self) -> None:
        self.rules = (0, 0)
        self.shadows = self.shadows_before = 0

    def look(self, seen: Any) -> None:
        last = seen.status["rules"]["last"]
        self.rules = (last["added"], last["deleted"]) if last["added"] else self.rules
        self.shadows = sum(row["capture"]["shadows"] for row in seen.bricks["processes"] if row["capture"])


def _as_planned(told: SplitOutcome, seen: _Seen, half: int) -> ProofStep:
    """Once the first round is through."""

    def do(drive: Drive, now: Any) -> str | None:
        if sum(row["packets_out"] for row in now.bricks["bricks"] if row["kind"] == "sample-result") < half:
            return "the first round is under way"
        seen.look(now)
        seen.shadows_before = seen.shadows
        by_owner: dict[str, list[int]] = {}
        for bucket, owner in enumerate(told.owners):
            by_owner.setdefault(str(owner), []).append(bucket)
        return drive.ask("move", assignment=by_owner)

    return ProofStep("as planned", do)


def _check_move(move: dict[str, Any], told: SplitOutcome) -> None:
    handovers = move["handovers"]
    assert sum(len(one["buckets"]) for one in handovers) == told.moved
    assert sum(one["bytes"] for one in handovers) == pytest.approx(told.state_bytes, rel=WITHIN)
    assert sum(one["records"] for one in handovers) == pytest.approx(told.streams, rel=WITHIN)


def _scores(folder: Path, instance: int) -> np.ndarray:
    from bricks.files.scores import read_scores

    return np.concatenate([read_scores(path) for path in (folder / "scores").iterdir() if path.name.startswith(f"{instance}-")])
