"""Clocks as arguments: whoever needs the time is given a function that tells it, so that a test turns it by hand."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]  # seconds
ClockNs = Callable[[], int]  # nanoseconds
