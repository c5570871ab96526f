"""Sound OpenFlow 1.4 messages of every type that a switch sends, byte by byte: what attacks on Ryu's parsers are made from."""

from __future__ import annotations

import struct


def message(kind: int, body: bytes = b"", version: int = 5, xid: int = 7) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def statistics(kind: int, *entries: bytes) -> bytes:
    return message(19, struct.pack("!HH4x", kind, 0) + b"".join(entries))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def field(number: int, value: bytes, mask: bytes = b"") -> bytes:
    return struct.pack("!HBB", 0x8000, number << 1 | bool(mask), len(value + mask)) + value + mask


def match(*fields: bytes) -> bytes:
    inner = b"".join(fields)
    return padded(struct.pack("!HH", 1, 4 + len(inner)) + inner)


def element(kind: int, body: bytes) -> bytes:
    """Type and length, then the body: an action, an instruction, a band, a property, a hello element."""
    return struct.pack("!HH", kind, 4 + len(body)) + body


def sized(form: str, *values: int, tail: bytes = b"") -> bytes:
    """A structure that begins with its length."""
    size = 2 + struct.calcsize("!" + form) + len(tail)
    return struct.pack("!H", size) + struct.pack("!" + form, *values) + tail


ETHERTYPE, SOURCE = field(5, b"\x08\x00"), field(11, b"\x0a\x00\x00\x01", b"\xff\xff\xff\x00")
MATCH = match(ETHERTYPE, SOURCE)
OUTPUT = element(0, struct.pack("!IH6x", 2, 65535))
PUSH, POP, GROUP = element(17, b"\x81\x00\0\0"), element(18, bytes(4)), element(22, bytes(4))
SET_FIELD = element(25, padded(bytes(4) + field(6, b"\x10\x05"))[4:])
CONNTRACK = element(0xFFFF, struct.pack("!IHHIHB3xH", 0x2320, 35, 1, 0, 0, 255, 0) + OUTPUT + POP)
RESUBMIT = element(0xFFFF, struct.pack("!IHHB3x", 0x2320, 14, 0xFFF8, 7))
ACTIONS = OUTPUT + PUSH + SET_FIELD + POP + GROUP + RESUBMIT + CONNTRACK
APPLY = element(4, bytes(4) + ACTIONS)
INSTRUCTIONS = element(1, b"\x09" + bytes(3)) + element(2, bytes(4) + bytes(16)) + APPLY + element(6, bytes(4))
EXPERIMENT = element(0xFFFF, struct.pack("!III", 0x1234, 1, 5))
BUCKET = sized("HII4x", 1, 0xFFFFFFFF, 0xFFFFFFFF, tail=OUTPUT + PUSH)
BANDS = element(1, struct.pack("!II4x", 1000, 10)) + element(2, struct.pack("!IIB3x", 1000, 10, 1))
FLOW = sized("BxIIHHHHH2xQQQ", 1, 2, 3, 100, 0, 0, 0, 0, 9, 10, 11, tail=MATCH + INSTRUCTIONS)
PORT_PROPERTIES = element(0, bytes(28)) + element(1, bytes(36)) + padded(EXPERIMENT)
PORT = struct.pack("!IH2x6s2x16sII", 1, 40 + len(PORT_PROPERTIES), b"\2\0\0\0\0\1", b"eth1", 0, 4) + PORT_PROPERTIES
TABLE = sized("BxI", 3, 0, tail=element(2, bytes(4)) + element(3, bytes(4)))
TABLE_PROPERTIES = [
    *(element(kind, element(1, b"") + element(4, b"")) for kind in (0, 1)),
    *(element(kind, bytes([1, 2, 3])) for kind in (2, 3, 16)),
    *(element(kind, element(0, b"") + element(22, b"")) for kind in (4, 5, 6, 7)),
    *(element(kind, b"\x80\x00\x0a\x02" + b"\x80\x00\x16\x04") for kind in (8, 10, 12, 13, 14, 15)),
    EXPERIMENT,
]
FEATURES = sized("B5x32sQQII", 0, b"classifier", 1, 1, 0, 100, tail=b"".join(padded(one) for one in TABLE_PROPERTIES))
GROUP_MOD = message(15, struct.pack("!HBxI", 0, 0, 1) + BUCKET + BUCKET)
METER_MOD = message(29, struct.pack("!HHI", 0, 1, 1) + BANDS)
HELLO = {version: message(0, element(1, struct.pack("!I", 1 << 5)) if version > 3 else b"", version) for version in (1, 2, 3, 4, 5, 6)}

SOUND: dict[str, bytes] = {
    **{f"hello {version}": data for version, data in HELLO.items() if version != 2},  # Ryu has no OpenFlow 1.1
    "error": message(1, struct.pack("!HH", 4, 9) + message(14, bytes(48))),
    "experimenter error": message(1, struct.pack("!HHI", 0xFFFF, 1, 2) + b"data"),
    "echo request": message(2, b"data"),
    "echo reply": message(3, b"data"),
    "experimenter": message(4, struct.pack("!II", 0x1234, 1) + b"data"),
    "features": message(6, struct.pack("!QIBB2xII", 0x42, 0, 254, 0, 0x47, 0)),
    "configuration": message(8, struct.pack("!HH", 0, 128)),
    "packet": message(10, struct.pack("!IHBBQ", 0xFFFFFFFF, 60, 0, 1, 5) + MATCH + bytes(2) + bytes(60)),
    "flow removed": message(11, struct.pack("!QHBBIIHHQQ", 5, 1, 0, 1, 2, 3, 0, 0, 9, 10) + MATCH),
    "port status": message(12, struct.pack("!B7x", 0) + PORT),
    "flow mod": message(14, struct.pack("!QQBBHHHIIIHH", 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0) + MATCH + INSTRUCTIONS),
    "group mod": GROUP_MOD,
    "barrier": message(21),
    "role": message(25, struct.pack("!I4xQ", 1, 2)),
    "asynchronous": message(27, b"".join(element(kind, bytes(4)) for kind in range(12)) + EXPERIMENT),
    "meter mod": METER_MOD,
    "role status": message(30, struct.pack("!IB3xQ", 1, 0, 2) + EXPERIMENT),
    "table status": message(31, struct.pack("!B7x", 3) + TABLE),
    "forwarded group": message(32, GROUP_MOD),
    "forwarded meter": message(32, METER_MOD),
    "bundle": message(33, struct.pack("!IHH", 1, 5, 3) + EXPERIMENT),
    "description": statistics(0, bytes(1056)),
    "flows": statistics(1, FLOW, FLOW),
    "aggregate": statistics(2, struct.pack("!QQI4x", 1, 2, 3)),
    "tables": statistics(3, bytes(24), bytes(24)),
    "port counters": statistics(4, sized("2xIII8Q", 1, 2, 3, *range(8), tail=element(0, bytes(36)) + padded(element(1, bytes(40))))),
    "queue counters": statistics(5, sized("6xIIQQQII", 1, 2, 3, 4, 5, 6, 7, tail=EXPERIMENT)),
    "group counters": statistics(6, sized("2xII4xQQII", 1, 2, 3, 4, 5, 6, tail=bytes(32))),
    "groups": statistics(7, *[sized("BxI", 0, 1, tail=BUCKET + BUCKET)] * 2),
    "group features": statistics(8, bytes(40)),
    "meter counters": statistics(9, struct.pack("!IH6xIQQII", 1, 72, 1, 2, 3, 4, 5) + bytes(32)),
    "meters": statistics(10, *[sized("HI", 1, 1, tail=BANDS)] * 2),
    "meter features": statistics(11, bytes(16)),
    "table features": statistics(12, FEATURES, FEATURES),
    "ports": statistics(13, PORT, PORT),
    "table descriptions": statistics(14, TABLE, TABLE),
    "queues": statistics(15, struct.pack("!IIH6x", 1, 2, 32) + element(1, b"\0\1\0\0") + element(2, b"\0\1\0\0")),
    "flow updates": statistics(16, sized("HBBHHH4xQ", 0, 1, 0, 0, 0, 5, 9, tail=MATCH + INSTRUCTIONS), sized("HI", 4, 1), sized("H4x", 5)),
    "experimenter statistics": statistics(0xFFFF, struct.pack("!II", 0x1234, 1) + b"data"),
}
