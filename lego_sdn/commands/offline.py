"""`lego features`, `lego train`, `lego score`: captures in, arrays and models out, without a network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import MOST_PACKETS
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.config import STREAMS_MOST
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    from bricks.offline.scoring import CaptureSummary
    from lego_sdn.core.nf.network_function import NetworkFunction

ESTIMATORS = ("tree", "forest", "svm", "neighbours", "network", "logistic", "bayes")  # of bricks/learning/supervised.py
_PATIENCE_S = 1.0  # before a bar appears

_captures = click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(dir_okay=False))
_out = click.option("--out", required=True, type=click.Path(dir_okay=False), help="File to write.")
_json = click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
STREAMS = click.option(
    "--streams",
    type=click.IntRange(8, STREAMS_MOST),
    default=1_000_000,
    show_default=True,
    help="Bound of the state: streams of each kind.",
)


NF = click.option("--nf", default="kitsune", show_default=True, help="Network function.")


def check_layout(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from bricks.nfs.registry import load

    layouts = load("kitsune").layouts
    if value not in layouts:
        raise click.BadParameter(f"{value!r} is unknown; there are {', '.join(layouts)}.")
    return value


def known_layout(function: NetworkFunction, layout: str | None) -> str:
    """The layout that is asked for, or the first. Bad use if the NF has none of this name."""
    if layout is not None and layout not in function.layouts:
        raise click.BadParameter(f"{layout!r} is unknown; there are {', '.join(function.layouts)}.", param_hint="'--layout'")
    return function.layouts[0] if layout is None else layout


_layout = click.option("--layout", help="Feature layout.  [default: the first of the NF]")


@click.command("features", short_help="Write the features of every packet of a capture.")
@_captures
@_out
@NF
@_layout
@STREAMS
@PARTIAL
@_json
def features(captures: tuple[str, ...], out: str, nf: str, layout: str | None, streams: int, **how: bool) -> None:
    """Write the features of every packet of the captures (one time line): a .npy file, float64 [packets, features]."""
    from bricks.nfs.registry import load
    from bricks.offline.any_nf import keyed_brick
    from bricks.offline.scoring import write_features
    from lego_sdn.adapters.files.outputs import output_path

    function = load(nf)
    layout = known_layout(function, layout)
    width, brick, target = len(function.extractor(layout).features), keyed_brick(function, layout, streams), output_path(out, captures)
    with progress_bar("features") as progress:
        summary = write_features(list(captures), target, brick, width, progress)
    summary.facts = {"layout": layout, "features": width, **summary.facts, "out": out}
    _show(summary, how, f"{summary.packets:,} packets, {summary.facts['features']} features each: {out}")


@click.command("train", short_help="Learn a model from a capture.")
@_captures
@_out
@NF
@_layout
@click.option("--fm-grace", type=int, help="Packets that teach the feature map, less one.  [default: 5000]")
@click.option("--ad-grace", type=int, help="Packets after them that teach the autoencoders.  [default: 50000]")
@click.option("--max-size", type=int, default=10, show_default=True, help="Most features of one autoencoder.")
@click.option("--seed", type=int, default=1234, show_default=True, help="Of the weights before training.")
@click.option("--reference-numerics", is_flag=True, help="Ranges as in the public implementation, for comparison with it.")
@click.option(
    "--label", multiple=True, metavar="NAME=ADDRESS[@PACKET]", help="Class of this source's packets, from a packet on; may be repeated."
)
@click.option("--estimator", type=click.Choice(ESTIMATORS), default="forest", show_default=True, help="Of an NF that learns from labels.")
@PARTIAL
@_json
def train(captures: tuple[str, ...], out: str, nf: str, **given: Any) -> None:
    """Learn a model from ordinary traffic: from the first packets of the captures (one time line).

    An NF with a classifier (--nf doshi) learns from all packets and from labels (--label), and takes no options of Kitsune.
    If neither --fm-grace nor --ad-grace is given and there are fewer packets than they ask for by default, all there are are used.
    """
    from bricks.nfs.registry import load
    from lego_sdn.adapters.files.outputs import output_path
    from lego_sdn.commands import classified

    target, function = output_path(out, captures), load(nf)
    given["layout"] = known_layout(function, given["layout"])
    how = {name: given.pop(name) for name in ("as_json", "partial")}
    if nf == "kitsune":
        classified.refuse(given, {"label": (), "estimator": "forest"}, nf)
        summary, text = _train_kitsune(captures, target, given)
    else:
        with progress_bar("train") as progress:
            summary, text = classified.train(function, list(captures), target, given, progress)
    summary.facts["out"] = out
    _show(summary, how, f"{out}: {text}")


def _train_kitsune(captures: tuple[str, ...], target: Path, given: dict[str, Any]) -> tuple[CaptureSummary, str]:
    from bricks.learning.training import Training
    from bricks.models.model_file import save_model
    from bricks.offline.scoring import train_on

    numerics = "reference" if given.pop("reference_numerics") else "robust"
    fit = given["fm_grace"] is None and given["ad_grace"] is None
    chosen = {name: value for name, value in given.items() if value is not None and name not in ("label", "estimator")}
    training = Training(**chosen, numerics=numerics)
    with progress_bar("train", 2 * training.vectors) as progress:
        model, summary = train_on(list(captures), training, fit, progress)
        save_model(model, target)
    graces = f"{summary.facts['fm_grace']} + 1 for the map, {summary.facts['ad_grace']} for {len(model.sizes)} autoencoders"
    return summary, f"learned from {summary.packets:,} packets ({graces}); threshold {model.threshold:.6g}"


@click.command("score", short_help="Score every packet of a capture with a model.")
@_captures
@NF
@click.option("--model", "model_file", required=True, type=click.Path(dir_okay=False), help="Model of `lego train`.")
@_out
@click.option(
    "--skip", type=click.IntRange(0, MOST_PACKETS), default=0, show_default=True, help="First packets that are not scored: score 0."
)
@click.option("--workers", type=click.IntRange(1, 254), default=1, show_default=True, help="Processes; the scores have the same bits.")
@click.option("--precision", type=click.Choice(["float64", "float32"]), default="float64", show_default=True, help="Of the network.")
@click.option("--threshold", type=float, help="Alert above this score, instead of the model's.")
@STREAMS
@PARTIAL
@_json
def score(captures: tuple[str, ...], nf: str, model_file: str, out: str, **given: Any) -> None:
    """Score every packet of the captures (one time line), weights frozen: a .npy file, float64 [packets]; count alerts by source."""
    from lego_sdn.adapters.files.outputs import output_path

    target = output_path(out, (*captures, model_file))
    if given["threshold"] is not None and not 0 < given["threshold"] < math.inf:
        raise ModelError(f"--threshold is {given['threshold']}; it must be above 0, and finite")
    how = {name: given.pop(name) for name in ("as_json", "partial")}
    with progress_bar("score") as progress:
        if nf == "kitsune":
            summary, text = _score_kitsune(captures, model_file, target, given, progress)
        else:
            summary, text = _score_any(nf, captures, target, given | {"model_file": model_file}, progress)
    summary.facts["out"] = out
    _show(summary, how, f"{out}: {text}")


def _score_any(nf: str, captures: tuple[str, ...], target: Path, given: dict[str, Any], progress: Callable[[int], None]) -> Any:
    from bricks.nfs.registry import load
    from lego_sdn.commands import classified

    return classified.score(load(nf), list(captures), target, given, progress)


def _score_kitsune(
    captures: tuple[str, ...], model_file: str, target: Path, given: dict[str, Any], progress: Callable[[int], None]
) -> tuple[CaptureSummary, str]:
    from bricks.models.model_file import load_model
    from bricks.offline.commands import score_captures
    from bricks.offline.scoring import Scoring

    summary = score_captures(list(captures), target, Scoring(load_model(model_file), **given), progress)
    facts = summary.facts
    line = f"{facts['scored']:,} of {summary.packets:,} packets scored, {facts['alerts']:,} above {facts['threshold']:.6g}"
    sources = [f"{source:>40}  {count:,}" for source, count in list(facts["by_source"].items())[:10]]
    return summary, "\n".join([line, *(["alerts by source:"] if sources else []), *sources])


def _show(summary: CaptureSummary, how: dict[str, bool], text: str) -> None:
    """Print what was done, and end: `how` has `as_json` and `partial`."""
    warn(summary.warnings)
    click.echo(json_text(summary.as_dict()) if how["as_json"] else text)
    end(summary.warnings, how["partial"])


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal and it takes longer than a second; the body tells it each number of packets done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), TextColumn("{task.completed:,.0f} packets, {task.fields[rate]:,.0f}/s"), TimeElapsedColumn()
    began = time.monotonic()
    done = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal, auto_refresh=False) as bar:
        task = bar.add_task(what, total=total, visible=False, rate=0.0)

        def tell(packets: int) -> None:
            nonlocal done
            done += packets
            passed = time.monotonic() - began
            if passed > _PATIENCE_S and not bar.disable:
                bar.update(task, completed=done, visible=True, rate=done / passed)
                bar.refresh()

        yield tell
