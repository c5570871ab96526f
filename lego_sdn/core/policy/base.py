"""When to replicate, merge or rebalance: policies look at the load and suggest; the manager (`step`) may refuse.

A policy is a class, here or in a file beside; the configuration names it (`lego_sdn.core.policy.registry`). It keeps no state of its own:
what it
must remember between observations is a value that it gets and gives back, so the same observations always lead to the same suggestions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import BrickAction
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.assignment import Owners, balance, carried, place
from lego_sdn.core.facts.config import InstanceSettings, ScalingSettings
from lego_sdn.core.facts.reports import InstanceLoad
from lego_sdn.core.observe.diagnosis import Diagnosis


@dataclass(frozen=True, slots=True)
class Observation:
    """One round: the running instances, the loads of those that reported, and who owns what.

    weights  load by bucket, for dividing it (`plan.weights`)

    For policies that look into instances:
    diagnoses    by instance: what holds it up; arrangements: how its bricks lie in processes
    costs        of the bricks, as they are now (None: not known yet); like: what a further instance gets
    free         cores of the host that nobody has, however few; free_bytes: memory (None: unknown)
    violated     instances that do not keep the promised latency or loss; latency_ms: that is promised (None: nothing is)
    no_instance  why there can be no further instance; no_brick: why nothing within instances can be changed
    dying        (instance, kind) of which no replica is started now: they died young, or there are as many as there may be
    """

    running: tuple[int, ...]
    loads: Mapping[int, InstanceLoad]
    owners: Owners
    weights: tuple[float, ...]
    diagnoses: Mapping[int, Diagnosis] = field(default_factory=dict)
    arrangements: Mapping[int, Arrangement] = field(default_factory=dict)
    costs: Costs | None = None
    like: InstanceSettings = field(default_factory=InstanceSettings)
    free: float | None = None
    free_bytes: float | None = None
    violated: frozenset[int] = frozenset()
    latency_ms: float | None = None
    no_instance: str | None = None
    no_brick: str | None = None
    dying: frozenset[tuple[int, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a policy would do. `instance`: the one that is overloaded, or that may go; `evidence`: the figures, for the log.

    urgent  the rest after a change is not waited for: what was changed is reckoned with, and does not suffice
    """

    kind: Literal["none", "replicate", "merge", "rebalance", "grow", "shrink"] = "none"
    evidence: str = ""
    instance: int | None = None
    owners: Owners | None = None  # of a rebalance: what ownership should become
    action: BrickAction | None = None  # to grow or shrink within an instance
    urgent: bool = False


NOTHING = Suggestion()


@dataclass(frozen=True, slots=True)
class Trend:
    """Packets/s, smoothed, and by how much they change from one round to the next."""

    level: float
    slope: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Reports in a row: `over`, by instance, that it was overloaded; `under`, that one could have been spared; `spare`, that so could
    a brick, by what would then be done. `trend` of the whole load, where a policy follows it: it goes on while something is changed."""

    over: Mapping[int, int] = field(default_factory=dict)
    under: int = 0
    spare: Mapping[BrickAction, int] = field(default_factory=dict)
    trend: Trend | None = None


class Policy(Protocol):
    """Looks at one observation with what it remembers of those before."""

    name: ClassVar[str]

    def __init__(self, scaling: ScalingSettings) -> None: ...

    def suggest(self, memory: Memory, seen: Observation) -> tuple[Memory, Suggestion]: ...


class WaterMarks:
    """Grow when an instance is above the high-water mark several reports in a row; shrink when the rest could carry the load with ease.

    Overloaded: CPU share at or above `high_water`, or a queue above `queue_high`, or packets dropped. A rebalance is preferred to a
    replica where it takes every instance below the mark. Merging waits longer (`down_after`) and wants `merge_target`, which lies
    below the mark: quick to grow, slow to shrink, and no flapping in between.
    """

    name: ClassVar[str] = "water-marks"

    def __init__(self, scaling: ScalingSettings) -> None:
        self.scaling = scaling

    def suggest(self, memory: Memory, seen: Observation) -> tuple[Memory, Suggestion]:
        over = self.overloaded(memory, seen)
        leaving = None if over else self.could_leave(seen)
        memory = Memory(over, memory.under + 1 if leaving else 0)
        ripe = [i for i, count in over.items() if count >= self.scaling.up_after and i in seen.loads]
        if ripe:
            return memory, self.relieve(max(ripe, key=lambda i: (seen.loads[i].demand, -i)), seen)
        if leaving and memory.under >= self.scaling.down_after:
            return memory, leaving
        return memory, NOTHING

    def overloaded(self, memory: Memory, seen: Observation) -> dict[int, int]:
        """Instances that are overloaded, each with the reports in a row that say so. One that did not report is as it was."""
        high, queue = self.scaling.high_water, self.scaling.queue_high
        hot = {i for i, load in seen.loads.items() if load.cpu >= high or load.queue >= queue or load.drops > 0}
        silent = {i: count for i, count in memory.over.items() if i in seen.running and i not in seen.loads}
        return {i: silent.get(i) or memory.over.get(i, 0) + 1 for i in sorted({*hot, *silent})}

    def relieve(self, hot: int, seen: Observation) -> Suggestion:
        """Even the instances out if that suffices, else start one more."""
        load = seen.loads[hot]
        evidence = f"instance {hot} uses {load.cpu:.0%} of its CPU quota, queue {load.queue:.0%}, {load.drops:.0f} packets/s dropped"
        even = balance(seen.owners, seen.weights, seen.running)
        worst = max(self._shares(even, seen).values(), default=0.0)
        if even != seen.owners and worst < self.scaling.high_water:
            return Suggestion("rebalance", f"{evidence}; evened out, no instance would use more than {worst:.0%}", hot, even)
        return Suggestion("replicate", evidence, hot)

    def could_leave(self, seen: Observation) -> Suggestion | None:
        """The least loaded instance, if it is below the low-water mark and the rest would stay below the target with its buckets."""
        if len(seen.running) < 2 or set(seen.loads) != set(seen.running):
            return None  # without every report, nobody can tell what the rest could carry
        leaving = min(seen.running, key=lambda i: (seen.loads[i].demand, -i))
        rest = [i for i in seen.running if i != leaving]
        worst = max(self._shares(place(seen.owners, seen.weights, rest), seen).values())
        if seen.loads[leaving].demand > self.scaling.low_water or worst > self.scaling.merge_target:
            return None
        share = f"{seen.loads[leaving].cpu:.0%}"
        return Suggestion(
            "merge", f"instance {leaving} uses {share} of its CPU quota; without it none would use more than {worst:.0%}", leaving
        )

    def _shares(self, owners: Owners, seen: Observation) -> dict[int, float]:
        """CPU share of each owner if ownership were `owners`: the whole demand, divided as the buckets' load is."""
        demand = sum(load.demand for load in seen.loads.values())
        total = sum(seen.weights)
        instances = {owner for owner in owners if owner is not None}
        return {i: demand * weight / total for i, weight in carried(owners, seen.weights, instances).items()}
