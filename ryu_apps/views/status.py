"""What REST shows: plain data made of the state and of what was observed. Reads everything, changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from bricks.nfs.registry import load
from lego_sdn import __version__
from lego_sdn.core.control.exact import ODD
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.exact_since import ExactSince
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.headers import within
from lego_sdn.core.nf.granularity import algorithm_1, split_plan
from lego_sdn.core.observe.score_audit import sampled_buckets
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.shared import Shared
from ryu_apps.views import brick_views
from ryu_apps.views.switch_views import spelled


def status(shared: Shared) -> dict[str, Any]:
    """The whole in one page, `missing` first: what keeps it from working and what to do."""
    state, seen, config = shared.state, shared.observed, shared.config
    missing = shared.missing()
    return {
        "state": "running" if state.running and state.switch is not None else "waiting",
        "missing": missing,
        "version": __version__,
        "uptime_s": round(time.time() - shared.began, 3),
        "config": shared.config_path,
        "nf": config.nf,
        "layout": config.layout,
        "model": config.model,
        "exact": config.exact,
        "buckets": config.buckets,
        "paused": state.paused,
        "scaling": brick_views.scaling(state),
        "host": brick_views.host(state),
        "sla": brick_views.promise(state),
        "change": brick_views.change(state),
        "instances": [_instance(shared, number) for number in sorted(state.members)],
        "bridge": {"name": config.switch.bridge, "connected": state.switch is not None, "dpid": spelled(state.switch)},
        "agent": {"socket": config.agent, "answers": seen.agent is not None, "error": None if seen.agent else seen.agent_error},
        "rules": {"version": state.version, "in_force": state.confirmed, "last": seen.steerings[-1] if seen.steerings else None},
        "alerts": seen.alerts.total,
        "standby": standby(shared),
        "audit": audit(shared),
        "finished": list(seen.finished),
        "stored": shared.store.path if shared.store.problem is None else None,
    }


def standby(shared: Shared) -> dict[str, Any]:
    """The instance that takes over from one that dies: `wanted` (by the configuration), its number, its phase, and what it uses."""
    known = shared.state.standby
    processes = [process for process in shared.observed.processes.values() if process.instance == known.instance]
    return {
        "wanted": shared.config.standby,
        "instance": known.instance,
        "phase": known.phase,
        "cpu": round(sum(process.cpu for process in processes), 4),
        "memory_bytes": sum((process.report or {}).get("pss_bytes") or 0 for process in processes),
    }


def audit(shared: Shared) -> dict[str, Any]:
    """The sampling auditor: what it compared, and what its twin costs (cores and packets/s, and as a share of what the instances use)."""
    config, ledger, twin = shared.config, shared.audit, shared.state.twin
    processes = shared.observed.processes.values()
    cpu = {is_twins: sum(p.cpu for p in processes if (p.instance == REFERENCE) == is_twins) for is_twins in (True, False)}
    rates = [p.rates.get(p.bricks[0], 0.0) for p in processes if p.instance == REFERENCE and p.bricks and p.report and p.report["capture"]]
    return {
        "share": config.audit.share,
        "buckets": list(sampled_buckets(config.audit.share, config.buckets)),
        "twin": {"instance": REFERENCE, "phase": twin.phase},
        "since": ledger.since,
        "compared": ledger.compared,
        "equal": ledger.equal,
        "different": ledger.different,
        "first_difference": None if ledger.first is None else str(ledger.first),
        "waiting": ledger.waiting,
        "unpaired": dict(ledger.unpaired),
        "cost": {
            "cpu": round(cpu[True], 4),
            "of_the_instances": round(cpu[True] / cpu[False], 4) if cpu[False] else None,
            "packets_per_s": round(sum(rates), 3),
        },
    }


def granularity(shared: Shared) -> dict[str, Any]:
    """Algorithm 1 and the split plan, from what the NF's extractor declares; `changed`: features that the configured split may change."""
    config = shared.config
    extractor = load(config.nf).extractor(config.layout)
    groups, result = extractor.groups, algorithm_1(extractor.groups)
    plans = [split_plan(extractor, group) for group in result]
    return {
        "nf": config.nf,
        "layout": config.layout,
        "groups": [{"name": group.name, "fields": sorted(group.fields)} for group in groups],
        "within": [[a.name, b.name] for a in groups for b in groups if a is not b and within(a, b)],
        "result": [group.name for group in result],
        "clean": len(result) == 1,
        "exact": config.exact,
        "changed": list(shared.key.inexact),
        "key": shared.key.as_dict(),
        "plans": [
            {
                "granularity": plan.granularity.name,
                "shadows": [plan.spell(target) for target in plan.shadows],
                "features": len(extractor.features),
                "exact_without_copies": len(plan.alone),
                "exact_with_shadows": len(plan.exact),
                "exact_but_for_rounding": len(plan.rounding),
                "approximate": len(plan.approximate),
            }
            for plan in plans
        ],
    }


def graph(shared: Shared) -> dict[str, Any]:
    """Per instance: its processes and their bricks, in the order of the packets' way."""
    agent = shared.observed.agent or {"instances": []}
    return {
        "nf": shared.config.nf,
        "instances": [
            {
                "instance": one["instance"],
                "state": one["state"],
                "error": one.get("error"),
                "namespace": one.get("namespace"),
                "port": one.get("port"),
                "ofport": one.get("ofport"),
                "cpu_quota": one.get("cpu_quota"),
                "processes": [{key: process.get(key) for key in ("process", "pid", "bricks", "cpu_quota")} for process in one["processes"]],
            }
            for one in agent["instances"]
        ],
    }


def bricks(shared: Shared) -> dict[str, Any]:
    """Every brick as its process last reported it, with rates between the last two reports, its cost and what that was estimated to be."""
    now = time.monotonic()
    more = brick_views.assessed(shared.state)
    rows = [
        row | brick_views.cost(shared.state.costs, row) | more.get((row["instance"], row["id"]), {})
        for process in shared.observed.processes.values()
        for row in _bricks_of(process, now)
    ]
    costs = shared.state.costs
    processes = [_process(process, now, costs) for process in shared.observed.processes.values()]
    return {"bricks": rows, "processes": processes}


def events(shared: Shared, after: int, limit: int) -> dict[str, Any]:
    """What was decided and what happened, oldest first."""
    entries = shared.store.events(after, limit)
    told = ("number", "time", "kind", "text", "instance", "type", "fields")
    rows = [{name: getattr(entry, name) for name in told} for entry in entries]
    return {"events": rows, "next": rows[-1]["number"] if rows else after}


def alerts(shared: Shared, limit: int) -> dict[str, Any]:
    """The latest alerts, how many of the sources with most of them, and how many in all."""
    seen = shared.observed.alerts
    return {"alerts": list(seen.latest)[-limit:] if limit else [], "by_source": seen.top, "total": seen.total}


def moves(shared: Shared, limit: int) -> dict[str, Any]:
    """The latest moves of buckets between running instances, oldest first: how long each step took, what went where."""
    kept = list(shared.observed.moves)
    return {"moves": kept[-limit:] if limit else [], "total": len(kept)}


def _instance(shared: Shared, number: int) -> dict[str, Any]:
    member, load = shared.state.members[number], shared.state.loads.get(number)
    row: dict[str, Any] = {"instance": number, "phase": member.phase, "ofport": member.ofport, "buckets": shared.state.owners.count(number)}
    captures = [
        process.report["capture"] for process in shared.observed.processes.values() if process.instance == number and process.report
    ]
    for capture in filter(None, captures):
        row["stamps"] = {name: capture[name] for name in ("gaps", "repeats", "reordered")}
    row["odd"] = odd([process for process in shared.observed.processes.values() if process.instance == number])
    if load is not None:
        names = ("packets", "cpu", "queue", "drops", "service_us")
        row["load"] = {name: round(getattr(load, name), 6) for name in names}
    row["bottleneck"] = brick_views.bottleneck(shared.state.diagnoses.get(number))
    row["exact"] = exact(shared.state.exact.get(number))
    return row


def odd(processes: Iterable[ObservedProcess]) -> dict[str, int]:
    """Packets that the running processes took by MAC only, or without an address; and frames that are none of the switch's packets."""
    counts = dict.fromkeys(ODD, 0)
    for process in processes:
        report = process.report or {}
        sources = [brick["counters"] for brick in report.get("bricks", ())] + [report.get("capture") or {}]
        for name in counts:
            counts[name] += max(int(source.get(name, 0)) for source in sources)
    return counts


def exact(found: ExactSince | None) -> dict[str, Any] | None:
    """Since when nothing was lost (epoch seconds) and why not before; `inexact`: from which moment and stamp on scores may be wrong."""
    if found is None:
        return None
    epoch = time.time() - time.monotonic()
    wrong = None if found.sure_until is None else {"time": round(epoch + found.sure_until, 3), "stamp": found.stamp}
    losses = dict(sorted(found.losses.items()))
    return {"since": round(epoch + found.since, 3), "reason": found.reason, "inexact": wrong, "losses": losses}


def _bricks_of(process: ObservedProcess, now: float) -> list[dict[str, Any]]:
    if process.report is None:
        return []
    where = {"instance": process.instance, "process": process.process, "age_s": round(now - process.at, 3)}
    return [where | brick | {"packets_per_s": round(process.rates.get(brick["id"], 0.0), 3)} for brick in process.report["bricks"]]


def _process(process: ObservedProcess, now: float, costs: Costs | None) -> dict[str, Any]:
    report = process.report or {}
    kinds = [node_of(brick["id"]) for brick in report.get("bricks", ())]
    return {
        "instance": process.instance,
        "process": process.process,
        "pid": process.pid,
        "bricks": list(process.bricks),
        "cpu": round(process.cpu, 4),
        "cpu_s": report.get("cpu_s"),
        **{name: report.get(name) for name in ("rss_bytes", "pss_bytes", "throttled_s", "disk")},
        "estimate_memory_bytes": brick_views.memory(costs, kinds),
        "uptime_s": report.get("uptime_s"),
        "capture": report.get("capture"),
        "age_s": round(now - process.at, 3) if process.report else None,
        "error": process.error,
    }
