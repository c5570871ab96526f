"""How the bricks of an instance are laid out over processes and joined by rings: a value, and the steps to another one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lego_sdn.core.facts.config import REPLICAS_MOST
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import BrickId, Graph, node_of, require_runnable

PLACEMENTS = ("chained", "separate")
Rings = list[str] | dict[str, list[str]]  # names; of a brick with several edges by the node at the other end


@dataclass(frozen=True)
class Ring:
    """A shared-memory ring: brick `source` writes, brick `target` reads."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class InstanceLayout:
    """One instance: its graph, its processes (name -> brick ids, chained inside), the rings between them.

    seats  chained bricks that do nothing: a process of its own does their work, until they take it back
    """

    instance: int
    run: str
    graph: Graph
    processes: dict[str, tuple[str, ...]]
    rings: tuple[Ring, ...] = ()
    made_processes: int = 0
    made_rings: int = 0
    seats: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        """The brick at the interface."""
        return str(BrickId(self.graph.sources[0], 0))

    @property
    def keyed(self) -> list[str]:
        """The bricks that divide keys among them; they come right after the source (`require_runnable`)."""
        return [brick for node in self.graph.keyed for brick in self.of_kind(node)]

    def has_end(self, process: str) -> bool:
        """Whether the graph ends in a process."""
        return any(node_of(brick) in self.graph.ends for brick in self.processes[process])

    def routes(self, brick: str) -> Rings:
        """The brick's routing table: names of the rings to its next hops in other processes."""
        return _by_node(self.graph.after(node_of(brick)), [(ring.target, ring.name) for ring in self.rings if ring.source == brick])

    def inputs(self, brick: str) -> Rings:
        """Names of the rings that the brick reads."""
        return _by_node(self.graph.before(node_of(brick)), [(ring.source, ring.name) for ring in self.rings if ring.target == brick])

    def process_of(self, brick: str) -> str:
        for name, bricks in self.processes.items():
            if brick in bricks:
                return name
        raise BrickError(f"instance {self.instance} has no brick {brick}; it has {', '.join(self.bricks)}")

    @property
    def bricks(self) -> list[str]:
        """All that work; seats do not."""
        return [brick for bricks in self.processes.values() for brick in bricks if brick not in self.seats]

    def working(self, process: str) -> tuple[str, ...]:
        """The bricks of a process without its seats."""
        return tuple(brick for brick in self.processes[process] if brick not in self.seats)

    def seats_of(self, process: str) -> list[str]:
        return [brick for brick in self.processes[process] if brick in self.seats]

    def of_kind(self, kind: str) -> list[str]:
        """The replicas of a kind, in order of their serial numbers."""
        return sorted((brick for brick in self.bricks if node_of(brick) == kind), key=BrickId.parse)

    def share_process(self, one: str, other: str) -> bool:
        """Whether two bricks are in one process, so that no ring is needed between them."""
        return self.process_of(one) == self.process_of(other)

    def ring_between(self, source: str, target: str) -> str | None:
        """Name of the ring that leads from one brick to another; None: there is none."""
        return next((ring.name for ring in self.rings if (ring.source, ring.target) == (source, target)), None)

    @property
    def in_graph_order(self) -> list[str]:
        """Process names, sources of packets first: the order in which they are drained."""
        return sorted(self.processes, key=lambda name: self.graph.order.index(node_of(self.processes[name][0])))

    @property
    def in_draining_order(self) -> list[str]:
        """As packets go through them; to a process of several bricks, what went through others comes back at the end."""
        order = self.in_graph_order
        return order + [name for name in order if len(self.processes[name]) > 1 and len(order) > 1]

    def neighbours(self, kind: str) -> tuple[list[str], list[str]]:
        """Bricks before and after a kind in the graph."""
        before = [brick for node in self.graph.before(kind) for brick in self.of_kind(node)]
        return before, [brick for node in self.graph.after(kind) for brick in self.of_kind(node)]

    def with_replica(self, kind: str) -> tuple[InstanceLayout, str]:
        """This with one more replica of a kind in a process of its own, joined to every neighbour; and the new brick's id.

        BrickError if there is no such kind, or it is at an end of the graph.
        """
        before, after = self._between(kind, "stays single in an instance; replicate the instance instead")
        if len(self.of_kind(kind)) >= REPLICAS_MOST:
            raise BrickError(f"{kind} of instance {self.instance} has {REPLICAS_MOST} replicas, and no more can be had")
        brick = f"{kind}-{max(BrickId.parse(one).serial for chain in self.processes.values() for one in chain if node_of(one) == kind) + 1}"
        name = process_name(self.instance, self.made_processes)
        grown = replace(self, processes={**self.processes, name: (brick,)}, made_processes=self.made_processes + 1)
        return grown.joined([(source, brick) for source in before] + [(brick, target) for target in after]), brick

    def _between(self, kind: str, otherwise: str) -> tuple[list[str], list[str]]:
        """The neighbours of a kind. BrickError if there is no such kind, or it has none on one side."""
        if kind not in self.graph:
            raise BrickError(f"instance {self.instance} has no brick of kind {kind!r}; its graph is {self.graph}")
        if kind not in self.graph.inner:
            where = "is at an end of the graph" if len(self.graph.before(kind)) < 2 else "joins several inputs"
            raise BrickError(f"{kind} {where} and {otherwise}")
        return self.neighbours(kind)

    def separated(self, kind: str) -> tuple[InstanceLayout, str]:
        """This with a process of its own for a chained kind, whose seat in the chain becomes idle; and the new brick's id.

        BrickError if it has one already, or is at an end of the graph.
        """
        self._between(kind, "stays with its process: the interface and the results are there")
        chained = next((brick for brick in self.of_kind(kind) if len(self.processes[self.process_of(brick)]) > 1), None)
        if chained is None:
            raise BrickError(f"{kind} of instance {self.instance} is not chained with other bricks: it has a process of its own")
        grown, brick = self.with_replica(kind)
        rings = tuple(ring for ring in grown.rings if chained not in (ring.source, ring.target))
        return replace(grown, rings=rings, seats=self.seats | {chained}), brick

    def chained(self, kind: str) -> tuple[InstanceLayout, str]:
        """This with a separated kind back in its seat, whose id is returned; its process goes.

        BrickError if it has no seat to go back to, or several replicas.
        """
        self._between(kind, "was never separated")
        seat = next((brick for brick in sorted(self.seats) if node_of(brick) == kind), None)
        if seat is None:
            raise BrickError(
                f"{kind} of instance {self.instance} has no seat in a chain: it is chained already, or was placed in a process of its own"
            )
        if len(self.of_kind(kind)) > 1:
            raise BrickError(f"{kind} of instance {self.instance} has {len(self.of_kind(kind))} replicas; stop all but one of them first")
        (brick,) = self.of_kind(kind)
        back = replace(self._less(brick), seats=self.seats - {seat})
        before, after = back.neighbours(kind)
        pairs = [(source, seat) for source in before if not back.share_process(source, seat)]
        return back.joined(pairs + [(seat, target) for target in after if not back.share_process(seat, target)]), seat

    def without(self, brick: str) -> InstanceLayout:
        """This without one replica. BrickError if it is the last of its kind or shares its process with others."""
        name = self.process_of(brick)
        if brick in self.seats:
            raise BrickError(f"instance {self.instance} has no brick {brick}; it has {', '.join(self.bricks)}")
        if len(self.of_kind(node_of(brick))) == 1:
            raise BrickError(f"{brick} is the only {node_of(brick)} of instance {self.instance}; stop the instance instead")
        if len(self.processes[name]) > 1:
            raise BrickError(f"{brick} shares process {name} with other bricks and cannot be stopped alone")
        return self._less(brick)

    def _less(self, brick: str) -> InstanceLayout:
        name = self.process_of(brick)
        rest = {other: bricks for other, bricks in self.processes.items() if other != name}
        return replace(self, processes=rest, rings=tuple(r for r in self.rings if brick not in (r.source, r.target)))

    def joined(self, pairs: list[tuple[str, str]]) -> InstanceLayout:
        """This with a new ring for every (source, target)."""
        fresh = tuple(Ring(ring_name(self.run, self.instance, self.made_rings + at), *pair) for at, pair in enumerate(pairs))
        return replace(self, rings=self.rings + fresh, made_rings=self.made_rings + len(fresh))


def lay_out(instance: int, run: str, graph: Graph, placement: str) -> InstanceLayout:
    """An instance with one replica of each node: all in one process (`chained`), or each in its own (`separate`).

    BrickError if bricks cannot run this graph.
    """
    require_runnable(graph)
    bricks = tuple(str(BrickId(node, 0)) for node in graph.order)
    if placement == "chained":
        return InstanceLayout(instance, run, graph, {process_name(instance, 0): bricks}, made_processes=1)
    processes = {process_name(instance, at): (brick,) for at, brick in enumerate(bricks)}
    apart = InstanceLayout(instance, run, graph, processes, made_processes=len(bricks))
    return apart.joined([(f"{edge.source}-0", f"{edge.target}-0") for edge in graph.edges])


def _by_node(nodes: tuple[str, ...], rings: list[tuple[str, str]]) -> Rings:
    """Names of rings, given each with the brick at its other end, which is of one of the nodes."""
    if len(nodes) < 2:
        return [name for _, name in rings]
    return {node: [name for brick, name in rings if node_of(brick) == node] for node in nodes}


def merged(one: Rings, other: Rings) -> Rings:
    """The rings of both, each once."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {node: list(dict.fromkeys([*one.get(node, []), *other.get(node, [])])) for node in {**one, **other}}
    return list(dict.fromkeys([*one, *other]))


def process_name(instance: int, at: int) -> str:
    """1-a, 1-b, ... 1-z, 1-a1, ..."""
    return f"{instance}-{chr(ord('a') + at % 26)}{at // 26 or ''}"


def ring_name(run: str, instance: int, at: int) -> str:
    return f"lego-{run}-i{instance}-r{at}"
