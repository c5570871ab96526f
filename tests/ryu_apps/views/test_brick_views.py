"""What is told of single bricks: costs beside estimates, and what holds an instance up, of every cause."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest

from lego_sdn.core.control.state import fresh
from lego_sdn.core.cost.measurements import Measured
from lego_sdn.core.cost.model import BrickCost, Costs
from lego_sdn.core.facts.config import Config, InstanceSettings, SlaSettings
from lego_sdn.core.observe.diagnosis import Cause, Diagnosis
from lego_sdn.simulation.brick_queues import GRAPH
from lego_sdn.simulation.hosts import QUOTA, BrickHost
from lego_sdn.simulation.memory import InMemorySystem
from ryu_apps.views import brick_metrics, brick_views

ROW = {"id": "router-0", "kind": "router", "packets_in": 640, "batches": 10}
SEEN = BrickCost("router", 100.0, 2.0, scale=1.5)
PROFILED = BrickCost("router", 100.0, 2.0, scale=1.5, measured=(Measured(1, 102.0), Measured(128, 356.0)))


def of(brick: BrickCost) -> Costs:
    return Costs("nf", "layout", (brick,))


def test_a_cost_stands_beside_its_estimate_at_the_bricks_own_batches():
    told = brick_views.cost(of(PROFILED), ROW)
    assert (told["cost_us"], told["estimate_us"]) == (pytest.approx(1.5 * 228 / 64, abs=1e-4), pytest.approx(228 / 64, abs=1e-4))
    assert (told["items_out"], told["estimate_items_out"]) == (1.0, 1.0)


def test_without_a_profile_there_is_no_estimate():
    told = brick_views.cost(of(SEEN), ROW)
    assert told["cost_us"] == pytest.approx(1.5 * 228 / 64, abs=1e-4)
    assert told["estimate_us"] is told["estimate_items_out"] is None
    assert set(brick_views.cost(None, ROW).values()) == {None}


@pytest.mark.parametrize(("costs", "known"), [(None, None), (of(SEEN), "learned"), (of(PROFILED), "profiled")])
def test_where_costs_come_from_is_told(costs, known):
    assert brick_views.scaling(fresh(Config(), costs=costs))["costs"] == known


@pytest.mark.parametrize("cause", [None, *get_args(Cause)])
def test_metrics_name_what_holds_an_instance_up(cause):
    found = Diagnosis(3, (), cause, "router-0" if cause == "brick" else None)
    state = SimpleNamespace(diagnoses={3: found}, costs=None, sla=fresh(Config()).sla)
    shared = SimpleNamespace(state=state, observed=SimpleNamespace(processes={}))
    (metric,) = [one for one in brick_metrics.families(shared) if one.name == "lego_bottleneck"]
    told = {sample.labels["cause"]: (sample.labels["brick"], sample.value) for sample in metric.samples}
    assert told == {one: ("router-0" if one == cause == "brick" else "", float(one == cause)) for one in get_args(Cause)}


@pytest.mark.parametrize("promised", [{"loss": 0.01}, {"latency_ms": 20_000.0}, {"loss": 0.01, "latency_ms": 20_000.0}])
def test_a_brick_shows_its_part_of_what_is_promised_and_only_of_that(promised):
    host = BrickHost(cost_us=dict.fromkeys(GRAPH, 100.0))
    config = Config(model="m", instance=InstanceSettings(cpu_quota=QUOTA, placement="separate"), sla=SlaSettings(**promised))
    state = InMemorySystem(config, lambda bucket, time: 2.0, host=host).up().run(10).state
    row = brick_views.assessed(state)[1, "feature-mapping-0"]["deadline"]
    assert (row["ms"] is not None, row["may_wait_ms"] is not None) == ("latency_ms" in promised,) * 2
    assert row["may_lose"] == (pytest.approx(1 - 0.99 ** (1 / len(GRAPH)), rel=0.05) if "loss" in promised else None)
    assert (row["lost"], row["kept"]) == (0.0, True)
    shared = SimpleNamespace(state=state, observed=SimpleNamespace(processes={}))
    told = {one.name: {sample.labels.get("kind") for sample in one.samples} for one in brick_metrics.families(shared)}
    assert ("feature-mapping" in told["lego_brick_loss_allowed_share"]) == ("loss" in promised)
    assert ("feature-mapping" in told["lego_brick_deadline_milliseconds"]) == ("latency_ms" in promised)
    assert told["lego_brick_loss_share"]
