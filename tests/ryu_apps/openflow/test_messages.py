"""Messages: what is built is what a switch reads, and what a switch reports is the rule that was meant."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.facts.flow_rules import COOKIE_MASK, Act, Flow, Match, Port, Rule
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules, diff
from ryu_apps.openflow import messages
from ryu_apps.openflow.flow_memory import FlowMemory
from tests.examples import examples
from tests.ryu_apps.datapath import FakeDatapath, bundle_reply, error, flow_stats, multipart, ofp, parsed

KEYS = [
    BY_SOURCE,
    SplitKey(("dst_ip",)),
    SplitKey(("src_mac",), (("dst_mac",), ("src_ip",), ("dst_ip",))),
    SplitKey(("dst_ip", "dst_port", "src_ip", "src_port")),
]


def reported(rules: list[Rule]) -> list[Flow]:
    """The rules as they come back from a switch that was told them."""
    datapath = FakeDatapath()
    mods = [messages.flow_mod(datapath, rule) for rule in rules]
    messages.wire(datapath, mods)
    return messages.flows_of([parsed(datapath, multipart(1, ofp.OFPMP_FLOW, flow_stats(mods)))])


@settings(max_examples=examples(30), deadline=None)
@given(
    bits=st.integers(0, 7),
    owners=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    exact=st.booleans(),
    forward=st.sampled_from(["normal", "drop", "wires"]),
    key=st.sampled_from(KEYS),
)
def test_compiled_rules_come_back_equal(bits, owners, exact, forward, key):
    buckets = 1 << bits
    assignment = {bucket: owners[bucket % len(owners)] for bucket in range(min(buckets, 8))}
    options = RuleOptions(buckets, exact, forward, ((1, 2), (3, 4)) if forward == "wires" else (), key=key)
    wanted = compile_rules(assignment, {owner: 10 + owner for owner in owners}, options)
    flows = reported(sorted(wanted, key=lambda rule: rule.order))
    assert frozenset(flow.rule for flow in flows) == wanted
    assert not diff((flow.rule for flow in flows), wanted)
    assert all((flow.packets, flow.bytes, flow.age_s) == (7, 700, 3.5) and flow.ours for flow in flows)


def test_a_bundle_that_is_built_again_has_the_same_bytes():
    """Also in rules that share matches, and where instructions follow the match: those that Ryu writes of the same fields."""
    rules = sorted(compile_rules({0: 1, 1: 2}, {1: 11, 2: 12}, RuleOptions(2)), key=lambda rule: rule.order)

    def written(plain: bool) -> list[bytes]:
        mods = [messages.flow_mod(FakeDatapath(), rule) for rule in rules]
        for mod in mods if plain else ():
            mod.match = messages.parser.OFPMatch(_ordered_fields=mod.match.items())
        messages.wire(FakeDatapath(), mods)
        return [bytes(mod.buf)[8:] for mod in mods]  # the header has a number of its own

    assert written(plain=True) == written(plain=False) == written(plain=False)


def test_what_lego_never_writes_is_no_rule_of_its():
    foreign = Rule(0, 5, (Match("tcp_dst", 80), Match("eth_type", 0x800), Match("ip_proto", 6)), (Act("output", 3),), cookie=0x77)
    (flow,) = reported([foreign])
    assert not flow.ours
    assert {match.field for match in flow.rule.match} == {"tcp_dst", "eth_type", "ip_proto"}


def test_fields_of_foreign_rules_without_a_number_can_be_read():
    datapath = FakeDatapath()
    mod = messages.parser.OFPFlowMod(
        datapath,
        table_id=0,
        match=messages.parser.OFPMatch(eth_dst=("01:00:00:00:00:00", "01:00:00:00:00:00"), tunnel_id=7),
        instructions=[
            messages.parser.OFPInstructionMeter(1),
            messages.parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, [messages.parser.OFPActionGroup(4)]),
            messages.parser.OFPInstructionWriteMetadata(1, 0xFF),
        ],
    )
    messages.wire(datapath, [mod])
    (flow,) = messages.flows_of([parsed(datapath, multipart(1, ofp.OFPMP_FLOW, flow_stats([mod])))])
    assert flow.rule.metadata is None
    assert [act.name for act in flow.rule.actions] == ["OFPInstructionMeter", "OFPInstructionActions", "OFPInstructionWriteMetadata"]


def test_a_flow_that_is_reported_again_has_its_new_counters_and_any_other_byte_makes_another_flow():
    rule = Rule(1, 300, (Match("eth_type", 0x800), Match("ipv4_src", 5, 63)), (Act("output", 3),), cookie=messages.OURS | 7)
    datapath, mod = FakeDatapath(), messages.flow_mod(FakeDatapath(), rule)
    messages.wire(datapath, [mod])
    body = bytes(flow_stats([mod]))
    (first,) = messages.flows_of([parsed(datapath, multipart(1, ofp.OFPMP_FLOW, body))])
    counted = body[:4] + struct.pack("!II", 60, 500_000_000) + body[12:32] + struct.pack("!QQ", 8, 900) + body[48:]
    (again,) = messages.flows_of([parsed(datapath, multipart(1, ofp.OFPMP_FLOW, counted))])
    assert again == Flow(rule, 8, 900, 60.5)
    assert again.rule is first.rule
    for other in (
        replace(rule, priority=301),
        replace(rule, table=2),
        replace(rule, cookie=messages.OURS | 8),
        replace(rule, actions=(Act("output", 4),)),
        replace(rule, match=(Match("eth_type", 0x800), Match("ipv4_src", 6, 63))),
    ):
        assert [flow.rule for flow in reported([rule, other])] == [rule, other]


def test_flows_are_remembered_up_to_a_bound():
    memory = FlowMemory(lambda buffer, offset: bytes(buffer[offset + 24 : offset + 32]), most=3)
    flows = [struct.pack("!HBxIIHHHHHxxQQQ", 48, 1, n, n, 5, 0, 0, 0, 0, n % 7, n, n) for n in range(50)]
    for n, flow in enumerate(flows):
        found = memory.parser(b"...." + flow, 4)
        assert (found.length, found.packet_count, found.byte_count, found.duration_sec) == (48, n, n, n)
        assert int.from_bytes(found.fixed, "big") == n % 7
        assert int(repr(memory).split()[2]) <= 3


def test_deleting_is_strict_and_only_of_lego_s_rules():
    datapath = FakeDatapath()
    rule = Rule(1, 300, (Match("eth_type", 0x800), Match("ipv4_src", 5, 63)), cookie=messages.OURS | 7)
    mod = messages.flow_mod(datapath, rule, delete=True)
    assert (mod.command, mod.cookie, mod.cookie_mask) == (ofp.OFPFC_DELETE_STRICT, messages.OURS, COOKIE_MASK)
    assert (mod.table_id, mod.priority, mod.match["ipv4_src"]) == (1, 300, ("0.0.0.5", "0.0.0.63"))
    assert (mod.out_port, mod.out_group) == (ofp.OFPP_ANY, ofp.OFPG_ANY)


def test_a_bundle_is_atomic_ordered_and_deletes_before_it_adds():
    datapath = FakeDatapath()
    before = compile_rules({0: 1, 1: 1}, {1: 11}, RuleOptions(2))
    after = compile_rules({0: 1, 1: 2}, {1: 11, 2: 12}, RuleOptions(2))
    change = diff(before, after)
    data, numbers = messages.wire(datapath, messages.bundle(datapath, 9, change))
    datapath.send(data)
    kinds = [kind for kind, _, _ in datapath.messages]
    assert kinds == [
        ofp.OFPT_BUNDLE_CONTROL,
        *[ofp.OFPT_BUNDLE_ADD_MESSAGE] * (len(change.add) + len(change.delete)),
        ofp.OFPT_BUNDLE_CONTROL,
    ]
    assert [xid for _, xid, _ in datapath.messages] == numbers == sorted(set(numbers))
    for kind, xid, message in datapath.messages:
        number, word, flags = struct.unpack_from("!IHH", message, 8)
        assert (number, flags) == (9, ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED)
        if kind == ofp.OFPT_BUNDLE_ADD_MESSAGE:
            assert word == 0
            assert struct.unpack_from("!BBHI", message, 16)[3] == xid, "inner and outer number must be the same"
    commands = [message[16 + 8 + 17] for kind, _, message in datapath.messages if kind == ofp.OFPT_BUNDLE_ADD_MESSAGE]
    assert commands == [ofp.OFPFC_DELETE_STRICT] * len(change.delete) + [ofp.OFPFC_ADD] * len(change.add)


def test_requests_ask_for_lego_s_flows_only_unless_told_otherwise():
    datapath = FakeDatapath()
    ours, all_of_them, count = (
        messages.flows_request(datapath, 1),
        messages.flows_request(datapath, everyone=True),
        messages.count_request(datapath),
    )
    assert (ours.table_id, ours.cookie, ours.cookie_mask) == (1, messages.OURS, COOKIE_MASK)
    assert (all_of_them.table_id, all_of_them.cookie_mask) == (ofp.OFPTT_ALL, 0)
    assert (count.cookie, count.cookie_mask) == (messages.OURS, COOKIE_MASK)
    messages.wire(datapath, [ours, all_of_them, count, messages.ports_request(datapath), messages.barrier(datapath)])


def test_counters_of_ports_without_the_bridge_s_own():
    def port(number: int, *counts: int) -> bytes:
        return struct.pack(ofp.OFP_PORT_STATS_PACK_STR, ofp.OFP_PORT_STATS_SIZE, number, 1, 2, *counts)

    body = port(3, 1, 2, 3, 4, 5, messages.ALL_BITS, 0, 0) + port(messages.LOCAL, *[9] * 8)
    (found,) = messages.ports_of([parsed(FakeDatapath(), multipart(1, ofp.OFPMP_PORT_STATS, body))])
    assert found == Port(3, rx_packets=1, tx_packets=2, rx_bytes=3, tx_bytes=4, rx_dropped=5, tx_dropped=0)


def test_the_number_of_flows():
    body = struct.pack("!QQI4x", 10, 20, 30)
    assert messages.count_of([parsed(FakeDatapath(), multipart(1, ofp.OFPMP_AGGREGATE, body))]) == 30


@pytest.mark.parametrize(
    ("kind", "code", "name"),
    [
        (ofp.OFPET_FLOW_MOD_FAILED, ofp.OFPFMFC_TABLE_FULL, "OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL"),
        (ofp.OFPET_BUNDLE_FAILED, ofp.OFPBFC_MSG_FAILED, "OFPET_BUNDLE_FAILED, OFPBFC_MSG_FAILED"),
        (0x7777, 3, "Unknown(30583), Unknown(3)"),
    ],
)
def test_errors_have_their_openflow_names(kind, code, name):
    message = parsed(FakeDatapath(), error(5, kind, code))
    assert messages.is_error(message)
    assert messages.error_text(message) == name


def test_answers_are_told_apart():
    datapath = FakeDatapath()
    assert messages.is_commit(parsed(datapath, bundle_reply(1, ofp.OFPBCT_COMMIT_REPLY)))
    assert not messages.is_commit(parsed(datapath, bundle_reply(1, ofp.OFPBCT_OPEN_REPLY)))
    assert messages.more(parsed(datapath, multipart(1, ofp.OFPMP_FLOW, b"", more=True)))
    assert not messages.more(parsed(datapath, multipart(1, ofp.OFPMP_FLOW, b"")))
