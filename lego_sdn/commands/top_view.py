"""The picture that `lego top` draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.text import Text

from lego_sdn.commands.status_view import bricks, exactness, held_up, instances, lines, odd

SHOWN_SOURCES = 5


def pictures(looks: Iterable[dict[str, Any]], keep: bool) -> Iterator[Group]:
    """A picture of each look; while the controller is away, of that, with what it last said below it (`keep`)."""
    last: list[Group] = []
    for seen in looks:
        if "away" in seen:
            below = "; below is what it said last" if keep else ""
            yield Group(Text.assemble(("controller is away", "red"), f" ({seen['away']}){below}", overflow="fold"), *last)
            continue
        drawn = picture(seen)
        last = [drawn] if keep else []
        yield drawn


def picture(seen: dict[str, Any]) -> Group:
    """One look (`top.look`): state, instances, bricks, what holds them up, events, alerts."""
    status = seen["status"]
    parts: list[Any] = [Text.from_markup(line) for line in lines(status)]
    if status["instances"]:
        parts.append(instances(status["instances"]))
    if seen["bricks"]:
        parts.append(bricks(seen["bricks"]))
    parts += [Text(line) for line in exactness(status)]
    parts += [Text(line) for line in odd(status)]
    parts += [Text(line, style="red") for line in held_up(status)]
    parts += [Text(_event(event), overflow="fold") for event in seen["events"]]
    by_source = list(seen["alerts"]["by_source"].items())[:SHOWN_SOURCES]
    if by_source:
        parts.append(Text(f"{seen['alerts']['total']:,} alerts: " + ", ".join(f"{source} {count:,}" for source, count in by_source)))
    return Group(*parts)


def _event(event: dict[str, Any]) -> str:
    clock = datetime.fromtimestamp(event["time"]).strftime("%H:%M:%S")
    return f"{clock}  {event['kind']:<10} {event['text']}"
