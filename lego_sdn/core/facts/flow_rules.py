"""OpenFlow rules as plain, hashable values; the edge turns them into messages and back.

Field and action names are OpenFlow's (and Ryu's). Numbers are integers everywhere; `text` and `number` convert addresses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

VLAN_PRESENT = 0x1000  # OpenFlow's bit in vlan_vid that says: there is a tag

# The switch puts a tag of its own outermost on every frame that goes to an instance. Tags that a sender wrote are inside it: a sender
# cannot say what a frame is to the instance.
SWITCH_TPID, OWN_VID, SHADOW_VID, MARKER_VID = 0x88A8, 4093, 4094, 4092
UNTRUSTED_PCP = 1  # priority in that tag: the frame came in by a port whose stamps are not believed


class Match(NamedTuple):
    """One field of a match; `mask` None: all bits."""

    field: str
    value: int
    mask: int | None = None


class Act(NamedTuple):
    """One action of an apply-actions list: output (port), normal, push_vlan (tpid), set_vlan_vid (vid, with VLAN_PRESENT), set_vlan_pcp
    (priority), pop_vlan."""

    name: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One flow: where `match` holds, apply `actions`, write `metadata` if given, then go to table `goto` (None: done).

    metadata_mask: the bits that are written; None: all.

    goto is always a higher table. `cookie` is a `Cookie`, encoded.
    """

    table: int
    priority: int
    match: tuple[Match, ...] = ()
    actions: tuple[Act, ...] = ()
    goto: int | None = None
    cookie: int = 0
    metadata: int | None = None
    metadata_mask: int | None = None

    @property
    def key(self) -> tuple[int, int, frozenset[Match]]:
        """What makes it the same flow to a switch: adding a rule with the key of another replaces that one."""
        return self.table, self.priority, frozenset(self.match)

    @property
    def order(self) -> tuple[int, int, str]:
        """For a stable order: by table, then highest priority first."""
        return self.table, -self.priority, repr(self.match)


COOKIE_MAGIC = 0x1E60
COOKIE_MASK = 0xFFFF << 48  # a flow whose cookie under this mask equals COOKIE_MAGIC << 48 is LEGO's
OURS = COOKIE_MAGIC << 48  # the part of a cookie that says that the flow is LEGO\'s
ROLES = ("base", "owner", "shadow", "held", "stamps", "port")
_NOBODY = 0xFFFF


class Cookie(NamedTuple):
    """What a rule is for, readable from the switch; 64 bits: magic 16, table 8, role 4, family 4, bucket 16, owner 16.

    role    base (always there), owner (delivers to the owner), shadow (delivers a shadow), held (no shadow: the owner of the destination
            has the packet already), stamps (from a port whose stamps are believed), port (from an instance's port)
    family  code of a `steering.Family`, 0 for none
    """

    table: int
    role: str
    family: int = 0
    bucket: int | None = None
    owner: int | None = None

    def encode(self) -> int:
        bucket = _NOBODY if self.bucket is None else self.bucket
        owner = _NOBODY if self.owner is None else self.owner
        return COOKIE_MAGIC << 48 | self.table << 40 | ROLES.index(self.role) << 36 | self.family << 32 | bucket << 16 | owner

    @classmethod
    def decode(cls, cookie: int) -> Cookie | None:
        """None for a flow that is not LEGO's."""
        role = cookie >> 36 & 0xF
        if cookie >> 48 != COOKIE_MAGIC or role >= len(ROLES):
            return None
        bucket, owner = cookie >> 16 & 0xFFFF, cookie & 0xFFFF
        known = (None if bucket == _NOBODY else bucket), (None if owner == _NOBODY else owner)
        return cls(cookie >> 40 & 0xFF, ROLES[role], cookie >> 32 & 0xF, *known)


_IPV4_FIELDS = {"ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"}
_IPV6_FIELDS = {"ipv6_src", "ipv6_dst"}
_MAC_FIELDS = {"eth_src", "eth_dst"}


def text(field: str, value: int) -> str | int:
    """The written form of a match value or mask: addresses as text, the rest as it is."""
    if field in _IPV4_FIELDS:
        return str(ipaddress.IPv4Address(value))
    if field in _IPV6_FIELDS:
        return str(ipaddress.IPv6Address(value))
    if field in _MAC_FIELDS:
        return value.to_bytes(6, "big").hex(":")
    return value


def number(field: str, written: str | int) -> int:
    """The reverse of `text`."""
    if isinstance(written, int):
        return written
    if field in _IPV4_FIELDS or field in _IPV6_FIELDS:
        return int(ipaddress.ip_address(written))
    return int(written.replace(":", ""), 16)


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as the switch reports it; `age_s` since it was installed or replaced."""

    rule: Rule
    packets: int
    bytes: int
    age_s: float

    @property
    def ours(self) -> bool:
        return self.rule.cookie & COOKIE_MASK == OURS


@dataclass(frozen=True, slots=True)
class Port:
    """Totals of one port of the switch, as the switch sees it: `tx` goes out to what is plugged in there."""

    number: int
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
