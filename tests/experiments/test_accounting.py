"""The account of a run: equality is of bits, and nothing sent may be unaccounted for."""

import json
from dataclasses import replace

import numpy as np

from lego_sdn.core.facts.instance_notes import InstanceDied, StartFailed
from lego_sdn.experiments.accounting import (
    Deaths,
    RunSummary,
    ScoreComparison,
    compare,
    died_with,
    dropped_in,
    note_owned,
    out_of_order_in,
    without_repeats,
)

RECORD = np.dtype([("seq", "<u8"), ("score", "<f8")])


def records(*pairs):
    return np.array(list(pairs), RECORD)


def test_equal_means_the_same_bits():
    unsplit = np.array([1.0, 0.0, np.nextafter(2.0, 3.0), np.nan])
    found = compare(records((3, np.nan), (0, 1.0), (1, -0.0), (2, 2.0)), unsplit)
    assert found == ScoreComparison(scored=4, twice=0, equal=2, first_difference=1)
    assert found.equal_share == 0.5


def test_a_packet_scored_twice_is_found_and_counted_once_as_scored():
    found = compare(records((1, 5.0), (0, 4.0), (1, 5.0)), np.array([4.0, 5.0]))
    assert (found.scored, found.twice, found.equal, found.first_difference) == (2, 1, 2, None)


def test_a_repeat_is_left_out_unless_its_bits_differ():
    given = records((1, 5.0), (0, 4.0), (1, 5.0), (2, np.nan), (2, np.nan), (3, 0.0), (3, -0.0), (1, 5.0))
    left, repeated = without_repeats(given, 1)
    assert (sorted(left["seq"].tolist()), repeated) == ([0, 1, 2, 3, 3], 3)
    assert compare(left, np.array([4.0, 5.0, np.nan, 0.0])).twice == 1
    assert without_repeats(records(), 1)[1] == 0


def test_nothing_scored():
    assert compare(records(), np.empty(0)).equal_share == 0.0


def summary(sent, comparison, dropped):
    return RunSummary(sent, 1.0, sent, sent, comparison, dropped, {}, [], {})


def test_what_is_sent_is_scored_dropped_under_a_name_or_missing():
    whole = ScoreComparison(scored=7, twice=0, equal=7, first_difference=None)
    assert summary(10, whole, {"kernel ring full": 3}).accounted
    lost = summary(10, whole, {"kernel ring full": 2})
    assert (lost.missing, lost.accounted) == (1, False)
    assert not summary(7, ScoreComparison(7, 1, 7, None), {}).accounted
    assert not replace(summary(7, ScoreComparison(7, 0, 7, None), {}), forwarded=6).accounted
    assert json.loads(json.dumps(lost.as_dict()))["missing"] == 1


def test_packets_of_somebody_else_are_no_missing_ones():
    attacked = summary(10, ScoreComparison(scored=10, twice=0, equal=10, first_difference=None), {"unstamped": 7})
    assert (attacked.missing, attacked.extra, attacked.accounted) == (0, 7, False)
    assert json.loads(json.dumps(attacked.as_dict()))["extra"] == 7


def test_a_score_that_differs_is_not_the_same_whatever_else_is_in_order():
    other = summary(7, ScoreComparison(scored=7, twice=0, equal=6, first_difference=3), {})
    assert (other.accounted, other.same) == (True, False)
    assert json.loads(json.dumps(other.as_dict()))["same"] is False
    assert summary(7, ScoreComparison(7, 0, 7, None), {}).same


def test_final_reports_tell_what_was_dropped_and_what_came_too_late():
    first = {"dropped": {"malformed": 2}, "counters": {"packets": 9}}
    last = {"dropped": {"lost": 0}, "counters": {"packets": 7, "out_of_order": 3}}
    other = {"dropped": {"malformed": 1}, "counters": {"out_of_order": 1}}
    reports = [{"capture": {"kernel_drops": 4}, "bricks": [first, last]}, {"capture": None, "bricks": [other]}]
    assert dropped_in(reports) == {"malformed": 3, "kernel ring full": 4}
    assert out_of_order_in(reports) == 4
    assert (dropped_in([]), out_of_order_in([])) == ({}, 0)


FAILED = {
    "kind": "failed",
    "type": InstanceDied.__name__,
    "instance": 2,
    "text": "of no use to a program",
    "fields": {"reason": "signal 9"},
}
NOT_STARTED = FAILED | {"type": StartFailed.__name__, "text": "instance 2 failed: process ended by signal 9"}
MOVE = {"cut": 10, "errors": {"2": "it is gone"}, "handovers": [{"old": 1, "new": 2, "buckets": [7]}]}


def test_what_died_with_an_instance_is_told_from_what_it_held_for_a_move():
    owned = {}
    note_owned(owned, {"1": [0], "2": [5]})
    note_owned(owned, {"1": [0, 5]})
    assert owned == {1: {0, 5}, 2: {5}}
    unscored = {3: 5, 10: 5, 11: 5, 12: 7, 13: 0}  # bucket 0 was never instance 2's
    found = died_with([*unscored.items()], Deaths(owned, [MOVE], [FAILED]), most=9)
    assert found == {"with instance 2, which died": 2, "held by instance 2, which died in a move": 2}


def test_no_more_is_put_down_to_a_death_than_is_missing():
    deaths = Deaths({2: {5}}, [], [FAILED])
    assert died_with([(stamp, 5) for stamp in range(9)], deaths, most=4) == {"with instance 2, which died": 4}
    assert died_with([(1, 5)], Deaths({2: {5}}, [MOVE], []), most=4) == {}
    assert died_with([(1, 5)], Deaths({2: {5}}, [], [NOT_STARTED]), most=4) == {}
