"""An instance that dies at any call of a move: what it held is lost with it, nothing else, and nobody else's scores change."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import extract
from bricks.records.packets import bucket_of
from lego_sdn.simulation.moves import MovingInstances
from tests.bricks.service.test_handover import BUCKETS, talk

CALLS = ["hold", "cut", "settled", "consumed", "give_streams", "take_streams", "give_rows", "take_rows", "release"]
OLD, NEW, OTHER = 1, 2, 3
BEFORE = {0: OLD, 1: OLD, 2: OLD, 3: NEW, 4: NEW, 5: OTHER, 6: OTHER, 7: OTHER}
AFTER = BEFORE | {0: NEW, 1: NEW, 5: OLD}  # 5 goes the other way: both are givers and takers


def owned(instance: int) -> set[int]:
    """Buckets that it has before or after the move."""
    return {bucket for owners in (BEFORE, AFTER) for bucket, owner in owners.items() if owner == instance}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("victim", [OLD, NEW], ids=["old owner", "new owner"])
@pytest.mark.parametrize("method", CALLS)
def test_an_instance_that_dies_at_any_call(method, victim, seed):
    packets = talk(seed)
    world = MovingInstances(packets, BEFORE, seed)
    world.send(700)
    world.fatal = (method, victim)
    moved = world.move(AFTER)
    assert victim in world.dead
    assert all(victim in (one.handover.old, one.handover.new) for one in moved if one.error)
    heirs = [instance for instance in (OLD, NEW, OTHER) if instance != victim]
    now = {bucket: heirs[bucket % 2] if owner == victim else owner for bucket, owner in AFTER.items()}
    lost = world.move(now)  # as the controller does when it hears of the death
    assert {one.error for one in lost if one.handover.old == victim} == {f"instance {victim} does not run"}
    end = world.at
    world.send(500)
    found, unsplit = world.finish(), extract(packets)  # `finish` finds no packet scored twice
    sources = bucket_of(packets, BUCKETS).astype(int)
    missing = [seq for seq in range(len(packets)) if seq not in found]
    assert {int(sources[seq]) for seq in missing} <= owned(victim)
    assert all(seq < end for seq in missing), "after the rules follow, nothing is lost any more"
    others = np.flatnonzero(~np.isin(sources, list(owned(victim))))
    assert [seq for seq in others.tolist() if found[seq].tobytes() != unsplit[seq].tobytes()] == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", [OLD, NEW], ids=["old owner", "new owner"])
@pytest.mark.parametrize("method", CALLS)
def test_an_owner_dies_and_the_controller_with_it(method, victim):
    """The controller that comes finishes the move with those that are left, as it does when an instance is gone meanwhile."""
    packets = talk(40, 1500)
    world = MovingInstances(packets, BEFORE, 40)
    world.send(500)
    world.fatal = (method, victim)
    world.move(AFTER, stop_after=AfterADeath(world))
    assert victim in world.dead
    now, heirs = dict(BEFORE), [instance for instance in (OLD, NEW, OTHER) if instance != victim]
    for instance in heirs:
        now |= dict.fromkeys(world.call(instance, "taken", 1), instance)
    world.owners = now
    world.move({bucket: heirs[bucket % 2] if owner == victim else owner for bucket, owner in AFTER.items()})
    for instance in heirs:
        world.call(instance, "release", 1, None)
    end = world.at
    world.send(300)
    found, unsplit = world.finish(), extract(packets)
    sources = bucket_of(packets, BUCKETS).astype(int)
    missing = [seq for seq in range(len(packets)) if seq not in found]
    assert {int(sources[seq]) for seq in missing} <= owned(victim)
    assert all(seq < end for seq in missing)
    others = np.flatnonzero(~np.isin(sources, list(owned(victim))))
    assert [seq for seq in others.tolist() if found[seq].tobytes() != unsplit[seq].tobytes()] == []


class AfterADeath:
    """Equal to the number of the step after the one in which somebody died: there the mover dies, too."""

    def __init__(self, world: MovingInstances) -> None:
        self.world = world

    def __eq__(self, count: object) -> bool:
        return bool(self.world.dead)

    __hash__ = None
