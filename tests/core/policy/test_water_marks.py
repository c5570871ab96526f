"""The water-mark policy: what it suggests, on which evidence, and how long it waits."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.assignment import weights
from lego_sdn.core.facts.config import ScalingSettings
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.reports import InstanceLoad
from lego_sdn.core.policy.base import Memory, Observation, WaterMarks
from lego_sdn.core.policy.registry import policy

EVEN = tuple(b % 2 + 1 for b in range(64))


def seen(cpu: dict[int, float], owners=EVEN, rates=None, **more) -> Observation:
    loads = {i: InstanceLoad(i, 1000.0 * share, share, more.get("queue", 0.0), more.get("drops", 0.0), 200.0) for i, share in cpu.items()}
    return Observation(tuple(sorted(more.get("running", cpu))), loads, owners, weights(rates or {}, 64))


def ask(rounds: list[Observation], **scaling) -> list[str]:
    memory, kinds = Memory(), []
    for observation in rounds:
        memory, suggestion = WaterMarks(ScalingSettings(**scaling)).suggest(memory, observation)
        kinds.append(suggestion.kind)
    return kinds


@pytest.mark.parametrize(
    "sign", [{"cpu": {1: 0.9, 2: 0.85}}, {"cpu": {1: 0.5, 2: 0.6}, "queue": 0.7}, {"cpu": {1: 0.7, 2: 0.79}, "drops": 9.0}]
)
def test_overload_in_a_row_is_answered(sign):
    kinds = ask([seen(**sign)] * 4, up_after=3)
    assert kinds[:2] == ["none", "none"]
    assert kinds[2] != "none"


def test_overload_that_pauses_is_not_in_a_row():
    hot, calm = seen({1: 0.9, 2: 0.9}), seen({1: 0.5, 2: 0.5})
    assert set(ask([hot, calm] * 10, up_after=2)) == {"none"}


def test_a_round_without_its_report_is_not_held_against_it():
    """Who is overloaded answers late."""
    hot, silent = seen({1: 0.9, 2: 0.9}), seen({}, running=(1, 2))
    assert ask([hot, silent, silent, hot], up_after=2) == ["none", "none", "none", "replicate"]
    assert set(ask([silent] * 5, up_after=2)) == {"none"}


def test_it_grows_where_evening_out_would_not_do():
    assert ask([seen({1: 0.9, 2: 0.85})] * 2, up_after=2)[-1] == "replicate"


def test_it_evens_out_where_that_suffices():
    owners = (2,) * 8 + (1,) * 56
    _, suggestion = WaterMarks(ScalingSettings(up_after=1)).suggest(Memory(), seen({1: 0.9, 2: 0.1}, owners))
    assert suggestion.kind == "rebalance"
    assert suggestion.instance == 1
    assert abs(suggestion.owners.count(1) - 32) <= 2
    assert "instance 1 uses 90% of its CPU quota" in suggestion.evidence


def test_it_shrinks_only_after_long_calm():
    kinds = ask([seen({1: 0.2, 2: 0.1})] * 10, down_after=10)
    assert kinds == ["none"] * 9 + ["merge"]
    interrupted = [seen({1: 0.2, 2: 0.1})] * 9 + [seen({1: 0.5, 2: 0.5})] + [seen({1: 0.2, 2: 0.1})] * 9
    assert set(ask(interrupted, down_after=10)) == {"none"}


@pytest.mark.parametrize(
    "observation",
    [
        seen({1: 0.4, 2: 0.29}),  # the rest would carry 69 %
        seen({1: 0.35, 2: 0.35}, rates={0: 1.0, 1: 1.0}),  # nobody is below the low-water mark
        seen({1: 0.1}, running=(1, 2)),  # one did not report
        seen({1: 0.1}, owners=(1,) * 64),  # the last one
    ],
)
def test_it_keeps_what_is_needed(observation):
    assert set(ask([observation] * 30, down_after=2)) == {"none"}


def test_what_leaves_is_the_least_loaded_and_the_evidence_says_so():
    _, suggestion = WaterMarks(ScalingSettings(down_after=1)).suggest(Memory(), seen({1: 0.05, 2: 0.2}, rates={1: 100.0, 0: 25.0}))
    assert (suggestion.kind, suggestion.instance) == ("merge", 1)
    assert "none would use more than 25%" in suggestion.evidence


def test_an_unknown_policy_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"wanted one of bricks, predictive, water-marks, or a package\.module:Class, found 'magic'"):
        policy(ScalingSettings(policy="magic"))
