"""Commands that are refused before anything of them is done: buckets that do not exist, instances that are full, a move during a move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.commands import refusal
from lego_sdn.core.config import Config, Instance
from lego_sdn.core.events import Command, Loads, Note, Steer
from lego_sdn.core.load import CaptureLoad
from lego_sdn.core.step import step
from tests.fakes.world import World

CONFIG = Config(model="m.lego", instance=Instance(streams=2000))


@pytest.fixture
def world() -> World:
    made = World(replace(CONFIG, scaling=replace(CONFIG.scaling, min_instances=2, cooldown_s=0.01))).up().run(5)
    assert made.state.running == (1, 2)
    return made


def holding(world: World, streams: dict[int, int]) -> None:
    """A round of load reports in which instances hold so many streams."""
    reports = [
        replace(report, bricks=tuple(replace(brick, counters={"streams_hp": streams[report.instance]}) for brick in report.bricks))
        for report in world.loads().reports
    ]
    world.happen(Loads(tuple(reports)))


def move(world: World, **what) -> str | None:
    return refusal(world.state, Command("move", **what), world.now)


def test_an_instance_that_is_full_gets_no_more_buckets(world):
    holding(world, {1: 1000, 2: 1900})
    all_of_1 = tuple(bucket for bucket, owner in world.owned.items() if owner == 1)
    told = move(world, instance=2, buckets=all_of_1)
    assert told == "instance 2 is full: it holds 1900 streams of kind hp of 2000, and about 1000 would come"
    assert move(world, instance=1, buckets=tuple(range(64))) is not None
    holding(world, {1: 1000, 2: 900})
    assert move(world, instance=2, buckets=all_of_1) is None
    before = world.owned
    assert move(world, instance=2, buckets=tuple(bucket for bucket, owner in before.items() if owner == 2)) is None, "nothing comes"


@pytest.mark.parametrize("buckets", [(64,), (-1,), (3, 1000), ()])
def test_a_bucket_that_does_not_exist_is_refused_and_nothing_moves(world, buckets):
    before = world.owned
    assert move(world, instance=2, buckets=buckets).startswith("wanted buckets from 0 to 63, found ")
    actions = world.happen(Command("move", 2, buckets))
    assert [type(action) for action in actions] == [Note]
    assert world.owned == before


def test_several_owners_at_once_or_none(world):
    assert move(world, assignment=((0, 1), (1, 9))) == "instance 9 does not run; there are [1, 2]"
    assert move(world, assignment=((0, 1), (70, 2))) == "wanted buckets from 0 to 63, found [70]"
    turned = tuple((bucket, 3 - owner) for bucket, owner in world.owned.items())
    (steer,) = [action for action in world.happen(Command("move", assignment=turned)) if isinstance(action, Steer)]
    assert dict(steer.assignment) == dict(turned)


def test_a_move_during_a_move_is_refused(world):
    world.mute.add(Steer)
    of_1 = tuple(bucket for bucket, owner in world.owned.items() if owner == 1)
    world.happen(Command("move", 2, of_1))
    wanted = world.owned
    assert move(world, instance=1, buckets=(5,)) == "a change is in flight (move)"
    world.happen(Command("move", 1, (5,)))
    assert world.owned == wanted == dict.fromkeys(range(64), 2)


def test_holds_that_end_without_their_mover_and_rows_without_room_are_told(world):
    before = world.loads().reports
    later = [replace(report, time=report.time + 1, capture=waited(report.instance)) for report in before]
    world.happen(Loads(before))
    _, actions = step(world.state, Loads(tuple(later)), world.now)
    assert [(note.instance, note.text) for note in actions if isinstance(note, Note) and note.kind == "inexact"] == [
        (1, "instance 1 waited too long for a move to go on: 34 packets that it held were taken in as they were"),
        (2, "instance 2 had no room for 5 packets that had to wait: they are lost"),
        (2, "instance 2 had no room for 6 shadows that had to wait: later scores may differ"),
    ]
    world.happen(Loads(tuple(later)))
    _, actions = step(world.state, Loads(tuple(later)), world.now)
    assert not [note for note in actions if isinstance(note, Note) and note.kind == "inexact"], "once"


def waited(instance: int) -> CaptureLoad:
    return CaptureLoad(
        0, 0, 0.0, **({"holds_expired": 1, "expired": 34} if instance == 1 else {"held_dropped": 5, "held_shadows_dropped": 6})
    )
