"""The graph of a network function: nodes, each a brick kind under an id of its own, and edges; it may branch and join.

The id of a running brick is `<node>-<serial>`: its node in the graph, and which of the node's replicas it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from lego_sdn.core.facts.errors import BrickError, LegoError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_SERIAL = re.compile(r"0|[1-9][0-9]{0,8}")


class GraphError(LegoError):
    """A graph of an NF contradicts itself: the message names the node or the edge."""


class BrickId(NamedTuple):
    """Which brick of an instance: replica `serial` of a node."""

    node: str
    serial: int

    @classmethod
    def parse(cls, text: str) -> BrickId:
        """'feature-mapping-0' -> ('feature-mapping', 0). BrickError if it is no brick's id."""
        return _parsed(text)

    def __str__(self) -> str:
        return f"{self.node}-{self.serial}"


@lru_cache(maxsize=65_536)  # the same few ids are parsed again and again
def _parsed(text: str) -> BrickId:
    node, _, serial = text.rpartition("-")
    if not node or not _SERIAL.fullmatch(serial):
        raise BrickError(f"{text!r} is no brick's id; wanted <node>-<serial>, as in feature-mapping-0")
    return BrickId(node, int(serial))


def node_of(brick: str) -> str:
    """'feature-mapping' of 'feature-mapping-0'. BrickError if it is no brick's id."""
    return _parsed(brick).node


@dataclass(frozen=True, slots=True)
class Node:
    """A brick of the graph.

    kind      which brick it is, a file in `bricks/`; if not said, the id
    settings  of this node alone, as its NF reads them
    keyed     it has state by key: its replicas divide the keys among them
    """

    id: str
    kind: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    keyed: bool = False

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", self.id)
        for name in (self.id, self.kind):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise GraphError(f"{name!r} cannot name a node or a kind; wanted letters and digits, parts joined by single hyphens")


class Edge(NamedTuple):
    """Records that `source` gives out go to `target`: along every edge, and on it to one replica."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges without a circle. GraphError if an edge leads nowhere, or a node or an edge is there twice.

    Where the order is not given by the edges, it is that in which the nodes are named.
    """

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    order: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)  # ids, every node after those before it
    _places: Mapping[str, int] = field(default_factory=dict, init=False, compare=False, repr=False)
    _after: Mapping[str, tuple[str, ...]] = field(default_factory=dict, init=False, compare=False, repr=False)
    _before: Mapping[str, tuple[str, ...]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(Edge(*edge) for edge in self.edges))
        ids = [node.id for node in self.nodes]
        twice = _twice(ids)
        if twice is not None:
            raise GraphError(f"node {twice} is twice in the graph; give each node an id of its own")
        again = _twice(self.edges)
        if again is not None:
            raise GraphError(f"the edge from {again.source} to {again.target} is twice in the graph")
        for edge in self.edges:
            for end in edge:
                if end not in ids:
                    raise GraphError(f"the edge from {edge.source} to {edge.target} has an end that is no node: {end}")
        object.__setattr__(self, "order", _in_order(ids, self.edges))
        object.__setattr__(self, "_places", {id: at for at, id in enumerate(self.order)})
        object.__setattr__(self, "_after", {id: tuple(edge.target for edge in self.edges if edge.source == id) for id in ids})
        object.__setattr__(self, "_before", {id: tuple(edge.source for edge in self.edges if edge.target == id) for id in ids})

    @classmethod
    def line(cls, *nodes: Node | str) -> Graph:
        """One node after the other; a name stands for a node of this id and kind."""
        named = tuple(node if isinstance(node, Node) else Node(node) for node in nodes)
        return cls(named, tuple(Edge(a.id, b.id) for a, b in pairwise(named)))

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Graph:
        """From the plain form of `to_dict`. GraphError if it is none."""
        try:
            nodes = tuple(Node(**node) for node in told["nodes"])
            return cls(nodes, tuple(Edge(*edge) for edge in told["edges"]))
        except (KeyError, TypeError) as error:
            raise GraphError(f"wanted a graph with nodes and edges, found {told!r} ({error})") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and messages."""
        nodes = [{"id": n.id, "kind": n.kind, "settings": dict(n.settings), "keyed": n.keyed} for n in self.nodes]
        return {"nodes": nodes, "edges": [list(edge) for edge in self.edges]}

    def node(self, id: str) -> Node:
        """GraphError, with the nodes that there are, if there is none of this id."""
        for node in self.nodes:
            if node.id == id:
                return node
        raise GraphError(f"there is no node {id!r} in the graph {self}")

    def place(self, id: str) -> int:
        """Where a node comes in the order; one that is not in the graph comes last."""
        return self._places.get(id, len(self._places))

    def after(self, id: str) -> tuple[str, ...]:
        """The nodes to which a node's records go."""
        return self._after.get(id, ())

    def before(self, id: str) -> tuple[str, ...]:
        """The nodes whose records come to a node."""
        return self._before.get(id, ())

    @property
    def sources(self) -> tuple[str, ...]:
        """Nodes whose input comes from outside."""
        return tuple(id for id in self.order if not self._before[id])

    @property
    def ends(self) -> tuple[str, ...]:
        """Nodes whose results go to nobody else in the graph."""
        return tuple(id for id in self.order if not self._after[id])

    @property
    def inner(self) -> tuple[str, ...]:
        """Nodes with one node before them and some after: only these may have replicas in an instance."""
        return tuple(id for id in self.order if len(self._before[id]) == 1 and self._after[id])

    @property
    def keyed(self) -> tuple[str, ...]:
        """Nodes with state by key."""
        return tuple(id for id in self.order if self.node(id).keyed)

    @property
    def is_line(self) -> bool:
        """Every node has at most one before it and one after it, and all are connected."""
        return len(self.edges) == max(0, len(self.nodes) - 1) and all(len(self.after(id)) <= 1 >= len(self.before(id)) for id in self.order)

    def beyond(self, id: str) -> frozenset[str]:
        """All nodes that records reach from a node."""
        reached: set[str] = set()
        for one in self.order:
            if one == id or one in reached:
                reached.update(self.after(one))
        return frozenset(reached)

    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Every way from a source to an end."""
        ways: list[tuple[str, ...]] = [(id,) for id in self.sources]
        whole = []
        while ways:
            way = ways.pop(0)
            onward = self.after(way[-1])
            ways += [(*way, id) for id in onward]
            whole += [] if onward else [way]
        return tuple(whole)

    def __contains__(self, id: object) -> bool:
        return id in self._after

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        """a -> b -> c; where it branches, what follows each node."""
        if self.is_line:
            return " -> ".join(self.order)
        return ", ".join(f"{id} -> {' + '.join(self.after(id))}" for id in self.order if self.after(id))


def require_runnable(graph: Graph) -> None:
    """BrickError if the bricks of a host cannot run this graph: packets come in at one node, and keyed nodes follow it."""
    if len(graph.sources) != 1:
        raise BrickError(
            f"the graph {graph} has {len(graph.sources)} nodes without one before them ({', '.join(graph.sources)}); packets enter at one"
        )
    for node in graph.keyed:
        if graph.before(node) != graph.sources:
            raise BrickError(f"keyed node {node} of the graph {graph} must come right after the source, which divides packets by key")
    if len(graph.ends) != 1:
        raise BrickError(
            f"the graph {graph} has {len(graph.ends)} nodes without one after them ({', '.join(graph.ends)}); results are taken at one"
        )


def _twice(items: Iterable[Any]) -> Any:
    """The first item that was there before, or None."""
    seen = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def _in_order(ids: list[str], edges: tuple[Edge, ...]) -> tuple[str, ...]:
    """The ids so that every edge leads onward. GraphError, with the nodes, if edges form a circle."""
    waits = {id: {edge.source for edge in edges if edge.target == id} for id in ids}
    order: list[str] = []
    while waits:
        ready = next((id for id, sources in waits.items() if not sources & waits.keys()), None)
        if ready is None:
            raise GraphError(f"edges form a circle: {', '.join(sorted(waits))}; records would go round for ever")
        order.append(ready)
        del waits[ready]
    return tuple(order)


EMPTY = Graph()
