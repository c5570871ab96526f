"""A real bridge that somebody else interferes with, while instances run: everything is put right or told, and no instance passes for exact.

One controller, one bridge, a fake agent whose instances are real ports: faults one after the other, each from outside.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest

from lego_sdn.adapters.linux import netns
from tests.ryu_apps.bridges import bridge, ofctl, vsctl
from tests.ryu_apps.lab import Lab, lab, until

pytestmark = pytest.mark.root
SCALING = {"min_instances": 2, "max_instances": 2, "cooldown_s": 0.01, "period_s": 0.5}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ExitStack() as stack:
        made = stack.enter_context(lab(tmp_path_factory.mktemp("reconcile"), settings={"scaling": SCALING}))
        made.start_controller()
        stack.enter_context(bridge(made))
        made.start_agent(made.bridge, made.bridge)
        stack.callback(made.close)  # the agent's ports go before the bridge
        until(lambda: made.running_instances() == [1, 2] and made.settled(), "two instances own the buckets", 90)
        yield made


def exact(site: Lab) -> dict[int, dict]:
    return {one["instance"]: one["exact"] for one in site.get("status")["instances"]}


def newest(site: Lab) -> int:
    return site.get("events")["next"]


def told(site: Lab, kind: str, after: int) -> list[dict]:
    return [event for event in site.get(f"events?after={after}")["events"] if event["kind"] == kind]


def count(site: Lab, instance: int, reason: str) -> int:
    return exact(site)[instance]["losses"].get(reason, 0)


def rules(site: Lab) -> set[str]:
    return set(ofctl(site, "--no-stats", "dump-flows", site.bridge).splitlines())


def test_before_anything_happens_all_are_exact(site: Lab):
    assert {i: (one["reason"], one["inexact"], one["losses"]) for i, one in exact(site).items() if one["reason"] == "start"}
    assert "lego_instance_exact 1" in site.ask("/metrics").body.replace('{instance="1"}', "")


@pytest.mark.parametrize(
    "change",
    [
        ("mod-flows", "table=1,ip,actions=goto_table:9"),
        ("mod-flows", "table=2,actions=drop"),
        ("mod-flows", "table=0,actions=drop"),
        ("del-flows", "table=2,ip"),
        ("add-flow", "cookie=0x1e60000000000000,table=5,priority=9,actions=drop"),
        ("del-flows",),
    ],
)
def test_rules_that_somebody_changes_are_put_right_and_told(site: Lab, change: tuple[str, ...]):
    wanted, began, before = rules(site), newest(site), {i: count(site, i, "rules-repaired") for i in (1, 2)}
    command, *flow = change
    ofctl(site, command, site.bridge, *flow)
    until(lambda: told(site, "repair", began), "it is told")
    until(lambda: rules(site) == wanted and site.settled(), "the rules are as they were")
    assert all(count(site, i, "rules-repaired") == before[i] + 1 for i in (1, 2))
    for one in exact(site).values():
        assert one["inexact"]["time"] < one["since"]


def test_a_rule_of_somebody_else_before_lego_s_is_told_as_long_as_it_is_there(site: Lab):
    began = newest(site)
    ofctl(site, "add-flow", site.bridge, "cookie=0x77,table=0,priority=60000,ip,actions=normal")
    until(lambda: any("priority 60000" in text for text in site.get("status")["missing"]), "it is missing")
    assert "table 0, priority 60000, cookie 0x77" in told(site, "foreign", began)[0]["text"]
    assert exact(site)[1]["reason"] == "rules-of-others"
    first = count(site, 1, "rules-of-others")
    until(lambda: count(site, 1, "rules-of-others") > first, "it goes on")
    assert len(told(site, "foreign", began)) == 1, "not in each period"
    ofctl(site, "add-flow", site.bridge, "cookie=0x78,table=1,priority=60001,tun_src=10.0.0.1,actions=drop")
    until(lambda: any("priority 60001" in text for text in site.get("status")["missing"]), "any field is understood")
    ofctl(site, "del-flows", site.bridge, "cookie=0x77/-1")
    ofctl(site, "del-flows", site.bridge, "cookie=0x78/-1")
    until(lambda: not any("somebody else" in text for text in site.get("status")["missing"]), "it is gone")


def test_a_link_that_goes_down_is_told_at_once(site: Lab):
    began, before = newest(site), count(site, 2, "link-down")
    inside(site, 2, "down")
    until(lambda: count(site, 2, "link-down") > before, "it is told")
    inside(site, 2, "up")
    until(lambda: not any("gets no packets" in text for text in site.get("status")["missing"]), "it is up")
    assert told(site, "failed", began) == []


def test_an_instance_whose_port_is_taken_off_the_bridge_is_replaced(site: Lab):
    until(site.settled, "nothing is in flight")
    began, before = newest(site), count(site, 2, "streams-lost")
    vsctl("del-port", site.bridge, f"{site.bridge}i1")
    until(lambda: "InstanceDied" in [event["type"] for event in told(site, "failed", began)], "it is told")
    until(lambda: count(site, 2, "streams-lost") > before, "the other one has its buckets")
    until(lambda: site.running_instances() == [1, 2] and site.settled(), "another one runs", 120)
    until(lambda: {1, 2} <= behind_ports(site), "both have a port, in the next round of counters")


def behind_ports(site: Lab) -> set[int | None]:
    return {port["instance"] for switch in site.get("switches")["switches"] for port in switch["ports"]}


def inside(site: Lab, instance: int, state: str) -> None:
    with netns.inside(f"{site.bridge}i{instance}"):
        subprocess.run(["ip", "link", "set", "in0", state], check=True)
