"""Moves while stamped packets go through a real switch: instances come and go, buckets go back and forth, and no score differs by a bit.

The model and the capture are small, so that it takes seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.config import Config
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.equivalence import Drive, Proof, merge, move, prove, replicate
from lego_sdn.experiments.run import Experiment, Prepared, prepare
from lego_sdn.system.shutdown import CONTROLLER
from topologies.traffic import traffic, write_pcap

pytestmark = pytest.mark.root
PACKETS, PPS = 30_000, 600.0  # more than the steps need: the sending ends with them
_NUMBER = itertools.count()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[OfferedTraffic, Prepared]:
    folder = tmp_path_factory.mktemp("moves")
    load = OfferedTraffic(synthetic(folder, PACKETS - 3000, 3000), PPS)
    return load, prepare(load, None, folder)


def synthetic(folder: Path, benign: int, attack: int) -> tuple[Path, Path]:
    """Two captures of our own: benign, then with an infected device."""
    made = traffic(devices=10, benign_packets=benign, attack_packets=attack, seed=11)
    paths = folder / "benign.pcap", folder / "attack.pcap"
    for path, rows in zip(paths, (slice(0, benign), slice(benign, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    return paths


class Kills:
    """What goes wrong in the middle of a step."""

    @staticmethod
    def controller(drive: Drive) -> None:
        """kill -9, and another one."""
        system = drive.experiment.system
        system.kill(CONTROLLER)
        system.revive(CONTROLLER)
        drive.experiment.await_ready()

    @staticmethod
    def connection(drive: Drive) -> None:
        """The switch leaves this controller and, a second later, comes back with the rules that it had. (Without any controller it would
        forget them at once, and lose traffic.)"""
        switch = drive.experiment.config.switch
        for port, seconds in ((1, 1.0), (switch.openflow_port, 0.0)):  # nobody listens on the first
            subprocess.run(["ovs-vsctl", "set-controller", switch.bridge, f"tcp:127.0.0.1:{port}"], check=True)
            time.sleep(seconds)  # how long it is away: markers and questions of the move fail meanwhile

    @staticmethod
    def instance(number: int) -> Callable[[Drive], None]:
        """kill -9 of its processes."""

        def kill(drive: Drive) -> None:
            for one in drive.call("instances"):
                for process in one["processes"] if one["instance"] == number else ():
                    os.kill(process["pid"], signal.SIGKILL)

        return kill


def notes(proof: Proof, kind: str) -> list[dict]:
    return [event for event in proof.summary.actions if event["kind"] == kind]


@pytest.fixture
def live(tmp_path):
    """`live(load, prepared, **instance settings)` starts everything; it is ended, with nothing left, whatever the test does."""
    started = []

    def start(load: OfferedTraffic, prepared: Prepared, **instance: Any) -> Drive:
        name = f"lm{os.getpid() % 10**6}{next(_NUMBER)}"
        config = Config.parse(
            {
                "run_dir": str(tmp_path / "run"),
                "model": str(prepared.model),
                "switch": {"bridge": name, "openflow_port": free_port("127.0.0.1")},
                "rest": {"port": free_port("127.0.0.1")},
                "instance": instance,
                "scaling": {"period_s": 0.25, "cooldown_s": 0.01, "max_instances": 4},
            }
        )
        experiment = Experiment(config, tmp_path, lambda line: None)
        experiment.__enter__()
        started.append(experiment)
        return Drive(experiment, load, whole=False)

    yield start
    for experiment in started:
        experiment.__exit__()


def check_all_equal(proof: Proof) -> None:
    """Every packet that came into the switch is scored, once, with the bits of the unsplit run, and came in stamp order to the end."""
    summary = proof.summary
    assert proof.undone == ()
    assert summary.dropped == {}
    assert summary.comparison.scored == summary.sent
    assert (summary.comparison.twice, summary.out_of_order) == (0, 0)
    assert (summary.comparison.equal, summary.comparison.first_difference) == (summary.sent, None)
    assert proof.figures["inexact"] == []
    assert notes(proof, "inexact") == []
    assert proof.holds


def test_the_live_proof(data, tmp_path):
    """`lego prove`: 25,000 equal scores while instances go 1 -> 3 -> 2 -> 4 -> 1, buckets back and forth, and replicas come and go."""
    captures = (data / "mirai-benign-20000.pcap", data / "mirai-attack-5000.pcap") if data.is_dir() else synthetic(tmp_path, 20_000, 5000)
    command = [sys.executable, "-m", "lego_sdn", "prove", *map(str, captures), "--pps", "450", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    print(json.dumps(told["figures"]))
    assert (told["undone"], told["dropped"], told["missing"], told["sent"]) == ([], {}, 0, 25_000)
    assert told["comparison"] == {"scored": 25_000, "twice": 0, "equal": 25_000, "first_difference": None}
    assert (told["holds"], done.returncode, told["most_instances"], told["out_of_order"]) == (True, 0, 4, 0)
    assert [one for one in told["actions"] if one["kind"] in ("failed", "inexact")] == []
    figures = told["figures"]
    assert figures["moves"] == len(told["moves"]) >= 8  # at least one for each step; more where load was divided anew
    assert all(
        figures[name] > 0 for name in ("packets_per_s", "median_ms", "state_bytes", "streams", "packets_held", "packets_handed_over")
    )
    assert figures["longest_ms"] >= figures["median_ms"] >= figures["median_held_ms"] > 0


def test_every_brick_in_a_process_of_its_own(live, prepared):
    load, ready = prepared
    steps = (replicate(), move(range(32), 1), move(range(64), 2), merge(1))
    check_all_equal(prove(live(load, ready, placement="separate"), ready, steps))


def after(seconds: float, do: Callable[[Drive], None]) -> Callable[[Drive], None]:
    """Somewhere in the middle of the move: how far it is then depends on the machine, and must not matter."""

    def then(drive: Drive) -> None:
        time.sleep(seconds)
        do(drive)

    return then


def test_a_controller_that_is_killed_in_the_middle_of_moves_costs_no_bit(live, prepared):
    load, ready = replace(prepared[0], pps=400.0), prepared[1]
    kills = [move(range(64), to, after(seconds, Kills.controller)) for to, seconds in ((1, 0.02), (2, 0.05), (1, 0.08))]
    proof = prove(live(load, ready), ready, (replicate(), *kills))
    check_all_equal(proof)
    assert "MoveResumed" in [event["type"] for event in notes(proof, "move")]


def test_a_switch_that_goes_away_in_the_middle_of_moves_costs_no_bit(live, prepared):
    load, ready = replace(prepared[0], pps=1000.0), prepared[1]
    gone = [move(range(64), to, after(seconds, Kills.connection)) for to, seconds in ((1, 0.0), (2, 0.1))]
    proof = prove(live(load, ready), ready, (replicate(), *gone))
    check_all_equal(proof)
    assert "disconnected" in [event["fields"]["event"] for event in notes(proof, "switch")]


@pytest.mark.parametrize("killed", [1, 2], ids=["old owner", "new owner"])
def test_what_an_instance_held_that_is_killed_in_a_move_is_counted(live, prepared, killed):
    load, ready = prepared
    proof = prove(live(load, ready), ready, (replicate(), move(range(64), 2, after(0.1, Kills.instance(killed)))))
    summary = proof.summary
    assert summary.forwarded == summary.entered == summary.sent
    assert summary.comparison.twice == 0
    assert summary.comparison.scored > summary.sent // 2
    assert summary.missing == 0, "what died with the instance has a reason"
    assert notes(proof, "failed") != []
