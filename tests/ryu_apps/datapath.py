"""Ryu's datapath without a socket: what is sent is kept, and a test answers by hand."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from ryu.ofproto import ofproto_parser, ofproto_protocol
from ryu.ofproto import ofproto_v1_4 as ofp
from ryu.ofproto import ofproto_v1_4_parser as parser

from ryu_apps.openflow import messages


class FakeDatapath(ofproto_protocol.ProtocolDesc):
    """As much of a datapath as messages and `Switch` need. `alive`: whether what is sent arrives."""

    def __init__(self, name: str = "br-test") -> None:
        super().__init__(messages.VERSION)
        self.id, self.xid, self.alive, self.sent = 0x42, 100, True, b""
        self.ports = {messages.LOCAL: SimpleNamespace(name=name.encode())}

    def set_xid(self, message: Any) -> int:
        self.xid += 1
        message.set_xid(self.xid)
        return self.xid

    def send(self, data: bytes) -> bool:
        self.sent += data
        return self.alive

    @property
    def messages(self) -> list[tuple[int, int, bytes]]:
        """(type, xid, bytes) of every message that was sent."""
        found, data = [], self.sent
        while data:
            _, kind, length, xid = ofproto_parser.header(data)
            found.append((kind, xid, data[:length]))
            data = data[length:]
        return found


def parsed(datapath: FakeDatapath, data: bytes) -> Any:
    """A message of the switch, as Ryu hands it to its apps."""
    version, kind, length, xid = ofproto_parser.header(data)
    return ofproto_parser.msg(datapath, version, kind, length, xid, data)


def flow_stats(mods: list[Any], packets: int = 7, bytes_: int = 700) -> bytes:
    """The body of a flow statistics answer of a switch that holds what flow-mods (serialised ones) said."""
    body = b""
    for mod in mods:
        match = bytearray()
        mod.match.serialize(match, 0)
        inner = bytearray()
        for instruction in mod.instructions:
            instruction.serialize(inner, len(inner))
        size = ofp.OFP_FLOW_STATS_0_SIZE + len(match) + len(inner)
        head = (size, mod.table_id, 3, 500_000_000, mod.priority, 0, 0, 0, 0, mod.cookie, packets, bytes_)
        body += struct.pack(ofp.OFP_FLOW_STATS_0_PACK_STR, *head) + bytes(match) + bytes(inner)
    return body


def multipart(xid: int, kind: int, body: bytes, more: bool = False) -> bytes:
    """A multipart answer."""
    size = ofp.OFP_MULTIPART_REPLY_SIZE + len(body)
    flags = ofp.OFPMPF_REPLY_MORE if more else 0
    return struct.pack("!BBHIHH4x", ofp.OFP_VERSION, ofp.OFPT_MULTIPART_REPLY, size, xid, kind, flags) + body


def error(xid: int, kind: int, code: int) -> bytes:
    return struct.pack("!BBHIHH", ofp.OFP_VERSION, ofp.OFPT_ERROR, 12 + 8, xid, kind, code) + bytes(8)


def bundle_reply(xid: int, kind: int, number: int = 1) -> bytes:
    return struct.pack("!BBHIIHH", ofp.OFP_VERSION, ofp.OFPT_BUNDLE_CONTROL, 16, xid, number, kind, messages.BUNDLE_FLAGS)


def barrier_reply(xid: int) -> bytes:
    return struct.pack("!BBHI", ofp.OFP_VERSION, ofp.OFPT_BARRIER_REPLY, 8, xid)


__all__ = ["FakeDatapath", "barrier_reply", "bundle_reply", "error", "flow_stats", "multipart", "ofp", "parsed", "parser"]
