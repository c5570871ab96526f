"""The flow of a packet, as names that other tools know it by: community ID (version 1, seed 0) and a number."""

from __future__ import annotations

import hashlib
import ipaddress
from base64 import b64encode
from functools import lru_cache
from typing import Any, NamedTuple

from bricks.records.addresses import address_text
from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, DST_KIND_SHIFT, KIND_MASK, NO_PORT, SRC_KIND_SHIFT
from bricks.records.protocols import ICMP4, ICMP6, SCTP, TCP, UDP, WITH_PORTS, IpProtocol, protocol_of

_KEPT = 8192  # flows whose names are kept
_BITS = 48  # of a flow's number: every reader of JSON keeps it exact
# ICMP types of a request and its reply, both ways; all others are one-way
_PAIRED = {
    ICMP4: {0: 8, 8: 0, 9: 10, 10: 9, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17},
    ICMP6: {128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144},
}


class PacketFlow(NamedTuple):
    """source, destination: addresses as text, "none" where there is none; ip: 4, 6, or 0 if they are no IP addresses of both ends.

    ports   (source, destination), if the packet itself has them
    protocol.number is 0 unless both ends have IP addresses and the protocol is known; `community` is "" then, and of SCTP, whose ports a
    packet record lacks. Of a tunnel all is that of the outer packet.
    """

    source: str
    destination: str
    ip: int
    protocol: IpProtocol
    ports: tuple[int, int] | None
    community: str
    number: int


def flow_of(row: Any) -> PacketFlow:
    """The flow of a packet record: PACKET, one row."""
    flags = int(row["flags"])
    sides = [int(row[name]) for name in ("src_hi", "src_lo", "dst_hi", "dst_lo")]
    return _flow(*sides, int(row["src_port"]), int(row["dst_port"]), flags)


@lru_cache(_KEPT)
def _flow(src_hi: int, src_lo: int, dst_hi: int, dst_lo: int, src_port: int, dst_port: int, flags: int) -> PacketFlow:
    kinds = flags >> SRC_KIND_SHIFT & KIND_MASK, flags >> DST_KIND_SHIFT & KIND_MASK
    source, destination = address_text(kinds[0], src_hi, src_lo), address_text(kinds[1], dst_hi, dst_lo)
    ip = {(ADDRESS_IPV4, ADDRESS_IPV4): 4, (ADDRESS_IPV6, ADDRESS_IPV6): 6}.get(kinds, 0)
    protocol = protocol_of(flags) if ip else IpProtocol(0)
    with_ports = protocol.number in WITH_PORTS and NO_PORT not in (src_port, dst_port)
    ports = (src_port, dst_port) if with_ports else None
    if not protocol.number:  # ARP, or no IP at all
        ends = "|".join(sorted((source, destination)))
        return PacketFlow(source, destination, ip, protocol, None, "", _number(hashlib.sha1(ends.encode()).digest()))
    digest = _community(source, destination, protocol, ports)
    community = "" if protocol.number == SCTP else "1:" + b64encode(digest).decode()
    return PacketFlow(source, destination, ip, protocol, ports, community, _number(digest))


def _community(source: str, destination: str, protocol: IpProtocol, ports: tuple[int, int] | None) -> bytes:
    """The digest of a community ID (github.com/corelight/community-id-spec); ICMP's type and code count as ports, as in Zeek."""
    ends, one_way = ports if protocol.number in (TCP, UDP) else None, False
    if protocol.icmp is not None:
        kind, code = protocol.icmp
        paired = _PAIRED[protocol.number]
        ends, one_way = (kind, paired.get(kind, code)), kind not in paired
    addresses = [ipaddress.ip_address(text).packed for text in (source, destination)]
    sides = list(zip(addresses, ends or (0, 0), strict=True))
    if not one_way:
        sides.sort()
    text = bytes(2) + sides[0][0] + sides[1][0] + bytes((protocol.number, 0))
    if ends is not None:
        text += b"".join(port.to_bytes(2, "big") for _, port in sides)
    return hashlib.sha1(text).digest()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)
