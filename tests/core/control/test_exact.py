"""Since when an instance is exact: every loss sets it back, is told when it begins, and stays in the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lego_sdn.core.control.events import AgentUp, Disturbed, Loads, Running, Steered, SwitchUp
from lego_sdn.core.control.exact import LOSSES, ODD, ONSET_S
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.change_notes import Inexact
from lego_sdn.core.facts.config import Config, ScalingSettings
from lego_sdn.core.facts.exact_since import ExactSince
from lego_sdn.core.facts.reports import BrickLoad, Report
from lego_sdn.core.traffic.handover import Handover, Moved
from lego_sdn.simulation.memory import DPID, InMemorySystem
from tests.examples import few_in_quick

CONFIG = Config(model="m", scaling=ScalingSettings(policy="water-marks", min_instances=2, max_instances=2, cooldown_s=0.01))


@pytest.fixture
def world() -> InMemorySystem:
    """Two instances with traffic, whose reports have stamps."""
    made = InMemorySystem(CONFIG, lambda bucket, time: 1.0).up().run(5)
    assert made.state.running == (1, 2)
    return made


def fact(made: InMemorySystem, instance: int) -> ExactSince:
    return made.state.exact[instance]


def told(made: InMemorySystem) -> list[tuple[int | None, str]]:
    return [(note.instance, note.text) for note in made.notes("inexact")]


def report(made: InMemorySystem, instance: int, change: Callable[[Report], Report]) -> None:
    """The next round, in which an instance reports what `change` makes of its report."""
    made.now += 0.5
    reports = (one if one.instance != instance else change(one) for one in made.loads().reports)
    made.happen(Loads(tuple(replace(one, time=made.now) for one in reports)))


def with_counter(name: str, total: int) -> Callable[[Report], Report]:
    """Wherever a report has that counter: of the interface, of a brick, or of what a brick dropped."""

    def change(one: Report) -> Report:
        assert one.capture is not None
        brick: BrickLoad = one.bricks[0]
        if name in one.capture.__slots__:
            return replace(one, capture=replace(one.capture, **{name: total}))
        if name == "lost":
            return replace(one, bricks=(replace(brick, dropped={"lost": total}),))
        return replace(one, bricks=(replace(brick, counters={("evicted_hp" if name == "evicted" else name): total}),))

    return change


def test_without_a_loss_an_instance_is_exact_since_its_start(world):
    world.run(20)
    assert {i: (one.reason, one.sure_until, one.losses) for i, one in world.state.exact.items()} == {
        1: ("start", None, {}),
        2: ("start", None, {}),
    }
    assert told(world) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", few_in_quick(LOSSES, 3))
def test_every_counter_of_a_loss_sets_its_instance_back_from_before_it_grew(world, name):
    stamped = with_counter("next_stamp", 700)
    for _ in range(4):
        report(world, 2, stamped)
    before = world.now
    for _ in range(2):
        report(world, 2, lambda one: with_counter("next_stamp", 900)(with_counter(name, 3)(one)))
    found = fact(world, 2)
    assert (found.reason, found.losses) == (LOSSES[name].reason, {LOSSES[name].reason: 3})
    assert found.sure_until < before < found.since, "the loss came after the report before it was asked for"
    assert found.stamp == 700, "what was taken before is exact"
    assert fact(world, 1).sure_until is None
    assert [instance for instance, _ in told(world)] == [2], "once, though it is reported again"


@pytest.mark.parametrize("name", ODD)
def test_packets_that_cannot_be_split_are_told_once_and_spoil_no_score(world, name):
    for total in (0, 3, 7, 9):
        report(world, 2, with_counter(name, total))
    found = [note for kind in ("switch", "foreign") for note in world.notes(kind) if note.instance == 2]
    assert [note.kind for note in found] == [ODD[name][0]]
    assert "3 more" in found[0].text
    assert fact(world, 2).losses == {}
    assert fact(world, 2).sure_until is None


def test_counters_of_a_process_that_is_new_count_from_zero(world):
    report(world, 1, with_counter("kernel_drops", 5))
    report(world, 1, lambda one: replace(with_counter("kernel_drops", 2)(one), pid=one.pid + 1))
    assert fact(world, 1).losses == {"kernel-drops": 7}


def test_a_loss_that_goes_on_is_told_once_and_again_after_it_was_over(world):
    total = 0
    for _ in range(100):
        total += 1
        report(world, 1, with_counter("kernel_drops", total))
    assert len(told(world)) == 1, "not in every period"
    assert fact(world, 1).losses == {"kernel-drops": 100}
    assert world.now - fact(world, 1).since < 0.1
    since = fact(world, 1).since
    for _ in range(round(2 * ONSET_S) + 2):
        report(world, 1, with_counter("kernel_drops", total))
    assert fact(world, 1).since == since
    report(world, 1, with_counter("kernel_drops", total + 1))
    assert len(told(world)) == 2


def test_what_the_switch_cannot_put_out_is_lost(world):
    world.happen(replace(world.loads(), lost={world.state.members[2].ofport: 3.0}))
    assert (fact(world, 2).reason, fact(world, 1).sure_until) == ("switch-drops", None)


def test_gaps_of_stamps_count_where_one_instance_gets_everything():
    config = replace(CONFIG, scaling=replace(CONFIG.scaling, min_instances=1, max_instances=1))
    one = InMemorySystem(config, lambda bucket, time: 1.0).up().run(5)
    for gaps in (0, 9, 0, 0):  # packets that were late fill theirs
        report(one, 1, with_counter("gaps", gaps))
    assert told(one) == []
    for _ in range(2):
        report(one, 1, with_counter("gaps", 4))
    assert fact(one, 1).losses == {"gap": 4}


def test_gaps_of_several_instances_are_packets_of_the_others(world):
    for gaps in range(0, 1000, 100):
        report(world, 1, with_counter("gaps", gaps))
    assert told(world) == []


@pytest.mark.slow
def test_a_death_takes_streams_from_those_who_get_the_buckets(world):
    world.kill(1)
    assert (fact(world, 2).reason, fact(world, 2).sure_until) == ("streams-lost", world.now)
    world.run(10)
    assert world.state.running == (1, 2), "another one came"


def test_the_death_of_all_is_told_of_the_one_that_starts_then(world):
    world.kill(2)
    world.kill(1)
    world.run(10)
    assert world.state.running == (1, 2)
    assert any(fact(world, i).losses.get("streams-lost") for i in (1, 2))
    assert all("failed" in text for _, text in told(world))


def test_streams_that_were_wrong_are_wrong_where_they_are_handed_over(world):
    moved = (Moved(Handover(1, 2, (1,))),)
    world.happen(Disturbed("rules-repaired", "rules were missing", world.now - 1, 1))
    assert fact(world, 2).sure_until is None
    world.happen(Steered(world.state.version, moved=moved))
    assert fact(world, 2).reason == "taken-over"


@pytest.mark.parametrize("error", [None, "it did not answer"])
def test_a_handover_of_sound_streams_is_no_loss_and_one_that_failed_is(world, error):
    world.happen(Steered(world.state.version, moved=(Moved(Handover(1, 2, (1,)), error=error),)))
    assert fact(world, 2).losses == ({} if error is None else {"streams-lost": 1})


def test_what_disturbs_the_switch_concerns_every_instance_from_when_it_was_last_seen_right(world):
    good = world.now - 0.7
    for _ in range(5):
        world.happen(Disturbed("rules-of-others", "rules of somebody else", good))
    assert [fact(world, i).sure_until for i in (1, 2)] == [good, good]
    assert len(told(world)) == 2
    world.happen(Disturbed("rules-repaired", "3 missing", None, 2))
    assert (fact(world, 1).reason, fact(world, 2).reason) == ("rules-of-others", "rules-repaired")


def test_of_an_instance_that_ran_before_the_controller_nothing_is_known_before():
    state, _ = step(fresh(CONFIG, {bucket: 1 + bucket % 3 for bucket in range(64)}), SwitchUp(DPID), 5.0)
    state, actions = step(state, AgentUp((Running(1, 101), Running(2, 102))), 7.0)
    assert {i: one.reason for i, one in state.exact.items()} == {1: "streams-lost", 2: "streams-lost"}, "instance 3 is gone"
    state, _ = step(fresh(CONFIG, {bucket: 1 + bucket % 2 for bucket in range(64)}), SwitchUp(DPID), 5.0)
    state, actions = step(state, AgentUp((Running(1, 101), Running(2, 102))), 7.0)
    assert [(one.reason, one.since, one.sure_until) for one in state.exact.values()] == [("adopted", 7.0, None)] * 2
    assert not [note for note in actions if isinstance(note, Inexact)]


def test_losses_of_a_number_never_go_down(world):
    report(world, 1, with_counter("kernel_drops", 5))
    world.kill(1)
    world.run(10)
    assert fact(world, 1).losses["kernel-drops"] == 5
