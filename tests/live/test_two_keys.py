"""The live proof for an NF with two results of Algorithm 1, one keyed by SrcIP and one by DstIP: the paper's open case, exact with two
deliveries of each packet. Instances, replicas on both branches, moves and a killed process change no bit of any score."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.files.scores import read_scores
from bricks.records.packets import bucket_of
from lego_sdn.adapters.linux import processes
from lego_sdn.core.control.exact import STREAMS_LOST
from lego_sdn.experiments.accounting import numbers_of
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.equivalence import Drive, ProofStep, merge, move, move_busiest, prove, replicate
from lego_sdn.experiments.run import Experiment, Prepared, RunObservation, score_unsplit
from tests.fakes.environment import new_environment, write_facts
from tests.live.session import configuration, fields_of
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


WORDS = (("src_lo", 2.0), ("dst_lo", 1.0))  # of each result: the word of a packet's address, and what its load is multiplied with


def faded(known: tuple[float, int], now: int) -> float:
    """The load of an address with one packet more."""
    load, then = known
    return load * 2.0 ** (-(now - then) / FADED_NS) + 1.0


def loads(packets: np.ndarray) -> np.ndarray:
    """What the NF gives each packet, without any of LEGO: float64 [packets, 2]."""
    found = np.empty((len(packets), 2))
    for result, (word, factor) in enumerate(WORDS):
        known: dict[int, tuple[float, int]] = {}
        for at, (address, now) in enumerate(zip(packets[word].tolist(), packets["time_ns"].tolist(), strict=True)):
            known[address] = faded(known.get(address, (0.0, now)), now), now
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


@dataclass
class Losses:
    """What is killed, and the buckets of the instance concerned when that happened."""

    buckets: dict[str, set[int]] = field(default_factory=dict)

    def kill(self, instance: int, brick: str | None = None) -> ProofStep:
        """The process of a replica, or all processes of an instance, dies of SIGKILL."""

        def do(drive: Drive, seen: RunObservation) -> str | None:
            (one,) = [one for one in drive.call("instances") if one["instance"] == instance]
            pids = [process["pid"] for process in one["processes"] if brick is None or process["bricks"] == [brick]]
            if not pids:
                return f"{brick} of instance {instance} has no process of its own"
            self.buckets[brick or f"instance {instance}"] = set(seen.assignment["by_owner"][str(instance)])
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            return None

        return ProofStep(f"{brick or 'all'} of instance {instance} is killed", do)


def known_dead(instance: int, words: int) -> ProofStep:
    """The agent has gone on without so many replicas of an instance."""

    def do(drive: Drive, _) -> str | None:
        (one,) = [one for one in drive.call("instances") if one["instance"] == instance]
        return None if len(one["buried"]) >= words else "nobody has noticed the death"

    return ProofStep(f"{words} deaths in instance {instance} are known", do)


def known_gone(instance: int) -> ProofStep:
    """Others own the buckets of an instance."""
    return ProofStep(
        f"instance {instance} owns nothing", lambda _, seen: "it does" if str(instance) in seen.assignment["by_owner"] else None
    )


def begun_anew(what: Prepared, records: np.ndarray) -> dict[int, set[int]]:
    """Result -> addresses whose load began anew. Every score is that of the load since the beginning, or since it last began anew."""
    scores = dict(zip(numbers_of(records, 2).tolist(), records["score"].tolist(), strict=True))
    anew: dict[int, set[int]] = {0: set(), 1: set()}
    for result, (word, factor) in enumerate(WORDS):
        known: dict[int, tuple[float, int]] = {}
        for at, (address, now) in enumerate(zip(what.packets[word].tolist(), what.packets["time_ns"].tolist(), strict=True)):
            known[address] = faded(known.get(address, (0.0, now)), now), now
            score = scores.get(2 * at + result)
            if score is not None and score != factor * known[address][0]:
                assert score == factor, f"result {result} of packet {at} is of neither load"
                known[address] = 1.0, now
                anew[result].add(address)
    return anew


def test_deaths_on_the_branches_cost_what_died_and_nothing_else(installed, tmp_path, prepared):
    """A replica without state, a keyed one and a whole instance are killed: each loss is told; all others go on bit for bit."""
    what, load = prepared
    config = configuration(tmp_path, what.model, nf="two-keys", layout="loads")
    lost = Losses()
    with Experiment(config, tmp_path, print) as experiment:
        steps = (
            replicate(),
            grow(1, "doubling"),
            lost.kill(1, "doubling-1"),
            known_dead(1, 1),
            move(range(0, 64, 2), 2),
            grow(1, "doubling"),
        )
        keyed = (grow(1, "receivers"), lost.kill(1, "receivers-1"), known_dead(1, 2), grow(1, "receivers"))
        proof = prove(Drive(experiment, load, whole=False), what, (*steps, *keyed, replicate(), lost.kill(2), known_gone(2)))
        records = np.concatenate([read_scores(path) for path in sorted(experiment.scores.iterdir())])
    summary = proof.summary
    assert not proof.undone
    assert (summary.comparison.twice, summary.missing, summary.extra) == (0, 0, 0), proof.as_dict()
    assert set(summary.dropped) <= {"lost", "with instance 2, which died", "held by instance 2, which died in a move"}
    assert summary.comparison.scored > 2 * summary.sent - 2000
    told = fields_of(summary.actions, "Inexact")
    assert ("replica-died", 1) in {(one["reason"], one["instance"]) for one in told}, told
    assert STREAMS_LOST in {one["reason"] for one in told if one["instance"] != 2}, told
    anew, of_instance = begun_anew(what, records), lost.buckets["instance 2"]
    assert buckets_of(what, 0, anew[0]) & of_instance, "senders of the instance that died"
    assert buckets_of(what, 1, anew[1]) & of_instance, "receivers of the instance that died"
    assert buckets_of(what, 1, anew[1]) & lost.buckets["receivers-1"], "receivers of the replica that died"
    assert buckets_of(what, 0, anew[0]) <= of_instance
    assert buckets_of(what, 1, anew[1]) <= of_instance | lost.buckets["receivers-1"]


def buckets_of(what: Prepared, result: int, addresses: set[int]) -> set[int]:
    """Of the addresses of a result."""
    word, side = WORDS[result][0], (("src_ip",), ("dst_ip",))[result]
    rows = what.packets[np.isin(what.packets[word], np.array(sorted(addresses), what.packets[word].dtype))]
    return set(bucket_of(rows, 64, side).tolist())
