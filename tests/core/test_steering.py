"""Steering on the fake switch: one owner, at most one shadow, forwarding untouched, diffs that equal a fresh compile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bricks.packets import PACKET, bucket_of
from lego_sdn.core.steering import FAMILIES, Cookie, Options, SteeringError, compile_rules, diff
from tests.fakes.switch import NORMAL, FakeSwitch, Frame

TRAFFIC_PORT, PEER_PORT = 1, 2
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
options = st.builds(
    Options,
    buckets=st.sampled_from([1, 2, 8, 64]),
    exact=st.booleans(),
    forward=st.sampled_from(["normal", "drop", "wires"]),
).map(lambda o: Options(o.buckets, o.exact, o.forward, ((TRAFFIC_PORT, PEER_PORT),) if o.forward == "wires" else ()))


@st.composite
def assignments(draw, buckets: int):
    owners = draw(st.lists(st.none() | st.sampled_from(sorted(PORTS)), min_size=buckets, max_size=buckets))
    return {bucket: owner for bucket, owner in enumerate(owners) if owner}


def frame_of(family: str, src: int, dst: int, tags=()) -> tuple[Frame, int, int]:
    """A frame with these addresses, cut to the family's width, and the addresses."""
    form, limit = FORM[family], (1 << BITS[family]) - 1
    src, dst = src & limit, dst & limit
    macs = {"eth_src": 0x020000000001, "eth_dst": 0x020000000002}
    return Frame({**macs, "eth_type": ETH_TYPES[family], form.source: src, form.destination: dst}, tags), src, dst


def record(src: int, dst: int) -> np.ndarray:
    packet = np.zeros(1, PACKET)
    low = (1 << 64) - 1
    packet["src_hi"], packet["src_lo"], packet["dst_hi"], packet["dst_lo"] = src >> 64, src & low, dst >> 64, dst & low
    return packet


def deliveries(outputs, tags=()) -> tuple[list[int], list[int]]:
    """Instances that got the packet as its owner, and as a shadow."""
    owned = [INSTANCE_OF[out.port] for out in outputs if out.port in INSTANCE_OF and out.frame.tags == (OWN, *tags)]
    shadows = [INSTANCE_OF[out.port] for out in outputs if out.port in INSTANCE_OF and out.frame.tags == (SHADOW, *tags)]
    assert len(owned) + len(shadows) == sum(out.port in INSTANCE_OF for out in outputs)
    return owned, shadows


@given(st.data(), options, families, addresses, addresses, own_tags)
def test_every_packet_has_one_owner_and_at_most_one_shadow(data, options, family, src, dst, tags):
    assignment = data.draw(assignments(options.buckets))
    frame, src, dst = frame_of(family, src, dst, tags)
    outputs = FakeSwitch().load(compile_rules(assignment, PORTS, options)).send(frame, TRAFFIC_PORT)
    owned, shadows = deliveries(outputs, tags)
    packet = record(src, dst)
    owner = assignment.get(int(bucket_of(packet, options.buckets)[0]))
    peer = assignment.get(int(bucket_of(packet, options.buckets, "dst")[0]))
    assert owned == ([owner] if owner else [])
    assert shadows == ([peer] if options.exact and peer and peer != owner else [])


@given(st.data(), options, families, addresses, addresses, own_tags)
def test_forwarding_does_not_depend_on_the_assignment(data, options, family, src, dst, tags):
    frame, *_ = frame_of(family, src, dst, tags)
    assignment = data.draw(assignments(options.buckets))
    outputs = FakeSwitch().load(compile_rules(assignment, PORTS, options)).send(frame, TRAFFIC_PORT)
    forwarded = [(out.port, out.frame) for out in outputs if out.port not in INSTANCE_OF]
    assert forwarded == {"normal": [(NORMAL, frame)], "drop": [], "wires": [(PEER_PORT, frame)]}[options.forward]


@given(st.data(), options)
def test_a_diff_leads_to_the_fresh_compile_and_touches_nothing_else(data, options):
    first, second = (compile_rules(data.draw(assignments(options.buckets)), PORTS, options) for _ in range(2))
    switch = FakeSwitch().load(first)
    change = diff(switch.rules, second)
    switch.apply(change)
    assert switch.rules == second
    assert not set(change.add) & first
    assert not set(change.delete) & second
    assert not diff(second, second)


def test_moving_one_bucket_touches_only_its_rules():
    before = dict.fromkeys(range(64), 1)
    change = diff(compile_rules(before, PORTS, Options()), compile_rules({**before, 5: 2}, PORTS, Options()))
    assert {Cookie.decode(rule.cookie).bucket for rule in (*change.add, *change.delete)} == {5}
    assert len(change.add) == 12  # per family: owner, shadow, held
    assert {Cookie.decode(rule.cookie).role for rule in change.delete} == {"held"}


@pytest.mark.parametrize("owners", [1, 4])
def test_the_number_of_rules_depends_on_the_buckets_only(owners):
    ports = {i: i + 10 for i in range(1, owners + 1)}
    rules = compile_rules({b: b % owners + 1 for b in range(64)}, ports, Options())
    assert len(rules) == 64 * 12 + owners + 10
    assert len({rule.key for rule in rules}) == len(rules)


def test_nothing_enters_from_an_instance():
    switch = FakeSwitch().load(compile_rules(dict.fromkeys(range(64), 1), PORTS, Options()))
    frame, *_ = frame_of("ipv4", 5, 6)
    assert switch.send(frame, PORTS[3]) == []


@given(families, addresses, addresses, own_tags)
def test_stamps_are_believed_of_their_ports_only(family, src, dst, tags):
    options = Options(2, forward="wires", wires=((TRAFFIC_PORT, PEER_PORT),), stamp_ports=(TRAFFIC_PORT,))
    switch = FakeSwitch().load(compile_rules({0: 1, 1: 2}, PORTS, options))
    frame, *_ = frame_of(family, src, dst, tags)
    trusted, others = switch.send(frame, TRAFFIC_PORT), switch.send(frame, PEER_PORT)
    assert {out.frame.tags[0] for out in trusted[:-1]} <= {OWN, SHADOW}
    assert {out.frame.tags[0] for out in others[:-1]} <= {(0x88A8, 1 << 13 | OWN[1]), (0x88A8, 1 << 13 | SHADOW[1])}
    assert len(trusted) == len(others) >= 2
    assert trusted[-1].frame == others[-1].frame == frame


def test_a_bucket_whose_owner_has_no_port_is_forwarded_only():
    switch = FakeSwitch().load(compile_rules(dict.fromkeys(range(64), 9), PORTS, Options()))
    frame, *_ = frame_of("ipv4", 5, 6)
    assert [out.port for out in switch.send(frame, TRAFFIC_PORT)] == [NORMAL]


def test_an_ipv4_packet_without_owner_is_not_steered_by_its_mac():
    switch = FakeSwitch().load(compile_rules({1: 1, 2: 2}, PORTS, Options()))  # MACs of frame_of end in 1 and 2
    frame, *_ = frame_of("ipv4", 5, 6)
    assert deliveries(switch.send(frame, TRAFFIC_PORT)) == ([], [])
    frame, *_ = frame_of("other", 1, 2)
    assert deliveries(switch.send(frame, TRAFFIC_PORT)) == ([1], [2])


def test_bad_assignments_are_refused_by_name():
    with pytest.raises(SteeringError, match="bucket 64 of instance 1: there are 64 buckets"):
        compile_rules({64: 1}, PORTS, Options())
    with pytest.raises(SteeringError, match="instance 0: instances are numbered from 1"):
        compile_rules({3: 0}, PORTS, Options())
    with pytest.raises(SteeringError, match="two instances cannot share"):
        compile_rules({3: 1}, {1: 7, 2: 7}, Options())
