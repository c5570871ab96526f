"""Bricks over processes and rings between them, as values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lego_sdn.agent.layout import InstanceLayout, lay_out
from lego_sdn.core.facts.actions import ChainBrick, Separate, StartReplica, StopInstance, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement, process_name
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph
from tests.two_keys import NF as TWO_KEYS

KINDS = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
NETWORK = "unsupervised-network"


def laid_out(instance, placement, graph=None):
    return lay_out(instance, "ab", Arrangement(graph=graph or Graph.line(*KINDS), placement=placement))


def apart():
    return laid_out(3, "separate")


def more(wiring, kind, action=StartReplica):
    """After `action` of a kind, and the new brick's id."""
    new = wiring.after(action(wiring.instance, kind))
    return new, new.arrangement.new_brick(wiring.arrangement)


def less(wiring, brick):
    return wiring.after(StopReplica(wiring.instance, brick))


def apart_from_chain(wiring, kind=NETWORK):
    return more(wiring, kind, Separate)[0]


def test_chained_is_one_process_without_rings():
    wiring = laid_out(1, "chained")
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
    first = laid_out(3, placement)
    second, one = more(first, NETWORK)
    third, two = more(second, NETWORK)
    assert (one, two) == (f"{NETWORK}-1", f"{NETWORK}-2")
    assert third.of_kind(NETWORK) == [f"{NETWORK}-0", one, two]
    both, mapper = more(third, "feature-mapping")
    assert len(both.routes(mapper)) == 3, "a ring to every network"
    assert len(both.inputs(one)) == 2
    names = [ring.name for ring in both.rings]
    assert len(set(names)) == len(names)
    back = less(less(less(both, mapper), two), one)
    assert (back.processes, back.rings) == (first.processes, first.rings)
    again, _ = more(back, NETWORK)
    assert not {ring.name for ring in again.rings} & (set(names) - {ring.name for ring in first.rings}), "no name is used twice"


def test_the_order_of_draining_is_that_of_the_graph():
    wiring, _ = more(apart(), "feature-mapping")
    assert wiring.in_graph_order == ["3-a", "3-b", "3-c", "3-f", "3-d", "3-e"]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda w: more(w, "packet-batching"), "at an end of the graph .* replicate the instance"),
        (lambda w: more(w, "sample-result"), "at an end of the graph"),
        (lambda w: more(w, "nothing"), "has no brick of kind 'nothing'; its graph is packet-batching -> "),
        (lambda w: less(w, f"{NETWORK}-0"), "is the only unsupervised-network of instance 3"),
        (lambda w: less(w, f"{NETWORK}-7"), f"instance 3 has no brick {NETWORK}-7; it has packet-batching-0, "),
        (lambda w: less(more(laid_out(3, "chained"), NETWORK)[0], f"{NETWORK}-0"), "shares process 3-a"),
        (
            lambda w: less(apart_from_chain(laid_out(3, "chained")), f"{NETWORK}-0"),
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
DEEDS = some.lists(some.tuples(some.sampled_from([StartReplica, StopReplica, Separate, ChainBrick]), some.sampled_from(INNER)), max_size=25)


def changed(wiring: InstanceLayout, action: type, kind: str) -> InstanceLayout:
    """The wiring after an action; as it was if that is refused."""
    try:
        return wiring.after(action(wiring.instance, wiring.of_kind(kind)[-1] if action is StopReplica else kind))
    except BrickError:
        return wiring


def links(wiring: InstanceLayout) -> list[tuple[str, str]]:
    """Every way that a batch can take from one working brick to another: by ring, or inside a process."""
    pairs = [(a, b) for edge in wiring.graph.edges for a in wiring.of_kind(edge.source) for b in wiring.of_kind(edge.target)]
    return [(ring.source, ring.target) for ring in wiring.rings] + [pair for pair in pairs if wiring.share_process(*pair)]


@given(some.sampled_from(["chained", "separate"]), DEEDS)
def test_whatever_is_done_every_brick_reaches_every_next_one_by_one_way(placement, deeds):
    wiring = laid_out(1, placement)
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
        idle = [brick for process in wiring.processes for brick in wiring.idle(process)]
        assert not any(wiring.inputs(brick) or wiring.routes(brick) for brick in idle)
        assert set(wiring.bricks).isdisjoint(idle)
    nothing = wiring.after(StopInstance(1))
    assert (nothing.processes, nothing.rings) == ({}, ())


def test_a_chained_brick_gets_a_process_of_its_own_and_goes_back():
    first = laid_out(1, "chained")
    apart_, brick = more(first, NETWORK, Separate)
    assert (brick, apart_.idle("1-a"), apart_.idle("1-b")) == (f"{NETWORK}-1", [f"{NETWORK}-0"], [])
    assert apart_.working("1-a") == tuple(f"{kind}-0" for kind in KINDS if kind != NETWORK)
    assert apart_.routes("feature-mapping-0") == apart_.inputs(brick) != []
    assert apart_.ring_between(brick, "sample-result-0") is not None
    assert apart_.ring_between("feature-mapping-0", "sample-result-0") is None
    assert apart_.in_draining_order == ["1-a", "1-b", "1-a"], "what went through the other process comes back"
    back, brick = more(apart_, NETWORK, ChainBrick)
    assert (brick, back.processes, back.rings, back.idle("1-a")) == (f"{NETWORK}-0", first.processes, (), [])
    assert back.in_draining_order == ["1-a"]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda w: more(w, NETWORK, Separate),
            "unsupervised-network of instance 3 is not chained with other bricks: it has a process of its own",
        ),
        (lambda w: more(w, "packet-batching", Separate), "stays with its process: the interface and the results are there"),
        (lambda w: more(w, "nothing", Separate), "has no brick of kind 'nothing'"),
        (lambda w: more(w, NETWORK, ChainBrick), "has no seat in a chain: it is chained already, or was placed in a process of its own"),
        (lambda w: more(w, "sample-result", ChainBrick), "is at an end of the graph and was never separated"),
        (
            lambda w: more(more(apart_from_chain(laid_out(3, "chained")), NETWORK)[0], NETWORK, ChainBrick),
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
        some.tuples(some.sampled_from([StartReplica, Separate, ChainBrick, StopReplica]), some.sampled_from(TWO_KEYS_INNER)), max_size=12
    ),
)
def test_on_a_graph_that_branches_every_brick_reaches_every_next_one_by_one_way(placement, deeds):
    graph = TWO_KEYS.graph
    wiring = laid_out(1, placement, graph)
    for deed, node in deeds:
        wiring = changed(wiring, deed, node)
        wanted = [(a, b) for edge in graph.edges for a in wiring.of_kind(edge.source) for b in wiring.of_kind(edge.target)]
        assert sorted(links(wiring)) == sorted(wanted)


def test_rings_of_a_brick_with_several_edges_are_told_by_node():
    wiring = laid_out(1, "separate", TWO_KEYS.graph)
    assert list(wiring.routes("packet-batching-0")) == ["senders", "receivers"]
    assert wiring.inputs("sample-result-0") == {
        "doubling": wiring.routes("doubling-0"),
        "receivers": wiring.routes("receivers-0"),
    }
    with pytest.raises(BrickError, match="joins several inputs"):
        more(wiring, "sample-result")
