"""Scaling options for an overloaded instance, each with its predicted gain and cost (paper, Section III-C).

An option takes CPU from bricks that have too much, adds a process or a replica for a brick, or adds an instance. For an underloaded
instance: what could be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetQuota, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.config import InstanceSettings
from lego_sdn.core.facts.cpu_quotas import LEAST
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import usable
from lego_sdn.core.observe.diagnosis import Diagnosis

LEAST_SHARE = 0.25  # of an even part of an instance's CPU, that every process keeps: it must answer, and load may come back
WORTH = 1.1  # CPU is re-allocated if the bottleneck gets this many times what it has
HELPS = 1.02  # what is done within an instance must bring at least this many times what there was
LEAST_FREE = 0.05  # cores of a host, below which all of its CPU is in use
STEPS = 6  # within an instance, that are looked ahead

Step = tuple[BrickAction, Arrangement]  # within an instance: what is done, and how its bricks then lie


@dataclass(frozen=True, slots=True)
class ScalingOption:
    """One way to grow. `action` None: a further instance, else the first of so many `steps` within the instance.

    gain  packets/s more, and cores that it takes from the host, when all steps are done
    """

    action: BrickAction | None
    gain: float
    cores: float
    steps: int = 1

    @property
    def per_core(self) -> float:
        """Packets/s more for each core."""
        return self.gain / max(self.cores, 1e-9)

    @property
    def words(self) -> str:
        what = "one more instance" if self.action is None else str(self.action)
        what += f" and {self.steps - 1} more step{'s' * (self.steps > 2)}" if self.steps > 1 else ""
        return f"{what}: {self.gain:.0f} packets/s more for {self.cores:.2g} cores"


def processes(arrangement: Arrangement) -> capacity.Layout:
    """An arrangement as the cost model sees it."""
    return tuple(capacity.ProcessShare(tuple(map(node_of, one.bricks)), usable(one.quota)) for one in arrangement.processes)


# ---- CPU from one process to another ----
def reallocation(diagnosis: Diagnosis, arrangement: Arrangement, rows: Mapping[str, float], most: float) -> SetQuota | None:
    """The instance's CPU divided in proportion to need, if then no process would use more than the share `most` of its own; else None.

    The total is kept, and no process gets less than `LEAST_SHARE` of an even part. `rows`: that come to each kind in a second.
    """
    quotas, slow = arrangement.quotas, diagnosis.slow
    if slow is None or len(quotas) < 2:
        return None
    given = {process: quota for process, quota in quotas.items() if quota is not None}
    need = _needs(diagnosis, arrangement, rows)
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


def _needs(diagnosis: Diagnosis, arrangement: Arrangement, rows: Mapping[str, float]) -> dict[str, float]:
    """Cores that each process would use for all rows that come, by what it uses for those that it takes now."""
    need: dict[str, float] = {}
    for one in diagnosis.bricks:
        if one.packets <= 0:
            continue
        scale = max(1.0, rows.get(one.kind, 0.0) * _part(one.id, diagnosis) / one.packets)
        cores = one.used * usable(arrangement.quotas.get(one.process)) * one.share
        need[one.process] = need.get(one.process, 0.0) + cores * scale
    return need


def _part(brick: str, diagnosis: Diagnosis) -> float:
    """The part of its kind's rows that a replica takes."""
    rows = {one.id: one.packets for one in diagnosis.of_kind(node_of(brick))}
    total = sum(rows.values())
    return rows[brick] / total if total else 1.0


# ---- growing within an instance ----
def within(instance: int, now: Arrangement, costs: Costs, like: InstanceSettings, deliveries: float = 1.0) -> list[ScalingOption]:
    """Extend the arrangement greedily by the step with the highest resulting capacity; on ties, by the step that relieves the slowest kind.

    Two kinds that are equally slow need a replica each before anything is gained. So each option is the first of several steps, with
    the gain and the cost of all of them.
    """
    before = capacity.capacity(costs, processes(now), deliveries=deliveries)
    has, done, found = before.packets, list[Separate | StartReplica](), list[ScalingOption]()
    while len(done) < STEPS:
        steps = list(larger(instance, now, costs, usable(like.cpu_quota)))
        reached = [(capacity.capacity(costs, processes(after), deliveries=deliveries), action, after) for action, after in steps]
        if not reached:
            break
        slowest = before.slowest
        before, action, now = max(reached, key=lambda one: (round(one[0].packets, 6), one[1].kind == slowest))
        done.append(action)
        if before.packets >= HELPS * has:
            gain, kinds = before.packets - has, tuple(dict.fromkeys(one.kind for one in done))
            cores = usable(like.cpu_quota) * len(done) if like.cpu_quota is not None else _used(costs, gain, kinds)
            found.append(ScalingOption(done[0], gain, cores, len(done)))
    return found


def larger(instance: int, now: Arrangement, costs: Costs, cores: float) -> Iterator[tuple[Separate | StartReplica, Arrangement]]:
    """Every step that adds a process of so many cores.

    A chained brick that has streams goes there, for sharing them costs shadows; any other one stays, and shares its batches with a replica:
    so its neighbours' process is of use for it as long as it has time to spare, too.
    """
    for brick in map(costs.of, costs.graph.inner):
        separate = Separate(instance, brick.kind)
        action = separate if brick.keyed and now.refusal(separate) is None else StartReplica(instance, brick.kind)
        if now.refusal(action) is None:
            yield action, now.apply(replace(action, cores=cores))


def _used(costs: Costs, packets: float, kinds: Sequence[str]) -> float:
    """Cores that these kinds use for so many packets/s: what something without a quota takes."""
    return packets * sum(costs.of(kind).per_packet_us(costs.batch) for kind in kinds) / 1e6


def leftover(instance: int, now: Arrangement, costs: Costs, free: float, deliveries: float = 1.0) -> ScalingOption | None:
    """A replica with what cores the host has left, less than a process gets; None where that helps little (paper, Section III-C)."""
    cores = int(free * 1000) / 1000
    if cores < LEAST:
        return None
    has = capacity.capacity(costs, processes(now), deliveries=deliveries).packets
    steps = [(action, after) for action, after in larger(instance, now, costs, cores) if isinstance(action, StartReplica)]
    reached = [(capacity.capacity(costs, processes(after), deliveries=deliveries).packets, action.kind) for action, after in steps]
    most, kind = max(reached, default=(0.0, ""))
    return ScalingOption(StartReplica(instance, kind, cores), most - has, cores) if most >= HELPS * has else None


# ---- shrinking within an instance ----
def smaller(instance: int, arrangement: Arrangement, like: InstanceSettings) -> Iterator[Step]:
    """Every step that takes a process away: the youngest replica of a kind, or a separated brick that is chained again."""
    for kind in arrangement.graph.order:
        bricks = arrangement.of_kind(kind)
        action: BrickAction | None = StopReplica(instance, bricks[-1]) if len(bricks) > 1 else None
        if action is None and like.placement == "chained":
            action = ChainBrick(instance, kind)
        if action is not None and arrangement.refusal(action) is None:
            yield action, arrangement.apply(action)


# ---- which way ----
def cheapest(found: Sequence[ScalingOption], needed: float, free: float | None) -> ScalingOption | None:
    """Of the ways for which the host has CPU: the one with the least that brings `needed` packets/s; if none does, the most per core."""
    fitting = [way for way in found if way.gain > 0 and (free is None or way.cores <= free + 1e-9)]
    enough = [way for way in fitting if way.gain >= needed]
    if enough:
        return min(enough, key=lambda way: (round(way.cores, 6), -round(way.gain, 3)))
    return max(fitting, key=lambda way: way.per_core, default=None)
