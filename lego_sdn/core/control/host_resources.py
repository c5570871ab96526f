"""Resources of the host that LEGO uses, and what is left: cores by quota, memory by use (LEGO paper, section III-C).

Instances that are being started count already, and so does the auditor's reference instance, which has no quota. Where the host does not
say what it has, nothing is known and nothing is refused.
"""

from __future__ import annotations

from lego_sdn.core.control.state import Member, SystemState
from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.placement import MB
from lego_sdn.core.facts.actions import BrickAction, Separate, StartReplica
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.reports import cores_used, usable


def given_cores(state: SystemState) -> float:
    """Cores that instances have: of a process with a quota the quota, of one without what it uses."""
    action = state.change.action if state.change else None
    coming = _quota(state, action.cores) if isinstance(action, StartReplica | Separate) else 0.0
    return sum(_cores(state, member) for member in state.members.values()) + coming + _twins_cores(state)


def free_cores(state: SystemState) -> float | None:
    """Cores of the host that no instance has; None where the host does not say."""
    return None if state.cores is None else max(0.0, state.cores - given_cores(state))


def used_memory(state: SystemState) -> int:
    """Bytes in use by instances and the twin, as they last reported, pages that they share divided among them."""
    return sum(report.memory_bytes for report in state.reports.values())


def free_memory(state: SystemState) -> float | None:
    """Bytes that the host has free, less what is being started will take; None where the host does not say."""
    if state.free_bytes is None:
        return None
    action = state.change.action if state.change else None
    coming = replica_bytes(state, action) if action is not None else 0.0
    coming += sum(instance_bytes(state) for member in state.members.values() if member.phase == "starting")
    coming += instance_bytes(state) if state.twin.phase == "starting" else 0.0
    return max(0.0, state.free_bytes - coming)


def lacking_memory(state: SystemState, wanted: float) -> str | None:
    """Why so many bytes cannot be had, or None."""
    free = free_memory(state)
    if free is None or wanted <= free:
        return None
    whole = "" if state.memory_bytes is None else f" of {state.memory_bytes / MB:,.0f}"
    return f"it wants {wanted / MB:,.0f} MB of memory, and {free / MB:,.0f}{whole} MB are free on the host"


def instance_bytes(state: SystemState) -> float:
    """Memory of a further instance: by the profile, else what the largest one uses; 0 where neither is known."""
    costs = state.costs
    if costs is not None and costs.process_bytes:
        alike = capacity.chained if state.config.instance.placement == "chained" else capacity.separate
        return capacity.memory(costs, alike(costs.kinds))
    return max((sum(_sizes(state, instance)) for instance in state.members), default=0.0)


def replica_bytes(state: SystemState, action: BrickAction) -> float:
    """Memory of the process that an action starts: by the profile, else what the largest process of the instance uses."""
    if not isinstance(action, StartReplica | Separate):
        return 0.0
    costs = state.costs
    if costs is not None and costs.process_bytes and action.kind in costs.kinds:
        return capacity.memory(costs, (capacity.ProcessShare((action.kind,)),))
    return max(_sizes(state, action.instance), default=0.0)


def _sizes(state: SystemState, instance: int) -> list[float]:
    return [report.memory_bytes for (owner, _), report in state.reports.items() if owner == instance]


def _quota(state: SystemState, cores: float | None = None) -> float:
    """Of a process that is being started. One without a quota takes over work, and with it the CPU, of others that are counted."""
    quota = state.config.instance.cpu_quota if cores is None else cores
    return 0.0 if quota is None else usable(quota)


def _cores(state: SystemState, member: Member) -> float:
    if not member.arrangement.processes:
        return _quota(state) * _processes(state)
    told = member.arrangement.processes
    return sum(usable(one.quota) if one.quota is not None else _used(state, member.instance, one.process) for one in told)


def _processes(state: SystemState) -> int:
    """Of an instance as it is started, as far as the graph is known."""
    graphs = [member.arrangement.graph for member in state.members.values()] + ([state.costs.kinds] if state.costs else [])
    return 1 if state.config.instance.placement == "chained" else max(1, *map(len, graphs))


def _used(state: SystemState, instance: int, process: str) -> float:
    now, then = state.reports.get((instance, process)), state.before.get((instance, process))
    return cores_used(then, now) if now and then and now.time > then.time else 0.0


def _twins_cores(state: SystemState) -> float:
    """What it uses; before it said so, what the instances use together, since it gets every packet that they get."""
    if state.twin.phase not in ("starting", "running"):
        return 0.0
    known = [process for instance, process in state.before if instance == REFERENCE]
    if known:
        return sum(_used(state, REFERENCE, process) for process in known)
    return sum(_used(state, *key) for key in state.before)
