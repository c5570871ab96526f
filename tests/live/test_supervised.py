"""`lego up` from outside: whatever dies or hangs, traffic goes on, nothing is removed, and everything comes back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from lego_sdn.adapters.linux.journal import peek
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.system.shutdown import take_down
from tests.fakes.host import PATIENCE_S
from tests.fakes.lego_up import lego_up, until
from tests.system.test_local import marks
from topologies.traffic import write_capture

pytestmark = pytest.mark.root


@pytest.fixture
def up():
    with lego_up() as made:
        yield made


def test_a_controller_that_is_killed_again_and_again_costs_no_packet(up):
    up.start()
    runs, first = marks(up.host), up.forwarded()
    began = time.monotonic()
    for _ in range(5):
        victim = up.role("controller")
        if victim.pid < 0:
            time.sleep(0.2)
        victim.send(signal.SIGKILL)
        before = up.forwarded()
        until(lambda victim=victim: up.role("controller") not in (victim, Process(-1, -1)), up.said)
        assert up.forwarded() > before, "it forwards meanwhile"
    seconds = time.monotonic() - began
    assert seconds < 60, "five within a minute"
    assert up.child.poll() is None
    assert up.forwarded() - first > 0.6 * seconds / 0.02
    assert "it is started anew in 8 s" in up.said()
    until(up.is_well, up.said)
    assert up.forwards()
    up.child.send_signal(signal.SIGINT)
    up.child.wait(PATIENCE_S)
    assert up.host.left(*runs) == []


def test_who_lives_and_does_not_answer_is_started_anew(up):
    up.start()
    for role in ("controller", "agent"):
        victim = up.role(role)
        victim.send(signal.SIGSTOP)
        until(lambda victim=victim: not victim.is_alive(), up.said, 30)
        until(lambda role=role, victim=victim: up.role(role) != victim and up.is_well(), up.said)
        assert f"{role} has not answered for 10 s and was killed" in up.said()
        assert up.forwards()
    assert up.child.poll() is None


def test_a_daemon_looks_after_its_parts_and_lego_down_ends_it(up):
    up.start("--daemon")
    assert up.child.wait(PATIENCE_S) == 0
    runs = marks(up.host)
    for role in ("controller", "agent"):
        victim = up.role(role)
        victim.send(signal.SIGKILL)
        until(lambda role=role, victim=victim: up.role(role) not in (victim, Process(-1, -1)) and up.is_well(), up.told)
        assert f"the {role} ended" in up.told()
        assert up.forwards()
    assert take_down(up.config)
    assert up.host.left(*runs) == []


def test_a_run_goes_on_when_its_controller_is_killed(tmp_path):
    write_capture(tmp_path / "benign.pcap", 4000, 0)
    write_capture(tmp_path / "more.pcap", 6000, 0, seed=2)
    words = ["run", str(tmp_path / "benign.pcap"), str(tmp_path / "more.pcap"), "--pps", "500", "--settle", "20", "--json", "--keep"]
    command = [sys.executable, "-m", "lego_sdn", *words, str(tmp_path / "kept"), "--quota", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        journal = tmp_path / "kept" / "run" / "system.journal"
        until(lambda: (tmp_path / "kept" / "scores").is_dir() and any((tmp_path / "kept" / "scores").iterdir()), "it scores", 120)
        (thing,) = [t for t in peek(journal) if t.kind == "process" and t.detail["role"] == "controller"]
        time.sleep(2)
        Process(int(thing.name), thing.detail["start"]).send(signal.SIGKILL)
        told, error = child.communicate(timeout=240)
    assert child.returncode == 0, error
    summary = json.loads(told)
    assert summary["missing"] == 0
    assert summary["comparison"]["scored"] == summary["comparison"]["equal"] == 10_000
    assert "the controller ended" in error
