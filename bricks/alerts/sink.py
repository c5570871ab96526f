"""What becomes of scores: alerts, grouped into incidents, written as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bricks.alerts.eve import AlertEvents, events_of
from bricks.alerts.incidents import Alert, IncidentNote, Incidents
from bricks.records.brick import Batch
from bricks.sample_result import SampleResult

_SLICE = 1024  # alerts whose events are in memory together

Tell = Callable[[Sequence[dict]], None]


class AlertSink:
    """Takes scores of packets, raises alerts as the decision maker of an instance does, and tells of them.

    incidents  None: every alert is told
    tell       hears events, a batch of alerts at a time
    late       packets whose time is before that of the packet before them
    """

    def __init__(self, events: AlertEvents, tell: Tell, incidents: Incidents | None) -> None:
        self._events, self._tell, self.incidents = events, tell, incidents
        self.result = SampleResult(0, events.model, events.threshold)
        self.late = 0
        self._latest_ns: int | None = None

    def take(self, rows: np.ndarray, scores: np.ndarray, explained: np.ndarray | None) -> None:
        """PACKET [n] in stamp order, float64 [n], and EXPLAINED [n] or None."""
        if not len(rows):
            return
        self._see_times(rows["time_ns"])
        self.result.process(Batch(rows, scores.reshape(-1, 1)))
        raised = np.flatnonzero(scores > self.result.threshold)
        for first in range(0, len(raised), _SLICE):
            part = raised[first : first + _SLICE]
            self._raise(rows[part], scores[part], None if explained is None else explained[part])
        self.tick(self._latest_ns or 0)

    def _see_times(self, times: np.ndarray) -> None:
        before = times[0] if self._latest_ns is None else self._latest_ns
        highest = np.maximum.accumulate(np.concatenate(([before], times)))
        self.late += int(np.count_nonzero(times < highest[:-1]))
        self._latest_ns = int(highest[-1])

    def _raise(self, packets: np.ndarray, scores: np.ndarray, explained: np.ndarray | None) -> None:
        told: Sequence[tuple[Alert, IncidentNote | None]]
        if self.incidents is not None:
            told = self.incidents.add(packets, scores, explained)
        else:
            marks = [None] * len(packets) if explained is None else explained
            told = [(Alert(*parts), None) for parts in zip(packets, scores.tolist(), marks, strict=True)]
        self._say(told)

    def tick(self, now_ns: int) -> None:
        """It is as late as this: incidents without an alert for long end."""
        if self.incidents is not None:
            self._say(self.incidents.expire(now_ns))

    def end(self) -> None:
        """No packet comes any more."""
        if self.incidents is not None:
            self._say(self.incidents.end())

    def _say(self, told: Sequence[tuple[Alert, IncidentNote | None]]) -> None:
        if told:
            self._tell(events_of(self._events, told))
