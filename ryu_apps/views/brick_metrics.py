"""The part of `GET /metrics` about single bricks and the promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from lego_sdn.core.observe.diagnosis import Cause
from ryu_apps.views import brick_views

if TYPE_CHECKING:
    from ryu_apps.context.shared import Shared

LABELS = ["instance", "brick"]


def families(shared: Shared) -> Iterator[Metric]:
    yield from _reported(shared)
    yield from _assessed(shared)
    violations = CounterMetricFamily("lego_sla_violations", "Windows in which the promise was broken, by what was.", labels=["promise"])
    for what, count in shared.state.sla.violations.items():
        violations.add_metric([what], count)
    yield violations


def of_the_host(shared: Shared) -> Iterator[Metric]:
    for what, text in (
        ("cores", "Cores of the host: all, given to instances, free."),
        ("memory_bytes", "Its memory: all, used by instances, free."),
    ):
        family = GaugeMetricFamily(f"lego_host_{what}", text, labels=["part"])
        for part, value in brick_views.host(shared.state)[what].items():
            if value is not None:
                family.add_metric([part], value)
        yield family


def _reported(shared: Shared) -> Iterator[Metric]:
    late = CounterMetricFamily("lego_brick_late", "Rows that were done after the brick's deadline.", labels=LABELS)
    blocked = CounterMetricFamily("lego_brick_blocked_seconds", "Time in which rows waited and had nowhere to go.", labels=LABELS)
    wait = GaugeMetricFamily("lego_brick_wait_microseconds", "How long a row waits before a brick.", labels=LABELS)
    cost = GaugeMetricFamily("lego_brick_cost_microseconds", "CPU of a packet, as it runs or as estimated.", labels=[*LABELS, "kind"])
    for process in shared.observed.processes.values():
        for brick in process.report["bricks"] if process.report else ():
            who = [str(process.instance), brick["id"]]
            late.add_metric(who, brick.get("late", 0))
            blocked.add_metric(who, brick.get("blocked_s", 0.0))
            wait.add_metric(who, brick.get("wait_us", 0.0))
            told = brick_views.cost(shared.state.costs, brick)
            for kind, value in (("running", told["cost_us"]), ("estimate", told["estimate_us"])):
                if value is not None:
                    cost.add_metric([*who, kind], value)
    yield from (late, blocked, wait, cost)


def _assessed(shared: Shared) -> Iterator[Metric]:
    text = "1 for what holds an instance up, 0 for the other causes; brick: which, where a brick is the cause."
    bottleneck = GaugeMetricFamily("lego_bottleneck", text, labels=["instance", "cause", "brick"])
    for instance, found in shared.state.diagnoses.items():
        for cause in get_args(Cause):
            holds = found.cause == cause
            bottleneck.add_metric([str(instance), cause, found.brick or "" if holds else ""], holds)
    deadline = GaugeMetricFamily("lego_brick_deadline_milliseconds", "A kind of brick's part of the promised latency.", labels=["kind"])
    may_lose = GaugeMetricFamily("lego_brick_loss_allowed_share", "A kind of brick's part of the promised loss.", labels=["kind"])
    for kind, part in shared.state.sla.deadlines.items():
        if part.ms is not None:
            deadline.add_metric([kind], part.ms)
        if part.loss is not None:
            may_lose.add_metric([kind], part.loss)
    lost = GaugeMetricFamily("lego_brick_loss_share", "Share of its rows that a brick lost between the last two reports.", labels=LABELS)
    for (instance, brick), row in brick_views.assessed(shared.state).items():
        if row["deadline"] is not None:
            lost.add_metric([str(instance), brick], row["deadline"]["lost"])
    yield from (bottleneck, deadline, may_lose, lost)
