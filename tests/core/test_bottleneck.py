"""The slow brick is named, wherever it is, on pipelines whose costs are known; and what is not a slow brick is not called one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.bottleneck import Diagnosis, Outside, Rounds, diagnose
from lego_sdn.core.brick_actions import Arrangement, Placed, kind_of
from tests.fakes.pipeline import GRAPH, Pipeline, apart, chained, cut

QUOTA = 0.2
OTHERS = st.lists(st.floats(50, 100), min_size=len(GRAPH), max_size=len(GRAPH))
TIMES = st.floats(1.5, 8.0)
OVER = st.floats(1.3, 4.0)


def costs(values: list[float], slow: int, times: float) -> dict[str, float]:
    return dict(zip(GRAPH, values, strict=True)) | {GRAPH[slow]: times * max(values)}


def watched(pipeline: Pipeline, offered: float, before_s: float = 9.0, outside: Outside | None = None) -> Diagnosis:
    """What is found of a second of it, when it has run for a while."""
    before = pipeline.run(offered, before_s).reports()
    after = pipeline.run(offered, 1.0).reports()
    found = diagnose(Rounds(before, after), pipeline.arrangement, outside or Outside(offered))
    assert found is not None
    return found


def capacity(arrangement: Arrangement, cost: dict[str, float]) -> float:
    return min(QUOTA * 1e6 / sum(cost[kind_of(brick)] for brick in one.bricks) for one in arrangement.processes)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, len(GRAPH) - 1), OTHERS, TIMES, OVER)
def test_the_slow_brick_is_named_wherever_it_is(slow, others, times, over):
    cost = costs(others, slow, times)
    found = watched(Pipeline(apart(), cost), over * capacity(apart(), cost))
    assert (found.cause, found.brick) == ("brick", f"{GRAPH[slow]}-0")
    verdicts = [one.verdict for one in found.bricks]
    assert verdicts[slow] == "slow"
    assert verdicts[slow + 1 :] == ["starved"] * (len(GRAPH) - slow - 1)
    assert "back-pressured" in verdicts[max(0, slow - 1) : slow] or slow == 0


@settings(max_examples=12, deadline=None)
@given(st.integers(0, len(GRAPH) - 1), OTHERS, TIMES, OVER)
def test_in_a_chain_it_is_the_brick_that_uses_most(slow, others, times, over):
    cost = costs(others, slow, times)
    found = watched(Pipeline(chained(), cost), over * capacity(chained(), cost), 2.0)
    assert found.brick == f"{GRAPH[slow]}-0"
    assert found.slow.share == pytest.approx(cost[GRAPH[slow]] / sum(cost.values()), rel=0.02)


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(1, len(GRAPH) - 1)), OTHERS, OVER, st.integers(0, 4))
def test_of_chains_it_is_in_the_one_that_costs_most(cuts, others, over, heavy):
    arrangement, cost = cut(cuts), costs(others, heavy, 1.2)
    sums = sorted(((sum(cost[kind_of(b)] for b in one.bricks), one) for one in arrangement.processes), key=lambda item: item[0])
    if len(sums) > 1 and sums[-1][0] < 1.1 * sums[-2][0]:
        return  # no process is the slow one
    found = watched(Pipeline(arrangement, cost), over * capacity(arrangement, cost), 14.0)
    slow = max(sums[-1][1].bricks, key=lambda b: cost[kind_of(b)])
    assert found.slow.process == sums[-1][1].process
    assert found.slow.share >= cost[kind_of(slow)] / sums[-1][0] - 0.02


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, len(GRAPH) - 1)), OTHERS, st.integers(0, 4), TIMES, st.floats(0.05, 0.7))
def test_what_keeps_up_is_held_up_by_nothing(cuts, others, slow, times, share):
    arrangement, cost = cut(cuts), costs(others, slow, times)
    found = watched(Pipeline(arrangement, cost), share * capacity(arrangement, cost), 3.0)
    assert (found.cause, found.brick, found.evidence) == (None, None, "")
    assert {one.verdict for one in found.bricks} == {"easy"}


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 3), OTHERS, OVER)
def test_of_a_kind_with_replicas_one_is_named_if_together_they_are_slow(slow, others, over):
    cost = costs(others, slow, 4.0)
    base = apart()
    more = replace(base, processes=(*base.processes, Placed("1-f", (f"{GRAPH[slow]}-1",), QUOTA)))
    pace = QUOTA * 1e6 / (cost[GRAPH[slow]] / 2)
    found = watched(Pipeline(more, cost), over * pace)
    assert found.slow.kind == GRAPH[slow]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 4), OTHERS)
def test_a_process_that_does_not_get_its_share_of_the_host_is_found_by_what_waits(slow, others):
    """It is far below its quota, and cannot do more all the same."""
    cost, arrangement = dict(zip(GRAPH, others, strict=True)), apart()
    process = arrangement.processes[slow].process
    pipeline = Pipeline(arrangement, cost, granted={process: 0.3})
    found = watched(pipeline, 0.6 * QUOTA * 1e6 / max(others), 20.0)
    assert found.brick == f"{GRAPH[slow]}-0"
    assert found.slow.used < 0.5


def test_the_evidence_has_the_figures():
    cost = dict.fromkeys(GRAPH, 100.0) | {"unsupervised-network": 800.0}
    found = watched(Pipeline(apart(), cost), 400.0, 2.0)
    parts = found.evidence.split(", ")
    assert parts[:2] == ["unsupervised-network-0: its process 1-d uses 100% of its CPU quota", "800.0 µs a packet"]
    assert abs(int(parts[2].split()[0]) - 450) <= 3
    assert parts[3] == "+150/s"
    chain = watched(Pipeline(chained(), cost), 400.0, 2.0)
    assert "% of that is this brick's, 800.0 µs a packet, 0 rows wait" in chain.evidence
    assert "packets/s overrun" not in chain.evidence
    assert chain.offered == pytest.approx(400, abs=1)


def test_a_brick_that_takes_nothing_is_found_by_who_waits_for_it():
    cost = dict.fromkeys(GRAPH, 100.0)
    pipeline = Pipeline(apart(), cost, granted={"1-d": 0.0})
    found = watched(pipeline, 500.0, 30.0)
    assert found.brick == "unsupervised-network-0"
    assert [one.verdict for one in found.bricks[:3]] == ["back-pressured"] * 3


def test_packets_that_do_not_reach_the_bricks_are_the_switch_s():
    cost = dict.fromkeys(GRAPH, 100.0)
    found = watched(Pipeline(apart(), cost), 500.0, outside=Outside(offered=900.0))
    assert (found.cause, found.brick) == ("switch", None)
    assert found.evidence == "the switch counts 900 packets/s for it, and it gets 500: packets are lost before the bricks"
    found = watched(Pipeline(apart(), cost), 500.0, outside=Outside(500.0, lost=40.0))
    assert found.evidence == "the switch could not put out 40 packets/s to its port"


def test_memory_is_held_against_its_limit():
    found = watched(Pipeline(apart(), dict.fromkeys(GRAPH, 100.0)), 500.0, outside=Outside(500.0, memory_bytes=5.5e6))
    assert (found.cause, found.evidence) == ("memory", "95% of the memory limit is in use")
    assert watched(Pipeline(apart(), dict.fromkeys(GRAPH, 100.0)), 500.0, outside=Outside(500.0, memory_bytes=1e9)).cause is None


def test_without_two_reports_of_a_process_nothing_is_said():
    reports = Pipeline(apart(), dict.fromkeys(GRAPH, 100.0)).reports()
    assert diagnose(Rounds({}, reports), apart(), Outside()) is None
    assert diagnose(Rounds(reports, reports), apart(), Outside()) is None
