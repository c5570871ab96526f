"""The standby in the decision core: it is started when nothing else changes, owns nothing, and has the buckets of an instance that dies."""

from __future__ import annotations

import pytest

from lego_sdn.core.control.events import AgentUp, Command, InstanceFailed, ProcessDied, StartInstance, Steer, SwitchUp
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.standby_notes import StandbyFailed
from lego_sdn.simulation.memory import DPID, InMemorySystem

BUCKETS = 8


def configured(**more: object) -> Config:
    scaling = {"min_instances": 2, "max_instances": 4, "cooldown_s": 0.01}
    return Config.parse({"model": "m", "buckets": BUCKETS, "standby": 1, "capture": {"stamps": "trailer"}, "scaling": scaling} | more)


def ready() -> InMemorySystem:
    system = InMemorySystem(configured()).up().run(20)
    assert (system.state.running, system.state.standby.instance, system.state.standby.phase) == ((1, 2), 3, "ready")
    return system


def test_it_gets_every_packet_and_owns_nothing():
    system = ready()
    assert set(system.owned.values()) == {1, 2}
    assert [action.instance for action in system.actions(StartInstance) if action.standby] == [3]
    last = system.actions(Steer)[-1]
    assert last.standby == 3
    assert last.ports[3] == system.host.ports[3]


def test_without_one_configured_none_is_started():
    system = InMemorySystem(configured(standby=0)).up().run(20)
    assert not any(action.standby for action in system.actions(StartInstance))
    assert all(action.standby is None for action in system.actions(Steer))


@pytest.mark.parametrize("told", ["a process has ended", "the agent says so"])
def test_it_owns_the_buckets_of_one_that_dies_at_once(told):
    system = ready()
    had = [bucket for bucket, owner in system.owned.items() if owner == 1]
    if told == "the agent says so":
        system.kill(1)
    else:
        system.happen(ProcessDied(1, "1-a"))
    assert [bucket for bucket, owner in system.owned.items() if owner == 3] == had
    takeover = system.actions(Steer)[-1].takeovers
    assert [(one.dead, one.heir, list(one.buckets)) for one in takeover] == [(1, 3, had)]
    system.host.stop(1)
    system.run(30)
    assert system.notes("inexact") == []
    assert system.state.takeovers == ()
    assert system.state.standby.phase == "ready"
    assert system.state.standby.instance not in (2, 3)


def test_of_one_that_dies_while_it_leaves_it_scores_what_is_left_and_stays_the_standby():
    system = ready()
    system.happen(Command("pause"))
    system.happen(Command("replicate"))
    system.run(20)
    system.mute.add(Steer)
    system.happen(Command("merge", instance=1))
    assert 1 not in system.owned.values()
    system.happen(ProcessDied(1, "1-a"))
    assert [(one.dead, one.buckets) for one in system.state.takeovers] == [(1, ())]
    assert system.state.standby.instance == 3


def test_its_own_death_concerns_no_score():
    system = ready()
    system.host.stop(3)
    system.happen(InstanceFailed(3, "process ended by signal 9"))
    assert system.state.running == (1, 2)
    system.run(30)
    assert system.state.standby.phase == "ready"
    assert system.notes("inexact") == []


def test_one_that_loses_packets_is_replaced_before_it_is_needed():
    system = ready().run(5)
    system.host.drops[3] += 5.0
    system.run(0.6)
    assert [note.instance for note in system.notes("standby") if isinstance(note, StandbyFailed)] == [3]
    system.run(30)
    assert system.state.standby.phase == "ready"
    assert system.state.running == (1, 2)
    assert system.notes("inexact") == []


def test_what_an_heir_loses_is_told():
    system = ready()
    system.kill(1)
    system.run(5)
    system.host.drops[3] += 5.0
    system.run(2)
    assert [note.instance for note in system.notes("inexact")] == [3]


def test_a_second_death_before_the_next_one_is_ready_is_told():
    system = ready()
    system.kill(1)
    system.kill(2)
    assert system.notes("inexact")


@pytest.mark.parametrize("died", [False, True], ids=["nobody died", "an owner died with the controller"])
def test_a_controller_that_comes_knows_the_standby_of_the_one_before(died):
    system = ready()
    stored = dict(system.owned)
    system.host.drops[3] = 5.0  # before it had every stream, perhaps: it says itself that nothing is lacking
    if died:
        system.host.stop(1)
    system.restart_controller(stored)
    system.happen(SwitchUp(DPID))
    system.happen(AgentUp(system.host.running(), system.host.cores))
    if died:
        assert [(one.dead, one.heir) for one in system.state.takeovers] == [(1, 3)]
        assert {3 if owner == 1 else owner for owner in stored.values()} == set(system.owned.values())
    else:
        assert (system.state.standby.instance, system.state.standby.phase) == (3, "copying")
        assert system.owned == stored
    system.run(30)
    assert system.notes("inexact") == []
    assert system.state.standby.phase == "ready"


@pytest.mark.parametrize("more", [{"exact": False}, {"capture": {"stamps": "kernel"}}, {"standby": 2}, {"standby": "yes"}])
def test_a_configuration_with_which_it_could_not_be_exact_is_refused(more):
    with pytest.raises(ConfigError, match="standby"):
        configured(**more)
