"""Network namespaces and the veth pairs into them, by netlink; foreign errors become HostError here."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from lego_sdn.core.facts.errors import HostError

RUN = Path("/run/netns")
MTU = 9000
TAGS = 64  # bytes more that an instance's interface takes: the switch's own tag, and those of the traffic
LONGEST_NAME = 15
EEXIST, EPERM = errno.EEXIST, errno.EPERM

SIOCETHTOOL = 0x8946
SIOCGIFFLAGS, UP_AND_RUNNING = 0x8913, 0x1 | 0x40  # IFF_UP, IFF_RUNNING
# linux/ethtool.h, the commands that set one offload each, and the flags command for those without one (VLAN tags, LRO, ntuple)
OFFLOADS = {"rx-checksum": 0x15, "tx-checksum": 0x17, "scatter-gather": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C, "flags": 0x26}
READ_OFFLOADS = {"rx-checksum": 0x14, "tx-checksum": 0x16, "scatter-gather": 0x18, "tso": 0x1E, "gso": 0x23, "gro": 0x2B, "flags": 0x25}


class NameTaken(HostError):
    """The name belongs to something that was there before."""


@contextlib.contextmanager
def _mapped(doing: str) -> Iterator[None]:
    """Foreign errors as one sentence."""
    try:
        yield
    except NetlinkError as error:
        raise (NameTaken if error.code == EEXIST else HostError)(f"cannot {doing}: {_reason(error.code)}") from error
    except OSError as error:
        raise HostError(f"cannot {doing}: {_reason(error.errno or 0)}") from error
    except ValueError as error:  # a name with NUL, or in no ASCII
        raise HostError(f"cannot {doing}: such a name cannot be used") from error


def _reason(code: int) -> str:
    if code == EPERM:
        return "it needs root (CAP_NET_ADMIN); run the agent as root"
    if code == EEXIST:
        return "that name is taken; remove what has it, or choose another bridge name in the configuration"
    return os.strerror(code)


def path(namespace: str) -> Path:
    """The file by which a process enters the namespace."""
    return RUN / namespace


def exists(namespace: str) -> bool:
    """Whether a namespace of this name is there."""
    return path(namespace).exists()


def create(namespace: str) -> None:
    """A namespace with loopback up, IPv6 off and no addresses. HostError if the name is taken or root is missing."""
    if exists(namespace):
        raise NameTaken(f"cannot create the network namespace {namespace}: {_reason(EEXIST)}")
    with _mapped(f"create the network namespace {namespace}"):
        netns.create(namespace)
    if not exists(namespace):  # it is made in a child process that does not always hand its errors on
        raise HostError(f"cannot create the network namespace {namespace}: {_reason(EPERM if os.geteuid() else 0)}")
    with inside(namespace), _mapped(f"set up the network namespace {namespace}"):
        _without_ipv6("all")
        _without_ipv6("default")
        with IPRoute() as route:
            route.link("set", index=1, state="up")


def remove(namespace: str) -> None:
    """Remove it; nothing happens if it is not there."""
    with _mapped(f"remove the network namespace {namespace}"), contextlib.suppress(FileNotFoundError):
        netns.remove(namespace)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The body runs with this process's network namespace changed (of this thread; do not switch threads in it)."""
    with open("/proc/self/ns/net") as home:
        with _mapped(f"enter the network namespace {namespace}"):
            netns.setns(namespace, flags=0)
        try:
            yield
        finally:
            netns.setns(home.fileno())


def add_veth(outside: str, namespace: str, within: str, mtu: int = MTU) -> None:
    """A veth pair: `outside` here, `within` in the namespace. Both up, offloads off, without IPv6 and addresses.

    HostError if a name is taken or too long, or the namespace is not there.
    """
    if len(outside) > LONGEST_NAME or len(within) > LONGEST_NAME:
        raise HostError(
            f"the interface name {max(outside, within, key=len)} is longer than {LONGEST_NAME} characters; choose a shorter one"
        )
    if not exists(namespace):
        raise HostError(f"cannot put {within} into the network namespace {namespace}: there is none of this name")
    with _mapped(f"create the interface {outside}"), IPRoute() as route:
        route.link("add", ifname=outside, kind="veth", mtu=mtu, peer={"ifname": within, "mtu": mtu, "net_ns_fd": namespace})
    _bring_up(outside)
    with inside(namespace):
        _bring_up(within)


def remove_link(name: str) -> None:
    """Remove a veth pair by its end here; nothing happens if it is not there. HostError if that is not a veth."""
    if not link_exists(name):
        return
    with _mapped(f"remove the interface {name}"), IPRoute() as route:
        try:
            (found,) = route.link("get", ifname=name)
            kind = found.get(("linkinfo", "kind"))
            if kind != "veth":
                raise HostError(f"{name} is not removed: it is no veth but {kind or 'a device'} that LEGO did not make")
            route.link("del", index=found["index"])
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


def link_exists(name: str) -> bool:
    """Whether there is an interface of this name in the current namespace."""
    return any(name == there for _, there in socket.if_nameindex())


def index_of(name: str) -> int | None:
    """The number of an interface of the current namespace, another one for each that is made; None if there is none of this name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def is_up(name: str) -> bool:
    """Whether an interface of the current namespace is up and, where it is an end of a veth pair, the other end too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            told = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH", name.encode(), 0).ljust(40, b"\0"))
        except OSError as error:
            raise HostError(f"the state of {name} is not known: {error.strerror}") from error
    return struct.unpack_from("H", told, 16)[0] & UP_AND_RUNNING == UP_AND_RUNNING


def times_down(name: str) -> int:
    """How often an interface of the current namespace, or the other end of its veth pair, was switched off since it was made. HostError if
    there is none of this name; 0 where this host does not show it (no /sys)."""
    try:
        return int(Path("/sys/class/net", name, "carrier_down_count").read_text())
    except OSError as error:
        if Path("/sys/class/net/lo").exists():
            raise HostError(f"the state of {name} is not known: {error.strerror}") from error
        return 0


def set_up(name: str) -> None:
    """Switch an interface of the current namespace on. HostError if there is none of this name."""
    with _mapped(f"set up the interface {name}"), IPRoute() as route:
        route.link("set", index=socket.if_nametoindex(name), state="up")


def offloads(name: str) -> dict[str, int]:
    """The offloads of an interface, 0 is off (`flags`: bits, of which VLAN tagging and LRO)."""
    with _mapped(f"read the offloads of {name}"):
        return {offload: _ethtool(name, command, 0) for offload, command in READ_OFFLOADS.items()}


def _bring_up(name: str) -> None:
    # A packet with a checksum yet to be filled in, or merged from several, is not what was on the wire.
    for command in OFFLOADS.values():
        try:
            _ethtool(name, command, 0)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise HostError(f"cannot switch the offloads of {name} off: {error.strerror}") from error
    with _mapped(f"set up the interface {name}"):
        _without_ipv6(name)
        with IPRoute() as route:
            route.link("set", index=socket.if_nametoindex(name), state="up")


def _without_ipv6(name: str) -> None:
    switch = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
    if switch.exists():  # a kernel may have no IPv6 at all
        switch.write_text("1")


def _ethtool(name: str, command: int, value: int) -> int:
    """One ETHTOOL ioctl with a struct ethtool_value {u32 cmd, data}; returns data."""
    data = ctypes.create_string_buffer(struct.pack("II", command, value))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(data))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request.ljust(40, b"\0"))
    return struct.unpack("II", data.raw[:8])[1]
