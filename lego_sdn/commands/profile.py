"""`lego profile`: every brick of an NF executed on real packets, for the cost model that goes with a model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import MOST_PACKETS
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import whole_number

if TYPE_CHECKING:
    from bricks.models.model_file import Model
    from lego_sdn.core.cost.measurements import Measured
    from lego_sdn.core.cost.model import BrickCost, Costs

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class ProfileSizes(click.ParamType):
    """Batch sizes: whole numbers with commas between them."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]
        sizes = [number for part in parts if (number := whole_number(part)) is not None and 1 <= number <= 65_536]
        if len(sizes) != len(parts):
            self.fail(f"{value!r} is no list of batch sizes from 1 to 65536, as in 1,16,64,256.", param, ctx)
        return tuple(sorted(set(sizes)))


@click.command("profile", short_help="Measure what each brick costs on this machine.")
@click.argument("capture", type=_FILE)
@click.option("--nf", default="kitsune", show_default=True, help="Network function.")
@click.option("--model", "model_file", type=_FILE, help="The costs are stored beside it.  [default: as configured]")
@click.option(
    "--config", "path", type=click.Path(dir_okay=False), envvar="LEGO_CONFIG", help="Configuration file (YAML) that names a model."
)
@click.option("--batches", type=ProfileSizes(), default="1,16,64,256", show_default=True, help="Batch sizes to measure.")
@click.option("--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Runs, of which the median counts.")
@click.option(
    "--packets", type=click.IntRange(1, MOST_PACKETS), default=20_000, show_default=True, help="Packets of the capture to use, at most."
)
@PARTIAL
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def profile(capture: Path, nf: str, model_file: Path | None, path: str | None, as_json: bool, partial: bool, **given: Any) -> None:
    """Execute every brick of an NF on the packets of CAPTURE (pcap or pcapng), at several batch sizes.

    Shown are CPU, memory and what a brick passes on to the next, by batch size (the median ± the middle half of runs or batches), and what
    the cost model predicts from that. The costs are stored in MODEL.costs.json, where the controller finds them; without a model, of
    --model or of the configuration, one is learned from the capture for this time, and nothing is stored.
    """
    from lego_sdn.adapters.files import costfile
    from lego_sdn.adapters.files.outputs import output_path
    from lego_sdn.profile.costs import ProfileOptions
    from lego_sdn.profile.costs import profile as measure

    model_file = model_file or _configured(path)
    if model_file is not None:
        output_path(costfile.path_of(model_file), (capture, model_file))
    else:
        click.echo("no --model and none configured: one is learned from the capture, and the costs will not be stored", err=True)
    with tempfile.TemporaryDirectory(prefix="lego-profile-") as folder:
        costs, warnings = measure(capture, _model(capture, model_file, Path(folder)), ProfileOptions(nf, **given), _say)
    warn(warnings)
    stored = costfile.write(model_file, costs) if model_file is not None else None
    if as_json:
        click.echo(json_text({"stored": None if stored is None else str(stored), "costs": costs.to_dict(), "predicted": predicted(costs)}))
    else:
        _show(costs, stored)
    end(warnings, partial)


def _configured(path: str | None) -> Path | None:
    """The model that a configuration file names."""
    from lego_sdn.adapters.files import configfile

    model = configfile.load(path, follows_policy=False).model if path else None
    return Path(model) if model else None


def _model(capture: Path, model_file: Path | None, folder: Path) -> Model:
    from bricks.models.model_file import load_model
    from lego_sdn.experiments.run import learn

    return load_model(model_file) if model_file is not None else learn((capture,), folder / "learned.model")


def _say(what: str) -> None:
    """What is being measured, in a line that the next one writes over; only on a terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.print(f"measuring: {what:<30}", style="dim", end="\r")


def predicted(costs: Costs) -> list[dict[str, Any]]:
    """What an instance of each layout can take, and which brick decides; plain values."""
    from lego_sdn.core.cost.capacity import capacity, chained, further_replica, separate

    rows = []
    apart = separate(costs.kinds)
    replica = further_replica(costs, apart, capacity(costs, apart).slowest)
    for name, layout in (("chained", chained(costs.kinds)), ("separate", apart), ("one replica more", replica.layout)):
        found = capacity(costs, layout)
        cores = sum(process.cores for process in layout)
        rows.append({"layout": name, "cores": cores, "packets_per_s": found.packets, "full": list(found.full), "slowest": found.slowest})
    return rows


def _show(costs: Costs, stored: Path | None) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    console = open_console()
    about = costs.machine
    console.print(f"{about['cpu']}, {about['cores']} cores; {about['packets']:,} packets of {about['capture']}, {about['runs']} runs")
    names = ("brick", "batch", "us/packet", "us/batch", "memory MB", "rows out", "bytes/row")
    table = Grid(*names, title=f"{costs.nf}, {costs.layout}: CPU and memory of each brick", left=("brick",), keys=2)
    for brick in costs.bricks:
        for at, one in enumerate(brick.measured):
            table.add_row(*_row(brick, one, at == 0))
        table.add_section()
    console.print(table)
    for brick in costs.bricks:
        console.print(f"{brick.kind:<22} {brick.batch_us:8.1f} us a batch + {brick.packet_us:8.3f} us a packet")
    told = (("another process", costs.ring), ("another host", costs.wire))
    console.print(f"a process by itself: {costs.process_bytes / 1e6:.1f} MB")
    console.print("; ".join(f"to {where}: {one.batch_us:.1f} us a batch + {1e3 * one.byte_us:.3f} us a kB" for where, one in told))
    for row in predicted(costs):
        console.print(
            f"predicted, {row['layout']} ({row['cores']:g} cores): {row['packets_per_s']:,.0f} packets/s, {row['slowest']} decides"
        )
    console.print(f"stored in {stored}" if stored is not None else "not stored: name the model with --model", soft_wrap=True)


def _row(brick: BrickCost, one: Measured, first: bool) -> tuple[str, ...]:
    figures = (
        f"{one.us / one.batch:.3f}",
        f"{one.us:.1f} ± {one.spread:.0%}",
        f"{one.memory_bytes / 1e6:.1f} ± {one.memory_spread:.0%}",
        f"{one.items_out:.3g} ± {one.items_spread:.0%}",
        f"{one.bytes_out:,.0f} ± {one.bytes_spread:.0%}",
    )
    return brick.kind if first else "", str(one.batch), *figures
