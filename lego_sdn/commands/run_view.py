"""What `lego run` shows: on a terminal a live table, elsewhere a line for each thing that happens; at the end a summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from lego_sdn.adapters.terminal.tables import Grid, open_console

if TYPE_CHECKING:
    from lego_sdn.experiments.accounting import RunSummary
    from lego_sdn.experiments.run import RunObservation

SHOWN_ACTIONS, SHOWN_SOURCES = 8, 5
EVERY = 8  # looks between two lines where there is no terminal


class View:
    """Everything goes to standard output; `quiet` sends it to standard error, for JSON."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = open_console(stderr=quiet)
        self._live: Live | None = None
        self._actions: list[dict[str, Any]] = []
        self._looks = 0

    def say(self, line: str) -> None:
        """One line of progress."""
        self.console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def live(self) -> Iterator[None]:
        """The body's `show` redraws one picture, if this is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, seen: RunObservation) -> None:
        """One look at the running system."""
        self._actions += seen.events
        if self._live is not None:
            parts = _instances(seen), _bricks(seen), _actions(self._actions[-SHOWN_ACTIONS:])
            self._live.update(Group(*parts), refresh=True)
            return
        for event in seen.events:
            self.say(_line(event))
        if self._looks % EVERY == 0:
            self.say(_state(seen))
        self._looks += 1

    def summary(self, summary: RunSummary) -> None:
        """The account of a run."""
        facts = Grid("what", "count", title="what became of the packets", left=("what", "count"), header=False)
        compared, sent = summary.comparison, summary.sent
        rate = sent / summary.seconds if summary.seconds else 0.0
        facts.add_row("sent", f"{sent:,} in {summary.seconds:.1f} s ({rate:,.0f} packets/s)")
        facts.add_row("forwarded", f"{summary.forwarded:,}")
        facts.add_row("scored", f"{compared.scored:,}; twice: {compared.twice:,}")
        for reason, count in summary.dropped.items():
            facts.add_row(f"dropped: {reason}", f"{count:,}")
        facts.add_row("missing", f"{summary.missing:,}")
        if summary.extra:
            facts.add_row("more than were sent", f"{summary.extra:,}")
        facts.add_row("equal to the unsplit run", f"{compared.equal:,} of {compared.scored:,} ({compared.equal_share:.3%}), bit for bit")
        if compared.first_difference is not None:
            facts.add_row("first difference", f"packet {compared.first_difference:,}")
        machine = summary.machine
        facts.add_row("machine", f"{machine['cpu']}, {machine['cores']} cores")
        quota = "no limit" if machine["cpu_quota"] is None else f"{machine['cpu_quota']:g} cores"
        facts.add_row("CPU of each process", f"{quota}; bricks {machine['placement']}")
        if self.console.is_terminal:  # elsewhere they have been printed as they came
            self.console.print(_actions(self._actions))
        self.console.print(facts, _sources(summary.alerts))


def _line(event: dict[str, Any]) -> str:
    from datetime import datetime

    clock = datetime.fromtimestamp(event["time"]).strftime("%H:%M:%S.%f")[:-4]
    return f"{clock}  {event['kind']:<10} {event['text']}"


def _state(seen: RunObservation) -> str:
    rate = sum(row["packets_per_s"] for row in seen.bricks["bricks"] if row["kind"] == "sample-result")
    loads = [f"{one['instance']}: {_percent(one)}" for one in seen.status["instances"]]
    return f"          {rate:>10,.0f} packets/s scored; CPU of quota by instance {', '.join(loads)}; alerts {seen.status['alerts']:,}"


def _percent(one: dict[str, Any]) -> str:
    return f"{one['load']['cpu']:.0%}" if "load" in one else one["phase"]


def _instances(seen: RunObservation) -> Grid:
    names = ("instance", "phase", "port", "buckets", "CPU of quota", "ring filled", "packets/s", "drops/s")
    table = Grid(*names, title="instances")
    for one in seen.status["instances"]:
        load = one.get("load")
        shown = [f"{load['cpu']:.0%}", f"{load['queue']:.0%}", f"{load['packets']:,.0f}", f"{load['drops']:,.0f}"] if load else []
        table.add_row(str(one["instance"]), one["phase"], str(one["ofport"]), str(one["buckets"]), *shown)
    return table


def _bricks(seen: RunObservation) -> Grid:
    table = Grid("kind", "replicas", "packets/s", "CPU s", "µs/packet", "queue", title="bricks", left=("kind",))
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in seen.bricks["bricks"]:
        kinds.setdefault(row["kind"], []).append(row)
    for kind, rows in kinds.items():
        rate, cpu, queue = (sum(row[key] for row in rows) for key in ("packets_per_s", "cpu_s", "queue_in"))
        slowest = max(row["service_us"] for row in rows)
        table.add_row(kind, str(len(rows)), f"{rate:,.0f}", f"{cpu:.2f}", f"{slowest:.1f}", f"{queue:,}")
    return table


def _actions(events: list[dict[str, Any]]) -> Group:
    return Group(Text("actions", style="italic"), *(Text(_line(event), overflow="fold") for event in events))


def _sources(alerts: dict[str, int]) -> Grid:
    table = Grid("alerts by source", f"{sum(alerts.values()):,}", left=("alerts by source",))
    for source, count in list(alerts.items())[:SHOWN_SOURCES]:
        table.add_row(source, f"{count:,}")
    return table
