"""Steering on the fake switch: one owner, at most one shadow, forwarding untouched, diffs that equal a fresh compile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.records.packets import NO_PORT, PACKET
from bricks.streams.assign import assign
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from lego_sdn.core.traffic.rule_compiler import FAMILIES, Cookie, Rule, RuleOptions, SteeringError, compile_rules, diff
from lego_sdn.simulation.switch import NORMAL, Frame, SimulatedSwitch

TRAFFIC_PORT, PEER_PORT = 1, 2
SRC_MAC, DST_MAC = 0x020000000001, 0x020000000002
PORTS = {instance: 10 + instance for instance in range(1, 6)}
INSTANCE_OF = {port: instance for instance, port in PORTS.items()}
ETH_TYPES = {"ipv4": 0x0800, "arp": 0x0806, "ipv6": 0x86DD, "other": 0x88CC}
BITS = {"ipv4": 32, "arp": 32, "ipv6": 128, "other": 48}
FORM = {family.name: family for family in FAMILIES}

addresses = st.integers(0, 2**128 - 1)
families = st.sampled_from(sorted(FORM))
OWN, SHADOW, MARKER = (0x88A8, 4093), (0x88A8, 4094), (0x88A8, 4092)
own_tags = st.sampled_from(
    [(), ((0x8100, 7),), ((0x88A8, 5), (0x8100, 9)), (OWN,), (SHADOW,), (MARKER,), ((0x8100, 4094),), (SHADOW, SHADOW)]
)
KEYS = [
    BY_SOURCE,
    SplitKey(("src_ip",)),
    SplitKey(("dst_ip",)),
    SplitKey(("dst_ip",), (("src_ip",),)),
    SplitKey(("src_mac",), (("dst_mac",),)),
    SplitKey(("src_ip",), (("dst_ip",), ("src_mac",), ("dst_mac",))),
    SplitKey(("dst_ip", "src_ip"), (("src_ip", "dst_ip"),)),
    SplitKey((), whole="any reason"),
]
options = st.builds(
    RuleOptions,
    buckets=st.sampled_from([1, 2, 8, 64]),
    exact=st.booleans(),
    forward=st.sampled_from(["normal", "drop", "wires"]),
    key=st.sampled_from(KEYS),
).map(lambda o: replace(o, wires=((TRAFFIC_PORT, PEER_PORT),) if o.forward == "wires" else ()))


@st.composite
def assignments(draw, buckets: int):
    owners = draw(st.lists(st.none() | st.sampled_from(sorted(PORTS)), min_size=buckets, max_size=buckets))
    return {bucket: owner for bucket, owner in enumerate(owners) if owner}


def frame_of(family: str, src: int, dst: int, tags=()) -> tuple[Frame, int, int]:
    """A frame with these addresses, cut to the family's width, and the addresses."""
    form, limit = FORM[family], (1 << BITS[family]) - 1
    src, dst = src & limit, dst & limit
    macs = {"eth_src": SRC_MAC, "eth_dst": DST_MAC}
    return Frame({**macs, "eth_type": ETH_TYPES[family], form.fields["src_ip"]: src, form.fields["dst_ip"]: dst}, tags), src, dst


def record(family: str, src: int, dst: int) -> np.ndarray:
    packet = np.zeros(1, PACKET)
    packet["src_mac"], packet["dst_mac"] = (src, dst) if family == "other" else (SRC_MAC, DST_MAC)
    low = (1 << 64) - 1
    packet["src_hi"], packet["src_lo"], packet["dst_hi"], packet["dst_lo"] = src >> 64, src & low, dst >> 64, dst & low
    return packet


def deliveries(outputs, tags=()) -> tuple[list[int], list[int]]:
    """Instances that got the packet as its owner, and as a shadow."""
    owned = [INSTANCE_OF[out.port] for out in outputs if out.port in INSTANCE_OF and out.frame.tags == (OWN, *tags)]
    shadows = [INSTANCE_OF[out.port] for out in outputs if out.port in INSTANCE_OF and out.frame.tags == (SHADOW, *tags)]
    assert len(owned) + len(shadows) == sum(out.port in INSTANCE_OF for out in outputs)
    return owned, shadows


@settings(deadline=None)
@given(st.data(), options, families, addresses, addresses, own_tags)
def test_every_packet_has_one_owner_and_each_instance_at_most_one_copy(data, options, family, src, dst, tags):
    """What the switch delivers is what `assign` says of the packet's record, whatever the key."""
    assignment = data.draw(assignments(options.buckets))
    frame, src, dst = frame_of(family, src, dst, tags)
    outputs = SimulatedSwitch().load(compile_rules(assignment, PORTS, options)).send(frame, TRAFFIC_PORT)
    owned, shadows = deliveries(outputs, tags)
    table = np.array([assignment.get(bucket, 0) for bucket in range(options.buckets)])
    (owner,), copies = assign(record(family, src, dst), table, options.key)
    wanted = {int(receiver) for (receiver,) in copies if options.exact} - {0, owner}
    assert owned == ([owner] if owner else [])
    assert sorted(shadows) == sorted(wanted)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data(), options, families, addresses, addresses, own_tags)
def test_forwarding_does_not_depend_on_the_assignment(data, options, family, src, dst, tags):
    frame, *_ = frame_of(family, src, dst, tags)
    assignment = data.draw(assignments(options.buckets))
    outputs = SimulatedSwitch().load(compile_rules(assignment, PORTS, options)).send(frame, TRAFFIC_PORT)
    forwarded = [(out.port, out.frame) for out in outputs if out.port not in INSTANCE_OF]
    assert forwarded == {"normal": [(NORMAL, frame)], "drop": [], "wires": [(PEER_PORT, frame)]}[options.forward]


@settings(deadline=None)
@given(st.data(), options)
def test_a_diff_leads_to_the_fresh_compile_and_touches_nothing_else(data, options):
    first, second = (compile_rules(data.draw(assignments(options.buckets)), PORTS, options) for _ in range(2))
    switch = SimulatedSwitch().load(first)
    change = diff(switch.rules, second)
    switch.apply(change)
    assert switch.rules == second
    assert not set(change.add) & first
    assert not set(change.delete) & second
    assert not diff(second, second)


def test_moving_one_bucket_touches_only_its_rules():
    before = dict.fromkeys(range(64), 1)
    change = diff(compile_rules(before, PORTS, RuleOptions()), compile_rules({**before, 5: 2}, PORTS, RuleOptions()))
    assert {Cookie.decode(rule.cookie).bucket for rule in (*change.add, *change.delete)} == {5}
    assert len(change.add) == 12  # per family: owner, shadow, held
    assert {Cookie.decode(rule.cookie).role for rule in change.delete} == {"held"}


@pytest.mark.parametrize("owners", [1, 4])
def test_the_number_of_rules_depends_on_the_buckets_only(owners):
    ports = {i: i + 10 for i in range(1, owners + 1)}
    rules = compile_rules({b: b % owners + 1 for b in range(64)}, ports, RuleOptions())
    assert len(rules) == 64 * 12 + owners + 10
    assert len({rule.key for rule in rules}) == len(rules)


def test_nothing_enters_from_an_instance():
    switch = SimulatedSwitch().load(compile_rules(dict.fromkeys(range(64), 1), PORTS, RuleOptions()))
    frame, *_ = frame_of("ipv4", 5, 6)
    assert switch.send(frame, PORTS[3]) == []


@given(families, addresses, addresses, own_tags)
def test_stamps_are_believed_of_their_ports_only(family, src, dst, tags):
    options = RuleOptions(2, forward="wires", wires=((TRAFFIC_PORT, PEER_PORT),), stamp_ports=(TRAFFIC_PORT,))
    switch = SimulatedSwitch().load(compile_rules({0: 1, 1: 2}, PORTS, options))
    frame, *_ = frame_of(family, src, dst, tags)
    trusted, others = switch.send(frame, TRAFFIC_PORT), switch.send(frame, PEER_PORT)
    assert {out.frame.tags[0] for out in trusted[:-1]} <= {OWN, SHADOW}
    assert {out.frame.tags[0] for out in others[:-1]} <= {(0x88A8, 1 << 13 | OWN[1]), (0x88A8, 1 << 13 | SHADOW[1])}
    assert len(trusted) == len(others) >= 2
    assert trusted[-1].frame == others[-1].frame == frame


def test_a_bucket_whose_owner_has_no_port_is_forwarded_only():
    switch = SimulatedSwitch().load(compile_rules(dict.fromkeys(range(64), 9), PORTS, RuleOptions()))
    frame, *_ = frame_of("ipv4", 5, 6)
    assert [out.port for out in switch.send(frame, TRAFFIC_PORT)] == [NORMAL]


def test_an_ipv4_packet_without_owner_is_not_steered_by_its_mac():
    switch = SimulatedSwitch().load(compile_rules({1: 1, 2: 2}, PORTS, RuleOptions()))  # MACs of frame_of end in 1 and 2
    frame, *_ = frame_of("ipv4", 5, 6)
    assert deliveries(switch.send(frame, TRAFFIC_PORT)) == ([], [])
    frame, *_ = frame_of("other", 1, 2)
    assert deliveries(switch.send(frame, TRAFFIC_PORT)) == ([1], [2])


def test_bad_assignments_are_refused_by_name():
    with pytest.raises(SteeringError, match="bucket 64 of instance 1: there are 64 buckets"):
        compile_rules({64: 1}, PORTS, RuleOptions())
    with pytest.raises(SteeringError, match="instance 0: instances are numbered from 1"):
        compile_rules({3: 0}, PORTS, RuleOptions())
    with pytest.raises(SteeringError, match="two instances cannot share"):
        compile_rules({3: 1}, {1: 7, 2: 7}, RuleOptions())


def test_the_rules_of_kitsune_stay_what_they_were():
    """`kitsune_rules.txt` is of the compiler that knew no other key: owners and copies. The switch's tag is left out."""
    options = RuleOptions(4, forward="drop", sampled=frozenset({1}))
    rules = compile_rules({0: 1, 1: 2, 2: 2, 3: 1}, {1: 11, 2: 12, REFERENCE: 99}, options)
    found = [written(rule) for rule in sorted(rules, key=lambda rule: rule.order) if rule.table in (1, 2)]
    assert found == (Path(__file__).parent / "kitsune_rules.txt").read_text().splitlines()


def written(rule: Rule) -> str:
    outputs = ",".join(str(act.value) for act in rule.actions if act.name == "output")
    fields = " ".join(f"{m.field}={m.value:#x}" + ("" if m.mask is None else f"/{m.mask:#x}") for m in rule.match if m.field != "vlan_vid")
    about = f"metadata={rule.metadata} goto={rule.goto} cookie={rule.cookie:#x}"
    return f"{rule.table} {rule.priority} [{fields}] out={outputs} {about}"


def test_where_no_copy_is_needed_there_is_no_shadow_table():
    owners = dict.fromkeys(range(64), 1)
    assert {rule.table for rule in compile_rules(owners, PORTS, RuleOptions(key=SplitKey(("dst_ip",))))} == {0, 1, 9}
    assert {rule.table for rule in compile_rules(owners, PORTS, RuleOptions())} == {0, 1, 2, 9}
    assert {rule.table for rule in compile_rules(owners, PORTS, RuleOptions(key=KEYS[5]))} == {0, 1, 2, 3, 4, 9}


SOCKET_KEY = SplitKey(("dst_ip", "dst_port", "src_ip", "src_port"))


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 255), addresses, addresses, st.integers(0, 65535), st.integers(0, 65535), st.sampled_from(["tcp", "udp", "icmp"]))
def test_ports_are_part_of_a_key_where_a_packet_has_them(seed, src, dst, sport, dport, protocol):
    frame, src, dst = frame_of("ipv4", src, dst)
    number, ports = {"tcp": (6, True), "udp": (17, True), "icmp": (1, False)}[protocol]
    fields = {f"{protocol}_src": sport, f"{protocol}_dst": dport} if ports else {}
    frame = Frame({**frame.fields, **fields, "ip_proto": number})
    packet = record("ipv4", src, dst)
    packet["src_port"], packet["dst_port"] = (sport, dport) if ports else (NO_PORT, NO_PORT)
    table = np.random.default_rng(seed).integers(0, 6, 256)
    assignment = {bucket: int(owner) for bucket, owner in enumerate(table) if owner}
    outputs = (
        SimulatedSwitch().load(compile_rules(assignment, PORTS, RuleOptions(256, exact=False, key=SOCKET_KEY))).send(frame, TRAFFIC_PORT)
    )
    (owner,), _ = assign(packet, table, SOCKET_KEY)
    assert deliveries(outputs) == ([owner] if owner else [], [])
