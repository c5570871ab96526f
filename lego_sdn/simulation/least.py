"""The lower bound of bricks: an oracle that may also let packets wait up to the promise wherever that saves a brick.

It holds for every policy that the manager lets act: it is bound by the same pause before a removal, and by nothing else. No policy reaches
it, since that takes a future that is known to the packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lego_sdn.simulation.loads import SimulatedLoad
from lego_sdn.simulation.oracle import OracleSetting
from lego_sdn.simulation.world import DT

GRAIN_S = 0.005  # by which what waits is told apart; it is rounded down


def arrivals(load: SimulatedLoad, full: float, seconds: float) -> list[float]:
    """Packets in each second."""
    per = round(1 / DT)
    return [sum(full * load.level(second + at * DT) * DT for at in range(per)) for second in range(round(seconds))]


@dataclass(frozen=True, slots=True)
class WaitRules:
    """What binds the oracle, too: what may wait, how long a brick starts, and the manager's rest before it takes anything away."""

    promise_s: float
    start_s: float
    cooldown_s: float


def brick_seconds(options: list[OracleSetting], comes: list[float], rules: WaitRules) -> float:
    """The least that takes `comes` packets, second by second, each within the promise: the cheapest way to every level of what waits.

    What is added is there as soon as it is wanted, so it is paid for from its start on; what is dropped is gone.
    """
    most, rest = max(comes), round(rules.cooldown_s)
    options = options[: next((at for at, option in enumerate(options) if option.packets >= most), len(options) - 1) + 1]
    grain = options[0].packets * GRAIN_S
    waits = np.arange(int(most * rules.promise_s / grain) + 1) * grain
    cost = np.full((len(options), rest + 1, len(waits)), np.inf)  # by setting, seconds since it was taken, and what waits
    cost[0, rest, 0] = 0.0
    for second, packets in enumerate(comes):
        ready = _changed(cost, np.array([option.bricks for option in options]), rules.start_s if second else 0.0)
        cost, may_wait = np.full_like(cost, np.inf), _within(comes, second, rules.promise_s)
        for at, option in enumerate(options):
            left = np.maximum(0.0, waits + packets - option.packets)
            kept = left <= may_wait
            into = (left[kept] / grain).astype(np.int64).clip(max=len(waits) - 1)
            for age in range(rest + 1):
                np.minimum.at(cost[at, age], into, ready[at, age][kept] + option.bricks)
    return float(cost.min())


def _changed(cost: NDArray[np.float64], bricks: NDArray[np.float64], start_s: float) -> NDArray[np.float64]:
    """The same at the beginning of the next second: whoever stayed is a second older; more is taken at any time, less after the rest."""
    ready = np.full_like(cost, np.inf)
    ready[:, 1:] = cost[:, :-1]
    ready[:, -1] = np.minimum(ready[:, -1], cost[:, -1])
    least, rested = cost.min(axis=1), cost[:, -1]
    for at in range(len(bricks)):
        grown = [least[other] + start_s * (bricks[at] - bricks[other]) for other in range(at)]
        ready[at, 0] = np.min([*grown, *rested[at + 1 :], ready[at, 0]], axis=0)
    return ready


def _within(comes: list[float], second: int, promise_s: float) -> float:
    """Packets that came in the last seconds of the promise: what may wait at the end of a second."""
    whole = int(promise_s)
    return sum(comes[max(0, second - whole + 1) : second + 1]) + (promise_s - whole) * (comes[second - whole] if second >= whole else 0.0)
