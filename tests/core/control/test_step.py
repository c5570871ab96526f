"""Whole scenarios of the decision core, in a world with a clock turned by hand."""

from __future__ import annotations

import itertools

import pytest

from lego_sdn.core.control.events import (
    AgentDown,
    AgentUp,
    Command,
    Drain,
    InstanceFailed,
    StartInstance,
    Steer,
    StopInstance,
    SwitchDown,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings
from lego_sdn.core.facts.flow_rules import Cookie
from lego_sdn.core.facts.instance_notes import GaveUp, ModelMissing, RulesRefused, StopFailed
from lego_sdn.simulation.hosts import QUOTA
from lego_sdn.simulation.memory import DPID, InMemorySystem
from lego_sdn.simulation.switch import NORMAL, Frame
from tests.examples import few_in_quick

FRAME = Frame({"eth_type": 0x800, "ipv4_src": 5, "ipv4_dst": 9, "eth_src": 1, "eth_dst": 2})


def config(**scaling) -> Config:
    return Config(model="m.lego", instance=InstanceSettings(cpu_quota=QUOTA), scaling=ScalingSettings(**scaling))


def even(total):
    """`total(time)` packets/s, the same in every bucket."""
    return lambda bucket, time: total(time) / 64


def counts(world: InMemorySystem) -> dict[int, int]:
    return {i: list(world.owned.values()).count(i) for i in world.state.running}


def test_the_first_instance_starts_and_gets_every_bucket():
    world = InMemorySystem(config()).up().run(2)
    assert world.state.running == (1,)
    assert counts(world) == {1: 64}
    assert world.rules_of == world.owned
    assert world.state.change is None


def test_a_switch_without_agent_forwards():
    world = InMemorySystem(config())
    world.happen(SwitchUp(DPID))
    world.run(1)
    assert [out.port for out in world.switch.send(FRAME, 1)] == [NORMAL]
    assert not world.actions(StartInstance)


def test_nothing_starts_without_a_model_and_it_is_said():
    world = InMemorySystem(Config()).up().run(5)
    assert not world.actions(StartInstance)
    assert world.actions(ModelMissing)
    assert [out.port for out in world.switch.send(FRAME, 1)] == [NORMAL]


def test_the_minimum_is_started_one_after_the_other():
    world = InMemorySystem(config(min_instances=3)).up().run(5)
    assert world.state.running == (1, 2, 3)
    assert max(counts(world).values()) - min(counts(world).values()) <= 2


def rise_and_fall(time: float) -> float:
    """700 packets/s fit an instance (1000/s at most); from 1020 to 1040 s, 1400 do not."""
    return 1400.0 if 1020 <= time < 1040 else 300.0


def test_load_rises_a_second_instance_starts_load_falls_they_merge():
    world = InMemorySystem(config(), even(rise_and_fall)).up().run(20)
    assert world.state.running == (1,)
    world.run(15)
    assert world.state.running == (1, 2)
    assert min(counts(world).values()) >= 30
    started = [time for time, _, actions in world.log for action in actions if action == StartInstance(2)]
    assert len(started) == 1
    assert 1020 < started[0] < 1022  # quick to grow
    world.run(40)
    assert len(world.state.running) == 1
    assert len(world.actions(StartInstance)) == 2
    assert counts(world) == {world.state.running[0]: 64}
    merged = [time for time, _, actions in world.log for action in actions if isinstance(action, Drain)]
    assert 1045 <= merged[0] < 1055  # slow to shrink
    assert list(world.host.ports) == list(world.state.running)


@pytest.mark.slow
def test_a_merge_steers_then_drains_then_stops():
    world = InMemorySystem(config(), even(rise_and_fall)).up().run(80)
    leaving = world.actions(Drain)[0].instance
    order = [a for _, _, actions in world.log for a in actions if isinstance(a, (Steer, Drain, StopInstance))]
    drain, stop = order.index(Drain(leaving, 5000)), order.index(StopInstance(leaving))
    before = order[drain - 1]
    assert isinstance(before, Steer)
    assert before.settle
    assert leaving not in before.assignment.values()
    assert leaving in before.ports  # still guarded: it has a port
    assert drain < stop
    assert leaving not in order[-1].ports


@pytest.mark.parametrize("period", few_in_quick([1.0, 0.6, 3.0]))
def test_flapping_load_does_not_flap(period):
    """Load that swings around the capacity makes it grow once, never shrink and grow again."""
    swing = even(lambda time: 1300.0 if int(time / period) % 2 else 500.0)
    world = InMemorySystem(config(), swing).up().run(120)
    assert len(world.actions(StartInstance)) <= 2
    assert len(world.actions(Drain)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("period", [7.0, 12.0, 25.0])
def test_slow_swings_drive_it_less_and_less(period):
    """Each merge that was soon regretted doubles the wait before the next one."""
    swing = even(lambda time: 1300.0 if int(time / period) % 2 else 300.0)
    world = InMemorySystem(config(), swing).up().run(1800)
    merges = [time for time, _, actions in world.log for action in actions if isinstance(action, Drain)]
    assert 1 <= len(merges) <= 8
    gaps = [b - a for a, b in itertools.pairwise(merges)]
    assert all(later > sooner for sooner, later in itertools.pairwise(gaps[:5]))


def test_no_more_instances_than_the_maximum_and_the_refusal_is_said_once():
    world = InMemorySystem(config(max_instances=2), even(lambda time: 4000.0)).up().run(60)
    assert world.state.running == (1, 2)
    assert len(world.actions(StartInstance)) == 2
    assert [note for note in world.notes("refused") if note.reason == "2 instances are the maximum"][1:] == []
    assert world.notes("refused")


def test_one_heavy_source_is_not_chased_with_instances():
    world = InMemorySystem(config(), lambda bucket, time: 3000.0 if bucket == 7 else 0.0).up().run(60)
    assert world.state.running == (1,)
    assert "too few buckets" in world.notes("refused")[0].reason


def test_a_hot_instance_is_relieved_by_rebalancing_where_that_suffices():
    def offered(bucket: int, time: float) -> float:
        hot = bucket in world.hot
        return 900.0 / len(world.hot) if hot else 200.0 / (64 - len(world.hot))

    world = InMemorySystem(config(min_instances=2), lambda bucket, time: 0.0).up().run(3)
    world.hot = [bucket for bucket, owner in world.owned.items() if owner == 1][:8]
    world.offered = offered
    world.run(20)
    assert world.state.running == (1, 2)
    moved = world.notes("rebalance")[0]
    assert moved.heirs == (2,)
    assert sum(world.owned[bucket] == 2 for bucket in world.hot) in (3, 4)  # as few as it takes


# ---- crashes ----
def test_buckets_of_a_dead_instance_go_to_the_others_at_once():
    world = InMemorySystem(config(min_instances=2)).up().run(3)
    world.kill(2)
    steer = next(a for a in world.log[-1][2] if isinstance(a, Steer))
    assert set(steer.assignment.values()) == {1}
    assert len(steer.assignment) == 64
    world.run(5)
    assert len(counts(world)) == 2
    assert min(counts(world).values()) >= 30


def test_the_only_instance_dies_and_comes_back():
    world = InMemorySystem(config()).up().run(70)
    world.kill(1)
    assert world.owned == {}
    assert [out.port for out in world.switch.send(FRAME, 1)][-1] == NORMAL
    world.run(2)
    assert len(world.state.running) == 1
    assert len(world.owned) == 64


def test_a_start_that_fails_is_tried_again_with_growing_pauses_then_given_up():
    world = InMemorySystem(config())
    world.host.fail_starts = 100
    world.up().run(60)
    times = [time for time, _, actions in world.log for a in actions if isinstance(a, StartInstance)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 5
    assert gaps == sorted(gaps)
    assert world.actions(GaveUp)
    world.host.fail_starts = 0
    world.happen(Command("resume"))
    world.run(2)
    assert world.state.running == (1,)


def test_an_instance_that_always_dies_right_after_its_start_does_not_spin():
    world = InMemorySystem(config()).up()
    for _ in range(600):
        world.run(0.1)
        for instance in list(world.state.running):
            world.kill(instance)
    assert len(world.actions(StartInstance)) == 5


def test_after_a_failed_second_instance_the_first_goes_on():
    world = InMemorySystem(config(), even(lambda time: 1400.0)).up()
    world.run(0.4)
    world.host.fail_starts = 1
    world.run(20)
    assert len(world.state.running) == 2
    assert len(world.notes("failed")) == 1


def test_the_last_instance_stays_when_the_rest_dies_during_a_merge():
    world = InMemorySystem(config(min_instances=1), even(lambda time: 100.0)).up().run(2)
    world.happen(Command("replicate"))
    world.run(2)
    world.happen(Command("merge", 2))
    assert world.state.members[2].phase == "leaving"
    world.kill(1)
    assert world.state.running == (2,)
    assert counts(world) == {2: 64}
    world.run(3)
    assert world.rules_of == world.owned
    assert not world.actions(Drain)


@pytest.mark.slow
def test_an_instance_that_dies_while_it_drains_ends_the_merge():
    world = InMemorySystem(config()).up().run(2)
    world.happen(Command("replicate"))
    world.run(2)
    world.mute = {Drain}
    world.happen(Command("merge", 2))
    world.run(0.5)
    assert world.state.members[2].phase == "draining"
    world.kill(2)
    world.run(1)
    assert world.state.change is None
    assert world.state.running == (1,)


def test_answers_that_never_come_are_not_waited_for_for_ever():
    world = InMemorySystem(config()).up().run(2)
    world.happen(Command("replicate"))
    world.run(2)
    world.mute = {Drain, StopInstance}
    world.happen(Command("merge", 2))
    world.run(120)
    assert world.state.change is None
    assert world.state.running == (1,)
    assert world.actions(StopInstance) == [StopInstance(2)] * 3
    assert any(note.given_up for note in world.actions(StopFailed))


# ---- the switch and the agent come and go ----
def test_rules_come_back_when_the_switch_does():
    world = InMemorySystem(config()).up().run(2)
    world.happen(SwitchDown(DPID))
    world.switch.flows.clear()
    world.happen(SwitchUp(DPID))
    world.run(1)
    assert Cookie(1, "owner", 1, 5, 1).encode() in {rule.cookie for rule in world.switch.rules}


def test_a_dead_instance_is_replaced_in_the_rules_when_the_switch_is_back():
    world = InMemorySystem(config(min_instances=2)).up().run(3)
    world.happen(SwitchDown(DPID))
    world.kill(2)
    assert not [a for a in world.log[-1][2] if isinstance(a, Steer)]
    world.happen(SwitchUp(DPID))
    world.run(0.2)
    assert 2 not in world.rules_of.values()


def test_a_refused_bundle_is_sent_again():
    world = InMemorySystem(config())
    world.steer_errors = 2
    world.up().run(30)
    assert world.rules_of == world.owned
    assert len(world.owned) == 64
    assert "table full" in world.actions(RulesRefused)[0].reason


def test_a_second_switch_is_ignored():
    world = InMemorySystem(config()).up().run(2)
    world.happen(SwitchUp(7))
    assert world.state.switch == DPID
    world.happen(SwitchDown(7))
    assert world.state.switch == DPID


@pytest.mark.parametrize("agent_first", [True, False])
def test_a_restarted_controller_adopts_what_runs_and_touches_no_rule(agent_first):
    world = InMemorySystem(config(min_instances=3)).up().run(5)
    owned, rules = world.owned, world.switch.rules
    world.restart_controller(stored=owned)
    events = [AgentUp(world.host.running()), SwitchUp(DPID)]
    for event in events if agent_first else reversed(events):
        world.happen(event)
    world.run(3)
    assert world.owned == owned
    assert world.switch.rules == rules
    assert len(world.actions(StartInstance)) == 3
    assert len(world.notes("adopted")) == 3


def test_a_restarted_controller_without_a_record_divides_anew():
    world = InMemorySystem(config(min_instances=2)).up().run(5)
    world.restart_controller(stored=None)
    world.up().run(3)
    assert counts(world) == {1: 32, 2: 32}


def test_a_restarted_controller_does_not_forget_who_died_meanwhile():
    world = InMemorySystem(config(min_instances=2)).up().run(5)
    owned = world.owned
    del world.host.ports[2]
    world.restart_controller(stored=owned)
    world.up()
    assert set(world.owned.values()) == {1}
    world.run(3)
    assert len(world.state.running) == 2


def test_an_agent_that_comes_back_with_other_ports_gets_other_rules():
    world = InMemorySystem(config()).up().run(2)
    world.happen(AgentDown("connection refused"))
    world.run(2)
    assert world.state.running == (1,)
    world.host.ports[1] = 55
    world.happen(AgentUp(world.host.running()))
    world.run(1)
    assert any(out.port == 55 for out in world.switch.send(FRAME, 1))


def test_a_start_that_the_agent_forgot_is_tried_again():
    world = InMemorySystem(config())
    world.mute = {StartInstance}
    world.up()
    world.happen(AgentDown("killed"))
    world.run(1)
    world.mute = set()
    world.happen(AgentUp(()))
    world.run(3)
    assert len(world.state.running) == 1


def test_no_change_begins_while_the_agent_is_away():
    world = InMemorySystem(config(), even(lambda time: 1400.0)).up().run(1)
    world.happen(AgentDown("busy"))
    world.run(20)
    assert len(world.actions(StartInstance)) == 1


# ---- commands ----
def test_commands_begin_a_change_or_say_why_not():
    world = InMemorySystem(config(max_instances=2)).up().run(2)
    world.happen(Command("merge", 1))
    assert "1 is the minimum" in world.notes("refused")[-1].reason
    world.happen(Command("replicate"))
    world.happen(Command("replicate"))
    assert world.notes("refused")[-1].reason == "a change is in flight (replicate)"
    world.run(2)
    world.happen(Command("replicate"))
    assert world.notes("refused")[-1].reason == "2 instances are the maximum"
    world.happen(Command("move", 2, (0, 1, 2)))
    world.run(1)
    assert {world.rules_of[b] for b in (0, 1, 2)} == {2}
    for bad in (Command("move", 2, (64,)), Command("move", 9, (1,)), Command("merge", 9)):
        world.happen(bad)
        assert world.notes("refused")[-1].change == bad.name
    assert len(world.notes("refused")) == 6


def test_a_pause_stops_scaling_but_not_healing():
    world = InMemorySystem(config(), even(lambda time: 1400.0))
    world.happen(Command("pause"))
    world.up().run(20)
    assert world.state.running == (1,)
    world.kill(1)
    world.run(3)
    assert len(world.state.running) == 1
    world.happen(Command("resume"))
    world.run(5)
    assert len(world.state.running) == 2


@pytest.mark.slow
def test_the_same_observations_give_the_same_actions():
    world = InMemorySystem(config(), even(rise_and_fall)).up().run(60)
    world.kill(world.state.running[0])
    world.run(30)
    state = fresh(world.config)
    for time, event, actions in world.log:
        state, again = step(state, event, time)
        assert again == actions
    assert state == world.state


def test_a_step_leaves_the_state_it_was_given_alone():
    world = InMemorySystem(config()).up().run(2)
    before, copy = world.state, repr(world.state)
    step(before, InstanceFailed(1, "gone"), world.now)
    step(before, Tick(), world.now + 100)
    assert repr(before) == copy
