"""Growing onto a second host, where an NF cannot be whole on the first: both ways, what they cost, and which is taken."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.cost.model import Carriage, Costs
from lego_sdn.core.cost.placement import HostCapacity, Need, needs_of, room
from lego_sdn.core.cost.second_host import Demand, Option, grow, overloaded, overloaded_brick, whole_graph
from lego_sdn.core.facts.graph import Graph
from lego_sdn.core.traffic.split_prediction import TrafficMatrix
from tests.core.cost.costs import MB, kitsune
from tests.examples import examples

GB = 1024 * MB
COSTS = kitsune(wire=Carriage(20.0, 0.001), process_bytes=40 * MB)
EVEN = TrafficMatrix(64, {(a, b): 1 for a in range(64) for b in range(64)}, frame_bytes=500.0)
HOME, OTHER = HostCapacity("a", 8.0, 16 * GB, used_cores=4.0), HostCapacity("b", 8.0, 16 * GB)
EIGHT_CORES = 16_000.0  # packets/s of 500 us each
NETWORK = "unsupervised-network"


def demand(packets: float = EIGHT_CORES, talk: TrafficMatrix = EVEN, **costs) -> Demand:
    return Demand(replace(COSTS, **costs), packets, talk)


def cores(needs: tuple[Need, ...], kind: str | None = None) -> float:
    return sum(need.cores for need in needs if kind in (None, need.kind))


def test_where_the_first_host_has_room_nothing_grows():
    assert grow(demand(7_999.0), HOME, [OTHER]) is None
    assert grow(demand(), replace(HOME, used_cores=0.0), [OTHER]) is None


def test_the_papers_example_eight_cores_wanted_and_four_free():
    """Without shadows, as the paper splits: a monolith could use nothing of the four cores; both ways use all of them."""
    choice = grow(demand(), HOME, [OTHER])
    assert cores(demand().own) == pytest.approx(8.0)
    assert choice.alone == pytest.approx(EIGHT_CORES / 2, rel=1e-3)
    whole, brick = choice.options
    assert [option.way for option in choice.options] == ["whole graph", "overloaded brick"]
    assert all((option.obstacle, option.packets) == (None, EIGHT_CORES) for option in choice.options)

    here, there = dict(whole.parts)["a"], dict(whole.parts)["b"]
    assert (cores(here), cores(there)) == pytest.approx((4.0, 4.0))
    assert whole.link_bytes == pytest.approx(EIGHT_CORES / 2 * 500)
    assert whole.cores == pytest.approx(0.0)
    assert whole.memory_bytes == (104 + 50 + 60 + 50) * MB, "each brick once more, but for the one that had two replicas"

    here, there = dict(brick.parts)["a"], dict(brick.parts)["b"]
    assert {need.kind for need in there} == {NETWORK}
    assert cores(here) == pytest.approx(4.0 - brick.cores / 2), "the leftover of 0.8 cores is used, less what carrying takes"
    assert cores(here, NETWORK) == pytest.approx(0.8, abs=0.01)
    assert cores(here) + cores(there) == pytest.approx(8.0)
    assert len(there) == 5
    assert len({need.cores for need in there}) == 1, "equal parts of what is missing"
    share = cores(there) / cores((*here, *there), NETWORK)
    assert brick.link_bytes == pytest.approx(share * EIGHT_CORES * 1088), "features there and scores back"
    assert brick.cores == pytest.approx(share * (2 * 20.0 * EIGHT_CORES / 256 + 0.001 * EIGHT_CORES * 1088) / 1e6)


def test_what_costs_less_is_taken_and_the_reason_names_both():
    thin = grow(demand(), HOME, [OTHER])
    assert (thin.option.way, thin.option.share) == ("whole graph", pytest.approx(264 * MB / (16 * GB) + 4e6 / 125e6))
    assert thin.reason == "it costs 4.8% of b; overloaded brick on b costs 12.2% of it"
    wide = grow(demand(), replace(HOME, link_bytes=1.25e9), [replace(OTHER, link_bytes=1.25e9)])
    assert wide.option.way == "overloaded brick", "ten times the link makes memory matter more"


def test_a_batch_is_longer_under_way_where_it_goes_to_the_other_host_and_back():
    whole, brick = grow(demand(), HOME, [OTHER]).options
    rows = 256 * 1088
    assert (whole.added_ms, brick.added_ms) == (0.0, pytest.approx((40.0 + 0.001 * rows) / 1e3 + 1e3 * rows / 125e6))


def test_shadows_make_a_whole_graph_dearer():
    """Of evenly spread pairs, half of the packets are copied to the other instance."""
    without, exact = (whole_graph(demand(8_000.0, shadows=n), replace(HOME, used_cores=6.0), OTHER) for n in (0, 1))
    assert without.cores == pytest.approx(0.0)
    assert exact.obstacle is None
    assert exact.cores > 0.2
    assert exact.link_bytes > without.link_bytes


def test_a_heavy_source_stays_and_lighter_ones_go():
    talk = TrafficMatrix(64, {(0, 1): 30, **{(b, 0): 1 for b in range(1, 64)}})
    here = dict(whole_graph(demand(talk=talk), HOME, OTHER).parts)["a"]
    assert cores(here) == pytest.approx(8.0 * 46 / 93, rel=0.01), "as much as there is room for"


@pytest.mark.parametrize(
    ("change", "home", "why"),
    [
        ({"talk": TrafficMatrix(64, {(0, 1): 10})}, HOME, "whole graph: not one bucket has room on a"),
        ({}, replace(HOME, used_cores=6.0), "overloaded brick: .* cores are wanted and 2 of 8 are free on a"),
        ({"wire": Carriage(0.0, 0.3)}, HOME, f"overloaded brick: carrying the rows of {NETWORK} takes 5.22 cores, the work on them 4.8"),
        (
            {"bricks": (COSTS.bricks[0], COSTS.bricks[1], COSTS.bricks[-1]), "graph": Graph()},
            HOME,
            "overloaded brick: every brick is at an end",
        ),
        ({"packets": 60_000.0}, HostCapacity("a", 64.0, 64 * GB), "overloaded brick: packet-batching wants more than a core"),
    ],
)
def test_what_cannot_be_had_is_said(change, home, why):
    way = {"whole graph": whole_graph, "overloaded brick": overloaded_brick}[why.partition(":")[0]]
    obstacle = way(demand(**change), home, replace(OTHER, cores=512.0)).obstacle
    assert obstacle is not None
    assert re.search(why.partition(": ")[2], obstacle)


def test_traffic_that_no_granularity_splits_leaves_the_brick():
    choice = grow(replace(demand(), clean=False), HOME, [OTHER])
    assert choice.option.way == "overloaded brick"
    assert "whole graph on b cannot be had: the traffic cannot be split by any granularity" in choice.reason


def test_where_neither_can_be_had_the_rate_that_could_is_told():
    choice = grow(demand(), HOME, [replace(OTHER, used_cores=6.0)])
    assert choice.option is None
    assert choice.words.count("2 of 8 are free on b") == 2
    for option in choice.options:
        assert option.packets == pytest.approx(12_000.0, rel=0.02), "six cores of the eight"


def test_a_link_that_cannot_carry_it_is_an_obstacle():
    narrow = grow(demand(), HOME, [replace(OTHER, link_bytes=5e6)])
    assert narrow.option.way == "whole graph"
    assert "14.5 MB/s are wanted of a link of 5.0 between a and b" in narrow.reason


def test_no_memory_for_a_leftover_replica_leaves_all_of_the_brick_to_the_other_host():
    rest = sum(need.memory_bytes for need in demand().own if need.kind != NETWORK)
    option = overloaded_brick(demand(), replace(HOME, memory_bytes=rest + MB), OTHER)
    assert option.obstacle is None
    assert [cores(part, NETWORK) for _, part in option.parts] == pytest.approx([0.0, 4.8])


def test_of_several_hosts_the_larger_one_costs_a_smaller_share():
    large = HostCapacity("c", 64.0, 256 * GB)
    assert grow(demand(), HOME, [OTHER, large]).option.host == "c"


def test_the_overloaded_brick_is_the_costliest_that_may_be_replicated_apart():
    assert overloaded(COSTS) == NETWORK
    heavy: Costs = replace(COSTS, bricks=tuple(replace(b, packet_us=9e3) if b.keyed or b is COSTS.bricks[0] else b for b in COSTS.bricks))
    assert overloaded(heavy) == NETWORK


@given(st.floats(100, 40_000), st.floats(0, 8), st.floats(0, 8), st.floats(0.2, 8), st.integers(0, 1))
@settings(max_examples=examples(60), deadline=None)
def test_either_way_everything_is_placed_and_no_host_is_overloaded(packets, used_a, used_b, gigabytes, shadows):
    hosts = HostCapacity("a", 8.0, gigabytes * GB, used_a), HostCapacity("b", 8.0, gigabytes * GB, used_b)
    wanted = demand(packets, TrafficMatrix(16, {(a, (a * 7 + 3) % 16): 1 + a for a in range(16)}), shadows=shadows)
    choice = grow(wanted, hosts[0], hosts[1:])
    if choice is None:
        assert room(hosts[0], *needs_of(wanted.costs, packets)) is None
        return
    for option in choice.options:
        assert isinstance(option, Option)
        if option.obstacle is None:
            for host, (name, part) in zip(hosts, option.parts, strict=True):
                assert host.name == name
                assert room(host, *part) is None
            everything = [need for _, part in option.parts for need in part]
            assert all(cores(everything, kind) >= cores(wanted.own, kind) - 1e-9 for kind in COSTS.kinds if not COSTS.of(kind).keyed)
        else:
            assert 0 <= option.packets <= packets
