"""Figure 4, drawn and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lego_sdn.adapters.terminal.tables import Grid
from lego_sdn.experiments.paper.figure4 import GROWN, MONOLITH, POOLED, RESTS_ON, SEPARATE, Figure4Outcome, Figure4Run
from lego_sdn.system.machine import machine

ENOUGH = 0.95  # of what is offered: whoever takes more could perhaps take still more


def draw(outcomes: Sequence[Figure4Outcome], path: Path, traffic: str) -> None:
    """A panel for each outcome: packets/s over time of both runs, from where their first phases begin."""
    from lego_sdn.experiments.paper.plots import panels

    panels(path, [lambda axes, one=one: _panel(axes, one) for one in outcomes], rests_on(outcomes, traffic))


def rests_on(outcomes: Sequence[Figure4Outcome], traffic: str) -> str:
    """On which machine and quotas the figures rest, in a line."""
    about, quotas = machine(), ", ".join(f"{one.setting.quota:g} ({one.setting.name} costs)" for one in outcomes)
    return f"{about['cpu']}, {about['cores']} cores; an emulated core is a CPU quota of {quotas} cores; {traffic}"


def _panel(axes: Any, outcome: Figure4Outcome) -> None:
    setting = outcome.setting
    axes.set_title(f"{setting.name} costs, every emulated core {setting.quota:g} of one", fontsize="medium")
    for run, label, color in ((outcome.monolith, MONOLITH, "tab:gray"), (outcome.lego, SEPARATE, "tab:blue")):
        shown = [s for s in run.samples if s.at >= run.since]
        axes.plot([s.at - run.since for s in shown], [s.scored for s in shown], label=label, color=color)
    changed = _begins(outcome.monolith, POOLED)
    axes.axvline(changed, color="tab:gray", linestyle=":", label="monolith: one thread gets all five quotas")
    axes.axvline(outcome.at - outcome.lego.since, color="tab:blue", linestyle=":", label=f"LEGO replicates {outcome.replicated}")
    axes.axhline(outcome.expected[1], color="tab:green", linestyle="--", linewidth=1, label="predicted with the replica")
    axes.set_xlabel("seconds")
    axes.set_ylabel("packets/s scored")


def _begins(run: Figure4Run, name: str) -> float:
    """When a phase began, its first seconds included."""
    names = [phase.name for phase in run.phases]
    return run.phases[names.index(name) - 1].samples[-1].at


def show(outcomes: Sequence[Figure4Outcome], traffic: str, console: Console) -> None:
    """Tables of the phases and of the ratios, and what they rest on."""
    for outcome in outcomes:
        _phases(outcome, console)
        costs = ", ".join(f"{kind} {us:.3g}" for kind, us in outcome.cost_us.items())
        console.print(f"profiled, us/packet: {costs}; all over the slowest: {outcome.sum_over_slowest:.2f}", soft_wrap=True)
        told = ", ".join(f"{kind} {us:.3g}" for kind, us in outcome.in_place_us.items())
        console.print(f"in place, us/packet: {told}", soft_wrap=True)
        before, after = outcome.profiled
        console.print(f"predicted: by {RESTS_ON}; by the profile alone {before:,.0f} and {after:,.0f} packets/s", soft_wrap=True)
        if outcome.packets(GROWN) > ENOUGH * outcome.setting.pps:
            console.print(f"the {outcome.setting.pps:,.0f} packets/s that are offered may have been the limit: choose a smaller --quota")
        console.print(f"the controller: {outcome.said}", soft_wrap=True, markup=False)
    console.print(rests_on(outcomes, traffic), soft_wrap=True)


def _phases(outcome: Figure4Outcome, console: Console) -> None:
    names = ("", "cores, emulated", "packets/s", "of the monolith", "predicted")
    table = Grid(*names, title=f"Figure 4, {outcome.setting.name} costs", left=("",))
    base, quota = outcome.packets(MONOLITH), outcome.setting.quota
    predicted = dict(zip((SEPARATE, GROWN), outcome.expected, strict=True))
    for phase in (*outcome.monolith.phases, *outcome.lego.phases):
        cores = "1 of 5 (one thread)" if phase.name == MONOLITH else f"{phase.cores / quota:.0f}"
        if phase.name == POOLED:
            cores = "one, 5 times as fast"
        told = f"{predicted[phase.name]:,.0f}" if phase.name in predicted else ""
        table.add_row(phase.name, cores, f"{phase.packets:,.0f}", f"{phase.packets / base:.2f}", told)
    console.print(table)
