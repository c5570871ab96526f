"""How the bricks of an instance are laid out over processes and joined by rings: a value, and the steps to another one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from lego_sdn.core.errors import BrickError

PLACEMENTS = ("chained", "separate")


@dataclass(frozen=True)
class Ring:
    """A shared-memory ring: brick `source` writes, brick `target` reads."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Wiring:
    """One instance: its graph (kinds in order), its processes (name -> brick ids, chained inside), the rings between them."""

    instance: int
    run: str
    kinds: tuple[str, ...]
    processes: dict[str, tuple[str, ...]]
    rings: tuple[Ring, ...] = ()
    made_processes: int = 0
    made_rings: int = 0

    def routes(self, brick: str) -> list[str]:
        """The brick's routing table: names of the rings to its next hops in other processes."""
        return [ring.name for ring in self.rings if ring.source == brick]

    def inputs(self, brick: str) -> list[str]:
        """Names of the rings that the brick reads."""
        return [ring.name for ring in self.rings if ring.target == brick]

    def process_of(self, brick: str) -> str:
        for name, bricks in self.processes.items():
            if brick in bricks:
                return name
        raise BrickError(f"instance {self.instance} has no brick {brick}; it has {', '.join(self.bricks)}")

    @property
    def bricks(self) -> list[str]:
        return [brick for bricks in self.processes.values() for brick in bricks]

    def of_kind(self, kind: str) -> list[str]:
        """The replicas of a kind, in order of their serial numbers."""
        return sorted((brick for brick in self.bricks if kind_of(brick) == kind), key=serial_of)

    @property
    def in_graph_order(self) -> list[str]:
        """Process names, sources of packets first: the order in which they are drained."""
        return sorted(self.processes, key=lambda name: self.kinds.index(kind_of(self.processes[name][0])))

    def neighbours(self, kind: str) -> tuple[list[str], list[str]]:
        """Bricks before and after a kind in the graph."""
        at = self.kinds.index(kind)
        return self.of_kind(self.kinds[at - 1]) if at else [], self.of_kind(self.kinds[at + 1]) if at + 1 < len(self.kinds) else []

    def with_replica(self, kind: str) -> tuple[Wiring, str]:
        """This with one more replica of a kind in a process of its own, joined to every neighbour; and the new brick's id.

        BrickError if there is no such kind, or it is at an end of the graph.
        """
        if kind not in self.kinds:
            raise BrickError(f"instance {self.instance} has no brick of kind {kind!r}; its graph is {' -> '.join(self.kinds)}")
        before, after = self.neighbours(kind)
        if not before or not after:
            raise BrickError(f"{kind} is at an end of the graph and stays single in an instance; replicate the instance instead")
        brick = f"{kind}-{max(map(serial_of, self.of_kind(kind))) + 1}"
        name = process_name(self.instance, self.made_processes)
        grown = replace(self, processes={**self.processes, name: (brick,)}, made_processes=self.made_processes + 1)
        return grown.joined([(source, brick) for source in before] + [(brick, target) for target in after]), brick

    def without(self, brick: str) -> Wiring:
        """This without one replica. BrickError if it is the last of its kind or shares its process with others."""
        name = self.process_of(brick)
        if len(self.of_kind(kind_of(brick))) == 1:
            raise BrickError(f"{brick} is the only {kind_of(brick)} of instance {self.instance}; stop the instance instead")
        if len(self.processes[name]) > 1:
            raise BrickError(f"{brick} shares process {name} with other bricks and cannot be stopped alone")
        rest = {other: bricks for other, bricks in self.processes.items() if other != name}
        return replace(self, processes=rest, rings=tuple(r for r in self.rings if brick not in (r.source, r.target)))

    def joined(self, pairs: list[tuple[str, str]]) -> Wiring:
        """This with a new ring for every (source, target)."""
        fresh = tuple(Ring(ring_name(self.run, self.instance, self.made_rings + at), *pair) for at, pair in enumerate(pairs))
        return replace(self, rings=self.rings + fresh, made_rings=self.made_rings + len(fresh))


def lay_out(instance: int, run: str, kinds: tuple[str, ...], placement: str) -> Wiring:
    """An instance with one replica of each kind: all in one process (`chained`), or each in its own (`separate`)."""
    bricks = tuple(f"{kind}-0" for kind in kinds)
    if placement == "chained":
        return Wiring(instance, run, kinds, {process_name(instance, 0): bricks}, made_processes=1)
    processes = {process_name(instance, at): (brick,) for at, brick in enumerate(bricks)}
    apart = Wiring(instance, run, kinds, processes, made_processes=len(bricks))
    return apart.joined(list(itertools.pairwise(bricks)))


def kind_of(brick: str) -> str:
    return brick.rpartition("-")[0]


def serial_of(brick: str) -> int:
    return int(brick.rpartition("-")[2])


def process_name(instance: int, at: int) -> str:
    """1-a, 1-b, ... 1-z, 1-a1, ..."""
    return f"{instance}-{chr(ord('a') + at % 26)}{at // 26 or ''}"


def ring_name(run: str, instance: int, at: int) -> str:
    return f"lego-{run}-i{instance}-r{at}"
