"""The policy that is shipped, on loads that it was not tuned on, against an oracle that knows the future."""

from __future__ import annotations

import itertools
import random

import pytest

from lego_sdn.core.cost.capacity import capacity, chained, separate
from lego_sdn.core.facts.config import ScalingSettings
from lego_sdn.simulation import least
from lego_sdn.simulation.evaluation import SEEDS_TO_TEST, SEEDS_TO_TUNE, TOLERANCE, config_of, evaluate, least_of, simulate
from lego_sdn.simulation.loads import BUCKETS, LOADS
from lego_sdn.simulation.oracle import brick_seconds, settings
from lego_sdn.simulation.recorded import like_the_papers, recorded


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "seed"), [("chained", 12), ("separate", 11)])
@pytest.mark.parametrize("load", LOADS)
def test_the_default_keeps_the_promise_with_little_more_than_the_oracle(load, placement, seed):
    """Misses at most 1 % of the seconds, takes at most 1.25 times the oracle's brick-seconds, on seeds that nothing was tuned on."""
    config = config_of(None, placement)
    assert config.scaling == ScalingSettings()
    assert seed in SEEDS_TO_TEST
    assert seed not in SEEDS_TO_TUNE
    outcome = evaluate(config, load, seed)
    assert outcome.misses <= 0.01
    assert outcome.times <= 1.25
    assert outcome.actions >= 1, "a load that asks for nothing shows nothing"


@pytest.mark.slow
def test_the_least_that_could_be_lets_packets_wait_where_the_oracle_does_not():
    """One second in which a fifth more comes than a brick takes: who may be late by a second needs no other brick for it."""
    costs = like_the_papers()
    options = settings(costs, chained(costs.kinds), 1.0)
    full, rules = options[0].packets, least.WaitRules(1.0, 0.2, 5.0)
    assert least.brick_seconds(options, [0.5 * full, 1.2 * full, 0.5 * full], rules) == 3
    assert least.brick_seconds(options, [0.5 * full] + [1.2 * full] * 20, rules) > 21 + 5
    assert least.brick_seconds(options, [0.5 * full] * 10 + [1.9 * full] + [0.5 * full] * 10, least.WaitRules(0.1, 0.2, 5.0)) > 21 + 1
    assert least_of("saw", 12, "chained") <= evaluate(config_of(None, "chained"), "saw", 12).oracle


@pytest.mark.slow
def test_without_scaling_the_promise_is_broken():
    world = simulate(config_of(None, max_instances=1, high_water=1.0, up_after=1000), "square", 11)
    assert sum(world.misses(TOLERANCE)) > 60


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_one_another():
    runs = [simulate(config_of(None), "mirai", seed) for seed in (12, 12, 13)]
    assert runs[0].notes == runs[1].notes
    assert runs[0].intervals == runs[1].intervals
    assert runs[0].notes != runs[2].notes


@pytest.mark.slow
def test_nothing_is_lost_from_the_books():
    """What came was scored, was lost, or waits."""
    world = simulate(config_of("water-marks", max_instances=2), "square", 12)
    came = sum(one.arrived + one.lost for one in world.instances.values())
    there = sum(one.left + one.lost + one.backlog for one in world.instances.values())
    assert came == pytest.approx(there)
    scored, lost = sum(one.scored for one in world.intervals), sum(one.lost for one in world.intervals)
    assert scored > 0
    assert all(one.backlog >= -1e-6 for one in world.instances.values())
    assert lost >= 0


@pytest.mark.parametrize("name", LOADS)
def test_loads_are_what_they_say(name):
    load, rng = LOADS[name](5), random.Random(1)
    for _ in range(50):
        seconds = rng.uniform(0, 599.9)
        assert 0 < load.level(seconds) < 4
        assert len(load.shares(seconds)) == BUCKETS
        assert sum(load.shares(seconds)) == pytest.approx(1.0)


def test_an_oracle_pays_for_what_is_needed_and_for_starting_it():
    costs = like_the_papers()
    layout = separate(costs.kinds)
    options = settings(costs, layout, 1.0)
    full = capacity(costs, layout).packets
    assert options[0].bricks == 5
    assert [a.packets < b.packets for a, b in itertools.pairwise(options)] == [True] * (len(options) - 1)
    assert brick_seconds(options, [0.5 * full] * 10, 0.2) == 50
    assert brick_seconds(options, [0.5 * full, 1.5 * full, 0.5 * full], 0.2) == pytest.approx(5 + 6 + 5 + 0.2)


def test_slowed_bricks_keep_their_proportions():
    slow, fast = like_the_papers(), recorded()
    layout = chained(fast.kinds)
    assert capacity(fast, layout).packets / capacity(slow, layout).packets == pytest.approx(3000, rel=0.01)
