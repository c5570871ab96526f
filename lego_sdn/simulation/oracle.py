"""An oracle that knows the future: the fewest brick-seconds that keep the promise in every second.

It is a bound, which no policy can reach on a real system: buckets divide at will, changes take nobody's time, what is not wanted any more is
gone at once, and the promise is looked at once a second only. What it has in common with a real system: the costs, the layouts that changes
within instances can reach, shadows between instances, whole bricks, and that a brick is paid for while it starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lego_sdn.core.capacity import Layout, Process, capacity
from lego_sdn.core.cost import Costs
from lego_sdn.simulation.loads import Load
from lego_sdn.simulation.world import DT

MOST_INSTANCES, MOST_MORE = 4, 6  # bricks more in an instance than it is started with
GRAIN_S = 0.005  # by which what waits is told apart; it is rounded down


@dataclass(frozen=True, slots=True)
class Setting:
    """Instances and replicas on top that an oracle may have: its bricks' quotas, and the packets/s that it takes."""

    bricks: float
    packets: float
    instances: int


def settings(costs: Costs, layout: Layout, cores: float) -> list[Setting]:
    """All that are worth having, least bricks first: no other one takes more with as few. Traffic is divided as suits best."""
    found = []
    reachable = _reachable(costs, layout, cores)
    for instances in range(1, MOST_INSTANCES + 1):
        deliveries = costs.deliveries(instances)
        one: dict[float, float] = {}
        for there in reachable:
            bricks = _bricks(there, cores)
            one[bricks] = max(one.get(bricks, 0.0), capacity(costs, there, deliveries=deliveries).packets)
        many = {0.0: 0.0}
        for _ in range(instances):  # each instance may have another number of replicas
            many = _together(many, one)
        found += [Setting(bricks, packets, instances) for bricks, packets in many.items()]
    worth: list[Setting] = []
    for setting in sorted(found, key=lambda s: (s.bricks, -s.packets)):
        if not worth or setting.packets > worth[-1].packets * (1 + 1e-9):
            worth.append(setting)
    return worth


def _together(many: dict[float, float], one: dict[float, float]) -> dict[float, float]:
    """Most packets by bricks, with one more instance."""
    found: dict[float, float] = {}
    for bricks, packets in many.items():
        for more, takes in one.items():
            found[bricks + more] = max(found.get(bricks + more, 0.0), packets + takes)
    return found


def _reachable(costs: Costs, layout: Layout, cores: float) -> list[Layout]:
    """Everything that separating, chaining and replicating single bricks makes of it."""
    middle = costs.kinds[1:-1]
    apart = [kind for kind in middle if any(kind in one.kinds and len(one.kinds) > 1 for one in layout)]
    found = []
    for more in product(range(MOST_MORE + 1), repeat=len(middle)):
        if sum(more) > MOST_MORE:
            continue
        added = tuple(Process((kind,), cores) for kind, count in zip(middle, more, strict=True) for _ in range(count))
        could = [kind for kind, count in zip(middle, more, strict=True) if count and kind in apart]
        for gone in product((False, True), repeat=len(could)):
            left = {kind for kind, goes in zip(could, gone, strict=True) if goes}
            rest = (Process(tuple(k for k in one.kinds if k not in left or len(one.kinds) == 1), one.cores) for one in layout)
            found.append((*rest, *added))
    return found


def _bricks(layout: Layout, cores: float) -> float:
    return round(sum(process.usable for process in layout) / cores, 6)


def arrivals(load: Load, full: float, seconds: float) -> list[float]:
    """Packets in each second."""
    per = round(1 / DT)
    return [sum(full * load.level(second + at * DT) * DT for at in range(per)) for second in range(round(seconds))]


@dataclass(frozen=True, slots=True)
class Rules:
    """What binds the oracle, too: what may wait, how long a brick starts, and for how long the manager rests before it takes anything away."""

    promise_s: float
    start_s: float
    cooldown_s: float


def brick_seconds(options: list[Setting], comes: list[float], rules: Rules) -> float:
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
