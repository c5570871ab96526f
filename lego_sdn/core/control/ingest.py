"""Ingest of a round of load reports: loads and bottlenecks of instances, current costs of bricks, and whether the promise is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lego_sdn.core.control import exact, standby
from lego_sdn.core.control.events import Loads
from lego_sdn.core.control.state import Member, SystemState, Turn
from lego_sdn.core.cost.model import BrickCost, Costs, Work
from lego_sdn.core.facts.actions import SetDeadlines
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.facts.reports import InstanceLoad, Report, instance_load
from lego_sdn.core.observe import slo
from lego_sdn.core.observe.diagnosis import Diagnosis, Outside, Rounds, diagnose

Key = tuple[int, str]  # instance and process
FORGOTTEN_S = 5.0  # after which a report says nothing about now


def take_in(turn: Turn, event: Loads) -> None:
    """Take in one round. For a process that did not answer, the last known report is used for a while: a busy process answers late."""
    came = _remember(turn, event)
    state = turn.state
    loads: dict[int, InstanceLoad] = {}
    diagnoses: dict[int, Diagnosis] = {}
    for instance in sorted({instance for instance, _ in came}):
        member, seen = state.members[instance], _rounds(state, [key for key in state.reports if key[0] == instance])
        load = instance_load(seen.before, seen.after, _quotas(state, member, seen.after))
        found = diagnose(seen, member.arrangement, _outside(state, member, event), state.config.scaling.high_water)
        if load is not None:
            loads[instance] = load
        if found is not None:
            diagnoses[instance] = found
            _tell_memory(turn, found)
    turn.set(loads=loads, diagnoses=diagnoses, rates=dict(event.buckets))
    for host in state.hosts:
        turn.learn(host, free_bytes=event.free_bytes.get(host))
    rounds = {i: _rounds(state, [key for key in came if key[0] == i]) for i in sorted({instance for instance, _ in came})}
    for instance, one in rounds.items():
        exact.take_in(turn, instance, one.before, one.after)
    seen = _rounds(turn.state, [key for key in turn.state.reports if key[0] == turn.state.standby.instance])
    standby.look(turn, seen.before, seen.after)
    _tell_switch_losses(turn, event)
    _follow_costs(turn, rounds)
    _keep_promise(turn, rounds, event)


def _tell_switch_losses(turn: Turn, event: Loads) -> None:
    port = turn.state.standby.ofport
    if port is not None and event.lost.get(port, 0.0) > 0:
        standby.failed(turn, "the switch could not put out packets to its port")
    for instance, member in sorted(turn.state.members.items()):
        rate = event.lost.get(member.ofport, 0.0) if member.ofport is not None else 0.0
        if rate > 0:
            text = f"the switch could not put out packets to the port of instance {instance}: they are lost"
            exact.lose(turn, instance, exact.SWITCH_DROPS, text, exact.before_last_look(turn.state.exact.get(instance), turn.now))


def _tell_memory(turn: Turn, found: Diagnosis) -> None:
    """Once, when an instance comes to its mark."""
    told = turn.state.full & frozenset(turn.state.members)
    if found.is_full and found.instance not in told:
        turn.do(Notice("memory", found.evidence, instance=found.instance))
    turn.set(full=told | {found.instance} if found.is_full else told - {found.instance})


def _remember(turn: Turn, event: Loads) -> list[Key]:
    """The last two reports of each process, the twin's too, without those of long ago and of processes that are gone; which members'
    processes reported now."""
    state = turn.state
    reports, before = dict(state.reports), dict(state.before)
    came = []
    for report in event.reports:
        key, old = (report.instance, report.process), reports.get((report.instance, report.process))
        if report.instance not in (*state.members, REFERENCE, state.standby.instance) or (
            old is not None and old.pid == report.pid and old.time >= report.time
        ):
            continue
        before.pop(key, None)
        if old is not None and old.pid == report.pid:
            before[key] = old
        reports[key] = report
        came.append(key)
    newest = max((report.time for report in reports.values()), default=0.0)
    there = [key for key, report in reports.items() if report.time >= newest - FORGOTTEN_S and _exists(state, key)]
    turn.set(reports={key: reports[key] for key in there}, before={key: before[key] for key in there if key in before})
    return [key for key in dict.fromkeys(came) if key in turn.state.reports and key[0] in state.members]


def _exists(state: SystemState, key: Key) -> bool:
    """As far as the agent has told."""
    if key[0] == REFERENCE:
        return state.twin.phase == "running"
    if key[0] == state.standby.instance:
        return state.standby.ofport is not None
    member = state.members.get(key[0])
    return member is not None and (not member.arrangement.processes or key[1] in member.arrangement.quotas)


def _rounds(state: SystemState, keys: Sequence[Key]) -> Rounds:
    return Rounds({k[1]: state.before[k] for k in keys if k in state.before}, {k[1]: state.reports[k] for k in keys})


def _quotas(state: SystemState, member: Member, processes: Mapping[str, Report]) -> dict[str, float | None]:
    """As the agent says; of a process that it has not told of yet, what every process gets."""
    return dict.fromkeys(processes, state.config.instance.cpu_quota) | member.arrangement.quotas


def _outside(state: SystemState, member: Member, event: Loads) -> Outside:
    offered = sum(rate for bucket, rate in event.buckets.items() if state.owners[bucket : bucket + 1] == (member.instance,))
    lost = event.lost.get(member.ofport, 0.0) if member.ofport is not None else 0.0
    limit = state.config.instance.memory_mb
    return Outside(offered if event.buckets else None, lost, limit * 1e6 if limit is not None else None)


def _learned(state: SystemState, instance: int, found: Diagnosis) -> Costs | None:
    """A cost model from what an instance's bricks report, where there is none from a profile; None before every brick has had work.

    The brick that counts shadows is the one that keeps streams.
    """
    reported = [brick for (one, _), report in state.reports.items() if one == instance for brick in report.bricks]
    keyed = {brick.node for brick in reported if BrickCounters.of(brick.counters).is_keyed}
    costs, graph = [], state.members[instance].arrangement.graph
    for kind in graph.order:
        seen = [one.service_us for one in found.of_kind(kind) if one.service_us > 0]
        if not seen:
            return None
        costs.append(BrickCost(kind, 0.0, sum(seen) / len(seen), keyed=kind in keyed))
    shadows = state.shadows if keyed else 0
    return Costs(state.config.nf, "as it runs", tuple(costs), shadows=shadows, graph=graph).configured(state.config) if costs else None


def _follow_costs(turn: Turn, rounds: Mapping[int, Rounds]) -> None:
    """What bricks use moves the costs; where nothing is known of them, what is first seen of an instance's bricks begins."""
    state, costs = turn.state, turn.state.costs
    if costs is None:
        first = (_learned(state, i, found) for i, found in state.diagnoses.items())
        turn.set(costs=next((one for one in first if one is not None), None))
        return
    seen: dict[str, list[Work]] = {}
    for one in rounds.values():
        earlier = {brick.id: brick for report in one.before.values() for brick in report.bricks}
        for brick in (brick for report in one.after.values() for brick in report.bricks if brick.id in earlier):
            work = Work.between(earlier[brick.id], brick)
            if work is not None:
                seen.setdefault(brick.node, []).append(work)
    memory = [([brick.node for brick in report.bricks], report.memory_bytes) for one in rounds.values() for report in one.after.values()]
    turn.set(costs=costs.updated(seen).weighed(memory))


def _keep_promise(turn: Turn, rounds: Mapping[int, Rounds], event: Loads) -> None:
    state, promise = turn.state, turn.state.config.sla
    if promise.latency_ms is None and promise.loss is None:
        return
    outside = {i: _outside(state, state.members[i], event).lost for i in rounds}
    tallies = {i: slo.tally(one.before, one.after, state.members[i].arrangement.graph.ends, outside[i]) for i, one in rounds.items()}
    kept, notes = slo.watch(state.sla, promise, tallies, turn.now)
    for note in notes:
        turn.do(note)
    if state.costs is not None:
        laid = [state.members[i].arrangement for i in state.running]
        divided = slo.divided(kept, state.config, slo.basis_of(state.config, state.costs, laid))
        if divided.problem and not kept.problem:
            turn.do(Notice("sla", f"the promise of {promise.latency_ms:g} ms can hardly be kept under load: {divided.problem}"))
        kept = divided
    actions: tuple[SetDeadlines, ...] = ()
    if state.answers() and turn.now >= kept.again_at:
        kept, actions = slo.to_tell(kept, state.running)
    turn.set(sla=kept)
    for action in actions:
        turn.do(Notice("deadlines", str(action), instance=action.instance))
        turn.do(action)
