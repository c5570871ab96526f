"""What LEGO has of its host and what is left, while instances, replicas and the twin come; and what does not fit in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.control.events import AgentDown, AgentUp, Command, InstanceStarted, Loads, Running, StartInstance, Tick
from lego_sdn.core.control.host_resources import free_cores, free_memory, given_cores, instance_bytes, lacking_memory, used_memory
from lego_sdn.core.control.hosts import LOCAL, HostState
from lego_sdn.core.control.state import fresh
from lego_sdn.core.facts.actions import BrickAction, Separate, StartReplica
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.observe.score_audit import ReferenceInstance
from lego_sdn.simulation.brick_queues import GRAPH
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import InMemorySystem
from tests.core.cost.costs import MB, kitsune

LEARNING = "unsupervised-network"
COSTS = kitsune(process_bytes=40 * MB)
REPLICA, INSTANCE = 60 * MB, 404 * MB  # a process with the network in it; five processes and their bricks


def world(costs=None, free_bytes: float | None = None, offered: float = 0.0, **settings) -> InMemorySystem:
    """An instance of five processes of 0.2 cores each on a host with 2 cores; nothing is changed unless it is asked for."""
    given = {
        "model": "m",
        "instance": {"cpu_quota": QUOTA, "placement": "separate"},
        "scaling": {"policy": "bricks", "cooldown_s": 0.5, "reallocate": False, "max_instances": 2},
    }
    config = Config.parse(given | settings)
    host = BrickHost(cost_us=dict.fromkeys(GRAPH, 250.0) | {LEARNING: 1000.0}, cores=2.0, free_bytes=free_bytes)
    host.memory_of = costs.memory_bytes if costs else host.memory_of  # they take what was profiled
    made = InMemorySystem(config, lambda bucket, time: offered / 64, host=host, state=replace(fresh(config), costs=costs))
    return made.up().run(3.5)


def asked(made: InMemorySystem) -> list[BrickAction]:
    return [action for _, _, actions in made.log for action in actions if isinstance(action, BrickAction | StartInstance)]


def test_what_is_being_started_has_its_cores_already():
    made = world()
    assert (given_cores(made.state), free_cores(made.state)) == pytest.approx((1.0, 1.0))
    made.mute = {StartReplica, StartInstance}
    made.happen(Command("replicate", 1, brick=LEARNING))
    assert free_cores(made.state) == pytest.approx(0.8)
    made.state = replace(made.state, change=replace(made.state.change, action=Separate(1, LEARNING, 0.05)))
    assert free_cores(made.state) == pytest.approx(0.95), "a leftover that was asked for"
    made.state = replace(made.state, change=None)
    made.happen(Command("replicate"))
    assert made.state.members[2].phase == "starting"
    assert free_cores(made.state) == pytest.approx(0.0)
    assert free_cores(replace(made.state, hosts={LOCAL: HostState(agent=True)})) is None


def test_the_twin_has_what_it_uses_and_before_that_what_the_instances_use():
    made = world(offered=100.0)
    used = 100 * (4 * 250 + 1000) / 1e6
    made.state = replace(made.state, twin=ReferenceInstance("starting", since=made.now))
    assert given_cores(made.state) == pytest.approx(1.0 + used, rel=0.05)
    made.happen(InstanceStarted(REFERENCE, 9))
    for at, cpu_s in ((1.0, 0.0), (2.0, 0.35)):
        told = replace(made.host.reports(1, made.now)[0], instance=REFERENCE, process=f"{REFERENCE}-a", time=made.now + at, cpu_s=cpu_s)
        made.happen(Loads((told,)))
    assert given_cores(made.state) == pytest.approx(1.35, abs=0.02)
    assert REFERENCE not in made.state.loads, "it is no member"
    assert (REFERENCE, f"{REFERENCE}-a") in made.state.reports
    assert used_memory(made.state) == sum(report.rss_bytes for report in made.state.reports.values()) > 0


def test_a_replica_for_which_there_is_no_memory_is_refused_and_said_why():
    made = world(COSTS, free_bytes=REPLICA - MB, offered=300.0)
    assert instance_bytes(made.state) == INSTANCE
    made.run(20)
    assert asked(made) == [StartInstance(1)]
    (told, *more) = made.notes("refused")
    assert "it wants 63 MB of memory, and 62 MB are free on the host" in told.text
    assert not more, "it is said once"
    made.host.free_bytes = REPLICA + MB
    made.run(5)
    assert asked(made)[1] == StartReplica(1, LEARNING)


def test_an_operators_wishes_are_refused_too_and_memory_of_what_starts_is_taken():
    made = world(COSTS, free_bytes=INSTANCE + REPLICA)
    made.mute = {StartReplica, StartInstance}
    assert lacking_memory(made.state, INSTANCE + REPLICA) is None
    made.happen(Command("replicate"))
    assert free_memory(made.state) == REPLICA
    made.state = replace(made.state, change=None)
    made.happen(Command("replicate"))
    assert "refused: it wants 424 MB of memory, and 63 MB are free on the host" in made.notes("refused")[-1].text
    made.happen(Command("replicate", 1, brick=LEARNING))
    assert made.state.change.action == StartReplica(1, LEARNING)
    assert free_memory(made.state) == 0


def test_without_a_profile_a_process_is_as_large_as_the_largest_that_runs():
    made = world(offered=10.0)
    sizes = [report.rss_bytes for report in made.state.reports.values()]
    assert instance_bytes(made.state) == sum(sizes)
    made.host.free_bytes = max(sizes) - 1
    made.run(1.0)
    made.happen(Command("replicate", 1, brick=LEARNING))
    assert "of memory" in made.notes("refused")[-1].text


def test_a_host_that_does_not_say_what_it_has_refuses_nothing():
    made = world(COSTS)
    assert free_memory(made.state) is None
    assert lacking_memory(made.state, 1e15) is None


def test_the_twin_waits_for_memory():
    made = world(COSTS, free_bytes=INSTANCE - MB, capture={"stamps": "trailer"}, audit={"share": 1.0})
    assert StartInstance(REFERENCE) in asked(made), "the host's memory is known with the first round only"
    made.state = replace(made.state, twin=ReferenceInstance())
    made.happen(Tick())
    assert made.state.twin.phase == "absent"
    assert "the twin, instance 999, is not started: it wants 424 MB" in made.notes("refused")[-1].text
    made.host.free_bytes = 2 * INSTANCE
    made.run(1.0)
    assert made.state.twin.phase == "absent", "not before it is time"
    made.now = made.state.twin.until
    assert StartInstance(REFERENCE) in made.happen(Tick())


# ---- several hosts ----
def test_each_agent_speaks_for_its_own_host_only():
    made = world()
    laid = Arrangement(graph=Graph.line(*GRAPH), quota=0.5, placement="separate").apply(StartInstance(7))
    far = Running(7, 40, laid)
    made.happen(AgentUp((far,), cores=8.0, memory_bytes=1e9, host="far"))
    assert {i: member.host for i, member in made.state.members.items()} == {1: LOCAL, 7: "far"}
    assert made.state.running == (1, 7), "the other host's agent did not name instance 1, which is not its own"
    assert (given_cores(made.state), given_cores(made.state, "far")) == pytest.approx((1.0, 2.5))
    assert (free_cores(made.state), free_cores(made.state, "far")) == pytest.approx((1.0, 5.5))
    made.happen(AgentUp((Running(1, made.host.ports[1], made.host.pipelines[1].arrangement),), cores=2.0))
    assert made.state.running == (1, 7)
    made.happen(AgentDown("timed out", host="far"))
    assert (made.state.answers(), made.state.answers("far")) == (True, False)
    made.happen(AgentUp((), cores=8.0, host="far"))
    assert made.state.running == (1,), "gone from the host whose agent does not name it any more"


def test_free_memory_is_that_of_the_host_that_is_asked_for():
    made = world()
    made.happen(AgentUp((), memory_bytes=2e9, host="far"))
    made.happen(Loads((), free_bytes={LOCAL: 3e8, "far": 5e8}))
    assert (free_memory(made.state), free_memory(made.state, "far")) == (3e8, 5e8)
    assert lacking_memory(made.state, 4e8) == "it wants 400 MB of memory, and 300 MB are free on the host"
    assert lacking_memory(made.state, 4e8, "far") is None


def test_an_agent_of_another_host_does_not_speak_for_the_twin():
    made = world(capture={"stamps": "trailer"}, audit={"share": 1.0})
    phase = made.state.twin.phase
    assert phase != "absent"
    made.happen(AgentUp((), host="far"))
    assert made.state.twin.phase == phase
