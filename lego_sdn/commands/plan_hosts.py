"""`lego plan --host`: on which hosts the bricks of an NF would run at a rate."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from lego_sdn.core.placement import Host, Need, Placement

FORM = "NAME=CORES[:FREE_CORES[:FREE_GB[:GBITS]]]"
MOST_CORES = 64  # of a host that is asked about


class HostType(click.ParamType):
    """A host: its cores, how many of them are free (all unless told), the memory that is free (not looked at unless told), and the Gbit/s
    of its link to other hosts (1 unless told)."""

    name = FORM

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Host:
        from lego_sdn.core.placement import Host

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
        return Host(name, cores, memory, 0.0 if free is None else cores - free, link_bytes=link)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?|\.\d+", text, re.ASCII) else None


def facts(placement: Placement, packets: float) -> dict[str, Any]:
    """For JSON."""
    hosts = [{"host": name, "replicas": [asdict(need) for need in needs]} for name, needs in placement.parts]
    crossing = {"carried_bytes_per_s": placement.carried_bytes, "carried_cores": placement.carried_cores}
    return {"packets_per_s": packets, "hosts": hosts} | crossing


def show(console: Console, placement: Placement, packets: float) -> None:
    console.print(f"placement at {packets:,.0f} packets/s:")
    for name, needs in placement.parts:
        console.print(f"  {name}: {sum(need.cores for need in needs):.3g} cores: {_told(needs)}", soft_wrap=True)
    if placement.carried_bytes:
        console.print(f"  between hosts: {placement.carried_bytes / 1e6:,.1f} MB/s, {placement.carried_cores:.3g} cores for carrying them")


def _told(needs: tuple[Need, ...]) -> str:
    """Replicas, those that are alike together."""
    counts: dict[tuple[str, str], int] = {}
    for need in needs:
        key = (need.kind, f"{need.cores:.3g}")
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{count} x {kind} ({cores})" if count > 1 else f"{kind} ({cores})" for (kind, cores), count in counts.items())
