"""Whole scenarios brick by brick, in a world whose instances are pipelines: what is done about which brick, and that it helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.control.events import AgentUp, Command, Drain, StartInstance
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetQuota, StartReplica, StopReplica
from lego_sdn.core.facts.change_notes import BrickChange, InstanceStarting
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings
from lego_sdn.core.facts.instance_notes import BricksDied, BricksGone, ChangeFailed, GaveUp
from lego_sdn.simulation.brick_queues import GRAPH
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import InMemorySystem

LEARNING, STREAMS = "unsupervised-network", "feature-quantization"
PAPER = dict.fromkeys(GRAPH, 250.0) | {LEARNING: 1000.0, "feature-quantization": 500.0}  # 200 packets/s, then 400


def world(cost=PAPER, placement="separate", offered=0.0, cores=2.0, **scaling) -> InMemorySystem:
    """`offered` packets/s, or a function of the time, the same in every bucket."""
    scaling = {"policy": "bricks", "period_s": 0.5, "cooldown_s": 2.0, "reallocate": False, "max_instances": 1} | scaling
    config = Config(model="m", instance=InstanceSettings(cpu_quota=QUOTA, placement=placement), scaling=ScalingSettings(**scaling))
    at = offered if callable(offered) else lambda time: offered
    host = BrickHost(cost_us=cost, placement=placement, cores=cores)
    return InMemorySystem(config, lambda bucket, time: at(time) / 64, host=host).up().run(1.0)


def done(made: InMemorySystem) -> list[BrickAction]:
    """What was done within instances, in order."""
    return [action for _, _, actions in made.log for action in actions if isinstance(action, BrickAction)]


def scored(made: InMemorySystem, seconds: float) -> float:
    """Packets/s that come out of instance 1."""
    before = made.host.pipelines[1].scored
    made.run(seconds)
    return (made.host.pipelines[1].scored - before) / seconds


@pytest.mark.slow
def test_the_learning_network_is_replicated_then_the_next_slowest():
    """The paper's Figure 4: one core each, five for the bricks and one for the replica, then what decides is the next."""
    made = world(offered=lambda time: 300.0 if time < 1060 else 700.0)
    assert scored(made, 20.0) > 280
    assert done(made) == [StartReplica(1, LEARNING)]
    made.run(60)
    assert {action.kind for action in done(made)[1:]} == {LEARNING, "feature-quantization"}
    assert scored(made, 10.0) > 660
    assert made.state.running == (1,)
    begun = made.actions(BrickChange)[0]
    assert (begun.kind, begun.instance, begun.node) == ("replicate", 1, LEARNING)
    evidence = begun.evidence
    assert f"{LEARNING}-0: its process 1-d uses 100% of its CPU quota" in evidence
    assert "predicted: one more replica of unsupervised-network in instance 1: " in evidence


@pytest.mark.slow
def test_replicas_merge_when_load_falls_and_nothing_flaps():
    made = world(offered=lambda time: 300.0 if time < 1030 else 60.0).run(120)
    assert done(made) == [StartReplica(1, LEARNING), StopReplica(1, f"{LEARNING}-1")]
    started, merged = (next(t for t, _, acts in made.log if action in acts) for action in done(made))
    assert started < 1005
    assert merged >= 1030 + 9 * 0.5  # ten reports in a row
    assert "without it the instance would be 30% full: 60 of 200 packets/s" in made.notes("merge")[0].evidence


@pytest.mark.slow
@pytest.mark.parametrize("period", [4.0, 17.0])
def test_load_that_swings_does_not_drive_replicas(period):
    made = world(offered=lambda time: 300.0 if int(time / period) % 2 else 60.0).run(240)
    merges = sum(isinstance(action, StopReplica) for action in done(made))
    assert merges <= 3


@pytest.mark.slow
def test_a_chained_brick_is_separated_and_chained_again():
    """One that keeps streams, for with a replica it would have to share them; it alone is most of the work."""
    cost = dict.fromkeys(GRAPH, 250.0) | {STREAMS: 1000.0}
    made = world(cost, placement="chained", offered=lambda time: 120.0 if time < 1040 else 20.0).run(30)
    assert done(made) == [Separate(1, STREAMS)]
    assert scored(made, 5.0) > 115
    made.run(60)
    assert done(made)[1:] == [ChainBrick(1, STREAMS)]
    assert made.state.members[1].arrangement == made.host.pipelines[1].arrangement
    assert len(made.state.members[1].arrangement.processes) == 1


@pytest.mark.slow
def test_a_chained_brick_without_streams_gets_a_replica_and_goes_on_beside_it():
    made = world(placement="chained", offered=lambda time: 120.0 if time < 1040 else 20.0).run(30)
    assert done(made) == [StartReplica(1, LEARNING)]
    assert scored(made, 5.0) > 115
    made.run(60)
    assert done(made)[1:] == [StopReplica(1, f"{LEARNING}-1")]
    assert len(made.state.members[1].arrangement.processes) == 1


def test_in_a_chain_a_further_instance_is_the_cheaper_way():
    """It takes one process as a brick of its own does, and doubles everything."""
    made = world(dict.fromkeys(GRAPH, 200.0), "chained", 250.0, max_instances=4).run(30)
    assert done(made) == []
    assert len(made.state.running) == 2


@pytest.mark.slow
def test_where_an_end_of_the_graph_is_slow_there_is_a_further_instance():
    made = world(dict.fromkeys(GRAPH, 100.0) | {"packet-batching": 1000.0}, offered=300.0, max_instances=2, cores=4.0).run(30)
    assert done(made) == []
    assert made.state.running == (1, 2)
    begun = next(note for note in made.actions(InstanceStarting) if note.instance == 2)
    assert begun.evidence.startswith("packet-batching-0: its process 1-a uses")


def test_cpu_is_reallocated_first_if_that_is_enough():
    """600 µs of a learning network with a fifth of a core take 333 packets/s; the others have enough to spare."""
    cost = dict.fromkeys(GRAPH, 50.0) | {LEARNING: 600.0}
    made = world(cost, offered=450.0, reallocate=True).run(40)
    (action,) = done(made)
    assert isinstance(action, SetQuota)
    given = dict(action.cores)
    assert sum(given.values()) == pytest.approx(5 * QUOTA, abs=0.01)
    assert given["1-d"] > QUOTA > given["1-a"]
    assert scored(made, 5.0) == pytest.approx(450, rel=0.02)
    assert made.state.diagnoses[1].cause is None


def test_what_is_not_enough_is_not_reallocated():
    made = world(offered=390.0, reallocate=True).run(10)
    assert done(made)[0] == StartReplica(1, LEARNING)


@pytest.mark.slow
def test_a_host_without_free_cpu_gets_nothing_more():
    made = world(offered=300.0, cores=1.0).run(30)
    assert done(made) == []
    assert made.actions(StartInstance) == [StartInstance(1)]


@pytest.mark.slow
def test_leftovers_of_a_host_are_used_up_to_the_last_process():
    """The paper's example: something needs more than is free; a replica with what is left takes its part."""
    made = world(dict.fromkeys(GRAPH, 100.0) | {LEARNING: 1000.0}, offered=900.0, cores=1.45).run(40)
    *whole, part = done(made)
    assert whole == [StartReplica(1, LEARNING)] * 2
    assert (part.kind, part.cores) == (LEARNING, pytest.approx(0.05, abs=0.0011))
    assert part.cores <= 0.05 + 1e-9
    assert scored(made, 10.0) == pytest.approx(1e6 / 1000 * (0.6 + 0.05), rel=0.02)


@pytest.mark.slow
def test_a_leftover_that_helps_little_stays():
    made = world(dict.fromkeys(GRAPH, 100.0) | {LEARNING: 1000.0}, offered=900.0, cores=1.0 + 0.005).run(30)
    assert done(made) == []


def test_costs_that_are_learned_know_whose_streams_are_shadowed():
    made = world(offered=100.0).run(5)
    assert [brick.kind for brick in made.state.costs.bricks if brick.keyed] == [STREAMS]
    assert made.state.costs.shadows == 0
    made.state = replace(made.state, costs=None, shadows=1)
    made.run(5)
    assert made.state.costs.deliveries(2) == 1.5


def test_a_replica_that_fails_is_told_and_tried_again_later():
    made = world(offered=300.0)
    made.host.refuse = 2
    before = made.state.members[1].arrangement
    made.run(2.0)
    assert made.state.members[1].arrangement == before
    failed = made.notes("failed")[0]
    assert (type(failed), failed.instance, failed.change, failed.reason) == (ChangeFailed, 1, "replicate", "it does not fit")
    made.run(20.0)
    assert len(made.notes("failed")) == 2
    assert len(made.state.members[1].arrangement.processes) == 6


@pytest.mark.slow
def test_failures_in_a_row_are_given_up_for_a_while():
    made = world(offered=300.0)
    made.host.refuse = 1000
    made.run(120)
    assert len(done(made)) == 5
    assert made.actions(GaveUp)[-1].what == "changes within instances"
    made.host.refuse = 0
    made.happen(Command("resume"))
    made.run(5)
    assert len(made.state.members[1].arrangement.processes) == 6


@pytest.mark.slow
def test_an_answer_that_never_comes_is_not_waited_for_for_ever():
    made = world(offered=300.0)
    made.mute = {StartReplica}
    made.run(110)
    assert made.actions(ChangeFailed)[0].reason == "no answer in 95 s"
    made.mute = set()
    made.run(110)
    assert len(made.state.members[1].arrangement.processes) == 6


def test_an_instance_that_dies_while_its_brick_is_replicated():
    made = world(offered=300.0)
    made.mute = {StartReplica}
    made.run(2.0)
    assert made.state.change.action == StartReplica(1, LEARNING)
    made.kill(1)
    assert made.state.change is None or made.state.change.action is None
    made.mute = set()
    made.run(20)
    assert len(made.state.running) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("died", "told"),
    [(("its process was killed",), BricksDied), ((), BricksGone)],
)
def test_a_replica_that_the_agent_took_out_is_told_and_replaced(died, told):
    made = world(offered=300.0).run(20)
    assert done(made) == [StartReplica(1, LEARNING)]
    made.host.regrow(StopReplica(1, f"{LEARNING}-1"))
    (running,) = made.host.running()
    made.happen(AgentUp((replace(running, arrangement=replace(running.arrangement, died=died)),), 2.0))
    assert [(one.instance, one.bricks) for one in made.actions(told)] == [(1, (f"{LEARNING}-1",))]
    made.run(20)
    assert done(made) == [StartReplica(1, LEARNING)] * 2


# ---- modes and commands ----
@pytest.mark.slow
def test_to_advise_is_to_say_and_not_to_do():
    made = world(offered=300.0, mode="advise").run(30)
    assert done(made) == []
    (advice,) = made.notes("advice")
    assert advice.change == f"one more replica of {LEARNING} in instance 1"
    assert advice.evidence.startswith(f"{LEARNING}-0: its process 1-d uses 100%")
    assert made.state.advice == f"one more replica of {LEARNING} in instance 1"
    made.happen(Command("replicate", 1, brick=LEARNING))
    made.run(2.0)
    assert done(made) == [StartReplica(1, LEARNING)]


@pytest.mark.slow
def test_what_would_be_refused_is_no_advice():
    full = world(offered=300.0, mode="advise", policy="water-marks", max_instances=1).run(30)
    assert (full.notes("advice"), full.state.advice) == ([], "")
    assert (full.notes("refused")[0].change, full.notes("refused")[0].reason) == ("replicate", "1 instances are the maximum")
    least = world(offered=0.0, mode="advise", policy="water-marks", min_instances=2, max_instances=2, cores=4.0).run(60)
    assert len(least.state.running) == 2
    assert (least.notes("advice"), least.state.advice) == ([], "")


def test_advice_ends_with_its_reason_and_with_a_pause():
    made = world(offered=lambda time: 300.0 if time < 1020 else 10.0, mode="advise").run(15)
    assert made.state.advice == f"one more replica of {LEARNING} in instance 1"
    made.happen(Command("pause"))
    assert made.run(1.0).state.advice == ""
    made.happen(Command("resume"))
    assert made.run(3.0).state.advice == f"one more replica of {LEARNING} in instance 1"
    assert made.run(30).state.advice == ""


def test_a_pause_holds_bricks_too():
    made = world()
    made.happen(Command("pause"))
    made.offered = lambda bucket, time: 300.0 / 64
    made.run(20)
    assert done(made) == []
    made.happen(Command("resume"))
    made.run(5)
    assert done(made) == [StartReplica(1, LEARNING)]


def test_commands_for_bricks_say_why_not():
    made = world(max_instances=2, cores=4.0)
    for asked, says in (
        (Command("replicate", None, brick="nonsense"), "instance 1 has no brick of kind 'nonsense'; its graph is packet-batching -> "),
        (Command("replicate", 1, brick="sample-result"), "sample-result is at an end of the graph and stays single in an instance"),
        (Command("replicate", 7, brick=LEARNING), "instance 7 does not run; there are [1]"),
        (Command("merge", None, brick=f"{LEARNING}-1"), f"{LEARNING}-1: name the instance; no instance that runs has it"),
        (Command("merge", 1, brick=f"{LEARNING}-0"), f"{LEARNING}-0 is the only {LEARNING} of instance 1"),
        (Command("merge", 1, brick="x-1"), "instance 1 has no brick x-1; it has packet-batching-0, "),
    ):
        made.happen(asked)
        assert says in made.notes("refused")[-1].reason
    made.happen(Command("replicate", None, brick=LEARNING))
    made.happen(Command("replicate", None, brick=LEARNING))
    assert made.notes("refused")[-1].reason == "a change is in flight (replicate)"
    made.run(1)
    made.happen(Command("merge", None, brick=f"{LEARNING}-1"))
    made.run(1)
    assert done(made) == [StartReplica(1, LEARNING), StopReplica(1, f"{LEARNING}-1")]
    made.happen(Command("replicate"))
    made.run(2)
    made.happen(Command("replicate", None, brick=LEARNING))
    assert "name the instance; instances 1, 2 have it" in made.notes("refused")[-1].reason


@pytest.mark.slow
def test_the_same_observations_give_the_same_actions():
    made = world(offered=lambda time: 300.0 if time < 1030 else 60.0).run(60)
    state = fresh(made.config)
    for time, event, actions in made.log:
        state, again = step(state, event, time)
        assert again == actions
    assert state == made.state


@pytest.mark.slow
def test_no_instance_drains_for_a_brick():
    made = world(offered=lambda time: 300.0 if time < 1030 else 60.0).run(80)
    assert made.actions(Drain) == []
    assert made.actions(StartInstance) == [StartInstance(1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "offered", "scaling", "refused"),
    [
        ("water-marks", 900.0, {"max_instances": 1}, [("replicate", "1 instances are the maximum")]),
        ("water-marks", 20.0, {"min_instances": 2, "max_instances": 2}, []),
        ("bricks", 300.0, {"max_replicas": 1, "max_instances": 1}, None),
    ],
)
def test_what_would_be_refused_is_not_advised(policy, offered, scaling, refused):
    """The same limits as in mode act: neither says what it would not do."""
    for mode in ("act", "advise"):
        made = world(policy=policy, offered=offered, mode=mode, **scaling).run(40)
        assert (made.notes("advice"), made.state.advice, done(made)) == ([], "", [])
        assert len(made.actions(StartInstance)) == scaling.get("min_instances", 1)
        if refused is not None:
            assert [(note.change, note.reason) for note in made.notes("refused")] == refused


@pytest.mark.slow
def test_advice_goes_when_nothing_is_wanted_and_with_a_pause():
    made = world(mode="advise", offered=lambda time: 300.0 if time < 1030 else 120.0).run(20)
    assert made.state.advice
    made.happen(Command("pause"))
    assert made.state.advice == ""
    made.happen(Command("resume"))
    made.run(5)
    assert made.state.advice
    made.run(30)
    assert (made.state.advice, done(made)) == ("", [])


def test_replicas_of_a_kind_have_a_limit_for_operators_too():
    made = world(offered=300.0, max_replicas=2, max_instances=1).run(30)
    assert done(made) == [StartReplica(1, LEARNING)]
    made.happen(Command("replicate", 1, brick=LEARNING))
    said = f"2 replicas of {LEARNING} in an instance are the maximum (scaling.max_replicas)"
    assert (made.notes("refused")[-1].change, made.notes("refused")[-1].reason) == ("replicate", said)
    made.run(5)
    assert done(made) == [StartReplica(1, LEARNING)]
