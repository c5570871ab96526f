"""The policy that grows and shrinks brick by brick (paper, Section III-C): first within an instance, then by whole instances."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lego_sdn.core import capacity, relief
from lego_sdn.core.bottleneck import Diagnosis
from lego_sdn.core.brick_actions import Arrangement, BrickAction, Chain, StartReplica, StopReplica, kind_of
from lego_sdn.core.cost import Costs
from lego_sdn.core.load import usable
from lego_sdn.core.quotas import without
from lego_sdn.core.scaling import NOTHING, Memory, Observation, Suggestion, WaterMarks


class Bricks(WaterMarks):
    """Overload is met, in this order, by: evening out the instances' buckets; CPU from bricks of the instance that have too much; whatever
    brings the load below the high-water mark at the least CPU, be it a process of its own for a chained brick that is the bottleneck, a
    replica of it, or one more instance. With CPU to spare, replicas go first, then separated bricks are chained again, then instances go.

    Overloaded is what `water-marks` calls so, and an instance that breaks the promise (`sla`) because of one of its bricks.
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
        return {i: count for i, count in sorted(found.items()) if not self._catches_up(i, seen)}

    def _catches_up(self, instance: int, seen: Observation) -> bool:
        """It is busy with what was left waiting when it was too slow; as it is now, it can take what comes."""
        return seen.costs is not None and self._suffices(instance, seen, seen.costs.deliveries(len(seen.running)))

    def _may_wait(self, instance: int, seen: Observation) -> bool:
        """Shadows left aside, it could take what comes: perhaps it catches up."""
        return self._suffices(instance, seen, 1.0)

    def _suffices(self, instance: int, seen: Observation, deliveries: float) -> bool:
        diagnosis, arrangement = seen.diagnoses.get(instance), seen.arrangements.get(instance)
        if diagnosis is None or diagnosis.counted is None or not arrangement or seen.costs is None:
            return False
        if diagnosis.growing or not diagnosis.behind:
            return False
        can = capacity.capacity(seen.costs, relief.processes(arrangement), deliveries=deliveries).packets
        return diagnosis.counted <= self.scaling.high_water * can

    # ---- growing ----
    def _grow(self, hot: int, seen: Observation) -> Suggestion:
        whole = self.relieve(hot, seen)
        diagnosis, arrangement = seen.diagnoses.get(hot), seen.arrangements.get(hot)
        if whole.kind == "rebalance" or diagnosis is None or diagnosis.slow is None or arrangement is None or seen.costs is None:
            return whole
        if self.scaling.reallocate and seen.no_brick is None:
            quotas = relief.reallocation(diagnosis, arrangement, (self.scaling.high_water + self.scaling.merge_target) / 2)
            if quotas is not None:
                return Suggestion(
                    "grow", f"{diagnosis.evidence}; the CPU that others of its bricks have to spare is enough", hot, action=quotas
                )
        return self._cheapest(diagnosis, arrangement, seen.costs, seen) or whole

    def _cheapest(self, diagnosis: Diagnosis, arrangement: Arrangement, costs: Costs, seen: Observation) -> Suggestion | None:
        found = relief.ways(diagnosis, arrangement, costs, seen.like, len(seen.running))
        possible = [way for way in found if _possible(way.action, seen)]
        has = capacity.capacity(costs, relief.processes(arrangement)).packets
        way = relief.cheapest(possible, diagnosis.offered / self.scaling.high_water - has, seen.free)
        if way is None:
            return None
        others = [other for other in possible if other.action != way.action]
        compared = f"; or {max(others, key=lambda other: other.gain / other.cores).words}" if others else ""
        evidence = f"{diagnosis.evidence}; predicted: {way.words}{compared}"
        return Suggestion("replicate" if way.action is None else "grow", evidence, diagnosis.instance, action=way.action)

    # ---- shrinking ----
    def _spare(self, seen: Observation) -> dict[BrickAction, Suggestion]:
        """What could go within instances: of the first instance where something can."""
        if set(seen.loads) != set(seen.running) or seen.no_brick is not None:
            return {}
        for instance in seen.running:
            diagnosis, arrangement = seen.diagnoses.get(instance), seen.arrangements.get(instance)
            if diagnosis is None or arrangement is None or diagnosis.cause is not None:
                continue
            found = self._replica_to_spare(diagnosis, arrangement) or self._brick_to_chain(diagnosis, arrangement, seen)
            if found is not None and found.action is not None:
                return {found.action: found}
        return {}

    def _replica_to_spare(self, diagnosis: Diagnosis, arrangement: Arrangement) -> Suggestion | None:
        """The youngest replica of a kind whose others could carry its load with ease."""
        for kind in arrangement.graph:
            bricks = arrangement.of_kind(kind)
            homes = [arrangement.process_of(brick) for brick in bricks]
            last = homes[-1] if len(bricks) > 1 else None
            if last is None or len(last.bricks) > 1:
                continue
            cores = sum(one.cores for one in diagnosis.of_kind(kind))
            quotas = without(arrangement, last.process)
            share = cores / sum(usable(quotas[home.process]) for home in homes[:-1] if home is not None)
            if share <= self.scaling.merge_target:
                evidence = f"without it no {kind} would use more than {share:.0%} of its CPU quota"
                return Suggestion("shrink", evidence, diagnosis.instance, action=StopReplica(diagnosis.instance, bricks[-1]))
        return None

    def _brick_to_chain(self, diagnosis: Diagnosis, arrangement: Arrangement, seen: Observation) -> Suggestion | None:
        """A brick that was separated, and that would fit into its neighbours' process again."""
        if seen.like.placement != "chained":
            return None
        home = max(arrangement.processes, key=lambda one: len(one.bricks), default=None)
        if home is None:
            return None
        for one in arrangement.processes:
            kind = kind_of(one.bricks[0])
            if one is home or len(one.bricks) > 1 or len(arrangement.of_kind(kind)) > 1:
                continue
            cores = sum(figures.cores for figures in diagnosis.bricks if figures.process in (one.process, home.process))
            share = cores / usable(without(arrangement, one.process)[home.process])
            if share <= self.scaling.merge_target:
                evidence = f"together with its neighbours it would use {share:.0%} of their CPU quota"
                return Suggestion("shrink", evidence, diagnosis.instance, action=Chain(diagnosis.instance, kind))
        return None


def _possible(action: BrickAction | None, seen: Observation) -> bool:
    """None: a further instance."""
    if action is None or seen.no_brick is not None:
        return action is None and seen.no_instance is None
    return not (isinstance(action, StartReplica) and (action.instance, action.kind) in seen.dying)
