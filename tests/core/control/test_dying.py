"""Replicas and instances that die young again and again, or do not answer: each next one waits longer, and nothing is lost with them."""

from __future__ import annotations

import itertools

import pytest

from lego_sdn.core.control.events import AgentUp, Command, InstanceFailed, Silent, StartInstance
from lego_sdn.core.control.state import GIVE_UP_S, SETTLED_S
from lego_sdn.core.facts.arrangement import StartReplica, TakeOut
from lego_sdn.core.facts.config import Config
from tests.core.policy.test_bricks import LEARNING, world
from tests.fakes.world import World

OVERLOAD = 300.0  # packets/s, for which one learning network is too slow


def replicas(made: World) -> list[str]:
    """Processes of the learning network beside the first one."""
    return [one.process for one in made.state.members[1].arrangement.processes if one.bricks[0].startswith(LEARNING)][1:]


def starts(made: World) -> list[float]:
    return [time for time, _, actions in made.log for action in actions if isinstance(action, StartReplica)]


def die(made: World, lived_s: float) -> str:
    """The replica dies after it has lived so long; what is said of it."""
    for _ in range(4000):
        if replicas(made):
            break
        made.run(0.25)
    made.run(lived_s)
    made.host.lose(1, replicas(made)[0], "its process was killed")
    made.happen(AgentUp(made.host.running(), 2.0))
    return made.notes("failed")[-1].text


def test_each_replica_that_dies_young_keeps_the_next_one_waiting_longer():
    made = world(offered=OVERLOAD)
    said = [die(made, 1.0) for _ in range(5)]
    assert said[0].startswith(f"instance 1 goes on without {LEARNING}-1: its process was killed; it lived 1 s, death 1 in a row")
    assert [text.partition("waits ")[2] for text in said] == ["0.5 s", "1.0 s", "2.0 s", "4.0 s", f"{GIVE_UP_S:.1f} s"]
    before = len(starts(made))
    made.run(20)
    assert len(starts(made)) == before, "it is given up for a while"
    assert made.state.members[1].dying[LEARNING].until == pytest.approx(made.now - 20 + GIVE_UP_S)
    made.happen(Command("resume"))
    made.run(5)
    assert len(replicas(made)) == 1, "who resumes tries again at once"


def test_one_that_lived_well_begins_anew():
    made = world(offered=OVERLOAD)
    assert [die(made, 1.0)[-5:] for _ in range(2)] == ["0.5 s", "1.0 s"]
    assert die(made, SETTLED_S + 1).endswith("its process was killed")
    assert die(made, 1.0).endswith("death 1 in a row: the next one waits 0.5 s")


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
    made.queue.clear()
    change = made.state.change.action
    made.host.lose(1, replicas(made)[0], "its process was killed")
    made.happen(made.host.regrow(change))
    assert made.state.change is None
    assert made.notes("failed")[-1].text.startswith(f"instance 1 goes on without {LEARNING}-1: its process was killed")


def test_instances_that_die_young_wait_however_often_the_agent_tells_what_runs():
    """Before, every list of what runs began the count anew."""
    made = World(Config(model="m")).up()
    waits = []
    for _ in range(4):
        made.run(10)
        assert made.state.running == (1,)
        made.kill(1)
        waits.append(made.state.backoff.until - made.now)
        made.happen(AgentUp((), 2.0))
        assert made.state.backoff.until > made.now
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert made.notes("failed")[-1].text.endswith("death 4 in a row: the next one waits 4.0 s")
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
    texts = [note.text for note in made.notes("failed")]
    assert texts[0].endswith("timed out; other replicas do its work")
    assert texts[1].startswith(f"instance 1 goes on without {LEARNING}-1: it did not answer and was ended; it lived ")
    made.run(20)
    assert len(replicas(made)) == 1
    assert made.actions(StartInstance) == [StartInstance(1)]


@pytest.mark.parametrize("placement", ["chained", "separate"])
def test_an_instance_is_given_up_where_nobody_else_does_the_work(placement):
    made = world(placement=placement).run(2)
    made.happen(Silent(1, "1-a", "process 1-a of instance 1 has not answered for 10 s"))
    assert made.actions(TakeOut) == []
    assert "instance 1 failed: process 1-a of instance 1 has not answered for 10 s" in made.notes("failed")[0].text
    made.happen(Silent(7, "7-a", "nobody knows it"))


def test_a_replica_that_is_not_taken_out_is_told_and_asked_for_again():
    made = world(offered=OVERLOAD).run(10)
    (silent,) = replicas(made)
    made.host.refuse = 1
    made.happen(Silent(1, silent, "it has not answered"))
    made.run(1)
    assert made.notes("failed")[-1].text == f"process {silent} of instance 1 is taken out: it does not fit; instance 1 goes on as it was"
    made.happen(Silent(1, silent, "it has not answered"))
    made.run(1)
    assert silent not in replicas(made)


def test_the_twin_that_is_silent_fails_as_a_whole():
    from lego_sdn.core.facts.assignment import REFERENCE

    made = world()
    before = made.state.running
    made.happen(Silent(REFERENCE, f"{REFERENCE}-a", "process has not answered for 10 s"))
    assert made.state.running == before
    assert any("the twin, instance 999, failed: process has not answered" in note.text for note in made.notes("audit"))


def test_a_failure_of_its_start_is_counted_with_the_deaths():
    made = World(Config(model="m")).up()
    made.run(10)
    made.kill(1)
    made.host.fail_starts = 1
    made.run(3)
    assert made.state.running == (1,)
    made.happen(InstanceFailed(1, "it is dead"))
    assert made.notes("failed")[-1].text.endswith("death 3 in a row: the next one waits 2.0 s")
