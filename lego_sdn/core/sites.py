"""Where an NF would run, before it runs (LEGO paper, section III-C): its placement at some rate, and how it would grow onto a second host.

What grows is what the controller starts with: an instance with a process for each brick, all with the same cores, on the first host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lego_sdn.core.capacity import Layout, capacity, memory, separate
from lego_sdn.core.cost import Costs
from lego_sdn.core.growth import Choice, Overload, grow
from lego_sdn.core.placement import Host, Need, Placement, initial, needs_of, room
from lego_sdn.core.whatif import Talk, one_owner


@dataclass(frozen=True, slots=True)
class Start:
    """The instance on the first host from which it grows, and the packets/s that it takes."""

    layout: Layout
    packets: float


@dataclass(frozen=True, slots=True)
class Sites:
    """Replicas by host at the rate. `start` and `choice`: where the first host cannot have them all, how an instance there would grow."""

    placement: Placement
    start: Start | None = None
    choice: Choice | None = None


def sites(costs: Costs, talk: Talk, packets: float, hosts: Sequence[Host]) -> Sites:
    """For so many packets/s of traffic like what a capture shows, which comes to the first host. PlacementError if there is no room."""
    placed = initial(costs, packets, needs_of(costs, packets), hosts, talk.frame_bytes)
    home, others = hosts[0], hosts[1:]
    if [name for name, _ in placed.parts] == [home.name]:
        return Sites(placed)
    cores = min(1.0, home.free_cores / len(costs.kinds))
    layout = separate(costs.kinds, cores)
    lacking = f"no core is free on {home.name}" if not cores else room(home, *(_need(costs, kind, cores) for kind in costs.kinds))
    if lacking is not None:
        return Sites(placed, None, Choice(None, f"no instance can start on {home.name}: {lacking}", ()))
    taken = replace(home, used_cores=home.used_cores + cores * len(costs.kinds), used_memory=home.used_memory + memory(costs, layout))
    state = float(sum(size for _, size in (talk.streams or {}).values()))
    over = Overload(costs, layout, packets, 1, one_owner(talk.buckets), talk.by_source, cores, True, talk.frame_bytes, state)
    return Sites(placed, Start(layout, capacity(costs, layout).packets), grow(over, taken, others))


def _need(costs: Costs, kind: str, cores: float) -> Need:
    return Need(kind, cores, costs.process_bytes + costs.of(kind).memory_bytes)
