"""Steering: an assignment of buckets to instances, compiled to rules, and the difference between two rule sets.

The pipeline (docs/reference/contract.md) has table 0 guard, 1 own (bucket of the split key -> owner), 2 shadow (bucket of the copy's
fields -> its owner; one more table, up to 5, for each further copy), and 9 forward. A bucket is the low bits of the key's fields, in
whatever form the packet has them. The number of rules depends on the number of buckets only, never on the number of keys or of pairs of
instances: a flood of spoofed sources does not grow the tables. The guard puts the switch's own tag on every packet, and forwarding takes
it off; in between, the tag tells an instance whether a packet is its own or a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.flow_rules import (
    OWN_VID,
    SHADOW_VID,
    SWITCH_TPID,
    UNTRUSTED_PCP,
    VLAN_PRESENT,
    Act,
    Cookie,
    Match,
    Rule,
    number,
    text,
)
from lego_sdn.core.facts.headers import PORTS
from lego_sdn.core.nf.split_key import BY_SOURCE, Fields, SplitKey, bits_of

__all__ = [
    "FAMILIES",
    "FAMILIES_WITH_PORTS",
    "Act",
    "Cookie",
    "Family",
    "Match",
    "Rule",
    "RuleChange",
    "RuleOptions",
    "compile_rules",
    "diff",
    "number",
    "text",
]

GUARD, OWN, SHADOW, FORWARD = 0, 1, 2, 9
MAX_INSTANCE = 0xFFFE

# Inside a table. A family's own miss lies above the MAC rules: an IPv4 packet is never steered by its MAC.
P_EXCEPT, P_BUCKET, P_FAMILY, P_MAC, P_MISS = 400, 300, 200, 100, 0
P_PORTS = 200  # higher than all others: what a family with ports has

_SLOT, _SLOT_MASK = 16, 0xFFFF  # bits of metadata for one instance


class SteeringError(LegoError):
    """An assignment cannot be put into rules."""


class Family(NamedTuple):
    """One form that a packet can take, with the OpenFlow fields that hold its header fields.

    eth_type  0: any packet of no other family
    protocol  of IP; 0: any
    """

    name: str
    code: int
    eth_type: int
    fields: Mapping[str, str]
    protocol: int = 0

    @property
    def match(self) -> tuple[Match, ...]:
        """What makes a packet one of this family, apart from priorities."""
        kind = (Match("eth_type", self.eth_type),) if self.eth_type else ()
        return (*kind, Match("ip_proto", self.protocol)) if self.protocol else kind


def _family(name: str, code: int, eth_type: int, addresses: tuple[str, str], protocol: int = 0) -> Family:
    fields = {"src_ip": addresses[0], "dst_ip": addresses[1], "src_mac": "eth_src", "dst_mac": "eth_dst"}
    ports = {"src_port": f"{name[:3]}_src", "dst_port": f"{name[:3]}_dst"} if protocol else {}
    return Family(name, code, eth_type, fields | ports, protocol)


FAMILIES = (
    _family("ipv4", 1, 0x0800, ("ipv4_src", "ipv4_dst")),
    _family("arp", 2, 0x0806, ("arp_spa", "arp_tpa")),
    _family("ipv6", 3, 0x86DD, ("ipv6_src", "ipv6_dst")),
    _family("other", 4, 0, ("eth_src", "eth_dst")),
)
FAMILIES_WITH_PORTS = (  # needed by keys with ports only
    *FAMILIES,
    _family("tcp4", 5, 0x0800, ("ipv4_src", "ipv4_dst"), 6),
    _family("udp4", 6, 0x0800, ("ipv4_src", "ipv4_dst"), 17),
    _family("tcp6", 7, 0x86DD, ("ipv6_src", "ipv6_dst"), 6),
    _family("udp6", 8, 0x86DD, ("ipv6_src", "ipv6_dst"), 17),
)


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """What rules depend on besides the assignment.

    buckets  power of two; exact: shadows on
    forward  normal | drop | wires; wires: pairs of OpenFlow ports, both directions
    stamp_ports  OpenFlow ports whose frames' stamps are believed; None: those of all ports
    sampled  buckets whose packets the auditor's twin scores; all others it takes as shadows
    key      by what packets find their owners
    standby  the instance that gets a copy of every packet, to take over from others; None: there is none
    """

    buckets: int = 64
    exact: bool = True
    forward: str = "normal"
    wires: tuple[tuple[int, int], ...] = ()
    stamp_ports: tuple[int, ...] | None = None
    sampled: frozenset[int] = frozenset()
    key: SplitKey = BY_SOURCE
    standby: int | None = None

    @property
    def shadows(self) -> tuple[Fields, ...]:
        """For each copy that is sent, the fields of its receiver's bucket."""
        return self.key.shadows if self.exact else ()

    @property
    def families(self) -> tuple[Family, ...]:
        ports = {field for side in self.key.sides for field in side} & set(PORTS)
        return FAMILIES_WITH_PORTS if ports else FAMILIES


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What to send to the switch, as one bundle: flows to delete (strictly, by table, priority and match) and to add or replace."""

    add: tuple[Rule, ...] = ()
    delete: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def compile_rules(assignment: Mapping[int, int], ports: Mapping[int, int], options: RuleOptions) -> frozenset[Rule]:
    """All rules for `assignment` (bucket -> instance) with the instances behind `ports` (instance -> OpenFlow port).

    A bucket without an owner, or whose owner has no port, goes to no instance; it is forwarded like any other. Where the auditor's twin
    or the standby has a port, it gets every packet once.
    Raises SteeringError for a bucket or instance out of range.
    """
    _check(assignment, ports, options)
    owners = {bucket: owner for bucket, owner in assignment.items() if owner in ports}
    rules = [*_forward(options), *_own(owners, ports, options), *_shadow(owners, ports, options)]
    return frozenset((*_guard(ports, options), *map(_tagged, rules)))


def diff(installed: Iterable[Rule], wanted: Iterable[Rule]) -> RuleChange:
    """What turns `installed` into `wanted`; a rule that is in both is not touched, one with the same key is replaced, not deleted."""
    have, want = frozenset(installed), frozenset(wanted)
    keys = {rule.key for rule in want}
    gone = (rule for rule in have if rule.key not in keys)
    return RuleChange(add=_sorted(want - have), delete=_sorted(gone))


def _sorted(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.order))


def _check(assignment: Mapping[int, int], ports: Mapping[int, int], options: RuleOptions) -> None:
    for bucket, owner in assignment.items():
        if not 0 <= bucket < options.buckets:
            raise SteeringError(f"bucket {bucket} of instance {owner}: there are {options.buckets} buckets, numbered from 0")
    for instance in {*assignment.values(), *ports}:
        if not 1 <= instance <= MAX_INSTANCE:
            raise SteeringError(f"instance {instance}: instances are numbered from 1 to {MAX_INSTANCE}")
    if len(set(ports.values())) != len(ports):
        raise SteeringError(f"two instances cannot share an OpenFlow port: {dict(ports)}")


def _guard(ports: Mapping[int, int], options: RuleOptions) -> Iterator[Rule]:
    """Nothing enters from an instance. All else gets the switch's own tag, which says whether the port's stamps are believed."""
    for instance, port in ports.items():
        yield Rule(GUARD, P_EXCEPT, (Match("in_port", port),), cookie=Cookie(GUARD, "port", owner=instance).encode())
    base, trusted = Cookie(GUARD, "base").encode(), Cookie(GUARD, "stamps").encode()
    tag = Act("push_vlan", SWITCH_TPID), Act("set_vlan_vid", VLAN_PRESENT | OWN_VID)
    if options.stamp_ports is None:
        yield Rule(GUARD, P_MISS, (), tag, OWN, base)
        return
    for port in options.stamp_ports:
        yield Rule(GUARD, P_BUCKET, (Match("in_port", port),), tag, OWN, trusted)
    yield Rule(GUARD, P_MISS, (), (*tag, Act("set_vlan_pcp", UNTRUSTED_PCP)), OWN, base)


def _tagged(rule: Rule) -> Rule:
    """A switch takes no action on a tag unless the rule says that there is one; behind the guard there always is."""
    at = sum(match.field == "in_port" for match in rule.match)
    return replace(rule, match=(*rule.match[:at], Match("vlan_vid", VLAN_PRESENT, VLAN_PRESENT), *rule.match[at:]))


def _own(owners: Mapping[int, int], ports: Mapping[int, int], options: RuleOptions) -> Iterator[Rule]:
    """Bucket -> owner's port. Packets without an owner go on too: the owner of another of their fields may want the shadow."""
    onward = SHADOW if options.shadows else FORWARD
    kept = _copy(ports[options.standby]) if options.standby is not None and options.standby in ports else ()
    shadowed = (*(_copy(ports[REFERENCE]) if REFERENCE in ports else ()), *kept)
    yield from _misses(OWN, onward, options, shadowed)
    for family, bucket, owner, match in _buckets(owners, options.key.own, options):
        cookie = Cookie(OWN, "owner", family.code, bucket, owner).encode()
        twice = (Act("output", ports[REFERENCE]), *kept) if REFERENCE in ports and bucket in options.sampled else shadowed
        yield Rule(OWN, _priority(family), match, (Act("output", ports[owner]), *twice), onward, cookie, metadata=owner)


def _shadow(owners: Mapping[int, int], ports: Mapping[int, int], options: RuleOptions) -> Iterator[Rule]:
    """For each copy a table: bucket of its fields -> a marked copy to the owner, unless that one has the packet already.

    Where keyed nodes divide packets by keys of their own, the copy is the second node's packet: its owner gets it whoever has the first.
    Metadata tells who has it: 16 bits for the owner, then as many for the receiver of each copy that another may follow.
    """
    copies = options.shadows
    for at, fields in enumerate(copies):
        table, last = SHADOW + at, at + 1 == len(copies)
        onward = FORWARD if last else table + 1
        yield from _misses(table, onward, options)
        for family, bucket, owner, match in _buckets(owners, fields, options):
            held_cookie = Cookie(table, "held", family.code, bucket, owner).encode()
            for earlier in range(0 if options.key.apart else at + 1):
                held = (_has_it(owner, earlier, alone=len(copies) == 1), *match)
                yield Rule(table, _priority(family) + 50, held, goto=onward, cookie=held_cookie)
            cookie = Cookie(table, "shadow", family.code, bucket, owner).encode()
            receiver = (None, None) if last else (owner << _SLOT * (at + 1), _SLOT_MASK << _SLOT * (at + 1))
            yield Rule(table, _priority(family), match, _copy(ports[owner]), onward, cookie, *receiver)


def _has_it(instance: int, slot: int, alone: bool) -> Match:
    """Whether an instance owns the packet (slot 0), or got it as an earlier copy (slots 1, 2, ...)."""
    return Match("metadata", instance) if alone else Match("metadata", instance << _SLOT * slot, _SLOT_MASK << _SLOT * slot)


def _copy(port: int) -> tuple[Act, ...]:
    return Act("set_vlan_vid", VLAN_PRESENT | SHADOW_VID), Act("output", port)


def _misses(table: int, onward: int, options: RuleOptions, actions: tuple[Act, ...] = ()) -> Iterator[Rule]:
    for family in options.families:
        if family.eth_type:
            cookie = Cookie(table, "base", family.code).encode()
            yield Rule(table, P_FAMILY + _lift(family), family.match, actions, onward, cookie)
    yield Rule(table, P_MISS, (), actions, onward, Cookie(table, "base").encode())


def _priority(family: Family) -> int:
    return P_BUCKET + _lift(family) if family.eth_type else P_MAC


def _lift(family: Family) -> int:
    """A packet with ports is never steered as one without."""
    return P_PORTS if family.protocol else 0


def _buckets(owners: Mapping[int, int], fields: Fields, options: RuleOptions) -> Iterator[tuple[Family, int, int, tuple[Match, ...]]]:
    """Every bucket, and what packets of each family hold in these fields if they are of it."""
    for family in options.families:
        for bucket, owner in owners.items():
            match = _bucket(family, fields, bucket, options.buckets)
            if match is not None:
                yield family, bucket, owner, (*family.match, *match)


def _bucket(family: Family, fields: Fields, bucket: int, buckets: int) -> tuple[Match, ...] | None:
    """Matches of a bucket's number in the low bits of fields; None: no packet of the family can be of it.

    A field that the family lacks counts as 0. Two fields that are one in this family cannot differ.
    """
    found: dict[str, tuple[int, int]] = {}
    for field, bits in zip(reversed(fields), reversed(bits_of(buckets, len(fields)) if fields else ()), strict=True):
        mask = (1 << bits) - 1
        value, bucket = bucket & mask, bucket >> bits
        name = family.fields.get(field)
        if name is None:
            if value:
                return None
            continue
        other, wide = found.get(name, (value, mask))
        if (value ^ other) & mask & wide:
            return None
        found[name] = (value, mask) if mask >= wide else (other, wide)
    if bucket:
        return None  # without fields there is one bucket
    return tuple(Match(name, value, mask) for name, (value, mask) in sorted(found.items()) if mask)  # a switch reports no empty mask


def _forward(options: RuleOptions) -> Iterator[Rule]:
    """What happens to the traffic itself, the same whatever the assignment is."""
    cookie, bare = Cookie(FORWARD, "base").encode(), Act("pop_vlan")
    if options.forward == "normal":
        yield Rule(FORWARD, P_MISS, actions=(bare, Act("normal")), cookie=cookie)
        return
    for pair in options.wires:
        for port, other in (pair, pair[::-1]):
            yield Rule(FORWARD, P_BUCKET, (Match("in_port", port),), (bare, Act("output", other)), cookie=cookie)
    yield Rule(FORWARD, P_MISS, cookie=cookie)
