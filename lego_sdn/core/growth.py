"""Where an overloaded instance grows (LEGO paper, section III-C): on the same host as long as it has room, then onto a second one.

There are two ways onto a second host: a whole graph there, to which traffic is steered by granularity, with its shadows and the state that
moves; or only replicas of the overloaded bricks there, to which batches are carried. The one that is predicted to cost less is chosen.
Its cost is what it takes beyond the packets' own work, which is the same either way, as shares of a host: CPU, memory and link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lego_sdn.core.capacity import Layout, capacity, further_replica, kind_us, memory
from lego_sdn.core.cost import Costs
from lego_sdn.core.placement import MB, Host, Need, room
from lego_sdn.core.plan import Owners, balance, carried, moves

Way = Literal["same host", "whole graph", "overloaded bricks"]
HORIZON_S = 60.0  # over which the state that moves once is spread, to be compared with bytes/s
MOST_REPLICAS = 64
LEAST_CORES = 0.05  # of a replica


@dataclass(frozen=True, slots=True)
class Overload:
    """An instance that cannot take what comes.

    packets    per second, its own, that are to be taken; cores: of a new process
    owners     bucket -> instance, and the load by bucket: what steering can move, and what not
    clean      whether some granularity splits the traffic (Algorithm 1)
    frame_bytes of a packet on the wire; state_bytes: of the streams that it holds
    """

    costs: Costs
    layout: Layout
    packets: float
    instance: int
    owners: Owners
    weights: tuple[float, ...]
    cores: float = 1.0
    clean: bool = True
    frame_bytes: float = 500.0
    state_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """One way to grow, and what it is predicted to take beyond the packets' own work. `obstacle`: why it cannot be had.

    needs   replicas to start, and on which host each; cores, memory_bytes: besides what runs; link_bytes: per second between the hosts
    moved_bytes  of state, once; share: all of it as shares of a host, added up
    """

    way: Way
    needs: tuple[tuple[str, Need], ...] = ()
    cores: float = 0.0
    memory_bytes: float = 0.0
    link_bytes: float = 0.0
    moved_bytes: float = 0.0
    share: float = 0.0
    obstacle: str | None = None

    @property
    def words(self) -> str:
        if self.obstacle is not None:
            return f"{self.way}: {self.obstacle}"
        told = f"{self.cores:.3g} cores, {self.memory_bytes / MB:,.0f} MB and {self.link_bytes / MB:,.1f} MB/s between hosts"
        return f"{self.way}: {self.share:.1%} of a host ({told})"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is best, why, and what there was to choose from; `option` None: nothing can be done."""

    option: Option | None
    reason: str
    options: tuple[Option, ...]


def grow(over: Overload, home: Host, others: Sequence[Host] = ()) -> Choice:
    """The same host if it has room; else, of both ways onto each other host, the one that costs least."""
    here = same_host(over, home)
    if here.obstacle is None:
        return Choice(here, f"there is room on {home.name}", (here,))
    options = [here, *(way for other in others for way in (whole_graph(over, other), overloaded_bricks(over, home, other)))]
    able = sorted((option for option in options if option.obstacle is None), key=lambda option: option.share)
    if not able:
        return Choice(None, "; ".join(option.words for option in options), tuple(options))
    rest = "; ".join(option.words for option in (here, *able[1:], *(o for o in options[1:] if o.obstacle is not None)))
    return Choice(able[0], f"{able[0].words}, since {rest}", tuple(options))


def same_host(over: Overload, home: Host) -> Option:
    """Replicas of whatever brick decides, one after the other, until the load can be taken."""
    needs, obstacle = replicas_wanted(over)
    obstacle = obstacle or room(home, *needs)
    size = sum(need.memory_bytes for need in needs)
    return Option("same host", tuple((home.name, need) for need in needs), 0.0, size, share=size / home.memory_bytes, obstacle=obstacle)


def replicas_wanted(over: Overload) -> tuple[tuple[Need, ...], str | None]:
    """Replicas that take the load, cheapest first; or why replicas cannot."""
    layout, needs = over.layout, list[Need]()
    for _ in range(MOST_REPLICAS):
        now = capacity(over.costs, layout)
        if now.packets >= over.packets:
            return tuple(needs), None
        if now.slowest in (over.costs.kinds[0], over.costs.kinds[-1]):
            return tuple(needs), f"{now.slowest} decides, which is at an end of the graph and stays single in an instance"
        layout = further_replica(over.costs, layout, now.slowest, over.cores).layout
        needs.append(Need(now.slowest, over.cores, memory(over.costs, layout[-1:])))
    return tuple(needs), f"more than {MOST_REPLICAS} replicas are wanted"


def whole_graph(over: Overload, other: Host) -> Option:
    """One more instance with the same layout on the other host, which gets the buckets that even out the load."""
    if not over.clean:
        return Option("whole graph", obstacle="the traffic cannot be split by any granularity")
    now = sorted({owner for owner in over.owners if owner is not None} | {over.instance})
    new = now[-1] + 1
    after = balance(over.owners, over.weights, (over.instance, new), into=new)
    loads, whole = carried(after, over.weights, (over.instance, new)), carried(over.owners, over.weights, (over.instance,))
    share = loads[new] / whole[over.instance] if whole[over.instance] else 0.0
    deliveries = (over.costs.deliveries(len(now)), over.costs.deliveries(len(now) + 1))
    needs = tuple(Need(" -> ".join(process.kinds), process.usable, memory(over.costs, (process,))) for process in over.layout)
    fits = capacity(over.costs, over.layout, deliveries=deliveries[1]).packets
    heaviest = max(share, 1 - share) * over.packets
    obstacle = room(other, *needs)
    if heaviest > fits:
        obstacle = f"one instance would get {heaviest:,.0f} packets/s, its shadows besides, and can take {fits:,.0f}"
    before, then = (sum(kind_us(over.costs, over.layout, deliveries=d).values()) for d in deliveries)
    moved = over.state_bytes * len(moves(over.owners, after)) / max(1, over.owners.count(over.instance))
    crossing = over.packets * share * deliveries[1] * over.frame_bytes  # to the other host: own packets, and shadows as many as fall to it
    bill = Option("whole graph", tuple((other.name, need) for need in needs), over.packets * (then - before) / 1e6)
    bill = replace(bill, memory_bytes=memory(over.costs, over.layout), link_bytes=crossing, moved_bytes=moved, obstacle=obstacle)
    return _priced(bill, other)


def overloaded_bricks(over: Overload, home: Host, other: Host) -> Option:
    """The replicas that the same host would want: as much as it has room for there, the rest on the other host, fed over the network."""
    wanted, obstacle = replicas_wanted(over)
    stay, away = _divided(wanted, home)
    obstacle = obstacle or room(other, *away)
    if any(over.costs.of(need.kind).keyed for need in away):
        obstacle = obstacle or "the brick that decides keeps the streams' state: it is replicated in its instance, or with a whole graph"
    size, cpu, work = _crossing(over, wanted, away)
    if cpu >= work:
        obstacle = obstacle or f"carrying the rows takes {cpu:.3g} cores, the work on them {work:.3g}"
    needs = (*((home.name, need) for need in stay), *((other.name, need) for need in away))
    memory_bytes = sum(need.memory_bytes for need in (*stay, *away))
    return _priced(Option("overloaded bricks", needs, cpu, memory_bytes, size, obstacle=obstacle), other)


def _divided(wanted: tuple[Need, ...], home: Host) -> tuple[tuple[Need, ...], tuple[Need, ...]]:
    """What fits on the host, and the rest; of the first that does not fit, what cores are left make a smaller replica."""
    count = next(n for n in range(len(wanted), -1, -1) if room(home, *wanted[:n]) is None)
    stay, away = wanted[:count], wanted[count:]
    left = home.free_cores - sum(need.cores for need in stay)
    if away and left >= LEAST_CORES:
        part = replace(away[0], cores=min(left, away[0].cores))
        rest = replace(away[0], cores=away[0].cores - part.cores)
        if rest.cores > 0 and room(home, *stay, part) is None:
            return (*stay, part), (rest, *away[1:])
    return stay, away


def _crossing(over: Overload, wanted: tuple[Need, ...], away: tuple[Need, ...]) -> tuple[float, float, float]:
    """Bytes/s to and from replicas on the other host, the cores for it, and for the work on these rows; replicas share a kind's rows."""
    costs, visits = over.costs, over.costs.visits()
    total_bytes = cores = work = 0.0
    for kind in dict.fromkeys(need.kind for need in away):
        there = sum(need.cores for need in away if need.kind == kind)
        whole = sum(n.cores for n in wanted if n.kind == kind) + sum(p.usable for p in over.layout if kind in p.kinds)
        rows, before = over.packets * visits[kind] * there / whole, costs.bricks[costs.kinds.index(kind) - 1]
        size = rows * (before.bytes_out + costs.of(kind).items_out * costs.of(kind).bytes_out)
        total_bytes += size
        cores += (2 * costs.wire.batch_us * rows / costs.batch + costs.wire.byte_us * size) / 1e6
        work += rows * costs.of(kind).per_packet_us(costs.batch) / 1e6
    return total_bytes, cores, work


def _priced(option: Option, host: Host) -> Option:
    """With everything that it takes as shares of the host, added up; a link that cannot carry it is an obstacle."""
    link = option.link_bytes + option.moved_bytes / HORIZON_S
    obstacle = option.obstacle
    if link > host.link_bytes:
        wanted = f"{link / MB:,.1f} MB/s are wanted of a link of {host.link_bytes / MB:,.1f}"
        obstacle = obstacle or f"{wanted} to {host.name}"
    share = option.cores / host.cores + option.memory_bytes / host.memory_bytes + link / host.link_bytes
    return replace(option, share=share, obstacle=obstacle)
