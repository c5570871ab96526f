"""What each process answers, and which arguments a message may have: checked before any of it is believed.

`AGENT`, `WARM` and `BRICK` are the tables of the three kinds of processes. A message that is not in a table is not answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.facts.config import BUCKETS_MOST
from lego_sdn.core.facts.section import number, whole
from lego_sdn.core.facts.text import shown

NAME_CHARACTERS = 100  # of a brick, a process, a ring
PATH_CHARACTERS = 4096
MARKERS_MOST = 4096
RINGS_MOST = 64  # of one edge of a brick: one to each replica of the next
BRICKS_MOST = 1024
STAMP_MOST, WORD_MOST = 2**63 - 1, 2**64 - 1
DRAIN_MS, PAUSE_S = 3_600_000, 60
RECORDS_BYTES = 1 << 28


@dataclass(frozen=True)
class Argument:
    """One argument of a message: its name, what it must be in words, and as a test."""

    name: str
    wanted: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Signature:
    """The arguments of a message, of which the last `optional` may be left out.

    own  only a process of the same user may send it: the agent to its bricks, a brick to another
    """

    takes: tuple[Argument, ...] = ()
    optional: int = 0
    own: bool = False

    def problem(self, method: str, params: Sequence[Any]) -> str | None:
        """What is wrong with the arguments, in a sentence, or None."""
        least, most = len(self.takes) - self.optional, len(self.takes)
        if not least <= len(params) <= most:
            return f"{method} was called with {len(params)} parameters: it takes {f'{least} to {most}' if self.optional else most}"
        for argument, value in zip(self.takes, params, strict=False):
            if not argument.fits(value):
                return f"{method}: {argument.name}: wanted {argument.wanted}, found {shown(value)}"
        return None


def text(most: int) -> Callable[[Any], bool]:
    """A test for a text of 1 to `most` printable characters."""
    return lambda value: isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


_NAME = text(NAME_CHARACTERS)


def _list(of: Callable[[Any], bool], most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= most and all(of(item) for item in value)


def _map(of: Callable[[Any], bool], most: int = BRICKS_MOST) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, Mapping) and len(value) <= most and all(_NAME(key) and of(item) for key, item in value.items())

    return fits


def _or_none(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or of(value)


def _either(one: Callable[[Any], bool], other: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: one(value) or other(value)


def _amount(most: float) -> Callable[[Any], bool]:
    return lambda value: number(value) and 0 <= value <= most


def _place(value: Any) -> bool:
    """Where a keyed brick is: the ring that leads there, and the socket where it answers."""
    if not isinstance(value, Mapping) or not set(value) <= {"ring", "socket"} or "ring" not in value:
        return False
    return _or_none(_NAME)(value["ring"]) and (value["ring"] is None or text(PATH_CHARACTERS)(value.get("socket")))


_CORES = _or_none(number)
_NAMES = _list(_NAME, RINGS_MOST)
_BUCKETS = _list(whole(0, BUCKETS_MOST - 1), BUCKETS_MOST)
_RECORDS = Argument("data", "bytes", lambda value: isinstance(value, bytes) and len(value) <= RECORDS_BYTES)

_INSTANCE = Argument("instance", "a whole number from 1 to 999", whole(1, 999))
_KIND = Argument("kind", "a kind of brick", _NAME)
_BRICK = Argument("brick", "the id of a brick", _NAME)
_PROCESS = Argument("process", "the name of a process", _NAME)
_SHARE = Argument("cpu_quota", "cores, from 0.01 to 1024, or null", _CORES)
_SHARES = Argument("cpu_quota", "cores, or null, or a map of these by process", lambda value: _CORES(value) or _map(_CORES)(value))
_DEADLINES = Argument("deadlines", "milliseconds for kinds of bricks", _map(_amount(1e6)))
_DRAIN = Argument("drain_ms", f"milliseconds from 0 to {DRAIN_MS}", _amount(DRAIN_MS))
_SILENT = Argument(
    "silent", "names of processes", lambda value: isinstance(value, list) and len(value) <= BRICKS_MOST and all(map(_NAME, value))
)
_SPEC = Argument(
    "spec", "a map with keys of text", lambda value: isinstance(value, Mapping) and len(value) <= 64 and all(map(_NAME, value))
)
_MODEL = Argument("model", "a path", text(PATH_CHARACTERS))
_NF = Argument("nf", "the name of a network function", _NAME)

AGENT: dict[str, Signature] = {
    "hello": Signature(),
    "instances": Signature(),
    "shutdown": Signature(),
    "flush_cache": Signature(),
    "start_instance": Signature((_SPEC,)),
    "stop_instance": Signature((_INSTANCE, _DRAIN, _SILENT), optional=2),
    "start_replica": Signature((_INSTANCE, _KIND, _SHARE), optional=1),
    "stop_replica": Signature((_INSTANCE, _BRICK)),
    "separate": Signature((_INSTANCE, _KIND, _SHARE), optional=1),
    "chain": Signature((_INSTANCE, _KIND)),
    "take_out": Signature((_INSTANCE, _PROCESS)),
    "set_quota": Signature((_INSTANCE, _SHARES)),
    "set_deadlines": Signature((_INSTANCE, _DEADLINES)),
}

WARM: dict[str, Signature] = {
    "preload": Signature((_MODEL, _NF), optional=1, own=True),
    "fork": Signature((_SPEC,), own=True),
    "exits": Signature(own=True),
}

_TOKEN = Argument("token", f"a whole number from 0 to {WORD_MOST}", whole(0, WORD_MOST))
_STAMP = Argument("stamp", f"a whole number from -1 to {STAMP_MOST}", whole(-1, STAMP_MOST))
_ROW = Argument("row", f"a whole number from 0 to {STAMP_MOST}", whole(0, STAMP_MOST))
_SINCE = Argument("since", f"a whole number from 0 to {STAMP_MOST}", whole(0, STAMP_MOST))
_SOME = Argument("buckets", "a list of buckets", _BUCKETS)
_BEFORE, _AFTER = (Argument(name, "a list of buckets", _BUCKETS) for name in ("before", "after"))
_SCORED = Argument("scored", "a list of buckets", _BUCKETS)
_PERHAPS = Argument("buckets", "a list of buckets, or null", _or_none(_BUCKETS))
_MARKER = Argument("marker", f"a whole number from 0 to {WORD_MOST}", whole(0, WORD_MOST))
_MARKERS = Argument("markers", "a list of markers", _list(whole(0, WORD_MOST), MARKERS_MOST))
_NODE = Argument("node", "the node whose streams they are", _NAME)
_ADDRESS = Argument("address", "the address of a process", text(PATH_CHARACTERS))
_RINGS = Argument("table", "a map from bricks to lists of rings, or to these by node", _map(_either(_NAMES, _map(_NAMES))))
_SEATS = Argument("seats", "a list of bricks, or null", _or_none(_list(_NAME, BRICKS_MOST)))
_PAUSE = Argument("seconds", f"seconds from 0 to {PAUSE_S}", _amount(PAUSE_S))
_DEAD_INSTANCE = Argument("dead", "a whole number from 0 to 999", whole(0, 999))
_GIVEN, _OWNED = (Argument(name, "a list of buckets", _BUCKETS) for name in ("given", "owned"))
_UNTIL = Argument("until", f"a whole number from -1 to {STAMP_MOST}", whole(-1, STAMP_MOST))
_SHARED_OUT = Argument("bricks", "a map from bricks to where they are", _map(_place))
_DEAD = Argument("bricks", "a list of bricks", _list(_NAME, BRICKS_MOST))

BRICK: dict[str, Signature] = {
    "load": Signature(),
    "alerts": Signature((_SINCE,)),
    "scores": Signature((_SINCE,)),
    "drain": Signature((_DRAIN,)),
    "hold": Signature((_TOKEN,)),
    "cut": Signature((_TOKEN, _STAMP, _BEFORE, _AFTER)),
    "renew": Signature((_TOKEN,)),
    "settled": Signature((_TOKEN, _MARKERS)),
    "consumed": Signature((_ROW,)),
    "give_streams": Signature((_TOKEN, _SOME, _AFTER, _ADDRESS)),
    "give_rows": Signature((_TOKEN, _SOME, _MARKER, _ADDRESS)),
    "copy_rows": Signature((_TOKEN, _SOME, _MARKER, _SCORED, _ADDRESS)),
    "release": Signature((_TOKEN, _PERHAPS)),
    "taken": Signature((_TOKEN,)),
    "take_streams": Signature((_TOKEN, _RECORDS, _PERHAPS, _NODE), optional=1, own=True),
    "take_rows": Signature((_TOKEN, _SOME, _RECORDS), own=True),
    "abandon": Signature((_TOKEN, _SOME)),
    "progress": Signature(),
    "keep_from": Signature((_STAMP,)),
    "standing": Signature(),
    "take_over": Signature((_MARKER, _DEAD_INSTANCE, _SOME, _GIVEN, _UNTIL)),
    "end_take_over": Signature((_MARKER, _OWNED)),
    "routes": Signature((_RINGS, _SEATS), optional=1, own=True),
    "inputs": Signature((_RINGS,), own=True),
    "deadlines": Signature((_DEADLINES,), own=True),
    "stop": Signature(own=True),
    "pause": Signature((_PAUSE,), own=True),
    "deal": Signature((_SHARED_OUT,), own=True),
    "bury": Signature((_DEAD,), own=True),
    "begin": Signature((_ROW,), own=True),
    "keep": Signature((_SOME,), own=True),
    "export": Signature((_SOME, _PERHAPS), optional=1, own=True),
    "adopt": Signature((_RECORDS, _PERHAPS), optional=1, own=True),
}
