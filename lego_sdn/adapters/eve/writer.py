"""EVE JSON, as Suricata writes it: one event a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lego_sdn.adapters.eve.outputs import LineOutput

EveEvent = Mapping[str, Any]


class EveWriter:
    """Writes events to an output, a batch with one write."""

    def __init__(self, output: LineOutput) -> None:
        self.output = output

    def write(self, events: Sequence[EveEvent]) -> None:
        if events:
            self.output.write([line_of(event) for event in events])

    @property
    def counters(self) -> dict[str, int]:
        return {"written": self.output.written, "dropped": self.output.dropped}


def line_of(event: EveEvent) -> bytes:
    """One line of JSON in ASCII. ValueError if a number is none."""
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n"
