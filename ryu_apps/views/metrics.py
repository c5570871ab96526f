"""`GET /metrics`: what is observed, as Prometheus reads it. Made anew for each request, in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from lego_sdn import __version__
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.shared import Shared
from ryu_apps.views import brick_metrics, status

CONTENT_TYPE = "text/plain; version=0.0.4"


class Page:
    """A collector, as prometheus_client calls what yields metrics."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def _about(self) -> dict[str, str]:
        config = self.shared.config
        about = {"version": __version__, "nf": config.nf, "layout": config.layout}
        return about | {"policy": config.scaling.policy, "mode": config.scaling.mode}

    def collect(self) -> Iterator[Metric]:
        state, seen = self.shared.state, self.shared.observed
        yield gauge("lego_info", "Version, network function, layout, policy and its mode.", self._about(), 1)
        yield gauge("lego_switch_connected", "Whether the steered bridge is connected.", {}, state.switch is not None)
        yield gauge("lego_agent_answers", "Whether the agent answers.", {}, seen.agent is not None)
        yield gauge("lego_scaling_paused", "Whether scaling is paused.", {}, state.paused)
        yield gauge("lego_change_in_flight", "Whether a change is being made.", {}, state.change is not None)
        yield gauge("lego_rules_version", "Version of the rules last sent; begins anew with the controller.", {}, state.version)
        yield from _instances(self.shared)
        yield from _exact(self.shared)
        yield from process_families(seen.processes.values())
        yield from _bricks(seen.processes.values())
        yield from brick_metrics.families(self.shared)
        yield from brick_metrics.of_the_host(self.shared)
        yield from _switches(self.shared)
        yield from _audit(self.shared)
        alerts = CounterMetricFamily("lego_alerts", "Alerts of all instances, also of those that are gone.")
        alerts.add_metric([], seen.alerts.total)
        yield alerts


def page(shared: Shared) -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Page(shared))
    return generate_latest(registry)


def gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=list(labels))
    metric.add_metric(list(labels.values()), float(value))
    return metric


def _by(name: str, text: str, label: str, totals: dict[str, int]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=[label])
    for key, value in totals.items():
        metric.add_metric([key], value)
    return metric


def _audit(shared: Shared) -> Iterator[Metric]:
    ledger = shared.audit
    yield gauge("lego_audit_share", "Share of the buckets whose packets are scored twice.", {}, shared.config.audit.share)
    totals = {"equal": ledger.equal, "different": ledger.different}
    yield _by("lego_audit_scores", "Scores compared with those of the unsplit twin.", "result", totals)
    yield _by("lego_audit_unpaired", "Scores that could not be compared, by reason.", "reason", dict(ledger.unpaired))


def _instances(shared: Shared) -> Iterator[Metric]:
    buckets = GaugeMetricFamily("lego_instance_buckets", "Buckets that an instance owns.", labels=["instance", "phase"])
    for number, member in shared.state.members.items():
        buckets.add_metric([str(number), member.phase], shared.state.owners.count(number))
    yield buckets
    names = {
        "packets": "Packets/s taken, shadows included.",
        "cpu": "Share of its CPU quota in use.",
        "queue": "Share that waits.",
        "drops": "Packets/s lost.",
    }
    for name, text in names.items():
        metric = GaugeMetricFamily(f"lego_instance_{name}", text, labels=["instance"])
        for number, load in shared.state.loads.items():
            metric.add_metric([str(number)], getattr(load, name))
        yield metric


def _exact(shared: Shared) -> Iterator[Metric]:
    """Series: one for each instance, and one for each of a fixed set of reasons."""
    surely = GaugeMetricFamily("lego_instance_exact", "1 if an instance lost nothing since its start, else 0.", labels=["instance"])
    text = "Epoch seconds since which an instance lost nothing."
    since = GaugeMetricFamily("lego_instance_exact_since_seconds", text, labels=["instance"])
    text = "What an instance lost, or how often it was disturbed, by reason."
    losses = CounterMetricFamily("lego_instance_losses", text, labels=["instance", "reason"])
    for number in shared.state.members:
        found = status.exact(shared.state.exact.get(number))
        if found is not None:
            surely.add_metric([str(number)], found["inexact"] is None)
            since.add_metric([str(number)], found["since"])
            for reason, count in found["losses"].items():
                losses.add_metric([str(number), reason], count)
    yield from (surely, since, losses)


def process_families(processes: Iterable[ObservedProcess]) -> Iterator[Metric]:
    """What processes use, and what comes to those at an interface."""
    labels = ["instance", "process"]
    cpu = CounterMetricFamily("lego_process_cpu_seconds", "CPU time of a brick process.", labels=labels)
    memory = GaugeMetricFamily("lego_process_resident_bytes", "Resident memory of a brick process.", labels=labels)
    received = CounterMetricFamily("lego_capture_packets", "Packets taken from an instance's interface.", labels=labels)
    lost = CounterMetricFamily("lego_capture_kernel_drops", "Packets that the kernel dropped at an instance's interface.", labels=labels)
    text = "Packets taken by MAC only or without an address, and frames that are none of the switch's (foreign)."
    apart = CounterMetricFamily("lego_capture_odd_packets", text, labels=[*labels, "reason"])
    for process in processes:
        if process.report is None:
            continue
        who = [str(process.instance), process.process]
        cpu.add_metric(who, process.report["cpu_s"])
        memory.add_metric(who, process.report["rss_bytes"])
        capture = process.report.get("capture")
        if capture:
            received.add_metric(who, capture["received"])
            lost.add_metric(who, capture["kernel_drops"])
            for reason, count in status.odd([process]).items():
                apart.add_metric([*who, reason], count)
    yield from (cpu, memory, received, lost, apart)


def _bricks(processes: Iterable[ObservedProcess]) -> Iterator[Metric]:
    labels = ["instance", "brick"]
    totals = {
        "packets_in": CounterMetricFamily("lego_brick_packets_in", "Rows that a brick has taken.", labels=labels),
        "packets_out": CounterMetricFamily("lego_brick_packets_out", "Rows that a brick has given on.", labels=labels),
    }
    queue = GaugeMetricFamily("lego_brick_queue_rows", "Rows that wait before a brick.", labels=labels)
    service = GaugeMetricFamily("lego_brick_service_microseconds", "Time that a brick spends on a packet.", labels=labels)
    dropped = CounterMetricFamily("lego_brick_dropped", "Rows that a brick dropped, by reason.", labels=[*labels, "reason"])
    for process in processes:
        for brick in process.report["bricks"] if process.report else ():
            who = [str(process.instance), brick["id"]]
            for name, metric in totals.items():
                metric.add_metric(who, brick[name])
            queue.add_metric(who, brick["queue_in"])
            service.add_metric(who, brick["service_us"])
            for reason, count in brick["dropped"].items():
                dropped.add_metric([*who, reason], count)
    yield from (*totals.values(), queue, service, dropped)


def _switches(shared: Shared) -> Iterator[Metric]:
    rules = GaugeMetricFamily("lego_switch_rules", "LEGO's rules on a switch.", labels=["switch"])
    ports = {
        name: CounterMetricFamily(f"lego_switch_port_{name}", f"{name} of a switch port.", labels=["switch", "port"])
        for name in ("rx_packets", "tx_packets", "rx_dropped", "tx_dropped")
    }
    for bridge in shared.observed.bridges.values():
        rules.add_metric([bridge.name], bridge.rules)
        for port in bridge.counters:
            for name, metric in ports.items():
                metric.add_metric([bridge.name, str(port.number)], getattr(port, name))
    yield from (rules, *ports.values())
    rates = GaugeMetricFamily("lego_bucket_packets_per_second", "Packets/s by source bucket.", labels=["bucket"])
    for bucket, rate in sorted(shared.observed.bucket_rates.items()):
        rates.add_metric([str(bucket)], rate)
    yield rates
