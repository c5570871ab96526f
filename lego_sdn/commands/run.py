"""`lego run`: the main job. LEGO on this host, a capture through its switch, a live view, and what became of every packet."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lego_sdn.core.config import Config


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    path: str | None
    pps: float
    rounds: int
    quota: float
    instances: int
    settle_s: float
    keep: Path | None
    as_json: bool


@click.command("run", short_help="Do the main job on a capture or on synthetic traffic, and show it.")
@click.argument("captures", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Model; default: learned from the benign part.")
@click.option("--config", "path", type=click.Path(dir_okay=False), envvar="LEGO_CONFIG", help="Configuration file (YAML).")
@click.option("--pps", type=click.FloatRange(min=1), default=3000.0, show_default=True, help="Packets per second.")
@click.option(
    "--loop", "rounds", type=click.IntRange(min=1), default=1, show_default=True, help="Send the traffic this often, as one time line."
)
@click.option("--quota", type=click.FloatRange(0.01, 64), default=0.04, show_default=True, help="CPU of an instance, in cores.")
@click.option("--instances", type=click.IntRange(1, 64), default=4, show_default=True, help="Instances at the most.")
@click.option("--settle", "settle_s", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for the merge.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep model, traffic, scores and logs in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(**given: Any) -> None:
    """Play CAPTURES (default: synthetic traffic) through an Open vSwitch that LEGO steers, scaling as the load asks.

    The first capture is the benign one that the model is learned from, unless a model is given. Needs root. Ctrl-C removes everything.
    """
    wanted = Wanted(**given)
    with in_folder(wanted.keep) as folder:
        summary = _run(wanted, folder)
    raise click.exceptions.Exit(0 if summary.accounted else 1)


@contextmanager
def in_folder(keep: Path | None) -> Iterator[Path]:
    """What an experiment needs around it: root, signals that end it in order, and a folder, which goes again unless it is to be kept."""
    from lego_sdn.agent import require_root
    from lego_sdn.commands.ending import ends_in_order

    require_root()
    with ends_in_order(), ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lego-")))
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _run(wanted: Wanted, folder: Path) -> Any:
    from dataclasses import replace

    from lego_sdn.commands.run_view import View
    from lego_sdn.experiment import Experiment, prepare
    from lego_sdn.testbed import Load

    view = View(quiet=wanted.as_json)
    captures = wanted.captures or synthetic(folder, view)
    view.say(f"learning and scoring without a split: {', '.join(path.name for path in captures)}")
    load = Load(captures, wanted.pps, wanted.rounds)
    prepared = prepare(load, wanted.model, folder)
    for warning in prepared.warnings:
        view.say(warning)
    config = replace(_config(wanted, folder), model=str(prepared.model.resolve()), layout=prepared.layout)
    with Experiment(config, folder, view.say) as experiment:
        view.say(f"sending {len(prepared.unsplit):,} packets at {wanted.pps:,.0f} packets/s")
        with view.live():
            for seen in experiment.watch(load, wanted.settle_s):
                view.show(seen)
        summary = experiment.finish(prepared.unsplit, prepared.packets)
    if wanted.as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        view.summary(summary)
    return summary


def synthetic(folder: Path, view: Any) -> tuple[Path, ...]:
    """Two captures of our own: benign, then with an infected device."""
    from topologies.traffic import traffic, write_pcap

    made = traffic()
    first = made.labels.first_attack
    paths = folder / "synthetic-benign.pcap", folder / "synthetic-attack.pcap"
    for path, rows in zip(paths, (slice(0, first), slice(first, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    view.say(f"synthetic traffic: {len(made.frames):,} packets; {made.labels.infected} is infected after {first:,}")
    return paths


def _config(wanted: Wanted, folder: Path) -> Config:
    """The configuration file's, or defaults that show something within a minute; quota and limit are the command line's."""
    from dataclasses import replace

    from lego_sdn.adapters import configfile
    from lego_sdn.core.config import Config, Scaling

    lively = Scaling(period_s=0.25, cooldown_s=1.0, down_after=8)
    config = configfile.load(wanted.path) if wanted.path else on_free_ports(Config(scaling=lively))
    return replace(
        config,
        run_dir=str(folder / "run"),
        instance=replace(config.instance, cpu_quota=wanted.quota),
        scaling=replace(config.scaling, max_instances=wanted.instances),
    )


def on_free_ports(config: Config) -> Config:
    """Other ports where the usual ones are taken: nobody but this command needs to know them."""
    from dataclasses import replace

    from lego_sdn.adapters.wire import free_port, is_free

    rest, switch = config.rest, config.switch
    if not is_free(rest.host, rest.port):
        rest = replace(rest, port=free_port(rest.host))
    if not is_free(switch.openflow_host, switch.openflow_port):
        switch = replace(switch, openflow_port=free_port(switch.openflow_host))
    return replace(config, rest=rest, switch=switch)
