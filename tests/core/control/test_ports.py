"""Ports of instances that vanish or whose links go down, as the switch tells."""

from __future__ import annotations

import pytest

from lego_sdn.core.control.events import PortsSeen, StopInstance, SwitchDown
from lego_sdn.core.control.ports import DOWN_S, GONE_S
from lego_sdn.core.facts.config import Config, ScalingSettings
from lego_sdn.simulation.memory import DPID, InMemorySystem

CONFIG = Config(model="m", scaling=ScalingSettings(policy="water-marks", min_instances=2, max_instances=2, cooldown_s=0.01))


@pytest.fixture
def world() -> InMemorySystem:
    made = InMemorySystem(CONFIG, lambda bucket, time: 1.0).up().run(5)
    see(made)
    return made


def see(made: InMemorySystem, without: int | None = None, down: int | None = None) -> None:
    """The switch tells of its ports, those of all instances among them but for `without`."""
    members = made.state.members
    made.happen(PortsSeen({one.ofport: i != down for i, one in members.items() if i != without and one.ofport is not None}))


def test_an_instance_whose_port_is_gone_is_replaced_and_told(world):
    see(world, without=1)
    assert world.state.running == (1, 2), "it may be told of late"
    assert "is gone from the bridge" in world.state.lacking[1].text
    world.now += GONE_S
    see(world, without=1)
    assert set(world.owned.values()) == {2}
    assert world.actions(StopInstance) == [StopInstance(1)]
    assert "its port" in world.notes("failed")[0].text
    assert world.state.exact[2].reason == "streams-lost"
    world.run(5)
    see(world)
    assert world.state.running == (1, 2)
    assert not world.state.lacking


def test_a_port_that_the_switch_tells_of_late_is_no_failure(world):
    see(world, without=2)
    world.now += 0.9 * GONE_S
    see(world)
    world.now += GONE_S
    see(world, without=2)
    assert world.state.running == (1, 2)


def test_a_link_that_is_down_is_told_at_once_and_fails_its_instance_if_it_stays(world):
    good, began = world.now, world.now + 0.5
    world.now = began
    see(world, down=2)
    assert (world.state.exact[2].reason, world.state.exact[2].sure_until) == ("link-down", good)
    assert [note.instance for note in world.notes("inexact")] == [2]
    while world.now < began + DOWN_S:
        assert world.state.running == (1, 2)
        world.now += 0.5
        see(world, down=2)
    assert set(world.owned.values()) == {1}


def test_a_link_that_comes_back_goes_on(world):
    see(world, down=2)
    world.now += 1
    see(world)
    world.now += DOWN_S
    see(world, down=2)
    assert world.state.running == (1, 2)


def test_without_a_switch_nothing_is_known_of_ports(world):
    see(world, without=1)
    world.happen(SwitchDown(DPID))
    assert not world.state.lacking
    assert world.state.running == (1, 2)
