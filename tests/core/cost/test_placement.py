"""Placement of replicas on hosts: first the same one, leftovers used, cut where little crosses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lego_sdn.core.cost.model import Carriage
from lego_sdn.core.cost.placement import HostCapacity, Need, PlacementError, initial, joined, needs_of, room
from tests.core.cost.costs import MB, kitsune
from tests.examples import examples

GB = 1024 * MB
EIGHT_CORES = 16_000.0  # packets/s of 500 us each


def host(name: str, free: float, memory: float = 8 * GB) -> HostCapacity:
    return HostCapacity(name, 8.0, 16 * GB, 8.0 - free, 16 * GB - memory)


def cores(needs: tuple[Need, ...]) -> float:
    return sum(need.cores for need in needs)


def test_needs_are_as_many_replicas_as_the_load_takes():
    needs = needs_of(kitsune(), 4000)
    assert [(need.kind, round(need.cores, 3)) for need in needs] == [
        ("packet-batching", 0.08),
        ("feature-quantization", 0.4),
        ("feature-mapping", 0.16),
        ("unsupervised-network", 0.6),
        ("unsupervised-network", 0.6),
        ("sample-result", 0.16),
    ]
    assert [need.cores for need in needs_of(kitsune(), 0)] == [0.0] * 5


def test_replicas_with_the_streams_state_are_shown_shadows_and_so_are_instances():
    keyed = [need.cores for need in needs_of(kitsune(shadows=1), EIGHT_CORES) if need.kind == "feature-quantization"]
    assert keyed == pytest.approx([EIGHT_CORES * 100e-6 * (1 + 2 / 3) / 3] * 3), "1.6 cores, two thirds more for being in three parts"
    alone = {need.kind: need.cores for need in needs_of(kitsune(shadows=1), 1000, deliveries=1.5)}
    assert (alone["packet-batching"], alone["feature-quantization"], alone["feature-mapping"]) == pytest.approx((0.03, 0.15, 0.04))


def test_carriage_between_processes_counts():
    ring = needs_of(kitsune(ring=Carriage(256.0, 0.0)), 1000)
    assert cores(ring) == pytest.approx(0.5 + 4 * 1000 * 1e-6), "four hand-overs of a microsecond a packet"


def test_what_fits_stays_on_the_first_host():
    placed = initial(kitsune(), 4000, needs_of(kitsune(), 4000), [host("a", 4.0), host("b", 8.0)])
    assert placed.parts == (("a", needs_of(kitsune(), 4000)),)
    assert placed.carried_bytes == placed.carried_cores == 0.0


def test_the_papers_example_eight_cores_wanted_and_four_free():
    needs = needs_of(kitsune(), EIGHT_CORES)
    assert cores(needs) == pytest.approx(8.0)
    placed = initial(kitsune(), EIGHT_CORES, needs, [host("a", 4.0), host("b", 8.0)])
    parts = dict(placed.parts)
    assert list(parts) == ["a", "b"]
    assert cores(parts["a"]) <= 4.0
    assert sum(map(cores, parts.values())) == pytest.approx(8.0)
    assert parts["a"][0].kind == "packet-batching"
    assert 0 < placed.carried_bytes <= EIGHT_CORES * 1000


def test_the_cut_is_where_the_fewest_bytes_cross():
    """Packets take 80 bytes, features 1,000: the brick that makes features of packets goes to the other side as well."""
    placed = initial(kitsune(), 2000, needs_of(kitsune(), 2000), [host("a", 0.5), host("b", 8.0)])
    assert [need.kind for need in dict(placed.parts)["a"]] == ["packet-batching"]
    assert placed.carried_bytes == pytest.approx(2000 * 80)


def test_cutting_among_replicas_carries_a_part_of_what_goes_in_and_of_what_comes_out():
    needs = [Need("unsupervised-network", 1.0)] * 4
    placed = initial(kitsune(), 8000, needs, [host("a", 3.0), host("b", 1.0)])
    assert placed.carried_bytes == pytest.approx(8000 * (1000 / 4 + 88 * 3 / 4))


def test_leftovers_less_than_a_replica_are_used():
    needs = [Need("unsupervised-network", 1.0)] * 4
    placed = initial(kitsune(), 8000, needs, [host("a", 2.5), host("b", 1.5)])
    assert [(name, [need.cores for need in part]) for name, part in placed.parts] == [("a", [1.0, 1.0, 0.5]), ("b", [1.0, 0.5])]


def test_carrying_takes_cores_of_both_hosts():
    costs, needs = kitsune(wire=Carriage(0.0, 0.01)), [Need("feature-mapping", 1.0), Need("sample-result", 1.0)]
    placed = initial(costs, 2000, needs, [host("a", 1.1), host("b", 1.1)])
    assert placed.carried_cores == pytest.approx(2000 * 1000 * 0.01 / 1e6)
    with pytest.raises(PlacementError):
        initial(costs, 2000, needs, [host("a", 1.005), host("b", 1.1)])


def test_a_link_carries_what_crosses_or_there_is_no_placement():
    hosts = [replace(host("a", 0.5), link_bytes=1e6), host("b", 8.0)]
    assert initial(kitsune(), 2000, needs_of(kitsune(), 2000), hosts).carried_bytes == pytest.approx(2000 * 80)
    with pytest.raises(PlacementError, match="or no link"):
        initial(kitsune(), 2000, needs_of(kitsune(), 2000), [replace(hosts[0], link_bytes=1e5), hosts[1]])


def test_memory_decides_too():
    needs = needs_of(kitsune(), 2000)
    placed = initial(kitsune(), 2000, needs, [host("a", 8.0, memory=170 * MB), host("b", 8.0)])
    assert [[need.kind for need in part] for _, part in placed.parts] == [list(kitsune().kinds[:1]), list(kitsune().kinds[1:])]


def test_no_room_says_what_is_wanted_and_what_is_free():
    with pytest.raises(PlacementError, match=r"needs 8 cores and [\d,]+ MB in \d+ replicas.* free: a 4 cores and .* b 1 cores"):
        initial(kitsune(), EIGHT_CORES, needs_of(kitsune(), EIGHT_CORES), [host("a", 4.0), host("b", 1.0)])


def test_room_for_one_more_is_a_reason_or_none():
    replica = Need("unsupervised-network", 0.2, 20 * MB)
    assert room(host("a", 0.2), replica) is None
    assert room(host("a", 0.1), replica) == "unsupervised-network: 0.2 cores are wanted and 0.1 of 8 are free on a"
    assert "21 MB are wanted and 10 of" in room(host("a", 1.0, memory=10 * MB), replica)
    assert room(host("a", 0.3), replica, replica) is not None


@given(
    st.floats(1, 20_000),
    st.lists(st.tuples(st.floats(0, 8), st.floats(0, 4)), min_size=1, max_size=3),
)
@settings(max_examples=examples(60), deadline=None)
def test_a_placement_places_everything_and_overloads_nobody(packets, free):
    hosts = [host(str(at), cpu, gb * GB) for at, (cpu, gb) in enumerate(free)]
    needs = needs_of(kitsune(), packets)
    try:
        placed = initial(kitsune(), packets, needs, hosts)
    except PlacementError:
        return
    for name, part in placed.parts:
        assert room(hosts[int(name)], *part) is None
    everywhere = [need for _, part in placed.parts for need in part]
    for kind in kitsune().kinds:
        assert cores(tuple(n for n in everywhere if n.kind == kind)) == pytest.approx(cores(tuple(n for n in needs if n.kind == kind)))


def test_neighbours_of_a_kind_are_joined_up_to_a_core():
    assert joined([Need("a", 0.5), Need("a", 0.5), Need("a", 0.25), Need("b", 0.25)]) == (Need("a", 1.0), Need("a", 0.25), Need("b", 0.25))
