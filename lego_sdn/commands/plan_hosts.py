"""`lego plan --host`: on which hosts the bricks of an NF would run at a rate, and how it would grow from the first onto another one."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from lego_sdn.core.cost.model import Costs
    from lego_sdn.core.cost.placement import HostCapacity, Need, Placement
    from lego_sdn.core.cost.second_host import Choice, Option
    from lego_sdn.core.traffic.split_prediction import TrafficMatrix

FORM = "NAME=CORES[:FREE_CORES[:FREE_GB[:GBITS]]]"
MOST_CORES = 64  # of a host that is asked about


class HostType(click.ParamType):
    """A host: its cores, how many of them are free (all unless told), the memory that is free (not looked at unless told), and the Gbit/s
    of its link to other hosts (1 unless told)."""

    name = FORM

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> HostCapacity:
        from lego_sdn.core.cost.placement import HostCapacity

        found = re.fullmatch(r"([\w.-]+)=([^:]+)(?::([^:]+))?(?::([^:]+))?(?::([^:]+))?", value)
        if found is None:
            self.fail(f"{value!r} is no host: wanted {FORM}, for example a=8:4:16", param, ctx)
        name, *texts = found.groups()
        figures = [None if text is None else _number(text) for text in texts]
        if any(text is not None and figure is None for text, figure in zip(texts, figures, strict=True)):
            self.fail(f"{value!r}: cores, GB and Gbit/s are numbers from 0 on, for example a=8:4:16", param, ctx)
        cores, free, gigabytes, gigabits = figures
        if not cores or cores > MOST_CORES:
            self.fail(f"{value!r}: a host has more than 0 cores, and {MOST_CORES} at most", param, ctx)
        if free is not None and free > cores:
            self.fail(f"{value!r}: {free:g} cores cannot be free of {cores:g}", param, ctx)
        if gigabytes == 0:
            self.fail(f"{value!r}: with no memory free, nothing can run there", param, ctx)
        if gigabits == 0:
            self.fail(f"{value!r}: with no link, nothing can be carried there", param, ctx)
        memory, link = math.inf if gigabytes is None else 1e9 * gigabytes, 1e9 / 8 * (1.0 if gigabits is None else gigabits)
        return HostCapacity(name, cores, memory, 0.0 if free is None else cores - free, link_bytes=link)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?|\.\d+", text, re.ASCII) else None


@dataclass(frozen=True)
class OnHosts:
    """packets: per second that are to be taken.

    placement  of the graph on all hosts, cut where the fewest bytes cross; None: it cannot be cut so
    growth     from the first host onto another one; None: the first has room for everything, or there is no other
    """

    packets: float
    placement: Placement | None
    growth: Choice | None


def on_hosts(costs: Costs, packets: float, talk: TrafficMatrix, hosts: tuple[HostCapacity, ...]) -> OnHosts:
    """For so many packets/s of traffic like the capture's. PlacementError if the hosts cannot take them in any way."""
    from bricks.nfs.registry import load
    from lego_sdn.core.cost.placement import PlacementError, initial, needs_of
    from lego_sdn.core.cost.second_host import Demand, grow
    from lego_sdn.core.nf.split_key import split_key

    clean = split_key(load(costs.nf).extractor(costs.layout)).whole is None
    growth = grow(Demand(costs, packets, talk, clean), hosts[0], hosts[1:]) if len(hosts) > 1 else None
    try:
        return OnHosts(packets, initial(costs, packets, needs_of(costs, packets), hosts, talk.frame_bytes), growth)
    except PlacementError as error:
        if growth is not None and growth.option is not None:
            return OnHosts(packets, None, growth)
        raise PlacementError(f"{error}; {growth.words}" if growth is not None else str(error)) from None


def facts(found: OnHosts) -> dict[str, Any]:
    """For JSON."""
    return {
        "packets_per_s": found.packets,
        "placement": None if found.placement is None else _placement(found.placement),
        "growth": None if found.growth is None else _choice(found.growth),
    }


def _placement(placement: Placement) -> dict[str, Any]:
    crossing = {"carried_bytes_per_s": placement.carried_bytes, "carried_cores": placement.carried_cores}
    return {"hosts": _parts(placement.parts)} | crossing


def _choice(growth: Choice) -> dict[str, Any]:
    chosen = growth.option
    return {
        "alone_packets_per_s": growth.alone,
        "chosen": None if chosen is None else {"way": chosen.way, "host": chosen.host},
        "reason": growth.reason,
        "ways": [asdict(option) | {"parts": _parts(option.parts)} for option in growth.options],
    }


def _parts(parts: tuple[tuple[str, tuple[Need, ...]], ...]) -> list[dict[str, Any]]:
    return [{"host": name, "replicas": [asdict(need) for need in needs]} for name, needs in parts]


def show(console: Console, found: OnHosts, first: str) -> None:
    placement = found.placement
    if placement is not None:
        cut = ", cut where the fewest bytes cross" if placement.carried_bytes else ""
        console.print(f"placement at {found.packets:,.0f} packets/s{cut}:")
        _show_parts(console, placement.parts)
        if placement.carried_bytes:
            console.print(
                f"  between hosts: {placement.carried_bytes / 1e6:,.1f} MB/s, {placement.carried_cores:.3g} cores for carrying them"
            )
    if found.growth is not None:
        console.print(f"{first} alone takes {found.growth.alone:,.0f} packets/s; ways to grow onto another host:")
        for option in found.growth.options:
            _show_way(console, option)
        chosen = "none" if found.growth.option is None else f"{found.growth.option.way} on {found.growth.option.host}"
        console.print(f"chosen: {chosen}: {found.growth.reason}", soft_wrap=True)


def _show_way(console: Console, option: Option) -> None:
    way = f"  {option.way} on {option.host}: {option.packets:,.0f} packets/s"
    if option.obstacle is not None:
        console.print(f"{way} at the most: {option.obstacle}", soft_wrap=True)
        return
    more = f"{option.cores:+.2f} cores and {option.memory_bytes / 1e6:+,.0f} MB against one host"
    late = f", {option.added_ms:.1f} ms for a batch there and back" if option.added_ms else ""
    console.print(f"{way}, {more}, {option.link_bytes / 1e6:,.1f} MB/s between hosts{late}", soft_wrap=True)
    _show_parts(console, option.parts, "    ")


def _show_parts(console: Console, parts: tuple[tuple[str, tuple[Need, ...]], ...], indent: str = "  ") -> None:
    for name, needs in parts:
        console.print(f"{indent}{name}: {sum(need.cores for need in needs):.3g} cores: {_told(needs)}", soft_wrap=True)


def _told(needs: tuple[Need, ...]) -> str:
    """Replicas, those that are alike together."""
    counts: dict[tuple[str, str], int] = {}
    for need in needs:
        key = (need.kind, f"{need.cores:.3g}")
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{count} x {kind} ({cores})" if count > 1 else f"{kind} ({cores})" for (kind, cores), count in counts.items())
