"""Instances are killed under traffic, each time another process at another moment: how soon the standby scores, and that no score is lost
or differs. `--runs` says how many are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bricks.files.scores import SCORE, read_scores
from lego_sdn.experiments.bench.generator import Generator, GeneratorPlan
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.moves import talk
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.running import INSIDE, RunningSystem
from lego_sdn.experiments.bench.unsplit import UnsplitRun
from lego_sdn.system import machine

SOURCES, PPS = 500, 20_000
ROUND_S, LATEST_S = 2.0, 1.2  # of traffic for each kill; before the end of it nobody is killed any more
INSTANCES, STILL_S = 2, 2.0
SEED = 11

TIME = Row("failover", f"an instance is killed at {PPS:,} packets/s: until the standby gives the first score", "ms", 100, 30, fewer=True)
LOST = Row.of_losses("failover.lost", "packets without a score after an instance was killed")
DIFFERENT = Row.of_losses("failover.different", "scores whose bits are not those of the unsplit run, repeats among them")
ROWS = (TIME, LOST, DIFFERENT)


def measure(bench: Bench, wanted: frozenset[str]) -> Iterator[Result]:
    if not machine.is_root():
        yield from (Result(row, skipped="needs root, for the switch and namespaces") for row in ROWS if row.name in wanted)
        return
    folder = bench.folder / "failover"
    folder.mkdir()
    with RunningSystem(folder, bench.model_file, "trailer", standby=1) as running:
        deaths = _Deaths(bench, running)
        seen = [deaths.one() for _ in range(bench.runs)]
    note = f"{np.median([one.scored for one in seen]):,.0f} packets were not scored when an instance was killed"
    yield Result(TIME, tuple(one.ms for one in seen), note=note, detail={"killed": [one.killed for one in seen]})
    note = f"of {deaths.first:,}; {sum(one.before_the_switch for one in seen):,} besides were lost before the switch"
    yield Result(LOST, tuple(float(one.lost) for one in seen), note=note, detail={"inexact": deaths.inexact})
    repeated = f"{sum(one.repeated for one in seen):,} scores were given twice, with the same bits unless they count here"
    yield Result(DIFFERENT, tuple(float(one.different) for one in seen), note=f"of {deaths.first:,}; {repeated}")


@dataclass(frozen=True)
class _Death:
    """ms: from the kill to the first score of the standby; scored: packets that it scored at once; killed: which process."""

    ms: float
    scored: int
    killed: str
    lost: int
    different: int
    repeated: int
    before_the_switch: int


@dataclass
class _Deaths:
    """One after the other. `first`: the next stamp; `inexact`: what the controller told of scores that may differ."""

    bench: Bench
    running: RunningSystem
    first: int = 0
    inexact: list[str] = field(default_factory=list)
    entered: int = 0
    event: int = 0
    choice: random.Random = field(default_factory=lambda: random.Random(SEED))
    read: dict[Path, int] = field(default_factory=dict)  # records of each score file so far

    def __post_init__(self) -> None:
        self.frames, self.packets = talk(self.bench, SOURCES)
        self.unsplit = UnsplitRun(self.bench.model)
        self.running.ask("replicate")
        self._await_standby()

    def _await_standby(self) -> None:
        ready = "instances and a standby"
        self.running.wait_for(ready, lambda: self.running.settled(INSTANCES) and self.running.get("status")["standby"]["phase"] == "ready")

    def one(self) -> _Death:
        """Some traffic, in which an instance is killed; and another standby afterwards."""
        self._events()
        at_s = self.choice.uniform(0.2, LATEST_S)
        everywhere = frozenset(os.sched_getaffinity(0))
        plan = GeneratorPlan(self.frames, INSIDE, PPS, ROUND_S, everywhere, self.running.source, self.first)
        began = time.monotonic()
        with Generator(plan) as generator:
            self.running.wait_for("the moment", lambda: time.monotonic() > began + at_s)
            killed, at = self._kill()
            took = self._took_over()
            sent = generator.result().sent
        records = self._records(sent)
        death = self._account(records, sent, (1e3 * (took["at"] - at), took["scored"], killed))
        self.first += sent
        self._await_standby()
        return death

    def _kill(self) -> tuple[str, float]:
        """kill -9 of any process of any instance but the standby: its name, and when (epoch seconds)."""
        standby = self.running.get("status")["standby"]["instance"]
        there = [one for one in self.running.agent.call("instances") if one["instance"] != standby and one["state"] == "running"]
        process = self.choice.choice([process for one in there for process in one["processes"]])
        at = time.time()
        os.kill(process["pid"], signal.SIGKILL)
        return process["process"], at

    def _took_over(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def told() -> bool:
            found.extend(event["fields"] for event in self._events() if event["type"] == "StandbyTookOver")
            return bool(found)

        self.running.wait_for("the standby took over", told)
        return found[0]

    def _events(self) -> list[dict[str, Any]]:
        told = self.running.get(f"events?after={self.event}&limit=1000")
        self.event = told["next"]
        self.inexact += [event["text"] for event in told["events"] if event["kind"] == "inexact"]
        events: list[dict[str, Any]] = told["events"]
        return events

    def _records(self, sent: int) -> np.ndarray:
        """New SCORE records of all files, once all have come or no more come."""
        parts = [np.empty(0, SCORE)]
        last = [time.monotonic()]

        def come() -> bool:
            new = list(self._new())
            if new:
                parts.extend(new)
                last[0] = time.monotonic()
            stamps = np.unique(np.concatenate(parts)["seq"])
            return len(stamps) >= sent or time.monotonic() > last[0] + STILL_S

        self.running.wait_for("scores", come)
        return np.concatenate(parts)

    def _new(self) -> Iterator[np.ndarray]:
        for path in sorted(self.running.scores.iterdir()):
            records = read_scores(path)[self.read.get(path, 0) :]
            self.read[path] = self.read.get(path, 0) + len(records)
            if len(records):
                yield records

    def _account(self, records: np.ndarray, sent: int, told: tuple[float, int, str]) -> _Death:
        seqs, at, back = np.unique(records["seq"].astype(np.int64), return_index=True, return_inverse=True)
        scores = self.unsplit.scores(self.packets[(seqs - self.first) % len(self.packets)], records[at])
        given = np.ascontiguousarray(records["score"]).view(np.uint64)
        different = int(np.count_nonzero(given != scores.view(np.uint64)[back]))
        missing = sent - len(seqs)
        before = missing if missing == 0 else sent - (self.running.entered_at_rest() - self.entered)
        self.entered += sent - before
        return _Death(*told, missing - before, different, len(records) - len(seqs), before)
