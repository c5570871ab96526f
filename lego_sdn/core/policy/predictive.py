"""The predictive policy: does what `bricks` does, for the load that is expected once a replica started now is ready.

The share of CPU that an instance uses says little of how much it could take: a brick takes whatever is there, and pays the fixed cost of a
batch for few packets. So load is the arrival rate, against what the cost model says of full batches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import InstanceLoad, usable
from lego_sdn.core.observe.brick_rates import BrickFigures
from lego_sdn.core.observe.diagnosis import Diagnosis
from lego_sdn.core.policy import options
from lego_sdn.core.policy.base import Memory, Observation, Suggestion, Trend
from lego_sdn.core.policy.bricks import Bricks

LEVEL, SLOPE = 0.5, 0.1  # of what is new, by Holt's linear smoothing: in the level, and in its change per round
STANDING = 0.01  # share of a ring that waits before an instance counts as catching up


class Predictive(Bricks):
    """Follow the arrival rate and its trend (Holt's linear smoothing), and look at every instance as if it had the load of `horizon_s` from
    now, with the CPU that the cost model gives for it. A load that falls is taken as it is: quick to grow, slow to shrink.

    An instance whose queue grows all the same is taken as it is seen. One that has a queue to work off neither grows nor shrinks.
    """

    name: ClassVar[str] = "predictive"

    def suggest(self, memory: Memory, seen: Observation) -> tuple[Memory, Suggestion]:
        now = sum(map(_comes, seen.diagnoses.values()))
        trend = followed(memory.trend, now)
        rounds = self.scaling.horizon_s / self.scaling.period_s
        ahead = max(1.0, (trend.level + trend.slope * rounds) / now) if now > 0 else 1.0
        memory, suggestion = super().suggest(memory, self._expected(seen, ahead))
        if ahead >= 1.01 and suggestion.evidence:
            told = f"{suggestion.evidence}; in {self.scaling.horizon_s:g} s {ahead:.2f} times the present load is expected"
            suggestion = replace(suggestion, evidence=told)
        return replace(memory, trend=trend), suggestion

    def _expected(self, seen: Observation, ahead: float) -> Observation:
        """The same observation with so many times the load, and what the cost model makes of it."""
        loads, diagnoses = dict(seen.loads), dict(seen.diagnoses)
        for i, diagnosis in seen.diagnoses.items():
            arrangement = seen.arrangements.get(i)
            if seen.costs is None or arrangement is None or i not in seen.loads:
                continue
            cpu, then = self._then(diagnosis, arrangement, seen.costs, (_comes(diagnosis) * ahead, len(seen.running)))
            loads[i], diagnoses[i] = self._load(seen.loads[i], diagnosis, cpu), then
        return replace(seen, loads=loads, diagnoses=diagnoses)

    def _load(self, load: InstanceLoad, diagnosis: Diagnosis, cpu: float) -> InstanceLoad:
        if diagnosis.growing or load.drops > 0:
            return replace(load, cpu=max(cpu, load.cpu))
        waits = load.queue > STANDING or any(one.waits for one in diagnosis.bricks)
        between = (self.scaling.high_water + self.scaling.merge_target) / 2
        return replace(load, cpu=max(cpu, between) if waits else cpu, queue=0.0)

    def _then(self, one: Diagnosis, arrangement: Arrangement, costs: Costs, expected: tuple[float, int]) -> tuple[float, Diagnosis]:
        """CPU share of the busiest process, and the diagnosis, if `expected` packets/s come to one of so many instances."""
        packets, instances = expected
        layout, deliveries = options.processes(arrangement), costs.deliveries(instances)
        us = capacity.kind_us(costs, layout, deliveries=deliveries)
        bricks = _figures(one.bricks, arrangement, us, packets)
        share = packets / capacity.capacity(costs, layout, deliveries=deliveries).packets
        then = replace(one, bricks=bricks, offered=packets, counted=packets)
        if one.growing or one.cause not in (None, "brick"):
            return share, replace(one, offered=packets, counted=packets)
        hottest = max(bricks, key=lambda b: (b.used, b.share), default=None)
        if hottest is None or share < self.scaling.high_water:
            return share, replace(then, cause=None, brick=None)
        evidence = f"{hottest.id}: {packets:.0f} packets/s take {hottest.used:.0%} of the CPU quota of its process {hottest.process}"
        return share, replace(then, cause="brick", brick=hottest.id, evidence=evidence)


def _comes(one: Diagnosis) -> float:
    """Packets/s of the instance's own: as the switch counts them, else as they are seen."""
    return one.offered if one.counted is None else one.counted


def _figures(bricks: tuple[BrickFigures, ...], arrangement: Arrangement, us: dict[str, float], packets: float) -> tuple[BrickFigures, ...]:
    """What each brick would use; replicas of a kind share its rows evenly."""
    cores = {b.id: packets * us.get(b.kind, 0.0) / 1e6 / max(1, len(arrangement.of_kind(node_of(b.id)))) for b in bricks}
    whole = {b.process: sum(cores[other.id] for other in bricks if other.process == b.process) for b in bricks}
    return tuple(
        replace(
            b,
            packets=packets / max(1, len(arrangement.of_kind(b.kind))),
            cores=cores[b.id],
            used=whole[b.process] / usable(arrangement.quotas.get(b.process)),
            share=cores[b.id] / whole[b.process] if whole[b.process] else b.share,
        )
        for b in bricks
    )


def followed(trend: Trend | None, rate: float) -> Trend:
    """The trend with one more round's rate."""
    if trend is None:
        return Trend(rate, 0.0)
    level = LEVEL * rate + (1 - LEVEL) * (trend.level + trend.slope)
    return Trend(level, SLOPE * (level - trend.level) + (1 - SLOPE) * trend.slope)
