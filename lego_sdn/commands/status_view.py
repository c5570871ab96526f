"""How the state of the running system looks on a terminal: for `lego status`, and a part of `lego top`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.text import Text

from lego_sdn.adapters.terminal.tables import Grid, open_console

STAMPS = ("gaps", "repeats", "reordered")  # of stamps, by instance


def show(found: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Print what `GET status` says, and the bricks (`rows`) of `GET bricks`."""
    console = open_console()
    for line in lines(found):
        console.print(line, soft_wrap=True)
    if found["instances"]:
        console.print(instances(found["instances"]))
    if rows:
        console.print(bricks(rows))
    for line in (*exactness(found), *odd(found), *held_up(found)):
        console.print(line, soft_wrap=True, markup=False)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The state in a few lines, with what is missing; in rich's markup."""
    bridge, agent, rules = found["bridge"], found["agent"], found["rules"]
    exact = "exact" if found["exact"] else "without shadows (lego granularity says what differs)"
    paused = ", scaling paused" if found["paused"] else ""
    nf = f"{found['nf']} ({found['layout']})"
    yield f"[bold]{found['state']}[/bold] for {found['uptime_s']:.0f} s: {nf}, {exact}, {found['buckets']} buckets{paused}"
    for sentence in found["missing"]:
        yield f"[yellow]missing:[/yellow] {escape(sentence)}"
    connected = f"connected, {bridge['dpid']}" if bridge["connected"] else "not connected"
    wanted = f" ({rules['version']} wanted)" if rules["version"] != rules["in_force"] else ""
    answers = "answers" if agent["answers"] else "does not answer"
    yield f"bridge {bridge['name']}: {connected}; agent: {answers}; rules: version {rules['in_force']}{wanted}; alerts: {found['alerts']}"
    if found.get("host"):
        yield from _host(found["host"])
    yield from _scaling(found)
    if found.get("sla"):
        yield _promise(found["sla"])
    audit = found.get("audit")
    if audit and audit["share"]:
        differ = f"[red]{audit['different']:,} DIFFER, first {audit['first_difference']}[/red]" if audit["different"] else "none differs"
        yield f"audit: {audit['share']:.0%} of the buckets, {audit['compared']:,} scores compared, {differ}; twin {audit['twin']['phase']}"


def _host(host: dict[str, Any]) -> Iterator[str]:
    cores, memory = host["cores"], host["memory_bytes"]
    if cores["all"] is not None:
        free = (
            ""
            if memory["free"] is None
            else f"; memory: instances use {memory['used'] / 1e6:,.0f} MB, {memory['free'] / 1e6:,.0f} MB are free"
        )
        yield f"host: {cores['given']:.3g} of {cores['all']:g} cores are given to instances, {cores['free']:.3g} are free{free}"


def _scaling(found: dict[str, Any]) -> Iterator[str]:
    scaling, change = found.get("scaling"), found["change"]
    if scaling:
        advice = f"; it would do: {scaling['advice']}" if scaling["advice"] else ""
        costs = ", by costs as they run ('lego profile' gives estimates)" if scaling["costs"] == "learned" else ""
        yield f"policy: {scaling['policy']}, {scaling['mode']}{costs}{advice}"
    if change:
        yield f"in flight: {change['kind']}" + (f" ({change['asked']})" if change.get("asked") else f" of instance {change['instance']}")


def _promise(sla: dict[str, Any]) -> str:
    parts = [f"latency {sla['latency_ms']:g} ms"] if sla["latency_ms"] is not None else []
    parts += [f"loss {sla['loss']:.2%}"] if sla["loss"] is not None else []
    broken = [f"[red]broken by instance {instance}: {', '.join(what)}[/red]" for instance, what in sla["broken"].items()]
    counted = ", ".join(f"{what} {count}" for what, count in sla["violations"].items())
    told = f"promise: {', '.join(parts)}: {'; '.join(broken) or ('kept' if sla['windows'] else 'not judged yet')}"
    told += f"; windows of {sla['window_s']:g} s broken so far: {counted}" if counted else ""
    return told + (f"; [yellow]{sla['problem']}[/yellow]" if sla["problem"] else "")


def held_up(found: dict[str, Any]) -> Iterator[str]:
    """What holds each instance up."""
    for one in found["instances"]:
        seen = one.get("bottleneck")
        if seen and seen["cause"]:
            yield f"instance {one['instance']} is held up ({seen['cause']}): {seen['evidence']}"


def exactness(found: dict[str, Any]) -> Iterator[str]:
    """Which instances are exact since their start; of the others, from where on not, why, and since when nothing was lost."""
    told = {one["instance"]: one["exact"] for one in found["instances"] if one.get("exact")}
    sound = [str(number) for number, exact in told.items() if exact["inexact"] is None]
    if sound:
        yield f"exact: instance{'s' * (len(sound) > 1)} {', '.join(sound)}, nothing was lost since the start"
    for number, exact in told.items():
        if exact["inexact"] is not None:
            stamp = exact["inexact"]["stamp"]
            where = f"{_clock(exact['inexact']['time'])}" + (f" (packet {stamp})" if stamp else "")
            losses = ", ".join(f"{reason} {count:,}" for reason, count in exact["losses"].items())
            yield f"not exact: instance {number} from {where} on: {losses}; nothing was lost since {_clock(exact['since'])}"


def odd(found: dict[str, Any]) -> Iterator[str]:
    """Packets that cannot be split by their addresses, and frames that are none of the switch's."""
    words = {"by_mac": "by MAC only", "no_address": "without an address", "foreign": "frames that are none of the switch's packets"}
    for one in found["instances"]:
        told = [f"{count:,} {words[name]}" for name, count in (one.get("odd") or {}).items() if count and name in words]
        if told:
            yield f"instance {one['instance']} took {', '.join(told)}"


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time).strftime("%H:%M:%S")


def instances(rows: Sequence[dict[str, Any]]) -> Grid:
    """A line for each instance."""
    names = ("instance", "phase", "port", "buckets", "packets/s", "CPU of quota", "queue", "lost/s", "µs/packet", *STAMPS)
    table = Grid(*names, left=("phase",))
    for row in rows:
        load, stamps = row.get("load"), row.get("stamps")
        cells = ["" if row[key] is None else str(row[key]) for key in ("instance", "phase", "ofport", "buckets")]
        if load:
            cells += [f"{load['packets']:.0f}", f"{load['cpu']:.0%}", f"{load['queue']:.0%}"]
            cells += [f"{load['drops']:.0f}", f"{load['service_us']:.1f}"]
        if stamps:
            cells += [""] * (len(names) - len(STAMPS) - len(cells))
            cells += [f"{stamps[name]:,}" for name in STAMPS]
        table.add_row(*cells)
    return table


def bricks(rows: Sequence[dict[str, Any]]) -> Grid:
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
        "lost",
    )
    table = Grid(*names, "state", left=("brick", "process", "state"), keys=2)
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
        return wait, "", "", ""
    allowed = _number(part.get("may_lose"), " of {:.2%}")
    lost = _number(part.get("lost"), "{:.2%}") + allowed + ("" if part["kept"] else " !")
    return wait, _number(part["ms"], "{:.2f}"), "" if part["ms"] is None else f"{part['late']:.1%}", lost


def _state(row: dict[str, Any]) -> str | Text:
    verdict = row.get("verdict", "")
    return {"easy": "", "slow": Text("slow", style="red")}.get(verdict, verdict)


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "" if value is None else form.format(value * scale)
