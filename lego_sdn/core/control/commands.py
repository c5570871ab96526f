"""What an operator may ask of the running system; every command is either begun or refused with a reason (as a Note)."""

from __future__ import annotations

from dataclasses import replace

from lego_sdn.core.control import instances, replicas
from lego_sdn.core.control.admission import lacking_room, leave
from lego_sdn.core.control.events import Command
from lego_sdn.core.control.manager import cannot_replicate
from lego_sdn.core.control.state import SystemState, Turn
from lego_sdn.core.facts.actions import BrickAction, StartReplica, StopReplica
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.backoff import Backoff
from lego_sdn.core.facts.change_notes import Refused, ScalingPaused
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.messages import NAME_CHARACTERS
from lego_sdn.core.facts.text import printable, shown

BY_OPERATOR = "asked by the operator"


def command(turn: Turn, event: Command) -> None:
    """pause and resume at once; replicate, merge (of instances or bricks) and move if nothing is in flight and it can be done."""
    if event.name in ("pause", "resume"):
        turn.set(paused=event.name == "pause", advice="")
        if event.name == "resume":
            healed = {i: replace(member, dying={}) for i, member in turn.state.members.items()}
            turn.set(backoff=Backoff(), regrowing=Backoff(), members=healed)
        turn.do(ScalingPaused(turn.state.paused))
        return
    reason = refusal(turn.state, event, turn.now)
    if reason is not None:
        turn.do(Refused(event.name, reason, instance=event.instance))
    elif event.brick is not None:
        replicas.begin(turn, within(turn.state, event), BY_OPERATOR)
    elif event.name == "replicate":
        instances.replicate(turn, BY_OPERATOR)
    elif event.name == "merge":
        instances.merge(turn, _leaving(turn.state, event), BY_OPERATOR)
    else:
        targets = event.targets
        owners = tuple(targets.get(bucket, owner) for bucket, owner in enumerate(turn.state.owners))
        instances.reassign(turn, "move", owners, BY_OPERATOR)


def refusal(state: SystemState, event: Command, now: float) -> str | None:
    """Why a command cannot be carried out now, or None."""
    impossible = _impossible(state, event)
    if impossible is not None:
        return impossible
    if state.switch is None:
        return "no switch is connected"
    if not state.answers():
        return "the agent does not answer"
    if state.change is not None:
        return f"a change is in flight ({state.change.kind})"
    check = {"replicate": _replicate, "merge": _merge, "move": _move}[event.name]
    return check(state, event, now)


def _impossible(state: SystemState, event: Command) -> str | None:
    """What no system of this configuration can have, in words of bounded length; or None."""
    instances = [*(() if event.instance is None else (event.instance,)), *(owner for _, owner in event.assignment)]
    for owner in instances:
        if not 0 < owner <= REFERENCE:
            return f"wanted an instance from 1 to {REFERENCE}, found {shown(owner)}"
    buckets = {*event.buckets, *(bucket for bucket, _ in event.assignment)}
    wrong = sorted(bucket for bucket in buckets if not 0 <= bucket < state.config.buckets)
    if wrong:
        return f"wanted buckets from 0 to {state.config.buckets - 1}, found [{', '.join(map(shown, wrong[:8]))}]"
    if event.brick is not None and (len(event.brick) > NAME_CHARACTERS or not event.brick.isprintable()):
        return f"there is no brick {printable(event.brick, NAME_CHARACTERS)}"
    return None


def _replicate(state: SystemState, event: Command, now: float) -> str | None:
    return cannot_replicate(state, now) if event.brick is None else _within(state, event)


def _within(state: SystemState, event: Command) -> str | None:
    try:
        return replicas.cannot(state, within(state, event))
    except Unclear as unclear:
        return str(unclear)


def within(state: SystemState, event: Command) -> BrickAction:
    """What a command about a brick asks of which instance. Unclear if that is not said and cannot be told."""
    assert event.brick is not None
    merging = event.name == "merge"
    instances = state.running if event.instance is None else (event.instance,)
    if event.instance is None and merging:
        instances = tuple(i for i in state.running if event.brick in state.members[i].arrangement.bricks)
    if len(instances) != 1:
        found = f"instances {', '.join(map(str, instances))} have it" if instances else "no instance that runs has it"
        raise Unclear(f"{event.brick}: name the instance; {found}")
    return StopReplica(instances[0], event.brick) if merging else StartReplica(instances[0], event.brick)


class Unclear(LegoError):
    """A command that may mean more than one thing, or nothing."""


def _merge(state: SystemState, event: Command, now: float) -> str | None:
    if event.brick is not None:
        return _within(state, event)
    least = state.config.scaling.min_instances
    if event.instance is not None and event.instance not in state.running:
        return f"instance {event.instance} does not run; there are {list(state.running)}"
    if len(state.running) <= least:
        return f"{len(state.running)} instances run and {least} is the minimum"
    return leave(state, instances.load_of_buckets(state), _leaving(state, event))[1]


def _move(state: SystemState, event: Command, now: float) -> str | None:
    targets = event.targets
    for owner in sorted(set(targets.values())):
        if owner not in state.running:
            return f"instance {owner} does not run; there are {list(state.running)}"
    if not targets:
        return f"wanted buckets from 0 to {state.config.buckets - 1}, found none"
    return lacking_room(state, targets)


def _leaving(state: SystemState, event: Command) -> int:
    """The instance named, else the least loaded."""
    if event.instance is not None:
        return event.instance
    load = instances.load_of_buckets(state)
    weight = {i: sum(w for w, owner in zip(load, state.owners, strict=True) if owner == i) for i in state.running}
    return min(state.running, key=lambda i: (weight[i], -i))
