"""Commands that are refused before anything of them is done: buckets that do not exist, instances that are full, a move during a move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.control.commands import refusal
from lego_sdn.core.control.events import Command, Loads, Steer
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.change_notes import Inexact, Refused
from lego_sdn.core.facts.config import Config, InstanceSettings
from lego_sdn.core.facts.reports import CaptureLoad
from lego_sdn.simulation.memory import InMemorySystem

CONFIG = Config(model="m.lego", instance=InstanceSettings(streams=2000))


@pytest.fixture
def world() -> InMemorySystem:
    made = InMemorySystem(replace(CONFIG, scaling=replace(CONFIG.scaling, min_instances=2, cooldown_s=0.01))).up().run(5)
    assert made.state.running == (1, 2)
    return made


def holding(world: InMemorySystem, streams: dict[int, int]) -> None:
    """A further round of load reports, in which instances hold so many streams."""
    world.now += 0.1
    reports = [
        replace(report, bricks=tuple(replace(brick, counters={"streams_hp": streams[report.instance]}) for brick in report.bricks))
        for report in world.loads().reports
    ]
    world.happen(Loads(tuple(reports)))


def move(world: InMemorySystem, **what) -> str | None:
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
    assert [type(action) for action in actions] == [Refused]
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
    assert [(note.instance, note.reason, note.text) for note in actions if isinstance(note, Inexact)] == [
        (1, "hold-expired", "instance 1 waited too long for a move to go on: 34 packets that it held were taken in as they were"),
        (2, "held-dropped", "instance 2 had no room for 5 packets that had to wait: they are lost"),
        (2, "held-shadows-dropped", "instance 2 had no room for 6 shadows that had to wait: later scores may differ"),
    ]
    world.happen(Loads(tuple(later)))
    _, actions = step(world.state, Loads(tuple(later)), world.now)
    assert not [note for note in actions if isinstance(note, Inexact)], "once"


def waited(instance: int) -> CaptureLoad:
    return CaptureLoad(
        0, 0, 0.0, **({"holds_expired": 1, "expired": 34} if instance == 1 else {"held_dropped": 5, "held_shadows_dropped": 6})
    )


# ---- what the scaler does by itself ----
def of_four(total: float, streams: dict[int, int], **scaling) -> InMemorySystem:
    """Three instances with `total` packets/s, of which they hold so many streams."""
    scaling = {"min_instances": 3, "max_instances": 3, "cooldown_s": 0.01} | scaling
    made = InMemorySystem(replace(CONFIG, scaling=replace(CONFIG.scaling, **scaling)), lambda bucket, time: total / 64).up().run(5)
    assert made.state.running == (1, 2, 3)
    made.host.streams = streams
    return made.run(1)


def spared(made: InMemorySystem) -> InMemorySystem:
    """One instance more than must be."""
    made.state = replace(made.state, config=replace(made.config, scaling=replace(made.config.scaling, min_instances=1)))
    made.config = made.state.config
    return made


def test_a_merge_takes_the_heirs_that_have_room():
    made = spared(of_four(300.0, {1: 900, 2: 1999, 3: 900}))
    before = made.owned
    made.happen(Command("merge", 3))
    assert {new for bucket, new in made.owned.items() if before[bucket] == 3} == {1}
    assert {made.owned[bucket] for bucket, old in before.items() if old == 2} == {2}, "what is not concerned stays"
    assert "buckets go to instance 1: asked by the operator" in made.notes("merge")[-1].text


@pytest.mark.slow
def test_a_merge_into_instances_that_are_full_is_refused_whoever_wants_it():
    made = spared(of_four(300.0, {1: 1800, 2: 1900, 3: 1700}))
    before, why = made.owned, "is full: it holds"
    assert why in refusal(made.state, Command("merge", 3), made.now)
    made.run(60)
    assert made.owned == before
    assert made.state.running == (1, 2, 3)
    (refused,) = made.notes("refused")
    assert refused.text.startswith("merge refused: instance ")
    assert why in refused.text
    made.host.streams = {1: 100, 2: 100, 3: 100}
    made.run(30)
    assert len(made.state.running) < 3


def test_a_rebalance_into_an_instance_that_is_full_is_refused():
    made = of_four(2000.0, {1: 100, 2: 1990, 3: 1990})
    lopsided = {bucket: 1 if bucket < 50 else 2 + bucket % 2 for bucket in range(64)}
    made.state = replace(made.state, owners=tuple(lopsided[bucket] for bucket in range(64)))
    made.run(20)
    assert made.owned == lopsided
    assert any("rebalance refused: instance 2 is full: it holds 1990 streams" in note.text for note in made.notes("refused"))
    made.host.streams = {}
    made.run(20)
    assert made.owned != lopsided


def test_without_exactness_nobody_is_asked_for_room():
    made = spared(of_four(300.0, {1: 2000, 2: 2000, 3: 2000}))
    made.state = replace(made.state, config=replace(made.config, exact=False))
    assert refusal(made.state, Command("merge", 3), made.now) is None
