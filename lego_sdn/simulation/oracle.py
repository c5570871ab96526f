"""An oracle that knows the future: for every second the fewest bricks that carry its load, started early enough to be ready.

It leaves no packets for the next second and has no reserve. It divides buckets at will and removes bricks at once. A policy that lets
packets wait may need a little less; `least` has the bound that holds for every policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from lego_sdn.core.cost.capacity import Layout, ProcessShare, capacity
from lego_sdn.core.cost.model import Costs
from lego_sdn.simulation.loads import SimulatedLoad
from lego_sdn.simulation.world import DT

MOST_INSTANCES, MOST_MORE = 4, 6  # bricks more in an instance than it is started with


@dataclass(frozen=True, slots=True)
class OracleSetting:
    """Instances and replicas on top that an oracle may have: its bricks' quotas, and the packets/s that it takes."""

    bricks: float
    packets: float
    instances: int


def settings(costs: Costs, layout: Layout, cores: float) -> list[OracleSetting]:
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
        found += [OracleSetting(bricks, packets, instances) for bricks, packets in many.items()]
    worth: list[OracleSetting] = []
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
    middle = costs.graph.inner
    apart = [kind for kind in middle if any(kind in one.kinds and len(one.kinds) > 1 for one in layout)]
    found = []
    for more in product(range(MOST_MORE + 1), repeat=len(middle)):
        if sum(more) > MOST_MORE:
            continue
        added = tuple(ProcessShare((kind,), cores) for kind, count in zip(middle, more, strict=True) for _ in range(count))
        could = [kind for kind, count in zip(middle, more, strict=True) if count and kind in apart]
        for gone in product((False, True), repeat=len(could)):
            left = {kind for kind, goes in zip(could, gone, strict=True) if goes}
            rest = (ProcessShare(tuple(k for k in one.kinds if k not in left or len(one.kinds) == 1), one.cores) for one in layout)
            found.append((*rest, *added))
    return found


def _bricks(layout: Layout, cores: float) -> float:
    return round(sum(process.usable for process in layout) / cores, 6)


def needed(load: SimulatedLoad, full: float, seconds: float, promise_s: float) -> list[float]:
    """Packets/s that must be taken in each second, at the least: what comes may wait for as long as is promised, and not longer."""
    steps, per = round(seconds / DT), round(1 / DT)
    comes = [full * load.level(at * DT) * DT for at in range(steps)]
    window = max(1, round(min(1.0, promise_s) / DT))
    sums = [sum(comes[max(0, at - window + 1) : at + 1]) / (window * DT) for at in range(steps)]
    return [max(sums[second * per : (second + 1) * per]) for second in range(steps // per)]


def brick_seconds(options: list[OracleSetting], wanted: list[float], start_s: float) -> float:
    """What the oracle takes. What it adds is there as soon as it is wanted, so it is paid for from its start on; what it drops is gone."""
    before, total = 0.0, 0.0
    for packets in wanted:
        now = next((s.bricks for s in options if s.packets >= packets), options[-1].bricks)
        total += now + start_s * max(0.0, now - before) * (before > 0)
        before = now
    return total
