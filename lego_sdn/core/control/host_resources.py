"""Resources of each host that LEGO uses, and what is left: cores by quota, memory by use (LEGO paper, section III-C).

Instances that are being started count already, and so does the auditor's reference instance, which has no quota. Where the host does not
say what it has, nothing is known and nothing is refused.
"""

from __future__ import annotations

from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import Member, SystemState
from lego_sdn.core.cost import capacity
from lego_sdn.core.cost.placement import MB
from lego_sdn.core.facts.actions import BrickAction, Separate, StartReplica
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.reports import cores_used, usable


def given_cores(state: SystemState, host: str = LOCAL) -> float:
    """Cores that instances of a host have: of a process with a quota the quota, of one without what it uses."""
    action = _action(state, host)
    coming = _quota(state, action.cores) if isinstance(action, StartReplica | Separate) else 0.0
    more = _twins_cores(state) + _standbys_cores(state) if host == LOCAL else 0.0
    return sum(_cores(state, member) for member in state.members.values() if member.host == host) + coming + more


def free_cores(state: SystemState, host: str = LOCAL) -> float | None:
    """Cores of a host that no instance has; None where the host does not say."""
    has = state.hosts[host].cores
    return None if has is None else max(0.0, has - given_cores(state, host))


def used_memory(state: SystemState, host: str = LOCAL) -> int:
    """Bytes in use by instances of a host and the twin, as they last reported, pages that they share divided among them."""
    elsewhere = {member.instance for member in state.members.values() if member.host != host}
    if host != LOCAL:
        elsewhere.add(REFERENCE)
    return sum(report.memory_bytes for (instance, _), report in state.reports.items() if instance not in elsewhere)


def free_memory(state: SystemState, host: str = LOCAL) -> float | None:
    """Bytes that a host has free, less what is being started there will take; None where the host does not say."""
    has, action = state.hosts[host].free_bytes, _action(state, host)
    if has is None:
        return None
    coming = replica_bytes(state, action) if action is not None else 0.0
    coming += sum(instance_bytes(state) for member in state.members.values() if member.phase == "starting" and member.host == host)
    if host == LOCAL:
        coming += instance_bytes(state) * sum(phase == "starting" for phase in (state.twin.phase, state.standby.phase))
    return max(0.0, has - coming)


def lacking_memory(state: SystemState, wanted: float, host: str = LOCAL) -> str | None:
    """Why so many bytes cannot be had on a host, or None."""
    free, has = free_memory(state, host), state.hosts[host].memory_bytes
    if free is None or wanted <= free:
        return None
    whole = "" if has is None else f" of {has / MB:,.0f}"
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


def _action(state: SystemState, host: str) -> BrickAction | None:
    """What is being changed within an instance of a host."""
    action = state.change.action if state.change else None
    member = state.members.get(action.instance) if action is not None else None
    return action if member is None or member.host == host else None


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


def _standbys_cores(state: SystemState) -> float:
    """What it uses; it has no quota."""
    return sum(_used(state, *key) for key in state.before if key[0] == state.standby.instance)


def _twins_cores(state: SystemState) -> float:
    """What it uses; before it said so, what the instances use together, since it gets every packet that they get."""
    if state.twin.phase not in ("starting", "running"):
        return 0.0
    known = [process for instance, process in state.before if instance == REFERENCE]
    if known:
        return sum(_used(state, REFERENCE, process) for process in known)
    return sum(_used(state, *key) for key in state.before)
