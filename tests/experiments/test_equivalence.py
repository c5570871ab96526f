"""What a proof amounts to: it holds only if everything was done and nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.experiments.accounting import RunSummary, ScoreComparison
from lego_sdn.experiments.equivalence import Proof

HANDOVER = {"old": 1, "new": 2, "buckets": [3, 4], "bytes": 100, "records": 7, "packets": 5, "evicted": 0, "error": None}
MOVES = [
    {"ms": 100.0, "held_ms": 40.0, "held": 9, "handovers": [HANDOVER]},
    {"ms": 300.0, "held_ms": 60.0, "held": 1, "handovers": [HANDOVER, HANDOVER | {"buckets": [9]}]},
]
SUMMARY = RunSummary(10, 2.0, 10, 10, ScoreComparison(10, 0, 10, None), {}, {}, [], {}, MOVES)
PROOF = Proof(SUMMARY, ("a", "b"), (), 4)


def test_it_holds_if_all_is_done_and_equal():
    assert PROOF.holds
    assert PROOF.as_dict()["holds"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"comparison": ScoreComparison(10, 0, 9, 4)},
        {"comparison": ScoreComparison(10, 1, 10, None)},
        {"comparison": ScoreComparison(9, 0, 9, None)},
        {"comparison": ScoreComparison(9, 0, 9, None), "dropped": {"kernel ring full": 1}},
        {"forwarded": 9},
    ],
)
def test_it_does_not_if_a_score_is_other_twice_or_not_there(wrong):
    assert not replace(PROOF, summary=replace(SUMMARY, **wrong)).holds


def test_it_does_not_if_the_traffic_left_no_time():
    assert not replace(PROOF, undone=("c",)).holds


def test_figures_are_of_all_moves_together():
    figures = PROOF.figures
    assert (figures["packets_per_s"], figures["moves"], figures["buckets"]) == (5.0, 2, 5)
    assert (figures["median_ms"], figures["longest_ms"]) == (200.0, 300.0)
    assert (figures["median_held_ms"], figures["longest_held_ms"]) == (50.0, 60.0)
    assert (figures["state_bytes"], figures["streams"], figures["packets_handed_over"], figures["packets_held"]) == (300, 21, 15, 10)
    assert replace(PROOF, summary=replace(SUMMARY, moves=[])).figures["median_ms"] == 0.0
