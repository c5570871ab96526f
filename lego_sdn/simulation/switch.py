"""A switch in memory that interprets rules on packets, strictly: where Open vSwitch would refuse a rule, it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lego_sdn.core.facts.flow_rules import VLAN_PRESENT, Match, Rule
from lego_sdn.core.traffic.rule_compiler import RuleChange

NORMAL = "normal"
ALL_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class Frame:
    """A packet as a switch sees it: header fields by OpenFlow name, and VLAN tags (tpid, vid), outermost first."""

    fields: Mapping[str, int]
    tags: tuple[tuple[int, int], ...] = ()

    def get(self, name: str) -> int | None:
        if name == "vlan_vid":
            return VLAN_PRESENT | self.tags[0][1] if self.tags else 0
        return self.fields.get(name)


@dataclass(frozen=True)
class SentFrame:
    port: int | str
    frame: Frame


@dataclass
class SimulatedSwitch:
    """Flow tables as OpenFlow 1.4 has them; two rules of one priority that both match are an error, since a switch may take either."""

    flows: dict[tuple, Rule] = field(default_factory=dict)
    packets: Counter = field(default_factory=Counter)  # by cookie

    @property
    def rules(self) -> frozenset[Rule]:
        return frozenset(self.flows.values())

    def apply(self, change: RuleChange) -> None:
        """One bundle: deletes are strict and must hit; adding over a flow replaces it."""
        for rule in change.delete:
            del self.flows[rule.key]
        for rule in change.add:
            check(rule)
            self.flows[rule.key] = rule

    def load(self, rules: Iterable[Rule]) -> SimulatedSwitch:
        self.apply(RuleChange(add=tuple(rules)))
        return self

    def send(self, frame: Frame, in_port: int) -> list[SentFrame]:
        """Outputs in order; a frame is never sent back to the port it came from (OpenFlow's rule for `output`)."""
        outputs: list[SentFrame] = []
        table: int | None = 0
        metadata = 0
        while table is not None:
            rule = self._lookup(table, frame, {"in_port": in_port, "metadata": metadata})
            if rule is None:
                break  # a table miss without a rule drops
            self.packets[rule.cookie] += 1
            frame = _act(rule, frame, outputs)
            if rule.metadata is not None:
                mask = ALL_BITS if rule.metadata_mask is None else rule.metadata_mask
                metadata = metadata & ~mask | rule.metadata & mask
            table = rule.goto
        return [out for out in outputs if out.port != in_port]

    def _lookup(self, table: int, frame: Frame, pipeline: Mapping[str, int]) -> Rule | None:
        hits = [r for r in self.flows.values() if r.table == table and all(_holds(m, frame, pipeline) for m in r.match)]
        best = max((r.priority for r in hits), default=None)
        top = [r for r in hits if r.priority == best]
        assert len(top) <= 1, f"ambiguous: {top}"
        return top[0] if top else None


def _holds(match: Match, frame: Frame, pipeline: Mapping[str, int]) -> bool:
    value = pipeline[match.field] if match.field in pipeline else frame.get(match.field)
    mask = -1 if match.mask is None else match.mask
    return value is not None and value & mask == match.value


def _act(rule: Rule, frame: Frame, outputs: list[SentFrame]) -> Frame:
    for name, value in rule.actions:
        if name == "output":
            outputs.append(SentFrame(value, frame))
        elif name == "normal":
            outputs.append(SentFrame(NORMAL, frame))
        elif name == "push_vlan":
            frame = replace(frame, tags=((value, 0), *frame.tags))
        elif name == "set_vlan_vid":
            assert _knows_tag(rule), "Open vSwitch refuses it"
            assert frame.tags, "set_vlan_vid on an untagged frame"
            assert value & VLAN_PRESENT
            frame = replace(frame, tags=((frame.tags[0][0], frame.tags[0][1] & ~0xFFF | value & 0xFFF), *frame.tags[1:]))
        elif name == "set_vlan_pcp":
            assert frame.tags, "set_vlan_pcp on an untagged frame"
            frame = replace(frame, tags=((frame.tags[0][0], value << 13 | frame.tags[0][1]), *frame.tags[1:]))
        elif name == "pop_vlan":
            assert _knows_tag(rule), "Open vSwitch refuses it"
            assert frame.tags, "pop_vlan on an untagged frame"
            frame = replace(frame, tags=frame.tags[1:])
        else:
            raise AssertionError(f"unknown action {name}")
    return frame


def _knows_tag(rule: Rule) -> bool:
    """Whether the rule says by its match, or by pushing one, that there is a tag."""
    return any(m.field == "vlan_vid" and m.value & VLAN_PRESENT for m in rule.match) or any(a.name == "push_vlan" for a in rule.actions)


PREREQUISITE = {"ipv4_src": 0x800, "ipv4_dst": 0x800, "arp_spa": 0x806, "arp_tpa": 0x806, "ipv6_src": 0x86DD, "ipv6_dst": 0x86DD}
PROTOCOL = {"tcp_src": 6, "tcp_dst": 6, "udp_src": 17, "udp_dst": 17}


def check(rule: Rule) -> None:
    """What Open vSwitch would refuse: downward goto, missing prerequisites, a value outside its mask, a field twice."""
    assert rule.goto is None or rule.goto > rule.table, f"goto must go up: {rule}"
    names = [m.field for m in rule.match]
    assert len(set(names)) == len(names), f"a field twice: {rule}"
    for match in rule.match:
        assert match.mask is None or (match.mask and match.value & ~match.mask == 0), f"value outside the mask: {rule}"
        if match.field in PREREQUISITE:
            assert Match("eth_type", PREREQUISITE[match.field]) in rule.match, f"prerequisite missing: {rule}"
        if match.field in PROTOCOL:
            assert Match("ip_proto", PROTOCOL[match.field]) in rule.match, f"prerequisite missing: {rule}"
    assert 0 <= rule.cookie < 1 << 64
