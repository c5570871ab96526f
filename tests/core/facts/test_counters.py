"""Names on the wire, a value in the core."""

from __future__ import annotations

from lego_sdn.core.facts.counters import BrickCounters


def test_names_of_a_report_become_one_value():
    told = {"packets": 9, "shadows": 2, "streams_hh": 5, "streams_mac": 1, "evicted_hh": 3, "evicted_mac": 4, "late_total": 6}
    found = BrickCounters.of(told)
    assert (found.streams, found.evicted) == ({"hh": 5, "mac": 1}, {"hh": 3, "mac": 4})
    assert (found.all_evicted, found.shadows, found.late_total, found.others) == (7, 2, 6, {"packets": 9})
    assert found.is_keyed


def test_a_brick_without_state_has_none():
    assert BrickCounters.of({"packets": 1}) == BrickCounters(others={"packets": 1})
    assert not BrickCounters().is_keyed
    assert BrickCounters.of({"shadows": 0}).is_keyed
