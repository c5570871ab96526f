"""Predictions of the cost model: which bricks decide, and what growing brings."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.cost.capacity import ProcessShare, capacity, chained, further_replica, kind_us, memory, separate
from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.cost.model import BrickCost, Carriage, Costs
from tests.core.cost.costs import MB, kitsune
from tests.examples import examples

KINDS = kitsune().kinds


def test_chained_bricks_share_one_core():
    found = capacity(kitsune(), chained(KINDS))
    assert found.packets == pytest.approx(2000)
    assert found.full == KINDS
    assert found.slowest == "unsupervised-network"
    assert capacity(kitsune(), chained(KINDS, 0.2)).packets == pytest.approx(400)
    assert capacity(kitsune(), chained(KINDS, 5.0)).packets == pytest.approx(2000)  # one thread


def test_separate_bricks_are_as_fast_as_the_slowest():
    found = capacity(kitsune(), separate(KINDS, 0.2))
    assert found.packets == pytest.approx(0.2e6 / 300)
    assert found.full == ("unsupervised-network",)


def test_a_replica_helps_until_another_brick_decides():
    costs, layout, found = kitsune(), separate(KINDS, 0.2), []
    for _ in range(3):
        grown = further_replica(costs, layout, capacity(costs, layout).slowest, 0.2)
        layout = grown.layout
        found.append((layout[-1].kinds[0], round(grown.after)))
    assert found == [("unsupervised-network", 1333), ("unsupervised-network", 2000), ("feature-quantization", 2000)]
    assert grown.memory_bytes == 100 * MB
    assert capacity(costs, layout).full == ("unsupervised-network",)


def test_a_replica_beside_a_chain_takes_what_the_chain_cannot():
    costs = kitsune()
    grown = further_replica(costs, chained(KINDS), "unsupervised-network")
    assert grown.before == pytest.approx(2000)
    assert grown.after == pytest.approx(1e6 / 300 * 1.2)  # both full: 500 us a packet on two cores
    assert grown.times == pytest.approx(2.0)
    beside = further_replica(costs, chained(KINDS), "feature-mapping")
    assert beside.after == pytest.approx(1e6 / 460)  # the chain is full with the rest


def test_a_full_batch_carries_its_fixed_cost_easily():
    assert kind_us(kitsune(), separate(KINDS), batch=1)["feature-mapping"] == pytest.approx(256 + 39)
    assert capacity(kitsune(), separate(KINDS), batch=1).packets < capacity(kitsune(), separate(KINDS)).packets / 1.5


def test_carrying_between_processes_costs_only_where_they_differ():
    costs = kitsune(ring=Carriage(256.0, 0.01))
    apart, together = kind_us(costs, separate(KINDS)), kind_us(costs, chained(KINDS))
    assert together == kind_us(kitsune(), chained(KINDS))
    assert apart["feature-quantization"] - together["feature-quantization"] == pytest.approx(1.0 + 10.0)
    assert apart["sample-result"] == together["sample-result"]


def of_instances(costs, layout, instances: int) -> float:
    """Packets/s of so many instances."""
    return instances * capacity(costs, layout, deliveries=costs.deliveries(instances)).packets


def test_a_further_instance_brings_less_where_it_needs_shadows():
    costs, layout = kitsune(), chained(KINDS, 0.2)
    assert (of_instances(costs, layout, 1), of_instances(costs, layout, 2)) == (pytest.approx(400), pytest.approx(800))
    assert of_instances(kitsune(shadows=1), layout, 2) == pytest.approx(2 * 0.2e6 / (1.5 * 120 + 380))
    assert memory(costs, layout) == 204 * MB


def test_replicas_of_the_brick_with_the_state_are_shown_shadows():
    costs = kitsune(shadows=1)
    layout = further_replica(costs, separate(KINDS), "feature-quantization").layout
    assert kind_us(costs, layout)["feature-quantization"] == pytest.approx(1.5 * 100)


def test_a_brick_that_is_nowhere_is_an_error():
    with pytest.raises(CostError, match="feature-mapping is in no process"):
        capacity(kitsune(), tuple(p for p in separate(KINDS) if p.kinds != ("feature-mapping",)))


@given(
    st.lists(st.floats(1, 1000), min_size=3, max_size=3),
    st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.floats(0.1, 1.0)), max_size=2),
)
@settings(max_examples=examples(15), deadline=None)
def test_no_division_among_replicas_does_better_and_one_comes_close(us, more):
    """Against brute force: each kind's work divided among its processes in eighths."""
    costs = Costs("x", "y", tuple(BrickCost(kind, 0.0, cost) for kind, cost in zip("abc", us, strict=True)))
    layout = (ProcessShare(("a", "b", "c"), 1.0), *(ProcessShare(tuple(sorted(kinds)), cores) for kinds, cores in more))
    best = 0.0
    for shares in product(*(_divisions([at for at, p in enumerate(layout) if kind in p.kinds], EIGHTHS) for kind in "abc")):
        used = [sum(share.get(at, 0) * cost / EIGHTHS for share, cost in zip(shares, us, strict=True)) for at in range(len(layout))]
        best = max(best, min(1e6 * p.usable / u for p, u in zip(layout, used, strict=True) if u))
    assert best <= capacity(costs, layout).packets * (1 + 1e-9)
    assert best >= capacity(costs, layout).packets * 0.5  # whoever divides so coarsely can only come close


EIGHTHS = 8


def _divisions(homes: list[int], parts: int) -> list[dict[int, int]]:
    """Ways to divide so many parts among homes."""
    if len(homes) == 1:
        return [{homes[0]: parts}]
    return [{homes[0]: n, **rest} for n in range(parts + 1) for rest in _divisions(homes[1:], parts - n)]
