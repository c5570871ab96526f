"""Scores to alerts: which, in which order, and in bounded memory."""

from __future__ import annotations

import types

import numpy as np
import pytest

from bricks.records.addresses import address_text, addresses
from bricks.records.brick import Batch
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ARP,
    DST_KIND_SHIFT,
    ICMP,
    NO_PORT,
    PACKET,
    PROTOCOL_SHIFT,
    TYPED,
)
from bricks.sample_result import SampleResult
from lego_sdn.core.facts.errors import BrickError

MODEL = types.SimpleNamespace(threshold=1.0)


def heads(first: int, sources: list[int]) -> np.ndarray:
    head = np.zeros(len(sources), PACKET)
    head["seq"] = first + np.arange(len(sources))
    head["time_ns"] = 1_500_000_000_000_000_000 + 500_000_000 * head["seq"].astype(np.int64)
    head["flags"] = ADDRESS_IPV4
    head["src_lo"] = sources
    return head


def offer(brick: SampleResult, first: int, sources: list[int], scores: list[float]) -> Batch:
    return brick.process(Batch(heads(first, sources), np.array(scores).reshape(-1, 1)))


def test_only_scores_above_the_threshold_are_alerts():
    brick = SampleResult(0, MODEL)
    batch = offer(brick, 0, [0xC0A80001, 0xC0A80002, 0xC0A80001, 0xC0A80003], [0.5, 1.0, 1.25, 7.0])
    assert len(batch) == 4
    found = brick.alerts()
    assert found["next"] == 2
    both = {"destination": "none", "src_port": 0, "dst_port": 0, "proto": "", "threshold": 1.0}
    assert found["alerts"] == [
        both | {"seq": 2, "time": 1_500_000_001.0, "source": "192.168.0.1", "score": 1.25},
        both | {"seq": 3, "time": 1_500_000_001.5, "source": "192.168.0.3", "score": 7.0},
    ]
    assert found["by_source"] == {"192.168.0.1": 1, "192.168.0.3": 1}
    assert brick.counters["packets"] == 4
    assert brick.counters["alerts"] == 2


def test_an_alert_says_between_whom_and_by_which_protocol():
    brick, head = SampleResult(0, MODEL), heads(0, [0x0A000001] * 4)
    head["dst_lo"], head["src_port"], head["dst_port"] = 0x0A000002, [1000, NO_PORT, NO_PORT, 5], [53, NO_PORT, NO_PORT, 6]
    kinds = [17 << PROTOCOL_SHIFT, TYPED | ICMP | 8 << PROTOCOL_SHIFT, ARP, 0]
    head["flags"] = ADDRESS_IPV4 | ADDRESS_IPV4 << DST_KIND_SHIFT | np.array(kinds)
    brick.process(Batch(head, np.full((4, 1), 2.0)))
    alerts = brick.alerts()["alerts"]
    assert {alert["destination"] for alert in alerts} == {"10.0.0.2"}
    assert [(alert["proto"], alert["src_port"], alert["dst_port"]) for alert in alerts] == [
        ("UDP", 1000, 53),
        ("ICMP", NO_PORT, NO_PORT),
        ("ARP", NO_PORT, NO_PORT),
        ("", 5, 6),
    ]


def test_a_threshold_given_stands_in_for_the_models():
    brick = SampleResult(0, MODEL, threshold=5.0)
    offer(brick, 0, [1, 2], [4.0, 6.0])
    assert [alert["score"] for alert in brick.alerts()["alerts"]] == [6.0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_an_impossible_threshold_is_refused(threshold):
    with pytest.raises(BrickError, match="sample-result-4: the threshold is"):
        SampleResult(4, MODEL, threshold)


def test_alerts_are_read_on_from_where_one_stopped():
    brick = SampleResult(0, MODEL)
    offer(brick, 0, [1, 1], [2.0, 3.0])
    first = brick.alerts()
    offer(brick, 2, [1], [4.0])
    later = brick.alerts(first["next"])
    assert [alert["score"] for alert in later["alerts"]] == [4.0]
    assert later["by_source"] == {"0.0.0.1": 3}
    assert brick.alerts(later["next"])["alerts"] == []
    assert brick.alerts(99)["alerts"] == []


def test_alerts_are_bounded_and_what_is_forgotten_is_counted():
    brick = SampleResult(0, MODEL, kept=10)
    for first in range(0, 35, 7):
        offer(brick, first, [1] * 7, [2.0 + first + n for n in range(7)])
    found = brick.alerts()
    assert [alert["seq"] for alert in found["alerts"]] == list(range(25, 35))
    assert [alert["seq"] for alert in brick.alerts(30)["alerts"]] == [30, 31, 32, 33, 34]
    assert found["next"] == 35
    assert brick.counters["alerts_forgotten"] == 25
    offer(brick, 35, [1] * 25, [9.0] * 25)
    assert [alert["seq"] for alert in brick.alerts()["alerts"]] == list(range(50, 60))
    assert brick.counters["alerts"] == 60


def test_a_flood_of_sources_neither_fills_the_memory_nor_hides_who_raises_many():
    brick = SampleResult(0, MODEL, sources=100)
    for first in range(0, 5000, 50):
        offer(brick, first, [*range(1000 + first, 1048 + first), 7, 7], [2.0] * 50)
    found = brick.by_source
    assert next(iter(found.items())) == ("0.0.0.7", 200)
    assert len(found) <= 100
    assert brick.counters["sources_forgotten"] == 1 + 48 * 100 - len(found)


def test_rows_out_of_order_and_scores_that_are_no_numbers_are_counted():
    brick = SampleResult(0, MODEL)
    offer(brick, 10, [1, 1, 1], [0.1, float("nan"), 2.0])
    offer(brick, 5, [1, 1], [0.1, 0.1])
    offer(brick, 13, [1], [0.1])
    assert brick.counters["not_a_number"] == 1
    assert brick.counters["out_of_order"] == 1
    assert brick.counters["alerts"] == 1
    offer(brick, 14, [], [])
    assert brick.counters["packets"] == 6


def test_addresses_as_people_write_them():
    head = np.zeros(4, PACKET)
    head["flags"] = [ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC, 0]
    head["src_hi"] = [0, 0xFE80 << 48, 0, 0]
    head["src_lo"] = [0x0A000001, 1, 0x3C330098EEFD, 0]
    head["flags"] |= ADDRESS_IPV6 << 2
    head["dst_lo"] = 5
    assert [address_text(*a) for a in addresses(head).tolist()] == ["10.0.0.1", "fe80::1", "3c:33:00:98:ee:fd", "none"]
    assert {address_text(*a) for a in addresses(head, "dst").tolist()} == {"::5"}
