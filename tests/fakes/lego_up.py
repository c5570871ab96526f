"""`lego up` in a process of its own, with traffic on the way all the time (root)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.journal import peek
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.system.shutdown import take_down
from tests.fakes.host import PATIENCE_S, ROOT, fake_host
from tests.system.test_local import configuration

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

    def start(self, *more: str) -> None:
        self.path.write_text(json.dumps(self.written))
        for side in self.ports:
            subprocess.run(["ip", "link", "add", side, "type", "veth", "peer", "name", f"{side}x"], check=True)
            for end in (side, f"{side}x"):
                subprocess.run(["ip", "link", "set", end, "up"], check=True)
        with open(self.log, "wb") as log:
            command = [sys.executable, "-m", "lego_sdn", "up", "--config", str(self.path), *more]
            self.child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        until(lambda: "status: http" in self.said(), lambda: self.said(), PATIENCE_S)
        for side in self.ports:
            subprocess.run(["ovs-vsctl", "add-port", self.host.bridge, side], check=True)
        self.probe = subprocess.Popen([sys.executable, "-c", PROBE, f"{self.ports[0]}x"])
        until(self.forwards, "it forwards")

    def said(self) -> str:
        return self.log.read_text()

    def told(self) -> str:
        """What the daemon says once it is in the background."""
        log = self.host.folder / "up.log"
        return log.read_text() if log.exists() else ""

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

    def missing(self) -> list[str]:
        """What the controller says is missing, as soon as it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while (status := self.status()) is None:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)
        return status["missing"]

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


@contextlib.contextmanager
def lego_up() -> Iterator[Up]:
    """One that is started by `start`; afterwards nothing of it is left."""
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
