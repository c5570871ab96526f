"""Features of devices: Doshi's feature extractor (2018), per packet and source address."""

from __future__ import annotations

import numpy as np

from bricks.kernels.doshi.features import STATELESS, WIDTH
from bricks.kernels.doshi.state import DeviceState
from bricks.records.brick import Batch, Brick
from bricks.records.packets import SHADOW
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import SplitKey

LAYOUTS = {"doshi9": WIDTH, "doshi6": STATELESS}
BY_DEVICE = SplitKey(("src_ip",))
STREAMS = 200_000  # devices, unless told otherwise


class DeviceFeatures(Brick, kind="device-features"):
    """Tell of each packet what its device has sent so far: intervals, and in its window bytes and destinations.

    In:    PACKET [n], in stamp order
    Out:   the rows that are no shadows, features  float64 [m, 9 or 6]
    State: devices and their destinations, bounded; leaves and enters by bucket of the source address
    Reads: packets, shadows, streams_*, evicted_*
    """

    in_order = True

    def __init__(self, serial: int = 0, layout: str = "doshi9", streams: int = STREAMS, key: SplitKey = BY_DEVICE) -> None:
        super().__init__(serial)
        if layout not in LAYOUTS:
            raise BrickError(f"feature layout {layout!r} is unknown; there are {', '.join(LAYOUTS)}")
        if streams < 8:
            raise BrickError(f"{self.id}: a bound of {streams} devices is too low; it must be at least 8")
        self.layout, self.width = layout, LAYOUTS[layout]
        self.state = DeviceState(streams, self.width, key)
        self.counters = {"packets": 0, "shadows": 0} | self.state.counters()

    def process(self, batch: Batch) -> Batch:
        own = batch.head["flags"] & SHADOW == 0
        scored = int(np.count_nonzero(own))
        values = np.empty((scored, self.width))
        self.state.advance(batch.head, values)
        self.counters |= self.state.counters()
        self.counters["packets"] += len(own)
        self.counters["shadows"] += len(own) - scored
        return Batch(batch.head if scored == len(own) else batch.head[own], values)
