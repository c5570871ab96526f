"""Changes of the running system: how an instance comes, goes or dies, and how buckets move. One change is in flight at a time.

A replica: StartInstance, then Steer. A merge: Steer, then Drain, then StopInstance. A death is no change: its buckets go to the
others at once, whatever is in flight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from lego_sdn.core.control import exact, standby
from lego_sdn.core.control.admission import leave
from lego_sdn.core.control.events import Drain, StartInstance, Steer, StopInstance
from lego_sdn.core.control.state import GIVE_UP_AFTER, GIVE_UP_S, SETTLED_S, STARTS, Change, Member, SystemState, Turn
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.assignment import Owners, balance, moves, place, weights
from lego_sdn.core.facts.backoff import Backoff
from lego_sdn.core.facts.change_notes import BucketsReassigned, ChangeEnded, InstanceLeaving, InstanceStarting
from lego_sdn.core.facts.instance_notes import GaveUp, InstanceDied, InstanceRuns, StartFailed
from lego_sdn.core.facts.notes import Notice


def load_of_buckets(state: SystemState) -> tuple[float, ...]:
    return weights(state.rates, state.config.buckets)


# ---- beginning a change ----
def replicate(turn: Turn, evidence: str) -> None:
    number = standby.free_number(turn.state)
    turn.put(Member(number, "starting", turn.now))
    turn.set(change=Change("replicate", evidence, turn.now, number))
    turn.do(InstanceStarting(evidence, instance=number))
    turn.do(StartInstance(number))


def merge(turn: Turn, leaving: int, evidence: str) -> None:
    rest = [i for i in turn.state.running if i != leaving]
    before = turn.state.owners
    owners, _ = leave(turn.state, load_of_buckets(turn.state), leaving)
    turn.set(owners=owners, change=Change("merge", evidence, turn.now, leaving))
    turn.enter(leaving, "leaving")
    moved = moves(before, owners)
    heirs = sorted(set(moved.values())) or rest
    turn.do(InstanceLeaving(len(moved), tuple(heirs), evidence, instance=leaving))


def reassign(turn: Turn, kind: Literal["rebalance", "move"], owners: Owners, evidence: str) -> None:
    """Move buckets between running instances."""
    moved = moves(turn.state.owners, owners)
    turn.set(owners=owners, change=Change(kind, evidence, turn.now))
    turn.do(BucketsReassigned(kind, len(moved), tuple(sorted(set(moved.values()))), evidence))


# ---- what happens to an instance ----
def started(turn: Turn, instance: int, ofport: int, arrangement: Arrangement) -> None:
    """It takes packets now: give it its share of the buckets."""
    turn.enter(instance, "running", ofport=ofport)
    turn.place(instance, arrangement)
    running = turn.state.running
    load = load_of_buckets(turn.state)
    before = turn.state.owners
    turn.set(owners=balance(place(before, load, running), load, running, into=instance))
    exact.begin(turn, instance)
    count = len(moves(before, turn.state.owners))
    turn.do(InstanceRuns(ofport, count, instance=instance))


def gone(turn: Turn, instance: int) -> None:
    """It is not there any more: whatever it owned goes to the others at once."""
    turn.forget(instance)
    _spread(turn, f"instance {instance} is gone")
    change = turn.state.change
    if change is not None and change.instance == instance:
        finish(turn, "done" if change.kind == "merge" and change.action is None else "given up")


def died(turn: Turn, instance: int, error: str, silent: tuple[str, ...] = ()) -> None:
    """A running or leaving instance failed: others take over at once, and the agent clears away what is left of it.

    silent  its processes that do not answer
    """
    member = turn.state.members[instance]
    lived_s = turn.now - member.since
    young = member.phase == "running" and lived_s < SETTLED_S
    early = turn.state.backoff.after_failure(turn.now, STARTS).early(lived_s, turn.now) if young else None
    turn.do(InstanceDied(error, lived_s, early, instance=instance))
    if member.phase == "running":
        _failure(turn, young)
        change = turn.state.change
        if change is not None and change.instance == instance and (change.kind == "replicate" or change.action is not None):
            turn.set(change=None)
    standby.take_over(turn, instance)
    stop(turn, instance, silent)
    _spread(turn, f"instance {instance} failed")


def start_failed(turn: Turn, instance: int, error: str) -> None:
    turn.do(StartFailed(error, instance=instance))
    _failure(turn, young=True)
    turn.set(change=None)
    stop(turn, instance)


def stop(turn: Turn, instance: int, silent: tuple[str, ...] = ()) -> None:
    turn.enter(instance, "stopping")
    turn.do(StopInstance(instance, silent=silent))


def _spread(turn: Turn, why: str) -> None:
    """Buckets without a running owner go to those that run; if none does, one that was to leave stays."""
    if not turn.state.running:
        staying = [i for i, member in turn.state.members.items() if member.phase in ("leaving", "draining")]
        for instance in staying:
            turn.enter(instance, "running")
            turn.set(change=None)
            turn.do(Notice("merge", f"merge given up: instance {instance} is the only one left, it stays", instance=instance))
    before = turn.state.owners
    turn.set(owners=place(before, load_of_buckets(turn.state), turn.state.running))
    exact.lose_streams(turn, before, turn.state.owners, why)


def _failure(turn: Turn, young: bool) -> None:
    """Of a start, or of an instance that did not live long."""
    backoff = turn.state.backoff.after_failure(turn.now, STARTS) if young else Backoff(0, turn.now)
    turn.set(backoff=backoff)
    if backoff.failures >= GIVE_UP_AFTER:
        turn.do(GaveUp("starting instances", backoff.failures, GIVE_UP_S))


# ---- carrying a change on ----
def advance(turn: Turn) -> None:
    """After any event: send the rules if they are not the wanted ones, and take the change in flight to its next step."""
    _steer(turn)
    state, change = turn.state, turn.state.change
    if change is None or change.version is None or state.confirmed < change.version:
        return
    if change.kind == "merge" and change.instance is not None:
        if state.members[change.instance].phase == "leaving":
            turn.enter(change.instance, "draining")
            turn.do(Drain(change.instance, round(state.config.scaling.drain_s * 1000)))
        return  # done when it is gone
    finish(turn, "done")


def finish(turn: Turn, word: str) -> None:
    change = turn.state.change
    assert change is not None
    turn.set(change=None, quiet_until=turn.now + turn.state.config.scaling.cooldown_s, refused="", advice="")
    turn.do(ChangeEnded(change.kind, word, turn.now - change.since, instance=change.instance))


def _steer(turn: Turn) -> None:
    """Bring the switch to the wanted assignment, once it is known what runs; before that, only make sure that it forwards."""
    state = turn.state
    if state.switch is None:
        return
    known = state.agents_spoke
    assignment, ports = (state.assignment, state.ports) if known else ({}, {})
    sent, extra = state.sent, (standby.number(state), state.takeovers) if known else (None, ())
    wanted = assignment, ports, not known, *extra
    if sent is None or (sent.assignment, sent.ports, sent.keep, sent.standby, sent.takeovers) != wanted:
        send(turn, Steer(state.version + 1, assignment, ports, _settle(state), not known, *extra))
    _carried(turn)


def _settle(state: SystemState) -> bool:
    return state.change is not None and state.change.kind == "merge" and state.change.action is None


def send(turn: Turn, steer: Steer) -> None:
    turn.set(sent=steer, sent_at=turn.now, version=steer.version)
    turn.do(steer)


def _carried(turn: Turn) -> None:
    """The change in flight is carried by the last `Steer`, as soon as what it wants is in there."""
    change, sent = turn.state.change, turn.state.sent
    if change is not None and change.action is not None:
        return  # no rule has a part in it
    waiting = change is not None and change.kind == "replicate" and change.instance not in turn.state.running
    if change is not None and change.version is None and sent is not None and not sent.keep and not waiting:
        turn.set(change=replace(change, version=sent.version))
