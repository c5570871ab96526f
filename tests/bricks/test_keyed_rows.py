"""The state that a small NF is given: rows leave and enter by bucket of the split key, and come back with the same bits."""

from __future__ import annotations

import math

import pytest

from bricks.records.keyed_rows import KeyedRows
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

ALL = frozenset(range(4))


def rows(key: SplitKey = BY_SOURCE, most: int = 100) -> KeyedRows:
    """Pairs of an even source and an odd destination, and what of them is known."""
    state = KeyedRows("pairs", ["src_ip", "dst_ip"], key, most)
    for number in range(8):
        state.put((2 * number, 2 * number + 1), (math.pi / (number + 1), number))
    return state


def test_rows_leave_by_either_end_and_come_back_with_the_same_bits():
    state, other = rows(), KeyedRows("pairs", ["src_ip", "dst_ip"], BY_SOURCE)
    assert other.adopt(state.export(frozenset({0}), 4)) == 4  # sources 0, 4, 8, 12
    assert other.adopt(state.export(frozenset({3}), 4)) == 4  # destinations 3, 7, 11, 15
    assert other.rows == state.rows
    assert other.adopt(state.export(ALL, 4)) == 0


def test_what_the_receiver_has_may_stay_and_only_wanted_buckets_are_taken():
    state = rows()
    assert rows(most=100).adopt(state.export(frozenset({0}), 4, frozenset({1})), ALL, 4) == 0
    empty = KeyedRows("pairs", ["src_ip", "dst_ip"], BY_SOURCE)
    assert empty.adopt(state.export(ALL, 4), frozenset({2}), 4) == 4


def test_rows_without_an_end_in_owned_buckets_are_forgotten():
    state = rows(SplitKey(("dst_ip",)))
    assert state.forget(frozenset({1}), 4) == 4
    assert {key[1] % 4 for key in state.rows} == {1}


def test_the_oldest_row_goes_where_there_is_no_room_and_is_counted():
    state = rows(most=5)
    assert next(iter(state.rows)) == (6, 7)
    assert state.counters() == {"streams_pairs": 5, "evicted_pairs": 3}


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}x", b"[1]", b'[["a", [1]]]', b'[[[1, "x"], 2]]'])
def test_bytes_that_are_no_export_are_refused_in_one_sentence_and_change_nothing(data):
    state = rows()
    before = dict(state.rows)
    with pytest.raises(BrickError, match="are no export of keyed rows"):
        state.adopt(data)
    assert state.rows == before
