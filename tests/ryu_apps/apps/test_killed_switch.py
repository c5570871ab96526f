"""An Open vSwitch of the test's own is killed: when it is back, so are the rules."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from tests.ryu_apps.bridges import OwnSwitch, instance_ports, private_namespace
from tests.ryu_apps.lab import lab, until

pytestmark = pytest.mark.root


def test_rules_are_there_again_after_the_switch_was_killed(tmp_path):
    with (
        private_namespace(f"lk{os.getpid()}") as namespace,
        ExitStack() as stack,
        lab(tmp_path, namespace=namespace, settings={"scaling": {"min_instances": 2, "cooldown_s": 0.1}}) as made,
    ):
        switch = OwnSwitch(made)
        switch.start()
        stack.enter_context(instance_ports(made, 2, switch.vsctl))
        made.start_agent()
        made.start_controller()
        until(lambda: made.running_instances() == [1, 2] and made.settled(), "two instances own the buckets")
        before, version = sorted(switch.flows()), made.get("status")["rules"]["version"]
        assert len(before) == 10 + 12 * 64 + 2
        made.kill("ovs-vswitchd")
        until(lambda: not made.get("status")["bridge"]["connected"], "the controller sees that it is gone")
        assert made.running_instances() == [1, 2]
        switch.start_switch()
        until(lambda: made.get("status")["bridge"]["connected"] and made.settled(), "it is connected again")
        assert sorted(switch.flows()) == before
        assert made.get("status")["rules"]["version"] > version
        assert made.agent("called").count("start_instance") == 2, "no instance was started anew"
