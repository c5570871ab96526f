"""Policies against loads: how often the promise is missed, what it takes, how restless it is, and what an oracle would have needed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.actions import StartReplica
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings
from lego_sdn.simulation import least, oracle
from lego_sdn.simulation.loads import LOADS, SECONDS
from lego_sdn.simulation.recorded import like_the_papers
from lego_sdn.simulation.world import TAKES, World

PROMISE_S = 1.0
TOLERANCE = 0.01  # share of a second's packets that may be late
QUOTA = 1.0  # a core for each brick, as in the paper
SEEDS_TO_TUNE, SEEDS_TO_TEST = (1, 2, 3), (11, 12, 13, 14, 15)


@dataclass(frozen=True)
class PolicyOutcome:
    """One run. misses: share of seconds in which the promise was not kept; brick_seconds: quotas of a brick, times seconds;
    oracle: the same of who knows the future; least: that could be, if it is known."""

    policy: str
    load: str
    seed: int
    misses: float
    brick_seconds: float
    oracle: float
    actions: int
    least: float = 0.0

    @property
    def times(self) -> float:
        """Brick-seconds against the oracle's."""
        return self.brick_seconds / self.oracle

    @property
    def times_least(self) -> float:
        """Against the least that could be."""
        return self.brick_seconds / self.least if self.least else 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"times": self.times, "times_least": self.times_least}


def config_of(policy: str | None, placement: str = "separate", **scaling: Any) -> Config:
    """As shipped, with a policy (None: the default one) and a quota for each process."""
    chosen = replace(ScalingSettings(), **({} if policy is None else {"policy": policy}), **scaling)
    return Config(model="simulated", instance=InstanceSettings(cpu_quota=QUOTA, placement=placement), scaling=chosen)


def simulate(config: Config, load: str, seed: int, costs: Costs | None = None) -> World:
    """One run of a load."""
    return World(config, costs or like_the_papers(), LOADS[load](seed), PROMISE_S).run(SECONDS)


def evaluate(config: Config, load: str, seed: int, costs: Costs | None = None) -> PolicyOutcome:
    """One run, and the oracle's."""
    world = simulate(config, load, seed, costs)
    missed = list(world.misses(TOLERANCE))
    options = oracle.settings(world.costs, world.layout, world.quota)
    wanted = oracle.needed(world.load, world.full, SECONDS, PROMISE_S)
    best = oracle.brick_seconds(options, wanted, TAKES[StartReplica])
    used = sum(one.bricks for one in world.intervals)
    return PolicyOutcome(config.scaling.policy, load, seed, sum(missed) / len(missed), used, best, world.actions)


@cache
def least_of(load: str, seed: int, placement: str) -> float:
    """The least brick-seconds that could be, with the recorded costs: for every policy the same."""
    world = World(config_of(None, placement), like_the_papers(), LOADS[load](seed), PROMISE_S)
    rules = least.WaitRules(PROMISE_S, TAKES[StartReplica], world.config.scaling.cooldown_s)
    options = oracle.settings(world.costs, world.layout, world.quota)
    return least.brick_seconds(options, least.arrivals(world.load, world.full, SECONDS), rules)
