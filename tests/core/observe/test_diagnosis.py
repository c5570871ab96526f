"""The slow brick is named, wherever it is, on pipelines whose costs are known; and what is not a slow brick is not called one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import DiskLoad
from lego_sdn.core.observe.diagnosis import Diagnosis, Outside, Rounds, diagnose
from lego_sdn.simulation.brick_queues import GRAPH, BrickQueues, apart, chained, cut
from tests.examples import examples

QUOTA = 0.2
OTHERS = st.lists(st.floats(50, 100), min_size=len(GRAPH), max_size=len(GRAPH))
TIMES = st.floats(1.5, 8.0)
OVER = st.floats(1.3, 4.0)


def costs(values: list[float], slow: int, times: float) -> dict[str, float]:
    return dict(zip(GRAPH, values, strict=True)) | {GRAPH[slow]: times * max(values)}


def watched(pipeline: BrickQueues, offered: float, before_s: float = 9.0, outside: Outside | None = None, **told: Any) -> Diagnosis:
    """What is found of a second of it, when it has run for a while. `told`: what process 1-b says more at the end of that second."""
    before = pipeline.run(offered, before_s).reports()
    after = pipeline.run(offered, 1.0).reports()
    if told:
        after["1-b"] = replace(after["1-b"], **told)
    found = diagnose(Rounds(before, after), pipeline.arrangement, outside or Outside(offered))
    assert found is not None
    return found


def capacity(arrangement: Arrangement, cost: dict[str, float]) -> float:
    return min(QUOTA * 1e6 / sum(cost[node_of(brick)] for brick in one.bricks) for one in arrangement.processes)


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(0, len(GRAPH) - 1), OTHERS, TIMES, OVER)
def test_the_slow_brick_is_named_wherever_it_is(slow, others, times, over):
    cost = costs(others, slow, times)
    found = watched(BrickQueues(apart(), cost), over * capacity(apart(), cost))
    assert (found.cause, found.brick) == ("brick", f"{GRAPH[slow]}-0")
    verdicts = [one.verdict for one in found.bricks]
    assert verdicts[slow] == "slow"
    assert verdicts[slow + 1 :] == ["starved"] * (len(GRAPH) - slow - 1)
    assert "back-pressured" in verdicts[max(0, slow - 1) : slow] or slow == 0


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(0, len(GRAPH) - 1), OTHERS, TIMES, OVER)
def test_in_a_chain_it_is_the_brick_that_uses_most(slow, others, times, over):
    cost = costs(others, slow, times)
    found = watched(BrickQueues(chained(), cost), over * capacity(chained(), cost), 2.0)
    assert found.brick == f"{GRAPH[slow]}-0"
    assert found.slow.share == pytest.approx(cost[GRAPH[slow]] / sum(cost.values()), rel=0.02)


@settings(max_examples=examples(12), deadline=None)
@given(st.sets(st.integers(1, len(GRAPH) - 1)), OTHERS, OVER, st.integers(0, 4))
def test_of_chains_it_is_in_the_one_that_costs_most(cuts, others, over, heavy):
    arrangement, cost = cut(cuts), costs(others, heavy, 1.2)
    sums = sorted(((sum(cost[node_of(b)] for b in one.bricks), one) for one in arrangement.processes), key=lambda item: item[0])
    if len(sums) > 1 and sums[-1][0] < 1.1 * sums[-2][0]:
        return  # no process is the slow one
    offered, first = over * capacity(arrangement, cost), arrangement.processes[0]
    if sums[-1][1] != first and offered * sum(cost[node_of(b)] for b in first.bricks) > QUOTA * 1e6:
        return  # the process at the interface drops what it cannot take, and is named for that
    found = watched(BrickQueues(arrangement, cost), over * capacity(arrangement, cost), 14.0)
    slow = max(sums[-1][1].bricks, key=lambda b: cost[node_of(b)])
    assert found.slow.process == sums[-1][1].process
    assert found.slow.share >= cost[node_of(slow)] / sums[-1][0] - 0.02


@settings(max_examples=examples(15), deadline=None)
@given(st.sets(st.integers(1, len(GRAPH) - 1)), OTHERS, st.integers(0, 4), TIMES, st.floats(0.05, 0.7))
def test_what_keeps_up_is_held_up_by_nothing(cuts, others, slow, times, share):
    arrangement, cost = cut(cuts), costs(others, slow, times)
    found = watched(BrickQueues(arrangement, cost), share * capacity(arrangement, cost), 3.0)
    assert (found.cause, found.brick, found.evidence) == (None, None, "")
    assert {one.verdict for one in found.bricks} == {"easy"}


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(1, 3), OTHERS, OVER)
def test_of_a_kind_with_replicas_one_is_named_if_together_they_are_slow(slow, others, over):
    cost = costs(others, slow, 4.0)
    base = apart()
    more = replace(base, processes=(*base.processes, Placed("1-f", (f"{GRAPH[slow]}-1",), QUOTA)))
    pace = QUOTA * 1e6 / (cost[GRAPH[slow]] / 2)
    found = watched(BrickQueues(more, cost), over * pace)
    assert found.slow.kind == GRAPH[slow]


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(0, 4), OTHERS)
def test_a_process_that_does_not_get_its_share_of_the_host_is_found_by_what_waits(slow, others):
    """It is far below its quota, and cannot do more all the same."""
    cost, arrangement = dict(zip(GRAPH, others, strict=True)), apart()
    process = arrangement.processes[slow].process
    pipeline = BrickQueues(arrangement, cost, granted={process: 0.2})
    found = watched(pipeline, 0.6 * QUOTA * 1e6 / max(others), 20.0)
    assert found.brick == f"{GRAPH[slow]}-0"
    assert found.slow.used < 0.5


def test_the_evidence_has_the_figures():
    cost = dict.fromkeys(GRAPH, 100.0) | {"unsupervised-network": 800.0}
    found = watched(BrickQueues(apart(), cost), 400.0, 2.0)
    parts = found.evidence.split(", ")
    assert parts[:2] == ["unsupervised-network-0: its process 1-d uses 100% of its CPU quota", "800.0 µs a packet"]
    assert abs(int(parts[2].split()[0]) - 450) <= 3
    assert parts[3] == "+150/s"
    chain = watched(BrickQueues(chained(), cost), 400.0, 2.0)
    assert "% of that is this brick's, 800.0 µs a packet, 0 rows wait" in chain.evidence
    assert "packets/s overrun" not in chain.evidence
    assert chain.offered == pytest.approx(400, abs=1)


def test_a_brick_that_takes_nothing_is_found_by_who_waits_for_it():
    cost = dict.fromkeys(GRAPH, 100.0)
    pipeline = BrickQueues(apart(), cost, granted={"1-d": 0.0})
    found = watched(pipeline, 500.0, 30.0)
    assert found.brick == "unsupervised-network-0"
    assert [one.verdict for one in found.bricks[:3]] == ["back-pressured"] * 3


def test_packets_that_do_not_reach_the_bricks_are_the_switch_s():
    cost = dict.fromkeys(GRAPH, 100.0)
    found = watched(BrickQueues(apart(), cost), 500.0, outside=Outside(offered=900.0))
    assert (found.cause, found.brick) == ("switch", None)
    assert found.evidence == "the switch counts 900 packets/s for it, and it gets 500: packets are lost before the bricks"
    found = watched(BrickQueues(apart(), cost), 500.0, outside=Outside(500.0, lost=40.0))
    assert found.evidence == "the switch could not put out 40 packets/s to its port"


def test_memory_is_held_against_its_mark_and_the_brick_with_most_is_named():
    easy, most = dict.fromkeys(GRAPH, 100.0), 9_400_000
    found = watched(BrickQueues(apart(), easy), 500.0, outside=Outside(500.0, memory_bytes=14e6), pss_bytes=most)
    assert (found.cause, found.brick, found.slow) == ("memory", "feature-quantization-0", None)
    assert found.evidence == "97% of the memory mark is in use, 9.4 MB in process 1-b (feature-quantization-0)"
    assert watched(BrickQueues(apart(), easy), 500.0, outside=Outside(500.0, memory_bytes=1e9)).cause is None
    chain = watched(BrickQueues(chained(), easy), 100.0, outside=Outside(100.0, memory_bytes=1e6))
    assert (chain.cause, chain.brick) == ("memory", None)
    assert chain.evidence.endswith("process 1-a (" + ", ".join(f"{kind}-0" for kind in GRAPH) + ")")


def test_pages_that_processes_share_count_once():
    """Each of them says that it has 1 MiB; of process 1-b, most belongs to others too."""
    easy, mark = dict.fromkeys(GRAPH, 100.0), Outside(500.0, memory_bytes=5.5e6)
    assert watched(BrickQueues(apart(), easy), 500.0, outside=mark).cause == "memory"
    found = watched(BrickQueues(apart(), easy), 500.0, outside=mark, pss_bytes=100_000)
    assert (found.cause, round(found.memory, 3)) == (None, round((4 * (1 << 20) + 100_000) / 5.5e6, 3))


def test_overload_hides_neither_memory_nor_the_switch():
    cost = dict.fromkeys(GRAPH, 100.0) | {"unsupervised-network": 800.0}
    found = watched(BrickQueues(apart(), cost), 400.0, outside=Outside(400.0, 40.0, 5.5e6))
    assert (found.cause, found.brick, found.is_full) == ("brick", "unsupervised-network-0", True)
    words = found.evidence.split("; ")
    assert words[-2].startswith("95% of the memory mark is in use")
    assert words[-1] == "the switch could not put out 40 packets/s to its port"


def test_the_evidence_tells_of_who_is_held_up_before_it_and_of_what_waits_behind():
    cost = dict.fromkeys(GRAPH, 100.0) | {"unsupervised-network": 800.0}
    pipeline = BrickQueues(apart(), cost)
    found = watched(pipeline, 600.0)
    before = next(one for one in found.bricks if one.kind == "feature-mapping")
    assert before.queue_out == found.slow.queue == 512
    told = f"; feature-mapping-0 before it has no room downstream {before.blocked:.0%} of the time with 512 rows on their way"
    assert found.evidence.endswith(told)
    assert "on their way" not in found.evidence.split("; ")[0], "the slow brick itself has room"


STALLED = {"disk": DiskLoad(major_faults=240, read_bytes=20_000_000)}


@pytest.mark.parametrize(
    ("told", "cause", "words"),
    [
        (STALLED, "io", "240 pages/s fetched from the disk, 20.00 MB/s read"),
        ({"disk": DiskLoad(wait_s=0.7)}, "io", "waiting for the disk 70% of the time"),
        ({"disk": DiskLoad(major_faults=3, read_bytes=9000, written_bytes=50_000_000)}, "brick", "3 pages/s fetched from the disk"),
        ({}, "brick", "rows wait"),
    ],
)
def test_a_brick_that_waits_for_the_disk_is_not_helped_by_cpu(told, cause, words):
    """It uses a tenth of its CPU while packets wait: because of the disk, if its process had to fetch something from there."""
    pipeline = BrickQueues(apart(), dict.fromkeys(GRAPH, 100.0), granted={"1-b": 0.1})
    found = watched(pipeline, 500.0, 30.0, **told)
    assert (found.cause, found.brick) == (cause, "feature-quantization-0")
    assert words in found.evidence
    assert (found.slow is None) == (cause == "io")
    assert [one.verdict for one in found.bricks] == ["back-pressured", "slow", "starved", "starved", "starved"]


def test_a_busy_brick_is_slow_whatever_it_fetches():
    cost = dict.fromkeys(GRAPH, 100.0) | {"feature-quantization": 800.0}
    assert watched(BrickQueues(apart(), cost), 500.0, **STALLED).cause == "brick"
    assert watched(BrickQueues(apart(), dict.fromkeys(GRAPH, 100.0)), 500.0, **STALLED).cause is None


def test_time_that_the_quota_took_is_evidence():
    cost = dict.fromkeys(GRAPH, 100.0) | {"feature-quantization": 800.0}
    found = watched(BrickQueues(apart(), cost), 500.0, throttled_s=0.78)
    assert ", kept from running by its quota 78% of the time" in found.evidence


def test_without_two_reports_of_a_process_nothing_is_said():
    reports = BrickQueues(apart(), dict.fromkeys(GRAPH, 100.0)).reports()
    assert diagnose(Rounds({}, reports), apart(), Outside()) is None
    assert diagnose(Rounds(reports, reports), apart(), Outside()) is None
