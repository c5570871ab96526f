"""The manager: asks the policy what it makes of a round of load reports, and carries out its suggestion, or refuses it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lego_sdn.core import changes, hosting, regrow, watching
from lego_sdn.core.brick_actions import WORDS, BrickAction, StartReplica
from lego_sdn.core.events import Loads
from lego_sdn.core.plan import Owners, balance, carried, moves
from lego_sdn.core.policies import policy
from lego_sdn.core.regrow import at_limit, cannot_regrow, dying
from lego_sdn.core.room import lacking_room, leave
from lego_sdn.core.scaling import NOTHING, Memory, Observation, Suggestion
from lego_sdn.core.state import State, Turn

WORTH = 0.9  # a rebalance must bring the heaviest instance to less than this share of its load
HALF = 0.5  # a further instance must bring at least this share of what it would bring if load were a fluid

SOON_S, FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 30.0, 600.0


def observe(turn: Turn, event: Loads) -> None:
    """Rates from this round and the last; then, if nothing is in flight, what the policy makes of them."""
    watching.take_in(turn, event)
    state = turn.state
    if not state.running:
        turn.set(memory=Memory(), advice="")
        return
    memory, suggestion = policy(state.config.scaling).suggest(state.memory, _seen(state, turn.now))
    if state.change is not None or state.paused or state.switch is None or not state.agent:
        turn.set(memory=Memory(trend=memory.trend), advice="")
        return
    turn.set(memory=memory)
    coming = outcome(state, suggestion, turn.now)
    if state.advice != coming.words:
        turn.set(advice="")  # it is no longer what would be done
    if coming.do.kind == "none" or (turn.now < state.quiet_until and not suggestion.urgent):
        return
    if coming.reason is not None:
        if coming.told:
            refuse(turn, coming.what, coming.reason, suggestion.evidence)
    elif state.config.scaling.mode == "advise":
        _advise(turn, coming)
    else:
        _carry_out(turn, coming.do)
    if turn.state.change is not None:  # what was seen before it counts for nothing after it, however soon that is
        turn.set(memory=Memory(trend=memory.trend))


def _seen(state: State, now: float) -> Observation:
    return Observation(
        running=state.running,
        loads={i: load for i, load in state.loads.items() if i in state.running},
        owners=state.owners,
        weights=changes.load_of_buckets(state),
        diagnoses={i: found for i, found in state.diagnoses.items() if i in state.running},
        arrangements={i: state.members[i].arrangement for i in state.running},
        costs=state.costs,
        like=state.config.instance,
        free=hosting.free_cores(state),
        free_bytes=hosting.free_memory(state),
        violated=frozenset(state.sla.broken),
        no_instance=cannot_replicate(state, now),
        no_brick=cannot_regrow(state, now),
        dying=frozenset(dying(state, now)) | at_limit(state),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a suggestion comes to, whether it is then carried out or only said.

    do      what is done, which may be another way than what was suggested; words: the same for a reader, "" if nothing is
    what    in a word; reason: why it is refused, or None
    told    whether a refusal is an event: that less would do, and is kept all the same, is none
    """

    do: Suggestion
    what: str = ""
    words: str = ""
    reason: str | None = None
    told: bool = True


def outcome(state: State, suggestion: Suggestion, now: float) -> Outcome:
    """Every limit that there is, applied to what a policy suggests."""
    what = suggestion.kind
    if suggestion.action is not None:
        return _within(state, suggestion, suggestion.action, now)
    if what == "replicate":
        return _replicating(state, suggestion, now)
    if what == "rebalance" and suggestion.owners is not None:
        return _come(suggestion, what, lacking_room(state, moves(state.owners, suggestion.owners)))
    if what == "merge" and suggestion.instance is not None:
        reason = _cannot_merge(state, now)
        if reason is not None:
            return _come(suggestion, what, reason, told=False)
        return _come(suggestion, what, leave(state, changes.load_of_buckets(state), suggestion.instance)[1])
    return Outcome(NOTHING)


def _come(do: Suggestion, what: str, reason: str | None, told: bool = True) -> Outcome:
    words = str(do.action) if do.action else f"{do.kind} (instance {do.instance})"
    return Outcome(do, what, "" if reason is not None else words, reason, told)


def _replicating(state: State, suggestion: Suggestion, now: float) -> Outcome:
    reason = cannot_replicate(state, now)
    if reason is None or not _worth(state, even := balance(state.owners, changes.load_of_buckets(state), state.running)):
        return _come(suggestion, "replicate", reason)
    evidence = f"{suggestion.evidence}; no further instance, since {reason}"
    instead = replace(suggestion, kind="rebalance", owners=even, evidence=evidence)
    return _come(instead, "rebalance", lacking_room(state, moves(state.owners, even)))


def _within(state: State, suggestion: Suggestion, action: BrickAction, now: float) -> Outcome:
    what, reason = WORDS[type(action)], regrow.cannot(state, action) or cannot_regrow(state, now)
    if reason is None and isinstance(action, StartReplica):
        reason = dying(state, now).get((action.instance, action.kind))
    if reason is None and suggestion.kind != "grow" and now < state.regret.until:
        return _come(suggestion, what, _regretted(state, now), told=False)
    return _come(suggestion, what, reason)


def _cannot_merge(state: State, now: float) -> str | None:
    least = state.config.scaling.min_instances
    if len(state.running) <= least:
        return f"{least} instances are the minimum"
    return _regretted(state, now) if now < state.regret.until else None


def _regretted(state: State, now: float) -> str:
    return f"the last merge was regretted; the next one waits {state.regret.until - now:.0f} s"


def _advise(turn: Turn, coming: Outcome) -> None:
    """Say once what would be done, and then no more often than it could be done."""
    if coming.words != turn.state.advice:
        turn.set(advice=coming.words, quiet_until=turn.now + turn.state.config.scaling.cooldown_s)
        turn.note("advice", f"{coming.words}: {coming.do.evidence}", coming.do.instance)


def _carry_out(turn: Turn, do: Suggestion) -> None:
    if do.kind in ("replicate", "grow"):
        _regret(turn)
    elif do.kind in ("merge", "shrink"):
        turn.set(regret=replace(turn.state.regret, merged_at=turn.now))
    if do.action is not None:
        regrow.begin(turn, do.action, do.evidence)
    elif do.kind == "replicate":
        changes.replicate(turn, do.evidence)
    elif do.kind == "rebalance" and do.owners is not None:
        changes.reassign(turn, "rebalance", do.owners, do.evidence)
    elif do.kind == "merge" and do.instance is not None:
        changes.merge(turn, do.instance, do.evidence)


def _regret(turn: Turn) -> None:
    """Growing again soon after a merge: let the next merge wait, so that a load that comes and goes does not drive instances."""
    past = turn.state.regret
    if turn.now - past.merged_at < SOON_S:
        wait_s = min(max(FIRST_WAIT_S, 2 * past.wait_s), LONGEST_WAIT_S)
        turn.set(regret=replace(past, wait_s=wait_s, until=turn.now + wait_s))
    elif turn.now > past.until + SOON_S:
        turn.set(regret=replace(past, wait_s=0.0))


def cannot_replicate(state: State, now: float) -> str | None:
    """Why a further instance is refused, or None."""
    most = state.config.scaling.max_instances
    if len(state.running) >= most:
        return f"{most} instances are the maximum"
    if state.config.model is None:
        return "no model is configured"
    if now < state.backoff.until:
        return f"the last {state.backoff.failures} starts failed"
    lacking = hosting.lacking_memory(state, hosting.instance_bytes(state))
    if lacking is not None:
        return lacking
    load = changes.load_of_buckets(state)
    new = max(state.members, default=0) + 1
    further = (*state.running, new)
    heaviest = max(carried(state.owners, load, state.running).values(), default=0.0)
    relieved = max(carried(balance(state.owners, load, further, into=new), load, further).values())
    if state.running and relieved > heaviest * (1 - HALF / len(further)):
        return "the load is in too few buckets to be divided further"
    return None


def _worth(state: State, owners: Owners) -> bool:
    load = changes.load_of_buckets(state)
    before, after = (max(carried(o, load, state.running).values()) for o in (state.owners, owners))
    return after <= WORTH * before


def refuse(turn: Turn, what: str, reason: str, evidence: str) -> None:
    """Say once, until something changes, why a suggestion is not followed."""
    if turn.state.refused != f"{what}: {reason}":
        turn.set(refused=f"{what}: {reason}")
        turn.note("refused", f"{what} refused: {reason} ({evidence})")
