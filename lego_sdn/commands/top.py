"""`lego top`: the running system as it goes on, asked over REST."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click

from lego_sdn.commands.control import asks, print_json, request, where
from lego_sdn.commands.numbers import FiniteRange
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.json_text import json_text

SHOWN_EVENTS = 12


def look(address: tuple[str, int]) -> dict[str, Any]:
    """`status`, `bricks`, `processes`, the latest `events` and `alerts`, at one moment."""
    asked = ("status", "bricks", f"events?limit={SHOWN_EVENTS}", "alerts?limit=0")
    status, bricks, events, alerts = (request(address, "GET", name) for name in asked)
    return {"status": status, **bricks, "events": events["events"], "alerts": alerts}


def looks(address: tuple[str, int], interval_s: float) -> Iterator[dict[str, Any]]:
    """One look every `interval_s` seconds. While a controller that has answered does not, looks are {"away": why}."""
    seen = look(address)
    while True:
        due = time.monotonic() + interval_s
        yield seen
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            seen = look(address)
        except LegoError as error:
            seen = {"away": str(error)}


@click.command("top")
@click.option("--interval", "interval_s", type=FiniteRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once.")
@asks
def top(interval_s: float, once: bool, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Watch the running system: instances, bricks with load, queue, cost and deadline, what holds them up, events, alerts.

    On a terminal the picture is drawn anew at each look; elsewhere, and with --json, each look is printed. It goes on while the
    controller is away. Ctrl-C ends it.
    """
    address = where(rest, lego_config)
    with contextlib.suppress(KeyboardInterrupt):
        if as_json and once:
            print_json(look(address))
        elif as_json:
            for seen in looks(address, interval_s):
                click.echo(json_text(seen))
        else:
            _draw(iter([look(address)]) if once else looks(address, interval_s), once)


def _draw(seen: Iterator[dict[str, Any]], once: bool) -> None:
    from rich.live import Live

    from lego_sdn.adapters.terminal.tables import open_console
    from lego_sdn.commands.top_view import pictures

    console = open_console()
    if once or not console.is_terminal:
        for picture in pictures(seen, keep=False):
            console.print(picture)
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        for picture in pictures(seen, keep=True):
            live.update(picture, refresh=True)
