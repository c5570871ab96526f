"""The picture that `lego top` draws."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lego_sdn.commands.status_view import columns, held_up, instances, lines

SHOWN_SOURCES = 5


def picture(seen: dict[str, Any]) -> Group:
    """One look (`Watch.look`): state, instances, bricks, what holds them up, events, alerts."""
    status = seen["status"]
    parts: list[Any] = [Text.from_markup(line) for line in lines(status)]
    if status["instances"]:
        parts.append(instances(status["instances"]))
    if seen["bricks"]:
        parts.append(bricks(seen["bricks"]))
    parts += [Text(line, style="red") for line in held_up(status)]
    parts += [Text(_event(event), overflow="fold") for event in seen["events"]]
    by_source = list(seen["alerts"]["by_source"].items())[:SHOWN_SOURCES]
    if by_source:
        parts.append(Text(f"{seen['alerts']['total']:,} alerts: " + ", ".join(f"{source} {count:,}" for source, count in by_source)))
    return Group(*parts)


def bricks(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each brick; µs/packet: as it runs, and as was estimated before."""
    names = (
        "instance",
        "brick",
        "process",
        "packets/s",
        "CPU of quota",
        "queue",
        "µs/packet",
        "estimate",
        "wait ms",
        "deadline ms",
        "late",
    )
    table = columns(*names, "state")
    for row in rows:
        table.add_row(*_load(row), *_deadline(row), _state(row))
    return table


def _load(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["instance"]),
        row["id"],
        row["process"],
        f"{row['packets_per_s']:,.0f}",
        _number(row.get("cpu_of_quota"), "{:.0%}"),
        f"{row['queue_in']:,}",
        _number(row.get("cost_us") or row["service_us"], "{:.1f}"),
        _number(row.get("estimate_us"), "{:.1f}"),
    )


def _deadline(row: dict[str, Any]) -> tuple[str, ...]:
    part = row.get("deadline")
    wait = _number(row.get("wait_us"), "{:.2f}", 1e-3)
    if not part:
        return wait, "", ""
    return wait, f"{part['ms']:.2f}", f"{part['late']:.1%}" + ("" if part["kept"] else " !")


def _state(row: dict[str, Any]) -> str:
    verdict = row.get("verdict", "")
    return {"easy": "", "slow": "[red]slow[/red]"}.get(verdict, verdict)


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "" if value is None else form.format(value * scale)


def _event(event: dict[str, Any]) -> str:
    clock = datetime.fromtimestamp(event["time"]).strftime("%H:%M:%S")
    return f"{clock}  {event['kind']:<10} {event['text']}"
