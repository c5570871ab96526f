"""The standby: an instance that gets every packet, owns no bucket, and takes over those of one that dies, so that no score is lost.

It is started when nothing else changes, is given every stream by the handover executor (`Steered.standby` says so), and is ready then. When
it takes over, it becomes an instance like any other, and another standby is started. Without one, a death costs what it does by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from lego_sdn.core.control import exact, host_resources
from lego_sdn.core.control.events import (
    AgentUp,
    Event,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    ProcessDied,
    Running,
    Silent,
    StartInstance,
    Steered,
    StopInstance,
)
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import Member, SystemState, Turn
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.backoff import Backoff, RetryWaits
from lego_sdn.core.facts.exact_since import ExactSince
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.facts.reports import Report
from lego_sdn.core.facts.standby import StandbyInstance, TakenOver, TakeOver
from lego_sdn.core.facts.standby_notes import StandbyFailed, StandbyReady, StandbyStarting, StandbyTakesOver, StandbyTookOver

RETRY = RetryWaits(1.0, 300.0)
ANSWER_S = 60.0  # for the agent to start or stop it, and for the streams to be given to it
SETTLED_S = 60.0  # one that lived this long did not die of its start


def number(state: SystemState) -> int | None:
    """The instance that gets every packet and scores none, once it has a port."""
    return state.standby.instance if state.standby.ofport is not None else None


def is_ready(state: SystemState) -> bool:
    return state.standby.phase == "ready"


def free_number(state: SystemState) -> int:
    """For a new instance: none that is in use, nor one from which another instance is still taking over."""
    taken = {*state.members, state.standby.instance, *(one.dead for one in state.takeovers)}
    return next(i for i in range(1, len(taken) + 2) if i not in taken)


# ---- what happens ----
def take(turn: Turn, event: Event) -> Event | None:
    """Take in what an event says of the standby; what the event says of instances, or None if it is about the standby alone."""
    if isinstance(event, AgentUp):
        return replace(event, instances=_agent_up(turn, event))
    if isinstance(event, Steered):
        _steered(turn, event)
    about = InstanceStarted | InstanceFailed | InstanceStopped | ProcessDied | Silent
    if not isinstance(event, about) or turn.state.standby.phase == "absent" or event.instance != turn.state.standby.instance:
        return event
    if isinstance(event, InstanceStarted):
        _runs(turn, event.ofport, event.arrangement)
    elif isinstance(event, InstanceStopped):
        _gone(turn)
    elif turn.state.standby.phase != "stopping":
        failed(turn, f"its process {event.process} has ended" if isinstance(event, ProcessDied) else event.error)
    return None


def _agent_up(turn: Turn, event: AgentUp) -> tuple[Running, ...]:
    """The instances without the standby. After a restart of the controller, one that was started as a standby and owns nothing is still
    one: the handover executor finds out whether it has every stream. If an owner is gone meanwhile, it takes over."""
    if event.host != LOCAL:  # the standby runs on the controller's own host
        return event.instances
    state = turn.state
    members = tuple(one for one in event.instances if not one.standby or one.instance in state.members or one.instance in state.owners)
    others = {one.instance: one for one in event.instances if one not in members}
    if state.standby.instance is None and others and state.config.standby:
        turn.set(standby=replace(state.standby, phase="starting", instance=min(others), since=turn.now))
    known = turn.state.standby.instance
    if known is not None and known in others:
        one = others.pop(known)
        _runs(turn, one.ofport, one.arrangement)
    elif known is not None:
        _gone(turn)
    for instance in sorted(others):
        turn.do(StopInstance(instance))
    if known is not None and not state.agents_spoke and turn.state.standby.phase == "copying":
        _take_over_from_missing(turn, {one.instance for one in members})
    return tuple(one for one in event.instances if one in members or one.instance in turn.state.members)


def _take_over_from_missing(turn: Turn, there: set[int]) -> None:
    for dead in sorted({owner for owner in turn.state.owners if owner is not None} - there):
        _give_to_standby(turn, dead)
        turn.do(StopInstance(dead))  # what is left of it


def _steered(turn: Turn, event: Steered) -> None:
    """The answer to the rules: which takeovers are done, and whether the standby has every stream."""
    if event.heir is not None and event.heir == turn.state.standby.instance and turn.state.standby.phase in ("copying", "ready"):
        _promote(turn)
    for one in event.taken:
        _taken(turn, one)
    done = {one.of.dead for one in event.taken}
    turn.set(takeovers=tuple(one for one in turn.state.takeovers if one.dead not in done))
    standby, sent = turn.state.standby, turn.state.sent
    if standby.phase not in ("copying", "ready") or sent is None or sent.standby != standby.instance or event.version != sent.version:
        return
    if event.standby == standby.instance and standby.phase == "copying":
        turn.set(standby=replace(standby, phase="ready", since=turn.now), reports=_others(turn, "reports"), before=_others(turn, "before"))
        turn.do(StandbyReady(instance=standby.instance))
    elif event.standby != standby.instance and event.error is None:
        failed(turn, "it could not be given every stream")


def _others(turn: Turn, which: Literal["reports", "before"]) -> dict[tuple[int, str], Report]:
    """Reports without the standby's: what it lost before it had every stream is no loss."""
    return {key: report for key, report in getattr(turn.state, which).items() if key[0] != turn.state.standby.instance}


def _taken(turn: Turn, one: TakenOver) -> None:
    heir, dead = one.of.heir, one.of.dead
    if one.error is not None:
        exact.lose(turn, heir, exact.STREAMS_LOST, f"instance {heir} could not take over from instance {dead}: {one.error}")
        return
    if heir in turn.state.running:  # it died in a move, before it was told here
        turn.set(owners=tuple(heir if owner == dead else owner for owner in turn.state.owners))
    turn.do(StandbyTookOver(dead, one.scored, one.at, instance=heir))
    if not one.complete:
        text = f"instance {heir} had not all packets that instance {dead} had not scored when it died"
        exact.lose(turn, heir, "standby-incomplete", text)


def _runs(turn: Turn, ofport: int, arrangement: Arrangement) -> None:
    standby = turn.state.standby
    if standby.phase == "stopping":
        turn.do(StopInstance(standby.instance or 0))
    elif standby.phase == "starting":
        turn.set(standby=replace(standby, phase="copying", since=turn.now, ofport=ofport, arrangement=arrangement))
    else:
        turn.set(standby=replace(standby, ofport=ofport, arrangement=arrangement))


def _gone(turn: Turn) -> None:
    turn.set(standby=StandbyInstance(backoff=turn.state.standby.backoff))


def failed(turn: Turn, error: str) -> None:
    """No score depends on it: it is taken away, and another one is started, each time later."""
    standby = turn.state.standby
    young = standby.phase != "ready" or turn.now - standby.since < SETTLED_S
    backoff = (standby.backoff if young else Backoff()).after_failure(turn.now, RETRY)
    turn.do(StandbyFailed(error, RETRY.after(backoff.failures), instance=standby.instance))
    turn.set(standby=replace(standby, phase="stopping", since=turn.now, ofport=None, backoff=backoff))
    turn.do(StopInstance(standby.instance or 0))


def look(turn: Turn, before: Mapping[str, Report], after: Mapping[str, Report]) -> None:
    """A round of its load reports: once it has lost anything, it has not every packet any more."""
    if not is_ready(turn.state):
        return
    for name, report in sorted(after.items()):
        then, now = before.get(name), exact.counters(report)
        was = exact.counters(then) if then is not None and then.pid == report.pid else now
        grown = [words.reason for counter, words in exact.LOSSES.items() if now.get(counter, 0) > was.get(counter, 0)]
        if grown:
            failed(turn, f"it lost packets or streams: {', '.join(grown)}")
            return


# ---- what is done ----
def advance(turn: Turn) -> None:
    """Start it once nothing else changes; ask again for what was not answered."""
    state, standby = turn.state, turn.state.standby
    if not state.answers() or state.switch is None:
        return
    if standby.phase in ("starting", "copying") and turn.now - standby.since > ANSWER_S:
        failed(turn, f"it was not ready within {ANSWER_S:.0f} s")
    elif standby.phase == "stopping" and turn.now - standby.since > ANSWER_S:
        turn.set(standby=replace(standby, since=turn.now))
        turn.do(StopInstance(standby.instance or 0))
    elif standby.phase == "absent" and state.config.standby and _is_quiet(state) and turn.now >= standby.backoff.until:
        _start(turn)


def _is_quiet(state: SystemState) -> bool:
    leaving = any(member.phase != "running" for member in state.members.values())
    waits = state.change is not None or bool(state.takeovers) or state.confirmed < state.version
    return bool(state.running) and not leaving and not waits


def _start(turn: Turn) -> None:
    state = turn.state
    lacking = host_resources.lacking_memory(state, host_resources.instance_bytes(state))
    if lacking is not None:
        turn.do(Notice("refused", f"no standby is started: {lacking}; tried again in {RETRY.longest_s:.0f} s"))
        turn.set(standby=replace(state.standby, backoff=replace(state.standby.backoff, until=turn.now + RETRY.longest_s)))
        return
    instance = free_number(state)
    turn.set(standby=replace(state.standby, phase="starting", instance=instance, since=turn.now))
    turn.do(StandbyStarting(instance=instance))
    turn.do(StartInstance(instance, standby=True))


def take_over(turn: Turn, dead: int) -> None:
    """Instance `dead` has just failed: the standby, if it is ready, owns its buckets from now on. If it owns none any more, it may still
    not have scored all packets of those that it gave to others: the standby scores these, and stays the standby."""
    if is_ready(turn.state):
        _give_to_standby(turn, dead)


def _give_to_standby(turn: Turn, dead: int) -> None:
    state, heir = turn.state, turn.state.standby.instance
    if heir is None:  # it took over from another one
        return
    buckets = tuple(bucket for bucket, owner in enumerate(state.owners) if owner == dead)
    turn.set(takeovers=(*state.takeovers, TakeOver(dead, heir, buckets)))
    if buckets:
        turn.set(owners=tuple(heir if owner == dead else owner for owner in state.owners))
        _promote(turn, dead)
        turn.do(StandbyTakesOver(dead, len(buckets), instance=heir))


def _promote(turn: Turn, dead: int | None = None) -> None:
    """It is an instance like any other from now on. What is wrong with the scores of the dead one is wrong with its own."""
    state, standby = turn.state, turn.state.standby
    assert standby.instance is not None
    turn.put(Member(standby.instance, "running", turn.now, standby.ofport, heir=True).arranged(standby.arrangement, turn.now))
    since = state.exact.get(dead) if dead is not None else None
    turn.set(standby=StandbyInstance(), exact={**state.exact, standby.instance: since or ExactSince(turn.now)})
