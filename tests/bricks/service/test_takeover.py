"""The standby takes over from an instance that dies, at any moment: every packet has a score, with the bits of the unsplit run."""

from __future__ import annotations

import numpy as np
import pytest

from lego_sdn.simulation.standby import ControllerDied, InstancesWithStandby
from tests.bricks.service.test_deaths import AFTER, BEFORE, CALLS, NEW, OLD, OTHER
from tests.bricks.service.test_handover import check, split, talk

MORE_CALLS = [*CALLS, "abandon"]


def begun(seed: int, before: dict[int, int] | None = None, packets: int = 1200) -> InstancesWithStandby:
    """Some traffic, then a standby, then some more."""
    rows = talk(seed, packets)
    world = InstancesWithStandby(rows, before or split(np.random.default_rng(seed), [1, 2, 3]), seed)
    world.send(300)
    world.stand_by()
    world.send(int(world.random.integers(0, 300)))
    return world


def heirs(world: InstancesWithStandby, wanted: dict[int, int]) -> dict[int, int]:
    """The assignment, with others in the place of those that died."""
    alive = sorted(set(world.owned().values()) - world.dead) or [world.twin]
    return {bucket: owner if owner not in world.dead else alive[bucket % len(alive)] for bucket, owner in wanted.items()}


def check_exact(world: InstancesWithStandby) -> None:
    assert all(one.error is None and one.complete for one in world.taken), world.taken
    check(world, world.packets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_an_owner_dies(seed):
    world = begun(seed)
    world.dead.add(dead := int(world.random.integers(1, 4)))
    world.send(int(world.random.integers(0, 200)))
    world.change(heirs(world, world.owned()))
    assert [one.of.dead for one in world.taken] == [dead]
    world.send(200)
    check_exact(world)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(5))
def test_an_owner_dies_and_the_controller_in_the_takeover(step):
    world = begun(step, dict(BEFORE))
    standby = world.twin
    world.dead.add(OLD)
    world.stop_after = step
    with pytest.raises(ControllerDied):
        world.change(heirs(world, BEFORE))
    world.stop_after = None
    world.send(100)
    world.restart(heirs(world, BEFORE), standby)
    world.send(100)
    check_exact(world)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_one_after_the_other_dies_each_time_with_a_new_standby(seed):
    world = begun(seed)
    for _ in range(3):
        dead = int(world.random.choice(sorted(set(world.owned().values()))))
        world.dead.add(dead)
        world.send(int(world.random.integers(0, 100)))
        world.change(heirs(world, world.owned()))
        world.stand_by()
    assert len(world.taken) == 3
    check_exact(world)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1))
@pytest.mark.parametrize("victim", [OLD, NEW], ids=["old owner", "new owner"])
@pytest.mark.parametrize("method", MORE_CALLS)
def test_an_instance_dies_at_any_call_of_a_move(method, victim, seed):
    world = begun(seed, dict(BEFORE))
    world.fatal = (method, victim)
    world.change(AFTER)
    if method == "abandon":
        world.fatal = None  # nobody had failed
    elif victim not in world.dead:
        pytest.fail(f"nobody died at {method}")
    if world.dead:
        world.send(50)
        world.change(heirs(world, AFTER), world.dead - {one.of.dead for one in world.taken})
        assert [one.of.dead for one in world.taken] == [victim]
    world.send(200)
    check_exact(world)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_an_instance_dies_that_has_given_everything_away_and_not_scored_it_yet(seed):
    world = begun(seed, dict(BEFORE))
    others = {bucket: OTHER if owner == OLD else owner for bucket, owner in BEFORE.items()}
    world.change(others)
    world.dead.add(OLD)
    world.send(100)
    world.change(others, {OLD})
    assert [(one.of.dead, one.of.buckets) for one in world.taken] == [(OLD, ())]
    world.dead.add(NEW)
    world.send(100)
    world.change(heirs(world, others))
    assert len(world.taken) == 2
    check_exact(world)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1))
def test_nobody_misses_a_standby_that_dies(seed):
    world = begun(seed, dict(BEFORE))
    world.dead.add(world.twin or 0)
    world.change(AFTER)
    world.twin = None
    world.change(BEFORE)
    assert world.taken == []
    check_exact(world)
