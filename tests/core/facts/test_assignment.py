"""Owners of buckets: always one, evened out, and with few moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lego_sdn.core.facts.assignment import balance, carried, moves, place, weights

instances = st.sets(st.integers(1, 9), min_size=1, max_size=6)
rates = st.dictionaries(st.integers(0, 31), st.floats(0, 1e6, allow_nan=False), max_size=32)
tables = st.lists(st.none() | st.integers(1, 9), min_size=32, max_size=32).map(tuple)


@given(tables, rates, instances)
def test_placing_gives_every_bucket_one_living_owner_and_leaves_the_rest(owners, loads, running):
    placed = place(owners, weights(loads, 32), running)
    assert set(placed) <= running
    for before, after in zip(owners, placed, strict=True):
        assert after == before or before not in running


@given(tables, rates, instances)
def test_balancing_never_makes_the_heaviest_heavier(owners, loads, running):
    load = weights(loads, 32)
    placed = place(owners, load, running)
    even = balance(placed, load, running)
    assert set(even) <= running
    assert max(carried(even, load, running).values()) <= max(carried(placed, load, running).values()) * (1 + 1e-12)


@given(tables, rates, instances)
def test_growing_moves_buckets_to_the_new_instance_only(owners, loads, running):
    load, new = weights(loads, 32), 10
    placed = place(owners, load, running)
    grown = balance(placed, load, {*running, new}, into=new)
    assert set(moves(placed, grown).values()) <= {new}
    assert all(a == b for a, b in zip(placed, grown, strict=True) if b != new)


def test_equal_loads_are_divided_equally():
    load = weights({}, 64)
    one = place((None,) * 64, load, [1])
    two = balance(one, load, [1, 2], into=2)
    three = balance(two, load, [1, 2, 3], into=3)
    for table, n in ((two, 2), (three, 3)):
        shares = carried(table, load, range(1, n + 1)).values()
        assert max(shares) - min(shares) <= 0.1 * 64 / n + 1


def test_as_few_buckets_move_as_it_takes():
    loads = {0: 400.0, 1: 300.0, 2: 200.0, 3: 100.0}
    load = weights(loads, 64)
    grown = balance((1,) * 64, load, [1, 2], into=2)
    assert len(moves((1,) * 64, grown)) <= 2
    shares = carried(grown, load, [1, 2])
    assert abs(shares[1] - shares[2]) <= 0.1 * sum(load) / 2


def test_many_light_buckets_are_evened_out_too():
    load = weights({}, 4096)
    shares = carried(balance((1,) * 4096, load, [1, 2], into=2), load, [1, 2])
    assert min(shares.values()) > 1900


def test_one_heavy_bucket_moves_alone():
    grown = balance((1,) * 64, weights({7: 1000.0, 8: 10.0}, 64), [1, 2], into=2)
    assert len(moves((1,) * 64, grown)) == 1


def test_an_even_table_is_left_alone():
    owners = tuple(b % 2 + 1 for b in range(64))
    assert balance(owners, weights({}, 64), [1, 2]) == owners


def test_nobody_owns_anything_where_nobody_runs():
    assert place((1, 2), (1.0, 1.0), []) == (None, None)
    assert balance((None, None), (1.0, 1.0), []) == (None, None)
