"""A switch that is asked: answers in parts, refusals by name, silence, and a connection that ends."""

from __future__ import annotations

import struct
import threading

import pytest

from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules, diff
from ryu_apps.openflow.connection import Switch, SwitchError
from tests.ryu_apps.datapath import FakeDatapath, barrier_reply, bundle_reply, error, flow_stats, multipart, ofp, parsed

RULES = compile_rules({0: 1, 1: 1}, {1: 11}, RuleOptions(2))


class Answering(FakeDatapath):
    """Answers every message at once by `script(kind, xid) -> [bytes]`."""

    script = staticmethod(lambda kind, xid: [])

    def send(self, data: bytes) -> bool:
        before = len(self.messages)
        super().send(data)
        for kind, xid, _ in self.messages[before:]:
            for answer in self.script(kind, xid):
                self.switch.answer(parsed(self, answer))
        return self.alive


def switch(script=lambda kind, xid: [], timeout: float = 0.05) -> Switch:
    datapath = Answering()
    datapath.script = script
    datapath.switch = Switch(datapath, timeout)
    return datapath.switch


def taking(kind: int, xid: int) -> list[bytes]:
    """A switch that takes everything."""
    if kind == ofp.OFPT_BUNDLE_CONTROL:
        return [bundle_reply(xid, ofp.OFPBCT_COMMIT_REPLY)]
    return [barrier_reply(xid)] if kind == ofp.OFPT_BARRIER_REQUEST else []


def test_answers_in_several_parts_are_put_together():
    from ryu_apps.openflow import messages

    def in_parts(kind, xid):
        scratch = FakeDatapath()
        mods = [messages.flow_mod(scratch, rule) for rule in RULES]
        messages.wire(scratch, mods)
        half = len(mods) // 2
        return [
            multipart(xid, ofp.OFPMP_FLOW, flow_stats(mods[:half]), more=True),
            multipart(xid, ofp.OFPMP_FLOW, flow_stats(mods[half:])),
        ]

    assert {flow.rule for flow in switch(in_parts).flows()} == RULES


def test_a_change_is_one_bundle_and_a_barrier():
    asked = switch(taking)
    asked.commit(diff((), RULES))
    kinds = [kind for kind, _, _ in asked.datapath.messages]
    assert kinds[0] == kinds[-2] == ofp.OFPT_BUNDLE_CONTROL
    assert kinds[-1] == ofp.OFPT_BARRIER_REQUEST
    assert kinds.count(ofp.OFPT_BUNDLE_ADD_MESSAGE) == len(RULES)


def test_a_staged_change_waits_for_its_commit_alone():
    asked = switch(taking)
    staged = asked.stage(diff((), RULES))
    kinds = [kind for kind, _, _ in asked.datapath.messages]
    assert kinds == [ofp.OFPT_BUNDLE_CONTROL, *[ofp.OFPT_BUNDLE_ADD_MESSAGE] * len(RULES), ofp.OFPT_BARRIER_REQUEST]
    asked.commit_staged(staged)
    assert [kind for kind, _, _ in asked.datapath.messages][len(kinds) :] == [ofp.OFPT_BUNDLE_CONTROL, ofp.OFPT_BARRIER_REQUEST]
    assert asked.waiting == 0


def test_a_rule_that_is_refused_while_staged_is_named_at_the_commit():
    def full(kind, xid):
        if kind == ofp.OFPT_BUNDLE_ADD_MESSAGE:
            return [error(xid, ofp.OFPET_FLOW_MOD_FAILED, ofp.OFPFMFC_TABLE_FULL)]
        if kind == ofp.OFPT_BUNDLE_CONTROL:
            return [error(xid, ofp.OFPET_BUNDLE_FAILED, ofp.OFPBFC_MSG_FAILED)]
        return taking(kind, xid)

    asked = switch(full)
    staged = asked.stage(diff((), RULES))
    with pytest.raises(SwitchError, match=f"refused {len(RULES)} rule changes"):
        asked.commit_staged(staged)
    assert asked.waiting == 0


def test_a_staged_change_can_be_thrown_away():
    asked = switch(taking)
    asked.discard(asked.stage(diff((), RULES)))
    assert asked.datapath.messages[-1][0] == ofp.OFPT_BUNDLE_CONTROL
    assert asked.waiting == 0


def test_frames_go_out_of_their_ports_in_their_order():
    asked = switch()
    frames = [(7, b"first" * 12), (3, b"second" * 10), (7, b"third" * 13)]
    asked.send_frames(iter(frames))
    assert [kind for kind, _, _ in asked.datapath.messages] == [ofp.OFPT_PACKET_OUT] * 3
    assert len({xid for _, xid, _ in asked.datapath.messages}) == 3
    assert [_packet_out(data) for _, _, data in asked.datapath.messages] == frames


def test_frames_for_a_switch_that_is_gone():
    asked = switch()
    asked.datapath.alive = False
    with pytest.raises(SwitchError, match="went away"):
        asked.send_frames([(1, bytes(60))])


def _packet_out(data: bytes) -> tuple[int, bytes]:
    """(port, frame) of a packet-out with one action, by the OpenFlow 1.4 layout: header 8, buffer 4, port 4, length 2, padding 6."""
    (length,) = struct.unpack_from("!H", data, 16)
    kind, size, port = struct.unpack_from("!HHI", data, 24)
    assert (kind, size) == (ofp.OFPAT_OUTPUT, length), "an output to one port, and nothing else"
    return port, data[24 + length :]


def test_no_change_sends_nothing():
    asked = switch(taking)
    asked.commit(diff(RULES, RULES))
    assert asked.datapath.messages == []


def test_a_refused_rule_is_named_and_the_bundle_thrown_away():
    refused = []

    def full(kind, xid):
        if kind == ofp.OFPT_BUNDLE_ADD_MESSAGE and len(refused) < 1:
            refused.append(xid)
            return [error(xid, ofp.OFPET_FLOW_MOD_FAILED, ofp.OFPFMFC_TABLE_FULL)]
        return [error(xid, ofp.OFPET_BUNDLE_FAILED, ofp.OFPBFC_MSG_FAILED)] if kind == ofp.OFPT_BUNDLE_CONTROL and refused else []

    asked = switch(full)
    change = diff((), RULES)
    with pytest.raises(
        SwitchError, match=r"br-test refused \d+ rule changes: OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL \(Rule\(table=0"
    ) as caught:
        asked.commit(change)
    assert repr(change.add[0]) in str(caught.value)
    assert asked.datapath.messages[-1][0] == ofp.OFPT_BUNDLE_CONTROL, "discarded"
    assert asked.waiting == 0


def test_silence_is_an_error_with_a_deadline():
    asked = switch()
    with pytest.raises(SwitchError, match=r"br-test did not tell its flows within 0\.05 s"):
        asked.flows()
    assert asked.waiting == 0


def test_a_refused_question_is_named():
    with pytest.raises(SwitchError, match="refused to tell its port counters: OFPET_BAD_REQUEST, OFPBRC_EPERM"):
        switch(lambda kind, xid: [error(xid, ofp.OFPET_BAD_REQUEST, ofp.OFPBRC_EPERM)]).ports()


def test_who_waits_is_told_that_the_switch_went_away():
    asked = switch(timeout=10)
    failures = []

    def ask() -> None:
        try:
            asked.count()
        except SwitchError as failure:
            failures.append(str(failure))

    thread = threading.Thread(target=ask)
    thread.start()
    while not asked.waiting:
        pass
    asked.close()
    thread.join(5)
    assert failures == ["switch br-test went away before it told the number of its flows"]


def test_sending_to_a_switch_that_is_gone():
    asked = switch()
    asked.datapath.alive = False
    with pytest.raises(SwitchError, match="went away"):
        asked.count()


def test_a_message_that_nobody_waits_for_is_not_taken():
    asked = switch()
    assert not asked.answer(parsed(asked.datapath, error(1, ofp.OFPET_BAD_REQUEST, 0)))


def test_names_and_numbers_of_ports():
    from types import SimpleNamespace

    asked = switch()
    asked.datapath.ports[3] = SimpleNamespace(name=b"eth0")
    assert asked.name == "br-test"
    assert asked.port_numbers()["eth0"] == 3
