"""The northbound and west-east interfaces of a brick process: what it answers, and its load report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from bricks.runtime.pipeline import Pipeline
from bricks.runtime.stage import Rings
from bricks.service.handover import HandoverCalls
from bricks.service.takeover import TakeOverCalls
from bricks.service.usage import Usage
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.keys import are_amounts

CAPTURE = ("received", "kernel_drops", "queue", "shadows", "gaps", "repeats", "reordered")
STAMPS = ("late", "implausible", "set_back", "foreign")  # of a ring: what cannot be put in order, or is none of the switch's packets
HELD = ("holds_expired", "expired", "held_dropped", "held_shadows_dropped")  # of a source whose packets may have to wait


class Northbound:
    """Answers calls about one process between two batches. `drain` and `stop` are the main loop's, which owns time."""

    def __init__(self, process: Pipeline, drain: Callable[[float], None], stop: Callable[[], None], clock: Clock = time.monotonic) -> None:
        self.process, self._drain, self._stop, self._clock = process, drain, stop, clock
        self._began, self._usage = clock(), Usage(process.spec.cgroup, clock)

    def handlers(self) -> dict[str, Callable]:
        names = "load alerts scores routes inputs deadlines drain stop"
        moves = HandoverCalls(self.process, self._clock)
        own = {name: getattr(self, name) for name in names.split()}
        return own | moves.handlers() | TakeOverCalls(self.process, moves).handlers()

    def load(self) -> dict[str, Any]:
        """The load report: totals since start."""
        process, now = self.process, self._clock()
        capture = process.source.report() if process.source is not None else None
        return {
            "instance": process.spec.instance,
            "process": process.spec.process,
            "pid": os.getpid(),
            "time": now,
            "uptime_s": now - self._began,
            "cpu_s": time.process_time(),
            **self._usage.report(),
            "capture": capture and _shown(capture),
            "bricks": [stage.report() for stage in process.stages],
        }

    def alerts(self, since: int) -> dict[str, Any]:
        """Alerts from number `since` on. BrickError if the brick that raises them is elsewhere."""
        brick = self.process.stages[-1].brick
        if not hasattr(brick, "alerts"):
            raise BrickError(f"process {self.process.spec.process} raises no alerts; the last brick of the graph does")
        return brick.alerts(since)

    def scores(self, since: int) -> dict[str, Any]:
        """Scores of the sampled buckets from number `since` on, as `Sampled.since` has them; none where none are kept."""
        kept = self.process.sampled
        return kept.since(since) if kept is not None else {"next": since, "missed": 0, "more": False, "records": b""}

    def routes(self, table: dict[str, Rings], seats: list[str] | None = None) -> bool:
        """Replace the routing table of each named brick: rings to its next hops in other processes; of one with several edges, by node.

        `seats`: the bricks of this process that are idle seats from now on: the brick before one has it as a next hop no more.
        """
        for stage, rings in self._stages(table):
            stage.set_outputs(rings, self.process.spec.batch)
        if seats is not None:
            self.process.set_seats(seats)
        return True

    def inputs(self, table: dict[str, Rings]) -> bool:
        """Replace the set of rings that each named brick reads."""
        for stage, rings in self._stages(table):
            stage.set_inputs(rings, self.process.spec.batch)
        return True

    def deadlines(self, ms: dict[str, float]) -> bool:
        """Milliseconds from a row's arrival before a brick to its result, by kind; those not named have no deadline."""
        if not are_amounts(ms):
            raise BrickError(f"wanted a map from kinds of bricks to milliseconds, found {ms!r}")
        self.process.set_deadlines(ms)
        return True

    def drain(self, deadline_ms: float) -> dict[str, Any]:
        """Work until nothing waits and nothing has come for 50 ms, or the deadline; the load report then."""
        self._drain(deadline_ms / 1e3)
        return self.load()

    def stop(self) -> bool:
        """The process ends after this answer."""
        self._stop()
        return True

    def _stages(self, table: Any) -> list:
        """Stages and their new rings, all checked before one is changed."""
        if not isinstance(table, dict) or not all(isinstance(rings, (list, dict)) for rings in table.values()):
            raise BrickError(f"wanted a map from bricks to rings, found {table!r}")
        return [(self.process.stage(brick), rings) for brick, rings in table.items()]


def _shown(capture: dict[str, Any]) -> dict[str, Any]:
    """What a load report says of the interface."""
    named = {name: capture[name] for name in (*CAPTURE, *STAMPS, *HELD) if name in capture or name in CAPTURE}
    return named | {"next_stamp": max(0, int(capture.get("last", -1)) + 1)}
