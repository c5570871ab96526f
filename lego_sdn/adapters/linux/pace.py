"""When each frame of a replay is due, and how many may go at once: a fixed schedule, never exceeded on average."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lego_sdn.core.facts.clock import ClockNs
from lego_sdn.core.facts.errors import ConfigError

_BURST_NS = 1_000_000  # of schedule sent in one go at most
_REST_NS = 250_000  # between two goes: at high rates a few system calls per ms do
_LOOK_S = 0.1  # of a long wait, until the pacer asks again whether to stop
_AT_ONCE = 1024  # frames per go at most: what one sendmmsg takes


@dataclass(frozen=True)
class Pace:
    """How fast: `pps` packets per second, or `speed` times as fast as captured, or a `shape`, or nothing of these: as fast as it goes.

    A shape is times of constant rate, one after the other: (seconds, packets per second). After its end nothing is due any more.

    Packets have a fixed schedule from the start on. No more than 1 ms of it is sent in one go, and after a delay the schedule is
    caught up with at twice the rate at most; so the average never exceeds what was asked for.
    """

    pps: float | None = None
    speed: float | None = None
    shape: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if (self.pps is not None) + (self.speed is not None) + bool(self.shape) > 1:
            raise ConfigError("give a rate in packets per second, a speed relative to the capture or a shape, not two of them")
        for part in self.shape:
            if len(part) != 2 or not all(0 < value < float("inf") for value in part):
                raise ConfigError(f"a part of a shape is seconds and packets per second, both above zero, not {part}")
        for name, value in (("rate", self.pps), ("speed", self.speed)):
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"the {name} must be above zero, not {value}")

    def schedule(self, times_ns: np.ndarray, first: int, origin_ns: int) -> np.ndarray | None:
        """int64: nanoseconds from the start at which frames first, first + 1, ... are due; None: as fast as it goes.

        times_ns are those frames' times, origin_ns that of the first frame of all. A time that goes back is due at once.
        """
        if self.pps is not None:
            return (np.arange(first, first + len(times_ns)) * (1e9 / self.pps)).astype(np.int64)
        if self.shape:
            return np.interp(np.arange(first, first + len(times_ns)), *self._corners()).astype(np.int64)
        if self.speed is not None:
            return np.maximum.accumulate(((times_ns - origin_ns) / self.speed).astype(np.int64))
        return None

    @property
    def packets(self) -> int:
        """Packets of the whole shape."""
        return round(sum(seconds * pps for seconds, pps in self.shape))

    def _corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the shape's rate changes: packets so far, nanoseconds from the start."""
        seconds, pps = np.array(self.shape).T
        return np.r_[0.0, np.cumsum(seconds * pps)], np.r_[0.0, np.cumsum(seconds)] * 1e9


FASTEST = Pace()


class Pacer:
    """Lets frames go by their schedule; the clock starts when it is made. `sleep` lets so many seconds pass.

    Once `stopped`, no frame goes.
    """

    def __init__(
        self, now_ns: ClockNs = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._now_ns, self._sleep, self._stopped = now_ns, sleep, stopped
        self.start_ns = now_ns()
        self.wall_ns = time.time_ns()
        self._rest_until = self.start_ns

    def next_stop(self, due: np.ndarray | None, at: int, count: int) -> int:
        """Wait until frame `at` of `count` may go; returns the frame before which to pause then (`at`: it is stopped).

        due  int64 [count] or None
        """
        if due is None:
            return at if self._stopped() else min(at + _AT_ONCE, count)
        earliest = max(self.start_ns + int(due[at]), self._rest_until)
        now = self._now_ns()
        while now < earliest and not self._stopped():
            self._sleep(min(_LOOK_S, (earliest - now) / 1e9))
            now = self._now_ns()
        if self._stopped():
            return at
        until = min(now - self.start_ns, int(due[at]) + _BURST_NS)
        stop = min(int(np.searchsorted(due, until, side="right")), at + _AT_ONCE, count)
        self._rest_until = now + max(_REST_NS, int(due[stop - 1] - due[at]) // 2)
        return stop

    def elapsed_s(self) -> float:
        return (self._now_ns() - self.start_ns) / 1e9
