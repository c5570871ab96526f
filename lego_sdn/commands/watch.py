"""`lego watch`: detect on an interface or a capture, in one process, without a switch."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import FiniteRange
from lego_sdn.commands.offline import STREAMS, check_layout, progress_bar
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.errors import ConfigError, HostError
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import printable

if TYPE_CHECKING:
    from bricks.learning.training import Training
    from lego_sdn.adapters.eve.writer import EveWriter
    from lego_sdn.watch.session import Session, Watch
    from lego_sdn.watch.signals import ReceivedSignals

_LEARN = 55_001  # packets: 5,001 for the feature map and 50,000 for the autoencoders, as in Kitsune's paper
_LEARN_MOST = 1_000_000  # their features are held: 920 bytes each
_SCORE_MOST = 1e9  # above any score


@click.command("watch", short_help="Detect on an interface or a capture, without a switch.")
@click.argument("source", metavar="INTERFACE|FILE")
@click.option("--model", "model_file", type=click.Path(dir_okay=False), help="Model of `lego train`; default: learn one from the traffic.")
@click.option(
    "--learn",
    type=click.IntRange(100, _LEARN_MOST),
    default=_LEARN,
    show_default=True,
    help="First packets to learn from, without --model.",
)
@click.option("--save-model", type=click.Path(dir_okay=False), help="Write the model that was learned to this file.")
@click.option("--layout", default="kitsune115", show_default=True, callback=check_layout, help="Feature layout to learn.")
@click.option("--eve", metavar="PATH|unix:PATH|-", help="Write alerts as EVE JSON: to a file, a Unix socket, or standard output.")
@click.option("--host", default=None, help="Name of this sensor in events.  [default: the machine's]")
@click.option("--every-alert", is_flag=True, help="Tell of every alert, instead of incidents.")
@click.option("--threshold", type=FiniteRange(0, _SCORE_MOST, min_open=True), help="Alert above this score, instead of the model's.")
@click.option("--workers", type=click.IntRange(1, 254), default=1, show_default=True, help="Processes, for a file; the same scores.")
@STREAMS
@PARTIAL
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, and nothing else.")
def watch(source: str, as_json: bool, partial: bool, **given: Any) -> None:
    """Detect anomalies on an INTERFACE, until Ctrl-C, or in a FILE (a capture), in this one process: no switch and no controller.

    A name with a slash in it, or of a file that is there, is a FILE. Without --model it first learns one from the first packets, which must
    be ordinary traffic. Alerts of one source and kind are told as one incident: at its 1st, 10th, 100th... alert and at its end, 60 s after
    the last one. SIGHUP opens the --eve file anew, after it was renamed.
    """
    from lego_sdn.watch.signals import signals

    of_file = "/" in source or os.path.exists(source)
    if not of_file:
        _require_interface(source, given["workers"])
    with signals() as told, progress_bar("watch") as progress:
        how = _watch(source, of_file, given | {"as_json": as_json}, progress)
        session, warnings = _run(source, of_file, how, told)
    warn(warnings)
    summary = session.summary() | {"warnings": warnings}
    click.echo(json_text(summary) if as_json else _text(summary), err=given["eve"] == "-")
    end(warnings, partial)


def _run(source: str, of_file: bool, how: Watch, told: ReceivedSignals) -> tuple[Session, list[str]]:
    """The run, ended in order whatever happens, and warnings about the capture."""
    from lego_sdn.watch.session import Session

    session, warnings = Session(how, told), []
    try:
        if of_file:
            from lego_sdn.watch.capture_file import watch_capture

            warnings = watch_capture(Path(source), session)
        else:
            from lego_sdn.watch.interface import watch_interface

            watch_interface(source, session)
    except BaseException:
        if how.eve is not None:
            how.eve.output.close()
        raise
    session.end()
    if session.sink is None:
        how.say("ended before a model was learned: nothing is kept")
    return session, warnings


def _watch(source: str, of_file: bool, given: dict[str, Any], progress: Callable[[int], None]) -> Watch:
    """What the options say. LegoError if one cannot be."""
    from bricks.alerts.eve import Sensor
    from bricks.models.model_file import load_model
    from lego_sdn.watch.session import Watch

    model_file, save = given["model_file"], given["save_model"]
    if model_file and save:
        raise ConfigError("--save-model is for a model that is learned, and --model gives one: leave one of them out")
    inputs = [one for one in (source if of_file else None, model_file) if one]
    model = load_model(model_file) if model_file else None
    place = os.path.basename(source) if of_file else source
    eve = _eve(given["eve"], inputs)
    return Watch(
        sensor=Sensor(given["host"] or socket.gethostname(), place, of_file),
        model=model,
        training=_training(given["learn"], given["layout"]),
        save_model=_model_path(save, inputs) if save else None,
        threshold=given["threshold"],
        workers=given["workers"],
        streams=given["streams"],
        every_alert=given["every_alert"],
        eve=eve,
        tell=None if given["eve"] == "-" or given["as_json"] else _tell,
        say=lambda sentence: click.echo(f"lego: {sentence}", err=True),
        progress=progress,
    )


def _model_path(path: str, inputs: list[str]) -> Path:
    """Where the model is to be written. LegoError before anything is learned if that cannot be."""
    from lego_sdn.adapters.files.outputs import output_path

    target = output_path(path, inputs)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--save-model {path} cannot be written: there is no folder {target.parent} that this user may write to")
    return target


def _eve(place: str | None, inputs: list[str]) -> EveWriter | None:
    from lego_sdn.adapters.eve.outputs import open_output
    from lego_sdn.adapters.eve.writer import EveWriter

    if place is None:
        return None
    if place != "-" and not place.startswith("unix:"):
        for one in inputs:
            if os.path.exists(one) and os.path.exists(place) and os.path.samefile(one, place):
                raise ConfigError(f"--eve {place} is the same file as {one}, which is read: choose another place")
    return EveWriter(open_output(place))


def _training(packets: int, layout: str) -> Training:
    from bricks.learning.training import Training

    fm_grace = min(Training().fm_grace, packets // 4)
    return Training(layout, fm_grace=fm_grace, ad_grace=packets - fm_grace - 1)


def _require_interface(name: str, workers: int) -> None:
    if workers > 1:
        raise ConfigError(
            "--workers is for a file: an interface is read by one process, in order; `lego up` shares its traffic out to several"
        )
    if name not in (found for _, found in socket.if_nameindex()):
        raise HostError(f"there is no file and no interface {printable(name)!r}: give a capture, or an interface of `ip link`")


def _tell(event: dict[str, Any]) -> None:
    """One line about an alert, for people."""
    alert = event["alert"]
    found = alert["metadata"]
    ether = event.get("ether", {})
    ends = [
        event.get(f"{side}_ip", ether.get(f"{side}_mac", "?")) + (f":{event[f'{side}_port']}" if f"{side}_port" in event else "")
        for side in ("src", "dest")
    ]
    count = f" x{int(found['lego_count'][0]):,}{' (end)' if found['lego_state'] == ['end'] else ''}" if "lego_count" in found else ""
    score = float(found["lego_score"][0]) / float(found["lego_threshold"][0])
    why = f"; {found['lego_why'][0]}" if "lego_why" in found else ""
    who = f"{event['timestamp'][:23]} {ends[0]} > {ends[1]} {event.get('proto', '')}{count}"
    click.echo(f"{who}: {alert['signature']}, {score:.3g}x the threshold{why}")


def _text(summary: dict[str, Any]) -> str:
    incidents = f" in {summary['incidents']:,} incidents" if summary["incidents"] is not None else ""
    lines = [
        f"{summary['packets']:,} packets in {summary['seconds']:,.1f} s: {summary['learned']:,} learned, {summary['scored']:,} scored; "
        f"{summary['alerts']:,} alerts{incidents}; {summary['kernel_drops']:,} packets lost by the kernel, {summary['late']:,} late"
    ]
    if summary["events"]:
        lines.append(f"events: {summary['events']['written']:,} written, {summary['events']['dropped']:,} dropped")
    lines += [f"{source:>40}  {count:,}" for source, count in list(summary["by_source"].items())[:10]]
    return "\n".join(lines)
