"""What came into the switch, when the switch was not given the CPU time to take all of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench, BenchSizes
from lego_sdn.experiments.bench.running import INSIDE, RunningSystem, even_frames

SENT = 4000  # several times what the switch's socket holds


@pytest.mark.root
def test_packets_that_the_switchs_socket_did_not_hold_have_not_entered(tmp_path):
    switch = int(Path("/var/run/openvswitch/ovs-vswitchd.pid").read_text())
    with RunningSystem(tmp_path, Bench(BenchSizes(), tmp_path).model_file) as running:
        plan = GeneratorPlan(even_frames(), INSIDE, 40_000.0, SENT / 40_000, frozenset(os.sched_getaffinity(0)), running.source)
        os.kill(switch, signal.SIGSTOP)
        try:
            with Generator(plan) as generator:
                assert generator.result().sent == SENT
        finally:
            os.kill(switch, signal.SIGCONT)

        def at_the_port() -> int:
            ports = [port for one in running.get("switches")["switches"] for port in one["ports"]]
            return next(port["rx_packets"] for port in ports if port["name"] == running.source)

        running.wait_for("all packets at the port", lambda: at_the_port() >= SENT)
        running.wait_for("some packets in the rules", lambda: running.entered() > 0)
        assert running.entered() < SENT
