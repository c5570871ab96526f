"""The steps of a handover that `handover.carry_out` yields, and the marker frames."""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from lego_sdn.core.facts.flow_rules import MARKER_VID, SWITCH_TPID

PAUSE_S = 0.005  # between two questions

FRAME = struct.Struct("!6s6sHHHIQ34x")  # Ethernet header with the switch's own tag, magic, token: as of bricks/records/packets.py
MARKER_TYPE, MARKER_MAGIC = 0x88B5, 0x4C454D4B
TO, FROM = b"\x02\x4c\x45\x47\x4f\x02", b"\x02\x4c\x45\x47\x4f\x01"


@dataclass(frozen=True, slots=True)
class Ask:
    """Call `method` of an instance's processes: of every one, of that at the interface, or of that with the streams.

    peer: another instance, the address of whose process of the same part is the last parameter.
    """

    instance: int
    part: Literal["every", "packets", "streams"]
    method: str
    params: tuple[Any, ...]
    peer: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    value: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """Put the new rules into force, and wait until no cached flow predates them. Answer: None, or why it failed."""


@dataclass(frozen=True, slots=True)
class LeaveToStandby:
    """Put rules into force in which nobody owns these buckets: a standby gets their packets, as it gets all others. Answer as of
    `ChangeRules`, and `RestoreRules` makes these the rules from now on."""

    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PrepareRules:
    """Get the new rules ready, so that `ChangeRules` takes no longer than it must: packets wait for it. No answer."""


@dataclass(frozen=True, slots=True)
class RestoreRules:
    """A marker did not come: the switch may have gone and come back without rules. Make them the new ones again. No answer."""


@dataclass(frozen=True, slots=True)
class SendMarkers:
    """Send a marker frame out of each instance's port, in this order: (instance, token of the marker). No answer."""

    frames: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some time pass. No answer."""

    seconds: float = PAUSE_S


Step = tuple[Ask, ...] | PrepareRules | ChangeRules | LeaveToStandby | RestoreRules | SendMarkers | Pause
Steps = Generator[Step, Any, Any]


def marker_frame(token: int) -> bytes:
    """A frame that instances take for a marker when it comes out of their port as it is.

    From anywhere else it comes under a further tag of the switch's, and is a packet like any other.
    """
    return FRAME.pack(TO, FROM, SWITCH_TPID, MARKER_VID, MARKER_TYPE, MARKER_MAGIC, token)
