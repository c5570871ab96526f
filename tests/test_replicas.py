"""Bricks of one instance come, go, leave their chain and go back to it while stamped packets flow, and no score differs by a bit."""

from __future__ import annotations

from collections.abc import Callable
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
    print(
        [round(told["dealt"]["ms"], 1) for told in made.told if told["dealt"]],
        [(told["dealt"]["records"], told["dealt"]["bytes"]) for told in made.told if told["dealt"]],
    )
