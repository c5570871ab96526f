"""Numbers of the command line."""

from __future__ import annotations

import math
from typing import Any

import click

SLOWEST = 1e-6  # packets/s, or times as fast: one packet in eleven days
FASTEST = 1e9  # packets/s, far above any link
LONGEST_S = 1e6  # seconds of anything, eleven days
MOST_PACKETS = 10**12  # of a capture, of any count of packets
MOST_SENT = 100_000_000  # packets that are prepared in memory, of some 64 bytes each
MOST_ROUNDS = 1_000_000  # of a capture that is played again and again
MOST_NUMBER = 2**31 - 1  # of what is numbered: instances


class FiniteRange(click.FloatRange):
    """A range of numbers. Infinity, and what is no number, lie in none, though they pass every comparison that `click` makes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number
