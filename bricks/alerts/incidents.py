"""Alerts of one source and kind become one incident, with exact counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1

import numpy as np

from bricks.explanation.shares import MIXED
from bricks.records.addresses import ADDRESS, addresses

IDLE_NS = 60 * 10**9
MOST = 4096  # open ones
_KEY = np.dtype([("address", ADDRESS), ("kind", "i1")])


@dataclass(frozen=True)
class Alert:
    """One alert: its packet (PACKET, one row), score, and explanation (EXPLAINED, one record; None without one)."""

    packet: np.void
    score: float
    explained: np.void | None

    @property
    def kind(self) -> int:
        return int(self.explained["kind"]) if self.explained is not None else MIXED


@dataclass(frozen=True)
class IncidentNote:
    """How an incident stands. `state` is "open" or "end"; times in nanoseconds; `count` alerts, `peak` the highest score of them."""

    id: str
    state: str
    count: int
    first_ns: int
    last_ns: int
    peak: float


@dataclass
class _Incident:
    id: str
    first_ns: int
    count: int
    last_ns: int
    peak: float
    latest: Alert

    def note(self, state: str) -> IncidentNote:
        return IncidentNote(self.id, state, self.count, self.first_ns, self.last_ns, self.peak)


Told = tuple[Alert, IncidentNote]


class Incidents:
    """Incidents by source and kind. One opens with its first alert. It is told then, at its 10th, 100th, 1,000th... alert, and at its end.
    It ends when no alert came for `idle_ns`, or when more than `most` are open and it was quiet longest.

    Each alert is in one incident, and the counts at the ends add up to all alerts, wherever batches are cut.
    """

    def __init__(self, idle_ns: int = IDLE_NS, most: int = MOST) -> None:
        self.idle_ns, self.most = idle_ns, most
        self.opened = self.crowded_out = 0
        self._open: dict[bytes, _Incident] = {}  # the one that was quiet longest first

    @property
    def open(self) -> int:
        return len(self._open)

    def add(self, packets: np.ndarray, scores: np.ndarray, explained: np.ndarray | None) -> list[Told]:
        """What is to be told after these alerts: PACKET [n], float64 [n] and EXPLAINED [n] or None, in stamp order."""
        keys = np.zeros(len(packets), _KEY)
        keys["address"] = addresses(packets)
        keys["kind"] = MIXED if explained is None else explained["kind"]
        found, inverse = np.unique(keys, return_inverse=True)
        order, told = np.argsort(inverse, kind="stable"), []
        parts = np.split(order, np.cumsum(np.bincount(inverse, minlength=len(found)))[:-1])
        for key, rows in sorted(zip(found, parts, strict=True), key=lambda part: int(part[1][0])):
            for run in np.split(rows, np.flatnonzero(np.diff(packets["time_ns"][rows]) > self.idle_ns) + 1):
                told += self._count(key.tobytes(), run, packets, scores, explained)
        return sorted(told, key=lambda pair: pair[1].last_ns)

    def _count(self, key: bytes, rows: np.ndarray, packets: np.ndarray, scores: np.ndarray, explained: np.ndarray | None) -> Iterator[Told]:
        """Take in alerts, none of which is idle_ns after the one before it."""

        def alert(row: int) -> Alert:
            return Alert(packets[row].copy(), float(scores[row]), None if explained is None else explained[row].copy())

        times = packets["time_ns"][rows]
        incident = self._open.pop(key, None)
        if incident is not None and int(times[0]) - incident.last_ns > self.idle_ns:
            yield incident.latest, incident.note("end")
            incident = None
        if incident is None:
            incident = _Incident(_name(key, packets[rows[0]]), int(times[0]), 0, int(times[0]), -np.inf, alert(rows[0]))
            self.opened += 1
        peak, before, step = incident.peak, incident.count, 1
        while step <= before + len(rows):
            if step > before:
                upto = step - before
                peak = max(incident.peak, float(scores[rows[:upto]].max()))
                yield alert(rows[upto - 1]), IncidentNote(incident.id, "open", step, incident.first_ns, int(times[upto - 1]), peak)
            step *= 10
        incident.count, incident.last_ns = before + len(rows), max(incident.last_ns, int(times.max()))
        incident.peak, incident.latest = max(incident.peak, float(scores[rows].max())), alert(rows[-1])
        self._open[key] = incident
        if len(self._open) > self.most:
            self.crowded_out += 1
            yield self._end(next(iter(self._open)))

    def expire(self, now_ns: int) -> list[Told]:
        """Ends of the incidents that had no alert for `idle_ns`."""
        ended = []
        while self._open and now_ns - next(iter(self._open.values())).last_ns > self.idle_ns:
            ended.append(self._end(next(iter(self._open))))
        return ended

    def end(self) -> list[Told]:
        """Ends of all that are open."""
        return [self._end(key) for key in list(self._open)]

    def _end(self, key: bytes) -> Told:
        incident = self._open.pop(key)
        return incident.latest, incident.note("end")


def _name(key: bytes, packet: np.void) -> str:
    """The same for the same alerts, in whatever process."""
    return sha1(key + packet["seq"].tobytes() + packet["time_ns"].tobytes()).hexdigest()[:16]
