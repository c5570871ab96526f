"""Moves while stamped packets go through a real switch: instances come and go, buckets go back and forth, and no score differs by a bit.

What a busy machine loses before the switch is told apart by the experiment; the model and the capture are small, so that it takes seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lego_sdn.adapters.wire import free_port
from lego_sdn.core.config import Config
from lego_sdn.experiment import Experiment, Prepared, prepare
from lego_sdn.summary import Summary
from lego_sdn.take_down import CONTROLLER
from lego_sdn.testbed import Load
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root
PACKETS, PPS = 12_000, 1500.0
_NUMBER = itertools.count()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Load, Prepared]:
    folder = tmp_path_factory.mktemp("moves")
    made = traffic(devices=10, benign_packets=PACKETS - 3000, attack_packets=3000, seed=11)
    paths = folder / "benign.pcap", folder / "attack.pcap"
    for path, rows in zip(paths, (slice(0, PACKETS - 3000), slice(PACKETS - 3000, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    load = Load(paths, PPS)
    return load, prepare(load, None, folder)


@dataclass
class Run:
    """An experiment whose instances come and go by commands; `step`s are tried one after the other, each until it is accepted."""

    experiment: Experiment
    prepared: Prepared
    load: Load
    errors: list[str] = field(default_factory=list)

    def post(self, name: str, **body: Any) -> bool:
        request = urllib.request.Request(
            f"{self.experiment.system.url}/{name}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError as error:
            with error:
                self.errors.append(error.read().decode())
            return False
        except urllib.error.URLError as error:  # the controller is being started anew
            self.errors.append(str(error))
            return False

    def go(self, *steps: tuple[Any, ...], settle_s: float = 40.0) -> Summary:
        """Carry the steps out while traffic goes on, then account for every packet. A step: command, body, what to do right after."""
        waiting = list(steps)
        assert self.post("pause")
        for seen in self.experiment.watch(self.load, settle_s):
            flowing = any(brick["packets_in"] > 300 for brick in seen.bricks["bricks"])
            if waiting and flowing and seen.quiet and self.post(waiting[0][0], **waiting[0][1]):
                for then in waiting.pop(0)[2:]:
                    then(self)
        assert waiting == [], self.errors
        return self.experiment.finish(self.prepared.unsplit)

    def restart_controller(self) -> None:
        """kill -9, and another one."""
        system = self.experiment.system
        child = system._children[CONTROLLER]
        child.kill()
        child.wait()
        system.revive(CONTROLLER)
        self.experiment._await_ready()

    def kill_instance(self, instance: int) -> None:
        """kill -9 of its processes."""
        for one in self.experiment.system.agent.call("instances"):
            for process in one["processes"] if one["instance"] == instance else ():
                os.kill(process["pid"], signal.SIGKILL)

    def notes(self, kind: str) -> list[str]:
        return [event["text"] for event in self.experiment.actions if event["kind"] == kind]


@pytest.fixture
def run(tmp_path, prepared):
    """`run(**instance settings)` starts everything; it is ended, with nothing left, whatever the test does."""
    started = []

    def start(**instance: Any) -> Run:
        name = f"lm{os.getpid() % 10**6}{next(_NUMBER)}"
        config = Config.parse(
            {
                "run_dir": str(tmp_path / "run"),
                "model": str(prepared[1].model),
                "switch": {"bridge": name, "openflow_port": free_port("127.0.0.1")},
                "rest": {"port": free_port("127.0.0.1")},
                "instance": instance,
                "scaling": {"period_s": 0.25, "cooldown_s": 0.01, "max_instances": 4},
            }
        )
        experiment = Experiment(config, tmp_path, lambda line: None)
        experiment.__enter__()
        started.append(experiment)
        return Run(experiment, prepared[1], prepared[0])

    yield start
    for experiment in started:
        experiment.__exit__()


def check_all_equal(summary: Summary) -> None:
    """Every packet that came into the switch is scored, once, with the bits of the unsplit run."""
    if "before the switch" in summary.dropped:
        pytest.skip(f"{summary.dropped['before the switch']} packets were lost before the switch: this machine is too busy")
    assert summary.dropped == {}
    assert summary.comparison.scored == summary.sent == PACKETS
    assert summary.comparison.twice == 0
    assert (summary.comparison.equal, summary.comparison.first_difference) == (PACKETS, None)


REPLICATE = ("replicate", {})


def move(low: int, high: int, to: int) -> tuple[str, dict[str, Any]]:
    return "move", {"buckets": list(range(low, high)), "instance": to}


def merge(instance: int) -> tuple[str, dict[str, Any]]:
    return "merge", {"instance": instance}


def test_instances_come_and_go_and_no_score_differs(run):
    made = run()
    summary = made.go(REPLICATE, REPLICATE, move(0, 32, 2), move(16, 48, 1), merge(1), merge(3))
    check_all_equal(summary)
    assert made.notes("inexact") == []
    assert made.notes("failed") == []
    assert len([text for text in made.notes("moved") if "packets waited" in text]) == 6
    assert sum(int(text.split(" packets waited")[0].rsplit(" ", 1)[1]) for text in made.notes("moved") if "waited" in text) > 0


def test_every_brick_in_a_process_of_its_own(run):
    made = run(placement="separate")
    summary = made.go(REPLICATE, move(0, 32, 1), move(0, 64, 2), merge(1))
    check_all_equal(summary)
    assert made.notes("inexact") == []


def after(seconds: float, do: Callable[[Run], None]) -> Callable[[Run], None]:
    """Somewhere in the middle of the move: how far it is then depends on the machine, and must not matter."""

    def then(made: Run) -> None:
        time.sleep(seconds)
        do(made)

    return then


def test_a_controller_that_is_killed_in_the_middle_of_moves_costs_no_bit(run):
    made = run()
    made.load = replace(made.load, pps=400.0)
    kills = [(*move(0, 64, to), after(seconds, Run.restart_controller)) for to, seconds in ((1, 0.02), (2, 0.05), (1, 0.08))]
    summary = made.go(REPLICATE, *kills)
    check_all_equal(summary)
    assert made.notes("inexact") == []
    assert any("begun and not ended" in text for text in made.notes("move"))


@pytest.mark.parametrize("killed", [1, 2], ids=["old owner", "new owner"])
def test_an_instance_that_is_killed_in_the_middle_of_a_move(run, killed):
    made = run()
    summary = made.go(REPLICATE, (*move(0, 64, 2), after(0.1, lambda it: it.kill_instance(killed))))
    assert summary.forwarded == summary.sent - summary.dropped.get("before the switch", 0)
    assert summary.comparison.twice == 0
    assert summary.comparison.scored > PACKETS // 2
    assert made.notes("failed") != []
