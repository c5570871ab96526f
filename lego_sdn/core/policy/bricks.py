"""The policy that grows and shrinks brick by brick (paper, Section III-C): first within an instance, then by whole instances."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import BrickAction, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.assignment import Owners, balance, carried, place
from lego_sdn.core.facts.reports import usable
from lego_sdn.core.observe.diagnosis import Diagnosis
from lego_sdn.core.policy import options
from lego_sdn.core.policy.base import NOTHING, Memory, Observation, Suggestion, WaterMarks

FULL = 0.97  # share of what the costs say that an instance can take, to which it is grown
TOLERATED_S = 0.5  # that packets may wait, now and `horizon_s` later, before an instance that is busy all the time counts as overloaded
HALF = 0.5  # of the promised latency: more is not tolerated in any case


class Bricks(WaterMarks):
    """Overload is met, in this order, by: evening out the instances' buckets; CPU from bricks of the instance that have too much; whatever
    brings the load to what can be taken at the least CPU, be it a process of its own for a chained brick that is the bottleneck, a
    replica of it, or one more instance. With CPU to spare, replicas and separated bricks go first, then instances.

    An instance is overloaded if `water-marks` says so, or if it violates the promise (`sla`) because of a brick; unless the cost model
    says that it can carry the offered load, or it is catching up. Removal is judged by the same model: utilisation afterwards must not
    exceed `merge_target`.
    """

    name: ClassVar[str] = "bricks"

    def suggest(self, memory: Memory, seen: Observation) -> tuple[Memory, Suggestion]:
        over = self.overloaded(memory, seen)
        spare = {} if over else self._spare(seen)
        leaving = None if over or spare else self.could_leave(seen)
        rounds = {action: memory.spare.get(action, 0) + 1 for action in spare}
        memory = replace(memory, over=over, under=memory.under + 1 if leaving else 0, spare=rounds)
        ripe = [i for i, count in over.items() if count >= self.scaling.up_after and i in seen.loads]
        if ripe:
            hot = max(ripe, key=lambda i: (seen.loads[i].demand, -i))
            return memory, replace(self._grow(hot, seen), urgent=not self._may_wait(hot, seen))
        for action, count in rounds.items():
            if count >= self.scaling.down_after:
                return memory, spare[action]
        if leaving and memory.under >= self.scaling.down_after:
            return memory, leaving
        return memory, NOTHING

    def overloaded(self, memory: Memory, seen: Observation) -> dict[int, int]:
        over = super().overloaded(memory, seen)
        broken = [i for i in seen.violated if i in seen.loads and i in seen.diagnoses and seen.diagnoses[i].cause == "brick"]
        found = {**{i: memory.over.get(i, 0) + 1 for i in broken}, **over}
        return {i: count for i, count in sorted(found.items()) if not self._copes(i, seen)}

    def _copes(self, instance: int, seen: Observation) -> bool:
        """It can take what comes, or nearly so; or it works off what was left waiting when it was too slow."""
        full, diagnosis = _fullness(instance, seen), seen.diagnoses.get(instance)
        if full is None or diagnosis is None or diagnosis.growing:
            return False
        if diagnosis.behind and full <= self.scaling.high_water:
            return True
        waits = diagnosis.wait_s + max(0.0, full - 1) * self.scaling.horizon_s
        filled = any(one.ring > self.scaling.queue_high for one in diagnosis.bricks)
        tolerated = TOLERATED_S if seen.latency_ms is None else min(TOLERATED_S, HALF * seen.latency_ms / 1e3)
        return waits <= tolerated and not filled and instance not in seen.violated

    def _may_wait(self, instance: int, seen: Observation) -> bool:
        """Shadows left aside, it could take what comes: perhaps it catches up."""
        full, diagnosis = _fullness(instance, seen, shadows=False), seen.diagnoses.get(instance)
        return full is not None and diagnosis is not None and not diagnosis.growing and full <= FULL

    # ---- growing ----
    def _grow(self, hot: int, seen: Observation) -> Suggestion:
        whole = self.relieve(hot, seen)
        diagnosis, arrangement, costs = seen.diagnoses.get(hot), seen.arrangements.get(hot), seen.costs
        if whole.kind == "rebalance" or diagnosis is None or diagnosis.slow is None or arrangement is None or costs is None:
            return whole
        if self.scaling.reallocate and seen.no_brick is None:
            own, deliveries = _own(hot, seen, costs)
            rows = {kind: own * visits for kind, visits in costs.visits(deliveries).items()}
            quotas = options.reallocation(diagnosis, arrangement, rows, (self.scaling.high_water + self.scaling.merge_target) / 2)
            if quotas is not None:
                return Suggestion(
                    "grow", f"{diagnosis.evidence}; the CPU that others of its bricks have to spare is enough", hot, action=quotas
                )
        found = self._cheapest(diagnosis, arrangement, costs, seen)
        if found is None and seen.like.cpu_quota is None and seen.free is not None and seen.free < options.LEAST_FREE:
            return NOTHING  # all CPU of the host is in use: one more instance would only divide it
        return found or whole

    def _cheapest(self, diagnosis: Diagnosis, arrangement: Arrangement, costs: Costs, seen: Observation) -> Suggestion | None:
        own, deliveries = _own(diagnosis.instance, seen, costs)
        has = capacity.capacity(costs, options.processes(arrangement), deliveries=deliveries).packets
        found = [] if seen.no_brick else options.within(diagnosis.instance, arrangement, costs, seen.like, deliveries)
        if seen.free is not None and seen.like.cpu_quota is not None and seen.free < usable(seen.like.cpu_quota) and not seen.no_brick:
            part = options.leftover(diagnosis.instance, arrangement, costs, seen.free, deliveries)
            found = [part] if part is not None else []
        dying = {StartReplica(*which) for which in seen.dying}
        found = [one for one in found if not (isinstance(one.action, StartReplica) and replace(one.action, cores=None) in dying)]
        possible = found if seen.no_instance else [*found, _one_more(diagnosis.instance, seen, costs)]
        way = options.cheapest(possible, own / FULL - has, seen.free)
        if way is None:
            return None
        others = [other for other in possible if other.action != way.action]
        compared = f"; or {max(others, key=lambda other: other.per_core).words}" if others else ""
        evidence = f"{diagnosis.evidence}; predicted: {way.words}{compared}"
        return Suggestion("replicate" if way.action is None else "grow", evidence, diagnosis.instance, action=way.action)

    # ---- shrinking ----
    def _spare(self, seen: Observation) -> dict[BrickAction, Suggestion]:
        """What could go within instances: of the first instance where something can, whatever leaves most."""
        if seen.costs is None or set(seen.loads) != set(seen.running) or seen.no_brick is not None:
            return {}
        for instance in seen.running:
            diagnosis, arrangement = seen.diagnoses.get(instance), seen.arrangements.get(instance)
            if diagnosis is None or arrangement is None or (diagnosis.cause is not None and not self._copes(instance, seen)):
                continue
            own, deliveries = _own(instance, seen, seen.costs)
            left = [
                (capacity.capacity(seen.costs, options.processes(after), deliveries=deliveries).packets, action)
                for action, after in options.smaller(instance, arrangement, seen.like)
            ]
            can, action = max(left, key=lambda one: one[0], default=(0.0, None))
            if action is not None and own <= self.scaling.merge_target * can:
                what = "without it" if isinstance(action, StopReplica) else "together with its neighbours"
                evidence = f"{what} the instance would be {own / can:.0%} full: {own:.0f} of {can:.0f} packets/s"
                return {action: Suggestion("shrink", evidence, instance, action=action)}
        return {}

    def could_leave(self, seen: Observation) -> Suggestion | None:
        """The instance without which the rest is least full, if that is below the target. Without costs: as `water-marks` has it."""
        if seen.costs is None:
            return super().could_leave(seen)
        if len(seen.running) < 2 or set(seen.loads) != set(seen.running):
            return None
        found = []
        for leaving in seen.running:
            rest = [i for i in seen.running if i != leaving]
            found.append((_fullest(place(seen.owners, seen.weights, rest), rest, seen, seen.costs), leaving))
        worst, leaving = min(found, key=lambda one: (one[0], -one[1]))
        if worst > self.scaling.merge_target:
            return None
        return Suggestion("merge", f"without instance {leaving} none would be more than {worst:.0%} full", leaving)


def _own(instance: int, seen: Observation, costs: Costs) -> tuple[float, float]:
    """Packets/s of the instance's own sources, and packets and shadows for each of these."""
    counted = {i: one.counted for i, one in seen.diagnoses.items() if one.counted is not None}
    own, whole = counted.get(instance), sum(counted.values())
    if own is not None and own > 0 and set(counted) >= set(seen.running):
        return own, costs.deliveries_to(own / whole)
    deliveries = costs.deliveries(max(1, len(seen.running)))
    return seen.diagnoses[instance].offered / deliveries if own is None else own, deliveries


def _fullness(instance: int, seen: Observation, shadows: bool = True) -> float | None:
    """What comes, as the switch counts it, as a share of what the instance can take; None: not known."""
    diagnosis, arrangement, costs = seen.diagnoses.get(instance), seen.arrangements.get(instance), seen.costs
    if diagnosis is None or diagnosis.counted is None or not arrangement or costs is None:
        return None
    own, deliveries = _own(instance, seen, costs)
    return own / capacity.capacity(costs, options.processes(arrangement), deliveries=deliveries if shadows else 1.0).packets


def _fullest(owners: Owners, instances: list[int], seen: Observation, costs: Costs, fresh: capacity.Layout = ()) -> float:
    """How full the fullest of these instances would be if ownership were `owners`; `fresh`: how one that does not run yet is laid out."""
    whole = sum(_own(i, seen, costs)[0] for i in seen.running if i in seen.diagnoses)
    worst, total = 0.0, sum(seen.weights)
    for i, weight in carried(owners, seen.weights, instances).items():
        arrangement, share = seen.arrangements.get(i), weight / total
        layout = options.processes(arrangement) if arrangement else fresh
        worst = max(worst, share * whole / capacity.capacity(costs, layout, deliveries=costs.deliveries_to(share)).packets)
    return worst


def _one_more(hot: int, seen: Observation, costs: Costs) -> options.ScalingOption:
    """A further instance that takes buckets from the others, as far as buckets can be divided."""
    kinds, cores = costs.kinds, usable(seen.like.cpu_quota)
    fresh = capacity.chained(kinds, cores) if seen.like.placement == "chained" else capacity.separate(kinds, cores)
    new = max(seen.running) + 1
    then = [*seen.running, new]
    now, after = (
        _fullest(owners, running, seen, costs, fresh)
        for owners, running in ((seen.owners, list(seen.running)), (balance(seen.owners, seen.weights, then, into=new), then))
    )
    own = _own(hot, seen, costs)[0]
    gain = own / after - own / now if after > 0 and now > 0 else 0.0
    takes = (
        sum(one.cores for one in fresh) if seen.like.cpu_quota is not None else gain * sum(capacity.kind_us(costs, fresh).values()) / 1e6
    )
    return options.ScalingOption(None, gain, takes)
