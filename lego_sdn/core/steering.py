"""Steering: an assignment of buckets to instances, compiled to rules, and the difference between two rule sets.

The pipeline (docs/contract.md): 0 guard, 1 own (source bucket -> owner), 2 shadow (destination bucket -> its owner), 9 forward.
The guard puts the switch's own tag on every packet and forwarding takes it off; on the way it says what a copy is to the instance.
A bucket is the low bits of the source address in whatever form the packet has one. The number of rules depends on the number of
buckets only, never on the number of sources or instances' pairs: a spoofed flood does not grow the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from lego_sdn.core.audit import TWIN
from lego_sdn.core.errors import LegoError
from lego_sdn.core.rules import OWN_VID, SHADOW_VID, SWITCH_TPID, UNTRUSTED_PCP, VLAN_PRESENT, Act, Cookie, Match, Rule, number, text

__all__ = ["FAMILIES", "Act", "Change", "Cookie", "Family", "Match", "Options", "Rule", "compile_rules", "diff", "number", "text"]

GUARD, OWN, SHADOW, FORWARD = 0, 1, 2, 9
MAX_INSTANCE = 0xFFFE

# Inside a table. A family's own miss lies above the MAC rules: an IPv4 packet is never steered by its MAC.
P_EXCEPT, P_BUCKET, P_FAMILY, P_MAC, P_MISS = 400, 300, 200, 100, 0


class SteeringError(LegoError):
    """An assignment cannot be put into rules."""


class Family(NamedTuple):
    """One form that a packet's source can take, with the fields that hold it; `eth_type` 0: any packet of no other family."""

    name: str
    code: int
    eth_type: int
    source: str
    destination: str


FAMILIES = (
    Family("ipv4", 1, 0x0800, "ipv4_src", "ipv4_dst"),
    Family("arp", 2, 0x0806, "arp_spa", "arp_tpa"),
    Family("ipv6", 3, 0x86DD, "ipv6_src", "ipv6_dst"),
    Family("other", 4, 0, "eth_src", "eth_dst"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What rules depend on besides the assignment.

    buckets  power of two; exact: shadows on
    forward  normal | drop | wires; wires: pairs of OpenFlow ports, both directions
    stamp_ports  OpenFlow ports whose frames' stamps are believed; None: those of all ports
    sampled  buckets whose packets the auditor's twin scores; all others it takes as shadows
    """

    buckets: int = 64
    exact: bool = True
    forward: str = "normal"
    wires: tuple[tuple[int, int], ...] = ()
    stamp_ports: tuple[int, ...] | None = None
    sampled: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What to send to the switch, as one bundle: flows to delete (strictly, by table, priority and match) and to add or replace."""

    add: tuple[Rule, ...] = ()
    delete: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def compile_rules(assignment: Mapping[int, int], ports: Mapping[int, int], options: Options) -> frozenset[Rule]:
    """All rules for `assignment` (bucket -> instance) with the instances behind `ports` (instance -> OpenFlow port).

    A bucket without an owner, or whose owner has no port, goes to no instance; it is forwarded like any other. Where the auditor's twin
    has a port, it gets every packet once.
    Raises SteeringError for a bucket or instance out of range.
    """
    _check(assignment, ports, options)
    owners = {bucket: owner for bucket, owner in assignment.items() if owner in ports}
    rules = [*_forward(options), *_own(owners, ports, options)]
    if options.exact:
        rules += _shadow(owners, ports, options)
    return frozenset((*_guard(ports, options), *map(_tagged, rules)))


def diff(installed: Iterable[Rule], wanted: Iterable[Rule]) -> Change:
    """What turns `installed` into `wanted`; a rule that is in both is not touched, one with the same key is replaced, not deleted."""
    have, want = frozenset(installed), frozenset(wanted)
    keys = {rule.key for rule in want}
    gone = (rule for rule in have if rule.key not in keys)
    return Change(add=_sorted(want - have), delete=_sorted(gone))


def _sorted(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.order))


def _check(assignment: Mapping[int, int], ports: Mapping[int, int], options: Options) -> None:
    for bucket, owner in assignment.items():
        if not 0 <= bucket < options.buckets:
            raise SteeringError(f"bucket {bucket} of instance {owner}: there are {options.buckets} buckets, numbered from 0")
    for instance in {*assignment.values(), *ports}:
        if not 1 <= instance <= MAX_INSTANCE:
            raise SteeringError(f"instance {instance}: instances are numbered from 1 to {MAX_INSTANCE}")
    if len(set(ports.values())) != len(ports):
        raise SteeringError(f"two instances cannot share an OpenFlow port: {dict(ports)}")


def _guard(ports: Mapping[int, int], options: Options) -> Iterator[Rule]:
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


def _own(owners: Mapping[int, int], ports: Mapping[int, int], options: Options) -> Iterator[Rule]:
    """Source bucket -> owner's port. Packets without an owner go on too: the owner of their destination wants the shadow."""
    onward = SHADOW if options.exact else FORWARD
    shadowed = _copy(ports[TWIN]) if TWIN in ports else ()
    yield from _misses(OWN, onward, shadowed)
    for family in FAMILIES:
        for bucket, owner in owners.items():
            cookie = Cookie(OWN, "owner", family.code, bucket, owner).encode()
            match = _bucket(family, family.source, bucket, options)
            twice = (Act("output", ports[TWIN]),) if TWIN in ports and bucket in options.sampled else shadowed
            yield Rule(OWN, _priority(family), match, (Act("output", ports[owner]), *twice), onward, cookie, metadata=owner)


def _shadow(owners: Mapping[int, int], ports: Mapping[int, int], options: Options) -> Iterator[Rule]:
    """Destination bucket -> a marked copy to its owner, unless that one owns the source and has the packet already."""
    yield from _misses(SHADOW, FORWARD)
    for family in FAMILIES:
        for bucket, owner in owners.items():
            match = _bucket(family, family.destination, bucket, options)
            held = (Match("metadata", owner), *match)
            held_cookie = Cookie(SHADOW, "held", family.code, bucket, owner).encode()
            yield Rule(SHADOW, _priority(family) + 50, held, goto=FORWARD, cookie=held_cookie)
            cookie = Cookie(SHADOW, "shadow", family.code, bucket, owner).encode()
            yield Rule(SHADOW, _priority(family), match, _copy(ports[owner]), FORWARD, cookie)


def _copy(port: int) -> tuple[Act, ...]:
    return Act("set_vlan_vid", VLAN_PRESENT | SHADOW_VID), Act("output", port)


def _misses(table: int, onward: int, actions: tuple[Act, ...] = ()) -> Iterator[Rule]:
    for family in FAMILIES:
        if family.eth_type:
            cookie = Cookie(table, "base", family.code).encode()
            yield Rule(table, P_FAMILY, (Match("eth_type", family.eth_type),), actions, onward, cookie)
    yield Rule(table, P_MISS, (), actions, onward, Cookie(table, "base").encode())


def _priority(family: Family) -> int:
    return P_BUCKET if family.eth_type else P_MAC


def _bucket(family: Family, field: str, bucket: int, options: Options) -> tuple[Match, ...]:
    mask = options.buckets - 1
    kind = (Match("eth_type", family.eth_type),) if family.eth_type else ()
    return (*kind, Match(field, bucket, mask)) if mask else kind  # one bucket only: a switch reports no field with an empty mask


def _forward(options: Options) -> Iterator[Rule]:
    """What happens to the traffic itself, the same whatever the assignment is."""
    cookie, bare = Cookie(FORWARD, "base").encode(), Act("pop_vlan")
    if options.forward == "normal":
        yield Rule(FORWARD, P_MISS, actions=(bare, Act("normal")), cookie=cookie)
        return
    for pair in options.wires:
        for port, other in (pair, pair[::-1]):
            yield Rule(FORWARD, P_BUCKET, (Match("in_port", port),), (bare, Act("output", other)), cookie=cookie)
    yield Rule(FORWARD, P_MISS, cookie=cookie)
