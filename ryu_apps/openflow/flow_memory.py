"""Flows of statistics answers, each taken apart once: from one answer to the next only its counters change.

The tables are read every second; Ryu needs some 100 us for a flow, which was two thirds of the controller's CPU time with 800 rules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

HEAD = struct.Struct("!H2xII20xQQ")  # of struct ofp_flow_stats: length, duration (s, ns), packets, bytes; then match and instructions
MOST = 1 << 16  # flows that are remembered


class ReportedFlow:
    """A flow of an answer. fixed: what does not change, as Ryu reads it (its counters are of an earlier answer); length: bytes"""

    __slots__ = ("byte_count", "duration_nsec", "duration_sec", "fixed", "length", "packet_count")

    def __init__(self, fixed: Any, head: tuple[int, ...]) -> None:
        self.fixed = fixed
        self.length, self.duration_sec, self.duration_nsec, self.packet_count, self.byte_count = head


class FlowMemory:
    """Reads flows. `read`: how Ryu does, from a buffer and an offset."""

    def __init__(self, read: Callable[[bytes, int], Any], most: int = MOST) -> None:
        self._read, self._most = read, most
        self._known: dict[bytes, Any] = {}

    def parser(self, buffer: bytes, offset: int) -> ReportedFlow:
        """In the place of Ryu's `OFPFlowStats.parser`: the structure of the message has been checked."""
        head = HEAD.unpack_from(buffer, offset)
        fixed_bytes = bytes(buffer[offset : offset + 4] + buffer[offset + 12 : offset + 32] + buffer[offset + HEAD.size : offset + head[0]])
        fixed = self._known.get(fixed_bytes)
        if fixed is None:
            fixed = self._read(buffer, offset)
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[fixed_bytes] = fixed
        return ReportedFlow(fixed, head)

    def __repr__(self) -> str:
        return f"<FlowMemory of {len(self._known)} flows>"
