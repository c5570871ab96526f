"""The one transition of an instance's bricks: start, growth within, shrinking and stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.facts.actions import ChainBrick, Separate, SetQuota, StartInstance, StartReplica, StopInstance, StopReplica, TakeOut
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph

EMPTY = Arrangement(graph=Graph.line("in", "a", "b", "out"), quota=0.2)
CHAINED = EMPTY.apply(StartInstance(3))
APART = replace(EMPTY, placement="separate").apply(StartInstance(3))


def test_an_instance_starts_from_nothing_and_stops_to_nothing():
    assert CHAINED.processes == (Placed("3-a", ("in-0", "a-0", "b-0", "out-0"), 0.2),)
    assert [one.bricks for one in APART.processes] == [("in-0",), ("a-0",), ("b-0",), ("out-0",)]
    grown = CHAINED.apply(StartReplica(3, "b")).apply(TakeOut(3, "3-b"))
    assert grown.died
    assert grown.apply(StopInstance(3)) == EMPTY.apply(StopInstance(3)) == EMPTY
    with pytest.raises(BrickError, match="instance 3 runs already"):
        CHAINED.apply(StartInstance(3))


def test_no_name_of_a_process_is_given_twice():
    now = CHAINED
    for letter in "bcd":
        now = now.apply(StartReplica(3, "b"))
        assert now.processes[-1].process == f"3-{letter}"
        now = now.apply(StopReplica(3, "b-1"))
    told = Arrangement((*CHAINED.processes, Placed("3-b1", ("b-1",))), CHAINED.graph)
    assert told.apply(StartReplica(3, "b", 0.5)).processes[-1] == Placed("3-c1", ("b-2",), 0.5), "28 names were given out before"


def test_a_separated_brick_goes_back_to_where_it_was_with_all_cpu():
    apart = CHAINED.apply(Separate(3, "a"))
    assert [one.bricks for one in apart.processes] == [("in-0", "b-0", "out-0"), ("a-1",)]
    lent = apart.apply(SetQuota(3, (("3-a", 0.05), ("3-b", 0.35))))
    assert [one.given for one in lent.processes] == [0.2, 0.2]
    back = lent.apply(ChainBrick(3, "a"))
    assert back.processes == CHAINED.processes
    assert back.made == 2


@pytest.mark.parametrize(
    ("now", "action", "sentence"),
    [
        (EMPTY, StartReplica(3, "a"), "instance 3 has no brick of kind 'a'; its graph is in -> a -> b -> out"),
        (APART, StartReplica(3, "in"), "in is at an end of the graph and stays single in an instance; replicate the instance instead"),
        (APART, Separate(3, "a"), "a of instance 3 is not chained with other bricks: it has a process of its own"),
        (APART, ChainBrick(3, "a"), "a of instance 3 has no seat in a chain: it is chained already, or was placed in a process of its own"),
        (APART, StopReplica(3, "a-1"), "instance 3 has no brick a-1; it has in-0, a-0, b-0, out-0"),
        (APART, StopReplica(3, "a-0"), "a-0 is the only a of instance 3; stop the instance instead"),
        (APART, TakeOut(3, "3-b"), "a-0 is the only a of instance 3; stop the instance instead"),
        (APART, TakeOut(3, "3-z"), "instance 3 has no process 3-z; it has 3-a, 3-b, 3-c, 3-d"),
        (APART, SetQuota(3, (("3-z", 0.1),)), "instance 3 has no process 3-z; it has 3-a, 3-b, 3-c, 3-d"),
        (
            CHAINED.apply(StartReplica(3, "a")),
            StopReplica(3, "a-0"),
            "a-0 shares process 3-a with other bricks and cannot be stopped alone",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(now, action, sentence):
    assert now.refusal(action) == sentence
    with pytest.raises(BrickError):
        now.apply(action)
