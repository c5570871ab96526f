"""The IP protocol of packet records, and their ICMP type and code."""

from __future__ import annotations

from typing import NamedTuple

from bricks.records.packets import BYTE_MASK, CODE_SHIFT, ICMP, PROTOCOL_SHIFT, TYPED

ICMP4, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
NAMES = {  # as Suricata writes them
    ICMP4: "ICMP",
    2: "IGMP",
    4: "IPv4",
    TCP: "TCP",
    UDP: "UDP",
    33: "DCCP",
    41: "IPv6",
    47: "GRE",
    50: "ESP",
    51: "AH",
    ICMP6: "IPv6-ICMP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    SCTP: "SCTP",
    136: "UDPLite",
}
WITH_PORTS = frozenset((TCP, UDP, 136))


class IpProtocol(NamedTuple):
    """number: of the outermost IP header, 0 if unknown; icmp: (type, code) if it is ICMP of either version."""

    number: int
    icmp: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """As Suricata writes it; three digits where it has no name here."""
        return NAMES.get(self.number, f"{self.number:03d}")


def protocol_of(flags: int) -> IpProtocol:
    """What the flags of a packet record say of its protocol."""
    value = flags >> PROTOCOL_SHIFT & BYTE_MASK
    if not flags & TYPED:
        return IpProtocol(value)
    return IpProtocol(ICMP4 if flags & ICMP else ICMP6, (value, flags >> CODE_SHIFT & BYTE_MASK))
