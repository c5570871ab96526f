"""What-if on traffic small enough to reckon by hand."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.assignment import balance
from lego_sdn.core.traffic.rule_compiler import RuleOptions
from lego_sdn.core.traffic.split_prediction import Prices, TrafficMatrix, graph, hashing, one_owner, predict, talkers

# Two couples that talk: 0 with 1, 2 with 3; and a few words between the couples.
PACKETS = {(0, 1): 40, (1, 0): 40, (2, 3): 40, (3, 2): 40, (0, 2): 10}
STREAMS = {(0, 0): (1, 100), (0, 1): (2, 300), (1, 0): (2, 300), (2, 3): (1, 50), (3, 3): (4, 400)}
TALK = TrafficMatrix(4, PACKETS, STREAMS)
PRICES = Prices(0.5, RuleOptions(4))
ALL = one_owner(4)


def test_load_counts_own_packets_and_shadows_at_their_price():
    outcome = predict(TALK, (ALL, (1, 1, 2, 2)), 2, PRICES)
    assert [(share.packets, share.shadows, share.buckets) for share in outcome.shares] == [(90, 0, 2), (80, 10, 2)]
    assert [share.load for share in outcome.shares] == [90 / 170, 85 / 170]
    assert outcome.shadows == 10 / 170
    assert outcome.gain == pytest.approx(170 / 90)
    assert outcome.pays


def test_couples_that_are_torn_apart_cost_shadows():
    outcome = predict(TALK, (ALL, (1, 2, 1, 2)), 2, PRICES)
    assert outcome.shadows == 160 / 170
    assert outcome.gain == pytest.approx(170 / (90 + 40))
    assert not outcome.pays
    assert outcome.verdict == "does not pay: 1.31 times the capacity of one instance, worth it from 1.50 on"


def test_without_shadows_none_are_counted():
    assert predict(TALK, (ALL, (1, 2, 1, 2)), 2, Prices(0.5, RuleOptions(4, exact=False))).shadows == 0


def test_state_moves_with_either_end_once_for_each_handover():
    assert predict(TALK, (ALL, (1, 1, 2, 2)), 2, PRICES).state_bytes == 50 + 400
    outcome = predict(TALK, (ALL, (2, 1, 1, 1)), 2, PRICES)
    assert (outcome.moved, outcome.streams, outcome.state_bytes) == (1, 1 + 2 + 2, 100 + 300 + 300)
    assert predict(TALK, (ALL, (2, 3, 1, 1)), 3, PRICES).streams == (1 + 2 + 2) + (2 + 2), "to each of two new owners"
    assert predict(TrafficMatrix(4, PACKETS), (ALL, (1, 1, 2, 2)), 2, PRICES).streams is None


def test_rules_are_those_that_the_compiler_would_change():
    nothing = predict(TALK, (ALL, ALL), 1, PRICES)
    assert (nothing.moved, nothing.rules_added, nothing.rules_deleted, nothing.gain) == (0, 0, 0, 1.0)
    one = predict(TALK, (ALL, (1, 1, 1, 2)), 2, PRICES)
    assert one.rules_added > 0
    assert predict(TALK, (ALL, (1, 1, 2, 2)), 2, PRICES).rules_added == 2 * one.rules_added


def test_hashing_is_what_the_controller_would_do():
    owners = hashing(TALK, 2)
    assert owners == balance(ALL, TALK.by_bucket, (1, 2))
    assert sorted(set(owners)) == [1, 2]


def test_an_instance_that_gets_nothing_counts_against_the_split():
    outcome = predict(TALK, (ALL, (1, 1, 2, 2)), 8, PRICES)
    assert outcome.ideal == 8
    assert not outcome.pays


def test_the_part_with_most_state_stays():
    assert talkers((1, 1, 0, 0), TALK) == (1, 1, 2, 2)
    assert talkers((0, 0, 1, 1), TALK) == (1, 1, 2, 2)


def test_the_graph_has_both_directions_of_an_edge():
    nodes, edges = graph(TALK)
    assert nodes == [50, 40, 40, 40]
    assert edges == [{1: 80, 2: 10}, {0: 80}, {3: 80, 0: 10}, {2: 80}]


def test_no_traffic_gains_nothing():
    assert predict(TrafficMatrix(4, {}), (ALL, (1, 1, 2, 2)), 2, PRICES).gain == 1.0
