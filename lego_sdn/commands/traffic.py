"""`lego replay`: a capture into an interface, at a given rate, with stamps if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from lego_sdn.commands.ending import ends_after
from lego_sdn.commands.numbers import FASTEST, LONGEST_S, MOST_ROUNDS, MOST_SENT, SLOWEST, FiniteRange
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.json_text import json_text

_POSITIVE = FiniteRange(SLOWEST, FASTEST)


@dataclass(frozen=True)
class ReplayOptions:
    """Where, how fast, with which stamps ("capture", "clock" or None) and how often."""

    interface: str
    namespace: str | None
    pps: float | None
    speed: float | None
    stamps: str | None
    rounds: int
    shape: tuple[tuple[float, float], ...]


@click.command("replay", short_help="Send a capture into an interface at a given rate.")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--interface", required=True, help="Interface to send into.")
@click.option("--namespace", help="Network namespace that has the interface (default: this one).")
@click.option("--pps", type=_POSITIVE, help="Packets per second.")
@click.option("--speed", type=_POSITIVE, help="Times as fast as captured (default 1).")
@click.option(
    "--shape", metavar="SECONDS:PPS,...", help='"5:100,30:800,10:100": times of constant rate; the captures as often as it takes.'
)
@click.option("--fastest", is_flag=True, help="As fast as it goes.")
@click.option("--stamp", is_flag=True, help="Give every frame a trailer: magic, sequence number, nanoseconds.")
@click.option("--stamp-clock", is_flag=True, help="Stamp the time of sending, not the capture's own; implies --stamp.")
@click.option(
    "--loop", "rounds", type=click.IntRange(1, MOST_ROUNDS), default=1, show_default=True, help="Send it this often; stamps run on."
)
@PARTIAL
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(captures: tuple[str, ...], as_json: bool, partial: bool, fastest: bool, stamp: bool, stamp_clock: bool, **given: Any) -> None:
    """Send captures, as one time line, into an interface: padded to their length on the wire, otherwise as they are.

    Ctrl-C and SIGTERM end it after the frame at hand, and what was sent is shown.
    """
    given["shape"] = parse_shape(given["shape"] or "")
    chosen = sum((fastest, given["pps"] is not None, given["speed"] is not None, bool(given["shape"])))
    if chosen > 1:
        raise click.UsageError("--pps, --speed, --shape and --fastest exclude each other")
    if given["shape"] and (stamp or given["rounds"] > 1):
        raise click.UsageError("--shape repeats the captures by itself: without --loop, and with --stamp-clock instead of --stamp")
    if not chosen:
        given["speed"] = 1.0
    stamps = "clock" if stamp_clock else "capture" if stamp else None
    ended_by: list[int] = []
    result, warnings = _replay(captures, ReplayOptions(stamps=stamps, **given), ended_by)
    if as_json:
        click.echo(json_text(result))
    else:
        _show(result, given["interface"])
    end(warnings, partial, 128 + ended_by[0] if ended_by else 0)


def _show(result: dict[str, Any], interface: str) -> None:
    click.echo(f"sent {result['sent']:,} packets in {result['seconds']:.2f} s: {result['rate']:,.0f} packets/s")
    for key, what in (
        ("not_sent", "not sent: it was ended before"),
        ("too_long", f"longer than {interface} takes, not sent; raise its MTU"),
        ("too_short", "shorter than an Ethernet header, not sent"),
        ("interface_drops", f"dropped by {interface} or on the way to its peer"),
    ):
        if result[key]:
            click.echo(f"{result[key]:,} packets {what}")


def parse_shape(text: str) -> tuple[tuple[float, float], ...]:
    """ "5:100,30:800" as (seconds, packets/s); UsageError names what is wrong."""
    parts = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        seconds, _, pps = part.partition(":")
        try:
            numbers = float(seconds), float(pps)
            if not all(map(math.isfinite, numbers)):
                raise ValueError(part)
            parts.append(numbers)
        except ValueError:
            raise click.UsageError(f"--shape: {part!r} is no part of one; wanted SECONDS:PPS, for example 5:100") from None
    most = sum(numbers[0] * numbers[1] for numbers in parts)
    if most > MOST_SENT or any(seconds > LONGEST_S for seconds, _ in parts):
        raise click.UsageError(f"--shape: {most:,.0f} packets are too many, or too long; {MOST_SENT:,} in {LONGEST_S:,.0f} s are the most")
    return tuple(parts)


def _replay(captures: tuple[str, ...], how: ReplayOptions, ended_by: list[int]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was sent, and warnings about the captures, which are said. A signal that ends it is added to `ended_by`."""
    from bricks.files.frames import read_frames
    from lego_sdn.adapters.linux.pace import Pace
    from lego_sdn.adapters.linux.replay_sender import Sender, Sent, Stamps

    pace = Pace(pps=how.pps, speed=how.speed, shape=how.shape)
    with Sender(how.interface, how.namespace) as sender:  # before reading: what cannot be sent to is said at once
        frames = read_frames(captures)
        warn(frames.warnings)
        frames = frames.tiled(pace.packets) if how.shape else frames
        count = len(frames.times_ns)
        span_ns = int(frames.times_ns.max() - frames.times_ns.min()) if count else 0
        total = Sent()
        with _progress(count * how.rounds) as show, ends_after(sender.stop, ended_by):
            for done in range(how.rounds):
                stamps = Stamps(done * count, how.stamps == "clock", done * span_ns) if how.stamps else None
                total += sender.send(frames, pace, stamps, lambda n, before=done * count: show(before + n))
    not_sent = count * how.rounds - total.sent - total.too_long - total.too_short
    return asdict(total) | {"not_sent": not_sent, "rate": total.rate}, frames.warnings


@contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; the body tells it how many packets are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=count)
        yield lambda done: bar.update(task, completed=done)
