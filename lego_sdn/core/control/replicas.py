"""Changes within an instance: a brick gets a replica, loses one, is separated or chained, or CPU goes from one process to another.

Such a change is in flight like any other, alone, and done when the agent answers. One that fails leaves the instance as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lego_sdn.core.control import host_resources, instances
from lego_sdn.core.control.state import GIVE_UP_AFTER, GIVE_UP_S, SETTLED_S, STARTS, Change, Member, SystemState, Turn
from lego_sdn.core.facts.actions import WORDS, BrickAction, ChainBrick, Separate, SetDeadlines, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement, RegrowFailed, Regrown
from lego_sdn.core.facts.backoff import Backoff
from lego_sdn.core.facts.change_notes import BrickChange
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.instance_notes import BrickRuns, BricksDied, BricksGone, ChangeFailed, EarlyDeath, GaveUp
from lego_sdn.core.observe import slo

TIMEOUT_S = 95.0  # the edge gives up before, and says so


def cannot_regrow(state: SystemState, now: float) -> str | None:
    """Why no policy may change anything within instances now, or None."""
    if now < state.regrowing.until:
        return f"the last {state.regrowing.failures} changes within instances failed"
    return None


def cannot(state: SystemState, action: BrickAction) -> str | None:
    """Why this cannot be done with the instance as it is, or None."""
    member = state.members.get(action.instance)
    if member is None or member.phase != "running":
        return f"instance {action.instance} does not run; there are {list(state.running)}"
    refused = member.arrangement.refusal(action)
    if refused is None and isinstance(action, StartReplica):
        refused = _too_many(state, action)
    return refused or host_resources.lacking_memory(state, host_resources.replica_bytes(state, action))


def _too_many(state: SystemState, action: StartReplica) -> str | None:
    if (action.instance, action.kind) in at_limit(state):
        return f"{state.config.scaling.max_replicas} replicas of {action.kind} in an instance are the maximum (scaling.max_replicas)"
    if (action.instance, action.kind) in unsplittable(state):
        return f"{action.kind} stays single in an instance: {state.whole}"
    return None


def at_limit(state: SystemState) -> frozenset[tuple[int, str]]:
    """Instance and kind of which there are as many replicas as there may be by the configuration."""
    most, laid = state.config.scaling.max_replicas, {i: state.members[i].arrangement for i in state.running}
    return frozenset((i, kind) for i, one in laid.items() for kind in one.graph.order if len(one.of_kind(kind)) >= most)


def unsplittable(state: SystemState) -> frozenset[tuple[int, str]]:
    """Instance and kind of which there may be one only, since it keeps the state of keys and the packets cannot be split by any."""
    if state.whole is None:
        return frozenset()
    keyed = {brick.kind for brick in state.costs.bricks if brick.keyed} if state.costs is not None else set()
    keyed |= {brick.kind for report in state.reports.values() for brick in report.bricks if BrickCounters.of(brick.counters).is_keyed}
    return frozenset((i, kind) for i in state.running for kind in keyed)


def begin(turn: Turn, action: BrickAction, evidence: str) -> None:
    kind: Any = WORDS[type(action)]
    turn.set(change=Change(kind, evidence, turn.now, action.instance, action=action))
    turn.do(BrickChange(kind, getattr(action, "kind", None), str(action), evidence, instance=action.instance))
    turn.do(action)


def regrown(turn: Turn, event: Regrown) -> None:
    """Whatever was asked: from now on the instance is laid out as the agent says."""
    if event.instance in turn.state.members:
        take_in(turn, event.instance, event.arrangement, event.action)
    if _in_flight(turn, event.action):
        turn.set(regrowing=Backoff())
        if event.brick is not None:
            turn.do(BrickRuns(event.brick, instance=event.instance))
        instances.finish(turn, "done")


def failed(turn: Turn, event: RegrowFailed) -> None:
    turn.do(ChangeFailed(WORDS.get(type(event.action), "take-out"), str(event.action), event.error, instance=event.instance))
    if isinstance(event.action, SetDeadlines):
        turn.set(sla=slo.not_taken(turn.state.sla, event.instance, turn.now))
    if not _in_flight(turn, event.action):
        return
    backoff = turn.state.regrowing.after_failure(turn.now, STARTS)
    turn.set(change=None, regrowing=backoff)
    if backoff.failures >= GIVE_UP_AFTER:
        turn.do(GaveUp("changes within instances", backoff.failures, GIVE_UP_S))


def take_in(turn: Turn, instance: int, now: Arrangement, done: BrickAction | None = None) -> None:
    """How the agent says that an instance is laid out, after what was `done` if anything was.

    A replica whose process died is taken out by the agent, and the others of its kind go on; or somebody asked the agent for it.
    """
    member, change = turn.state.members[instance], turn.state.change
    changing = change is not None and change.action is not None and change.instance == instance
    died = now.died[len(member.arrangement.died) :]
    meant = done.kind if isinstance(done, StopReplica | Separate | ChainBrick) else ""
    lost = [brick for brick in member.arrangement.bricks if brick not in now.bricks and node_of(brick) != meant]
    turn.place(instance, now)
    if died:
        early = [found for brick in lost if (found := _died(turn, member, brick)) is not None]
        turn.do(BricksDied(tuple(lost), tuple(died), tuple(early), instance=instance))
    elif lost and not changing:
        turn.do(BricksGone(tuple(lost), instance=instance))


def _died(turn: Turn, member: Member, brick: str) -> EarlyDeath | None:
    """One that died young keeps the next of its kind waiting, longer each time; one that had lived well (None) does not."""
    lived_s, kind, dying = turn.now - member.born.get(brick, turn.now), node_of(brick), turn.state.members[member.instance].dying
    young = lived_s < SETTLED_S
    backoff = dying.get(kind, Backoff()).after_failure(turn.now, STARTS) if young else Backoff()
    turn.put(replace(turn.state.members[member.instance], dying={**dying, kind: backoff}))
    return backoff.early(lived_s, turn.now) if young else None


def dying(state: SystemState, now: float) -> dict[tuple[int, str], str]:
    """Instance and kind -> why no policy starts a replica of it there now."""
    return {
        (member.instance, kind): f"the last {backoff.failures} of {kind} in instance {member.instance} died young"
        for member in state.members.values()
        for kind, backoff in member.dying.items()
        if now < backoff.until
    }


def overdue(turn: Turn) -> None:
    """An answer that does not come is not waited for; what it says is taken in when it comes after all."""
    change = turn.state.change
    if change is not None and change.action is not None and turn.now - change.since >= TIMEOUT_S:
        failed(turn, RegrowFailed(change.action.instance, f"no answer in {TIMEOUT_S:.0f} s", change.action))


def _in_flight(turn: Turn, action: BrickAction) -> bool:
    return turn.state.change is not None and turn.state.change.action == action
