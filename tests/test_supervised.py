"""`lego up` from outside: whatever dies, hangs or fills the disk, traffic goes on, nothing is removed, and everything comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lego_sdn.adapters import netns, unixctl
from lego_sdn.adapters.journal import peek
from lego_sdn.adapters.processes import Process
from lego_sdn.adapters.rpc import Client
from lego_sdn.take_down import take_down
from tests.fakes.disk import fill, small_disk
from tests.fakes.host import PATIENCE_S, ROOT, fake_host
from tests.test_system import configuration, marks

pytestmark = pytest.mark.root
BACK_S = 90.0
PROBE = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); out.bind((sys.argv[1], 0))
frame = bytes(6 * [255]) + bytes([2, 0, 0, 0, 0, 9]) + b"\\x08\\x00" + bytes(range(46))
while True:
    out.send(frame); time.sleep(0.02)
"""


class Up:
    """`lego up` in a process of its own, forwarding from one interface to another, with packets on the way all the time."""

    def __init__(self, host) -> None:
        self.host, self.name = host, f"w{os.getpid() % 100000}"
        self.config = configuration(host)
        self.path, self.log = host.folder / "lego.yaml", Path(f"{host.folder}.log")  # not on a disk that gets full
        self.ports = [f"{self.name}{side}" for side in "ab"]
        switch = {"bridge": host.bridge, "openflow_port": self.config.switch.openflow_port}
        written = {"run_dir": str(host.folder), "switch": switch, "rest": {"port": self.config.rest.port}}
        self.written = written | {"forward": {"mode": "wires", "wires": [self.ports]}}
        self.child: subprocess.Popen | None = None
        self.probe: subprocess.Popen | None = None

    def start(self) -> None:
        self.path.write_text(json.dumps(self.written))
        for side in self.ports:
            subprocess.run(["ip", "link", "add", side, "type", "veth", "peer", "name", f"{side}x"], check=True)
            for end in (side, f"{side}x"):
                subprocess.run(["ip", "link", "set", end, "up"], check=True)
        with open(self.log, "wb") as log:
            command = [sys.executable, "-m", "lego_sdn", "up", "--config", str(self.path)]
            self.child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        until(lambda: "status: http" in self.said(), lambda: self.said(), PATIENCE_S)
        for side in self.ports:
            subprocess.run(["ovs-vsctl", "add-port", self.host.bridge, side], check=True)
        self.probe = subprocess.Popen([sys.executable, "-c", PROBE, f"{self.ports[0]}x"])
        until(self.forwards, "it forwards")

    def said(self) -> str:
        return self.log.read_text()

    def forwarded(self) -> int:
        return int(Path(f"/sys/class/net/{self.ports[1]}x/statistics/rx_packets").read_text())

    def forwards(self) -> bool:
        before = self.forwarded()
        time.sleep(0.2)
        return self.forwarded() >= before + 5

    def role(self, role: str) -> Process:
        things = [t for t in peek(self.host.folder / "system.journal") if t.kind == "process" and t.detail["role"] == role]
        return Process(int(things[-1].name), things[-1].detail["start"]) if things else Process(-1, -1)

    def status(self) -> dict | None:
        url = f"http://127.0.0.1:{self.config.rest.port}/lego/v1/status"
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
        return None

    def is_well(self) -> bool:
        status = self.status()
        return bool(status and status["bridge"]["connected"] and status["agent"]["answers"])

    def close(self) -> None:
        if self.probe is not None:
            self.probe.kill()
            self.probe.wait()
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            self.child.wait(PATIENCE_S)
        for side in self.ports:
            subprocess.run(["ovs-vsctl", "--if-exists", "del-port", side], check=False, capture_output=True)
            netns.remove_link(side)
        self.log.unlink(missing_ok=True)


@pytest.fixture
def up():
    with fake_host() as host:
        made = Up(host)
        try:
            yield made
        finally:
            made.close()
            take_down(made.config)


def until(fact, what="it comes true", seconds=BACK_S):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.05)


def test_a_controller_that_is_killed_again_and_again_costs_no_packet(up):
    up.start()
    runs, first = marks(up.host), up.forwarded()
    began = time.monotonic()
    for _ in range(6):
        victim = up.role("controller")
        if victim.pid < 0:
            time.sleep(0.2)
        victim.send(signal.SIGKILL)
        before = up.forwarded()
        until(lambda victim=victim: up.role("controller") not in (victim, Process(-1, -1)), up.said)
        assert up.forwarded() > before, "it forwards meanwhile"
    seconds = time.monotonic() - began
    assert seconds < 60, "six within a minute"
    assert up.child.poll() is None
    assert up.forwarded() - first > 0.6 * seconds / 0.02
    assert "it is started anew in 8 s" in up.said()
    until(up.is_well, up.said)
    assert up.forwards()
    up.child.send_signal(signal.SIGINT)
    up.child.wait(PATIENCE_S)
    assert up.host.left(*runs) == []


@pytest.mark.parametrize("role", ["controller", "agent"])
def test_who_lives_and_does_not_answer_is_started_anew(up, role):
    up.start()
    victim = up.role(role)
    victim.send(signal.SIGSTOP)
    until(lambda: not victim.is_alive(), up.said, 30)
    until(lambda: up.role(role) != victim and up.is_well(), up.said)
    assert f"{role} has not answered for 10 s and was killed" in up.said()
    assert up.forwards()
    assert up.child.poll() is None


@pytest.mark.parametrize("daemon", ["ovs-vswitchd", "ovsdb-server"])
def test_an_open_vswitch_that_was_started_here_is_started_again(up, daemon):
    subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "stop"], check=True, capture_output=True)
    try:
        up.start()
        assert "Open vSwitch started" in up.said()
        os.kill(unixctl.pid(daemon), signal.SIGKILL)
        until(lambda: f"({daemon} ended)" in up.said() and "started anew" in up.said(), up.said)
        until(lambda: up.is_well() and up.forwards(), up.said)
        assert up.child.poll() is None
        up.close()
    finally:
        subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "start", "--system-id=random"], check=True, capture_output=True)


def test_an_open_vswitch_of_somebody_else_is_told_of_in_true_words(up):
    up.start()
    os.kill(unixctl.pid(), signal.SIGKILL)
    try:
        until(lambda: any("ovs-vswitchd ended" in one for one in (up.status() or {"missing": []})["missing"]), lambda: str(up.status()))
        assert not any("run 'lego up'" in one for one in up.status()["missing"])
        assert unixctl_is_dead(), "whoever started it is to start it again"
    finally:
        subprocess.run(["/usr/share/openvswitch/scripts/ovs-ctl", "start", "--system-id=random"], check=True, capture_output=True)
    until(lambda: up.is_well() and up.status()["missing"] == [one for one in up.status()["missing"] if "ended" not in one], up.said)
    assert up.forwards()


def unixctl_is_dead() -> bool:
    return Process.of(unixctl.pid()) is None


def test_a_full_disk_ends_nothing_and_hinders_no_end(up):
    with small_disk(up.host.folder, 4096):
        up.start()
        runs = marks(up.host)
        filler = fill(up.host.folder)
        up.role("controller").send(signal.SIGKILL)
        up.role("agent").send(signal.SIGKILL)
        until(lambda: up.said().count("it is started anew") >= 2, up.said)
        until(up.is_well, up.said)
        until(up.forwards, up.said, 10)
        until(lambda: any("not kept over a restart" in one for one in up.status()["missing"]), lambda: str(up.status()))
        filler.unlink()
        until(lambda: not any("not kept over a restart" in one for one in up.status()["missing"]), lambda: str(up.status()))
        fill(up.host.folder)
        up.child.send_signal(signal.SIGTERM)
        up.child.wait(PATIENCE_S)
        assert up.host.left(*runs) == []


def test_lego_down_clears_up_on_a_full_disk(up):
    with small_disk(up.host.folder, 4096):
        up.start()
        runs = marks(up.host)
        up.child.kill()
        up.child.wait()
        fill(up.host.folder)
        command = [sys.executable, "-m", "lego_sdn", "down", "--config", str(up.path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert up.host.left(*runs) == []


def test_a_run_dir_that_was_lost_comes_back(up):
    up.start()
    before = Client(up.config.agent)
    for path in up.host.folder.iterdir():
        path.unlink()
    before.close()
    until(lambda: (up.host.folder / "system.journal").exists() and (up.host.folder / "agent.journal").exists(), up.said)
    until(lambda: (up.host.folder / "agent.sock").exists() and up.is_well(), up.said)
    assert up.forwards()
    assert (up.host.folder / "controller.db").exists()
