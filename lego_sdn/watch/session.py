"""Watching traffic in one process: learn a model if there is none, then score every packet and tell of alerts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bricks.alerts.eve import AlertEvents, Sensor, stats_event
from bricks.alerts.incidents import Incidents
from bricks.alerts.sink import AlertSink
from bricks.learning.live import LiveTraining, report_text
from bricks.learning.training import Training
from bricks.models.model_file import Model, save_model
from bricks.offline.scoring import Scoring
from lego_sdn.adapters.eve.writer import EveWriter
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.watch.signals import ReceivedSignals

STATS_S = 8.0  # between two `stats` events

Say = Callable[[str], None]


@dataclass(frozen=True)
class Watch:
    """What is watched, and how. `model` None: learn by `training` first, and keep the model in `save_model`, if that is given.

    eve     where events go, or None
    tell    hears each event of an alert, for people; or None
    say     hears sentences about how it goes
    progress hears of each number of packets done
    """

    sensor: Sensor
    model: Model | None
    training: Training
    save_model: Path | None
    threshold: float | None
    workers: int
    streams: int
    every_alert: bool
    eve: EveWriter | None
    tell: Callable[[dict[str, Any]], None] | None
    say: Say
    progress: Callable[[int], None]

    def scoring(self, model: Model, skip: int = 0) -> Scoring:
        return Scoring(model, skip, self.workers, threshold=self.threshold, streams=self.streams, explain=True)


@dataclass
class Session:
    """One run: its alerts, its events, its counts. capture: kernel_packets, kernel_drops, errors, as far as there are any."""

    watch: Watch
    told: ReceivedSignals
    capture: dict[str, int] = field(default_factory=lambda: {"kernel_packets": 0, "kernel_drops": 0})
    packets: int = 0
    learned: int = 0
    sink: AlertSink | None = None
    began: float = field(default_factory=time.monotonic)
    _next_stats: float = 0.0
    _now_ns: int = 0

    def detect(self, model: Model) -> None:
        """From now on scores by this model raise alerts."""
        watch = self.watch
        events = AlertEvents(watch.sensor, model, watch.scoring(model).limit)
        self.sink = AlertSink(events, self._tell, None if watch.every_alert else Incidents())

    def learning(self) -> None:
        """The first packets are there to learn from."""
        self.watch.say(f"learning from the first {self.watch.training.vectors:,} packets")

    def keep(self, training: LiveTraining) -> Model:
        """The model that was learned, written if that is wanted."""
        model = training.model()
        for sentence in report_text(model.about["report"]):
            self.watch.say(sentence)
        if self.watch.save_model is not None:
            try:
                save_model(model, self.watch.save_model)
                self.watch.say(f"the model is in {self.watch.save_model}")
            except ModelError as error:  # what was learned is used all the same
                self.watch.say(str(error))
        return model

    def _tell(self, events: Sequence[dict[str, Any]]) -> None:
        if self.watch.eve is not None:
            self.watch.eve.write(events)
        if self.watch.tell is not None:
            for event in events:
                self.watch.tell(event)

    def tick(self, now_ns: int) -> None:
        """Between batches: signals, sockets, statistics. `now_ns`: the time that a `stats` event bears."""
        self._now_ns, eve = now_ns, self.watch.eve
        if eve is None:
            return
        if self.told.reopen:
            self.told.reopen = False
            eve.output.reopen()
        eve.output.tick()
        if time.monotonic() >= self._next_stats:
            self._next_stats = time.monotonic() + STATS_S
            self._write_stats(now_ns)

    def _write_stats(self, now_ns: int) -> None:
        assert self.watch.eve is not None
        self.watch.eve.write([stats_event(self.watch.sensor, now_ns, int(time.monotonic() - self.began), self.capture)])

    def end(self) -> None:
        """Write what is left."""
        if self.sink is not None:
            self.sink.end()
        if self.watch.eve is not None:
            self._write_stats(self._now_ns)
            self.watch.eve.output.close()

    def summary(self) -> dict[str, Any]:
        sink, eve = self.sink, self.watch.eve
        result = sink.result if sink is not None else None
        incidents = sink.incidents if sink is not None else None
        return {
            "packets": self.packets,
            "learned": self.learned,
            "scored": result.counters["packets"] if result else 0,
            "alerts": result.counters["alerts"] if result else 0,
            "threshold": result.threshold if result else None,
            "incidents": incidents.opened if incidents else None,
            "by_source": dict(list(result.by_source.items())[:20]) if result else {},
            "late": sink.late if sink else 0,
            "kernel_drops": self.capture.get("kernel_drops", 0),
            "events": {**eve.counters} if eve else None,
            "seconds": time.monotonic() - self.began,
        }
