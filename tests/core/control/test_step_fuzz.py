"""Any order of events: the core never breaks its promises (checked by the world after each step), and recovers once left alone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lego_sdn.core.control.events import (
    AgentDown,
    AgentUp,
    Command,
    Drain,
    Drained,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    StartInstance,
    Steer,
    Steered,
    StopInstance,
    SwitchDown,
    SwitchUp,
)
from lego_sdn.core.facts.actions import Separate, SetQuota, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import RegrowFailed, Regrown
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings, SlaSettings
from lego_sdn.simulation.brick_queues import GRAPH, apart
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import DPID, InMemorySystem
from tests.examples import examples

numbers = st.integers(1, 4)
names = st.sampled_from(["replicate", "merge", "move", "pause", "resume"])
steps = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([0.05, 0.2, 0.6, 3.0, 20.0])),
    st.tuples(st.just("load"), st.sampled_from([0.0, 500.0, 1500.0, 2500.0])),
    st.tuples(st.just("kill"), numbers),
    st.tuples(st.just("mute"), st.sets(st.sampled_from([StartInstance, StopInstance, Drain, Steer]), max_size=2)),
    st.tuples(st.just("fail"), st.integers(0, 6)),
    st.tuples(st.just("refuse"), st.integers(0, 3)),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("event"), st.sampled_from([SwitchUp(DPID), SwitchDown(DPID), SwitchUp(9), AgentDown("x")])),
    st.tuples(st.just("event"), st.builds(InstanceStopped, numbers)),
    st.tuples(st.just("event"), st.builds(InstanceFailed, numbers, st.just("x"))),
    st.tuples(st.just("event"), st.builds(Drained, numbers, st.booleans())),
    st.tuples(st.just("event"), st.builds(Steered, st.integers(0, 9))),
    st.tuples(st.just("event"), st.builds(Command, names, st.none() | numbers, st.lists(st.integers(-1, 9), max_size=3).map(tuple))),
    st.tuples(st.just("hello"), st.none()),
)
kinds = st.sampled_from(["unsupervised-network", "feature-mapping", "packet-batching", "x"])
bricks = kinds.flatmap(lambda kind: st.sampled_from([kind, f"{kind}-0", f"{kind}-1"]))
brick_actions = st.one_of(
    st.builds(StartReplica, numbers, kinds), st.builds(StopReplica, numbers, bricks), st.builds(Separate, numbers, kinds)
)
brick_steps = st.one_of(
    steps,
    st.tuples(st.just("event"), st.builds(Command, names, st.none() | numbers, st.just(()), bricks)),
    st.tuples(st.just("event"), brick_actions.map(lambda action: RegrowFailed(action.instance, "x", action))),
    st.tuples(st.just("event"), brick_actions.map(lambda action: Regrown(action.instance, apart(QUOTA), action))),
    st.tuples(st.just("mute"), st.sets(st.sampled_from([StartReplica, StopReplica, Separate, SetQuota]), max_size=3)),
    st.tuples(st.just("fail_within"), st.integers(0, 6)),
)


class Chaos:
    """Carries out one random step on the world."""

    def __init__(self, world: InMemorySystem) -> None:
        self.world, self.rate = world, 0.0
        world.offered = lambda bucket, time: self.rate / 8

    def run(self, seconds):
        self.world.run(seconds)

    def load(self, rate):
        self.rate = rate

    def kill(self, instance):
        if instance in self.world.host.ports:
            self.world.kill(instance)

    def mute(self, kinds):
        self.world.mute = kinds

    def fail(self, count):
        self.world.host.fail_starts = count

    def fail_within(self, count):
        self.world.host.refuse = count

    def refuse(self, count):
        self.world.steer_errors = count

    def restart(self, remembers):
        self.world.restart_controller(self.world.owned if remembers else None)

    def event(self, event):
        if isinstance(event, InstanceStopped):
            self.world.host.ports.pop(event.instance, None)
        self.world.happen(event)

    def hello(self, _):
        self.world.happen(AgentUp(self.world.host.running()))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=25), st.integers(1, 3))
def test_any_order_of_events_keeps_the_promises_and_it_recovers(chosen, least):
    scaling = ScalingSettings(min_instances=least, max_instances=4, period_s=1.0)
    world = InMemorySystem(Config(model="m", buckets=8, instance=InstanceSettings(cpu_quota=QUOTA), scaling=scaling)).up()
    chaos = Chaos(world)
    for name, argument in chosen:
        getattr(chaos, name)(argument)
    world.mute, world.host.fail_starts, world.steer_errors, chaos.rate = set(), 0, 0, 0.0
    world.happen(Command("resume"))
    world.happen(SwitchUp(DPID))
    world.happen(AgentUp(world.host.running()))
    world.run(150)
    state = world.state
    assert len(state.running) >= least
    assert set(world.host.ports) == set(state.running) == set(state.owners)
    assert world.rules_of == world.owned
    assert state.confirmed == state.version
    assert all(member.phase == "running" for member in state.members.values())


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(brick_steps, max_size=15), st.sampled_from(["chained", "separate"]))
def test_bricks_keep_the_promises_too(chosen, placement):
    """What the core believes of an instance's bricks is in the end what the agent has, and no change stays in flight."""
    scaling = ScalingSettings(max_instances=2, period_s=1.0, policy="bricks")
    instance = InstanceSettings(cpu_quota=QUOTA, placement=placement)
    host = BrickHost(cost_us=dict.fromkeys(GRAPH, 200.0) | {"unsupervised-network": 800.0}, placement=placement, cores=4.0)
    world = InMemorySystem(
        Config(model="m", buckets=8, instance=instance, scaling=scaling, sla=SlaSettings(latency_ms=1e5)), host=host
    ).up()
    chaos = Chaos(world)
    for name, argument in chosen:
        getattr(chaos, name)(min(argument, 3.0) if name == "run" else argument)
    world.mute, host.fail_starts, host.refuse, world.steer_errors, chaos.rate = set(), 0, 0, 0, 0.0
    world.happen(Command("resume"))
    world.happen(SwitchUp(DPID))
    world.run(60)  # whatever was asked and never answered is given up
    world.happen(AgentUp(host.running(), host.cores))
    world.run(60)
    assert {i: member.arrangement for i, member in world.state.members.items()} == {i: p.arrangement for i, p in host.pipelines.items()}
    assert world.state.change is None
    assert set(host.deadlines) >= set(world.state.running) or not world.state.sla.deadlines


def test_a_late_answer_to_a_start_given_up_is_stopped():
    world = InMemorySystem(Config(model="m", scaling=ScalingSettings(min_instances=1))).up().run(2)
    assert StopInstance(7) in world.happen(InstanceStarted(7, 77))
    assert world.state.running == (1,)
