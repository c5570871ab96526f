"""The promise: divided by costs, told to instances when costs change, watched in windows, its breach told once and counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lego_sdn.core.cost.model import BrickCost, Costs
from lego_sdn.core.facts.actions import SetDeadlines, SetQuota
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.change_notes import PromiseBroken, PromiseKept
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings, SlaSettings
from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.facts.instance_notes import ChangeFailed
from lego_sdn.core.facts.reports import Report
from lego_sdn.core.observe.slo import Promised, Tally, basis_of, tally, to_tell, watch
from lego_sdn.core.observe.slo import divided as by_basis
from lego_sdn.simulation.brick_queues import GRAPH
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import InMemorySystem

PROMISE = SlaSettings(latency_ms=100.0, loss=0.01, tolerance=0.05, window_s=2.0)
COST = dict.fromkeys(GRAPH, 100.0) | {"unsupervised-network": 400.0}


def costs(**more: float) -> Costs:
    return Costs("kitsune", "kitsune115", tuple(BrickCost(kind, 0.0, more.get(kind.replace("-", "_"), us)) for kind, us in COST.items()))


def world(offered=300.0, **promise) -> InMemorySystem:
    told = {"latency_ms": 20_000.0, "loss": 0.01, "window_s": 2.0} | promise
    config = Config(
        model="m",
        instance=InstanceSettings(cpu_quota=QUOTA, placement="separate"),
        scaling=ScalingSettings(policy="water-marks", max_instances=1),
        sla=SlaSettings(**told),
    )
    return InMemorySystem(config, lambda bucket, time: offered / 64, host=BrickHost(cost_us=dict(COST))).up()


def divided(kept: Promised, config: Config, costs: Costs, *laid: Arrangement) -> Promised:
    return by_basis(kept, config, basis_of(config, costs, laid))


def broken(rounds: list[Tally]) -> tuple[Promised, list[str]]:
    kept, said = Promised(), []
    for at, one in enumerate(rounds):
        kept, notes = watch(kept, PROMISE, {1: one}, float(at))
        said += [note.text for note in notes]
    return kept, said


def test_a_window_is_judged_at_its_end():
    kept, said = broken([Tally(), Tally(100, 4), Tally(100, 6)])  # 5 % late, as much as may be
    assert (kept.broken, said, kept.last) == ({}, [], {1: Tally(200, 10)})
    kept, said = broken([Tally(), Tally(100, 4), Tally(100, 7)])
    assert kept.broken == {1: ("latency",)}
    assert said == ["instance 1 breaks the promise of latency: 5.5% of its packets took longer than 100 ms (5.0% may) in 2 s"]


def test_a_breach_is_told_once_counted_each_window_and_its_end_is_told():
    bad, good = [Tally(100, 0, 2)] * 2, [Tally(100)] * 2
    kept, said = broken([Tally(), *bad, *bad, *good])
    assert kept.violations == {"loss": 2}
    assert said == [
        "instance 1 breaks the promise of loss: 1.96% were lost (1.00% may be) in 2 s",
        "instance 1 keeps the promise again",
    ]


def test_what_is_not_promised_is_not_broken():
    kept, notes = watch(Promised(since=0.0), SlaSettings(loss=0.5, window_s=1.0), {1: Tally(100, 100)}, 5.0)
    assert (kept.broken, notes) == ({}, [])


def test_an_instance_that_is_gone_is_forgotten():
    kept = Promised(broken={1: ("loss",), 2: ("loss",)}, window={1: Tally(1)}, told={1: SetDeadlines(1, ())})
    assert kept.without(1) == Promised(broken={2: ("loss",)})


def test_deadlines_are_divided_anew_when_a_cost_changes_by_more_than_a_quarter():
    config = Config(sla=SlaSettings(latency_ms=1000.0))
    first = divided(Promised(), config, costs())
    assert sum(part.ms for part in first.deadlines.values()) == pytest.approx(1000.0)
    assert first.deadlines["unsupervised-network"].ms == pytest.approx(500.0)
    assert divided(first, config, costs(unsupervised_network=490.0)) is first
    again = divided(first, config, costs(unsupervised_network=600.0))
    assert again.deadlines["unsupervised-network"].ms == pytest.approx(600.0)


def test_a_promise_that_can_hardly_be_kept_is_told_and_divided_all_the_same():
    """The costs speak of full batches, and may be wrong: the packets decide."""
    tight = Config(sla=SlaSettings(latency_ms=1.0))
    kept = divided(Promised(), tight, costs())
    assert sum(part.ms for part in kept.deadlines.values()) == pytest.approx(1.0)
    assert kept.problem.startswith("a full batch (256 packets) takes ")
    assert divided(replace(kept, basis=None), replace(tight, sla=SlaSettings(latency_ms=1000.0)), costs()).problem == ""


def test_only_who_does_not_know_is_told():
    kept = divided(Promised(), Config(sla=SlaSettings(latency_ms=1000.0)), costs())
    kept, actions = to_tell(kept, (1, 2))
    assert [action.instance for action in actions] == [1, 2]
    kept, actions = to_tell(kept, (1, 2, 3))
    assert [action.instance for action in actions] == [3]


def test_a_loss_is_divided_without_a_latency_and_nobody_is_told_deadlines():
    kept = divided(Promised(), Config(sla=SlaSettings(loss=0.01)), costs())
    assert math.prod(1 - part.loss for part in kept.deadlines.values()) == pytest.approx(0.99)
    assert {part.ms for part in kept.deadlines.values()} == {None}
    assert (kept.problem, to_tell(kept, (1,))) == ("", (kept, ()))


def test_parts_follow_the_cores_that_bricks_have():
    """The learning network on a fifth of a core takes five times as long as on a whole one; its smaller replica decides."""
    config = Config(sla=SlaSettings(latency_ms=1000.0))
    whole = Arrangement((Placed("a", tuple(f"{kind}-0" for kind in GRAPH), 1.0),), Graph.line(*GRAPH))
    first = divided(Promised(), config, costs(), whole)
    assert divided(first, config, costs(), whole) is first
    smaller = replace(whole, processes=(*whole.processes, Placed("b", ("unsupervised-network-1",), 0.2)))
    again = divided(first, config, costs(), smaller)
    assert again.deadlines["unsupervised-network"].ms == pytest.approx(1000 * 2000 / 2400)
    assert first.deadlines["unsupervised-network"].ms == pytest.approx(500)


def test_a_graph_that_branches_keeps_the_promise_along_each_path():
    """Two networks side by side: a packet goes through one of them."""
    links = (
        ("feature-quantization", "fast"),
        ("feature-quantization", "thorough"),
        ("fast", "sample-result"),
        ("thorough", "sample-result"),
    )
    us = {"feature-quantization": 100.0, "fast": 100.0, "thorough": 700.0, "sample-result": 200.0}
    known = Costs("branching", "kitsune115", tuple(BrickCost(kind, 0.0, cost) for kind, cost in us.items()))
    told = {"processes": [{"process": "1-a", "bricks": [f"{kind}-0" for kind in us], "cpu_quota": 1.0}]}
    laid = Arrangement.of(told | {"graph": Graph(tuple(map(Node, us)), links).to_dict()})
    parts = divided(Promised(), Config(sla=SlaSettings(latency_ms=1000.0, loss=0.1)), known, laid).deadlines
    assert {kind: round(part.ms) for kind, part in parts.items()} == {
        "feature-quantization": 100, "fast": 250, "thorough": 700, "sample-result": 200,
    }  # fmt: skip


def _report(time: float, capture: dict, dropped: int = 0) -> Report:
    totals = dict.fromkeys(("received", "kernel_drops", "shadows", "gaps", "repeats", "reordered"), 0) | {"queue": 0.0}
    numbers = ("serial", "packets_in", "packets_out", "batches", "queue_in", "queue_out", "cpu_s", "service_us")
    brick = dict.fromkeys(numbers, 0) | {"id": "x-0", "kind": "x", "dropped": {"lost": dropped}, "counters": {}}
    plain = dict.fromkeys(("instance", "pid", "uptime_s", "cpu_s", "rss_bytes"), 1)
    return Report.parse(plain | {"process": "1-a", "time": time, "capture": totals | capture, "bricks": [brick]})


@pytest.mark.parametrize(
    ("capture", "dropped", "unsent", "lost"),
    [
        ({"held_dropped": 7, "held_shadows_dropped": 50}, 0, 0.0, 7),
        ({"kernel_drops": 40}, 0, 0.0, 40),
        ({"kernel_drops": 40, "received": 100, "shadows": 75}, 0, 0.0, 10),  # three of four that come are shadows
        ({"received": 100, "shadows": 50}, 3, 6.0, 3 + 6),  # 12 in 2 s
    ],
)
def test_what_is_lost_on_the_whole_way_counts_and_shadows_do_not(capture, dropped, unsent, lost):
    before, after = _report(1.0, {"held_dropped": 0}), _report(3.0, capture, dropped)
    assert tally({"1-a": before}, {"1-a": after}, "x", unsent).lost == lost


# ---- in the running system ----
def test_deadlines_follow_a_quota():
    made = world().run(10)
    (process,) = [one.process for one in made.state.members[1].arrangement.processes if "unsupervised-network-0" in one.bricks]
    before = made.host.deadlines[1]["unsupervised-network"]
    answer = made.host.regrow(SetQuota(1, ((process, QUOTA / 2),)))
    made.happen(answer)
    made.run(3)
    assert before == pytest.approx(10_000, rel=0.05)
    assert made.host.deadlines[1]["unsupervised-network"] == pytest.approx(20_000 * 800 / 1200, rel=0.05)


@pytest.mark.slow
def test_instances_are_told_when_they_run_and_when_costs_change():
    made = world().run(10)
    told = made.host.deadlines[1]
    assert list(told) == list(GRAPH)
    assert told["unsupervised-network"] == pytest.approx(10_000, rel=0.05)
    made.host.cost_us["unsupervised-network"] = 600.0
    made.host.pipelines[1].cost_us = made.host.cost_us
    made.run(60)
    assert made.host.deadlines[1]["unsupervised-network"] == pytest.approx(12_000, rel=0.08)
    assert 2 <= len(made.actions(SetDeadlines)) <= 4
    assert made.state.costs.of("unsupervised-network").per_packet_us(1) == pytest.approx(600, rel=0.1)
    assert made.state.costs.profiled.of("unsupervised-network").per_packet_us(1) == pytest.approx(400, rel=0.02)


def test_a_broken_promise_is_an_event_and_so_is_its_end():
    made = world().run(6)
    made.host.late_share = 0.5
    made.run(8)
    assert made.actions(PromiseBroken)[0].promises == ("latency",)
    assert made.state.sla.violations["latency"] >= 2
    made.host.late_share = 0.0
    made.run(8)
    assert made.notes("sla")[1:] == [PromiseKept(instance=1)]


@pytest.mark.slow
def test_packets_that_are_lost_break_it_too():
    made = world(offered=900.0).run(90)
    assert "loss" in made.actions(PromiseBroken)[0].promises


def test_deadlines_that_cannot_be_set_are_told_and_hold_nothing_up():
    made = world()
    made.host.refuse = 1
    made.run(10)
    failed = made.actions(ChangeFailed)[0]
    assert (failed.change, failed.instance) == ("deadlines", 1)
    assert made.state.change is None
    assert made.state.regrowing.failures == 0
