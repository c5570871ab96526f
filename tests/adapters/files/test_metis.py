"""The partition: little between the parts, parts of about equal weight, the same parts every time."""

from __future__ import annotations

from lego_sdn.adapters.files.metis import partition


def ring(count: int, weight: int) -> list[dict[int, int]]:
    """Couples with `weight` between the two, in a ring of light edges."""
    edges: list[dict[int, int]] = [{} for _ in range(count)]
    for node in range(count):
        other, heavy = (node + 1) % count, node % 2 == 0
        edges[node][other] = edges[other][node] = weight if heavy else 1
    return edges


def test_couples_stay_together_whatever_the_weights():
    for weight in (10, 10**7, 10**12):  # more than 32 bits in all: METIS would overflow
        for parts in partition([weight] * 16, ring(16, weight), 4):
            assert all(parts[node] == parts[node + 1] for node in range(0, 16, 2))
            assert [parts.count(part) for part in range(4)] == [4] * 4


def test_the_same_graph_gives_the_same_parts():
    assert partition([5] * 16, ring(16, 9), 3) == partition([5] * 16, ring(16, 9), 3)


def test_buckets_without_packets_and_a_single_part():
    nothing: list[dict[int, int]] = [{} for _ in range(8)]
    assert all(len(parts) == 8 for parts in partition([0] * 8, nothing, 2))
    assert all(set(parts) == {0} for parts in partition([1] * 8, nothing, 1))


def test_nothing_is_written_where_a_command_writes(capfd):
    """One bucket with nearly all: METIS cannot fill eight parts."""
    parts = partition([1000, 1, 1], ring(3, 1), 8)
    assert all(len(one) == 3 for one in parts)
    print("json")
    assert capfd.readouterr() == ("json\n", "")
