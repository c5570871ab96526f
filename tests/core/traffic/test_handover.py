"""The steps of a move: who is asked what, in which order, and what a failure changes."""

from __future__ import annotations

import pytest

from lego_sdn.core.control.events import Steered
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.traffic.handover import ATTEMPTS, QUESTIONS, BucketMove, Handover, Moved, buckets_in_words, carry_out
from lego_sdn.core.traffic.handover_steps import Answer, Ask, ChangeRules, Pause, RestoreRules, SendMarkers

BEFORE, AFTER = {0: 1, 1: 1, 2: 2, 3: 2}, {0: 1, 1: 3, 2: 3, 3: 1}
VALUES = {
    "hold": 40,
    "cut": True,
    "consumed": True,
    "give_streams": {"bytes": 10, "records": 2},
    "give_rows": 5,
    "copy_rows": 5,
    "release": {"held": 7},
}


def moving(before=BEFORE, after=AFTER, running=(1, 2, 3)) -> BucketMove:
    return BucketMove(9, before, after, frozenset(running))


def play(move: BucketMove, fails=(), rules: str | None = None, deaf=()):
    """Answer every step; `fails`: (instance, method); `deaf`: instances that no marker reaches. The steps, and what came of it."""
    steps, seen, answer = carry_out(move), [], None
    while True:
        try:
            one = steps.send(answer)
        except StopIteration as end:
            return seen, end.value
        seen.append(one)
        answer = None
        if isinstance(one, ChangeRules):
            answer = rules
        elif isinstance(one, tuple):
            answer = [reply(ask, fails, deaf) for ask in one]


def reply(ask: Ask, fails, deaf) -> Answer:
    if (ask.instance, ask.method) in fails:
        return Answer(error="it is ill")
    if ask.method == "settled":
        return Answer(None if ask.instance in deaf else [ask.params[1][0], 100 + ask.instance])
    return Answer(ask.instance + 40 if ask.method == "hold" else VALUES[ask.method])


def methods(steps) -> list[str]:
    return [one[0].method if isinstance(one, tuple) else type(one).__name__ for one in steps]


def test_handovers_are_by_old_and_new_owner():
    assert moving().handovers == (Handover(1, 3, (1,)), Handover(2, 1, (3,)), Handover(2, 3, (2,)))
    assert moving({0: 1}, {0: 1, 1: 2}).handovers == ()  # nobody owned bucket 1
    assert moving(running=(1, 3)).possible == (Handover(1, 3, (1,)),)


def test_the_order_of_the_steps():
    steps, moved = play(moving())
    give = ["give_streams", "give_rows"] * 3
    first = ["PrepareRules", "hold", "cut", "ChangeRules"]  # nobody waits while rules are got ready
    assert methods(steps) == [*first, "SendMarkers", "settled", "settled", "consumed", *give, "release"]
    assert [one.error for one in moved] == [None] * 3
    assert moved[0] == Moved(Handover(1, 3, (1,)), 10, 2, 5)


def test_the_cut_is_the_highest_stamp_that_anyone_passed_on():
    (_, _, cut, *_), _ = play(move := moving())
    assert move.cut == 43
    assert [(ask.instance, ask.params) for ask in cut] == [
        (1, (9, 43, [0, 1], [0, 3])),
        (2, (9, 43, [2, 3], [])),
        (3, (9, 43, [], [1, 2])),
    ]


def test_markers_go_to_old_owners_first_and_are_all_different():
    (frames,) = [one.frames for one in play(moving())[0] if isinstance(one, SendMarkers)]
    assert [instance for instance, _ in frames] == [1, 2, 3, 1]
    assert len(set(frames)) == 4


def test_a_new_owner_keeps_what_it_took_a_moment_ago():
    asks = [one[0] for one in play(moving())[0] if isinstance(one, tuple) and one[0].method == "give_streams"]
    assert [(ask.instance, ask.peer, ask.params[2]) for ask in asks] == [(1, 3, []), (2, 1, [0, 1]), (2, 3, [1])]


def test_only_an_old_owner_forgets_and_only_if_all_is_handed_over():
    assert {ask.instance: ask.params[1] for ask in play(moving())[0][-1]} == {1: [0, 3], 2: [], 3: None}
    ill = play(moving(), fails=[(2, "give_rows")])[0][-1]
    assert {ask.instance: ask.params[1] for ask in ill} == {1: None, 2: None, 3: None}


@pytest.mark.parametrize("method", ["hold", "cut", "settled", "consumed"])
def test_an_instance_that_fails_leaves_the_move_and_the_others_go_on(method):
    steps, moved = play(moving(), fails=[(2, method)])
    assert [one.error for one in moved] == [None, "instance 2: it is ill", "instance 2: it is ill"]
    assert {ask.instance for ask in steps[-1]} == {1, 2, 3}  # it is released, too, should it be well again


def test_rules_that_cannot_be_changed_leave_everything_as_it_was():
    steps, moved = play(moving(), rules="the switch is gone")
    assert methods(steps) == ["PrepareRules", "hold", "cut", "ChangeRules", "release"]
    assert {one.error for one in moved} == {"the switch is gone"}


def test_an_owner_that_is_gone_has_nothing_to_hand_over():
    steps, moved = play(moving({0: 1, 1: 1}, {0: 2, 1: 2}, running=(2,)))
    assert methods(steps) == ["PrepareRules", "ChangeRules"]
    assert [one.error for one in moved] == ["instance 1 does not run"]


def test_markers_that_never_come_end_the_waiting():
    steps, moved = play(moving(), deaf=(3,))
    assert [one.error for one in moved] == [
        "instance 3: no marker came through the switch to it",
        None,
        "instance 3: no marker came through the switch to it",
    ]
    assert sum(isinstance(one, SendMarkers) for one in steps) == ATTEMPTS
    assert sum(isinstance(one, RestoreRules) for one in steps) == ATTEMPTS - 1  # before each but the first
    assert sum(isinstance(one, Pause) for one in steps) == ATTEMPTS * QUESTIONS


def test_what_came_of_a_move_is_told():
    done, lost = Moved(Handover(1, 2, (0, 1, 2, 5)), 900, 7, 31, evicted=4), Moved(Handover(3, 2, (6,)), error="instance 3 does not run")
    _, actions = step(fresh(Config()), Steered(0, moved=(done, lost), ms=512.4, held=99), 1.0)
    assert [(note.kind, note.text, note.instance) for note in actions if isinstance(note, Note)] == [
        ("moved", "buckets 0-2, 5 moved from instance 1 to 2: 7 streams in 900 bytes, 31 packets", 2),
        ("inexact", "instance 2 was full: it forgot 4 streams to take in buckets 0-2, 5", 2),
        ("inexact", "bucket 6: instance 2 goes on without the streams of instance 3: instance 3 does not run", 2),
        ("moved", "1 handover took 512 ms; 99 packets waited meanwhile", None),
    ]


def test_a_switch_that_comes_back_without_rules_gets_them_before_the_next_marker():
    """What is lost while it is gone is the switch's; the move goes on where it was."""
    steps, answer, back = carry_out(moving()), None, False
    seen = []
    while True:
        try:
            one = steps.send(answer)
        except StopIteration as end:
            moved = end.value
            break
        seen.append(one)
        answer = None
        back = back or isinstance(one, RestoreRules)
        if isinstance(one, tuple):
            answer = [reply(ask, (), () if back else (1, 2, 3)) for ask in one]
    names = methods(seen)
    assert names.index("RestoreRules") < names.index("SendMarkers", names.index("RestoreRules")) < names.index("give_streams")
    assert names.count("SendMarkers") == 2
    assert [one.error for one in moved] == [None] * 3


def test_buckets_in_words():
    assert buckets_in_words([4]) == "bucket 4"
    assert buckets_in_words([0, 1, 3, 5, 6, 7]) == "buckets 0-1, 3, 5-7"
