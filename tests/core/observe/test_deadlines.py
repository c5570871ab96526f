"""Deadlines: parts that add up, errors for promises that cannot be kept, and how a brick keeps its part."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.facts.config import KeyProblem
from lego_sdn.core.observe.deadlines import DeadlineProgress, Promise, divide, kept
from tests.core.cost.costs import kitsune

WORK_MS = 500 * 256 / 1000  # of a full batch through all bricks


@given(st.floats(WORK_MS * 1.001, 1e5), st.floats(0, 0.99))
def test_parts_are_in_proportion_and_make_up_the_whole(latency_ms, loss):
    parts = divide(Promise(latency_ms, loss), kitsune())
    assert list(parts) == list(kitsune().kinds)
    assert sum(part.ms for part in parts.values()) == pytest.approx(latency_ms)
    assert math.prod(1 - part.loss for part in parts.values()) == pytest.approx(1 - loss)
    assert parts["unsupervised-network"].ms == pytest.approx(3 * parts["feature-quantization"].ms)
    assert all(part.waiting_ms > 0 for part in parts.values())
    assert sum(part.waiting_ms for part in parts.values()) == pytest.approx(latency_ms - WORK_MS, abs=1e-6)


def test_a_quota_makes_the_work_take_longer():
    parts = divide(Promise(1000.0), kitsune(), cores={"feature-mapping": 0.1, "sample-result": 8.0})
    assert parts["feature-mapping"].bare_ms == pytest.approx(40 * 256 / 1000 / 0.1)
    assert parts["sample-result"].bare_ms == pytest.approx(40 * 256 / 1000)


def test_a_promise_below_the_work_itself_leaves_no_time_to_wait():
    parts = divide(Promise(100.0), kitsune()).values()
    assert sum(part.ms for part in parts) == pytest.approx(100.0)
    assert sum(part.bare_ms for part in parts) == pytest.approx(WORK_MS)
    assert all(part.waiting_ms < 0 for part in parts)


@pytest.mark.parametrize(
    ("values", "key"), [((0.0,), "latency_ms"), ((math.inf,), "latency_ms"), ((9.0, 1.0), "loss"), ((9.0, -0.1), "loss")]
)
def test_promises_that_are_none(values, key):
    with pytest.raises(KeyProblem, match=f"sla.{key}: wanted"):
        Promise(*values)


def test_a_brick_on_two_paths_gets_the_tighter_part():
    short, long = ("feature-quantization", "sample-result"), kitsune().kinds
    parts = divide(Promise(280.0, 0.1), kitsune(), paths=(short, long))
    alone = {path: divide(Promise(280.0, 0.1), kitsune(), paths=(path,)) for path in (short, long)}
    assert parts["feature-quantization"].ms == pytest.approx(56.0) == pytest.approx(alone[long]["feature-quantization"].ms)
    assert alone[short]["feature-quantization"].ms == pytest.approx(200.0)
    assert parts["feature-quantization"].loss == alone[long]["feature-quantization"].loss
    for path in (short, long):
        assert sum(parts[kind].ms for kind in path) <= 280.0 + 1e-9


def test_a_path_through_an_unknown_brick_is_refused():
    with pytest.raises(CostError, match="no brick of kind 'router'"):
        divide(Promise(1000.0), kitsune(), paths=(("router",),))


PART = divide(Promise(256.0, 0.1), kitsune())["unsupervised-network"]


@pytest.mark.parametrize(
    ("done", "ok"),
    [
        (DeadlineProgress(0), True),
        (DeadlineProgress(1000, late=10), True),
        (DeadlineProgress(1000, late=11), False),
        (DeadlineProgress(1000, lost=60), True),  # 5.7 %; its part of 10 % is 6.1 %
        (DeadlineProgress(1000, lost=70), False),
        (DeadlineProgress(0, lost=5), False),
    ],
)
def test_a_part_is_kept_within_what_may_be_late_and_lost(done, ok):
    assert kept(PART, done, 0.01).kept is ok
