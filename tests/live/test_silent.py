"""Faults from outside, one after the other in one system under stamped traffic: each is told, and no score is wrong that is not marked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import numpy as np
import pytest

from bricks.files.scores import read_scores
from lego_sdn.adapters.linux import netns
from lego_sdn.experiments.run import Experiment, RunObservation
from tests.live.session import Live, configuration, traffic_in

pytestmark = pytest.mark.root
PPS, ROUNDS = 500.0, 8  # more than the faults need: the sending ends with them
RING = {"stamps": "trailer", "blocks": 4, "block_bytes": 16384}
TOO_MANY = 800  # packets, each of 100 bytes or more in the ring


def until(live: Live, found: Callable[[RunObservation], object], what: str) -> RunObservation:
    deadline = time.monotonic() + 40
    while True:
        seen = live.experiment.look()
        if found(seen):
            return seen
        assert time.monotonic() < deadline, f"not yet: {what}: {live.experiment.actions[-9:]}"


def marks(seen: RunObservation) -> dict[int, dict]:
    return {one["instance"]: one["exact"] for one in seen.status["instances"] if one.get("exact")}


def lost(live: Live, instance: int, reason: str) -> RunObservation:
    return until(live, lambda seen: marks(seen).get(instance, {"losses": {}})["losses"].get(reason), f"{reason} of instance {instance}")


def pids(live: Live, instance: int) -> list[int]:
    there = live.experiment.system.agent.call("instances")
    return [process["pid"] for one in there if one["instance"] == instance for process in one["processes"]]


def test_no_fault_is_silent(tmp_path):
    load, prepared = traffic_in(tmp_path, PPS, ROUNDS)
    config = configuration(tmp_path, prepared.model, capture=RING)
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        live = Live(experiment, load, prepared)
        until(live, lambda seen: seen.quiet and seen.instances == 1, "an instance")
        until(live, lambda seen: live.post("replicate"), "another one")
        seen = until(live, lambda seen: seen.quiet and seen.instances == 2, "two instances")
        assert all(one["inexact"] is None for one in marks(seen).values())
        next(experiment.watch(load, 0.0))  # it is sent from now on
        until(live, lambda seen: seen.status["instances"][0].get("load", {"packets": 0})["packets"] > 10, "traffic")
        bridge = experiment.config.switch.bridge

        subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "mod-flows", bridge, "table=1,ip,actions=goto_table:9"], check=True)
        lost(live, 1, "rules-repaired")

        namespace = experiment.system.agent.call("instances")[1]["namespace"]
        with netns.inside(namespace):
            subprocess.run(["ip", "link", "set", "in0", "down"], check=True)
        lost(live, 2, "link-down")
        until(live, lambda seen: not any("gets no packets" in text for text in seen.status["missing"]), "the agent switches it on")

        stopped, before = pids(live, 1), put_out(live, 1)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            until(live, lambda _: put_out(live, 1) > before + TOO_MANY, "more packets than the ring has room for")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        before = marks(lost(live, 1, "kernel-drops"))

        live.kill_instance(2)
        after = marks(lost(live, 1, "streams-lost"))
        told = {(one["instance"], one["reason"]) for one in live.fields("Inexact")}
        assert len(told) >= 4
        experiment.enough()
        live.finish()
        wrong = {number: wrong_stamps(live, number) for number in (1, 2)}
    assert any(map(len, wrong.values())), "the faults did nothing: this test would prove nothing"
    for number, mark in ((1, after[1]), (2, before[2])):
        assert len(wrong[number]) == 0 or wrong[number].min() >= mark["inexact"]["stamp"], f"instance {number}: {mark}"


def put_out(live: Live, instance: int) -> int:
    """Packets that the switch has put out to an instance's port."""
    port = next(one["port"] for one in live.experiment.system.agent.call("instances") if one["instance"] == instance)
    ports = {one["name"]: one for switch in live.experiment.get("switches")["switches"] for one in switch["ports"]}
    return ports[port]["tx_packets"]


def wrong_stamps(live: Live, instance: int) -> np.ndarray:
    """Of scores that are not those of the unsplit run, bit for bit."""
    paths = sorted(live.experiment.scores.glob(f"{instance}-*"))
    given = np.concatenate([read_scores(path) for path in paths])
    expected = live.prepared.unsplit[given["seq"].astype(int)]
    return given["seq"][given["score"].view(np.uint64) != expected.view(np.uint64)].astype(np.int64)
