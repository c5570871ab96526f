"""Header fields and header groups: by which fields of a packet a statistic is keyed (LEGO paper, section III-A).

A new granularity is one value here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeaderGroup:
    """A named set of header fields; packets with equal values in them belong together."""

    name: str
    fields: frozenset[str]

    @classmethod
    def of(cls, name: str, *fields: str) -> HeaderGroup:
        return cls(name, frozenset(fields))

    def __str__(self) -> str:
        return self.name


# src_ip stands for the network address in whatever form the packet has one: IPv4, IPv6, ARP's protocol address, else the MAC.
SRC_MAC_SRC_IP = HeaderGroup.of("SrcMAC-SrcIP", "src_mac", "src_ip")
SRC_IP = HeaderGroup.of("SrcIP", "src_ip")
DST_IP = HeaderGroup.of("DstIP", "dst_ip")
SRC_IP_SRC_PORT = HeaderGroup.of("SrcIP-SrcPort", "src_ip", "src_port")
SRC_IP_DST_IP = HeaderGroup.of("SrcIP-DstIP", "src_ip", "dst_ip")
SOCKET = HeaderGroup.of("Socket", "src_ip", "src_port", "dst_ip", "dst_port")
ALL = HeaderGroup.of("All")  # no field: all packets belong together

GROUPS = {group.name: group for group in (SRC_MAC_SRC_IP, SRC_IP, DST_IP, SRC_IP_SRC_PORT, SRC_IP_DST_IP, SOCKET, ALL)}

WORDS = {"src_mac": "SrcMAC", "dst_mac": "DstMAC", "src_ip": "SrcIP", "dst_ip": "DstIP", "src_port": "SrcPort", "dst_port": "DstPort"}
ADDRESSES = ("src_ip", "dst_ip", "src_mac", "dst_mac")  # fields that every packet has and that a switch matches by their low bits
PORTS = ("src_port", "dst_port")  # fields that a switch matches in TCP and UDP only


def spell(fields: Iterable[str]) -> str:
    """Fields in the paper's spelling: SrcIP-DstIP."""
    order = list(WORDS)
    ordered = sorted(fields, key=lambda field: (order.index(field) if field in WORDS else len(order), field))
    return "-".join(WORDS.get(field, field) for field in ordered) or ALL.name


def within(inner: HeaderGroup, outer: HeaderGroup) -> bool:
    """Whether every set of packets that share `inner`'s values lies in one set that share `outer`'s.

    SrcMAC-SrcIP lies within SrcIP: more fields, fewer packets. A group lies within itself.
    """
    return outer.fields <= inner.fields
