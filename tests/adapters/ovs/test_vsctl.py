"""Open vSwitch: what is made is marked, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess

import pytest

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.ovs import unixctl
from lego_sdn.adapters.ovs.vsctl import Bridge, Ovs
from lego_sdn.core.facts.errors import HostError

BRIDGE = Bridge(f"ltb{os.getpid()}"[:14], "tcp:127.0.0.1:16653")
PORT = f"ltp{os.getpid()}"[:14]


@pytest.fixture
def ovs():
    ovs = Ovs(f"test{os.getpid()}")
    ovs.require()
    yield ovs
    for table, remove in (("Port", ovs.remove_port), ("Bridge", ovs.remove_bridge)):
        for name in ovs.marked(table):
            remove(name)


@pytest.fixture
def port():
    netns.create(PORT)
    netns.add_veth(PORT, PORT, "in0")
    yield PORT
    netns.remove_link(PORT)
    netns.remove(PORT)


def vsctl(*words):
    return subprocess.run(["ovs-vsctl", "--timeout=10", *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.root
def test_a_bridge_of_ones_own(ovs):
    ovs.add_bridge(BRIDGE)
    assert ovs.marked("Bridge") == [BRIDGE.name]
    assert ovs.dpid(BRIDGE.name) == BRIDGE.dpid < 2**48
    assert ovs.datapath(BRIDGE.name) == ovs.datapath_type()
    assert vsctl("get", "Bridge", BRIDGE.name, "protocols") == "[OpenFlow13, OpenFlow14]"
    assert vsctl("get", "Bridge", BRIDGE.name, "fail_mode") == "secure"
    assert vsctl("get-controller", BRIDGE.name) == BRIDGE.controller
    Ovs("another-run").remove_bridge(BRIDGE.name)
    assert ovs.bridge_exists(BRIDGE.name)
    ovs.remove_bridge(BRIDGE.name)
    ovs.remove_bridge(BRIDGE.name)
    assert not ovs.bridge_exists(BRIDGE.name)


@pytest.mark.root
@pytest.mark.parametrize("limit", ["0", "2"])
def test_a_switch_that_looks_through_more_tags_is_refused(ovs, limit):
    vsctl("set", "Open_vSwitch", ".", f"other_config:vlan-limit={limit}")
    try:
        with pytest.raises(HostError, match=f"vlan-limit={limit}"):
            ovs.add_bridge(BRIDGE)
        assert not ovs.bridge_exists(BRIDGE.name)
        vsctl("add-br", BRIDGE.name, "--", "set", "Bridge", BRIDGE.name, "datapath_type=netdev")
        with pytest.raises(HostError, match="vlan-limit"):
            ovs.adjust_bridge(BRIDGE, BRIDGE.dpid)
        assert vsctl("get-controller", BRIDGE.name) == ""
    finally:
        vsctl("--if-exists", "del-br", BRIDGE.name)
        vsctl("remove", "Open_vSwitch", ".", "other_config", "vlan-limit")
    ovs.add_bridge(BRIDGE)


@pytest.mark.root
def test_ports(ovs, port):
    ovs.add_bridge(BRIDGE)
    number = ovs.add_port(BRIDGE.name, port)
    assert number > 0
    assert vsctl("get", "Port", port, "trunks") == "[4095]"
    assert ovs.marked("Port") == [port]
    Ovs("another-run").remove_port(port)
    assert ovs.marked("Port") == [port]
    assert ovs.flush_cache() > 0
    with pytest.raises(HostError, match=f"cannot create a port named {port}"):
        ovs.add_port(BRIDGE.name, port)
    ovs.remove_port(port)
    ovs.remove_port(port)
    assert vsctl("list-ports", BRIDGE.name) == ""


@pytest.mark.root
def test_a_port_without_an_interface_is_refused_and_not_left(ovs):
    ovs.add_bridge(BRIDGE)
    with pytest.raises(HostError, match=r"cannot use absent0 on bridge .*No such device"):
        ovs.add_port(BRIDGE.name, "absent0")
    assert ovs.marked("Port") == []


@pytest.mark.root
def test_a_port_of_a_run_before_the_last_boot_is_replaced(ovs, port):
    """Its row outlived the boot in the database, its interface did not."""
    ovs.add_bridge(BRIDGE)
    vsctl("--no-wait", "add-port", BRIDGE.name, "absent0", f"external_ids:lego={ovs.run}")
    vsctl("set", "Interface", "absent0", "external_ids:x=y")  # waits for the switch to have tried
    assert ovs.is_stale("absent0")
    ovs.add_port(BRIDGE.name, port)
    assert not ovs.is_stale(port)
    assert not ovs.is_stale("never")


@pytest.mark.root
@pytest.mark.parametrize(
    "before",
    [
        [],
        [
            "protocols=OpenFlow10,OpenFlow13",
            "fail_mode=standalone",
            "other-config:datapath-id=00000000000000ab",
            "other-config:disable-in-band=false",
        ],
    ],
)
def test_a_bridge_of_the_users_is_given_back_as_it_was(ovs, before):
    vsctl("add-br", BRIDGE.name, "--", "set", "Bridge", BRIDGE.name, "datapath_type=netdev", *before)
    try:
        was = ovs.settings(BRIDGE.name)
        dpid = ovs.dpid(BRIDGE.name)
        ovs.adjust_bridge(BRIDGE, dpid)
        assert ovs.settings(BRIDGE.name) != was
        assert ovs.dpid(BRIDGE.name) == dpid
        ovs.remove_bridge(BRIDGE.name)  # not of this run: stays
        ovs.restore_bridge(BRIDGE.name, was)
        assert ovs.settings(BRIDGE.name) == was
        vsctl("set-controller", BRIDGE.name, "tcp:127.0.0.1:7777")
        with pytest.raises(HostError, match=r"has another controller \(tcp:127\.0\.0\.1:7777\)"):
            ovs.adjust_bridge(BRIDGE, dpid)
    finally:
        vsctl("del-br", BRIDGE.name)
    ovs.restore_bridge(BRIDGE.name, was)


def test_a_switch_that_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.setattr("lego_sdn.adapters.ovs.vsctl.shutil.which", lambda name: name)
    ovs = Ovs("r")
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", NO_DATABASE))
    assert not ovs.is_running()
    with pytest.raises(HostError, match=r"Open vSwitch does not run: start it with '.*ovs-ctl start"):
        ovs.require()
    with pytest.raises(HostError, match=r"Open vSwitch does not run \(unix:/x/db.sock: database connection failed"):
        ovs.bridge_exists("lego0")


NO_DATABASE = "ovs-vsctl: unix:/x/db.sock: database connection failed (No such file or directory)\n"


def test_tools_that_are_missing_hang_or_are_not_allowed(monkeypatch):
    ovs = Ovs("r")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError, match="ovs-vsctl is not installed: 'apt-get install openvswitch-switch'"):
        ovs.bridge_exists("lego0")
    with pytest.raises(HostError, match="Open vSwitch is not installed"):
        ovs.require()

    def hangs(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr("subprocess.run", hangs)
    with pytest.raises(HostError, match="ovs-vsctl did not answer: Open vSwitch hangs"):
        ovs.bridge_exists("lego0")
    refused = "ovs-vsctl: unix:/x/db.sock: (Permission denied)\n"
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", refused))
    with pytest.raises(HostError, match=r"may not talk to Open vSwitch .* run as root"):
        ovs.bridge_exists("lego0")


def test_hosts_with_bridges_on_two_datapaths_empty_the_cache(monkeypatch):
    """`revalidator/wait` refuses there; the cache is emptied instead."""
    calls = []

    def ask(command, **_):
        calls.append(command)
        if command == "revalidator/wait":
            raise unixctl.UnixctlRefused("ovs-vswitchd refuses revalidator/wait: can't wait on multiple udpifs.")

    monkeypatch.setattr(unixctl, "ask", ask)
    assert Ovs("r").flush_cache() >= 0
    assert calls == ["revalidator/wait", "revalidator/purge"]


def test_datapath_ids_are_of_the_name():
    assert Bridge("lego0").dpid == Bridge("lego0", "tcp:10.0.0.1:6653").dpid != Bridge("lego1").dpid


@pytest.mark.root
def test_flows_of_its_owner_are_named_and_come_back(ovs):
    """Open vSwitch deletes them when a bridge gets a controller, and when it loses it."""
    vsctl("add-br", BRIDGE.name, "--", "set", "Bridge", BRIDGE.name, "datapath_type=netdev")
    try:
        ovs.require_no_flows(BRIDGE.name)  # that of a new bridge is no obstacle
        vsctl("set", "Bridge", BRIDGE.name, "fail_mode=secure")
        flow = "table=3,priority=10,cookie=0x5,udp,in_port=1,actions=output:2"
        subprocess.run(["ovs-ofctl", "add-flow", BRIDGE.name, flow], check=True)
        with pytest.raises(HostError, match=r"has flows of its own \(cookie=0x5, table=3, priority=10,udp,in_port=1 actions=output:2\)"):
            ovs.require_no_flows(BRIDGE.name)
        was, there = ovs.settings(BRIDGE.name), ovs.flows(BRIDGE.name)
        ovs.adjust_bridge(BRIDGE, ovs.dpid(BRIDGE.name))
        assert ovs.flows(BRIDGE.name) == []
        assert vsctl("get", "Bridge", BRIDGE.name, "other-config:disable-in-band") == '"true"'
        ovs.restore_bridge(BRIDGE.name, was)
        assert sorted(ovs.flows(BRIDGE.name)) == sorted(there)
        assert len(there) == 1
        assert ovs.settings(BRIDGE.name) == was
    finally:
        vsctl("--if-exists", "del-br", BRIDGE.name)
