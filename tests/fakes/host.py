"""An agent on this host for tests: a process of its own, with names of its own, and a look at what it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.rpc.calls import Client, Unreachable

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0  # a deadline only: with cold caches every kernel is compiled first

MAIN = """
import logging, sys
from pathlib import Path
from lego_sdn.agent import launcher
from lego_sdn.adapters.ovs.vsctl import Bridge
from lego_sdn.agent.server import run
from lego_sdn.agent.options import AgentOptions
logging.basicConfig(level=logging.INFO)
folder, bridge, warm, owner = sys.argv[1:]
command = launcher.COMMAND if warm == "real" else (sys.executable, str(Path("tests/fakes/warm.py").resolve()))
options = AgentOptions(Path(folder), folder + "/agent.sock", Bridge(bridge, "tcp:127.0.0.1:9"), owner=int(owner), warm=command)
run(options)
"""


@dataclass
class FakeHost:
    """A folder and names for one agent; `start` may be called again after the agent has ended or was killed."""

    folder: Path
    bridge: str
    warm: str = "fake"
    owner: int = 0
    child: subprocess.Popen | None = None
    clients: list[Client] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"{self.bridge}-"

    def start(self) -> Client:
        """Start the agent and wait until it is warm."""
        client = self.begin()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(Unreachable):
                hello = client.call("hello")
                assert not hello["error"], hello["error"]
                if hello["warm"] and hello["pid"] == self.child.pid:
                    return client
            assert self.child.poll() is None, self.log()
            time.sleep(0.01)
        raise AssertionError(f"the agent is not ready: {self.log()}")

    def begin(self) -> Client:
        """Start the agent without waiting."""
        with open(self.folder / "agent.log", "ab") as log:
            command = [sys.executable, "-c", MAIN, str(self.folder), self.bridge, self.warm, str(self.owner)]
            self.child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        self.clients.append(Client(str(self.folder / "agent.sock"), timeout=30.0))
        return self.clients[-1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.child.send_signal(number)
        return self.child.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def model(self, *orders: str) -> str:
        """A model file that tells the fake bricks how to misbehave."""
        path = self.folder / f"model-{'-'.join(orders) or 'good'}"
        path.write_text(" ".join(orders))
        return str(path)

    def left(self, *runs: str) -> list[str]:
        """Everything with a name of this host, or of these runs, that there is on the machine."""
        bridges = subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True, check=True).stdout.split()
        ports = subprocess.run(["ovs-vsctl", "--bare", "--columns=name", "list", "Port"], capture_output=True, text=True, check=True)
        names = [*bridges, *ports.stdout.split(), *os.listdir("/sys/class/net")]
        names += os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
        found = [name for name in names if name == self.bridge or name.startswith(self.prefix)]
        for run in runs:
            found += [str(path) for path in Path("/dev/shm").glob(f"lego-{run}*")]
            found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/lego-{run}*")]
            found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"lego-{run}*")]
            found += [f"process {process.pid}" for process in processes.marked(run)]
        return found + [str(path) for path in self.folder.glob("*.sock")] + [str(path) for path in self.folder.glob("*.journal")]


@contextlib.contextmanager
def fake_host(**options) -> Iterator[FakeHost]:
    """A host whose agent is ended, and everything of it gone, at the end. Its folder is short: a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="lt") as folder:
        os.chmod(folder, 0o700)
        host = FakeHost(Path(folder), f"t{os.getpid() % 1000000}", **options)
        try:
            yield host
        finally:
            for client in host.clients:
                client.close()
            if host.child is not None and host.child.poll() is None:
                host.end()
            if host.left():  # killed: as `lego down` would
                from lego_sdn.system.shutdown import clear_agent

                clear_agent(host.folder)
        assert host.left() == [], host.log()
