"""Start and stop of the auditor's reference instance. It owns no bucket, counts for no limit, and no change waits for it."""

from __future__ import annotations

from dataclasses import replace

from lego_sdn.core.control import host_resources
from lego_sdn.core.control.events import (
    AgentUp,
    Event,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    Silent,
    StartInstance,
    StopInstance,
)
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.control.state import Turn
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.backoff import Backoff, RetryWaits
from lego_sdn.core.facts.change_notes import TwinFailed
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.observe.score_audit import ReferenceInstance

RETRY = RetryWaits(5.0, 300.0)
ANSWER_S = 60.0  # for the agent to start or stop it
SETTLED_S = 60.0  # a twin that lived this long did not die of its start


def take(turn: Turn, event: Event) -> Event | None:
    """Take in what an event says of the twin; what the event says of instances, or None if it is about the twin alone."""
    if isinstance(event, AgentUp):
        _agent_up(turn, event)
        return replace(event, instances=tuple(running for running in event.instances if running.instance != REFERENCE))
    if not isinstance(event, InstanceStarted | InstanceFailed | InstanceStopped | Silent) or event.instance != REFERENCE:
        return event
    if isinstance(event, InstanceStarted):
        _runs(turn, event.ofport)
    elif isinstance(event, InstanceStopped):
        turn.set(twin=replace(turn.state.twin, phase="absent", ofport=None))
    else:
        failed(turn, event.error)
    return None


def advance(turn: Turn) -> None:
    """Start it as soon as anything is to be audited; ask again for what was not answered."""
    state, twin = turn.state, turn.state.twin
    if not state.answers() or state.switch is None:
        return
    if twin.phase in ("starting", "stopping") and turn.now - twin.since > ANSWER_S:
        failed(turn, f"no answer in {ANSWER_S:.0f} s")
    elif twin.phase == "absent" and state.config.audit.share > 0 and state.running and turn.now >= twin.until:
        _start(turn)


def _start(turn: Turn) -> None:
    state, twin = turn.state, turn.state.twin
    lacking = host_resources.lacking_memory(state, host_resources.instance_bytes(state))
    if lacking is not None:
        text = f"the twin, instance {REFERENCE}, is not started: {lacking}; tried again in {RETRY.longest_s:.0f} s"
        turn.do(Notice("refused", text, instance=REFERENCE))
        turn.set(twin=replace(twin, backoff=replace(twin.backoff, until=turn.now + RETRY.longest_s)))
        return
    turn.set(twin=replace(twin, phase="starting", since=turn.now))
    text = f"starting the twin, instance {REFERENCE}: {state.config.audit.share:.0%} of the buckets are scored twice"
    turn.do(Notice("audit", text, instance=REFERENCE))
    turn.do(StartInstance(REFERENCE))


def _agent_up(turn: Turn, event: AgentUp) -> None:
    there = next((running for running in event.instances if running.instance == REFERENCE), None)
    twin = turn.state.twin
    if event.host != LOCAL:  # the twin runs on the controller's own host
        return
    if there is None and twin.phase != "absent":
        turn.set(twin=ReferenceInstance(backoff=twin.backoff))
    elif there is not None and turn.state.config.audit.share == 0:
        _stop(turn)
    elif there is not None:
        _runs(turn, there.ofport)


def _runs(turn: Turn, ofport: int) -> None:
    twin = turn.state.twin
    if twin.phase == "stopping":
        turn.do(StopInstance(REFERENCE))
    else:
        turn.set(twin=replace(twin, phase="running", since=turn.now if twin.phase != "running" else twin.since, ofport=ofport))


def failed(turn: Turn, error: str) -> None:
    """No score of any source depends on it: it is taken away, and tried again, each time later."""
    twin = turn.state.twin
    young = twin.phase != "running" or turn.now - twin.since < SETTLED_S
    backoff = (twin.backoff if young else Backoff()).after_failure(turn.now, RETRY)
    turn.do(TwinFailed(error, RETRY.after(backoff.failures), instance=REFERENCE))
    turn.set(twin=replace(twin, backoff=backoff))
    _stop(turn)


def _stop(turn: Turn) -> None:
    turn.set(twin=replace(turn.state.twin, phase="stopping", since=turn.now, ofport=None))
    turn.do(StopInstance(REFERENCE))
