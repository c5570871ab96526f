"""Ways to relieve an overloaded instance: CPU from bricks that have too much, a process or a replica for its slow brick, one more instance.

Each comes with what it is predicted to bring and to cost, so that they can be compared (paper, Section III-C).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lego_sdn.core import capacity
from lego_sdn.core.bottleneck import Diagnosis
from lego_sdn.core.brick_actions import Arrangement, BrickAction, Separate, SetQuota, StartReplica, kind_of
from lego_sdn.core.config import Instance
from lego_sdn.core.cost import BrickCost, Costs
from lego_sdn.core.load import usable
from lego_sdn.core.quotas import LEAST

LEAST_SHARE = 0.25  # of an even part of an instance's CPU, that every process keeps: it must answer, and load may come back
WORTH = 1.1  # CPU is re-allocated if the bottleneck gets this many times what it has
HELPS = 1.1  # what is done within an instance must bring at least this many times what there was
ALONE = 0.4  # share of its process's work from which a chained brick counts as the bottleneck by itself
STEPS = 6  # within an instance, that are looked ahead


@dataclass(frozen=True, slots=True)
class Way:
    """One way to grow. `action` None: a further instance, else the first of so many `steps` within the instance.

    gain  packets/s more, and cores that it takes from the host, when all steps are done
    """

    action: BrickAction | None
    gain: float
    cores: float
    steps: int = 1

    @property
    def words(self) -> str:
        what = "one more instance" if self.action is None else str(self.action)
        what += f" and {self.steps - 1} more step{'s' * (self.steps > 2)}" if self.steps > 1 else ""
        return f"{what}: {self.gain:.0f} packets/s more for {self.cores:.2g} cores"


def processes(arrangement: Arrangement) -> capacity.Layout:
    """A arrangement as the cost model sees it."""
    return tuple(capacity.Process(tuple(map(kind_of, one.bricks)), usable(one.quota)) for one in arrangement.processes)


def learned(nf: str, arrangement: Arrangement, diagnosis: Diagnosis) -> Costs | None:
    """A cost model from what bricks report, where there is none from a profile; None before every brick has had work.

    Which brick has state, and is shown shadows, is not in the reports: shadows are taken to be none.
    """
    costs = []
    for kind in arrangement.graph:
        seen = [one for one in diagnosis.of_kind(kind) if one.service_us > 0]
        if not seen:
            return None
        costs.append(BrickCost(kind, 0.0, sum(one.service_us for one in seen) / len(seen)))
    return Costs(nf, "as it runs", tuple(costs)) if costs else None


def reallocation(diagnosis: Diagnosis, arrangement: Arrangement, most: float) -> SetQuota | None:
    """The instance's CPU divided in proportion to need, if then no process would use more than the share `most` of its own; else None.

    The total is kept, and no process gets less than `LEAST_SHARE` of an even part.
    """
    quotas, slow = arrangement.quotas, diagnosis.slow
    if slow is None or len(quotas) < 2:
        return None
    given = {process: quota for process, quota in quotas.items() if quota is not None}
    need = _needs(diagnosis, arrangement)
    if len(given) < len(quotas) or set(need) != set(given) or not sum(need.values()):
        return None
    total, least = sum(given.values()), max(LEAST, LEAST_SHARE * sum(given.values()) / len(given))
    spread = total - least * len(given)
    wanted = {process: round(least + spread * need[process] / sum(need.values()), 3) for process in given}
    wanted[slow.process] += total - sum(wanted.values())  # what was rounded off
    enough = all(need[process] <= most * usable(wanted[process]) for process in given)
    if not enough or wanted[slow.process] < WORTH * given[slow.process]:
        return None
    return SetQuota(diagnosis.instance, tuple(sorted(wanted.items())))


def _needs(diagnosis: Diagnosis, arrangement: Arrangement) -> dict[str, float]:
    """Cores that each process would use for all that is offered to the instance, by what it uses for what it takes now."""
    need: dict[str, float] = {}
    for one in diagnosis.bricks:
        if one.packets <= 0:
            continue
        scale = max(1.0, diagnosis.offered * _part(one.id, diagnosis) / one.packets)
        cores = one.used * usable(arrangement.quotas.get(one.process)) * one.share
        need[one.process] = need.get(one.process, 0.0) + cores * scale
    return need


def _part(brick: str, diagnosis: Diagnosis) -> float:
    """The part of its kind's rows that a replica takes."""
    rows = {one.id: one.packets for one in diagnosis.of_kind(kind_of(brick))}
    total = sum(rows.values())
    return rows[brick] / total if total else 1.0


def ways(diagnosis: Diagnosis, arrangement: Arrangement, costs: Costs, like: Instance, instances: int) -> list[Way]:
    """What could be done about the slow brick: within the instance, where it is not at an end of the graph, or one more instance."""
    slow = diagnosis.slow
    assert slow is not None
    kinds, cores = costs.kinds, usable(like.cpu_quota)
    alike = capacity.chained(kinds, cores) if like.placement == "chained" else capacity.separate(kinds, cores)
    shadows = [costs.deliveries(n) for n in (instances, instances + 1)]
    grown = capacity.further_instance(costs, alike, instances, shadows)
    gain = grown.after - grown.before
    whole = Way(None, gain, grown.cores if like.cpu_quota is not None else _used(costs, gain, kinds))
    alone = slow.alone or slow.share >= ALONE
    return [*(within(slow.kind, diagnosis.instance, processes(arrangement), costs, like) if alone else ()), whole]


def within(kind: str, instance: int, now: capacity.Layout, costs: Costs, like: Instance) -> list[Way]:
    """Replicas, or a process of its own for a brick that is chained: of this kind first, then of whichever decides then, step by step.

    Two kinds that are equally slow want a replica each before anything is gained: so each way is the first step of several, with what
    all of these bring and cost.
    """
    has, cores = capacity.capacity(costs, now).packets, usable(like.cpu_quota)
    layout, kinds, found = now, list[str](), list[Way]()
    first: BrickAction = Separate(instance, kind) if _chained(now, kind) else StartReplica(instance, kind)
    while len(kinds) < STEPS and kind in costs.kinds[1:-1]:
        layout = _apart(layout, kind, cores) if _chained(layout, kind) else capacity.further_replica(costs, layout, kind, cores).layout
        kinds.append(kind)
        reached = capacity.capacity(costs, layout)
        if reached.packets >= HELPS * has:
            gain = reached.packets - has
            took = cores * len(kinds) if like.cpu_quota is not None else _used(costs, gain, tuple(dict.fromkeys(kinds)))
            found.append(Way(first, gain, took, len(kinds)))
        kind = reached.slowest
    return found


def _chained(layout: capacity.Layout, kind: str) -> bool:
    return any(kind in one.kinds and len(one.kinds) > 1 for one in layout)


def _apart(layout: capacity.Layout, kind: str, cores: float) -> capacity.Layout:
    """With the kind taken out of the chain into a process of its own."""
    rest = tuple(
        capacity.Process(tuple(k for k in one.kinds if k != kind), one.cores) if kind in one.kinds and len(one.kinds) > 1 else one
        for one in layout
    )
    return (*rest, capacity.Process((kind,), cores))


def _used(costs: Costs, packets: float, kinds: Sequence[str]) -> float:
    """Cores that these kinds use for so many packets/s: what something without a quota takes."""
    return packets * sum(costs.of(kind).per_packet_us(capacity.BATCH) for kind in kinds) / 1e6


def cheapest(found: Sequence[Way], needed: float, free: float | None) -> Way | None:
    """Of the ways for which the host has CPU: the one with the least that brings `needed` packets/s; if none does, the most per core."""
    fitting = [way for way in found if way.gain > 0 and (free is None or way.cores <= free + 1e-9)]
    enough = [way for way in fitting if way.gain >= needed]
    if enough:
        return min(enough, key=lambda way: (round(way.cores, 6), -way.gain))
    return max(fitting, key=lambda way: way.gain / max(way.cores, 1e-9), default=None)
