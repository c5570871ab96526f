"""The cost model: what it learns from measurements and from running bricks, and what it refuses to read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lego_sdn.core.control.state import fresh
from lego_sdn.core.cost.capacity import ProcessShare, capacity, chained, kind_us
from lego_sdn.core.cost.measurements import CostError, Measured, fit
from lego_sdn.core.cost.model import HALF_LIFE, BrickCost, Carriage, Costs, Work
from lego_sdn.core.facts.config import Config, InstanceSettings
from lego_sdn.core.facts.reports import BrickLoad
from tests.core.cost.costs import kitsune

BRICK = BrickCost("feature-mapping", 50.0, 2.0)


@given(st.floats(0, 1e4), st.floats(1e-3, 1e4))
def test_a_fit_finds_the_line_that_the_points_lie_on(fixed, each):
    found = fit([(n, fixed + each * n) for n in (1, 16, 64, 256)])
    assert found == pytest.approx((fixed, each), rel=1e-5, abs=1e-5 * (fixed + each))


def test_a_fit_never_goes_below_nothing():
    assert fit([(1, 1.0), (10, 20.0), (100, 400.0)])[0] == 0.0
    assert fit([(1, 9.0), (10, 8.0), (100, 7.0)])[1] == 0.0
    assert fit([(64, 128.0)]) == (0.0, 2.0)


@pytest.mark.parametrize("points", [[], [(0, 1.0)], [(4, 0.0)]])
def test_a_fit_wants_work_that_took_time(points):
    with pytest.raises(CostError, match="above 0"):
        fit(points)


def test_the_level_follows_what_runs_and_the_estimate_stays():
    seen = Work(HALF_LIFE, HALF_LIFE // 10, 3.0 * BRICK.us(10) * HALF_LIFE / 10, HALF_LIFE)
    once = BRICK.updated(seen)
    assert once.scale == pytest.approx(2.0)  # half of the way, after the half-life
    settled = once
    for _ in range(20):
        settled = settled.updated(seen)
    assert settled.us(64) == pytest.approx(3.0 * BRICK.us(64), rel=1e-3)
    assert settled.profiled.us(64) == BRICK.us(64)
    assert settled.spread < 0.01 < once.spread


def test_few_packets_move_the_level_little_however_many_reports_they_come_in():
    little = BRICK.updated(Work(10, 10, 100 * BRICK.us(1), 10))
    assert 1.0 < little.scale < 1.5
    whole = Work(1000, 100, 2 * BRICK.us(10) * 100, 1000)
    parts = BRICK
    for _ in range(100):
        parts = parts.updated(Work(10, 1, 2 * BRICK.us(10), 10))
    assert parts.scale == pytest.approx(BRICK.updated(whole).scale)


def test_what_is_passed_on_follows_what_runs_shadows_aside():
    brick = replace(BRICK, measured=(Measured(10, BRICK.us(10), items_out=0.9),), items_out=0.9)
    seen = Work(packets=40_000, batches=4_000, cpu_us=4_000 * BRICK.us(10), items=10_000, shadows=20_000)
    assert brick.updated(seen).items_out == pytest.approx(0.5, rel=1e-3)
    assert brick.updated(seen).profiled.items_out == 0.9
    only_shadows = replace(seen, items=0, shadows=40_000)
    assert brick.updated(only_shadows).items_out == 0.9


def load(packets: int, batches: int, cpu_s: float) -> BrickLoad:
    return BrickLoad("feature-mapping-0", "feature-mapping", 0, packets, packets, batches, cpu_s, 5.0, 0, 0, {}, {})


def test_work_is_what_lies_between_two_reports():
    work = Work.between(load(100, 10, 1.0), load(400, 30, 1.5))
    assert work == Work(300, 20, 500_000.0, 300)
    assert work.batch == 15
    assert Work.between(load(100, 10, 1.0), load(100, 10, 1.0)) is None
    assert Work.between(load(100, 10, 1.0), load(20, 2, 0.1)) is None  # started anew
    assert Work.between(load(100, 10, 1.0), load(110, 11, 1.0)) is None  # shorter than the clock's tick


def test_updating_concerns_the_kinds_that_did_something():
    costs = kitsune()
    after = costs.updated({"feature-mapping": [Work(9000, 90, 1e6, 9000)] * 2, "unknown": [Work(1, 1, 1.0, 1)]})
    assert [b.kind for b, was in zip(after.bricks, costs.bricks, strict=True) if b != was] == ["feature-mapping"]
    assert after.profiled.of("feature-mapping").us(1) == costs.of("feature-mapping").us(1)


def test_shadows_are_rows_of_the_bricks_up_to_the_state():
    costs = kitsune()
    assert costs.visits(1.5) == {
        "packet-batching": 1.5,
        "feature-quantization": 1.5,
        "feature-mapping": 1.0,
        "unsupervised-network": 1.0,
        "sample-result": 1.0,
    }
    halved = replace(costs, bricks=(replace(costs.bricks[0], items_out=0.5), *costs.bricks[1:]))
    assert halved.visits()["sample-result"] == 0.5


def test_slowed_bricks_burn_so_much_more_for_each_packet():
    slow = kitsune().slowed({"unsupervised-network": 700.0})
    assert slow.of("unsupervised-network").us(10) == 256 + 10 * 999
    with pytest.raises(CostError, match="no brick of kind 'network'; there are packet-batching"):
        kitsune().slowed({"network": 1.0})


def test_between_measured_sizes_costs_lie_on_the_lines_between_them():
    brick = replace(BRICK, scale=2.0, measured=(Measured(2, 10.0), Measured(64, 41.0), Measured(256, 160.0)))
    assert [brick.us(n) for n in (1, 2, 33, 64, 256, 512)] == [20.0, 20.0, 51.0, 82.0, 320.0, 640.0]
    assert [brick.slowed(5.0).us(n) for n in (2, 64)] == [40.0, 722.0]


def test_costs_in_use_have_the_configured_batches_and_shadows():
    """Batches of 16 cost more by the packet; where nothing need be exact nothing is shadowed, between instances and between replicas."""
    costs = kitsune(shadows=1)
    used = costs.configured(Config(instance=InstanceSettings(batch=16)))
    assert (used.batch, used.shadows) == (16, 1)
    both = (ProcessShare(costs.kinds), ProcessShare(("feature-quantization",)))
    assert capacity(used, chained(costs.kinds)).packets == pytest.approx(1e6 / (495 + 5 * 256 / 16))
    loose = used.configured(Config(exact=False, instance=InstanceSettings(batch=16)))
    assert loose.deliveries(4) == 1.0
    assert kind_us(loose, both)["feature-quantization"] == pytest.approx(99 + 16)
    assert kind_us(used, both)["feature-quantization"] == pytest.approx(1.5 * (99 + 16))
    state = fresh(Config(exact=False, instance=InstanceSettings(batch=64)), costs=costs, shadows=1)
    assert (state.costs.batch, state.costs.shadows, state.shadows) == (64, 0, 0)


def test_what_is_written_is_read_again():
    measured = (Measured(1, 50.0, 0.1, 4096), Measured(256, 560.0))
    costs = Costs("kitsune", "kitsune115", (replace(BRICK, measured=measured, scale=1.5),), Carriage(1.0, 2.0), machine={"cores": 2})
    assert Costs.parse(json.loads(json.dumps(costs.to_dict()))) == costs
    assert costs.batches == (1, 256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "wanted a cost model of version 1, found 2; make one with `lego profile`"),
        (lambda d: d.pop("nf"), "nf is missing"),
        (lambda d: d.update(colour="red"), "unknown key 'colour'"),
        (lambda d: d.update(bricks=[]), "wanted bricks, one of each kind"),
        (lambda d: d.update(bricks=d["bricks"][:1] * 2), "one of each kind"),
        (lambda d: d.update(bricks={}), "wanted a list"),
        (lambda d: d["bricks"][1].update(packet_us=-1), "brick 1: packet_us: wanted a finite number that is not negative, found -1"),
        (lambda d: d["bricks"][1].update(packet_us="1"), "brick 1: packet_us"),
        (lambda d: d["bricks"][1].update(scale=0), "brick 1: scale: wanted above 0"),
        (lambda d: d["bricks"][0].update(batch_us=0, packet_us=0), "brick 0: packet_us: wanted above 0 where batch_us is 0"),
        (lambda d: d["bricks"][0].pop("kind"), "brick 0: kind is missing"),
        (lambda d: d["bricks"].__setitem__(0, 7), "brick 0: wanted keys with values, found 7"),
        (lambda d: d["bricks"][0].update(measured=[{"batch": 0, "us": 1.0}]), "brick 0: measured 0: batch: wanted at least 1 packet"),
        (lambda d: d["bricks"][0].update(measured=[{"batch": 4, "us": 1.0}] * 2), "brick 0: measured: wanted each batch size once"),
        (lambda d: d.update(ring={"batch_us": float("nan")}), "ring: batch_us"),
        (lambda d: d.update(batch=0), "batch: wanted at least 1 packet, found 0"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    data = json.loads(json.dumps(kitsune().to_dict()))
    change(data)
    with pytest.raises(CostError, match=message) as caught:
        Costs.parse(data, "kitsune.costs.json")
    assert str(caught.value).startswith("kitsune.costs.json")


@pytest.mark.parametrize("data", [None, [], "costs", {}])
def test_something_else_is_no_cost_model(data):
    with pytest.raises(CostError, match="wanted a cost model of version 1"):
        Costs.parse(data)


def test_memory_follows_what_processes_take_and_the_estimate_stays():
    costs = kitsune(process_bytes=40 << 20)
    alone = costs.memory_bytes(["feature-mapping"])
    assert alone == costs.process_bytes + costs.of("feature-mapping").memory_bytes
    once = costs.weighed([(["feature-mapping"], 3.0 * alone)])
    assert once.memory_bytes(["feature-mapping"]) == pytest.approx(1.2 * alone)
    for _ in range(60):
        once = once.weighed([(["feature-mapping"], 3.0 * alone)])
    assert once.memory_bytes(costs.kinds) == pytest.approx(3.0 * costs.memory_bytes(costs.kinds), rel=0.01)
    assert once.profiled == costs.profiled
    assert costs.weighed([([], 1.0), (["feature-mapping"], 0.0), (["unknown"], 5.0)]) == costs
