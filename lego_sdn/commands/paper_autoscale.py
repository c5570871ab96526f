"""`lego paper autoscale`: the same load scaled brick by brick, and by whole instances only."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lego_sdn.commands.ending import ends_in_order

FILE = "autoscale"


@dataclass(frozen=True)
class Wanted:
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


@click.command("autoscale", short_help="The same load scaled brick by brick, and by whole instances only.")
@click.argument("captures", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Model; default: learned from the benign part.")
@click.option("--low", type=click.FloatRange(min=1), default=100.0, show_default=True, help="Packets per second before and after.")
@click.option("--high", type=click.FloatRange(min=1), default=500.0, show_default=True, help="Packets per second in between.")
@click.option("--seconds", type=(float, float, float), default=(5.0, 30.0, 15.0), show_default=True, help="Of low, high and low load.")
@click.option("--quota", type=click.FloatRange(0.01, 1), default=0.2, show_default=True, help="Of one core, for every process.")
@click.option("--sla", "sla_ms", type=click.FloatRange(min=1), default=500.0, show_default=True, help="Milliseconds to the score.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True, help="Folder for plot and data.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def autoscale(**given: Any) -> None:
    """Offer a square load of CAPTURES (default: synthetic traffic) twice, and see what each way of scaling takes until the SLA holds again.

    LEGO separates and replicates bricks; an autoscaler of pods starts whole instances. Bricks are slowed down to costs like the paper's.
    Takes two minutes. Needs root. Writes autoscale.png and autoscale.json.
    """
    from lego_sdn.agent import require_root

    wanted = Wanted(**given)
    require_root()
    with ends_in_order(), tempfile.TemporaryDirectory(prefix="lego-") as folder:
        _autoscale(wanted, Path(folder))


def _autoscale(wanted: Wanted, folder: Path) -> None:
    from rich.console import Console

    from lego_sdn.bench.machine import machine
    from lego_sdn.paper import autoscale_show
    from lego_sdn.paper.autoscale import Plan, Square, measure
    from lego_sdn.paper.inputs import inputs, make_folder

    progress = Console(stderr=wanted.as_json, highlight=False)

    def say(line: str) -> None:
        progress.print(line, soft_wrap=True, markup=False)

    out, found = make_folder(wanted.out), inputs(wanted.captures, wanted.model, folder)
    load = Square(wanted.low, wanted.high, wanted.seconds)
    ways = measure(Plan(found, load, folder, wanted.quota, wanted.sla_ms, say=say))
    autoscale_show.draw(ways, out / f"{FILE}.png")
    rests = {"traffic": found.traffic, "quota": wanted.quota, "sla_ms": wanted.sla_ms, "load": load.shape, "machine": machine()}
    data = json.dumps(rests | {"ways": [way.as_dict() for way in ways]})
    (out / f"{FILE}.json").write_text(data + "\n")
    if wanted.as_json:
        click.echo(data)
        return
    autoscale_show.show(ways, progress)
    say(f"drawn: {out / FILE}.png; data: {out / FILE}.json")
