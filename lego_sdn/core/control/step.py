"""The decision core: `step(state, event, now) -> (state, actions)`, a pure function of what was observed.

The same events at the same times give the same actions. What it keeps true: every bucket has exactly one owner as soon as any
instance runs; one change is in flight at a time; traffic is forwarded whatever becomes of instances, agent or controller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lego_sdn.core.control import exact, instances, ports, reference, replicas, standby
from lego_sdn.core.control.commands import command
from lego_sdn.core.control.events import (
    Action,
    AgentDown,
    AgentUp,
    Command,
    Disturbed,
    Drain,
    Drained,
    Event,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    Loads,
    PortsSeen,
    ProcessDied,
    Running,
    Silent,
    Steered,
    StopInstance,
    SwitchDown,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.hosts import HostState
from lego_sdn.core.control.manager import observe
from lego_sdn.core.control.state import SETTLED_S, Member, SystemState, Turn
from lego_sdn.core.facts.actions import TakeOut
from lego_sdn.core.facts.arrangement import RegrowFailed, Regrown
from lego_sdn.core.facts.assignment import balance, place
from lego_sdn.core.facts.backoff import Backoff
from lego_sdn.core.facts.change_notes import BucketsMoved, MoveEnded
from lego_sdn.core.facts.instance_notes import (
    DrainFailed,
    InstanceAdopted,
    ModelMissing,
    ProcessSilent,
    RulesRefused,
    StopFailed,
    SwitchSeen,
)
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.traffic.handover import buckets_in_words

START_TIMEOUT_S = 60.0
STEER_TIMEOUT_S = 30.0  # buckets are handed over meanwhile; an instance on a small quota takes its time
STOP_TIMEOUT_S = 30.0
STOP_TRIES = 3
DRAIN_GRACE_S = 5.0  # on top of the drain's own deadline


def step(state: SystemState, event: Event, now: float) -> tuple[SystemState, tuple[Action, ...]]:
    """The state after `event`, seen at `now` (monotonic seconds), and what to do, in order."""
    turn = Turn(state, now)
    about = reference.take(turn, event)
    about = standby.take(turn, about) if about is not None else None
    if about is not None:
        HANDLERS[type(about)](turn, about)
    _keep_minimum(turn)
    reference.advance(turn)
    standby.advance(turn)
    instances.advance(turn)
    return turn.state, tuple(turn.actions)


def ready(state: SystemState) -> bool:
    """Whether a change can be made: there is a switch, and an agent that answers."""
    return state.switch is not None and state.answers()


# ---- the switch ----
def _switch_up(turn: Turn, event: SwitchUp) -> None:
    if turn.state.switch not in (None, event.dpid):
        turn.do(SwitchSeen(event.dpid, "ignored", turn.state.switch))
        return
    turn.set(switch=event.dpid, sent=None)  # whatever its tables hold, the wanted rules are sent again
    turn.do(SwitchSeen(event.dpid, "connected"))


def _switch_down(turn: Turn, event: SwitchDown) -> None:
    if turn.state.switch == event.dpid:
        turn.set(switch=None, sent=None)
        ports.forget(turn)
        turn.do(SwitchSeen(event.dpid, "disconnected"))


def _steered(turn: Turn, event: Steered) -> None:
    _tell_moves(turn, event)
    if event.error is not None:
        turn.do(RulesRefused(event.version, event.error))
    elif event.version <= turn.state.version:
        turn.set(confirmed=max(turn.state.confirmed, event.version))


def _tell_moves(turn: Turn, event: Steered) -> None:
    done = [one for one in event.moved if one.error is None]
    for failed in sorted({one.failed for one in event.moved if one.failed is not None}):
        if failed in turn.state.members and turn.state.members[failed].phase in ("running", "leaving", "draining"):
            error = next(one.error for one in event.moved if one.failed == failed) or ""
            instances.died(turn, failed, f"it failed in a move: {error}")
    for one in event.moved:
        if one.standby is not None:
            continue
        buckets, old, new = buckets_in_words(one.handover.buckets), one.handover.old, one.handover.new
        if one.error is None:
            turn.do(BucketsMoved(old, len(one.handover.buckets), buckets, one.records, one.bytes, one.packets, instance=new))
            exact.take_over(turn, old, new)
            if one.evicted:
                text = f"instance {new} was full: it forgot {one.evicted} streams to take in {buckets}"
                exact.lose(turn, new, "evicted", text, turn.state.sent_at, one.evicted)
        else:
            text = f"{buckets}: instance {new} goes on without the streams of instance {old}: {one.error}"
            exact.lose(turn, new, exact.STREAMS_LOST, text, turn.state.sent_at)
    if done:
        turn.do(MoveEnded(len(done), event.ms, event.held))


def _disturbed(turn: Turn, event: Disturbed) -> None:
    concerned = turn.state.running if event.instance is None else (event.instance,)
    for instance in concerned:
        if instance in turn.state.members:
            exact.lose(turn, instance, event.reason, event.text, event.good)


# ---- the agent ----
def _agent_up(turn: Turn, event: AgentUp) -> None:
    """What the agent says runs is the truth: adopt what is unknown, take up what was asked, give up what is not there."""
    before = turn.state.hosts.get(event.host, HostState())
    if before.agent is not True:
        turn.do(Notice("agent", f"agent answers, {len(event.instances)} instances run"))
        turn.set(regrowing=Backoff(), backoff=Backoff())
    turn.learn(event.host, agent=True, cores=event.cores, memory_bytes=event.memory_bytes)
    there = {running.instance: running for running in event.instances}
    ours = {member.instance for member in turn.state.members.values() if member.host == event.host}
    for instance in sorted(ours - set(there)):
        _missing(turn, turn.state.members[instance])
    for running in sorted(there.values(), key=lambda r: r.instance):
        if running.instance in ours:
            _present(turn, turn.state.members[running.instance], running)
    _adopt(turn, [there[i] for i in sorted(set(there) - set(turn.state.members))], event.host)
    if before.agent is None and turn.state.config.model is None and not there:
        turn.do(ModelMissing())


def _missing(turn: Turn, member: Member) -> None:
    if member.phase == "starting":
        instances.start_failed(turn, member.instance, "the agent does not know of it")
    elif member.phase == "running":
        instances.died(turn, member.instance, "the agent does not have it any more")
    else:
        instances.gone(turn, member.instance)


def _present(turn: Turn, member: Member, running: Running) -> None:
    if member.phase == "starting":
        instances.started(turn, member.instance, running.ofport, running.arrangement)
        return
    turn.put(replace(member, ofport=running.ofport))
    replicas.take_in(turn, member.instance, running.arrangement)
    if member.phase == "draining":
        turn.do(Drain(member.instance, round(turn.state.config.scaling.drain_s * 1000)))
    elif member.phase == "stopping":
        turn.do(StopInstance(member.instance))


def _adopt(turn: Turn, unknown: list[Running], host: str) -> None:
    """After a restart of the controller: instances go on with what the stored assignment says they own."""
    for running in unknown:
        turn.put(Member(running.instance, "running", turn.now, running.ofport, host=host).arranged(running.arrangement, turn.now))
        exact.begin(turn, running.instance, "adopted")
    load, before = instances.load_of_buckets(turn.state), turn.state.owners
    turn.set(owners=place(before, load, turn.state.running))
    if unknown:
        exact.lose_streams(turn, before, turn.state.owners, "the instance that had them is not there any more")
    for running in unknown:
        if running.instance not in turn.state.owners:
            turn.set(owners=balance(turn.state.owners, load, turn.state.running, into=running.instance))
        count = turn.state.owners.count(running.instance)
        turn.do(InstanceAdopted(count, instance=running.instance))


def _agent_down(turn: Turn, event: AgentDown) -> None:
    if turn.state.answers(event.host):
        turn.learn(event.host, agent=False)
        turn.do(Notice("agent", f"agent does not answer: {event.reason}; instances go on as they are"))


# ---- instances ----
def _instance_started(turn: Turn, event: InstanceStarted) -> None:
    member = turn.state.members.get(event.instance)
    if member is None:
        turn.do(Notice("stop", f"instance {event.instance} came up after it was given up: it is stopped", instance=event.instance))
        turn.do(StopInstance(event.instance))
    elif member.phase == "starting":
        instances.started(turn, event.instance, event.ofport, event.arrangement)


def _instance_failed(turn: Turn, event: InstanceFailed, silent: tuple[str, ...] = ()) -> None:
    member = turn.state.members.get(event.instance)
    if member is None:
        return
    if member.phase == "starting":
        instances.start_failed(turn, event.instance, event.error)
    elif member.phase == "stopping":
        turn.do(StopFailed(event.error, instance=event.instance))  # a tick tries again
    else:
        instances.died(turn, event.instance, event.error, silent)


def _process_died(turn: Turn, event: ProcessDied) -> None:
    """With a standby, an instance ends with any of its processes, and the standby takes over, so that nothing that was in it is lost. One
    that ends in a change within its instance may have been asked to: the agent will tell."""
    member, change = turn.state.members.get(event.instance), turn.state.change
    within = change is not None and change.action is not None and change.action.instance == event.instance
    if member is not None and member.phase in ("running", "leaving", "draining") and standby.is_ready(turn.state) and not within:
        instances.died(turn, event.instance, f"its process {event.process} has ended")


def _silent(turn: Turn, event: Silent) -> None:
    """A replica that does not answer is taken out like one that died, and others do its work; without another process nothing goes on."""
    member = turn.state.members.get(event.instance)
    if member is None or not member.arrangement.is_spare(event.process) or standby.is_ready(turn.state):
        _instance_failed(turn, InstanceFailed(event.instance, event.error), (event.process,))
        return
    turn.do(ProcessSilent(event.process, event.error, instance=event.instance))
    turn.do(TakeOut(event.instance, event.process))


def _instance_stopped(turn: Turn, event: InstanceStopped) -> None:
    if event.instance in turn.state.members:
        turn.do(Notice("stopped", f"instance {event.instance} is gone", instance=event.instance))
        instances.gone(turn, event.instance)


def _drained(turn: Turn, event: Drained) -> None:
    member = turn.state.members.get(event.instance)
    if member is not None and member.phase == "draining":
        if not event.clean:
            turn.do(DrainFailed(answered=True, instance=event.instance))
        instances.stop(turn, event.instance)


# ---- time ----
def _tick(turn: Turn, event: Tick) -> None:
    """Ask again for what was not answered."""
    state = turn.state
    sent = state.sent
    if sent is not None and sent.version > state.confirmed and turn.now - state.sent_at >= STEER_TIMEOUT_S:
        instances.send(turn, replace(sent, version=state.version + 1))
    if state.backoff.failures and turn.now >= state.backoff.until + SETTLED_S:
        turn.set(backoff=Backoff())
    replicas.overdue(turn)
    for member in sorted(state.members.values(), key=lambda m: m.instance):
        if state.answers(member.host):
            _overdue(turn, member)


def _overdue(turn: Turn, member: Member) -> None:
    waited = turn.now - member.since
    if member.phase == "starting" and waited >= START_TIMEOUT_S:
        instances.start_failed(turn, member.instance, f"no answer in {START_TIMEOUT_S:.0f} s")
    elif member.phase == "draining" and waited >= turn.state.config.scaling.drain_s + DRAIN_GRACE_S:
        turn.do(DrainFailed(answered=False, instance=member.instance))
        instances.stop(turn, member.instance)
    elif member.phase == "stopping" and waited >= STOP_TIMEOUT_S * (member.tries + 1):
        if member.tries + 1 < STOP_TRIES:
            turn.put(replace(member, tries=member.tries + 1))
            turn.do(StopInstance(member.instance))
        else:
            turn.do(StopFailed(f"no answer in {waited:.0f} s", given_up=True, instance=member.instance))
            instances.gone(turn, member.instance)


def _keep_minimum(turn: Turn) -> None:
    state = turn.state
    if not ready(state) or state.change is not None or state.config.model is None or turn.now < state.backoff.until:
        return
    least = state.config.scaling.min_instances
    if len(state.running) < least:
        instances.replicate(turn, f"{len(state.running)} of at least {least} instances run")


HANDLERS: dict[type[Any], Callable[[Turn, Any], None]] = {
    SwitchUp: _switch_up,
    SwitchDown: _switch_down,
    AgentUp: _agent_up,
    AgentDown: _agent_down,
    InstanceStarted: _instance_started,
    InstanceFailed: _instance_failed,
    ProcessDied: _process_died,
    Silent: _silent,
    InstanceStopped: _instance_stopped,
    Loads: observe,
    PortsSeen: ports.take_in,
    Disturbed: _disturbed,
    Steered: _steered,
    Drained: _drained,
    Tick: _tick,
    Command: command,
    Regrown: replicas.regrown,
    RegrowFailed: replicas.failed,
}
