"""Parts of a graph with little between them, by METIS (Karypis and Kumar, A Fast and High Quality Multilevel Scheme, 1998)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pymetis

from lego_sdn.core.facts.errors import HostError

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
            with _unheard():
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


@contextmanager
def _unheard() -> Iterator[None]:
    """METIS writes of parts that stay empty, which is no error, to standard output, where a command's table or JSON goes."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # of what it wrote, while that goes nowhere
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
