"""Feature quantization: from packets to the statistics of the streams they belong to."""

from __future__ import annotations

import numpy as np

from bricks.kernels.kitsune.state100 import KitsunePy100State
from bricks.kernels.kitsune.state115 import Kitsune115State
from bricks.records.brick import Batch, Brick
from bricks.records.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SHADOW
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

STREAMS = 200_000  # of each kind, unless told otherwise
_RATES = ("5", "3", "1", "0.1", "0.01")


def _names(groups: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(f"{group}_L{rate}_{statistic}" for group, statistics in groups.items() for rate in _RATES for statistic in statistics)


_ONE = ("weight", "mean", "variance")
_TWO = ("weight", "mean", "std", "magnitude", "radius", "covariance", "pcc")
_TWO_PUBLIC = ("weight", "mean", "variance", "radius", "magnitude", "covariance", "pcc")

NAMES: dict[str, tuple[str, ...]] = {
    "kitsune115": _names({"MI_dir": _ONE, "H": _ONE, "HH": _TWO, "HH_jit": _ONE, "HpHp": _TWO}),
    "kitsunepy100": _names({"MI_dir": _ONE, "HH": _TWO_PUBLIC, "HH_jit": _ONE, "HpHp": _TWO_PUBLIC}),
}
LAYOUTS: dict[str, int] = {layout: len(names) for layout, names in NAMES.items()}
_STATES = {"kitsune115": Kitsune115State, "kitsunepy100": KitsunePy100State}


def new_state(layout: str, streams: int, key: SplitKey = BY_SOURCE):
    """Empty state of a layout, of at most `streams` streams of each kind, which leave and enter by buckets of the split key."""
    if layout not in _STATES:
        raise BrickError(f"feature layout {layout!r} is unknown; there are {', '.join(_STATES)}")
    if streams < 8:
        raise BrickError(f"feature-quantization: a bound of {streams} streams is too low; it must be at least 8")
    return _STATES[layout](streams, key)


def extract(packets: np.ndarray, layout: str = "kitsune115", streams: int = STREAMS) -> np.ndarray:
    """Statistics of the packets of a capture from a cold start: float64 [packets that are no shadows, width]."""
    state = new_state(layout, streams)
    out = np.empty((_scored(packets), LAYOUTS[layout]))
    state.advance(packets, out)
    return out


def warm_up(layout: str = "kitsune115") -> None:
    """Use every kernel of a layout once, so that it is compiled, or loaded, before a process is forked or packets come."""
    packets = np.zeros(12, PACKET)
    packets["src_lo"], packets["dst_lo"][::2], packets["flags"] = np.arange(12), 1, ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT
    state, everything = new_state(layout, 8), frozenset((0, 1))
    state.advance(packets, np.empty((12, LAYOUTS[layout])))
    exported = state.export(everything, 2)
    state.forget(frozenset(), 2)
    state.adopt(exported)


def _scored(packets: np.ndarray) -> int:
    return len(packets) - int(np.count_nonzero(packets["flags"] & SHADOW))


class FeatureQuantization(Brick, kind="feature-quantization"):
    """Turn each packet into the damped statistics of its streams; a shadow only moves them on.

    In:    PACKET [n], in stamp order
    Out:   the rows that are no shadows, features  float64 [m, 115 or 100]
    State: streams, bounded; leaves and enters by bucket of the split key
    Reads: packets, shadows, streams_*, evicted_*
    """

    in_order = True

    def __init__(self, serial: int = 0, layout: str = "kitsune115", streams: int = STREAMS, key: SplitKey = BY_SOURCE) -> None:
        super().__init__(serial)
        self.layout, self.width = layout, LAYOUTS.get(layout, 0)
        self.state = new_state(layout, streams, key)
        self.counters = {"packets": 0, "shadows": 0} | self.state.counters()

    def process(self, batch: Batch) -> Batch:
        head = batch.head
        scored = _scored(head)
        values = np.empty((scored, self.width))
        self.state.advance(head, values)
        self.counters |= self.state.counters()
        self.counters["packets"] += len(head)
        self.counters["shadows"] += len(head) - scored
        return Batch(head if scored == len(head) else head[head["flags"] & SHADOW == 0], values)
