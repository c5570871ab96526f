"""Bricks of one instance come, go, leave their chain and go back to it while stamped packets flow, and no score differs by a bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lego_sdn.core.facts.errors import RpcError
from lego_sdn.experiments.equivalence import Drive, Proof, ProofStep, merge, move, prove, replicate
from lego_sdn.experiments.run import RunObservation
from tests.live.test_moves import check_all_equal, live, notes, prepared  # noqa: F401 (fixtures)

pytestmark = pytest.mark.root
QUANTIZATION, MAPPING, NETWORK = "feature-quantization", "feature-mapping", "unsupervised-network"


@dataclass
class Grown:
    """Steps that ask the agent, what it told, and whether packets flowed just then."""

    told: list[dict[str, Any]] = field(default_factory=list)
    flowing: list[bool] = field(default_factory=list)

    def ask(self, method: str, *params: Any, instance: int = 1) -> ProofStep:
        def do(drive: Drive, _: RunObservation) -> str | None:
            try:
                self.told.append(drive.call(method, instance, *params))
            except RpcError as error:
                return str(error)
            self.flowing.append(drive.experiment.sending)
            return None

        return ProofStep(f"{method} {params} of instance {instance}", do)

    def kill(self, brick: str) -> ProofStep:
        """kill -9 of the process of a replica of instance 1; goes on when the agent has found it dead."""

        def do(drive: Drive, _: RunObservation) -> str | None:
            (one,) = drive.call("instances")
            (process,) = [process for process in one["processes"] if process["bricks"] == [brick]]
            os.kill(process["pid"], signal.SIGKILL)
            deadline = time.monotonic() + 20
            while process["process"] in [there["process"] for there in one["processes"]]:
                assert time.monotonic() < deadline
                (one,) = drive.call("instances")
            self.told.append(one)
            return None

        return ProofStep(f"{brick} is killed", do)

    def silence(self, brick: str) -> ProofStep:
        """The process of a replica of instance 1 answers no more; it is taken out, as the controller asks for after a while."""

        def do(drive: Drive, _: RunObservation) -> str | None:
            (one,) = drive.call("instances")
            (process,) = [process for process in one["processes"] if process["bricks"] == [brick]]
            os.kill(process["pid"], signal.SIGSTOP)
            self.told.append(drive.call("take_out", 1, process["process"]))
            return None

        return ProofStep(f"{brick} is silent", do)


def kinds(told: dict[str, Any]) -> list[list[str]]:
    return [process["bricks"] for process in told["processes"]]


@pytest.fixture
def run(live, prepared) -> Callable[..., Proof]:  # noqa: F811
    def carry_out(*steps: ProofStep, pps: float | None = None, **instance: Any) -> Proof:
        load, ready = prepared
        load = replace(load, pps=pps or load.pps)
        proof = prove(live(load, ready, **instance), ready, steps)
        assert proof.undone == ()
        return proof

    return carry_out


def test_replicas_and_chains_and_a_move_between_instances(run):
    grown = Grown()
    ask = grown.ask
    proof = run(
        ask("start_replica", QUANTIZATION),
        ask("start_replica", NETWORK),
        ask("start_replica", QUANTIZATION),
        ask("start_replica", NETWORK),
        ask("separate", QUANTIZATION),
        ask("stop_replica", f"{QUANTIZATION}-1"),
        ask("separate", NETWORK),
        ask("separate", MAPPING),
        replicate(),
        move(range(40), 2),
        ask("start_replica", QUANTIZATION, instance=2),
        move(range(20), 1),
        ask("stop_replica", f"{QUANTIZATION}-2"),
        ask("chain", QUANTIZATION),
        ask("stop_replica", f"{NETWORK}-1"),
        ask("stop_replica", f"{NETWORK}-2"),
        ask("chain", NETWORK),
        ask("chain", MAPPING),
        merge(2),
        pps=500.0,  # time for all these steps also on a busy machine
    )
    check_all_equal(proof)
    assert notes(proof, "failed") == []
    chain = [f"{kind}-0" for kind in ("packet-batching", QUANTIZATION, MAPPING, NETWORK, "sample-result")]
    assert kinds(grown.told[0]) == [chain, [f"{QUANTIZATION}-1"]]
    assert grown.told[0]["dealt"]["records"] > 0
    assert kinds(grown.told[-1]) == [chain], "all is as it was"
    assert all(grown.flowing), "packets flowed all the time"
    assert len({told["dealt"]["ms"] for told in grown.told if told["dealt"]}) >= 6


def test_stateless_replicas_that_are_killed_cost_no_packet(run):
    """What waited before one goes to the others, and to its place; so it is with one that is silent. Keyed bricks come and go meanwhile, in
    processes of their own."""
    grown = Grown()
    ask, kill = grown.ask, grown.kill
    steps = [ask("start_replica", NETWORK), ask("start_replica", MAPPING), kill(f"{NETWORK}-1"), grown.silence(f"{MAPPING}-1")]
    keyed = [ask("start_replica", QUANTIZATION), ask("stop_replica", f"{QUANTIZATION}-0")]
    check_all_equal(run(*steps, *keyed, ask("start_replica", NETWORK), kill(f"{NETWORK}-0"), placement="separate"))
    assert grown.told[-1]["state"] == "running"
    ends = [words.split(" (see")[0].partition(" ")[2].partition(" ")[2].partition(" ")[2] for words in grown.told[-1]["buried"]]
    assert ends == ["was ended by SIGKILL", "did not answer and was ended", "was ended by SIGKILL"]


def test_a_keyed_replica_that_is_killed_costs_what_was_in_it(run):
    """Which is counted; and the others go on with its sources, whose statistics begin anew."""
    grown = Grown()
    proof = run(grown.ask("start_replica", QUANTIZATION), grown.kill(f"{QUANTIZATION}-1"))
    summary = proof.summary
    assert "replica-died" in [event["fields"]["reason"] for event in notes(proof, "inexact")]
    assert (grown.told[-1]["state"], summary.comparison.twice) == ("running", 0)
    assert summary.comparison.scored + summary.dropped.get("lost", 0) == summary.sent
    assert set(summary.dropped) <= {"lost"}
    assert grown.told[-1]["dealt"]["lost"] != []
