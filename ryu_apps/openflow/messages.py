"""OpenFlow 1.4 messages: the only file that builds or takes apart any, so that another library could take Ryu's place here.

Works on values of `lego_sdn.core.facts.flow_rules` and a datapath; nothing is sent and nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ryu.ofproto import ofproto_v1_4 as ofp
from ryu.ofproto import ofproto_v1_4_parser as parser

from lego_sdn.core.facts.flow_rules import COOKIE_MASK, OURS, Act, Flow, Match, Port, Rule, number, text
from lego_sdn.core.traffic.rule_compiler import RuleChange
from ryu_apps.openflow.flow_memory import FlowMemory, ReportedFlow

VERSION = ofp.OFP_VERSION
ALL_BITS = (1 << 64) - 1
METADATA_MASKS = {ALL_BITS, *(0xFFFF << low for low in (0, 16, 32, 48))}  # that the rule compiler writes by
LOCAL = ofp.OFPP_LOCAL
DOWN = ofp.OFPPS_LINK_DOWN
OFF = ofp.OFPPC_PORT_DOWN
MATCHES_MOST = 4096  # matches kept as bytes, of some 1.5 kB each
BUNDLE_FLAGS = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED
# The order in which the rule compiler names the fields of a match; a switch reports them in its own.
FIELD_ORDER = {"in_port": 0, "vlan_vid": 1, "metadata": 2, "eth_type": 3, "ip_proto": 4}  # then by name

parser.OFPFlowStats.parser = FlowMemory(parser.OFPFlowStats.parser).parser


# ---- requests ----
def flow_mod(datapath: Any, rule: Rule, delete: bool = False) -> Any:
    """Add or replace the flow of `rule`; or delete it, and only it, and only if it is LEGO's."""
    return parser.OFPFlowMod(
        datapath,
        cookie=OURS if delete else rule.cookie,
        cookie_mask=COOKIE_MASK if delete else 0,
        table_id=rule.table,
        command=ofp.OFPFC_DELETE_STRICT if delete else ofp.OFPFC_ADD,
        priority=rule.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=_match(rule.match),
        instructions=[] if delete else _instructions(rule),
    )


def bundle(datapath: Any, number_: int, change: RuleChange) -> list[Any]:
    """The messages of one atomic, ordered bundle: open, deletions, additions, commit."""
    mods = [flow_mod(datapath, rule, delete=True) for rule in change.delete] + [flow_mod(datapath, rule) for rule in change.add]
    return [
        parser.OFPBundleCtrlMsg(datapath, number_, ofp.OFPBCT_OPEN_REQUEST, BUNDLE_FLAGS, []),
        *(parser.OFPBundleAddMsg(datapath, number_, BUNDLE_FLAGS, mod, []) for mod in mods),
        commit(datapath, number_),
    ]


def commit(datapath: Any, number_: int) -> Any:
    """Put a bundle that is there into force."""
    return parser.OFPBundleCtrlMsg(datapath, number_, ofp.OFPBCT_COMMIT_REQUEST, BUNDLE_FLAGS, [])


def discard(datapath: Any, number_: int) -> Any:
    """Throw an opened bundle away."""
    return parser.OFPBundleCtrlMsg(datapath, number_, ofp.OFPBCT_DISCARD_REQUEST, BUNDLE_FLAGS, [])


def barrier(datapath: Any) -> Any:
    """Answered when everything sent before it is done."""
    return parser.OFPBarrierRequest(datapath)


def flows_request(datapath: Any, table: int | None = None, everyone: bool = False) -> Any:
    """LEGO's flows (`everyone`: foreign ones too) of one table or of all."""
    return _flows(parser.OFPFlowStatsRequest, datapath, table, everyone)


def count_request(datapath: Any) -> Any:
    """How many flows of LEGO's there are in all."""
    return _flows(parser.OFPAggregateStatsRequest, datapath, None, False)


def ports_request(datapath: Any) -> Any:
    """Counters of all ports."""
    return parser.OFPPortStatsRequest(datapath, 0, ofp.OFPP_ANY)


def frame_out(datapath: Any, port: int, frame: bytes) -> Any:
    """Send a frame out of a port; the switch does so after everything that came in before."""
    return parser.OFPPacketOut(datapath, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, [parser.OFPActionOutput(port)], frame)


def wire(datapath: Any, messages: Iterable[Any]) -> tuple[bytes, list[int]]:
    """Messages as the bytes that go out, each with a number (xid) of its own; the numbers."""
    out = bytearray()
    for message in messages:
        datapath.set_xid(message)
        message.serialize()
        out += message.buf
    return bytes(out), [message.xid for message in messages]


# ---- answers ----
def more(message: Any) -> bool:
    """Whether further parts of this answer follow."""
    return isinstance(message, parser.OFPMultipartReply) and bool(message.flags & ofp.OFPMPF_REPLY_MORE)


def is_error(message: Any) -> bool:
    return isinstance(message, parser.OFPErrorMsg)


def is_commit(message: Any) -> bool:
    """Whether it is the answer to a bundle's commit."""
    return isinstance(message, parser.OFPBundleCtrlMsg) and message.type == ofp.OFPBCT_COMMIT_REPLY


def error_text(message: Any) -> str:
    """The switch's refusal by its OpenFlow names: OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL."""
    if message.type == ofp.OFPET_EXPERIMENTER:
        return f"experimenter error {message.exp_type} of {message.experimenter:#x}"
    names = ofp.ofp_error_type_to_str(message.type), ofp.ofp_error_code_to_str(message.type, message.code)
    return ", ".join(name if name.startswith("Unknown") else name.split("(")[0] for name in names)


def flows_of(replies: Iterable[Any]) -> list[Flow]:
    """The flows of a flow statistics answer."""
    return [
        Flow(_rule_of(found), found.packet_count, found.byte_count, found.duration_sec + found.duration_nsec / 1e9)
        for reply in replies
        for found in reply.body
    ]


def ports_of(replies: Iterable[Any]) -> list[Port]:
    """The ports of a port statistics answer, the bridge's own left out."""
    names = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped")
    found = [port for reply in replies for port in reply.body if port.port_no <= ofp.OFPP_MAX]
    return [Port(port.port_no, *(_counter(getattr(port, name)) for name in names)) for port in found]


def count_of(replies: Iterable[Any]) -> int:
    return sum(reply.body.flow_count for reply in replies)


def _counter(value: int) -> int:
    return 0 if value == ALL_BITS else value  # all ones: this switch does not count that


def _flows(kind: Any, datapath: Any, table: int | None, everyone: bool) -> Any:
    table_id = ofp.OFPTT_ALL if table is None else table
    cookie, mask = (0, 0) if everyone else (OURS, COOKIE_MASK)
    return kind(datapath, 0, table_id, ofp.OFPP_ANY, ofp.OFPG_ANY, cookie, mask, parser.OFPMatch())


class _WireMatch(parser.OFPMatch):
    """A match that becomes bytes once. To build and to write one takes a third of a bundle's time, and every bundle has the same ones."""

    written: bytes | None = None  # padded

    def serialize(self, buf: bytearray, offset: int) -> int:
        if self.written is None:
            fresh = bytearray()
            super().serialize(fresh, 0)
            self.written = bytes(fresh)
        buf += bytes(max(0, offset - len(buf)))
        buf[offset : offset + len(self.written)] = self.written
        return len(self.written)


@lru_cache(maxsize=MATCHES_MOST)
def _match(matches: tuple[Match, ...]) -> Any:
    fields = {
        match.field: text(match.field, match.value)
        if match.mask is None
        else (text(match.field, match.value), text(match.field, match.mask))
        for match in matches
    }
    return _WireMatch(**fields)


def _instructions(rule: Rule) -> list[Any]:
    instructions: list[Any] = []
    if rule.actions:
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, [_action(act) for act in rule.actions]))
    if rule.metadata is not None:
        mask = ALL_BITS if rule.metadata_mask is None else rule.metadata_mask
        instructions.append(parser.OFPInstructionWriteMetadata(rule.metadata, mask))
    if rule.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(rule.goto))
    return instructions


def _action(act: Act) -> Any:
    builders = {
        "output": parser.OFPActionOutput,
        "normal": lambda _: parser.OFPActionOutput(ofp.OFPP_NORMAL),
        "push_vlan": parser.OFPActionPushVlan,
        "set_vlan_vid": lambda vid: parser.OFPActionSetField(vlan_vid=vid),
        "set_vlan_pcp": lambda pcp: parser.OFPActionSetField(vlan_pcp=pcp),
        "pop_vlan": lambda _: parser.OFPActionPopVlan(),
    }
    return builders[act.name](act.value)


def _rule_of(found: ReportedFlow) -> Rule:
    if not hasattr(found.fixed, "rule"):
        found.fixed.rule = _rule(found.fixed)
    rule: Rule = found.fixed.rule
    return rule


def _rule(found: Any) -> Rule:
    """A reported flow as a rule; what LEGO never writes (other actions, groups, timeouts) makes it differ from every rule of LEGO's."""
    actions: list[Act] = []
    goto = metadata = mask = None
    for instruction in found.instructions:
        if isinstance(instruction, parser.OFPInstructionActions) and instruction.type == ofp.OFPIT_APPLY_ACTIONS:
            actions += [_act(action) for action in instruction.actions]
        elif isinstance(instruction, parser.OFPInstructionGotoTable):
            goto = instruction.table_id
        elif isinstance(instruction, parser.OFPInstructionWriteMetadata) and instruction.metadata_mask in METADATA_MASKS:
            metadata = instruction.metadata
            mask = None if instruction.metadata_mask == ALL_BITS else instruction.metadata_mask
        else:
            actions.append(Act(type(instruction).__name__))
    if found.idle_timeout or found.hard_timeout:
        actions.append(Act("timeout"))
    return Rule(found.table_id, found.priority, _matches(found.match), tuple(actions), goto, found.cookie, metadata, mask)


def _act(action: Any) -> Act:
    if isinstance(action, parser.OFPActionOutput):
        return Act("normal") if action.port == ofp.OFPP_NORMAL else Act("output", action.port)
    if isinstance(action, parser.OFPActionPushVlan):
        return Act("push_vlan", action.ethertype)
    if isinstance(action, parser.OFPActionPopVlan):
        return Act("pop_vlan")
    if isinstance(action, parser.OFPActionSetField) and action.key in ("vlan_vid", "vlan_pcp"):
        return Act(f"set_{action.key}", action.value)
    return Act(type(action).__name__)


def _matches(match: Any) -> tuple[Match, ...]:
    found = []
    for field, value in match.items():
        value, mask = value if isinstance(value, tuple) else (value, None)
        found.append(Match(field, _number(field, value), None if mask is None else _number(field, mask)))
    return tuple(sorted(found, key=lambda one: (FIELD_ORDER.get(one.field, len(FIELD_ORDER)), one.field)))


def _number(field: str, value: Any) -> int:
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    try:
        return number(field, value)
    except ValueError:  # a field that LEGO does not write, in a form of its own: only whether it is the same matters
        return int.from_bytes(str(value).encode(), "big")
