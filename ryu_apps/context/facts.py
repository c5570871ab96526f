"""What the controller has observed last, for REST and metrics: plain values, each part written by one app."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.flow_rules import Cookie, Flow, Port

ProcessKey = tuple[int, str, int]  # instance, process, pid
KEPT_ALERTS = 1000
KEPT_SOURCES = 4096  # of processes that are gone
SHOWN_SOURCES = 20
KEPT_STEERINGS = 100
KEPT_FINISHED = 1000
KEPT_MOVES = 1000


@dataclass
class ObservedProcess:
    """A brick process as the monitor sees it. `report`: its last load report, got at `at` (monotonic seconds)."""

    instance: int
    process: str
    socket: str
    pid: int
    bricks: tuple[str, ...] = ()
    report: dict[str, Any] | None = None
    rates: dict[str, float] = field(default_factory=dict)  # packets/s by brick id
    cpu: float = 0.0  # cores in use
    at: float = 0.0
    silent_since: float | None = None
    given_up: bool = False  # it was silent for so long that nobody waits for it any more
    error: str | None = None

    def stays_silent(self, error: str, now: float, patience_s: float) -> bool:
        """It did not answer; whether it is given up for that: after `patience_s`, and again after that, as long as nothing comes of it."""
        since, self.error = self.silent_since, error
        given_up = since is not None and now - since > patience_s
        self.silent_since = now if since is None or given_up else since
        self.given_up = self.given_up or given_up
        return given_up


@dataclass
class ObservedBridge:
    """A switch that connected. `steered`: whether it is the one that LEGO writes rules to; `error`: why it could not, last time.

    foreign  what is said of rules of others that take packets before LEGO's, if there are any
    """

    dpid: int
    name: str
    steered: bool
    since: float
    ports: Mapping[str, int] = field(default_factory=dict)
    counters: tuple[Port, ...] = ()
    rules: int = 0
    error: str | None = None
    foreign: str = ""


@dataclass
class Alerts:
    """The latest alerts, how many there were, and by source.

    by_process  of each process that runs, what it counts itself: bounded there, so that sources go again. `raised`: how many it raised
    ended       of processes that are gone, the sources with most alerts; ended_total: how many they raised
    """

    latest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_ALERTS))
    by_process: dict[ProcessKey, dict[str, int]] = field(default_factory=dict)
    raised: dict[ProcessKey, int] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    ended_total: int = 0
    _counted: dict[ProcessKey, int] = field(default_factory=dict)  # of these alerts, whose they were: of the latest processes

    def add(self, instance: int, alerts: Iterable[Mapping[str, Any]]) -> None:
        self.latest.extend({"instance": instance, **alert} for alert in alerts)

    def count(self, process: ProcessKey, raised: int, by_source: Mapping[str, int]) -> None:
        """What a process says of itself: alerts that it raised so far, and by source."""
        self.raised[process] = max(raised - self._counted.get(process, 0), self.raised.get(process, 0))
        self.by_process[process] = dict(by_source)

    def finish(self, report: Mapping[str, Any]) -> None:
        """The last load report of a process that ends."""
        raised = max((brick["counters"].get("alerts", 0) for brick in report["bricks"]), default=0)
        process = report["instance"], report["process"], report["pid"]
        if raised or process in self.raised:
            self.raised[process] = max(raised - self._counted.get(process, 0), self.raised.get(process, 0))

    def end(self, gone: Iterable[ProcessKey]) -> None:
        """Processes are gone: of each, its total and the sources with most alerts are kept."""
        for process in gone:
            raised = self.raised.pop(process, 0)
            self.ended_total += raised
            self.ended.update(self.by_process.pop(process, {}))
            self._counted[process] = self._counted.pop(process, 0) + raised  # it may be told of again
        for process in list(self._counted)[:-KEPT_FINISHED]:
            del self._counted[process]
        if len(self.ended) > KEPT_SOURCES:
            self.ended = Counter(dict(self.ended.most_common(KEPT_SOURCES // 2)))

    @property
    def total(self) -> int:
        """All alerts so far; never less than before."""
        return self.ended_total + sum(self.raised.values())

    @property
    def by_source(self) -> dict[str, int]:
        """Source -> alerts so far, as far as it is known, the most first."""
        total = Counter(self.ended)
        for counts in self.by_process.values():
            total.update(counts)
        return dict(total.most_common())

    @property
    def top(self) -> dict[str, int]:
        """The sources with most alerts."""
        return dict(list(self.by_source.items())[:SHOWN_SOURCES])


@dataclass
class Observed:
    """The whole: nothing here decides anything."""

    agent: dict[str, Any] | None = None
    agent_error: str = "it has not answered yet"
    bridges: dict[int, ObservedBridge] = field(default_factory=dict)
    processes: dict[tuple[int, str], ObservedProcess] = field(default_factory=dict)
    alerts: Alerts = field(default_factory=Alerts)
    steerings: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_STEERINGS))
    bucket_rates: dict[int, float] = field(default_factory=dict)
    moves: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MOVES))  # as `move_log.told` has them, oldest first
    port_losses: dict[int, float] = field(default_factory=dict)  # packets/s that the switch could not put out, by port
    finished: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_FINISHED))  # final load reports of what was stopped


class BucketRates:
    """Packets/s by source bucket, from the counters of the owner rules, taken again and again."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._at: float | None = None

    def take(self, flows: Iterable[Flow], now: float) -> dict[int, float]:
        """Rates since the last time; a rule that is new (its counter too) counts from its start. Empty the first time."""
        counts = {flow.rule.cookie: flow.packets for flow in flows}
        seconds, before = (now - self._at if self._at is not None else 0.0), self._before
        self._before, self._at = counts, now
        if seconds <= 0:
            return {}
        rates: Counter[int] = Counter()
        for code, packets in counts.items():
            cookie = Cookie.decode(code)
            if cookie is None or cookie.role != "owner" or cookie.bucket is None:
                continue
            earlier = before.get(code, 0)
            rates[cookie.bucket] += packets - earlier if packets >= earlier else packets
        return {bucket: packets / seconds for bucket, packets in rates.items()}

    def forget(self) -> None:
        """The switch is gone: its counters begin anew."""
        self._before, self._at = {}, None


class PortLosses:
    """Packets/s that a switch could not put out, by port, from its ports' counters."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._at: float | None = None

    def take(self, ports: Iterable[Port], now: float) -> dict[int, float]:
        """Rates since the last time, of the ports that lose any; a port that was not there then has none yet."""
        totals = {port.number: port.tx_dropped for port in ports}
        seconds, before = (now - self._at if self._at is not None else 0.0), self._before
        self._before, self._at = totals, now
        if seconds <= 0:
            return {}
        return {port: (total - before[port]) / seconds for port, total in totals.items() if total > before.get(port, total)}
