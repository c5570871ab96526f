"""`lego paper figure4`: throughput of the monolith, of LEGO with the same CPU, and of LEGO with the replica that it decides on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lego_sdn.commands import paper_run
from lego_sdn.commands.numbers import LONGEST_S, FiniteRange
from lego_sdn.commands.partial import PARTIAL, end, warn

PROFILED = 9  # runs of the pre-execution: other load on the machine must not last for most of them


@dataclass(frozen=True)
class Figure4Options:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    costs: str
    quota: float | None
    seconds: float
    out: Path
    as_json: bool
    partial: bool


@click.command("figure4", short_help="Throughput of the monolith, of LEGO, and of LEGO with one more replica.")
@paper_run.captures
@paper_run.model
@click.option("--costs", type=click.Choice(("native", "paper", "both")), default="both", show_default=True, help="Of the bricks.")
@click.option(
    "--quota", type=FiniteRange(0.01, 1), help="Of one core, for every process: an emulated core.  [default: paper 0.2, native 0.02]"
)
@click.option("--seconds", type=FiniteRange(2, LONGEST_S), default=10.0, show_default=True, help="Of each phase; a quarter is not counted.")
@paper_run.out
@PARTIAL
@paper_run.as_json
def figure4(**given: Any) -> None:
    """Replay CAPTURES (default: synthetic traffic) faster than anyone can take them, and measure what is scored.

    First the monolith (all bricks in one thread) with one emulated core, all that a thread can use of five, then with the time of five for
    its one thread; then the cost of each brick in its place, for the prediction; then LEGO with a core for each of five bricks, until its
    controller replicates the bottleneck on a sixth by itself.
    Takes about two minutes for each kind of costs. Needs root. Writes figure4.png and figure4.json.
    """
    wanted = Figure4Options(**given)
    with paper_run.experiment() as folder:
        _figure4(wanted, folder)


def _figure4(wanted: Figure4Options, folder: Path) -> None:
    from bricks.models.model_file import load_model
    from lego_sdn.experiments.paper import figure4_show
    from lego_sdn.experiments.paper.figure4 import NF, Figure4Plan, measure, native, paper
    from lego_sdn.experiments.paper.inputs import inputs
    from lego_sdn.profile.costs import ProfileOptions as Profile
    from lego_sdn.profile.costs import profile

    output, found = paper_run.Output(wanted.out, wanted.as_json, "figure4"), inputs(wanted.captures, wanted.model, folder)
    warn(found.warnings)
    output.keep_apart(*wanted.captures, wanted.model)
    output.say("pre-executing every brick for the cost model")
    costs, _ = profile(found.captures[0], load_model(found.model), Profile(NF, runs=PROFILED))
    plan = Figure4Plan(found.captures, found.model, found.layout, folder, costs, wanted.seconds, wanted.seconds / 4, output.say)
    settings = {"native": [native], "paper": [paper], "both": [native, paper]}[wanted.costs]
    outcomes = [measure(setting(wanted.quota), plan) for setting in settings]
    output.give(
        {"traffic": found.traffic, "outcomes": [one.as_dict() for one in outcomes]},
        lambda plot: figure4_show.draw(outcomes, plot, found.traffic),
        lambda console: figure4_show.show(outcomes, found.traffic, console),
    )
    end(found.warnings, wanted.partial)
