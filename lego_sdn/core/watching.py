"""Takes in a round of load reports: loads and bottlenecks of instances, what bricks cost now, and whether the promise is kept."""

from __future__ import annotations

from collections.abc import Mapping

from lego_sdn.core import relief, sla
from lego_sdn.core.bottleneck import Diagnosis, Outside, Rounds, diagnose
from lego_sdn.core.brick_actions import SetDeadlines
from lego_sdn.core.cost import Work
from lego_sdn.core.events import Loads
from lego_sdn.core.load import InstanceLoad, Report, instance_load
from lego_sdn.core.state import Member, State, Turn


def take_in(turn: Turn, event: Loads) -> None:
    state = turn.state
    now: dict[int, dict[str, Report]] = {}
    for report in event.reports:
        if report.instance in state.members:
            now.setdefault(report.instance, {})[report.process] = report
    rounds = {instance: Rounds(_of(state.reports, instance), after) for instance, after in sorted(now.items())}
    reports = {(instance, process): report for instance, after in now.items() for process, report in after.items()}
    loads: dict[int, InstanceLoad] = {}
    diagnoses: dict[int, Diagnosis] = {}
    for instance, one in rounds.items():
        member = state.members[instance]
        load = instance_load(one.before, one.after, _quotas(state, member, one.after))
        found = diagnose(one, member.arrangement, _outside(state, member, event), state.config.scaling.high_water)
        if load is not None:
            loads[instance] = load
        if found is not None:
            diagnoses[instance] = found
    turn.set(reports=reports, before=state.reports, loads=loads, diagnoses=diagnoses, rates=dict(event.buckets))
    _follow_costs(turn, rounds)
    _keep_promise(turn, rounds)


def _of(reports: Mapping[tuple[int, str], Report], instance: int) -> dict[str, Report]:
    return {process: report for (owner, process), report in reports.items() if owner == instance}


def _quotas(state: State, member: Member, processes: Mapping[str, Report]) -> dict[str, float | None]:
    """As the agent says; of a process that it has not told of yet, what every process gets."""
    return dict.fromkeys(processes, state.config.instance.cpu_quota) | member.arrangement.quotas


def _outside(state: State, member: Member, event: Loads) -> Outside:
    offered = sum(rate for bucket, rate in event.buckets.items() if state.owners[bucket : bucket + 1] == (member.instance,))
    lost = event.lost.get(member.ofport, 0.0) if member.ofport is not None else 0.0
    limit = state.config.instance.memory_mb
    return Outside(offered if event.buckets else None, lost, limit * 1e6 if limit is not None else None)


def _last(member: Member) -> str:
    return member.arrangement.graph[-1] if member.arrangement.graph else ""


def _follow_costs(turn: Turn, rounds: Mapping[int, Rounds]) -> None:
    """What bricks use moves the costs; where nothing is known of them, what is first seen of an instance's bricks begins."""
    state, costs = turn.state, turn.state.costs
    if costs is None:
        first = (relief.learned(state.config.nf, state.members[i].arrangement, found) for i, found in state.diagnoses.items())
        turn.set(costs=next((one for one in first if one is not None), None))
        return
    seen: dict[str, list[Work]] = {}
    for one in rounds.values():
        earlier = {brick.id: brick for report in one.before.values() for brick in report.bricks}
        for brick in (brick for report in one.after.values() for brick in report.bricks if brick.id in earlier):
            work = Work.between(earlier[brick.id], brick)
            if work is not None:
                seen.setdefault(brick.kind, []).append(work)
    turn.set(costs=costs.updated(seen))


def _keep_promise(turn: Turn, rounds: Mapping[int, Rounds]) -> None:
    state, promise = turn.state, turn.state.config.sla
    if promise.latency_ms is None and promise.loss is None:
        return
    tallies = {i: sla.tally(one.before, one.after, _last(state.members[i])) for i, one in rounds.items()}
    kept, notes = sla.watch(state.sla, promise, tallies, turn.now)
    for text, instance in notes:
        turn.note("sla", text, instance)
    if state.costs is not None:
        divided = sla.divided(kept, state.config, state.costs)
        if divided.problem and divided.problem != kept.problem:
            turn.note("sla", f"the promise cannot be divided among the bricks: {divided.problem}")
        kept = divided
    actions: tuple[SetDeadlines, ...] = ()
    if state.agent:
        kept, actions = sla.to_tell(kept, state.running)
    turn.set(sla=kept)
    for action in actions:
        turn.note("deadlines", str(action), action.instance)
        turn.do(action)
