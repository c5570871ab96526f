"""Bricks over processes and rings between them, as values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lego_sdn.agent.layout import InstanceLayout, lay_out, process_name
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph
from tests.two_keys import NF as TWO_KEYS

KINDS = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
NETWORK = "unsupervised-network"


def apart():
    return lay_out(3, "ab", Graph.line(*KINDS), "separate")


def test_chained_is_one_process_without_rings():
    wiring = lay_out(1, "ab", Graph.line(*KINDS), "chained")
    assert wiring.processes == {"1-a": tuple(f"{kind}-0" for kind in KINDS)}
    assert wiring.rings == ()


def test_separate_is_a_process_for_each_brick_and_a_ring_for_each_link():
    wiring = apart()
    assert wiring.processes["3-b"] == ("feature-quantization-0",)
    assert wiring.inputs("packet-batching-0") == wiring.routes("sample-result-0") == []
    for before, after in itertools.pairwise(KINDS):
        assert wiring.routes(f"{before}-0") == wiring.inputs(f"{after}-0") != []
    assert wiring.routes("packet-batching-0") == ["lego-ab-i3-r0"]


@pytest.mark.parametrize("placement", ["chained", "separate"])
def test_replicas_are_joined_to_every_neighbour_and_leave_no_trace(placement):
    first = lay_out(3, "ab", Graph.line(*KINDS), placement)
    second, one = first.with_replica(NETWORK)
    third, two = second.with_replica(NETWORK)
    assert (one, two) == (f"{NETWORK}-1", f"{NETWORK}-2")
    assert third.of_kind(NETWORK) == [f"{NETWORK}-0", one, two]
    both, mapper = third.with_replica("feature-mapping")
    assert len(both.routes(mapper)) == 3, "a ring to every network"
    assert len(both.inputs(one)) == 2
    names = [ring.name for ring in both.rings]
    assert len(set(names)) == len(names)
    back = both.without(mapper).without(two).without(one)
    assert (back.processes, back.rings) == (first.processes, first.rings)
    again, _ = back.with_replica(NETWORK)
    assert not {ring.name for ring in again.rings} & (set(names) - {ring.name for ring in first.rings}), "no name is used twice"


def test_the_order_of_draining_is_that_of_the_graph():
    wiring, _ = apart().with_replica("feature-mapping")
    assert wiring.in_graph_order == ["3-a", "3-b", "3-c", "3-f", "3-d", "3-e"]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda w: w.with_replica("packet-batching"), "at an end of the graph .* replicate the instance"),
        (lambda w: w.with_replica("sample-result"), "at an end of the graph"),
        (lambda w: w.with_replica("nothing"), "has no brick of kind 'nothing'; its graph is packet-batching -> "),
        (lambda w: w.without(f"{NETWORK}-0"), "is the only unsupervised-network of instance 3"),
        (lambda w: w.without(f"{NETWORK}-7"), f"instance 3 has no brick {NETWORK}-7; it has packet-batching-0, "),
        (lambda w: lay_out(3, "ab", Graph.line(*KINDS), "chained").with_replica(NETWORK)[0].without(f"{NETWORK}-0"), "shares process 3-a"),
        (
            lambda w: lay_out(3, "ab", Graph.line(*KINDS), "chained").separated(NETWORK)[0].without(f"{NETWORK}-0"),
            f"has no brick {NETWORK}-0",
        ),
    ],
)
def test_what_cannot_be_is_said(act, sentence):
    with pytest.raises(BrickError, match=sentence):
        act(apart())


def test_process_names_do_not_run_out():
    names = [process_name(1, at) for at in range(200)]
    assert names[:2] + names[25:27] == ["1-a", "1-b", "1-z", "1-a1"]
    assert len(set(names)) == 200


# ---- any sequence of changes ----
INNER = KINDS[1:-1]
DEEDS = some.lists(
    some.tuples(some.sampled_from(["with_replica", "without", "separated", "chained"]), some.sampled_from(INNER)), max_size=25
)


def changed(wiring: InstanceLayout, deed: str, kind: str) -> InstanceLayout:
    """The wiring after a deed; as it was if that is refused."""
    try:
        if deed == "without":
            return wiring.without(wiring.of_kind(kind)[-1])
        return getattr(wiring, deed)(kind)[0]
    except BrickError:
        return wiring


def links(wiring: InstanceLayout) -> list[tuple[str, str]]:
    """Every way that a batch can take from one working brick to another: by ring, or inside a process."""
    pairs = [(a, b) for edge in wiring.graph.edges for a in wiring.of_kind(edge.source) for b in wiring.of_kind(edge.target)]
    return [(ring.source, ring.target) for ring in wiring.rings] + [pair for pair in pairs if wiring.share_process(*pair)]


@given(some.sampled_from(["chained", "separate"]), DEEDS)
def test_whatever_is_done_every_brick_reaches_every_next_one_by_one_way(placement, deeds):
    wiring = lay_out(1, "ab", Graph.line(*KINDS), placement)
    names = set(wiring.processes)
    for deed, kind in deeds:
        after = changed(wiring, deed, kind)
        fresh = set(after.processes) - set(wiring.processes)
        assert not fresh & names, "no name is used twice"
        names |= fresh
        wiring = after
        assert all(wiring.of_kind(kind) for kind in KINDS), "every kind works somewhere"
        wanted = [(a, b) for before, then in itertools.pairwise(KINDS) for a in wiring.of_kind(before) for b in wiring.of_kind(then)]
        assert sorted(links(wiring)) == sorted(wanted)
        assert len({ring.name for ring in wiring.rings}) == len(wiring.rings)
        assert len(set(wiring.bricks)) == len(wiring.bricks)
        assert not any(wiring.inputs(seat) or wiring.routes(seat) for seat in wiring.seats)


def test_a_chained_brick_gets_a_process_of_its_own_and_goes_back():
    first = lay_out(1, "ab", Graph.line(*KINDS), "chained")
    apart_, brick = first.separated(NETWORK)
    assert (brick, apart_.seats, apart_.seats_of("1-a")) == (f"{NETWORK}-1", {f"{NETWORK}-0"}, [f"{NETWORK}-0"])
    assert apart_.working("1-a") == tuple(f"{kind}-0" for kind in KINDS if kind != NETWORK)
    assert apart_.routes("feature-mapping-0") == apart_.inputs(brick) != []
    assert apart_.ring_between(brick, "sample-result-0") is not None
    assert apart_.ring_between("feature-mapping-0", "sample-result-0") is None
    assert apart_.in_draining_order == ["1-a", "1-b", "1-a"], "what went through the other process comes back"
    back, seat = apart_.chained(NETWORK)
    assert (seat, back.processes, back.rings, back.seats) == (f"{NETWORK}-0", first.processes, (), frozenset())
    assert back.in_draining_order == ["1-a"]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda w: w.separated(NETWORK),
            "unsupervised-network of instance 3 is not chained with other bricks: it has a process of its own",
        ),
        (lambda w: w.separated("packet-batching"), "stays with its process: the interface and the results are there"),
        (lambda w: w.separated("nothing"), "has no brick of kind 'nothing'"),
        (lambda w: w.chained(NETWORK), "has no seat in a chain: it is chained already, or was placed in a process of its own"),
        (lambda w: w.chained("sample-result"), "is at an end of the graph and was never separated"),
        (
            lambda w: lay_out(3, "ab", Graph.line(*KINDS), "chained").separated(NETWORK)[0].with_replica(NETWORK)[0].chained(NETWORK),
            "has 2 replicas; stop all but one of them first",
        ),
    ],
)
def test_what_cannot_be_separated_or_chained_is_said(act, sentence):
    with pytest.raises(BrickError, match=sentence):
        act(apart())


TWO_KEYS_INNER = ("senders", "receivers", "doubling")


@given(
    some.sampled_from(["chained", "separate"]),
    some.lists(
        some.tuples(some.sampled_from(["with_replica", "separated", "chained", "without"]), some.sampled_from(TWO_KEYS_INNER)), max_size=12
    ),
)
def test_on_a_graph_that_branches_every_brick_reaches_every_next_one_by_one_way(placement, deeds):
    graph = TWO_KEYS.graph
    wiring = lay_out(1, "ab", graph, placement)
    for deed, node in deeds:
        wiring = changed(wiring, deed, node)
        wanted = [(a, b) for edge in graph.edges for a in wiring.of_kind(edge.source) for b in wiring.of_kind(edge.target)]
        assert sorted(links(wiring)) == sorted(wanted)


def test_rings_of_a_brick_with_several_edges_are_told_by_node():
    wiring = lay_out(1, "ab", TWO_KEYS.graph, "separate")
    assert list(wiring.routes("packet-batching-0")) == ["senders", "receivers"]
    assert wiring.inputs("sample-result-0") == {
        "doubling": wiring.routes("doubling-0"),
        "receivers": wiring.routes("receivers-0"),
    }
    with pytest.raises(BrickError, match="joins several inputs"):
        wiring.with_replica("sample-result")
