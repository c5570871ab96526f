"""Bricks of one instance come, go, leave their chain and go back to it while stamped packets flow, and no score differs by a bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.test_moves import PACKETS, REPLICATE, Run, check_all_equal, merge, move, prepared, run  # noqa: F401 (fixtures)

pytestmark = pytest.mark.root
QUANTIZATION, MAPPING, NETWORK = "feature-quantization", "feature-mapping", "unsupervised-network"

Step = tuple[Any, ...]


def ask(method: str, *params: Any, instance: int = 1) -> Step:
    """A step that asks the agent; the answers are kept in order."""

    def then(made: Run) -> None:
        made.told.append(made.experiment.system.agent.call(method, instance, *params, timeout=60))
        made.flowing.append(made.experiment._replay.running)

    return "pause", {}, then


def kinds(told: dict[str, Any]) -> list[list[str]]:
    return [process["bricks"] for process in told["processes"]]


@pytest.fixture
def grown(run) -> Callable[..., Run]:  # noqa: F811
    def start(**instance: Any) -> Run:
        made = run(**instance)
        made.told, made.flowing = [], []
        return made

    return start


def test_replicas_and_chains_and_a_move_between_instances(grown):
    made = grown()
    made.load = replace(made.load, pps=800.0)
    summary = made.go(
        ask("start_replica", QUANTIZATION),
        ask("start_replica", NETWORK),
        ask("start_replica", QUANTIZATION),
        ask("start_replica", NETWORK),
        ask("separate", QUANTIZATION),
        ask("stop_replica", f"{QUANTIZATION}-1"),
        ask("separate", NETWORK),
        ask("separate", MAPPING),
        REPLICATE,
        move(0, 40, 2),
        ask("start_replica", QUANTIZATION, instance=2),
        move(0, 20, 1),
        ask("stop_replica", f"{QUANTIZATION}-2"),
        ask("chain", QUANTIZATION),
        ask("stop_replica", f"{NETWORK}-1"),
        ask("stop_replica", f"{NETWORK}-2"),
        ask("chain", NETWORK),
        ask("chain", MAPPING),
        merge(2),
    )
    check_all_equal(summary)
    assert made.notes("inexact") == []
    assert made.notes("failed") == []
    chain = [f"{kind}-0" for kind in ("packet-batching", QUANTIZATION, MAPPING, NETWORK, "sample-result")]
    assert kinds(made.told[0]) == [chain, [f"{QUANTIZATION}-1"]]
    assert made.told[0]["dealt"]["records"] > 0
    assert kinds(made.told[-1]) == [chain], "all is as it was"
    assert all(made.flowing), "packets flowed all the time"
    assert len({told["dealt"]["ms"] for told in made.told if told["dealt"]}) >= 6


def kill(brick: str) -> Step:
    """kill -9 of the process of a replica of instance 1; goes on when the agent has found it dead."""

    def then(made: Run) -> None:
        agent = made.experiment.system.agent
        (one,) = agent.call("instances")
        (process,) = [process for process in one["processes"] if process["bricks"] == [brick]]
        os.kill(process["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while process["process"] in [there["process"] for there in one["processes"]]:
            assert time.monotonic() < deadline
            (one,) = agent.call("instances", timeout=30)
        made.told.append(one)

    return "pause", {}, then


def test_stateless_replicas_that_are_killed_cost_no_packet(grown):
    """What waited before one goes to the others, and to its place. Keyed bricks come and go meanwhile, in processes of their own."""
    made = grown(placement="separate")
    steps = [ask("start_replica", NETWORK), ask("start_replica", MAPPING), kill(f"{NETWORK}-1"), kill(f"{MAPPING}-1")]
    keyed = [ask("start_replica", QUANTIZATION), ask("stop_replica", f"{QUANTIZATION}-0")]
    summary = made.go(*steps, *keyed, ask("start_replica", NETWORK), kill(f"{NETWORK}-0"))
    check_all_equal(summary)
    assert made.told[-1]["state"] == "running"
    assert [words.split(" (see")[0].split(" was ended ")[1] for words in made.told[-1]["buried"]] == ["by SIGKILL"] * 3


def test_a_keyed_replica_that_is_killed_costs_what_was_in_it(grown):
    """Which is counted; and the others go on with its sources, whose statistics begin anew."""
    made = grown()
    summary = made.go(ask("start_replica", QUANTIZATION), kill(f"{QUANTIZATION}-1"))
    if "before the switch" in summary.dropped:
        pytest.skip("packets were lost before the switch: this machine is too busy")
    assert (made.told[-1]["state"], summary.comparison.twice) == ("running", 0)
    assert summary.comparison.scored + summary.dropped.get("lost", 0) == PACKETS
    assert set(summary.dropped) <= {"lost"}
    assert made.told[-1]["dealt"]["lost"] != []
