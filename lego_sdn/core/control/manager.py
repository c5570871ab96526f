"""The manager: asks the policy what it makes of a round of load reports, and carries out its suggestion, or refuses it."""

from __future__ import annotations

from dataclasses import replace

from lego_sdn.core.control import host_resources, ingest, instances, replicas
from lego_sdn.core.control.admission import lacking_room, leave
from lego_sdn.core.control.events import Loads
from lego_sdn.core.control.replicas import at_limit, cannot_regrow, dying, unsplittable
from lego_sdn.core.control.state import SystemState, Turn
from lego_sdn.core.facts.actions import WORDS, StartReplica
from lego_sdn.core.facts.assignment import Owners, balance, carried, moves
from lego_sdn.core.facts.backoff import Backoff, RetryWaits
from lego_sdn.core.facts.change_notes import Advice, Refused
from lego_sdn.core.policy.base import Memory, Observation, Suggestion
from lego_sdn.core.policy.registry import policy

WORTH = 0.9  # a rebalance must bring the heaviest instance to less than this share of its load
HALF = 0.5  # a further instance must bring at least this share of what it would bring if load were a fluid

SOON_S = 30.0  # after a merge: growing again so soon shows that it was a mistake
MERGES = RetryWaits(30.0, 600.0)


def observe(turn: Turn, event: Loads) -> None:
    """Rates from this round and the last; then, if nothing is in flight, what the policy makes of them."""
    ingest.take_in(turn, event)
    state = turn.state
    if not state.running:
        turn.set(memory=Memory())
        return
    memory, suggestion = policy(state.config.scaling).suggest(state.memory, _seen(state, turn.now))
    if suggestion.kind == "none" or state.paused:
        turn.set(advice="")
    if state.change is not None or state.paused or state.switch is None or not state.answers():
        turn.set(memory=Memory(trend=memory.trend))
        return
    turn.set(memory=memory)
    if suggestion.kind == "none" or (turn.now < state.quiet_until and not suggestion.urgent):
        return
    _decide(turn, suggestion)
    if turn.state.change is not None:  # what was seen before it counts for nothing after it, however soon that is
        turn.set(memory=Memory(trend=memory.trend))


def _seen(state: SystemState, now: float) -> Observation:
    return Observation(
        running=state.running,
        loads={i: load for i, load in state.loads.items() if i in state.running},
        owners=state.owners,
        weights=instances.load_of_buckets(state),
        diagnoses={i: found for i, found in state.diagnoses.items() if i in state.running},
        arrangements={i: state.members[i].arrangement for i in state.running},
        costs=state.costs,
        like=state.config.instance,
        free=host_resources.free_cores(state),
        free_bytes=host_resources.free_memory(state),
        violated=frozenset(state.sla.broken),
        latency_ms=state.config.sla.latency_ms,
        no_instance=cannot_replicate(state, now),
        no_brick=cannot_regrow(state, now),
        dying=frozenset(dying(state, now)) | at_limit(state) | unsplittable(state),
    )


def _decide(turn: Turn, suggestion: Suggestion) -> None:
    """Carry out what the suggestion comes to, or say what would be done, or why it is not."""
    wanted, reason = _comes_to(turn.state, suggestion, turn.now)
    if reason is not None:
        refuse(turn, _word(wanted or suggestion), reason, suggestion.evidence)
    advised = turn.state.config.scaling.mode == "advise"
    if advised and (reason is not None or wanted is None):
        turn.set(advice="")
    if reason is not None or wanted is None:
        return
    if advised:
        _advise(turn, wanted)
    else:
        _act(turn, wanted)


def _comes_to(state: SystemState, suggestion: Suggestion, now: float) -> tuple[Suggestion | None, str | None]:
    """Resolve a suggestion to (what to do now or None, the reason for a refusal or None).

    A replicate that is impossible falls back to a rebalance among the running instances.
    """
    if suggestion.kind in ("merge", "shrink") and now < state.regret.backoff.until:
        return None, None
    if suggestion.action is not None:
        reason = replicas.cannot(state, suggestion.action) or cannot_regrow(state, now)
        if reason is None and isinstance(suggestion.action, StartReplica):
            reason = dying(state, now).get((suggestion.action.instance, suggestion.action.kind))
        return suggestion, reason
    if suggestion.kind == "replicate":
        reason = cannot_replicate(state, now)
        even = balance(state.owners, instances.load_of_buckets(state), state.running)
        if reason is None or not _worth(state, even):
            return suggestion, reason
        evidence = f"{suggestion.evidence}; no further instance, since {reason}"
        suggestion = Suggestion("rebalance", evidence, suggestion.instance, owners=even)
    if suggestion.kind == "rebalance" and suggestion.owners is not None:
        return suggestion, lacking_room(state, moves(state.owners, suggestion.owners))
    if suggestion.kind == "merge" and suggestion.instance is not None and len(state.running) > state.config.scaling.min_instances:
        return suggestion, leave(state, instances.load_of_buckets(state), suggestion.instance)[1]
    return None, None


def _advise(turn: Turn, wanted: Suggestion) -> None:
    """Say once what would be done, and then no more often than it could be done."""
    what = str(wanted.action) if wanted.action else f"{wanted.kind} (instance {wanted.instance})"
    if what != turn.state.advice:
        turn.set(advice=what, quiet_until=turn.now + turn.state.config.scaling.cooldown_s)
        turn.do(Advice(what, wanted.evidence, instance=wanted.instance))


def _act(turn: Turn, wanted: Suggestion) -> None:
    if wanted.kind in ("grow", "replicate"):
        _regret(turn)
    elif wanted.kind in ("shrink", "merge"):
        turn.set(regret=replace(turn.state.regret, merged_at=turn.now))
    if wanted.action is not None:
        replicas.begin(turn, wanted.action, wanted.evidence)
    elif wanted.kind == "replicate":
        instances.replicate(turn, wanted.evidence)
    elif wanted.kind == "rebalance" and wanted.owners is not None:
        instances.reassign(turn, "rebalance", wanted.owners, wanted.evidence)
    elif wanted.instance is not None:
        instances.merge(turn, wanted.instance, wanted.evidence)


def _word(suggestion: Suggestion) -> str:
    return WORDS[type(suggestion.action)] if suggestion.action is not None else suggestion.kind


def _regret(turn: Turn) -> None:
    """Growing again soon after a merge: let the next merge wait, so that a load that comes and goes does not drive instances."""
    past = turn.state.regret
    if turn.now - past.merged_at < SOON_S:
        turn.set(regret=replace(past, backoff=past.backoff.after_failure(turn.now, MERGES)))
    elif turn.now > past.backoff.until + SOON_S:
        turn.set(regret=replace(past, backoff=Backoff()))


def cannot_replicate(state: SystemState, now: float) -> str | None:
    """Why a further instance is refused, or None."""
    most = state.config.scaling.max_instances
    if len(state.running) >= most:
        return f"{most} instances are the maximum"
    if state.config.model is None:
        return "no model is configured"
    if now < state.backoff.until:
        return f"the last {state.backoff.failures} starts failed"
    lacking = host_resources.lacking_memory(state, host_resources.instance_bytes(state))
    if lacking is not None:
        return lacking
    load = instances.load_of_buckets(state)
    new = max(state.members, default=0) + 1
    further = (*state.running, new)
    heaviest = max(carried(state.owners, load, state.running).values(), default=0.0)
    relieved = max(carried(balance(state.owners, load, further, into=new), load, further).values())
    if state.running and relieved > heaviest * (1 - HALF / len(further)):
        return "the load is in too few buckets to be divided further"
    return None


def _worth(state: SystemState, owners: Owners) -> bool:
    load = instances.load_of_buckets(state)
    before, after = (max(carried(o, load, state.running).values()) for o in (state.owners, owners))
    return after <= WORTH * before


def refuse(turn: Turn, what: str, reason: str, evidence: str) -> None:
    """Say once, until something changes, why a suggestion is not followed."""
    if turn.state.refused != f"{what}: {reason}":
        turn.set(refused=f"{what}: {reason}")
        turn.do(Refused(what, reason, evidence))
