"""`lego bench`: what this machine reaches, stage by stage and as a whole, against what is promised."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.ending import ends_in_order
from lego_sdn.commands.numbers import FASTEST, FiniteRange
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    from lego_sdn.experiments.bench.inputs import Bench

_ROOT = Path(__file__).resolve().parents[2]
QUICK = {"runs": 3, "packets": 100_000, "seconds": 1.0}
FULL = {"runs": 5, "packets": 1_000_000, "seconds": 5.0}
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("bench", short_help="Measure this machine: stages alone and chained.")
@click.argument("rows", metavar="[ROWS]...", nargs=-1)
@click.option("--runs", type=click.IntRange(1, 1000), help=f"Runs of every row, of which the median counts.  [default: {FULL['runs']}]")
@click.option(
    "--packets",
    type=click.IntRange(2000, 100_000_000),
    help=f"Packets of large traffic, addresses of an attack.  [default: {FULL['packets']}]",
)
@click.option("--seconds", type=FiniteRange(0.05, 3600), help=f"Of live traffic for every figure.  [default: {FULL['seconds']:g}]")
@click.option("--rate", type=FiniteRange(100, FASTEST), default=150_000, show_default=True, help="Packets/s that an instance is to hold.")
@click.option("--data", type=_FOLDER, help="Folder of real captures.  [default: LEGO_DATA, ../shared/data, else synthetic traffic]")
@click.option("--oracle", type=_FILE, help="File that defines the statistics.  [default: beside the data]")
@click.option("--quick", is_flag=True, help="Fewer runs of less: figures to look at, not to quote.")
@click.option("--list", "as_list", is_flag=True, help="Only list the rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, at the end.")
def bench(rows: tuple[str, ...], as_list: bool, as_json: bool, **given: Any) -> None:
    """Measure ROWS (all if none is named; "attack" stands for all that begin so) and print each as it is known.

    All of it takes some six minutes, with --quick one. What needs root (an interface, the switch) is skipped without it.
    Exit code 1 if a row could not be measured.
    """
    from rich.text import Text

    from lego_sdn.adapters.terminal.tables import open_console
    from lego_sdn.experiments.bench.groups import all_rows, choose

    wanted = choose(rows)
    if as_list:
        console = open_console()
        for row in all_rows():
            if row.name in wanted:
                console.print(Text(f"{row.name:<24} {row.what} [{row.unit}]"))
        return
    with ends_in_order(), tempfile.TemporaryDirectory(prefix="lego-bench-") as folder:
        failed = _run(_bench(Path(folder), given), wanted, as_json)
    raise click.exceptions.Exit(1 if failed else 0)


def _bench(folder: Path, given: dict[str, Any]) -> Bench:
    from lego_sdn.experiments.bench.inputs import Bench, BenchSizes, find_data, find_oracle

    usual = QUICK if given["quick"] else FULL
    sizes = BenchSizes(rate=given["rate"], **{key: usual[key] if given[key] is None else given[key] for key in usual})
    data = given["data"]
    if data is None:
        data = find_data(Path(os.environ.get("LEGO_DATA", _ROOT.parent / "shared" / "data")))
    elif find_data(data) is None:
        raise click.UsageError(f"--data {data} has no mirai-benign-20000.pcap; leave it away to use synthetic traffic")
    return Bench(sizes, folder, data, find_oracle(given["oracle"], data))


def _run(bench: Bench, wanted: frozenset[str], as_json: bool) -> bool:
    """Measure and print; returns whether a row failed."""
    from lego_sdn.adapters.terminal.tables import open_console
    from lego_sdn.experiments.bench.groups import measure
    from lego_sdn.experiments.bench.show import Show
    from lego_sdn.system.machine import machine

    show, about, results = Show(open_console()), machine(), []
    progress = open_console(stderr=True)
    if not as_json:
        show.machine(about, bench.traffic)
    for result in measure(bench, wanted, lambda group: _begins(progress, group)):
        results.append(result)
        if not as_json:
            show.result(result)
    if as_json:
        sizes = vars(bench.sizes)
        click.echo(json_text({"machine": about, "traffic": bench.traffic, "sizes": sizes, "rows": [one.as_dict() for one in results]}))
    else:
        show.cost(results)
    return any(result.failed for result in results)


def _begins(progress: Any, group: str) -> None:
    """What is being measured, in a line that the next output writes over; only on a terminal."""
    if progress.is_terminal:
        progress.print(f"measuring: {group} ...", style="dim", end="\r")
