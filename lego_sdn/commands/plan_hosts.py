"""`lego plan --host`: on which hosts the bricks of an NF would run at a rate, and how it would grow onto the second one."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from lego_sdn.core.growth import Choice, Option
    from lego_sdn.core.placement import Host, Need
    from lego_sdn.core.sites import Sites

FORM = "NAME=CORES[:FREE_CORES[:FREE_GB]]"
MOST_CORES = 64  # of a host that is asked about


class HostType(click.ParamType):
    """A host: its cores, how many of them are free (all unless told), and the memory that is free (not looked at unless told)."""

    name = FORM

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Host:
        from lego_sdn.core.placement import Host

        found = re.fullmatch(r"([\w.-]+)=([^:]+)(?::([^:]+))?(?::([^:]+))?", value)
        if found is None:
            self.fail(f"{value!r} is no host: wanted {FORM}, for example a=8:4:16", param, ctx)
        name, *texts = found.groups()
        figures = [None if text is None else _number(text) for text in texts]
        if any(text is not None and figure is None for text, figure in zip(texts, figures, strict=True)):
            self.fail(f"{value!r}: cores and GB are numbers from 0 on, for example a=8:4:16", param, ctx)
        cores, free, gigabytes = figures
        if not cores or cores > MOST_CORES:
            self.fail(f"{value!r}: a host has more than 0 cores, and {MOST_CORES} at most", param, ctx)
        if free is not None and free > cores:
            self.fail(f"{value!r}: {free:g} cores cannot be free of {cores:g}", param, ctx)
        if gigabytes == 0:
            self.fail(f"{value!r}: with no memory free, nothing can run there", param, ctx)
        return Host(name, cores, math.inf if gigabytes is None else 1e9 * gigabytes, 0.0 if free is None else cores - free)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?|\.\d+", text, re.ASCII) else None


def facts(found: Sites, packets: float) -> dict[str, Any]:
    """For JSON."""
    placement = found.placement
    hosts = [{"host": name, "replicas": [asdict(need) for need in needs]} for name, needs in placement.parts]
    crossing = {"carried_bytes_per_s": placement.carried_bytes, "carried_cores": placement.carried_cores}
    growth = None if found.choice is None else _growth(found, found.choice)
    return {"packets_per_s": packets, "hosts": hosts} | crossing | {"growth": growth}


def _growth(found: Sites, choice: Choice) -> dict[str, Any]:
    start = None if found.start is None else {"packets_per_s": found.start.packets, "layout": [asdict(one) for one in found.start.layout]}
    chosen = None if choice.option is None else _option(choice.option)
    return {"from": start, "chosen": chosen, "reason": choice.reason, "options": [_option(one) for one in choice.options]}


def _option(option: Option) -> dict[str, Any]:
    return asdict(option) | {"needs": [{"host": name} | asdict(need) for name, need in option.needs]}


def show(console: Console, found: Sites, packets: float) -> None:
    placement = found.placement
    console.print(f"placement at {packets:,.0f} packets/s:")
    for name, needs in placement.parts:
        console.print(f"  {name}: {sum(need.cores for need in needs):.3g} cores: {_told(needs)}", soft_wrap=True)
    if placement.carried_bytes:
        console.print(f"  between hosts: {placement.carried_bytes / 1e6:,.1f} MB/s, {placement.carried_cores:.3g} cores for carrying them")
    if found.choice is not None:
        _show_growth(console, found, found.choice)


def _show_growth(console: Console, found: Sites, choice: Choice) -> None:
    if found.start is not None:
        console.print(
            f"an instance with {found.start.layout[0].cores:.3g} cores for each brick takes {found.start.packets:,.0f} packets/s; to grow:"
        )
    for option in choice.options:
        mark = "*" if option is choice.option else "-"
        console.print(f"  {mark} {option.words}", soft_wrap=True)
        for host in dict.fromkeys(name for name, _ in option.needs) if option.obstacle is None else ():
            console.print(f"      {host}: {_told(tuple(need for name, need in option.needs if name == host))}", soft_wrap=True)
    console.print(f"{'cannot grow' if choice.option is None else 'chosen'}: {choice.reason}", soft_wrap=True)


def _told(needs: tuple[Need, ...]) -> str:
    """Replicas, those that are alike together."""
    counts: dict[tuple[str, str], int] = {}
    for need in needs:
        key = (need.kind, f"{need.cores:.3g}")
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{count} x {kind} ({cores})" if count > 1 else f"{kind} ({cores})" for (kind, cores), count in counts.items())
