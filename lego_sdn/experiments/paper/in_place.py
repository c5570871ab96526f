"""What each brick costs in its place: in the running system, with its quota used up while all others have time to spare.

A pre-execution does not know all of it: a slice of a core at a time begins with cold caches, other processes use them too, and a process
does more than its brick (it wakes up, rings, answers the controller). None of that is the same share for every brick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from lego_sdn.core.cost.capacity import Layout, capacity
from lego_sdn.core.cost.model import Carriage, Costs
from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.paper.lab import Lab
from lego_sdn.experiments.paper.meter import SystemMeter

ROOM = 3  # quotas of every other brick
RESTS_ON = "the cost of each brick in its place: with its quota, while the others had time to spare, before the phases predicted"


def in_place(lab: Lab, meter: SystemMeter, quota: float, seconds: tuple[float, float]) -> dict[str, float]:
    """CPU of a packet by kind, microseconds; what the brick's process does besides it is included, and so is carriage.

    Instance 1 must have a process for each brick, and be offered more than it can take: what could take more than is offered seems to cost
    more than it does. `seconds`: to settle, then to look, for each brick. HostError if nothing is scored meanwhile.
    """
    processes = {row["kind"]: row["process"] for row in lab.get("bricks")["bricks"]}
    found = {}
    for kind in processes:
        given = {process: quota * (1 if other == kind else ROOM) for other, process in processes.items()}
        lab.agent.call("set_quota", 1, given)
        meter.watch(seconds[0])
        packets = median(sample.scored for sample in meter.watch(seconds[1]))
        if not packets:
            raise HostError(f"nothing was scored while {kind} had {quota:g} cores; give more --seconds or a larger --quota")
        found[kind] = 1e6 * quota / packets
    lab.agent.call("set_quota", 1, dict.fromkeys(processes.values(), quota))
    return found


def as_in_place(costs: Costs, us: Mapping[str, float], batch: int) -> Costs:
    """The model with every brick at the level that it showed."""
    bricks = tuple(replace(brick, scale=us[brick.kind] / brick.profiled.per_packet_us(batch)) for brick in costs.bricks)
    return replace(costs, bricks=bricks, ring=Carriage())


def predicted(costs: Costs, layouts: tuple[Layout, Layout], batch: int) -> tuple[float, float]:
    """Packets/s of two layouts."""
    before, after = (capacity(costs, layout, batch).packets for layout in layouts)
    return before, after
