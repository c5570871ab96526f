"""What REST shows of single bricks and of the promise: costs beside estimates, deadlines and how they are kept, bottlenecks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lego_sdn.core.control import host_resources
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import SystemState
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.observe.brick_rates import BrickFigures
from lego_sdn.core.observe.deadlines import Deadline, DeadlineProgress, kept
from lego_sdn.core.observe.diagnosis import Diagnosis
from lego_sdn.core.observe.slo import Tally


def scaling(state: SystemState) -> dict[str, Any]:
    """The policy and its mode; `advice`: what it would do, in mode advise; `costs`: profiled, or learned while running."""
    told, costs = state.config.scaling, state.costs
    known = None if costs is None else "profiled" if any(brick.measured for brick in costs.bricks) else "learned"
    return {"policy": told.policy, "mode": told.mode, "costs": known, "advice": state.advice or None}


def host(state: SystemState) -> dict[str, Any]:
    """Cores and memory of the host: what instances have (`given`: by quota, `used` by their reports), what is free; null: not known."""
    here = state.hosts[LOCAL]
    return {
        "cores": {"all": here.cores, "given": round(host_resources.given_cores(state), 4), "free": host_resources.free_cores(state)},
        "memory_bytes": {"all": here.memory_bytes, "used": host_resources.used_memory(state), "free": host_resources.free_memory(state)},
    }


def change(state: SystemState) -> dict[str, Any] | None:
    """The one in flight; `asked`: what of single bricks."""
    now = state.change
    return None if now is None else {"kind": now.kind, "instance": now.instance, "asked": str(now.action) if now.action else None}


def bottleneck(found: Diagnosis | None) -> dict[str, Any] | None:
    """What holds an instance up: `cause` (one of core.bottleneck.Cause, or null: nothing), and the evidence."""
    if found is None:
        return None
    return {
        "cause": found.cause,
        "brick": found.brick,
        "evidence": found.evidence,
        "offered": round(found.offered, 3),
        "memory": None if found.memory is None else round(found.memory, 4),
    }


def assessed(state: SystemState) -> dict[tuple[int, str], dict[str, Any]]:
    """By instance and brick: what the reports do not say themselves. Rates are of the last round of reports."""
    rows = {}
    for instance, found in state.diagnoses.items():
        for one in found.bricks:
            rows[instance, one.id] = {
                "verdict": one.verdict,
                "cpu": round(one.cores, 5),
                "cpu_of_quota": round(one.used, 4),
                "growth": round(one.growth, 3),
                "blocked": round(one.blocked, 4),
                "throttled": round(one.throttled, 4),
                "deadline": _deadline(state.sla.deadlines.get(one.kind), one, state.config.sla.tolerance),
            }
    return rows


def cost(costs: Costs | None, brick: Mapping[str, Any]) -> dict[str, Any]:
    """CPU microseconds of a packet, in batches as the brick had them, and rows passed on for each: as it runs, with the spread of the CPU
    around that as a share of it, and as profiled before; null: not known.
    """
    node = node_of(brick["id"])
    if costs is None or node not in costs.kinds or not brick["batches"] or not brick["packets_in"]:
        return dict.fromkeys(("cost_us", "estimate_us", "cost_spread", "items_out", "estimate_items_out"))
    one, batch = costs.of(node), brick["packets_in"] / brick["batches"]
    before = one.profiled if one.measured else None  # else the costs are those first seen
    return {
        "cost_us": round(one.per_packet_us(batch), 4),
        "estimate_us": round(before.per_packet_us(batch), 4) if before else None,
        "cost_spread": round(one.spread, 4),
        "items_out": round(one.items_out, 4),
        "estimate_items_out": round(before.items_out, 4) if before else None,
    }


def promise(state: SystemState) -> dict[str, Any] | None:
    """The SLA, its parts, and how it was kept in the last window; null where none is configured."""
    told, now = state.config.sla, state.sla
    if told.latency_ms is None and told.loss is None:
        return None
    return {
        "latency_ms": told.latency_ms,
        "loss": told.loss,
        "tolerance": told.tolerance,
        "window_s": told.window_s,
        "problem": now.problem or None,
        "deadlines": {kind: {"ms": _rounded(part.ms), "loss": _rounded(part.loss, 6)} for kind, part in now.deadlines.items()},
        "windows": {str(instance): _window(one) for instance, one in now.last.items()},
        "broken": {str(instance): list(what) for instance, what in now.broken.items()},
        "violations": dict(now.violations),
    }


def _window(one: Tally) -> dict[str, Any]:
    return {"scored": one.scored, "late": round(one.late_share, 6), "lost": round(one.lost_share, 6)}


def _deadline(part: Deadline | None, one: BrickFigures, tolerance: float) -> dict[str, Any] | None:
    if part is None:
        return None
    rows, late, lost = (round(rate * one.seconds) for rate in (one.packets, one.late, one.lost + one.overrun))
    how = kept(part, DeadlineProgress(rows, late, lost, one.wait_us / 1e3), tolerance)
    return {
        "ms": _rounded(part.ms),
        "late": round(how.late, 4),
        "wait_ms": round(how.wait_ms, 4),
        "may_wait_ms": _rounded(part.waiting_ms),
        "lost": round(how.loss, 6),
        "may_lose": _rounded(part.loss, 6),
        "kept": how.kept,
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def memory(costs: Costs | None, kinds: Collection[str]) -> int | None:
    """Bytes that a process with these bricks was estimated to take; null where nothing was profiled."""
    if costs is None or not costs.process_bytes or not kinds or not set(kinds) <= set(costs.kinds):
        return None
    return round(costs.profiled.memory_bytes(kinds))
