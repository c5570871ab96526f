"""Replicas and instances that die young again and again, or do not answer: each next one waits longer, and nothing is lost with them."""

from __future__ import annotations

import itertools

import pytest

from lego_sdn.core.control.events import AgentUp, Command, InstanceFailed, Silent, StartInstance
from lego_sdn.core.control.state import GIVE_UP_S, SETTLED_S
from lego_sdn.core.facts.arrangement import StartReplica, TakeOut
from lego_sdn.core.facts.change_notes import TwinFailed
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.instance_notes import BricksDied, ChangeFailed, InstanceDied, ProcessSilent
from lego_sdn.simulation.memory import InMemorySystem
from tests.core.policy.test_bricks import LEARNING, world

OVERLOAD = 300.0  # packets/s, for which one learning network is too slow


def replicas(made: InMemorySystem) -> list[str]:
    """Processes of the learning network beside the first one."""
    return [one.process for one in made.state.members[1].arrangement.processes if one.bricks[0].startswith(LEARNING)][1:]


def starts(made: InMemorySystem) -> list[float]:
    return [time for time, _, actions in made.log for action in actions if isinstance(action, StartReplica)]


def die(made: InMemorySystem, lived_s: float) -> BricksDied:
    """The replica dies after it has lived so long; what is said of it."""
    for _ in range(4000):
        if replicas(made):
            break
        made.run(0.25)
    made.run(lived_s)
    made.host.lose(1, replicas(made)[0], "its process was killed")
    made.happen(AgentUp(made.host.running(), 2.0))
    told = made.notes("failed")[-1]
    assert isinstance(told, BricksDied)
    return told


def waits(told: BricksDied) -> list[float]:
    """Of deaths that came too soon: how long each keeps the next one waiting."""
    return [early.wait_s for early in told.early]


@pytest.mark.slow
def test_each_replica_that_dies_young_keeps_the_next_one_waiting_longer():
    made = world(offered=OVERLOAD)
    said = [die(made, 1.0) for _ in range(5)]
    assert (said[0].instance, said[0].bricks, said[0].reasons) == (1, (f"{LEARNING}-1",), ("its process was killed",))
    assert said[0].early[0].lived_s == pytest.approx(1.0, abs=0.5)
    assert [early.failures for told in said for early in told.early] == [1, 2, 3, 4, 5]
    assert [waits(told) for told in said] == [pytest.approx([wait_s]) for wait_s in (0.5, 1.0, 2.0, 4.0, GIVE_UP_S)]
    before = len(starts(made))
    made.run(20)
    assert len(starts(made)) == before, "it is given up for a while"
    assert made.state.members[1].dying[LEARNING].until == pytest.approx(made.now - 20 + GIVE_UP_S)
    made.happen(Command("resume"))
    made.run(5)
    assert len(replicas(made)) == 1, "who resumes tries again at once"


@pytest.mark.slow
def test_one_that_lived_well_begins_anew():
    made = world(offered=OVERLOAD)
    assert [waits(die(made, 1.0)) for _ in range(2)] == [pytest.approx([0.5]), pytest.approx([1.0])]
    assert die(made, SETTLED_S + 1).early == ()
    (early,) = die(made, 1.0).early
    assert (early.failures, early.wait_s) == (1, pytest.approx(0.5))


def test_an_operator_may_have_a_replica_all_the_same():
    made = world(offered=OVERLOAD)
    for _ in range(5):
        die(made, 1.0)
    made.happen(Command("replicate", 1, brick=LEARNING))
    made.run(1)
    assert len(replicas(made)) == 1


def test_a_death_beside_a_change_is_told_too():
    """Before, what came with the answer to a change was taken in without a word."""
    made = world(offered=OVERLOAD).run(10)
    assert len(replicas(made)) == 1
    made.happen(Command("pause"))
    made.happen(Command("replicate", 1, brick="feature-mapping"))
    made.forget_answers()
    change = made.state.change.action
    made.host.lose(1, replicas(made)[0], "its process was killed")
    made.happen(made.host.regrow(change))
    assert made.state.change is None
    assert made.actions(BricksDied)[-1].reasons == ("its process was killed",)
    assert made.actions(BricksDied)[-1].bricks == (f"{LEARNING}-1",)


def test_instances_that_die_young_wait_however_often_the_agent_tells_what_runs():
    """Before, every list of what runs began the count anew."""
    made = InMemorySystem(Config(model="m")).up()
    waits = []
    for _ in range(4):
        made.run(10)
        assert made.state.running == (1,)
        made.kill(1)
        waits.append(made.state.backoff.until - made.now)
        made.happen(AgentUp((), 2.0))
        assert made.state.backoff.until > made.now
    assert waits == [0.5, 1.0, 2.0, 4.0]
    early = made.actions(InstanceDied)[-1].early
    assert (early.failures, early.wait_s) == (4, pytest.approx(4.0))
    after = itertools.dropwhile(lambda entry: entry[0] < made.now, made.log)
    assert not [action for _, _, actions in after for action in actions if isinstance(action, StartInstance)]


# ---- silence ----
def test_a_silent_replica_is_taken_out_and_replaced():
    made = world(offered=OVERLOAD).run(10)
    (silent,) = replicas(made)
    made.happen(Silent(1, silent, f"process {silent} of instance 1 has not answered for 10 s: timed out"))
    assert made.actions(TakeOut) == [TakeOut(1, silent)]
    made.run(1)
    assert made.state.running == (1,)
    assert replicas(made) != [silent]
    told, died = made.notes("failed")[:2]
    assert (type(told), told.process) == (ProcessSilent, silent)
    reason = f"brick process {silent} did not answer and was ended"
    assert (died.bricks, died.reasons, len(died.early)) == ((f"{LEARNING}-1",), (reason,), 1)
    made.run(20)
    assert len(replicas(made)) == 1
    assert made.actions(StartInstance) == [StartInstance(1)]


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["chained", "separate"])
def test_an_instance_is_given_up_where_nobody_else_does_the_work(placement):
    made = world(placement=placement).run(2)
    made.happen(Silent(1, "1-a", "process 1-a of instance 1 has not answered for 10 s"))
    assert made.actions(TakeOut) == []
    died = made.actions(InstanceDied)[0]
    assert (died.instance, died.reason) == (1, "process 1-a of instance 1 has not answered for 10 s")
    made.happen(Silent(7, "7-a", "nobody knows it"))


def test_a_replica_that_is_not_taken_out_is_told_and_asked_for_again():
    made = world(offered=OVERLOAD).run(10)
    (silent,) = replicas(made)
    made.host.refuse = 1
    made.happen(Silent(1, silent, "it has not answered"))
    made.run(1)
    failed = made.notes("failed")[-1]
    assert (type(failed), failed.change, failed.reason) == (ChangeFailed, "take-out", "it does not fit")
    made.happen(Silent(1, silent, "it has not answered"))
    made.run(1)
    assert silent not in replicas(made)


def test_the_twin_that_is_silent_fails_as_a_whole():
    from lego_sdn.core.facts.assignment import REFERENCE

    made = world()
    before = made.state.running
    made.happen(Silent(REFERENCE, f"{REFERENCE}-a", "process has not answered for 10 s"))
    assert made.state.running == before
    assert [(one.instance, one.reason) for one in made.actions(TwinFailed)] == [(REFERENCE, "process has not answered for 10 s")]


def test_a_failure_of_its_start_is_counted_with_the_deaths():
    made = InMemorySystem(Config(model="m")).up()
    made.run(10)
    made.kill(1)
    made.host.fail_starts = 1
    made.run(3)
    assert made.state.running == (1,)
    made.happen(InstanceFailed(1, "it is dead"))
    early = made.actions(InstanceDied)[-1].early
    assert (early.failures, early.wait_s) == (3, pytest.approx(2.0))
