"""An oracle that knows the future: the fewest bricks for every second that keep the promise, started so early that they are in time."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.capacity import Layout, capacity, further_replica
from lego_sdn.core.cost import Costs
from lego_sdn.simulation.loads import Load
from lego_sdn.simulation.world import DT

MOST_INSTANCES, MOST_REPLICAS = 4, 8


@dataclass(frozen=True, slots=True)
class Setting:
    """Instances and replicas on top that an oracle may have: its bricks' quotas, and the packets/s that it takes."""

    bricks: float
    packets: float
    instances: int


def settings(costs: Costs, layout: Layout, cores: float) -> list[Setting]:
    """All that are worth having, least bricks first: no other one takes more with as few. Traffic is divided as suits best."""
    found = []
    for instances in range(1, MOST_INSTANCES + 1):
        deliveries = costs.deliveries(instances)
        one, grown = [(_bricks(layout, cores), capacity(costs, layout, deliveries=deliveries).packets)], layout
        for _ in range(MOST_REPLICAS):
            grown = _apart(costs, grown, deliveries, cores)
            one.append((_bricks(grown, cores), capacity(costs, grown, deliveries=deliveries).packets))
        many = {0.0: 0.0}
        for _ in range(instances):  # each instance may have another number of replicas
            many = _together(many, one)
        found += [Setting(bricks, packets, instances) for bricks, packets in many.items()]
    worth: list[Setting] = []
    for setting in sorted(found, key=lambda s: (s.bricks, -s.packets)):
        if not worth or setting.packets > worth[-1].packets * (1 + 1e-9):
            worth.append(setting)
    return worth


def _together(many: dict[float, float], one: list[tuple[float, float]]) -> dict[float, float]:
    """Most packets by bricks, with one more instance."""
    found: dict[float, float] = {}
    for bricks, packets in many.items():
        for more, takes in one:
            found[bricks + more] = max(found.get(bricks + more, 0.0), packets + takes)
    return found


def _apart(costs: Costs, layout: Layout, deliveries: float, cores: float) -> Layout:
    """With a process for the kind that decides: by itself if it was chained, else one more."""
    slowest = capacity(costs, layout, deliveries=deliveries).slowest
    if slowest in (costs.kinds[0], costs.kinds[-1]):
        return layout
    home = next(process for process in layout if slowest in process.kinds)
    if len(home.kinds) > 1:
        rest = type(home)(tuple(kind for kind in home.kinds if kind != slowest), home.cores)
        return (*(rest if process is home else process for process in layout), type(home)((slowest,), cores))
    return further_replica(costs, layout, slowest, cores).layout


def _bricks(layout: Layout, cores: float) -> float:
    return round(sum(process.usable for process in layout) / cores, 6)


def needed(load: Load, full: float, seconds: float, promise_s: float) -> list[float]:
    """Packets/s that must be taken in each second, at the least: what comes may wait for as long as is promised, and not longer."""
    steps, per = round(seconds / DT), round(1 / DT)
    comes = [full * load.level(at * DT) * DT for at in range(steps)]
    window = max(1, round(min(1.0, promise_s) / DT))
    sums = [sum(comes[max(0, at - window + 1) : at + 1]) / (window * DT) for at in range(steps)]
    return [max(sums[second * per : (second + 1) * per]) for second in range(steps // per)]


def brick_seconds(options: list[Setting], wanted: list[float], start_s: float) -> float:
    """What the oracle takes. What it adds is there as soon as it is wanted, so it is paid for from its start on; what it drops is gone."""
    before, total = 0.0, 0.0
    for packets in wanted:
        now = next((s.bricks for s in options if s.packets >= packets), options[-1].bricks)
        total += now + start_s * max(0.0, now - before) * (before > 0)
        before = now
    return total
