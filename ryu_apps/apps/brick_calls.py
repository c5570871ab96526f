"""The agent's calls for what the core wants of single bricks (docs/reference/contract.md, Agent)."""

from __future__ import annotations

from typing import Any

from lego_sdn.core.facts.actions import BrickAction, ChainBrick, Separate, SetDeadlines, SetQuota, StartReplica, StopReplica, TakeOut

METHODS: dict[type[Any], str] = {
    StartReplica: "start_replica",
    StopReplica: "stop_replica",
    Separate: "separate",
    ChainBrick: "chain",
    SetQuota: "set_quota",
    SetDeadlines: "set_deadlines",
    TakeOut: "take_out",
}


def call_of(action: BrickAction) -> tuple[Any, ...]:
    """What the agent is asked to do for it: method and parameters."""
    method = METHODS[type(action)]
    if isinstance(action, StartReplica | Separate):
        return method, action.instance, action.kind, *(() if action.cores is None else (action.cores,))
    if isinstance(action, StopReplica):
        return method, action.instance, action.brick
    if isinstance(action, TakeOut):
        return method, action.instance, action.process
    if isinstance(action, SetQuota):
        return method, action.instance, dict(action.cores)
    if isinstance(action, SetDeadlines):
        return method, action.instance, dict(action.ms)
    return method, action.instance, action.kind
