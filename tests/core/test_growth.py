"""Growing: on the same host while it has room, then onto a second one in the way that costs less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lego_sdn.core.capacity import chained, separate
from lego_sdn.core.cost import Carriage
from lego_sdn.core.growth import Overload, grow, overloaded_bricks, whole_graph
from lego_sdn.core.placement import Host
from tests.core.costs import MB, kitsune

GB = 1024 * MB
COSTS = kitsune(wire=Carriage(20.0, 0.001), shadows=1)
EVEN = (10.0,) * 64
ROOMY, OTHER = Host("a", 8.0, 16 * GB, 1.0, GB), Host("b", 8.0, 16 * GB)
FULL = replace(ROOMY, used_cores=8.0)


def overload(packets: float = 1000.0, **more) -> Overload:
    """Kitsune with 0.2 cores for each brick takes 667 packets/s: the learning network decides."""
    given = {"costs": COSTS, "layout": separate(COSTS.kinds, 0.2), "packets": packets, "instance": 1}
    return Overload(**(given | {"owners": (1,) * 64, "weights": EVEN, "cores": 0.2, "state_bytes": 60 * MB} | more))


def test_the_same_host_comes_first():
    choice = grow(overload(), ROOMY, [OTHER])
    assert choice.option.way == "same host"
    assert [(name, need.kind, need.cores) for name, need in choice.option.needs] == [("a", "unsupervised-network", 0.2)]
    assert choice.reason == "there is room on a"


def test_as_many_replicas_as_the_load_takes():
    needs = grow(overload(1990.0), ROOMY).option.needs
    assert [need.kind for _, need in needs] == ["unsupervised-network"] * 2


def test_overloaded_bricks_go_where_batches_are_cheaper_than_a_graph():
    choice = grow(overload(), FULL, [OTHER])
    assert choice.option.way == "overloaded bricks"
    assert choice.option.needs[0][0] == "b"
    assert choice.option.link_bytes == pytest.approx(500 * 1088)  # half of the rows, with their features, and the scores back
    assert choice.option.moved_bytes == 0
    assert "whole graph" in choice.reason
    assert "same host: unsupervised-network: 0.2 cores are wanted and 0 of 8 are free on a" in choice.reason


def test_a_whole_graph_goes_where_the_link_is_thin():
    thin = replace(OTHER, link_bytes=700e3)
    choice = grow(overload(frame_bytes=80.0, state_bytes=1 * MB), FULL, [thin])
    assert choice.option.way == "whole graph"
    assert choice.option.link_bytes == pytest.approx(1000 * 0.5 * 1.5 * 80, rel=0.05)
    assert choice.option.cores == pytest.approx(1000 * 0.5 * 120 / 1e6)  # shadows: half a delivery more, for the bricks up to the state
    assert [o.way for o in choice.options] == ["same host", "whole graph", "overloaded bricks"]
    assert all(option.share > choice.option.share for option in choice.options if option.way == "overloaded bricks")


def test_half_of_the_state_moves_with_half_of_the_buckets():
    assert whole_graph(overload(), OTHER).moved_bytes == pytest.approx(30 * MB, rel=0.05)


def test_what_cores_are_left_make_a_smaller_replica():
    nearly = replace(ROOMY, used_cores=7.85)
    needs = overloaded_bricks(overload(), nearly, OTHER).needs
    assert [(name, round(need.cores, 3)) for name, need in needs] == [("a", 0.15), ("b", 0.05)]


@pytest.mark.parametrize(
    ("change", "way", "why"),
    [
        ({"clean": False}, "whole graph", "cannot be split by any granularity"),
        ({"weights": (640.0,) + (0.0,) * 63}, "whole graph", "one instance would get 1,000 packets/s"),
        ({"packets": 2100.0}, "overloaded bricks", "keeps the streams' state"),
        ({"costs": kitsune(wire=Carriage(0.0, 1.0))}, "overloaded bricks", "carrying the rows takes"),
        ({"layout": chained(COSTS.kinds[:1], 0.01) + separate(COSTS.kinds[1:], 0.2)}, "overloaded bricks", "at an end of the graph"),
    ],
)
def test_what_cannot_be_had_is_said(change, way, why):
    choice = grow(overload(**change), FULL, [OTHER])
    obstacle = next(option.obstacle for option in choice.options if option.way == way)
    assert why in obstacle
    assert choice.option is None or choice.option.way != way


def test_a_link_that_is_too_thin_for_either_leaves_nothing():
    choice = grow(overload(), FULL, [replace(OTHER, link_bytes=1e3)])
    assert choice.option is None
    assert "MB/s are wanted of a link of 0.0 to b" in choice.reason


def test_of_several_hosts_the_larger_one_costs_a_smaller_share():
    large = Host("c", 64.0, 256 * GB, link_bytes=1.25e9)
    assert grow(overload(), FULL, [OTHER, large]).option.needs[0][0] == "c"


def test_a_second_host_without_room_is_passed_over():
    choice = grow(overload(), FULL, [replace(OTHER, used_cores=7.9)])
    assert choice.option is None
    assert choice.reason.count("are free on") == 3
