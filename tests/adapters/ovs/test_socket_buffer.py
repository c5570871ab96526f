"""Packets before a port of the userspace switch wait while the switch is not given the CPU."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time

import pytest

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.ovs import unixctl
from lego_sdn.adapters.ovs.socket_buffer import give_room
from lego_sdn.adapters.ovs.vsctl import Bridge, Ovs
from lego_sdn.core.facts.errors import HostError

NAME = f"lpr{os.getpid()}"[:14]
PACKETS, FRAME = 3000, bytes.fromhex("020000000002020000000001") + b"\x08\x00" + bytes(60)


@pytest.fixture
def port(tmp_path):
    """A port of a bridge in userspace, whose other end is in a namespace."""
    ovs = Ovs(NAME)
    netns.create(NAME)
    netns.add_veth(NAME, NAME, "in0")
    ovs.add_bridge(Bridge(f"{NAME}b", "tcp:127.0.0.1:1", datapath="netdev"))
    ovs.add_port(f"{NAME}b", NAME, instance=False)
    (tmp_path / "rules").write_text("priority=1,actions=drop\n")
    ovs.replace_flows(f"{NAME}b", tmp_path / "rules")
    yield NAME
    ovs.remove_port(NAME)
    ovs.remove_bridge(f"{NAME}b")
    netns.remove_link(NAME)
    netns.remove(NAME)


def seen_by_rules() -> int:
    """Packets that the bridge's one rule has counted. (The port's own counter is the interface's: what is lost behind it is in there.)"""
    command = ["ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", f"{NAME}b"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    return int(shown.split("n_packets=")[1].split(",")[0])


@pytest.mark.root
def test_a_switch_that_stands_still_for_a_moment_loses_no_packet(port):
    assert give_room(port) == 1
    with netns.inside(NAME):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    switch = unixctl.pid()
    with sender:
        sender.bind(("in0", 0))
        os.kill(switch, signal.SIGSTOP)
        try:
            for _ in range(PACKETS):
                sender.send(FRAME)
        finally:
            os.kill(switch, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while (found := seen_by_rules()) < PACKETS:
        assert time.monotonic() < deadline, f"{found} of {PACKETS}"
    assert give_room("lo") == 0, "nobody reads packets there"


def test_no_switch(tmp_path, monkeypatch):
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    with pytest.raises(HostError, match="is Open vSwitch running"):
        give_room("lo")
