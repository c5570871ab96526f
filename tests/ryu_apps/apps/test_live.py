"""The controller on a real bridge with real packets: who gets which, what is counted, and what rewriting rules does to traffic."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from lego_sdn.adapters.linux import netns
from tests.ryu_apps.bridges import bridge, ofctl
from tests.ryu_apps.lab import Lab, lab, until
from tests.ryu_apps.traffic import Listener, Seen, Wire, wire

pytestmark = pytest.mark.root

BUCKETS = 64
SOURCES = [0x0A000100 + number for number in range(BUCKETS)]  # 10.0.1.x, one per bucket
DESTINATIONS = [0x0A000200 + number for number in range(0, BUCKETS, 5)]
REWRITES = 24
FOREIGN = "cookie=0x99,table=30,priority=7,ip,actions=drop"
LOSSES = re.compile(r"the switch could not put out [1-9]\d* packets/s to its port")
SCALING = {"min_instances": 2, "max_instances": 2, "cooldown_s": 0.01}


@dataclass
class Site:
    lab: Lab
    wire: Wire
    listeners: dict[int, Listener]

    def read(self) -> tuple[dict[int, Seen], Seen]:
        """What each instance and the sink received since the last time."""
        return {number: listener.read() for number, listener in self.listeners.items()}, self.wire.sink.read()

    def owners(self) -> dict[int, int]:
        return {row["bucket"]: row["owner"] for row in self.lab.get("assignment")["buckets"]}

    def move(self, buckets: list[int], instance: int) -> None:
        self.lab.begun("move", {"buckets": buckets, "instance": instance})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ExitStack() as stack:
        made = stack.enter_context(lab(tmp_path_factory.mktemp("live"), settings={"scaling": SCALING}))
        made.settings["forward"] = {"mode": "wires", "wires": [[f"{made.bridge}s", f"{made.bridge}d"]]}
        made.start_controller()
        stack.enter_context(bridge(made))
        until(lambda: made.get("switches")["switches"] and made.get("switches")["switches"][0]["error"], "the wire's ports are missed")
        line = stack.enter_context(wire(made.bridge))
        made.start_agent(made.bridge, f"{made.bridge}")
        stack.callback(made.close)  # the agent's ports go before the bridge
        until(lambda: made.running_instances() == [1, 2] and made.settled(), "two instances own the buckets")
        listeners = {number: Listener(f"{made.bridge}i{number}", "in0") for number in (1, 2)}
        for listener in listeners.values():
            stack.enter_context(listener.socket)
        ofctl(made, "add-flow", made.bridge, FOREIGN)
        yield Site(made, line, listeners)


def test_every_packet_goes_to_its_owner_and_a_shadow_to_the_other_end_s(site: Site):
    owners = site.owners()
    first = site.wire.sent
    site.wire.send(BUCKETS * len(DESTINATIONS), SOURCES, DESTINATIONS)
    instances, sink = site.read()
    assert sorted(sink.owned) == list(range(first, site.wire.sent)), "forwarding"
    for number in range(first, site.wire.sent):
        source, destination = number % BUCKETS, DESTINATIONS[number // BUCKETS % len(DESTINATIONS)] % BUCKETS
        for instance, seen in instances.items():
            assert seen.owned.count(number) == (owners[source] == instance)
            assert seen.shadows.count(number) == (owners[source] != instance and owners[destination] == instance)


def test_packets_are_counted_by_owner_and_bucket(site: Site):
    before = site.lab.get("flows")
    site.wire.send(10 * BUCKETS, SOURCES, DESTINATIONS)

    def counted():
        now = site.lab.get("flows")
        return all(now["packets_by_bucket"][str(b)] - before["packets_by_bucket"][str(b)] == 10 for b in range(BUCKETS))

    until(counted, "ten packets in every bucket")
    now, owners = site.lab.get("flows"), site.owners()
    for instance in (1, 2):
        gained = now["packets_by_owner"][str(instance)] - before["packets_by_owner"][str(instance)]
        assert gained == 10 * sum(owner == instance for owner in owners.values())
    rows = [row for row in now["flows"] if row["role"] == "owner" and row["packets"]]
    assert {row["family"] for row in rows} == {"ipv4"}
    assert all(row["owner"] == owners[row["bucket"]] and row["bytes"] == row["packets"] * 68 for row in rows)
    until(lambda: sum(row["tx_packets"] for row in site.lab.get("switches")["switches"][0]["ports"] if row["instance"]), "port counters")
    site.read()


def test_rates_by_bucket_are_seen(site: Site):
    thread = threading.Thread(target=site.wire.send, args=(4000, SOURCES[:2], DESTINATIONS, 2000))
    thread.start()
    until(lambda: site.lab.get("assignment")["buckets"][1]["packets_per_s"] > 100, "a rate of bucket 1")
    thread.join()
    assert site.lab.get("assignment")["buckets"][2]["packets_per_s"] == 0
    site.read()


def test_what_the_switch_cannot_put_out_is_counted_and_held_against_it(site: Site):
    """The instance's end of its port takes nothing."""
    bucket = next(bucket for bucket, owner in site.owners().items() if owner == 2)
    before = port_of(site, 2)
    thread = threading.Thread(target=site.wire.send, args=(5000, [SOURCES[bucket]], DESTINATIONS, 2000))
    set_inside(site, 2, "down")
    try:
        thread.start()
        until(
            lambda: (seen := bottleneck(site, 2))["cause"] == "switch" and LOSSES.fullmatch(seen["evidence"]),
            "the switch is named, by what its port counts",
        )
    finally:
        set_inside(site, 2, "up")
        thread.join()
        site.listeners[2].socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # it was told of the interface
    assert port_of(site, 2)["tx_dropped"] > before["tx_dropped"]
    assert port_of(site, 1)["tx_dropped"] == 0
    until(lambda: bottleneck(site, 2)["cause"] is None, "it is over")
    site.read()


def port_of(site: Site, instance: int) -> dict:
    return next(row for row in site.lab.get("switches")["switches"][0]["ports"] if row["instance"] == instance)


def bottleneck(site: Site, instance: int) -> dict:
    return next(one["bottleneck"] for one in site.lab.get("status")["instances"] if one["instance"] == instance) or {"cause": None}


def set_inside(site: Site, instance: int, state: str) -> None:
    with netns.inside(f"{site.lab.bridge}i{instance}"):
        subprocess.run(["ip", "link", "set", "in0", state], check=True)


def test_rewriting_rules_under_traffic_loses_nothing_and_gives_nothing_two_owners(site: Site):
    site.read()
    first, before = site.wire.sent, site.lab.get("assignment")["version"]
    done = threading.Event()

    def keep_sending() -> None:
        while not done.is_set():
            site.wire.send(200, SOURCES, DESTINATIONS, 4000)

    thread = threading.Thread(target=keep_sending)
    thread.start()
    try:
        for moves in range(REWRITES):
            site.move(list(range(moves % 2, BUCKETS, 2)), 1 + (moves // 2) % 2)
        site.move(list(range(BUCKETS // 2)), 1)
        site.move(list(range(BUCKETS // 2, BUCKETS)), 2)
        until(site.lab.settled, "the last rules are in force")
    finally:
        done.set()
        thread.join()
    rewrites = site.lab.get("assignment")["version"] - before
    instances, sink = site.read()
    assert rewrites >= 20, "too few to tell"
    assert site.wire.sent - first > 1000, "too little traffic to tell"
    assert [seen.kernel_drops for seen in (*instances.values(), sink)] == [0, 0, 0]
    owned = [number for seen in instances.values() for number in seen.owned]
    assert sorted(sink.owned) == list(range(first, site.wire.sent)), "forwarding lost or doubled a packet"
    assert len(owned) == len(set(owned)), "a packet had two owners"
    assert set(owned) == set(sink.owned), "a packet had no owner"
    for seen in instances.values():
        assert len(seen.shadows) == len(set(seen.shadows))
        assert not set(seen.shadows) & set(seen.owned), "an owner got its own packet as a shadow"
    print(f"{rewrites} rewrites; {len(sink.owned)} packets, owned {[len(seen.owned) for seen in instances.values()]}")


def test_rules_that_did_not_change_are_not_touched(site: Site):
    until(site.lab.settled, "nothing is in flight")
    bucket, other = 9, 3 - site.owners()[9]
    site.move([bucket], other)
    until(lambda: site.lab.settled() and site.owners()[bucket] == other, "the bucket is moved")
    last = site.lab.get("status")["rules"]["last"]
    assert (last["added"], last["deleted"]) == (12, 4)
    flows = [row for row in site.lab.get("flows")["flows"] if row["bucket"] is not None]
    youngest_other = min(row["age_s"] for row in flows if row["bucket"] != bucket)
    assert max(row["age_s"] for row in flows if row["bucket"] == bucket) < youngest_other


def test_rules_that_somebody_deleted_come_back_and_foreign_rules_stay(site: Site):
    wanted = len(site.lab.get("flows")["flows"])
    ofctl(site.lab, "del-flows", site.lab.bridge, "table=1")
    until(lambda: len(site.lab.get("flows")["flows"]) == wanted, "the rules are back")
    assert any(event["kind"] == "repair" for event in site.lab.get("events")["events"])
    assert "cookie=0x99" in ofctl(site.lab, "dump-flows", site.lab.bridge, "table=30")


def test_a_dead_controller_does_not_stop_traffic_and_a_new_one_takes_over(site: Site):
    owners, calls = site.owners(), site.lab.agent("called").count("start_instance")
    oldest = min(row["age_s"] for row in site.lab.get("flows")["flows"])
    site.lab.begun("pause")
    site.lab.kill("controller")
    first = site.wire.sent
    site.wire.send(2000, SOURCES, DESTINATIONS)
    instances, sink = site.read()
    assert (
        sorted(sink.owned) == sorted(number for seen in instances.values() for number in seen.owned) == list(range(first, site.wire.sent))
    )
    site.lab.start_controller()
    until(lambda: site.lab.running_instances() == [1, 2] and site.lab.settled(), "the new controller has taken over")
    assert site.owners() == owners
    assert site.lab.agent("called").count("start_instance") == calls
    last = site.lab.get("status")["rules"]["last"]
    assert (last["added"], last["deleted"]) == (0, 0)
    assert min(row["age_s"] for row in site.lab.get("flows")["flows"]) > oldest, "a rule was touched"
    assert site.lab.get("status")["paused"], "as the operator left it"
    assert {"paused": True, "earlier": True} in [event["fields"] for event in site.lab.get("events")["events"] if event["kind"] == "pause"]
    site.lab.begun("resume")


def test_a_foreign_rule_where_lego_s_must_go_is_named_and_left_alone(site: Site):
    site.lab.kill("controller")
    ofctl(site.lab, "del-flows", site.lab.bridge, "table=0")
    ofctl(site.lab, "add-flow", site.lab.bridge, "cookie=0x98,table=0,priority=0,actions=drop")
    site.lab.start_controller()
    error = until(lambda: site.lab.get("switches")["switches"] and site.lab.get("switches")["switches"][0]["error"], "the error is shown")
    assert "a rule of somebody else stands on" in error
    assert "in table 0 at priority 0 where LEGO's must go (cookie 0x98): remove it, or give it another priority" in error
    assert "cookie=0x98" in ofctl(site.lab, "dump-flows", site.lab.bridge, "table=0")
    assert not site.lab.get("status")["paused"], "a resume is kept, too"
    ofctl(site.lab, "del-flows", site.lab.bridge, "cookie=0x98/-1")
    until(site.lab.settled, "once it is gone, the rules go in", 20)
