"""Packets in the order of their stamps, although the switch lets some overtake others.

The userspace datapath of Open vSwitch takes packets in batches of 32 and passes those of each flow on together. So a packet may come after
others with stamps up to 31 higher, and statistics of two directions would differ from those of the unsplit run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bricks.kernels.transport import stamp_reorder as kernel
from bricks.records.packets import PACKET

REACH = 32  # stamps: the batch of the datapath (NETDEV_MAX_BURST)
PATIENCE_NS = 2_000_000
_ROOM = 1024  # rows read ahead of those that wait


class StampReorder:
    """Holds packets back until none with a lower stamp can come any more.

    A row waits until its stamp is the next one, or one `reach` higher came, or `patience_ns` passed since it was read. One instance that
    sees every packet therefore never waits without a loss; one of several waits for stamps that go to others, at low rates for all of its
    patience. What comes even later is given out at once, and counted as `late`: its order is lost. One stamp that is far ahead of its time
    makes those after it late; 64 of them one after the other end that. `apart`: a stamp may come twice, once as an own packet and once as
    a copy, which others may overtake: then each waits, also if its stamp is the next.
    """

    def __init__(self, reach: int = REACH, patience_ns: int = PATIENCE_NS, apart: bool = False) -> None:
        self.held = 0
        self._limits = reach, patience_ns
        self._rows = np.zeros(_ROOM + 4 * reach, PACKET)
        self._words = self._rows.view(np.uint64).reshape(-1, kernel.WORDS)
        self._arrived = np.zeros(len(self._rows), np.int64)
        self._state = np.zeros(kernel.STATE, np.int64)
        self._state[kernel.APART] = apart

    @property
    def late(self) -> int:
        """Rows given out after one with a higher stamp."""
        return int(self._state[kernel.LATE])

    @property
    def due_ns(self) -> int | None:
        """When patience ends for the row that is next to be given out; None: no row waits."""
        return int(self._arrived[0]) + self._limits[1] if self.held else None

    def holds_from(self, until_ns: int) -> bool:
        """Whether a row waits that was read up to then."""
        return bool(np.any(self._arrived[: self.held] <= until_ns))

    def read(self, source: Callable[[np.ndarray], int], out: np.ndarray, now_ns: int) -> int:
        """Fill `out` (PACKET [rows]) from what waits and what `source(rows)` reads; returns the number of rows."""
        given = 0
        while given < len(out):
            free = min(len(out), len(self._rows) - self.held)
            fresh = source(self._rows[self.held : self.held + free])
            total = self.held + fresh
            if free == 0:  # only a flood of repeats fills it: no order is to be had from them
                now_ns += self._limits[1]
            went = kernel.settle(self._words, self._arrived, self.held, total, now_ns, self._limits, self._state, _words(out[given:]))
            self.held = total - went
            given += went
            if fresh == 0:
                break
        return given


def _words(rows: np.ndarray) -> np.ndarray:
    return rows.view(np.uint64).reshape(-1, kernel.WORDS)
