"""Who is at the other end of a TCP connection, and whether it may be there: the one place that decides for every TCP listener."""

from __future__ import annotations

import ipaddress
import os
import pwd
import struct
from collections.abc import Iterable
from typing import Any

from lego_sdn.core.facts.errors import HostError

Address = tuple[Any, ...]  # host, port, and more of IPv6
TABLES = {4: ("/proc/net/tcp", "/proc/net/tcp6"), 6: ("/proc/net/tcp6",)}
UID, INODE = 7, 9  # columns
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as an IPv6 one


def owner(remote: Address, local: Address) -> int | None:
    """The user whose process holds the other end, `remote`, of a connection to `local`; None if no process of this machine does.

    A socket that its process has closed is listed as one of root's, with inode 0: it belongs to nobody.
    """
    for _ in range(2):  # a table that changes while it is read may lack a row
        version = _host(remote).version
        for table in TABLES[version]:
            found = _row(table, _written(remote, table), _written(local, table))
            if found is not None and int(found[INODE]):
                return int(found[UID])
    return None


def _host(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = found.ipv4_mapped if found.version == 6 else None
    return mapped or found


def _written(address: Address, table: str) -> str:
    """An address as the kernel's table has it: words in the machine's byte order, in hexadecimal."""
    packed = _host(address).packed
    if table.endswith("6") and len(packed) == 4:
        packed = MAPPED + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _row(table: str, local: str, remote: str) -> list[str] | None:
    """The columns of the socket that is bound to `local` and connected to `remote`."""
    try:
        with open(table, encoding="ascii") as file:
            text = file.read()
    except OSError:  # a kernel without IPv6, or no free descriptor
        return None
    at = text.find(f": {local} {remote} ")
    return None if at < 0 else text[text.rfind("\n", 0, at) + 1 : text.find("\n", at)].split()


class Peers:
    """Whom a listener serves: processes of this machine by their user, other machines by their address.

    Root and the user who runs this process may always. `key` is the section of the configuration that names others.
    """

    def __init__(self, key: str, users: Iterable[str | int] = (), networks: Iterable[str] = ()) -> None:
        self.key = key
        self.users = {0, os.geteuid(), *(_uid(user, key) for user in users)}
        self.networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)

    def refusal(self, remote: Address, local: Address) -> str | None:
        """Why whoever is at `remote` may not connect to `local`; None if it may."""
        user = owner(remote, local)
        if user is not None:
            return None if user in self.users else f"user {_name(user)} may not: {self.key}.users names who may besides root"
        host = _host(remote)
        if host.is_loopback:
            return "the process that asked is gone"
        if any(host in network for network in self.networks if network.version == host.version):
            return None
        return f"{host} may not: it is another machine's address" + (f" and not in {self.key}.peers" if self.key == "switch" else "")

    def __repr__(self) -> str:
        return f"<Peers {self.key} users={sorted(self.users)} networks={[str(network) for network in self.networks]}>"


def _uid(user: str | int, key: str) -> int:
    if isinstance(user, int):
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise HostError(f"{key}.users: wanted a user of this machine, found {user!r}") from None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
