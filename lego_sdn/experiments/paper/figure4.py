"""Figure 4 of the LEGO paper: throughput of the monolith, of LEGO with the same CPU, and of LEGO after it has replicated its bottleneck.

The paper gives the monolith five cores and LEGO one per brick. The monolith is one thread: of five cores it can use one. Here a core is
emulated by a CPU quota, the same for everyone, so the monolith gets one quota, which is all that it could use of five. A limit of five
quotas together for its single thread (`pooled`) emulates something else, one core that is five times as fast; no partition beats that,
because a chain of bricks costs at least what the whole costs. Both are measured.

What is predicted rests on costs that were measured in place (`in_place`), before any figure that they predict.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bricks.nfs.registry import load
from lego_sdn.core.cost.capacity import ProcessShare, kind_us, separate
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.change_notes import BrickChange
from lego_sdn.core.facts.config import CaptureSettings, Config, InstanceSettings, ScalingSettings
from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.paper.in_place import RESTS_ON, as_in_place, in_place, predicted
from lego_sdn.experiments.paper.lab import Lab, Offered, require_running
from lego_sdn.experiments.paper.meter import EVERY_S, Sample, SystemMeter
from lego_sdn.system.machine import machine

NF = "kitsune"
MONOLITH, POOLED, SEPARATE, GROWN = "monolith", "monolith, pooled", "LEGO", "LEGO, one more replica"
GROW_S = 60.0  # for the controller to detect the bottleneck and replicate it
FOR_EVER = 1_000_000  # rounds of a replay that is stopped


@dataclass(frozen=True)
class Figure4Setting:
    """What a run rests on.

    name     of the costs: native or paper
    quota    of every process, in cores: one emulated core; pps: offered, more than anyone can take
    slow_us  CPU burnt for every packet, by kind; batch: packets at the most; period_ms: over which quotas are reckoned
    """

    name: str
    quota: float
    pps: float
    batch: int = 256
    period_ms: int = 20
    slow_us: dict[str, float] = field(default_factory=dict)


# As in the paper a few hundred packets/s a core, and a learning network that costs more than twice what any other brick does.
SLOW_US = {
    "packet-batching": 50.0,
    "feature-quantization": 200.0,
    "feature-mapping": 100.0,
    "unsupervised-network": 500.0,
    "sample-result": 50.0,
}


def native(quota: float | None = None) -> Figure4Setting:
    """The bricks as they are. A small core, for the userspace switch has to carry more than all of them take; and a long period, for a
    brick that may run for 1 ms at a time does so with cold caches."""
    quota = quota or 0.02
    return Figure4Setting("native", quota, round(2.4e6 * quota), period_ms=200)


def paper(quota: float | None = None) -> Figure4Setting:
    """The bricks slowed down to costs like the paper's; small batches, which take as long as large ones of fast bricks."""
    quota = quota or 0.2
    return Figure4Setting("paper", quota, round(6000 * quota), batch=16, slow_us=SLOW_US)


@dataclass(frozen=True)
class Phase:
    """A time in which nothing was changed. `packets`: scored per second, the median; `samples` with the first seconds left out."""

    name: str
    cores: float
    samples: tuple[Sample, ...]

    @property
    def packets(self) -> float:
        return median(sample.scored for sample in self.samples)


@dataclass(frozen=True)
class Figure4Run:
    """A system from its start to its end: every look, and the phases, the first of which began at `since`: costs were measured before."""

    samples: tuple[Sample, ...]
    phases: tuple[Phase, ...]
    since: float = 0.0


@dataclass(frozen=True)
class Figure4Outcome:
    """What came out with one setting.

    replicated, at, said  which kind LEGO replicated by itself, when on the clock of its run, and its reason
    profiled  packets/s of LEGO, and with the replica, by the costs that `lego profile` found by pre-execution
    expected  the same by the costs measured in place, before either phase: the prediction
    cost_us, in_place_us  both costs: CPU of a packet in full batches by kind, carriage to the next process included; in place what the
              process does besides its brick, too
    """

    setting: Figure4Setting
    monolith: Figure4Run
    lego: Figure4Run
    replicated: str
    at: float
    said: str
    profiled: tuple[float, float]
    expected: tuple[float, float]
    cost_us: dict[str, float]
    in_place_us: dict[str, float]

    def packets(self, name: str) -> float:
        """Packets/s of a phase."""
        return next(phase.packets for phase in (*self.monolith.phases, *self.lego.phases) if phase.name == name)

    @property
    def sum_over_slowest(self) -> float:
        """What dividing the NF can bring at the most, without replicas."""
        return sum(self.cost_us.values()) / max(self.cost_us.values())

    @property
    def ratios(self) -> dict[str, float]:
        return {
            "lego_to_monolith": self.packets(SEPARATE) / self.packets(MONOLITH),
            "grown_to_monolith": self.packets(GROWN) / self.packets(MONOLITH),
            "grown_to_pooled": self.packets(GROWN) / self.packets(POOLED),
            "grown_to_lego": self.packets(GROWN) / self.packets(SEPARATE),
            "lego_to_expected": self.packets(SEPARATE) / self.expected[0],
            "grown_to_expected": self.packets(GROWN) / self.expected[1],
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        runs = {
            name: {
                "since_s": round(run.since, 2),
                "samples": [[round(s.at, 3), round(s.scored, 1)] for s in run.samples],
                "phases": [{"name": p.name, "cores": p.cores, "packets_per_s": round(p.packets, 1)} for p in run.phases],
            }
            for name, run in (("monolith", self.monolith), ("lego", self.lego))
        }
        told = {"replicated": self.replicated, "at_s": round(self.at, 2), "said": self.said, "profiled": self.profiled}
        told |= {"expected": self.expected, "expected_rests_on": RESTS_ON, "in_place_us": self.in_place_us}
        rests = {"setting": asdict(self.setting), "machine": machine()}
        return rests | runs | told | {"cost_us": self.cost_us, "sum_over_slowest": self.sum_over_slowest, "ratios": self.ratios}


@dataclass(frozen=True)
class Figure4Plan:
    """How long each phase is (`settle_s` of it are not counted), with which model, captures and costs, and where files go."""

    captures: tuple[Path, ...]
    model: Path
    layout: str
    folder: Path
    costs: Costs
    seconds: float = 10.0
    settle_s: float = 2.5
    say: Callable[[str], None] = lambda line: None


def measure(setting: Figure4Setting, plan: Figure4Plan) -> Figure4Outcome:
    """The monolith, then LEGO. HostError if LEGO does not find its bottleneck."""
    plan.say(f"{setting.name} costs: every emulated core is {setting.quota:g} of one; {setting.pps:,.0f} packets/s are offered")
    monolith = _monolith(setting, plan)
    return _lego(setting, plan, monolith)


def _config(setting: Figure4Setting, plan: Figure4Plan, placement: str, policy: str) -> Config:
    """Stamps are the capture's: features and alerts are those of the captured traffic, however fast it is replayed."""
    cpu = {"cpu_quota": setting.quota, "cpu_period_ms": setting.period_ms}
    instance = InstanceSettings(**cpu, placement=placement, batch=setting.batch, slow_us=setting.slow_us)
    scaling = ScalingSettings(policy=policy, max_instances=1, period_s=1.0, reallocate=False)
    return Config(model=str(plan.model), layout=plan.layout, instance=instance, scaling=scaling, capture=CaptureSettings(stamps="trailer"))


def _offered(setting: Figure4Setting, plan: Figure4Plan) -> Offered:
    return Offered(plan.captures, ("--pps", str(setting.pps), "--stamp"), FOR_EVER)


def _monolith(setting: Figure4Setting, plan: Figure4Plan) -> Figure4Run:
    with Lab(_config(setting, plan, "chained", "water-marks"), plan.folder / f"{setting.name}-monolith", plan.say) as lab:
        replay = lab.replay(_offered(setting, plan))
        meter = _await_scores(lab, replay)
        phases = [_phase(meter, plan, MONOLITH, setting.quota)]
        five = len(load(NF).graph) * setting.quota
        lab.agent.call("set_quota", 1, five)
        phases.append(_phase(meter, plan, POOLED, five))
        require_running(replay)
        return Figure4Run(tuple(meter.samples), tuple(phases))


def _lego(setting: Figure4Setting, plan: Figure4Plan, monolith: Figure4Run) -> Figure4Outcome:
    kinds = load(NF).graph.order
    with Lab(_config(setting, plan, "separate", "bricks"), plan.folder / f"{setting.name}-lego", plan.say) as lab:
        replay = lab.replay(_offered(setting, plan))
        meter = _await_scores(lab, replay)
        plan.say("measuring the cost of each brick in its place")
        in_place_us = in_place(lab, meter, setting.quota, (plan.settle_s, plan.seconds / 2))
        since = meter.samples[-1].at
        phases = [_phase(meter, plan, SEPARATE, len(kinds) * setting.quota)]
        replicated, said, at = _let_it_grow(lab, meter)
        plan.say(f"LEGO replicated {replicated}: {said}")
        phases.append(_phase(meter, plan, GROWN, (len(kinds) + 1) * setting.quota))
        require_running(replay)
        run = Figure4Run(tuple(meter.samples), tuple(phases), since)
    costs = plan.costs.slowed(setting.slow_us)
    layout = separate(kinds, setting.quota)
    layouts = layout, (*layout, ProcessShare((replicated,), setting.quota))
    profiled = predicted(costs, layouts, setting.batch)
    expected = predicted(as_in_place(costs, in_place_us, setting.batch), layouts, setting.batch)
    cost_us = kind_us(costs, layout, setting.batch)
    return Figure4Outcome(setting, monolith, run, replicated, at, said, profiled, expected, cost_us, in_place_us)


def _await_scores(lab: Lab, replay: subprocess.Popen) -> SystemMeter:
    meter = SystemMeter(lab, load(NF).graph.ends[-1])
    lab.wait_for("packets scored", lambda: meter.look().scored > 0, lambda: require_running(replay))
    return SystemMeter(lab, load(NF).graph.ends[-1])


def _phase(meter: SystemMeter, plan: Figure4Plan, name: str, cores: float) -> Phase:
    meter.watch(plan.settle_s)
    phase = Phase(name, cores, tuple(meter.watch(plan.seconds - plan.settle_s)))
    plan.say(f"{name}: {phase.packets:,.0f} packets/s with {cores:g} cores")
    return phase


def _let_it_grow(lab: Lab, meter: SystemMeter) -> tuple[str, str, float]:
    """Let the controller do what it thinks right until it has started one replica: its kind, the controller's reason, when."""
    told = lab.get("events?limit=10000")["next"]
    lab.ask("resume")
    deadline = meter.look().at + GROW_S
    while True:
        sample = meter.watch(EVERY_S)[-1]
        kinds = [row["kind"] for row in lab.get("bricks")["bricks"]]
        twice = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
        if twice:
            lab.ask("pause")
            events = lab.get(f"events?after={told}&limit=1000")["events"]
            changes = [event for event in events if (event["type"], event["kind"]) == (BrickChange.__name__, "replicate")]
            said = next((event["text"] for event in changes if event["fields"]["node"] == twice[0]), "")
            return twice[0], said, sample.at
        if sample.at > deadline:
            raise HostError(f"LEGO replicated no brick within {GROW_S:g} s of overload; see the logs in {lab.system.run_dir}")
