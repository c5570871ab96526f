"""The same load scaled brick by brick by LEGO, and by whole instances only, which is what an autoscaler of pods does.

Same machine, same switch, same model, same CPU for a process; packets keep the kernel's stamp of their arrival, so the delay of each is
known. What differs is the policy: `bricks` may separate and replicate single bricks, `water-marks` knows whole instances only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bricks.nfs.registry import load
from lego_sdn.core.facts.config import Config, InstanceSettings, ScalingSettings, SlaSettings
from lego_sdn.experiments.paper.delays import EVERY_S, Delays, Window, window
from lego_sdn.experiments.paper.figure4 import NF, SLOW_US
from lego_sdn.experiments.paper.inputs import PaperInputs
from lego_sdn.experiments.paper.lab import Lab, Offered, require_running
from lego_sdn.experiments.paper.meter import Sample, SystemMeter

BY_BRICKS, BY_INSTANCES = "brick by brick (LEGO)", "whole instances only"
POLICIES = {BY_BRICKS: "bricks", BY_INSTANCES: "water-marks"}
WINDOW_S = 0.5
TOLERANCE = 0.01  # share of the packets that may be later


@dataclass(frozen=True)
class Square:
    """A square load: packets/s `low`, then `high`, then `low` again, each for so many seconds."""

    low: float
    high: float
    seconds: tuple[float, float, float]

    @property
    def shape(self) -> str:
        """As `lego replay --shape` reads it."""
        rates = self.low, self.high, self.low
        return ",".join(f"{seconds:g}:{rate:g}" for seconds, rate in zip(self.seconds, rates, strict=True))

    def offered(self, at: float) -> float:
        """Packets/s at a time of the run."""
        return self.high if self.seconds[0] <= at < self.seconds[0] + self.seconds[1] else self.low


@dataclass(frozen=True)
class AutoscalePlan:
    """What both ways are given.

    quota    of every process, in cores; most: instances at the most
    sla_ms   that 99 % of the packets of a window must not exceed from the interface to the score; the controller is told so, too
    """

    inputs: PaperInputs
    load: Square
    folder: Path
    quota: float = 0.2
    sla_ms: float = 500.0
    most: int = 4
    slow_us: dict[str, float] = field(default_factory=lambda: dict(SLOW_US))
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class ScalingWay:
    """What came out one way: looks, windows, the controller's events."""

    name: str
    plan: AutoscalePlan
    samples: tuple[Sample, ...]
    windows: tuple[Window, ...]
    events: tuple[dict[str, Any], ...]

    @property
    def broken(self) -> list[Window]:
        """Windows in which the SLA did not hold: packets too late, or nothing scored at all though much is offered."""
        return [one for one in self.windows if one.delay_ms > self.plan.sla_ms or not one.scored]

    @property
    def restored_s(self) -> float | None:
        """Seconds from the rise of the load until the SLA held again for the rest of the run; None: it never did. 0: it was kept."""
        rise = self.plan.load.seconds[0]
        late = [one.at for one in self.broken if one.at > rise]
        if not late:
            return 0.0
        return None if late[-1] >= self.windows[-1].at else late[-1] - rise

    @property
    def given_s(self) -> float:
        """CPU seconds that the quotas allowed, whether used or not: what must be set aside."""
        pairs = zip(self.samples, self.samples[1:], strict=False)
        return sum(now.cores * (then.at - now.at) for now, then in pairs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        last = self.samples[-1]
        return {
            "way": self.name,
            "restored_s": self.restored_s,
            "windows_broken": len(self.broken),
            "windows": len(self.windows),
            "worst_ms": max((one.delay_ms for one in self.windows), default=0.0),
            "scored": sum(one.scored for one in self.windows),
            "cpu_given_s": self.given_s,
            "cpu_used_s": last.used_s,
            "most_cores": max(sample.cores for sample in self.samples),
            "memory_mean": sum(sample.memory for sample in self.samples) / len(self.samples),
            "memory_most": max(sample.memory for sample in self.samples),
            "most_processes": max(sample.processes for sample in self.samples),
            "most_instances": max(sample.instances for sample in self.samples),
            "samples": [asdict(sample) for sample in self.samples],
            "delays": [asdict(one) for one in self.windows],
            "sla_events": [event["text"] for event in self.events if event["kind"] == "sla"],
            "events": list(self.events),
        }


def measure(plan: AutoscalePlan) -> list[ScalingWay]:
    """Both ways, one after the other."""
    return [_way(plan, at, name) for at, name in enumerate(POLICIES)]


def _config(plan: AutoscalePlan, policy: str) -> Config:
    return Config(
        model=str(plan.inputs.model),
        layout=plan.inputs.layout,
        instance=InstanceSettings(cpu_quota=plan.quota, batch=16, slow_us=plan.slow_us),
        scaling=ScalingSettings(policy=policy, max_instances=plan.most, period_s=0.5, cooldown_s=1.0, down_after=8, reallocate=False),
        sla=SlaSettings(latency_ms=plan.sla_ms, tolerance=TOLERANCE, window_s=2 * WINDOW_S),
    )


def _way(plan: AutoscalePlan, at: int, name: str) -> ScalingWay:
    plan.say(f"{name}: {plan.load.shape} (seconds:packets/s)")
    with Lab(_config(plan, POLICIES[name]), plan.folder / f"way{at}", plan.say, scores=True) as lab:
        told = lab.get("events?limit=10000")["next"]
        replay = lab.replay(Offered(plan.inputs.captures, ("--shape", plan.load.shape)))
        delays = Delays(lab.folder / "scores")
        lab.wait_for("a packet scored", lambda: len(delays.look()) > 0, lambda: require_running(replay))
        lab.ask("resume")
        meter, windows = SystemMeter(lab, load(NF).graph.ends[-1]), []
        total = sum(plan.load.seconds)
        while (seen := _window(meter, delays)).at < total:
            windows.append(seen)
            meter.look()
        if replay.poll():
            require_running(replay)
        events = lab.get(f"events?after={told}&limit=1000")["events"]
        return ScalingWay(name, plan, tuple(meter.samples), tuple(windows), tuple(events))


def _window(meter: SystemMeter, delays: Delays) -> Window:
    """The next window's delays."""
    found, deadline = [], time.monotonic() + WINDOW_S
    while time.monotonic() < deadline:
        time.sleep(EVERY_S)  # the pace of looking, not a wait for a fact
        found.append(delays.look())
    return window(time.monotonic() - meter.began, found)
