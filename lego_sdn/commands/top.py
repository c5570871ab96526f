"""`lego top`: the running system as it goes on, asked over REST."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from lego_sdn.commands.control import asks, print_json, request, where

KEPT_EVENTS = 12
MOST_EVENTS = 10_000  # of one answer


@dataclass
class Watch:
    """Asks the controller again and again; remembers up to which event it was told."""

    address: tuple[str, int]
    after: int = 0
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))

    def look(self) -> dict[str, Any]:
        """`status`, `bricks`, `processes`, the latest `events` and `alerts`, at one moment."""
        status, bricks = request(self.address, "GET", "status"), request(self.address, "GET", "bricks")
        while True:
            told = request(self.address, "GET", f"events?after={self.after}&limit={MOST_EVENTS}")
            self.events.extend(told["events"])
            self.after = told["next"]
            if len(told["events"]) < MOST_EVENTS:
                break
        return {"status": status, **bricks, "events": list(self.events), "alerts": request(self.address, "GET", "alerts?limit=0")}

    def looks(self, interval_s: float, once: bool) -> Iterator[dict[str, Any]]:
        """One look, or one every `interval_s` seconds."""
        while True:
            began = time.monotonic()
            yield self.look()
            if once:
                return
            time.sleep(max(0.0, began + interval_s - time.monotonic()))


@click.command("top")
@click.option("--interval", "interval_s", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once.")
@asks
def top(interval_s: float, once: bool, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Watch the running system: instances, bricks with load, queue, cost and deadline, what holds them up, events, alerts.

    On a terminal the picture is drawn anew at each look; elsewhere, and with --json, each look is printed. Ctrl-C ends it.
    """
    looks = Watch(where(rest, lego_config)).looks(interval_s, once)
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            for seen in looks:
                print_json(seen) if once else click.echo(json.dumps(seen))
        else:
            _draw(looks, once)


def _draw(looks: Iterator[dict[str, Any]], once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from lego_sdn.commands.top_view import picture

    console = Console(highlight=False)
    if once or not console.is_terminal:
        for seen in looks:
            console.print(picture(seen))
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        for seen in looks:
            live.update(picture(seen), refresh=True)
