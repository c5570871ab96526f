"""Incidents: exact counts, few lines, wherever batches are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bricks.alerts.incidents import Incidents
from bricks.explanation.shares import EXPLAINED
from bricks.records.packets import ADDRESS_IPV4, PACKET

SECOND = 10**9


def alerts(sources, times_s, kinds=None):
    """(PACKET, scores, EXPLAINED) of alerts by source and time."""
    rows = np.zeros(len(sources), PACKET)
    rows["seq"], rows["src_lo"], rows["flags"] = np.arange(len(sources)), sources, ADDRESS_IPV4
    rows["time_ns"] = np.asarray(times_s) * SECOND
    explained = np.zeros(len(sources), EXPLAINED)
    explained["kind"] = 0 if kinds is None else kinds
    return rows, np.arange(1.0, len(sources) + 1), explained


def run(incidents, parts, cuts=()):
    """Everything that is told of alerts that come in batches."""
    told = []
    for piece in np.split(np.arange(len(parts[0])), sorted(cuts)):
        if len(piece):
            told += incidents.add(*(part[piece] for part in parts))
            told += incidents.expire(int(parts[0]["time_ns"][piece[-1]]))
    return [*told, *incidents.end()]


def seen(told):
    return sorted((note.id, note.state, note.count, note.first_ns, note.last_ns, note.peak) for _, note in told)


def test_a_long_incident_is_told_at_powers_of_ten_and_at_its_end():
    told = run(Incidents(), alerts([7] * 2345, np.arange(2345) // 100))
    assert [(note.state, note.count, note.peak) for _, note in told] == [
        *(("open", count, float(count)) for count in (1, 10, 100, 1000)),
        ("end", 2345, 2345.0),
    ]
    assert [int(alert.packet["seq"]) for alert, _ in told] == [0, 9, 99, 999, 2344]
    assert len({note.id for _, note in told}) == 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 90), st.integers(-1, 2)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_batches_change_nothing_and_every_alert_is_counted_once(drawn, cuts):
    sources, gaps, kinds = zip(*drawn, strict=True)
    parts = alerts(sources, np.cumsum(gaps), kinds)
    whole, cut = run(Incidents(), parts), run(Incidents(), parts, cuts)
    assert seen(whole) == seen(cut)
    assert sum(note.count for _, note in cut if note.state == "end") == len(drawn)
    for alert, note in cut:
        assert (int(alert.packet["src_lo"]), alert.kind) in set(zip(sources, kinds, strict=True))
        assert note.peak >= alert.score


@pytest.mark.parametrize("gap", [60, 61])
def test_an_incident_ends_after_a_minute_without_an_alert(gap):
    told = run(Incidents(), alerts([1, 1], [0, gap]))
    assert [note.count for _, note in told if note.state == "end"] == ([2] if gap == 60 else [1, 1])


def test_kinds_of_one_source_are_incidents_of_their_own():
    told = run(Incidents(), alerts([1, 1, 1], [0, 1, 2], [0, 1, 0]))
    assert sorted(note.count for _, note in told if note.state == "end") == [1, 2]


@pytest.mark.slow
def test_a_flood_of_sources_stays_bounded_and_every_alert_is_told():
    incidents = Incidents(most=100)
    told = []
    for first in range(0, 10_000, 500):
        told += incidents.add(*alerts(np.arange(first, first + 500), [1] * 500))
        assert incidents.open <= 100
    told += incidents.end()
    assert sum(note.count for _, note in told if note.state == "end") == 10_000
    assert incidents.crowded_out == 9900
