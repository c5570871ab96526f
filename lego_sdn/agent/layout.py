"""The rings between the bricks of an instance, and what each of its processes was started with: values.

Which brick is in which process, and under which name and CPU quota, `Arrangement.apply` says; this follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lego_sdn.core.facts.actions import BrickAction, StartInstance, StopInstance, TakeOut
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import BrickId, Graph, node_of, require_runnable

Rings = list[str] | dict[str, list[str]]  # names; of a brick with several edges by the node at the other end


@dataclass(frozen=True)
class Ring:
    """A shared-memory ring: brick `source` writes, brick `target` reads."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class InstanceLayout:
    """One instance: its arrangement, its processes (name -> ids of the bricks that it was started with), the rings between them.

    A process keeps every brick that it was started with. One that the arrangement has in it no more is idle: a process of its own does
    its work, until it is chained again.
    """

    instance: int
    run: str
    arrangement: Arrangement
    processes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rings: tuple[Ring, ...] = ()
    made_rings: int = 0

    def after(self, action: StartInstance | StopInstance | BrickAction) -> InstanceLayout:
        """This once an action is done: a new ring for every pair of bricks that has none and needs one. BrickError if it cannot be done."""
        new = self.arrangement.apply(action)
        processes = {one.process: self.processes.get(one.process, one.bricks) for one in new.processes}
        bare = replace(self, arrangement=new, processes=processes)
        wanted = {pair: None for pair in bare._pairs() if not bare.share_process(*pair)}
        kept = tuple(ring for ring in self.rings if (ring.source, ring.target) in wanted)
        for ring in kept:
            del wanted[ring.source, ring.target]
        fresh = tuple(Ring(ring_name(self.run, self.instance, self.made_rings + at), *pair) for at, pair in enumerate(wanted))
        return replace(bare, rings=kept + fresh, made_rings=self.made_rings + len(fresh))

    def after_death(self, process: str, words: str) -> InstanceLayout:
        """This without the process of a dead replica, of which `words` are told. BrickError if no other one does its work."""
        left = self.after(TakeOut(self.instance, process))
        return replace(left, arrangement=replace(left.arrangement, died=(*self.arrangement.died, words)))

    def counting(self, other: InstanceLayout) -> InstanceLayout:
        """This, where the names that another one made count as given out."""
        return replace(self, arrangement=replace(self.arrangement, made=other.arrangement.made), made_rings=other.made_rings)

    @property
    def graph(self) -> Graph:
        return self.arrangement.graph

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
        """The process of a brick, idle ones among them. BrickError if there is none."""
        for name, bricks in self.processes.items():
            if brick in bricks:
                return name
        raise BrickError(f"instance {self.instance} has no brick {brick}; it has {', '.join(self.bricks)}")

    @property
    def bricks(self) -> tuple[str, ...]:
        """All that work; idle ones do not."""
        return self.arrangement.bricks

    def working(self, process: str) -> tuple[str, ...]:
        """The bricks of a process without its idle ones."""
        return next((one.bricks for one in self.arrangement.processes if one.process == process), ())

    def idle(self, process: str) -> list[str]:
        """The bricks of a process that do nothing, since a process of its own does their work."""
        return [brick for brick in self.processes[process] if brick not in self.working(process)]

    def of_kind(self, kind: str) -> list[str]:
        """The replicas of a kind, in order of their serial numbers."""
        return list(self.arrangement.of_kind(kind))

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
    def placed(self) -> list[Placed]:
        """What works in each process, sources of packets first."""
        return sorted(self.arrangement.processes, key=lambda one: self.in_graph_order.index(one.process))

    @property
    def in_draining_order(self) -> list[str]:
        """As packets go through them; to a process of several bricks, what went through others comes back at the end."""
        order = self.in_graph_order
        return order + [name for name in order if len(self.processes[name]) > 1 and len(order) > 1]

    def _pairs(self) -> list[tuple[str, str]]:
        """(source, target) of every way that a batch can take."""
        return [(a, b) for edge in self.graph.edges for a in self.of_kind(edge.source) for b in self.of_kind(edge.target)]


def lay_out(instance: int, run: str, empty: Arrangement) -> InstanceLayout:
    """An instance that starts, from the empty arrangement. BrickError if bricks cannot run its graph."""
    require_runnable(empty.graph)
    return InstanceLayout(instance, run, empty).after(StartInstance(instance))


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


def ring_name(run: str, instance: int, at: int) -> str:
    return f"lego-{run}-i{instance}-r{at}"
