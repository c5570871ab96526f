"""Bridges for tests: one of the running Open vSwitch, or a whole Open vSwitch of a test's own that may be killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from lego_sdn.adapters.linux import netns
from tests.ryu_apps.lab import Lab, until

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@contextmanager
def bridge(lab: Lab) -> Iterator[str]:
    """`lab.bridge` in the Open vSwitch of this machine, with the lab's controller."""
    vsctl("add-br", lab.bridge, *_settings(lab))
    try:
        yield lab.bridge
    finally:
        vsctl("--if-exists", "del-br", lab.bridge)


@contextmanager
def instance_ports(lab: Lab, count: int, vsctl: Callable[..., str]) -> Iterator[None]:
    """Ports 101 and on of the lab's bridge: those that a fake agent names which plugs nothing in."""
    names = {number: f"{lab.bridge}p{number}" for number in range(101, 101 + count)}
    with ExitStack() as stack:
        for number, name in names.items():
            stack.callback(_unplug, lab, name)
            with lab.inside():
                _ip("link", "add", name, "type", "veth", "peer", "name", f"{name}x")
                for end in (name, f"{name}x"):
                    _ip("link", "set", end, "up")
            vsctl("add-port", lab.bridge, name, "--", "set", "Interface", name, f"ofport_request={number}")
        yield


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


def _unplug(lab: Lab, name: str) -> None:
    with lab.inside():
        netns.remove_link(name)


def vsctl(*words: str) -> str:
    return subprocess.run(["ovs-vsctl", "--timeout=10", *words], check=True, capture_output=True, text=True).stdout.strip()


def ofctl(lab: Lab, *words: str) -> str:
    return subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", *words], check=True, capture_output=True, text=True, timeout=20).stdout


def _settings(lab: Lab) -> list[str]:
    bridge = ["--", "set", "Bridge", lab.bridge, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13,OpenFlow14"]
    return [
        *bridge,
        "--",
        "set-controller",
        lab.bridge,
        f"tcp:127.0.0.1:{lab.openflow}",
        "--",
        "set",
        "Controller",
        lab.bridge,
        "max_backoff=1000",
    ]


class OwnSwitch:
    """ovsdb-server and ovs-vswitchd in the lab's namespace, with their files in the lab's folder."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.folder = lab, lab.folder / "ovs"
        self.folder.mkdir()
        self.database = f"unix:{self.folder}/db.sock"
        self.environment = os.environ | {f"OVS_{name}": str(self.folder) for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")}

    def start(self) -> None:
        subprocess.run(["ovsdb-tool", "create", self.folder / "conf.db", SCHEMA], check=True, env=self.environment)
        command = ["ovsdb-server", str(self.folder / "conf.db"), f"--remote=p{self.database}", "--no-chdir"]
        self.lab.launch("ovsdb-server", command, env=self.environment)
        until(lambda: (self.folder / "db.sock").exists(), "ovsdb-server listens")
        self.vsctl("--no-wait", "init")
        self.start_switch()
        self.vsctl("add-br", self.lab.bridge, *_settings(self.lab))

    def start_switch(self) -> None:
        self.lab.launch("ovs-vswitchd", ["ovs-vswitchd", self.database, "--no-chdir"], env=self.environment)

    def vsctl(self, *words: str) -> str:
        command = ["ovs-vsctl", f"--db={self.database}", "--timeout=20", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment).stdout.strip()

    def flows(self) -> list[str]:
        """The rules, as ovs-ofctl shows them."""
        command = ["ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "dump-flows", f"unix:{self.folder}/{self.lab.bridge}.mgmt"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20, env=self.environment).stdout
        return [line for line in shown.splitlines() if "cookie=" in line]


@contextmanager
def private_namespace(name: str) -> Iterator[str]:
    netns.create(name)
    try:
        yield name
    finally:
        netns.remove(name)
