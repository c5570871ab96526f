"""Growing onto a second host, where an NF cannot be whole on the first (LEGO paper, section III-C).

There are two ways: the whole graph again on the other host, to which traffic is steered by the split key, with its shadows; or only
replicas of the overloaded brick there, to which packets' features are carried, and the scores back. Either way the first host is filled
first. The one that is predicted to cost less is chosen: by what it takes beyond the packets' own work, as shares of the other host, added
up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from lego_sdn.core.cost.capacity import kind_us, separate
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.cost.placement import MB, HostCapacity, Need, carriage, needs_of, parted, room
from lego_sdn.core.traffic.split_prediction import TrafficMatrix, deliveries

Way = Literal["whole graph", "overloaded brick"]
HALVINGS = 10  # in looking for the rate that can be taken


@dataclass(frozen=True, slots=True)
class Demand:
    """packets: per second, of traffic like `talk`, that an NF of these costs is to take.

    clean  whether some granularity splits the traffic (Algorithm 1)
    """

    costs: Costs
    packets: float
    talk: TrafficMatrix
    clean: bool = True

    @property
    def own(self) -> tuple[Need, ...]:
        """What a host that has room for everything would run."""
        return needs_of(self.costs, self.packets)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to grow, and what it is predicted to take. `obstacle`: why it cannot be had.

    host       the other one
    parts      replicas, here and there
    packets    per second that are taken: those that are wanted or, where there is an obstacle, what would be possible
    cores, memory_bytes  beyond what one host with room for everything would give; link_bytes: per second between the hosts
    added_ms   that a batch is under way between the hosts, there and back
    share      cores, memory and link as shares of what the other host has, added up
    """

    way: Way
    host: str
    parts: tuple[tuple[str, tuple[Need, ...]], ...] = ()
    packets: float = 0.0
    cores: float = 0.0
    memory_bytes: float = 0.0
    link_bytes: float = 0.0
    added_ms: float = 0.0
    share: float = 0.0
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is best, why, and what there was to choose from; `option` None: nothing can be done. alone: packets/s that `home` can take."""

    option: Option | None
    reason: str
    options: tuple[Option, ...]
    alone: float

    @property
    def words(self) -> str:
        """Why there is no way, with the rates that there would be."""
        return "; ".join(f"{one.way} on {one.host}, {one.packets:,.0f} packets/s at the most: {one.obstacle}" for one in self.options)


def grow(demand: Demand, home: HostCapacity, others: Sequence[HostCapacity]) -> Choice | None:
    """Of both ways onto each other host, the one that costs least; None where the first host has room for everything."""
    lacking = room(home, *demand.own)
    if lacking is None:
        return None
    alone = _most(demand.packets, lambda packets: room(home, *needs_of(demand.costs, packets)) is None)
    ways = [partial(way, home=home, other=other) for other in others for way in (whole_graph, overloaded_brick)]
    options = tuple(_rated(demand, way) for way in ways)
    able = sorted((option for option in options if option.obstacle is None), key=lambda option: option.share)
    if not able:
        return Choice(None, "none can be had", options, alone)
    best, *rest = able
    why = [f"{one.way} on {one.host} costs {one.share:.1%} of it" for one in rest]
    why += [f"{one.way} on {one.host} cannot be had: {one.obstacle}" for one in options if one.obstacle is not None]
    return Choice(best, f"it costs {best.share:.1%} of {best.host}; {'; '.join(why)}", options, alone)


def whole_graph(demand: Demand, home: HostCapacity, other: HostCapacity) -> Option:
    """An instance on each host: as many buckets stay as the first has room for, the heaviest first."""
    blank = Option("whole graph", other.name)
    if not demand.clean:
        return replace(blank, obstacle="the traffic cannot be split by any granularity")
    owners = _owners(demand, home)
    packets, shadows = deliveries(demand.talk, owners, exact=demand.costs.shadows > 0)
    if not packets[1]:
        return replace(blank, obstacle=f"not one bucket has room on {home.name}")
    scale = demand.packets / demand.talk.total
    here, there = (_graph(demand, packets[i] * scale, shadows[i] * scale) for i in (1, 2))
    crossing = (packets[2] + shadows[2]) * scale * demand.talk.frame_bytes
    option = replace(blank, parts=((home.name, here), (other.name, there)), link_bytes=crossing, obstacle=room(other, *there))
    return _priced(demand, option, (home, other))


def _owners(demand: Demand, home: HostCapacity) -> tuple[int, ...]:
    """Bucket -> 1 (here) or 2; a bucket for which there is no room does not keep a lighter one out."""
    talk, scale = demand.talk, demand.packets / max(1, demand.talk.total)
    into, out_of = defaultdict[int, list[tuple[int, int]]](list), defaultdict[int, list[tuple[int, int]]](list)
    for (bucket, *others), count in talk.packets.items():
        for other in {*others} - {bucket}:
            into[other].append((bucket, count))
            out_of[bucket].append((other, count))
    weights, kept, own, shadows, copied = talk.by_bucket, set[int](), 0.0, 0.0, demand.costs.shadows > 0
    for bucket in sorted(range(talk.buckets), key=lambda b: (-weights[b], b)):
        more = shadows + sum(count for source, count in into[bucket] if source not in kept)
        more -= sum(count for target, count in out_of[bucket] if target in kept)
        if room(home, *_graph(demand, (own + weights[bucket]) * scale, more * scale * copied)) is None:
            kept.add(bucket)
            own, shadows = own + weights[bucket], more
    return tuple(1 if bucket in kept else 2 for bucket in range(talk.buckets))


def _graph(demand: Demand, packets: float, shadows: float) -> tuple[Need, ...]:
    """An instance that gets so many packets/s, and copies of others'."""
    return needs_of(demand.costs, packets, 1 + shadows / packets if packets else 1.0)


def overloaded_brick(demand: Demand, home: HostCapacity, other: HostCapacity) -> Option:
    """All bricks here but the costliest that may be replicated apart; of that, what cores are left here, and the rest there."""
    blank, costs, kind = Option("overloaded brick", other.name), demand.costs, overloaded(demand.costs)
    if kind is None:
        return replace(blank, obstacle="every brick is at an end of the graph or keeps the streams' state")
    rest = tuple(need for need in demand.own if need.kind != kind)
    work = sum(need.cores for need in demand.own if need.kind == kind)
    left = home.free_cores - sum(need.cores for need in rest)
    size, carrying = _crossing(demand, kind)
    lacking = room(home, *rest) or _divided_end(costs, rest)
    if lacking is None and carrying >= work:
        lacking = f"carrying the rows of {kind} takes {carrying:.3g} cores, the work on them {work:.3g}"
    if lacking is not None or left < carrying / 2:
        return replace(blank, obstacle=lacking or f"no cores are left on {home.name} for carrying")
    away = min(1.0, (work - left) / (work - carrying / 2))  # each host bears half of the carriage
    stay = tuple(parted(costs, kind, (1 - away) * work)) if away < 1 else ()
    if room(home, *rest, *stay) is not None:  # cores are left, but no memory
        away, stay = 1.0, ()
    there = tuple(parted(costs, kind, away * work))
    option = replace(blank, parts=((home.name, (*rest, *stay)), (other.name, there)), cores=away * carrying, link_bytes=away * size)
    option = replace(option, added_ms=_way_ms(demand, kind, min(home.link_bytes, other.link_bytes)))
    lacking = room(other, *there, Need("carriage", away * carrying / 2))
    return _priced(demand, replace(option, obstacle=lacking), (home, other))


def _divided_end(costs: Costs, needs: Sequence[Need]) -> str | None:
    """Why these bricks cannot be those of one instance, or None."""
    kinds = [need.kind for need in needs]
    wide = next((kind for kind in (*costs.graph.sources, *costs.graph.ends) if kinds.count(kind) > 1), None)
    return None if wide is None else f"{wide} wants more than a core, and stays single in an instance"


def overloaded(costs: Costs) -> str | None:
    """The kind that costs most of those that can be replicated alone: not at an end of the graph, and without the state of streams."""
    us = kind_us(costs, separate(costs.kinds))
    return max((kind for kind in costs.graph.inner if not costs.of(kind).keyed), key=lambda kind: us[kind], default=None)


def _row_bytes(costs: Costs, kind: str) -> tuple[float, float]:
    """Of a row that goes to a brick, and of what comes back for it."""
    brick = costs.of(kind)
    return sum(costs.of(before).bytes_out for before in costs.graph.before(kind)), brick.items_out * brick.bytes_out


def _crossing(demand: Demand, kind: str) -> tuple[float, float]:
    """Bytes/s to and from replicas of a kind, if all of it were on the other host, and the cores for carrying them."""
    rows = demand.packets * demand.costs.visits()[kind]
    size = rows * sum(_row_bytes(demand.costs, kind))
    return size, carriage(demand.costs, 2 * rows, size)


def _way_ms(demand: Demand, kind: str, link_bytes: float) -> float:
    """Of a full batch: handing it on and over the link, there and back."""
    sizes = [demand.costs.batch * size for size in _row_bytes(demand.costs, kind)]
    return sum(demand.costs.wire.us(size) / 1e3 + 1e3 * size / link_bytes for size in sizes)


def _priced(demand: Demand, option: Option, hosts: tuple[HostCapacity, HostCapacity]) -> Option:
    """With what it takes beyond the packets' own work; a link that cannot carry it is an obstacle."""
    home, other = hosts
    needs, own, link = [need for _, part in option.parts for need in part], demand.own, min(home.link_bytes, other.link_bytes)
    cores = option.cores + sum(need.cores for need in needs) - sum(need.cores for need in own)
    memory = sum(need.memory_bytes for need in needs) - sum(need.memory_bytes for need in own)
    obstacle = option.obstacle
    if obstacle is None and option.link_bytes > link:
        obstacle = f"{option.link_bytes / MB:,.1f} MB/s are wanted of a link of {link / MB:,.1f} between {home.name} and {other.name}"
    share = cores / other.cores + memory / other.memory_bytes + option.link_bytes / link
    return replace(option, cores=cores, memory_bytes=memory, share=share, obstacle=obstacle)


def _rated(demand: Demand, way: Callable[[Demand], Option]) -> Option:
    """With the packets/s that can be taken in this way."""
    option = way(demand)
    if option.obstacle is None:
        return replace(option, packets=demand.packets)
    return replace(option, packets=_most(demand.packets, lambda packets: way(replace(demand, packets=packets)).obstacle is None))


def _most(packets: float, possible: Callable[[float], bool]) -> float:
    """The highest rate below this one that is possible, to a thousandth."""
    low, high = 0.0, packets
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if possible(middle) else (low, middle)
    return low
