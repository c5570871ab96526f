"""What becomes of instances whose agent is killed: the agent after it takes over those that are whole, and ends the rest."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from lego_sdn.adapters.linux import processes
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.rpc.calls import Client
from tests.fakes.host import FakeHost, fake_host

pytestmark = pytest.mark.root
NETWORK = "unsupervised-network"


@pytest.fixture
def host():
    with fake_host() as host:
        yield host


def start(host: FakeHost, agent: Client, instance: int, **more: Any) -> dict[str, Any]:
    return agent.call("start_instance", {"instance": instance, "model": host.model()} | more)


def load(process: dict[str, Any]) -> dict[str, Any]:
    with Client(process["socket"]) as client:
        return client.call("load")


def calls(process: dict[str, Any]) -> list[Any]:
    return load(process)["calls"]


def test_instances_go_on_under_the_next_agent(host):
    agent = host.start()
    run = agent.call("hello")["run"]
    start(host, agent, 1, cpu_quota=0.5)
    start(host, agent, 2, placement="separate")
    agent.call("start_replica", 2, NETWORK)
    agent.call("set_quota", 1, 0.25)
    before = agent.call("instances")
    for _ in range(2):
        assert host.end(signal.SIGKILL) == -signal.SIGKILL
        agent = host.start()
        hello = agent.call("hello")
        assert hello["run"] == run
        assert hello["instances"] == before
    assert [calls(process) for process in before[0]["processes"]] == [[]], "nobody disturbed it"
    assert agent.call("start_instance", before[0]["spec"]) == before[0]
    assert agent.call("set_quota", 1, None)
    assert agent.call("stop_replica", 2, f"{NETWORK}-1")["report"]["calls"][-1] == ["drain"]
    assert agent.call("start_replica", 2, NETWORK)["process"]["process"] == "2-g", "no name is used twice"
    start(host, agent, 3)
    assert len(agent.call("stop_instance", 2, 100)["reports"]) == 6
    assert host.end() == 0
    assert host.left(run) == []


def test_what_is_not_whole_is_ended_and_the_rest_goes_on(host):
    agent = host.start()
    run = agent.call("hello")["run"]
    whole, broken = start(host, agent, 1), start(host, agent, 2, placement="separate")
    host.end(signal.SIGKILL)
    os.kill(broken["processes"][2]["pid"], signal.SIGKILL)
    agent = host.start()
    assert agent.call("instances") == [whole]
    assert "instance 2 cannot be taken over: process 2-c" in host.log()
    assert [Process.of(process["pid"]) for process in broken["processes"]] == [None] * 5
    left = {process.pid for process in processes.marked(run)}
    assert whole["processes"][0]["pid"] in left
    assert len(left) == 2, "its process and the warm one"
    start(host, agent, 2)
    assert host.end() == 0
    assert host.left(run) == []


def test_an_agent_of_another_bridge_takes_nothing_over(host):
    agent = host.start()
    run = agent.call("hello")["run"]
    one = start(host, agent, 1)
    host.end(signal.SIGKILL)
    host.bridge, first = f"{host.bridge}x", host.bridge
    again = host.start().call("hello")
    assert again["instances"] == []
    assert again["run"] != run
    assert Process.of(one["processes"][0]["pid"]) is None
    assert host.end() == 0
    host.bridge = first
    assert host.left(run) == []


def wired(told: dict[str, Any]) -> dict[str, list[Any]]:
    """By process, what it was told last of its rings."""
    found = {}
    for process in told["processes"]:
        for method in ("routes", "inputs"):
            said = [call[1] for call in calls(process) if call[0] == method]
            if said:
                found[f"{process['process']} {method}"] = said[-1]
    return found


def kill_in(host: FakeHost, agent: Client, call: tuple[Any, ...], process: str) -> None:
    """Kill the agent while it waits for this process, in the middle of a change."""
    with pytest.raises(Exception, match=r"did not answer|closed|cannot reach"):
        agent.call(*call, timeout=0.7)
    host.end(signal.SIGKILL)


def test_a_change_that_was_begun_is_rolled_back_or_finished(host):
    """A replica that was being started goes again; one that was being stopped goes; a chain is as before. The instance goes on."""
    agent = host.start()
    run = agent.call("hello")["run"]
    one = start(host, agent, 1, model=host.model("mute-1-f", "mute-1-h"), placement="separate", cpu_quota=0.2)
    kill_in(host, agent, ("start_replica", 1, NETWORK), "1-f")
    agent = host.start()
    (told,) = agent.call("instances")
    assert (told["state"], told["processes"]) == ("running", one["processes"])
    before = agent.call("start_replica", 1, NETWORK)
    assert before["process"]["process"] == "1-g"
    os.kill(before["process"]["pid"], signal.SIGSTOP)
    kill_in(host, agent, ("stop_replica", 1, f"{NETWORK}-1"), "1-g")
    os.kill(before["process"]["pid"], signal.SIGCONT)
    agent = host.start()
    (told,) = agent.call("instances")
    assert (told["state"], told["processes"]) == ("running", one["processes"])
    assert Process.of(before["process"]["pid"]) is None
    specs = [load(process)["spec"] for process in one["processes"]]
    assert wired(told) == {
        "1-c routes": specs[2]["rings_out"],
        "1-e inputs": {"sample-result-0": specs[4]["rings_in"]},
    }
    assert "instance 1: ending what was begun: without 1-g" in host.log()
    assert len(agent.call("stop_instance", 1, 100)["reports"]) == 5
    assert host.end() == 0
    assert host.left(run) == []
