"""What REST shows of the switches: who owns which bucket, rules and ports, with their counters."""

from __future__ import annotations

from typing import Any

from lego_sdn.core.facts.flow_rules import Cookie
from lego_sdn.core.traffic.rule_compiler import FAMILIES_WITH_PORTS
from ryu_apps.context.requests import ReadFlows
from ryu_apps.context.shared import Shared

TABLES = {0: "guard", 1: "own", 2: "shadow", 9: "forward"}
FAMILY_NAMES = {family.code: family.name for family in FAMILIES_WITH_PORTS}


def assignment(shared: Shared) -> dict[str, Any]:
    """bucket -> owner as it is in force; `wanted` differs while rules are being changed."""
    state, rates = shared.state, shared.observed.bucket_rates
    sent = state.sent
    in_force = sent is not None and not sent.keep and state.confirmed >= sent.version
    rows = [
        {"bucket": bucket, "owner": owner, "packets_per_s": round(rates.get(bucket, 0.0), 3)} for bucket, owner in enumerate(state.owners)
    ]
    by_owner = {str(i): [b for b, owner in enumerate(state.owners) if owner == i] for i in state.running}
    return {
        "version": state.version,
        "in_force": in_force,
        "buckets": rows,
        "by_owner": by_owner,
        "ports": {str(i): p for i, p in state.ports.items()},
    }


def flows(shared: Shared) -> dict[str, Any]:
    """LEGO's rules as the switch tells them now, and packets by owner and by bucket. Raises SwitchError."""
    rows = [_flow(flow) for flow in shared.ask(ReadFlows())]
    rows.sort(key=lambda row: (row["table"], -row["priority"], row["family"] or "", row["bucket"] if row["bucket"] is not None else -1))
    owned = [row for row in rows if row["role"] == "owner"]
    return {"flows": rows, "packets_by_owner": _sums(owned, "owner"), "packets_by_bucket": _sums(owned, "bucket")}


def switches(shared: Shared) -> dict[str, Any]:
    """Switches that are connected, with their ports' counters."""
    owners = {port: instance for instance, port in shared.state.ports.items()}
    rows = []
    for bridge in shared.observed.bridges.values():
        names = {number: name for name, number in bridge.ports.items()}
        counters = [
            {"number": port.number, "name": names.get(port.number), "instance": owners.get(port.number) if bridge.steered else None}
            | {name: getattr(port, name) for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped")}
            for port in bridge.counters
        ]
        rows.append(
            {
                "dpid": spelled(bridge.dpid),
                "name": bridge.name,
                "steered": bridge.steered,
                "rules": bridge.rules,
                "error": bridge.error,
                "ports": counters,
            }
        )
    return {"switches": rows}


def _flow(flow: Any) -> dict[str, Any]:
    cookie = Cookie.decode(flow.rule.cookie)
    assert cookie is not None, "only LEGO's flows are asked for"
    return {
        "table": flow.rule.table,
        "stage": TABLES.get(flow.rule.table, str(flow.rule.table)),
        "priority": flow.rule.priority,
        "role": cookie.role,
        "family": FAMILY_NAMES.get(cookie.family),
        "bucket": cookie.bucket,
        "owner": cookie.owner,
        "packets": flow.packets,
        "bytes": flow.bytes,
        "age_s": round(flow.age_s, 3),
    }


def _sums(rows: list[dict[str, Any]], key: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for row in rows:
        totals[str(row[key])] = totals.get(str(row[key]), 0) + row["packets"]
    return totals


def spelled(dpid: int | None) -> str | None:
    return None if dpid is None else f"{dpid:016x}"
