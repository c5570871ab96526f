"""`lego run`: the main job. LEGO on this host, a capture through its switch, a live view, and what became of every packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import LONGEST_S, MOST_ROUNDS, FiniteRange
from lego_sdn.commands.partial import end, warn
from lego_sdn.commands.playing import plays
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    from lego_sdn.core.facts.config import Config
    from lego_sdn.experiments.accounting import RunSummary

QUOTA, INSTANCES, POLICY = 0.04, 4, "water-marks"  # without a configuration file: what shows steering within a minute


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks for; None: nothing, so that the configuration counts."""

    captures: tuple[Path, ...]
    model: Path | None
    path: str | None
    pps: float
    rounds: int
    quota: float | None
    instances: int | None
    policy: str | None
    settle_s: float
    keep: Path | None
    as_json: bool
    partial: bool = False


@click.command("run", short_help="Do the main job on a capture or on synthetic traffic, and show it.")
@plays(pps=3000.0)
@click.option("--config", "path", type=click.Path(dir_okay=False), envvar="LEGO_CONFIG", help="Configuration file (YAML).")
@click.option(
    "--loop",
    "rounds",
    type=click.IntRange(1, MOST_ROUNDS),
    default=1,
    show_default=True,
    help="Send the traffic this often, as one time line.",
)
@click.option(
    "--quota",
    type=FiniteRange(0.01, 64),
    help=f"CPU of each process of an instance, in cores.  [default: as configured; without a file {QUOTA}]",
)
@click.option(
    "--instances", type=click.IntRange(1, 64), help=f"Instances at the most.  [default: as configured; without a file {INSTANCES}]"
)
@click.option("--policy", help=f"How to scale; bricks: brick by brick.  [default: as configured; without a file {POLICY}: whole instances]")
@click.option(
    "--settle", "settle_s", type=FiniteRange(0, LONGEST_S), default=60.0, show_default=True, help="Seconds to wait for the merge."
)
def run(**given: Any) -> None:
    """Play CAPTURES (default: synthetic traffic) through an Open vSwitch that LEGO steers, scaling as the load asks.

    The first capture is the benign one that the model is learned from, unless a model is given or configured. Of a configuration
    file everything counts but run_dir, forward and capture.stamps, which are the command's own. Needs root. Ctrl-C removes everything.
    Exit code 1: a packet is missing or came twice, or a score differs from that of the unsplit run.
    """
    from lego_sdn.commands.playing import in_folder

    wanted = RunOptions(**given)
    with in_folder(wanted.keep) as folder:
        summary, warnings = _run(wanted, folder)
    end(warnings, wanted.partial, 0 if summary.accounted and summary.same else 1)


def _run(wanted: RunOptions, folder: Path) -> tuple[RunSummary, tuple[str, ...]]:
    """What became of the packets, and warnings about the captures, which are said."""
    from dataclasses import replace

    from lego_sdn.commands.playing import synthetic
    from lego_sdn.commands.run_view import View
    from lego_sdn.experiments.endpoints import OfferedTraffic
    from lego_sdn.experiments.run import Experiment, prepare

    view = View(quiet=wanted.as_json)
    base = _base(wanted.path)
    config = replace(asked(wanted, base), run_dir=str(folder / "run"))
    for line in overridden(base, config) if wanted.path else ():
        view.say(line)
    captures = wanted.captures or synthetic(folder, view)
    view.say(f"learning and scoring without a split: {', '.join(path.name for path in captures)}")
    load = OfferedTraffic(captures, wanted.pps, wanted.rounds)
    prepared = prepare(load, Path(config.model) if config.model else None, folder, config)
    warn(prepared.warnings)
    with Experiment(replace(config, model=str(prepared.model.resolve()), layout=prepared.layout), folder, view.say) as experiment:
        view.say(f"sending {len(prepared.unsplit):,} packets at {wanted.pps:,.0f} packets/s")
        with view.live():
            for seen in experiment.watch(load, wanted.settle_s):
                view.show(seen)
        summary = experiment.finish(prepared.unsplit, prepared.packets)
    if wanted.as_json:
        click.echo(json_text(summary.as_dict()))
    else:
        view.summary(summary)
    return summary, prepared.warnings


def _base(path: str | None) -> Config:
    """The configuration file's, or defaults that show something within a minute."""
    from lego_sdn.adapters.files import configfile
    from lego_sdn.commands.playing import on_free_ports
    from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings

    if path:
        return configfile.load(path)
    lively = ScalingSettings(policy=POLICY, period_s=0.25, cooldown_s=1.0, down_after=8, max_instances=INSTANCES)
    return on_free_ports(Config(scaling=lively, instance=InstanceSettings(cpu_quota=QUOTA)))


def asked(wanted: RunOptions, base: Config) -> Config:
    """The configuration, with what the command line asks for explicitly."""
    from dataclasses import replace

    from lego_sdn.adapters.files.plugins import make_known
    from lego_sdn.core.policy.registry import policy

    config = base if wanted.model is None else replace(base, model=str(wanted.model))
    if wanted.quota is not None:
        config = replace(config, instance=replace(config.instance, cpu_quota=wanted.quota))
    if wanted.instances is not None:
        config = replace(config, scaling=replace(config.scaling, max_instances=wanted.instances))
    if wanted.policy is not None:
        make_known(wanted.policy, Path())
        config = replace(config, scaling=replace(config.scaling, policy=wanted.policy, policy_folder=str(Path().resolve())))
        policy(config.scaling)
    return config


def overridden(file: Config, now: Config) -> Iterator[str]:
    """A sentence for each key of the configuration file that an option goes before."""
    for option, key, value, before in (
        ("--model", "model", now.model, file.model),
        ("--quota", "instance.cpu_quota", now.instance.cpu_quota, file.instance.cpu_quota),
        ("--instances", "scaling.max_instances", now.scaling.max_instances, file.scaling.max_instances),
        ("--policy", "scaling.policy", now.scaling.policy, file.scaling.policy),
    ):
        if value != before:
            yield f"{option} goes before the configuration: {key} is {value}, not {'null' if before is None else before}"
