"""Real namespaces and veth pairs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lego_sdn.adapters.linux import netns
from lego_sdn.core.facts.errors import HostError

pytestmark = pytest.mark.root
NAME = f"lt{os.getpid()}"[:12]


@pytest.fixture
def space():
    netns.create(NAME)
    yield NAME
    netns.remove_link(NAME)
    netns.remove(NAME)
    assert not netns.exists(NAME)
    assert not netns.link_exists(NAME)


def test_an_instances_network(space):
    netns.add_veth(NAME, space, "in0")
    assert netns.link_exists(NAME)
    assert not netns.link_exists("in0")
    home = os.stat("/proc/self/ns/net").st_ino
    with netns.inside(space):
        assert sorted(name for _, name in socket.if_nameindex()) == ["in0", "lo"]
        assert set(netns.offloads("in0").values()) == {0}
        for name in ("in0", "lo"):
            assert flags(name) & 1, f"{name} is up"
        assert Path("/proc/sys/net/ipv6/conf/in0/disable_ipv6").read_text().strip() == "1"
        assert Path("/proc/self/net/if_inet6").read_text() == ""
    assert os.stat("/proc/self/ns/net").st_ino == home
    assert set(netns.offloads(NAME).values()) == {0}
    assert flags(NAME) & 1
    assert Path(f"/sys/class/net/{NAME}/mtu").read_text().strip() == "9000"


def flags(name):
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return struct.unpack("16xH", fcntl.ioctl(any_socket, 0x8913, struct.pack("16s16x", name.encode()))[:18])[0]


def test_frames_cross_as_they_are(space):
    """What is sent into one end arrives at the other, a frame of 9,000 bytes too."""
    netns.add_veth(NAME, space, "in0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((NAME, 0))
        with netns.inside(space):
            receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
            receiver.bind(("in0", 0x88B5))
        with receiver:
            receiver.settimeout(5)
            frame = bytes(12) + b"\x88\xb5" + os.urandom(9000)
            sender.send(frame)
            assert receiver.recv(10000) == frame


def test_names_that_are_taken_are_left_to_whoever_has_them(space):
    netns.add_veth(NAME, space, "in0")
    with pytest.raises(netns.NameTaken, match=f"namespace {NAME}: that name is taken"):
        netns.create(NAME)
    with pytest.raises(netns.NameTaken, match=f"interface {NAME}: that name is taken"):
        netns.add_veth(NAME, space, "in1")
    with pytest.raises(HostError, match="name is taken"):
        netns.add_veth(NAME + "x", space, "in0")
    assert not netns.link_exists(NAME + "x")


def test_what_cannot_be(space):
    with pytest.raises(HostError, match="longer than 15 characters"):
        netns.add_veth("a" * 16, space, "in0")
    with pytest.raises(HostError, match="there is none of this name"):
        netns.add_veth(NAME, "absent", "in0")
    with pytest.raises(HostError, match="cannot enter the network namespace absent"), netns.inside("absent"):
        pass
    with pytest.raises(HostError, match="lo is not removed: it is no veth"):
        netns.remove_link("lo")


def test_a_body_that_fails_inside_leaves_this_process_at_home(space):
    home = os.stat("/proc/self/ns/net").st_ino
    with pytest.raises(ZeroDivisionError), netns.inside(space):
        _ = 1 / 0
    assert os.stat("/proc/self/ns/net").st_ino == home


def test_removing_what_is_gone_is_no_error():
    netns.remove("absent")
    netns.remove_link("absent")
