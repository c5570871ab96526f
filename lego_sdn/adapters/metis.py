"""Parts of a graph with little between them, by METIS (Karypis and Kumar, A Fast and High Quality Multilevel Scheme, 1998)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pymetis

from lego_sdn.core.errors import HostError

SEED = 1
MOST = 1 << 30  # METIS adds up weights in 32 bits


def partition(nodes: Sequence[int], edges: Sequence[Mapping[int, int]], parts: int) -> list[tuple[int, ...]]:
    """Part of each node, 0 to parts - 1: parts of about equal weight, little weight between them; by each of METIS' two methods.

    `edges[a][b]` equals `edges[b][a]`. The same input gives the same parts. HostError if METIS fails.
    """
    scale = max(1, -(-max(sum(nodes), sum(sum(one.values()) for one in edges)) // MOST))
    starts, neighbours, weights = [0], [], []
    for one in edges:
        for node, weight in sorted(one.items()):
            neighbours.append(node)
            weights.append(max(1, weight // scale))
        starts.append(len(neighbours))
    found = []
    for recursive in (True, False):
        try:
            _, membership = pymetis.part_graph(
                parts,
                pymetis.CSRAdjacency(starts, neighbours),
                vweights=[node // scale for node in nodes],
                eweights=weights,
                recursive=recursive,
                options=pymetis.Options(seed=SEED),
            )
        except RuntimeError as error:
            raise HostError(f"METIS cannot cut this graph into {parts} parts: {error}") from error
        found.append(tuple(membership))
    return found
