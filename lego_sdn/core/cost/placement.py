"""Where bricks run: on the cores and the memory of hosts (LEGO paper, section III-C).

First the same host. What a host has left is used, however little it is: a graph that needs eight cores, of which four are free here, has
some of its bricks here and the rest there, cut where the fewest bytes cross.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lego_sdn.core.cost.capacity import kind_us, separate
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.errors import LegoError

MB = 1e6
ENOUGH = 1e-9  # cores: below that, rounding
DIVISIONS = (1, 2, 4, 8)  # parts of a replica, coarsest first


class PlacementError(LegoError):
    """Bricks do not fit on the hosts that there are."""


@dataclass(frozen=True, slots=True)
class HostCapacity:
    """What a host has and what of it is taken; `link_bytes`: bytes/s that it can carry to other hosts (1 Gbit/s unless told)."""

    name: str
    cores: float
    memory_bytes: float
    used_cores: float = 0.0
    used_memory: float = 0.0
    link_bytes: float = 125e6

    @property
    def free_cores(self) -> float:
        return max(0.0, self.cores - self.used_cores)

    @property
    def free_memory(self) -> float:
        return max(0.0, self.memory_bytes - self.used_memory)


@dataclass(frozen=True, slots=True)
class Need:
    """One replica in a process of its own: its kind, the share of cores that it is to have, and its memory."""

    kind: str
    cores: float
    memory_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Replicas by host, in the order of the graph; bytes/s that cross between hosts, and the CPU for that, of all hosts together."""

    parts: tuple[tuple[str, tuple[Need, ...]], ...]
    carried_bytes: float = 0.0
    carried_cores: float = 0.0


def room(host: HostCapacity, *needs: Need) -> str | None:
    """Why these replicas may not be started on a host, or None if there is room for them."""
    cores, memory = sum(need.cores for need in needs), sum(need.memory_bytes for need in needs)
    names = ", ".join(dict.fromkeys(need.kind for need in needs))
    if cores > host.free_cores + ENOUGH:
        return f"{names}: {cores:.3g} cores are wanted and {host.free_cores:.3g} of {host.cores:.3g} are free on {host.name}"
    if memory > host.free_memory:
        free, whole = host.free_memory / MB, host.memory_bytes / MB
        return f"{names}: {memory / MB:,.0f} MB are wanted and {free:,.0f} of {whole:,.0f} are free on {host.name}"
    return None


def needs_of(costs: Costs, packets: float, deliveries: float = 1.0) -> tuple[Need, ...]:
    """Replicas that take so many packets/s, in the order of the graph: as many as it takes of processes of up to a core each.

    deliveries  packets and shadows for each packet. Replicas of the brick with the streams' state are shown shadows besides
    """
    found: list[Need] = []
    for kind, us in kind_us(costs, separate(costs.kinds), deliveries=deliveries).items():
        alone, copies, count = packets * us / 1e6, 1.0, 1
        while alone * copies > count + ENOUGH:
            count += 1
            copies = costs.deliveries(count) if costs.of(kind).keyed else 1.0
        found += parted(costs, kind, alone * copies)
    return tuple(found)


def parted(costs: Costs, kind: str, cores: float) -> list[Need]:
    """Replicas of a kind with so many cores together: as few as can be, of up to a core each, alike."""
    count = max(1, math.ceil(cores - ENOUGH))
    return [Need(kind, cores / count, costs.memory_bytes([kind]))] * count


def initial(costs: Costs, packets: float, needs: Sequence[Need], hosts: Sequence[HostCapacity], frame_bytes: float = 500.0) -> Placement:
    """Place replicas (in graph order) for so many packets/s on hosts, of which the first is where the packets come.

    Each host gets a run of them; the cuts are where the fewest bytes cross. Where whole replicas do not fill the hosts, one is divided.
    PlacementError if they do not fit.
    """
    if sum(need.cores for need in needs) > sum(host.free_cores for host in hosts) + ENOUGH:
        raise PlacementError(_no_room(needs, hosts))  # whatever the division
    order = [hosts[0], *sorted(hosts[1:], key=lambda host: (-host.free_cores, host.name))]
    for parts in DIVISIONS:
        pieces = [replace(need, cores=need.cores / parts) for need in needs for _ in range(parts)]
        cuts = [_cut(costs, packets, pieces, at, frame_bytes) for at in range(len(pieces))]
        ends = _Search(pieces, order, cuts, [carriage(costs, packets, size) for size in cuts]).ends()
        if ends is not None:
            firsts, crossed = (0, *ends), [end for end in ends if end < len(pieces)]
            runs = ((host.name, joined(pieces[a:b])) for host, a, b in zip(order, firsts, ends, strict=False))
            crossing, cores = sum(cuts[at] for at in set(crossed)), sum(carriage(costs, packets, cuts[at]) for at in set(crossed))
            return Placement(tuple(run for run in runs if run[1]), crossing, cores)
    raise PlacementError(_no_room(needs, hosts))


def joined(pieces: Sequence[Need]) -> tuple[Need, ...]:
    """Neighbours of one kind as replicas of up to one core."""
    found: list[Need] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last is not None and last.kind == piece.kind and last.cores + piece.cores <= 1.0 + ENOUGH:
            found[-1] = replace(last, cores=last.cores + piece.cores)
        else:
            found.append(piece)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Search:
    """For the least bytes between hosts. `cuts`, `carriage`: bytes/s and cores if it is cut before a piece."""

    pieces: Sequence[Need]
    order: Sequence[HostCapacity]
    cuts: Sequence[float]
    carriage: Sequence[float]

    def ends(self) -> tuple[int, ...] | None:
        """Where the run of each host ends; None if there is no room."""
        known: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
        count = len(self.pieces)
        for at in range(len(self.order), -1, -1):
            for first in range(count, -1, -1):
                known[first, at] = (0.0, ()) if first == count else self._best(first, at, known)
        size, ends = known[0, 0]
        return None if size == math.inf else ends

    def _best(self, first: int, at: int, known: dict[tuple[int, int], tuple[float, tuple[int, ...]]]) -> tuple[float, tuple[int, ...]]:
        """Of the runs that host `at` can have from piece `first` on, the one with which the fewest bytes cross; the longest of several."""
        found: tuple[float, tuple[int, ...]] = (math.inf, ())
        for end in range(len(self.pieces), first - 1, -1) if at < len(self.order) else ():
            size = known[end, at + 1][0] + (self.cuts[first] if first < end and at > 0 else 0.0)
            if size < found[0] and self._fits(first, end, at):
                found = (size, (end, *known[end, at + 1][1]))
        return found

    def _fits(self, first: int, end: int, at: int) -> bool:
        """Both sides of a cut bear half of the carriage, and the link of either carries what crosses."""
        cut = [first] * (at > 0 and first < end) + [end] * (first < end < len(self.pieces))
        cores = sum(self.carriage[place] for place in cut) / 2
        passed_on = self.cuts[0] if self.pieces and at == end == 0 else 0.0  # packets come to the first host, also if nothing runs there
        if sum(self.cuts[place] for place in cut) + passed_on > self.order[at].link_bytes:
            return False
        return room(self.order[at], *joined(self.pieces[first:end]), Need("carriage", cores)) is None


def _cut(costs: Costs, packets: float, needs: Sequence[Need], at: int, frame_bytes: float) -> float:
    """Bytes/s that cross if needs[:at] are here and needs[at:] there: packets themselves at 0, else rows between bricks.

    Among replicas of one kind, a part of what the kind takes in crosses, and the other part of what it gives out.
    """
    last = costs.graph.place(needs[at - 1].kind) if at else -1
    here = {"": 1.0} | {kind: 1.0 if costs.graph.place(kind) <= last else 0.0 for kind in costs.kinds}  # of what needs no replica, too
    here |= {kind: _share_before(needs, at, kind) for kind in {need.kind for need in needs}}
    ways = [("", source) for source in costs.graph.sources] + list(costs.graph.edges)
    crossing = (
        (here[source] * (1 - here[target]) + (1 - here[source]) * here[target]) * _bytes_after(costs, source, frame_bytes)
        for source, target in ways
    )
    return packets * sum(crossing)


def _share_before(needs: Sequence[Need], at: int, kind: str) -> float:
    """Which part of a kind's work needs[:at] do."""
    places = [number for number, need in enumerate(needs) if need.kind == kind]
    if places[0] >= at:
        return 0.0
    if places[-1] < at:
        return 1.0
    whole = sum(needs[place].cores for place in places)
    return sum(needs[place].cores for place in places if place < at) / whole if whole else 0.5


def _bytes_after(costs: Costs, kind: str, frame_bytes: float) -> float:
    """Bytes that a brick of this kind passes on for a packet; "" is before the first."""
    if not kind:
        return frame_bytes
    brick = costs.of(kind)
    return costs.visits()[kind] * brick.items_out * brick.bytes_out


def carriage(costs: Costs, packets: float, size: float) -> float:
    """Cores for carrying so many bytes/s between hosts, in full batches."""
    return (costs.wire.batch_us * packets / costs.batch + costs.wire.byte_us * size) / 1e6


def _no_room(needs: Sequence[Need], hosts: Sequence[HostCapacity]) -> str:
    cores, memory = sum(need.cores for need in needs), sum(need.memory_bytes for need in needs) / MB
    free = ", ".join(
        f"{host.name} {host.free_cores:.3g} cores" + (f" and {host.free_memory / MB:,.0f} MB" if host.free_memory < float("inf") else "")
        for host in hosts
    )
    wanted = f"the graph needs {cores:.3g} cores and {memory:,.0f} MB in {len(needs)} replicas"
    return f"{wanted}, and there is no room for it, or no link; free: {free}"
