"""OpenFlow rules that split traffic by any header group, as far as a switch can: by the low bits of each of its fields.

A switch has no hash of several fields, but masks: a rule for each combination of low bits gives every key of the group exactly one
instance. LEGO itself steers by SrcIP (`core/steering.py`), which Algorithm 1 finds; these rules show what other groups do to the scores.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from bricks.packets import ICMP
from lego_sdn.core.headers import HeaderGroup

COMBINATIONS = 8  # bits of a combination, at the most
_MIX, _SHIFT = 0x9E3779B1, 15  # owners of combinations shall not follow a pattern: A to B and B to A are two keys
_PORTS = ("src_port", "dst_port")


@dataclass(frozen=True)
class Form:
    """A form that a packet can have: what ovs-ofctl calls it, and which of its fields hold a header field; ports only where it has any."""

    match: str
    priority: int
    fields: Mapping[str, str]


def _form(match: str, priority: int, source: str, destination: str, ports: bool = False) -> Form:
    macs = {"src_mac": "dl_src", "dst_mac": "dl_dst"}
    with_ports = {"src_port": "tp_src", "dst_port": "tp_dst"} if ports else {}
    return Form(match, priority, {**macs, "src_ip": source, "dst_ip": destination, **with_ports})


FORMS = (
    _form("tcp", 30, "nw_src", "nw_dst", ports=True),
    _form("udp", 30, "nw_src", "nw_dst", ports=True),
    _form("ip", 20, "nw_src", "nw_dst"),
    _form("tcp6", 30, "ipv6_src", "ipv6_dst", ports=True),
    _form("udp6", 30, "ipv6_src", "ipv6_dst", ports=True),
    _form("ipv6", 20, "ipv6_src", "ipv6_dst"),
    _form("arp", 20, "arp_spa", "arp_tpa"),
    _form("", 10, "dl_src", "dl_dst"),
)


@dataclass(frozen=True)
class Division:
    """A header group's keys divided among instances 1 to `instances`, by the low bits of its fields."""

    group: HeaderGroup
    instances: int

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(sorted(self.group.fields))

    @property
    def bits(self) -> int:
        """Low bits of each field that count."""
        return max(1, COMBINATIONS // len(self.fields))

    def owner(self, index: int | np.ndarray) -> int | np.ndarray:
        """The instance of a combination: its bits, those of the first field highest."""
        return 1 + ((index + 1) * _MIX >> _SHIFT) % self.instances

    def owners(self, packets: np.ndarray) -> np.ndarray:
        """The instance of each packet (PACKET rows): int64 [packets]."""
        index = np.zeros(len(packets), np.int64)
        for field in self.fields:
            index = index << self.bits | (_values(packets, field) & ((1 << self.bits) - 1))
        found = self.owner(index)
        assert isinstance(found, np.ndarray)
        return found

    def rules(self, port: int, ports: Mapping[int, int]) -> list[str]:
        """Flows for ovs-ofctl: what comes in by `port` goes to the instances, whose OpenFlow ports are `ports`, and nowhere else."""
        lines = []
        for form in FORMS:
            for match, owner in self._matches(form):
                parts = [f"in_port={port}", f"priority={form.priority}", *filter(None, [form.match]), *match]
                lines.append(",".join([*parts, f"actions=output:{ports[owner]}"]))
        return lines

    def _matches(self, form: Form) -> Iterator[tuple[list[str], int]]:
        """Matches of a form, with the instance. Ports that the form does not have count as 0, as `owners` counts them."""
        held = [field for field in self.fields if field in form.fields]
        for values in product(range(1 << self.bits), repeat=len(held)):
            value = dict(zip(held, values, strict=True))
            found: dict[str, int] = {}
            if any(found.setdefault(form.fields[field], bits) != bits for field, bits in value.items()):
                continue  # two of the group's fields are one in this form, and cannot differ
            index = 0
            for field in self.fields:
                index = index << self.bits | value.get(field, 0)
            owner = self.owner(index)
            assert isinstance(owner, int)
            yield [_masked(name, bits, self.bits) for name, bits in found.items()], owner


def _values(packets: np.ndarray, field: str) -> np.ndarray:
    """The low words of a field; ports as a switch sees them: those of an ICMP error's quoted header are none, and what is none is 0."""
    if field in _PORTS:
        return np.where(packets["flags"] & ICMP != 0, 0, packets[field].astype(np.int64) & 0xFFFF)
    if field in ("src_ip", "dst_ip"):
        return (packets[f"{field[:3]}_lo"] & np.uint64(0xFF)).astype(np.int64)
    return (packets[field] & np.uint64(0xFF)).astype(np.int64)


def _masked(name: str, value: int, bits: int) -> str:
    """A match of the low bits of a field, as ovs-ofctl reads it."""
    mask = (1 << bits) - 1
    if name.startswith("tp_"):
        return f"{name}={value:#x}/{mask:#x}"
    if name.startswith("dl_"):
        return f"{name}=00:00:00:00:00:{value:02x}/00:00:00:00:00:{mask:02x}"
    address = ipaddress.IPv6Address if name.startswith("ipv6") else ipaddress.IPv4Address
    return f"{name}={address(value)}/{address(mask)}"
