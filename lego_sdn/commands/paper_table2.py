"""`lego paper table2`: what a split by each header group does to the scores, through the live system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lego_sdn.commands import paper_run
from lego_sdn.commands.numbers import FASTEST, FiniteRange
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.json_text import json_text


@dataclass(frozen=True)
class Table2Options:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    replicas: int
    pps: float
    as_json: bool
    partial: bool


@click.command("table2", short_help="Table II through the live system.")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=paper_run.FILE)
@paper_run.model
@click.option("--replicas", type=click.IntRange(2, 16), default=3, show_default=True, help="Instances behind the switch.")
@click.option("--pps", type=FiniteRange(1, FASTEST), default=4000.0, show_default=True, help="Packets per second.")
@PARTIAL
@paper_run.as_json
def table2(**given: Any) -> None:
    """Replay CAPTURES to instances behind Open vSwitch, split by one header group after the other, and compare scores with an unsplit run.

    Beside it stands what `lego verify --table2` computes, which divides keys by a hash that a switch does not have. Needs root. Exit code 1
    if a packet was lost, if a split gave other scores than its simulation, or if any score differs with shadows.
    """
    wanted = Table2Options(**given)
    with paper_run.experiment() as folder:
        shown, warnings = _table2(wanted, folder)
    click.echo(json_text(shown)) if wanted.as_json else _show(shown)
    holds = all(map(_holds, shown["rows"])) and shown["rows"][-1]["scores_different"] == 0
    end(warnings, wanted.partial, 0 if holds else 1)


def _holds(row: dict[str, Any]) -> bool:
    return not (row["missing"] or row["twice"] or row["unlike_simulated"])


def _table2(wanted: Table2Options, folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    from bricks.offline.verify import verify
    from lego_sdn.commands.verify import OURS, TABLE, table_splits
    from lego_sdn.experiments.paper.inputs import inputs
    from lego_sdn.experiments.paper.table2 import Table2Plan, measure, offline
    from lego_sdn.system.machine import machine

    output, found = paper_run.Output(None, as_json=True), inputs(wanted.captures, wanted.model, folder)
    warn(found.warnings)
    plan = Table2Plan(found, wanted.replicas, wanted.pps, folder, output.say)
    rows = measure(plan, TABLE, OURS)
    simulated = verify([*found.captures], (model := offline(found).model), table_splits(model, wanted.replicas))
    ratios = [1.0, *(run.found.total / simulated.unsplit.total if simulated.unsplit.total else 1.0 for run in simulated.runs)]
    rows = [row | {"ratio_verify": ratio} for row, ratio in zip(rows, ratios, strict=True)]
    shown = {"traffic": found.traffic, "replicas": wanted.replicas, "pps": wanted.pps, "rows": rows, "machine": machine()}
    return shown, found.warnings


def _show(shown: dict[str, Any]) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    names = ("split by", "mean score", "of Original", "lego verify", "off by > 10 %", "alerts", "lost", "missing", "unlike simulated")
    table = Grid(*names, title=f"Table II, live: {shown['traffic']}, instances: {shown['replicas']}", left=("split by",))
    for row in shown["rows"]:
        cells = [f"{row['mean_score']:.6g}", f"{row['ratio']:.4f}", f"{row['ratio_verify']:.4f}", f"{row['share_off_coarse']:.2%}"]
        table.add_row(row["split"], *cells, *(f"{row[key]:,}" for key in ("alerts", "alerts_lost", "missing", "unlike_simulated")))
    console, about = open_console(), shown["machine"]
    console.print(table)
    console.print(f"{about['cpu']}, {about['cores']} cores; no CPU quotas; {shown['pps']:,.0f} packets/s", soft_wrap=True)
