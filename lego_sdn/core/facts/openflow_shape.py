"""The structure of OpenFlow 1.4 messages that a switch sends: whether every length in them is possible.

Ryu's parsers step from element to element by the lengths that a message states, and never end on a length of 0. So a message is
checked before they see it: each stated length covers at least the element's header, and ends within what encloses it.
"""

from __future__ import annotations

import struct
from typing import Any

from lego_sdn.core.facts.lengths import EXPERIMENTER, Check, MalformedError, chain, every, one, properties, room, then

VERSION = 5  # OpenFlow 1.4 on the wire
HEADER = 8
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY = range(4)
ANY_VERSION = frozenset({HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY})  # what may come before a version is agreed on
GROUP_MOD, METER_MOD = 15, 29
NICIRA, CONNTRACK, CONNTRACK_HEADER = 0x2320, 35, 24  # the one action of Open vSwitch's that Ryu looks for further actions in
NESTING = 8  # actions within actions
TABLES, LONGEST_EXPERIMENT = 256, 1024
VERSIONS = 36  # bytes of a version bitmap's element that has all 256 versions


def check(data: bytes) -> None:
    """Raise MalformedError unless all of `data` is one message whose lengths are sound."""
    if len(data) < HEADER:
        raise MalformedError(f"a message has {len(data)} bytes, and its header alone has {HEADER}")
    version, kind, length = struct.unpack_from("!BBH", data)
    if length != len(data):
        raise MalformedError(f"a message of type {kind} states {length} bytes and has {len(data)}")
    if kind not in ANY_VERSION and version != VERSION:
        raise MalformedError(f"a message of type {kind} is of version {version}, not of the version {VERSION} that was agreed on")
    if kind not in MESSAGES:
        raise MalformedError(f"no switch sends a message of type {kind}")
    least, body = MESSAGES[kind]
    room(f"a message of type {kind}", 0, least, length)
    if body is not None:
        body(data, least, length)


# ---- matches, actions, instructions ----
def _fields(data: bytes, at: int, end: int) -> None:
    """Fields of a match (OXM)."""
    while at < end:
        room("a match field", at, 4, end)
        kind, has_mask, length = struct.unpack_from("!H", data, at)[0], data[at + 2] & 1, data[at + 3]
        value = length - (4 if kind == EXPERIMENTER else 0)
        if value < 1 + has_mask or (has_mask and value % 2):
            raise MalformedError(f"a match field at byte {at} states {length} bytes, too few for its value")
        room("a match field", at, 4 + length, end)
        at += 4 + length


def _match(data: bytes, at: int, end: int) -> int:
    """Where the match that begins at `at` ends, with its padding."""
    room("a match", at, 4, end)
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    padded = -(-length // 8) * 8
    if length < 4:
        raise MalformedError(f"a match at byte {at} states {length} bytes; it has at least 4")
    room("a match", at, padded, end)
    _fields(data, at + 4, at + length)
    return at + padded


def _actions(data: bytes, at: int, end: int, depth: int = 0) -> None:
    if depth > NESTING:
        raise MalformedError(f"actions are nested more than {NESTING} deep at byte {at}")

    def body(data: bytes, at: int, end: int, kind: int) -> None:
        if kind == EXPERIMENTER:
            _experimenter_action(data, at, end, depth)
        elif kind == SET_FIELD:
            field_end = at + 8 + data[at + 7]
            room("a field that is set", at + 4, field_end - at - 4, end)
            _fields(data, at + 4, field_end)
            one("the padding of a field that is set", -(field_end - at) % 8)(data, field_end, end)
        else:
            one(f"an action of type {kind}", ACTION_SIZES.get(kind, 8))(data, at, end)

    chain("an action", 8, body, length_at=2)(data, at, end)


def _experimenter_action(data: bytes, at: int, end: int, depth: int) -> None:
    (experimenter,) = struct.unpack_from("!I", data, at + 4)
    if experimenter != NICIRA:
        return
    room("an action of Open vSwitch's", at, 16, end)
    if struct.unpack_from("!H", data, at + 8)[0] == CONNTRACK:
        room("a ct action", at, CONNTRACK_HEADER, end)
        _actions(data, at + CONNTRACK_HEADER, end, depth + 1)


SET_FIELD, ACTION_SIZES = 25, {0: 16}  # an output; all others of a known type have 8 bytes
INSTRUCTION_SIZES = {1: 8, 2: 24, 6: 8}  # goto, metadata, meter
ACTIONS_OF = (3, 4, 5)  # written, applied, cleared


def _instruction(data: bytes, at: int, end: int, kind: int) -> None:
    if kind in INSTRUCTION_SIZES:
        one(f"an instruction of type {kind}", INSTRUCTION_SIZES[kind])(data, at, end)
    elif kind in ACTIONS_OF:
        _actions(data, at + 8, end)


_instructions = chain("an instruction", 8, _instruction, length_at=2)


def _match_and(rest: Check | None, pad: int = 0) -> Check:
    """A match, `pad` bytes, and what `rest` checks; None: whatever is left."""

    def check_it(data: bytes, at: int, end: int) -> None:
        at = _match(data, at, end)
        room("padding", at, pad, end)
        if rest is not None:
            rest(data, at + pad, end)

    return check_it


def _flow_update(data: bytes, at: int, end: int, _: int) -> None:
    event = struct.unpack_from("!H", data, at + 2)[0]
    if event <= 3:
        room("a flow update", at, 24, end)
        _match_and(_instructions)(data, at + 24, end)
    else:
        one(f"a flow update of event {event}", 8)(data, at, end)


# ---- what messages consist of ----
_EXPERIMENT = {EXPERIMENTER: 12}
_nothing = every("further bytes", 1 << 16)
_bands = chain("a meter band", 16, lambda data, at, end, kind: one("a meter band", 16)(data, at, end), length_at=2)
_buckets = chain("a bucket", 16, then(16, _actions))
_ids = chain("an id", 4, length_at=2)
_table_desc = chain("a table", 8, then(8, properties("a table property", {2: 8, 3: 8} | _EXPERIMENT)))
_port = chain("a port", 40, then(40, properties("a port property", {0: 32, 1: 40} | _EXPERIMENT)), length_at=4)


def _oxm_ids(data: bytes, at: int, end: int) -> None:
    while at < end:
        room("the id of a field", at, 4, end)
        size = 8 if struct.unpack_from("!H", data, at)[0] == EXPERIMENTER else 4
        room("the id of a field", at, size, end)
        at += size


def _next_tables(data: bytes, at: int, end: int) -> None:
    if end - at > TABLES:
        raise MalformedError(f"next tables at byte {at} are {end - at}; there are {TABLES}")


def _experiment(data: bytes, at: int, end: int) -> None:
    """Ryu keeps a copy of the rest for every 16 bytes of it."""
    room("an experimenter's statistics", at, 8, end)
    if end - at > LONGEST_EXPERIMENT:
        raise MalformedError(f"an experimenter's statistics have {end - at} bytes; at most {LONGEST_EXPERIMENT} are read")


_TABLE_FEATURES: dict[int, Check] = (
    dict.fromkeys((2, 3, 16), _next_tables) | dict.fromkeys((0, 1, 4, 5, 6, 7), _ids) | dict.fromkeys((8, 10, 12, 13, 14, 15), _oxm_ids)
)
STATISTICS: dict[int, Check] = {
    0: one("a description", 1056),
    1: chain("a flow", 56, then(48, _match_and(_instructions))),
    2: one("an aggregate", 24),
    3: every("tables", 24),
    4: chain("a port's counters", 80, then(80, properties("a port counter property", {0: 40, 1: 44} | _EXPERIMENT))),
    5: chain("a queue's counters", 48, then(48, properties("a queue counter property", _EXPERIMENT))),
    6: chain("a group's counters", 40, then(40, every("bucket counters", 16))),
    7: chain("a group", 8, then(8, _buckets)),
    8: one("group features", 40),
    9: chain("a meter's counters", 40, then(40, every("band counters", 16)), length_at=4),
    10: chain("a meter", 8, then(8, _bands)),
    11: one("meter features", 16),
    12: chain("a table's features", 64, then(64, properties("a table feature", {0xFFFE: 12} | _EXPERIMENT, _TABLE_FEATURES))),
    13: _port,
    14: _table_desc,
    15: chain("a queue", 16, then(16, properties("a queue property", {1: 8, 2: 8} | _EXPERIMENT)), length_at=8),
    16: chain("a flow update", 8, _flow_update),
    EXPERIMENTER: _experiment,
}


def _multipart(data: bytes, at: int, end: int) -> None:
    kind = struct.unpack_from("!H", data, HEADER)[0]
    if kind not in STATISTICS:
        raise MalformedError(f"there are no statistics of type {kind}")
    STATISTICS[kind](data, at, end)


def _error(data: bytes, at: int, end: int) -> None:
    if struct.unpack_from("!H", data, HEADER)[0] == EXPERIMENTER:
        room("an experimenter's error", 0, 16, end)


def _hello(data: bytes, at: int, end: int) -> None:
    """Elements, from OpenFlow 1.3 on. Ryu knows no padding between them; what does not need any is all that switches send."""
    if data[0] > 3:
        chain("a hello element", 4, length_at=2, most=VERSIONS)(data, at, end)


def _forwarded(data: bytes, at: int, end: int) -> None:
    room("a forwarded request", at, HEADER, end)
    if data[at + 1] not in (GROUP_MOD, METER_MOD):
        raise MalformedError(f"a request of type {data[at + 1]} is forwarded; it can be of {GROUP_MOD} or {METER_MOD}")
    check(data[at:end])


def _at_least(size: int, elements: Check) -> Check:
    def check_it(data: bytes, at: int, end: int) -> None:
        room("what has changed", at, size, end)
        elements(data, at, end)

    return check_it


# message type -> least bytes, what is to be checked from there on (None: any bytes)
MESSAGES: dict[int, tuple[int, Any]] = {
    HELLO: (8, _hello),
    ERROR: (12, _error),
    ECHO_REQUEST: (8, None),
    ECHO_REPLY: (8, None),
    4: (16, None),  # experimenter
    6: (32, _nothing),  # features
    8: (12, _nothing),  # configuration
    10: (24, _match_and(None, pad=2)),  # a packet
    11: (48, _match_and(_nothing)),  # a flow was removed
    12: (16, _at_least(40, _port)),  # a port changed
    14: (48, _match_and(_instructions)),  # change of a flow
    GROUP_MOD: (16, _buckets),
    19: (16, _multipart),
    21: (8, _nothing),  # barrier
    25: (24, _nothing),  # role
    27: (8, properties("an asynchronous configuration", dict.fromkeys(range(12), 8) | {0xFFFE: 12} | _EXPERIMENT)),
    METER_MOD: (16, _bands),
    30: (24, properties("a role property", _EXPERIMENT)),
    31: (16, _at_least(8, _table_desc)),  # a table changed
    32: (8, _forwarded),
    33: (16, properties("a bundle property", _EXPERIMENT)),
}
