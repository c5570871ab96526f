"""With a standby, the death of any process of an instance costs no score: each packet ends with one, with the bits of the unsplit run.

The same at every step of a move, without processes, is in tests/bricks/service/test_takeover.py.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lego_sdn.experiments.run import Experiment, RunObservation
from lego_sdn.system.shutdown import CONTROLLER
from tests.fakes.tap import Tap
from tests.live.session import Live, configuration, traffic_in

pytestmark = pytest.mark.root
PPS, ROUNDS = 800.0, 16  # more packets than the kills need: the sending ends with them


class Standby:
    """A run under traffic with a standby."""

    def __init__(self, live: Live) -> None:
        self.live, self.choice = live, random.Random(7)
        next(live.experiment.watch(live.load, 0.0))  # it is sent from now on

    def until(self, found: Callable[[RunObservation], object], what: str) -> RunObservation:
        deadline = time.monotonic() + 60
        while True:
            seen = self.live.experiment.look()
            if seen.quiet and found(seen):
                return seen
            assert time.monotonic() < deadline, f"not yet: {what}: {self.live.experiment.actions[-9:]}"

    def ready(self, instances: int) -> None:
        self.until(
            lambda seen: seen.status["standby"]["phase"] == "ready" and seen.instances == instances, f"{instances} instances, a standby"
        )

    def processes(self, standby: bool) -> list[tuple[int, int]]:
        """Instance and pid of each process of the standby, or of the others."""
        spare = self.live.experiment.get("status")["standby"]["instance"]
        return [
            (one["instance"], process["pid"])
            for one in self.told()
            if (one["instance"] == spare) == standby
            for process in one["processes"]
        ]

    def kill_one(self, with_controller: bool = False) -> None:
        """kill -9 of a random process of a random owner, and perhaps of the controller first; until the standby has taken over from it."""
        instance, pid = self.choice.choice(self.processes(standby=False))
        before = len(self.live.fields("StandbyTookOver"))
        if with_controller:
            self.live.kill(CONTROLLER)
        os.kill(pid, signal.SIGKILL)
        if with_controller:
            self.live.experiment.system.revive(CONTROLLER)
        self.until(lambda _: len(self.live.fields("StandbyTookOver")) > before, f"the standby takes over from instance {instance}")

    def kill_in_a_move(self, method: str, of_old: bool) -> None:
        """The old or the new owner is killed at a call of a move, which it still carries out."""
        seen = self.until(lambda seen: seen.assignment["in_force"], "quiet")
        old, new = (int(owner) for owner in seen.assignment["by_owner"])
        victim = old if of_old else new
        (socket,) = {one["instance"]: one["processes"][0]["socket"] for one in self.told() if one["instance"] == victim}.values()
        buckets, before = seen.assignment["by_owner"][str(old)][::2], len(self.live.fields("StandbyTookOver"))
        tap = Tap(socket)
        try:
            tap.arm(method, lambda: self.live.kill_instance(victim), True)
            self.until(lambda _: self.live.post("move", buckets=buckets, instance=new), "a move")
            assert tap.fired.wait(30), f"the move never came to {method}"
            self.until(lambda _: len(self.live.fields("StandbyTookOver")) > before, f"the standby takes over from instance {victim}")
        finally:
            tap.remove()
            tap.close()

    def told(self) -> list[dict]:
        return self.live.experiment.system.agent.call("instances")


def test_deaths_cost_no_score(tmp_path: Path):
    load, prepared = traffic_in(tmp_path, PPS, ROUNDS)
    config = configuration(tmp_path, prepared.model, standby=1, instance={"placement": "separate"})
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        live = Live(experiment, load, prepared)
        run = Standby(live)
        run.ready(1)
        run.until(lambda _: live.post("replicate"), "a second instance")
        for with_controller in (False, True):
            run.ready(2)
            run.kill_one(with_controller)
        run.ready(2)
        run.kill_in_a_move("give_rows", of_old=True)
        assert live.experiment.sending
        live.experiment.enough()
        summary = live.finish()
    compared = summary.comparison
    assert (summary.missing, summary.dropped, compared.scored, compared.twice) == (0, {}, summary.sent, 0)
    assert compared.equal == summary.sent, compared
    assert live.notes("inexact") == []
