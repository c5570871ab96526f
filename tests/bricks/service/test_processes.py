"""Brick processes: chained or separate, replicated or not, the scores are those of one offline run, bit for bit."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from bricks.files.scores import read_scores
from bricks.transport import rings
from lego_sdn.adapters.rpc.calls import RpcError
from tests.bricks.chain import CHAIN, Feed, Instance, check
from tests.bricks.conftest import PACKETS

pytestmark = pytest.mark.data


@pytest.fixture
def feed(tmp_path, packets):
    feed = Feed(tmp_path, packets)
    yield feed
    feed.close()


@pytest.fixture
def instance(tmp_path, model, feed, warm):
    instance = Instance(tmp_path, model, feed, warm)
    yield instance
    instance.close()
    left = rings.names(instance.name)
    assert left == []


def test_chained_in_one_process(instance, offline):
    instance.start("a", CHAIN)
    instance.feed.let(PACKETS)
    report = instance.drain()
    check(instance, offline)
    assert [brick["packets_in"] for brick in report["bricks"]] == [PACKETS] * 5
    assert report["capture"]["received"] == PACKETS
    assert all(brick["dropped"].get("lost", 0) == 0 for brick in report["bricks"])


def test_every_brick_in_a_process_of_its_own(instance, offline):
    instance.start_separate()
    for count in (1, 2, 700, 5000, PACKETS):  # batches of every size
        instance.feed.let(count)
        instance.drain()
    check(instance, offline)
    assert [instance.brick(f"p{at}", brick)["packets_out"] for at, brick in enumerate(CHAIN)] == [PACKETS] * 5


def test_replicas_come_and_go_while_packets_flow(instance, offline):
    """To a chained instance: a replica of the learning network, a second one, and away with both."""
    instance.start("a", CHAIN)
    mapping, network, result = "feature-mapping-0", "unsupervised-network", "sample-result-0"
    routes, inputs, count = [], [], 0
    for serial, (down, up) in enumerate([("r1", "r2"), ("r3", "r4")], 1):
        instance.feed.let(count := count + 1000)
        routes, inputs = [*routes, instance.ring(down)], [*inputs, instance.ring(up)]
        instance.start(f"n{serial}", [f"{network}-{serial}"], [down], {f"{network}-{serial}": [up]}, slow_us={network: 50})
        instance.call("a", "inputs", {result: inputs})
        instance.call(f"n{serial}", "load")
        instance.call("a", "routes", {mapping: routes})
    instance.feed.let(count := count + 2000)
    instance.drain("a", "n1", "n2", "a")
    shares = [instance.brick(f"n{serial}", f"{network}-{serial}")["packets_in"] for serial in (1, 2)]
    for serial in (1, 2):
        instance.feed.let(count := count + 1000)
        instance.call("a", "routes", {mapping: routes[serial:]})
        instance.drain(f"n{serial}")
        instance.call("a", "inputs", {result: inputs[serial:]})
        instance.call(f"n{serial}", "stop")
    instance.drain("a")
    check(instance, offline)
    assert min(shares) > 0, "a replica had nothing to do"


def test_keyed_replicas_share_the_stream_and_the_chain_is_left_and_entered(instance, offline):
    """The keyed brick of a chained instance: a replica with the streams of its sources, then everything there, then everything back."""
    keyed, mapping = "feature-quantization", "feature-mapping-0"
    there = {"ring": instance.ring("r1"), "socket": str(instance.folder / "k.sock")}
    here, count = {"ring": None}, 0
    instance.start("a", CHAIN, slow_us={keyed: 20})
    instance.start("k", [f"{keyed}-1"], ["r1"], {f"{keyed}-1": ["r2"]}, slow_us={keyed: 400})
    instance.call("a", "inputs", {mapping: [instance.ring("r2")]})
    instance.call("k", "load")
    for shares in ({f"{keyed}-0": here, f"{keyed}-1": there}, {f"{keyed}-1": there}, {f"{keyed}-0": here}):
        instance.feed.let(count := count + 1000)
        with pytest.raises(RpcError, match="can be shared out only at the interface"):
            instance.call("a", "deal", shares)
        while not instance.call("a", "pause", 3.0):  # the slow replica has a queue
            pass
        dealt = instance.call("a", "deal", shares)
        assert (dealt["records"] > 0, dealt["lost"]) == (True, [])
        assert dealt["bytes"] > 0
    instance.feed.let(PACKETS)
    instance.drain("a", "k", "a")
    check(instance, offline)
    parts = instance.brick("k", f"{keyed}-1")
    assert parts["packets_in"] > parts["packets_out"] > 0, "it saw shadows"
    assert instance.call("k", "hold", 1) == {"passed": None, "state": False}, "the process at the interface speaks for it"


@pytest.mark.slow
def test_a_killed_keyed_replica_costs_what_waited_before_it(instance):
    """Every row of it is counted, also of batches of which nobody else had a part; and soon everything goes on."""
    keyed, mapping = "feature-quantization", "feature-mapping-0"
    there = {"ring": instance.ring("r1"), "socket": str(instance.folder / "k.sock")}
    instance.start("a", CHAIN, batch=2)
    instance.start("k", [f"{keyed}-1"], ["r1"], {f"{keyed}-1": ["r2"]}, batch=2)
    instance.call("a", "inputs", {mapping: [instance.ring("r2")]})
    instance.call("k", "load")
    instance.feed.let(500)
    while not instance.call("a", "pause", 3.0):
        pass
    instance.call("a", "deal", {f"{keyed}-0": {"ring": None}, f"{keyed}-1": there})
    instance.feed.let(1000)
    instance.drain("a", "k", "a")
    os.kill(instance.started["k"], signal.SIGSTOP)
    instance.feed.let(1200)
    deadline = time.monotonic() + 20
    while instance.brick("a", "packet-batching-0")["queue_out"] == 0 or not instance.brick("a", "packet-batching-0")["blocked_s"]:
        assert time.monotonic() < deadline
    os.kill(instance.started.pop("k"), signal.SIGKILL)
    instance.call("a", "bury", [f"{keyed}-1"])
    while not instance.call("a", "pause", 3.0):
        pass
    assert instance.call("a", "deal", {f"{keyed}-0": {"ring": None}})["lost"] != []
    instance.call("a", "inputs", {mapping: []})
    instance.feed.let(PACKETS)
    began = time.monotonic()
    instance.drain("a")
    assert time.monotonic() - began < 10, "patience ends once for all that was lost"

    lost, scored = instance.brick("a", CHAIN[-1])["dropped"]["lost"], read_scores(instance.scores)["seq"]
    assert 0 < lost < 200
    assert len(scored) + lost == PACKETS
    assert (scored[1:] > scored[:-1]).all()


def test_an_idle_seat_in_a_chain(instance, offline):
    """The learning network leaves the chain and comes back, with packets in between."""
    mapping, network, result = "feature-mapping-0", "unsupervised-network", "sample-result-0"
    instance.start("a", CHAIN)
    instance.feed.let(1000)
    instance.start("n", [f"{network}-1"], ["r1"], {f"{network}-1": ["r2"]})
    instance.call("a", "inputs", {result: [instance.ring("r2")]})
    instance.call("n", "load")
    instance.call("a", "routes", {mapping: [instance.ring("r1")]}, [f"{network}-0"])
    before = instance.brick("a", f"{network}-0")["packets_in"]
    instance.feed.let(4000)
    instance.drain("a", "n", "a")
    assert instance.brick("a", f"{network}-0")["packets_in"] == before
    assert instance.brick("n", f"{network}-1")["packets_in"] == 4000 - before
    instance.call("a", "routes", {mapping: []}, [])
    instance.feed.let(PACKETS)
    instance.drain("n", "a")
    instance.call("a", "inputs", {result: []})
    check(instance, offline)


def test_a_killed_replica_costs_no_packet_if_its_ring_is_given_to_others(instance, offline):
    """What waits before a replica that was killed goes to the other, and comes out at its place."""
    mapping, network = "feature-mapping-0", "unsupervised-network"
    instance.start("a", CHAIN[:3], [], {mapping: ["r1", "r3"]})
    instance.start("n1", [f"{network}-1"], ["r1"], {f"{network}-1": ["r2"]})
    instance.start("c", CHAIN[4:], ["r2", "r4"])
    instance.call("n1", "load")
    os.kill(instance.started["n1"], signal.SIGSTOP)
    instance.feed.let(1000)
    instance.call("a", "drain", 300)
    os.kill(instance.started["n1"], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not any(one["pid"] == instance.started["n1"] for one in instance.warm.call("exits")):
        assert time.monotonic() < deadline
    instance.call("a", "routes", {mapping: [instance.ring("r3")]})
    instance.start("n2", [f"{network}-2"], ["r3"], {f"{network}-2": ["r4"]})
    instance.feed.let(PACKETS)
    del instance.started["n1"]
    instance.drain("a", "n2", "c")
    check(instance, offline)


def test_a_slow_brick_and_its_deadline(instance, offline):
    """Burnt CPU changes no score; who is late is told by the brick, and by the last one for the whole path."""
    network, result = CHAIN[3], CHAIN[4]
    instance.start("a", CHAIN, slow_us={network[:-2]: 300}, deadlines={network[:-2]: 1000, result[:-2]: 9000})
    instance.feed.let(100)
    instance.drain()
    slow, last = instance.brick("a", network), instance.brick("a", result)
    assert slow["service_us"] >= 300
    assert (slow["late"], last["late"], last["counters"]["late_total"]) == (0, 0, 0)
    assert last["latency_us"] > slow["service_us"]
    instance.call("a", "deadlines", {network[:-2]: 0.001, result[:-2]: 0.001})
    instance.feed.let(300)
    instance.drain()
    slow, last = instance.brick("a", network), instance.brick("a", result)
    assert (slow["late"], last["counters"]["late_total"]) == (200, 200)
    with pytest.raises(RpcError, match="deadlines: wanted milliseconds for kinds of bricks, found 7"):
        instance.call("a", "deadlines", 7)
    check(instance, offline, 300)


def test_back_pressure_reaches_the_source_and_calls_are_answered_meanwhile(instance, offline):
    instance.start("a", CHAIN[:4], [], {CHAIN[3]: ["r"]})
    instance.feed.let(PACKETS)
    deadline = time.monotonic() + 20
    while instance.brick("a", CHAIN[3])["queue_out"] < rings.SLOTS * 64:
        assert time.monotonic() < deadline
    assert instance.call("a", "load")["capture"]["received"] == rings.SLOTS * 64, "packets were taken that have nowhere to go"
    began = time.monotonic()
    instance.call("a", "drain", 500)
    assert time.monotonic() - began >= 0.5, "it was said to be drained, with packets at its interface"
    instance.start("b", CHAIN[4:], ["r"])
    instance.drain()
    check(instance, offline)


def test_a_process_that_died_is_replaced_on_its_rings(instance, offline):
    """The mapping brick is killed and started again: what was in its ring is still there, nothing twice, nothing lost."""
    instance.start("a", CHAIN[:2], [], {CHAIN[1]: ["r1"]})
    instance.start("b", CHAIN[2:4], ["r1"], {CHAIN[3]: ["r2"]})
    instance.start("c", CHAIN[4:], ["r2"])
    instance.feed.let(2000)
    instance.drain()
    os.kill(instance.started["b"], signal.SIGKILL)
    instance.feed.let(PACKETS)
    (instance.folder / "b.sock").unlink()
    instance.start("b", CHAIN[2:4], ["r1"], {CHAIN[3]: ["r2"]})
    instance.drain("a", "b", "c")
    check(instance, offline)


def test_sigterm_finishes_what_waits(instance, offline):
    instance.start("a", CHAIN)
    instance.call("a", "load")
    instance.feed.let(PACKETS)
    os.kill(instance.started["a"], signal.SIGTERM)
    deadline, exits = time.monotonic() + 20, []
    while not exits:
        assert time.monotonic() < deadline
        exits = [one for one in instance.warm.call("exits") if one["pid"] == instance.started["a"]]
    assert exits == [{"pid": instance.started["a"], "status": 0, "signal": None}]
    check(instance, offline)


def test_an_idle_instance_sleeps(instance):
    instance.start_separate()
    names = list(instance.started)
    before = [instance.call(name, "load") for name in names]
    time.sleep(1.0)  # the thing measured is what happens in a second of nothing
    after = [instance.call(name, "load") for name in names]
    used = [now["cpu_s"] - then["cpu_s"] for then, now in zip(before, after, strict=True)]
    assert max(used) < 0.02


def test_state_goes_from_one_instance_to_another(instance, offline, packets, tmp_path_factory):
    """All buckets exported by one instance and adopted by another that never saw a packet: it goes on with the same scores."""
    instance.start("a", CHAIN)
    instance.feed.let(3000)
    instance.drain()
    folder = tmp_path_factory.mktemp("other")
    feed = Feed(folder, packets[3000:])
    other = Instance(folder, instance.model, feed, instance.warm)
    try:
        other.start("b", CHAIN)
        assert other.call("b", "adopt", instance.call("a", "export", list(range(64))))["records"] > 0
        feed.let(PACKETS - 3000)
        other.drain()
        assert read_scores(other.scores)["score"].tobytes() == offline[3000:].tobytes()
    finally:
        other.close()
        feed.close()


def test_calls_that_cannot_be_answered_say_why(instance):
    instance.start("a", CHAIN[:1], [], {CHAIN[0]: ["r"]})
    for method, params, sentence in (
        ("alerts", [0], "raises no alerts"),
        ("routes", [{"feature-mapping-7": []}], "has no brick feature-mapping-7"),
        ("routes", [[1]], "wanted a map from bricks"),
        ("routes", [{CHAIN[0]: ["x", "y"]}], "needs every batch in order"),
        ("export", [[1]], "no brick with streams"),
    ):
        with pytest.raises(RpcError, match=sentence):
            instance.call("a", method, *params)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"capture": {"torn": 1}}, "BrickError: unsupervised-network-0: the net is torn; mend it"),
        ({"model": "/nowhere"}, "ModelError: model /nowhere cannot be read"),
        ({"nf": "nothing"}, "BrickError: there is no NF 'nothing'"),
        ({"namespace": "/nowhere"}, "HostError: process a cannot enter the namespace /nowhere"),
        ({"cgroup": "/nowhere"}, "HostError: process a cannot join the cgroup /nowhere"),
        ({"scores": "/nowhere/x"}, "BrickError: scores cannot be written to /nowhere/x"),
        ({"layout": "kitsunepy100"}, "ModelError: model .* is of layout kitsune115, not kitsunepy100"),
    ],
)
def test_a_process_that_cannot_start_says_so_in_one_line(instance, change, sentence):
    instance.start("a", CHAIN[3:4], ["r1"], {CHAIN[3]: ["r2"]}, **change)
    deadline, exits = time.monotonic() + 20, []
    while not exits:
        assert time.monotonic() < deadline
        exits = [one for one in instance.warm.call("exits") if one["pid"] == instance.started["a"]]
    assert exits[0]["status"] == 1
    said = (instance.folder / "a.log").read_text().splitlines()
    assert len(said) == 1
    assert re.match(sentence, said[0])
