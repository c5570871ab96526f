"""`lego paper figure4`: throughput of the monolith, of LEGO with the same CPU, and of LEGO with the replica that it decides on."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.ending import ends_in_order

if TYPE_CHECKING:
    from lego_sdn.paper.figure4 import Outcome

FILE = "figure4"


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    costs: str
    quota: float | None
    seconds: float
    out: Path
    as_json: bool


@click.command("figure4", short_help="Throughput of the monolith, of LEGO, and of LEGO with one more replica.")
@click.argument("captures", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Model; default: learned from the benign part.")
@click.option("--costs", type=click.Choice(("native", "paper", "both")), default="both", show_default=True, help="Of the bricks.")
@click.option(
    "--quota", type=click.FloatRange(0.01, 1), help="Of one core, for every process: an emulated core.  [default: paper 0.2, native 0.02]"
)
@click.option("--seconds", type=click.FloatRange(min=2), default=10.0, show_default=True, help="Of each phase; a quarter is not counted.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True, help="Folder for plot and data.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def figure4(**given: Any) -> None:
    """Replay CAPTURES (default: synthetic traffic) faster than anyone can take them, and measure what is scored.

    First the monolith (all bricks in one thread) with one emulated core, all that a thread can use of five, then with the time of five for
    its one thread; then LEGO with a core for each of five bricks, until its controller replicates the bottleneck on a sixth by itself.
    Takes about a minute for each kind of costs. Needs root. Writes figure4.png and figure4.json.
    """
    from lego_sdn.agent import require_root

    wanted = Wanted(**given)
    require_root()
    with ends_in_order(), tempfile.TemporaryDirectory(prefix="lego-") as folder:
        _figure4(wanted, Path(folder))


def _figure4(wanted: Wanted, folder: Path) -> None:
    from rich.console import Console

    from lego_sdn.paper import figure4_show
    from lego_sdn.paper.figure4 import Plan, measure, native, paper
    from lego_sdn.paper.inputs import inputs, make_folder

    progress = Console(stderr=wanted.as_json, highlight=False)
    out, found = make_folder(wanted.out), inputs(wanted.captures, wanted.model, folder)

    def say(line: str) -> None:
        progress.print(line, soft_wrap=True, markup=False)

    plan = Plan(found.captures, found.model, found.layout, folder, wanted.seconds, wanted.seconds / 4, say)
    settings = {"native": [native], "paper": [paper], "both": [native, paper]}[wanted.costs]
    outcomes = [measure(setting(wanted.quota), plan) for setting in settings]
    figure4_show.draw(outcomes, out / f"{FILE}.png", found.traffic)
    data = _data(outcomes, found.traffic)
    (out / f"{FILE}.json").write_text(data + "\n")
    if wanted.as_json:
        click.echo(data)
        return
    figure4_show.show(outcomes, found.traffic, progress)
    say(f"drawn: {out / FILE}.png; data: {out / FILE}.json")


def _data(outcomes: list[Outcome], traffic: str) -> str:
    return json.dumps({"traffic": traffic, "outcomes": [one.as_dict() for one in outcomes]})
