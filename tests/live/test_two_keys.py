"""The live proof for an NF with two results of Algorithm 1, one keyed by SrcIP and one by DstIP: the paper's open case, exact with two
deliveries of each packet. Instances, replicas on both branches, moves and a killed process change no bit of any score."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from bricks.files.captures import read_packets
from lego_sdn.adapters.linux import processes
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.equivalence import Drive, ProofStep, merge, move, move_busiest, prove, replicate
from lego_sdn.experiments.run import Experiment, Prepared, score_unsplit
from tests.fakes.environment import new_environment, write_facts
from tests.live.session import configuration
from tests.two_keys import NF
from tests.two_keys.bricks import FADED_NS
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root
ROOT = Path(__file__).resolve().parents[2]
PACKETS = 30_000  # more than the steps need: the sending ends with them


def grow(instance: int, node: str) -> ProofStep:
    return ProofStep(f"a replica of {node} in {instance}", lambda drive, _: drive.ask("replicate", instance=instance, brick=node))


def shrink(instance: int, brick: str) -> ProofStep:
    return ProofStep(f"{brick} leaves {instance}", lambda drive, _: drive.ask("merge", instance=instance, brick=brick))


def kill(instance: int, brick: str) -> ProofStep:
    """Its process dies, of SIGKILL."""

    def do(drive: Drive, _) -> str | None:
        (one,) = [one for one in drive.call("instances") if one["instance"] == instance]
        pids = [process["pid"] for process in one["processes"] if process["bricks"] == [brick]]
        if not pids:
            return f"{brick} of instance {instance} has no process of its own"
        os.kill(pids[0], signal.SIGKILL)
        return None

    return ProofStep(f"{brick} of instance {instance} is killed", do)


STEPS = (
    *(replicate(), grow(1, "doubling"), move_busiest(1, 2), grow(1, "receivers"), move(range(32), 2), grow(2, "senders")),
    *(replicate(), move(range(16), 1), move(range(16, 40), 3), shrink(1, "receivers-1"), merge(3), merge(2)),
)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The NF, as an installer leaves it: the agent runs as root and loads no other."""
    python, site = new_environment(tmp_path)
    (site / "a_two_keys.pth").write_text(f"{ROOT}\n")  # read before others that have a folder `tests`
    write_facts(site, "two-keys", "1.0", {"lego.nfs": {"two-keys": "tests.two_keys:NF"}})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(processes, "PYTHON", (str(python), "-I"))


def loads(packets: np.ndarray) -> np.ndarray:
    """What the NF gives each packet, without any of LEGO: float64 [packets, 2]."""
    found = np.empty((len(packets), 2))
    for result, (word, factor) in enumerate((("src_lo", 2.0), ("dst_lo", 1.0))):
        known: dict[int, tuple[float, int]] = {}
        for at, (address, now) in enumerate(zip(packets[word].tolist(), packets["time_ns"].tolist(), strict=True)):
            load, then = known.get(address, (0.0, now))
            known[address] = load * 2.0 ** (-(now - then) / FADED_NS) + 1.0, now
            found[at, result] = factor * known[address][0]
    return found


@pytest.fixture
def prepared(tmp_path):
    made = traffic(devices=10, benign_packets=PACKETS, attack_packets=0, seed=5)
    capture, no_model = tmp_path / "traffic.pcap", tmp_path / "none.model"
    write_pcap(capture, made.frames, made.times_us)
    no_model.write_text("this NF needs none")
    packets, _ = read_packets([capture])
    return Prepared(no_model, "loads", loads(packets), (), packets), OfferedTraffic((capture,), 300.0)


@pytest.mark.parametrize("placement", ["chained", "separate"])
def test_two_keyed_nodes_are_split_moved_and_replicated_without_a_bit_of_difference(installed, tmp_path, prepared, placement):
    what, load = prepared
    config = configuration(tmp_path, what.model, nf="two-keys", layout="loads", instance={"placement": placement})
    assert score_unsplit(NF, {}, what.packets, config).tobytes() == what.unsplit.tobytes()
    with Experiment(config, tmp_path, print) as experiment:
        shown = experiment.get("granularity")["key"]
        assert (shown["own"], shown["shadows"], shown["results"]) == (["src_ip"], [["dst_ip"]], ["senders", "receivers"])
        proof = prove(Drive(experiment, load, whole=False), what, STEPS)
    assert proof.holds, proof.as_dict()
    assert proof.most_instances == 3
    assert proof.figures["inexact"] == []
    assert proof.figures["streams"] > 0
    assert proof.summary.results == 2


def test_a_replica_that_is_killed_on_a_branch_costs_only_what_was_in_it(installed, tmp_path, prepared):
    what, load = prepared
    config = configuration(tmp_path, what.model, nf="two-keys", layout="loads")
    with Experiment(config, tmp_path, print) as experiment:
        steps = (replicate(), grow(1, "doubling"), kill(1, "doubling-1"), move(range(32), 2), grow(1, "doubling"))
        proof = prove(Drive(experiment, load, whole=False), what, steps)
    compared = proof.summary.comparison
    assert not proof.undone
    assert (compared.equal, compared.twice) == (compared.scored, 0), proof.as_dict()
    assert set(proof.summary.dropped) <= {"lost"}
    assert proof.summary.missing == 0, proof.as_dict()
    assert compared.scored > 2 * proof.summary.sent - 1000
