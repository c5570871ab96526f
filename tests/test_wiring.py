"""Bricks over processes and rings between them, as values."""

from __future__ import annotations

import itertools

import pytest

from lego_sdn.core.errors import BrickError
from lego_sdn.wiring import lay_out, process_name

KINDS = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
NETWORK = "unsupervised-network"


def apart():
    return lay_out(3, "ab", KINDS, "separate")


def test_chained_is_one_process_without_rings():
    wiring = lay_out(1, "ab", KINDS, "chained")
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
    first = lay_out(3, "ab", KINDS, placement)
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
        (lambda w: lay_out(3, "ab", KINDS, "chained").with_replica(NETWORK)[0].without(f"{NETWORK}-0"), "shares process 3-a"),
    ],
)
def test_what_cannot_be_is_said(act, sentence):
    with pytest.raises(BrickError, match=sentence):
        act(apart())


def test_process_names_do_not_run_out():
    names = [process_name(1, at) for at in range(200)]
    assert names[:2] + names[25:27] == ["1-a", "1-b", "1-z", "1-a1"]
    assert len(set(names)) == 200
