"""`lego prove`: the live proof that no score changes while instances come, go and exchange buckets, for anyone to run and run again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.partial import end, warn
from lego_sdn.commands.playing import plays
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    from lego_sdn.commands.run_view import View
    from lego_sdn.core.facts.config import Config
    from lego_sdn.experiments.equivalence import Proof


@dataclass(frozen=True)
class ProveOptions:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    model: Path | None
    pps: float
    placement: str
    keep: Path | None
    as_json: bool
    partial: bool = False


@click.command("prove", short_help="Prove on a live switch that moves change no score.")
@plays(pps=1250.0)
@click.option(
    "--placement",
    type=click.Choice(["chained", "separate"]),
    default="chained",
    show_default=True,
    help="All bricks in one process, or each in its own.",
)
def prove(**given: Any) -> None:
    """Replay CAPTURES (default: synthetic traffic), stamped, through an Open vSwitch while instances go 1 -> 3 -> 2 -> 4 -> 1, buckets move
    back and forth, and the learning network is replicated and merged; then compare every score with those of one unsplit run.

    The controller is paused meanwhile: what comes and goes is the command's script, not a decision of the scaling policy ('lego run'
    shows that one).

    Exit code 1 if a score differs, is missing or comes twice, or if the traffic ended before the last step. Needs root.
    """
    from lego_sdn.commands.playing import in_folder

    wanted = ProveOptions(**given)
    with in_folder(wanted.keep) as folder:
        proof, warnings = _prove(wanted, folder)
    end(warnings, wanted.partial, 0 if proof.holds else 1)


def _prove(wanted: ProveOptions, folder: Path) -> tuple[Proof, tuple[str, ...]]:
    """The proof, and warnings about the captures, which are said."""
    from dataclasses import replace

    from lego_sdn.commands.playing import synthetic
    from lego_sdn.commands.run_view import View
    from lego_sdn.experiments.endpoints import OfferedTraffic
    from lego_sdn.experiments.equivalence import Drive, script
    from lego_sdn.experiments.equivalence import prove as carry_out
    from lego_sdn.experiments.run import Experiment, prepare

    view = View(quiet=wanted.as_json)
    captures = wanted.captures or synthetic(folder, view)
    view.say(f"learning and scoring without a split: {', '.join(path.name for path in captures)}")
    load = OfferedTraffic(captures, wanted.pps)
    prepared = prepare(load, wanted.model, folder)
    warn(prepared.warnings)
    config = replace(_config(wanted, folder), model=str(prepared.model.resolve()), layout=prepared.layout)
    with Experiment(config, folder, view.say) as experiment:
        view.say(f"sending {len(prepared.unsplit):,} packets at {wanted.pps:,.0f} packets/s")
        with view.live():
            proof = carry_out(Drive(experiment, load), prepared, script(), view.show)
    if wanted.as_json:
        click.echo(json_text(proof.as_dict()))
    else:
        view.summary(proof.summary)
        _show(proof, view)
    return proof, prepared.warnings


def _config(wanted: ProveOptions, folder: Path) -> Config:
    """Up to four instances, which come and go only as the script says."""
    from lego_sdn.commands.playing import on_free_ports
    from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings, SwitchSettings

    scaling = ScalingSettings(period_s=0.25, cooldown_s=0.01, max_instances=4)
    bridge = SwitchSettings(bridge=f"lgp{os.getpid() % 10**6}")  # of this command's own: a LEGO that runs is not in the way
    return on_free_ports(
        Config(run_dir=str(folder / "run"), switch=bridge, instance=InstanceSettings(placement=wanted.placement), scaling=scaling)
    )


def _show(proof: Proof, view: View) -> None:
    from lego_sdn.adapters.terminal.tables import Grid

    figures, compared = proof.figures, proof.summary.comparison
    table = Grid("what", "figures", title="moves", left=("what", "figures"), header=False)
    table.add_row("rate", f"{figures['packets_per_s']:,.0f} packets/s, up to {proof.most_instances} instances")
    table.add_row("moves", f"{figures['moves']}, of {figures['buckets']} buckets in all")
    table.add_row("duration", f"median {figures['median_ms']:.0f} ms, longest {figures['longest_ms']:.0f} ms")
    table.add_row("of it packets wait", f"median {figures['median_held_ms']:.0f} ms, longest {figures['longest_held_ms']:.0f} ms")
    table.add_row("state moved", f"{figures['state_bytes']:,} bytes, {figures['streams']:,} streams")
    table.add_row("packets held", f"{figures['packets_held']:,}, of which {figures['packets_handed_over']:,} handed over")
    view.console.print(table)
    for words in proof.undone:
        view.say(f"not done, the traffic ended before: {words}; give a lower --pps")
    if proof.holds:
        view.say(f"proved: all {compared.equal:,} scores have the bits of the unsplit run, none is missing, none came twice")
    else:
        view.say(f"not proved: {compared.equal:,} of {proof.summary.sent:,} scores are equal, {compared.twice:,} came twice")
