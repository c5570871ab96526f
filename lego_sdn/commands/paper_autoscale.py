"""`lego paper autoscale`: the same load scaled brick by brick, and by whole instances only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lego_sdn.commands import paper_run
from lego_sdn.commands.numbers import FASTEST, LONGEST_S, FiniteRange
from lego_sdn.commands.partial import PARTIAL, end, warn


@dataclass(frozen=True)
class AutoscaleOptions:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    low: float
    high: float
    seconds: tuple[float, float, float]
    quota: float
    sla_ms: float
    out: Path
    as_json: bool
    partial: bool


@click.command("autoscale", short_help="The same load scaled brick by brick, and by whole instances only.")
@paper_run.captures
@paper_run.model
@click.option("--low", type=FiniteRange(1, FASTEST), default=100.0, show_default=True, help="Packets per second before and after.")
@click.option("--high", type=FiniteRange(1, FASTEST), default=500.0, show_default=True, help="Packets per second in between.")
@click.option(
    "--seconds",
    type=(FiniteRange(0, LONGEST_S), FiniteRange(0, LONGEST_S), FiniteRange(0, LONGEST_S)),
    default=(5.0, 30.0, 15.0),
    show_default=True,
    help="Of low, high and low load.",
)
@click.option("--quota", type=FiniteRange(0.01, 1), default=0.2, show_default=True, help="Of one core, for every process.")
@click.option("--sla", "sla_ms", type=FiniteRange(1, 1e3 * LONGEST_S), default=500.0, show_default=True, help="Milliseconds to the score.")
@paper_run.out
@PARTIAL
@paper_run.as_json
def autoscale(**given: Any) -> None:
    """Offer a square load of CAPTURES (default: synthetic traffic) twice, and see what each way of scaling takes until the SLA holds again.

    LEGO separates and replicates bricks; an autoscaler of pods starts whole instances. Bricks are slowed down to costs like the paper's.
    Takes two minutes. Needs root. Writes autoscale.png and autoscale.json.
    """
    wanted = AutoscaleOptions(**given)
    with paper_run.experiment() as folder:
        _autoscale(wanted, folder)


def _autoscale(wanted: AutoscaleOptions, folder: Path) -> None:
    from lego_sdn.experiments.paper import autoscale_show
    from lego_sdn.experiments.paper.autoscale import AutoscalePlan, Square, measure
    from lego_sdn.experiments.paper.inputs import inputs
    from lego_sdn.system.machine import machine

    output, found = paper_run.Output(wanted.out, wanted.as_json, "autoscale"), inputs(wanted.captures, wanted.model, folder)
    warn(found.warnings)
    output.keep_apart(*wanted.captures, wanted.model)
    load = Square(wanted.low, wanted.high, wanted.seconds)
    ways = measure(AutoscalePlan(found, load, folder, wanted.quota, wanted.sla_ms, say=output.say))
    rests = {"traffic": found.traffic, "quota": wanted.quota, "sla_ms": wanted.sla_ms, "load": load.shape, "machine": machine()}
    output.give(
        rests | {"ways": [way.as_dict() for way in ways]},
        lambda plot: autoscale_show.draw(ways, plot),
        lambda console: autoscale_show.show(ways, console),
    )
    end(found.warnings, wanted.partial)
