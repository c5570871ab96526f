"""What the cost model predicts: how much an instance can take, which brick decides that, what a further replica or instance would bring.

A layout says which bricks share a process and which CPU each process has; a kind that is in several processes has that many replicas.
A kind is the id of a node of the graph here: two nodes with the same brick are two kinds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.cost.model import Costs


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """Bricks chained in one process, by kind, and the share of cores that it may use: one core at most, for a process has one thread."""

    kinds: tuple[str, ...]
    cores: float = 1.0

    @property
    def usable(self) -> float:
        return min(1.0, self.cores)


Layout = tuple[ProcessShare, ...]


@dataclass(frozen=True, slots=True)
class Capacity:
    """packets: of its own that an instance can take per second; full: the kinds whose processes are then busy all the time.

    slowest  of the full ones, the kind that costs most: a replica of it is what helps
    """

    packets: float
    full: tuple[str, ...]
    slowest: str


@dataclass(frozen=True, slots=True)
class Growth:
    """A further replica: the layout with it, what it can then take, and what that costs."""

    layout: Layout
    before: float
    after: float
    cores: float
    memory_bytes: float

    @property
    def times(self) -> float:
        return self.after / self.before


def chained(kinds: Iterable[str], cores: float = 1.0) -> Layout:
    """All bricks in one process."""
    return (ProcessShare(tuple(kinds), cores),)


def separate(kinds: Iterable[str], cores: float = 1.0) -> Layout:
    """A process for each brick."""
    return tuple(ProcessShare((kind,), cores) for kind in kinds)


def kind_us(costs: Costs, layout: Layout, batch: float | None = None, deliveries: float = 1.0) -> dict[str, float]:
    """CPU of each kind for a packet of the instance's own, carriage to other processes included; in full batches (None) or others."""
    visits, out = costs.visits(deliveries), {}
    batch = costs.batch if batch is None else batch
    for brick in costs.bricks:
        per_row, homes = brick.per_packet_us(batch), _homes(layout, brick.kind)
        for following in costs.graph.after(brick.kind):
            if homes != _homes(layout, following):
                per_row += costs.ring.us(batch * brick.items_out * brick.bytes_out) / batch
        copies = costs.deliveries(len(homes)) if brick.keyed and homes else 1.0  # replicas of what has state are shown shadows
        out[brick.kind] = visits[brick.kind] * per_row * copies
    return out


def capacity(costs: Costs, layout: Layout, batch: float | None = None, deliveries: float = 1.0) -> Capacity:
    """How much the layout can take, if each kind's rows are divided among its replicas as suits best.

    Any set of kinds has only the processes in which one of them is: the set with the least CPU for its cost decides, exactly (max-flow,
    min-cut). CostError if a kind of the graph is in no process.
    """
    us = kind_us(costs, layout, batch, deliveries)
    for kind in us:
        if not _homes(layout, kind):
            raise CostError(f"layout: {kind} is in no process")
    shares = [(frozenset(process.kinds), process.usable) for process in layout]
    found = [(_available(shares, group) * 1e6 / sum(us[kind] for kind in group), group) for group in _groups(costs.kinds)]
    packets, full = min(found, key=lambda item: (item[0], len(item[1])))
    return Capacity(packets, full, max(full, key=lambda kind: us[kind] / len(_homes(layout, kind))))


def further_replica(costs: Costs, layout: Layout, kind: str, cores: float = 1.0) -> Growth:
    """One more replica of a kind, in a process of its own with so many cores."""
    grown = (*layout, ProcessShare((kind,), cores))
    return Growth(grown, capacity(costs, layout).packets, capacity(costs, grown).packets, cores, memory(costs, grown[-1:]))


def shadow_share(costs: Costs, batch: float | None = None) -> float:
    """CPU for a shadow by that for a packet that is scored: a shadow goes no further than the brick with the streams' state."""
    layout = chained(costs.kinds)
    packet, both = (sum(kind_us(costs, layout, batch, deliveries).values()) for deliveries in (1.0, 2.0))
    return both / packet - 1


def memory(costs: Costs, layout: Layout) -> float:
    """Bytes of all processes of a layout, and of the replicas in them."""
    return sum(costs.memory_bytes(process.kinds) for process in layout)


def _homes(layout: Layout, kind: str) -> tuple[int, ...]:
    """The processes in which a kind is."""
    return tuple(at for at, process in enumerate(layout) if kind in process.kinds)


def _groups(kinds: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (group for size in range(1, len(kinds) + 1) for group in combinations(kinds, size))


def _available(shares: Iterable[tuple[frozenset[str], float]], group: tuple[str, ...]) -> float:
    """Cores of the processes in which one of these kinds is. `shares`: of each process its kinds and its cores."""
    return sum(cores for kinds, cores in shares if not kinds.isdisjoint(group))
