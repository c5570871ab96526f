"""Both ways of scaling, drawn and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lego_sdn.adapters.terminal.tables import Grid
from lego_sdn.experiments.paper.autoscale import AutoscalePlan, ScalingWay
from lego_sdn.system.machine import machine

COLORS = "tab:blue", "tab:orange"


def draw(ways: Sequence[ScalingWay], path: Path) -> None:
    """Delay, CPU and memory over time, one below the other."""
    from lego_sdn.experiments.paper.plots import panels

    panels(
        path, [lambda axes: _delay(axes, ways), lambda axes: _cores(axes, ways), lambda axes: _memory(axes, ways)], rests_on(ways[0].plan)
    )


def rests_on(plan: AutoscalePlan) -> str:
    """On what the figures rest, in a line."""
    about = machine()
    return f"{about['cpu']}, {about['cores']} cores; every process has a CPU quota of {plan.quota:g} cores; {plan.inputs.traffic}"


def _delay(axes: Any, ways: Sequence[ScalingWay]) -> None:
    plan = ways[0].plan
    for way, color in zip(ways, COLORS, strict=True):
        axes.plot([one.at for one in way.windows], [one.delay_ms / 1e3 for one in way.windows], label=way.name, color=color)
    axes.axhline(plan.sla_ms / 1e3, color="tab:red", linestyle="--", linewidth=1, label=f"SLA, {plan.sla_ms:g} ms")
    axes.set_title(f"load {plan.load.low:g} -> {plan.load.high:g} -> {plan.load.low:g} packets/s", fontsize="medium")
    axes.set_ylabel("seconds from interface\nto score, 99 %")


def _cores(axes: Any, ways: Sequence[ScalingWay]) -> None:
    for way, color in zip(ways, COLORS, strict=True):
        axes.step([s.at for s in way.samples], [s.cores for s in way.samples], where="post", label=way.name, color=color)
    axes.set_ylabel("cores given")


def _memory(axes: Any, ways: Sequence[ScalingWay]) -> None:
    for way, color in zip(ways, COLORS, strict=True):
        axes.plot([s.at for s in way.samples], [s.memory / 1e6 for s in way.samples], label=way.name, color=color)
    axes.set_ylabel("memory, MB")
    axes.set_xlabel("seconds")


def show(ways: Sequence[ScalingWay], console: Console) -> None:
    """The table, and what it rests on."""
    plan = ways[0].plan
    title = f"load {plan.load.shape} (seconds:packets/s), SLA {plan.sla_ms:g} ms for 99 %"
    table = Grid("", *(way.name for way in ways), title=title, left=("",))
    facts = [way.as_dict() for way in ways]
    for what, cell in ROWS:
        table.add_row(what, *(cell(one) for one in facts))
    console.print(table)
    for fact in facts:
        for text in fact["sla_events"]:
            console.print(f"the controller, {fact['way']}: {text}", soft_wrap=True, markup=False)
    console.print(rests_on(plan), soft_wrap=True)


def _restored(fact: dict[str, Any]) -> str:
    return "never" if fact["restored_s"] is None else f"{fact['restored_s']:.1f} s"


ROWS = (
    ("time until the SLA holds again", _restored),
    ("windows in which it did not hold", lambda fact: f"{fact['windows_broken']} of {fact['windows']}"),
    ("longest delay (99 % of a window)", lambda fact: f"{fact['worst_ms'] / 1e3:.2f} s"),
    ("packets scored", lambda fact: f"{fact['scored']:,}"),
    ("CPU seconds given", lambda fact: f"{fact['cpu_given_s']:.1f}"),
    ("CPU seconds used", lambda fact: f"{fact['cpu_used_s']:.1f}"),
    ("most cores", lambda fact: f"{fact['most_cores']:.2f}"),
    ("memory, mean", lambda fact: f"{fact['memory_mean'] / 1e6:.0f} MB"),
    ("memory, most", lambda fact: f"{fact['memory_most'] / 1e6:.0f} MB"),
    ("most processes", lambda fact: f"{fact['most_processes']}"),
    ("most instances", lambda fact: f"{fact['most_instances']}"),
)
