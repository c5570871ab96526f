"""Handover: moves buckets between running instances without changing a bit of any score; which steps, in which order.

`carry_out` is a generator: it yields a step and is sent its result. So tests run the same steps on instances in memory that the controller
runs on real ones. It reads no clock: it counts the questions that it asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.traffic.handover_steps import (
    Answer,
    Ask,
    ChangeRules,
    LeaveToStandby,
    Pause,
    PrepareRules,
    RestoreRules,
    SendMarkers,
    Step,
    Steps,
)

ATTEMPTS = 16  # markers sent, before an instance is given up
QUESTIONS = 100  # between two attempts


@dataclass(frozen=True, slots=True)
class Handover:
    """Buckets that go from one running instance to another."""

    old: int
    new: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a handover. `error`: why the new owner goes on without the streams; None: every score stays exact.

    bytes, records  of streams; packets: waiting packets that were handed over
    evicted         streams that the new owner, being full, forgot for them
    standby         the standby that the buckets were left to, since one of the two failed (`failed`): every score stays exact all the same
    """

    handover: Handover
    bytes: int = 0
    records: int = 0
    packets: int = 0
    error: str | None = None
    evicted: int = 0
    standby: int | None = None
    failed: int | None = None


@dataclass(slots=True)
class BucketMove:
    """One move: its token, the assignments (bucket -> instance) before and after, and the instances that can be asked.

    cut   highest stamp (without stamps: time) that went on as before the move: what is later waited; None before it is known
    held  packets that waited, shadows among them
    standby  the instance that has every stream and keeps every packet; None: there is none
    """

    token: int
    before: Mapping[int, int]
    after: Mapping[int, int]
    running: frozenset[int]
    errors: dict[int, str] = field(default_factory=dict)  # instance -> why it has no part in the move any more
    cut: int | None = None
    held: int = 0
    standby: int | None = None

    @property
    def handovers(self) -> tuple[Handover, ...]:
        """By old and new owner; a bucket without an owner before has nothing to hand over."""
        found: dict[tuple[int, int], list[int]] = {}
        for bucket in sorted(self.after):
            old, new = self.before.get(bucket), self.after[bucket]
            if old is not None and old != new:
                found.setdefault((old, new), []).append(bucket)
        return tuple(Handover(old, new, tuple(found[old, new])) for old, new in sorted(found))

    @property
    def possible(self) -> tuple[Handover, ...]:
        """Of these, those between instances that can be asked and have not failed."""
        there = self.running - set(self.errors)
        return tuple(one for one in self.handovers if one.old in there and one.new in there)

    def owned(self, instance: int, assignment: Mapping[int, int]) -> list[int]:
        return sorted(bucket for bucket, owner in assignment.items() if owner == instance)

    def rows(self, one: Handover, marker: int) -> Ask:
        """Hand the waiting packets over: with them the buckets are the new owner's."""
        return Ask(one.old, "packets", "give_rows", (self.token, list(one.buckets), marker), one.new)

    def marker(self, attempt: int, kind: int) -> int:
        """A number that nobody can guess who does not know the token, which no frame shows."""
        digest = hashlib.blake2b(bytes([attempt, kind]), key=self.token.to_bytes(8, "big"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1 | 1

    def reason(self, handover: Handover) -> str:
        """Why it is not possible."""
        for instance in (handover.old, handover.new):
            if instance not in self.running:
                return f"instance {instance} does not run"
            if instance in self.errors:
                return f"instance {instance}: {self.errors[instance]}"
        return "the rules could not be changed"


@dataclass(slots=True)
class StateCopy(BucketMove):
    """Not a move: one instance, `to`, that gets every packet from now on, is given a copy of every stream. Nobody's buckets change.

    scored  buckets whose packets `to` scores
    """

    to: int = 0
    scored: tuple[int, ...] = ()

    @property
    def handovers(self) -> tuple[Handover, ...]:
        owners = sorted(set(self.after.values()))
        return tuple(Handover(owner, self.to, tuple(self.owned(owner, self.after))) for owner in owners)

    def rows(self, one: Handover, marker: int) -> Ask:
        params = self.token, list(one.buckets), marker, list(self.scored)
        return Ask(one.old, "packets", "copy_rows", params, one.new)


def buckets_in_words(buckets: Sequence[int]) -> str:
    """'bucket 3', 'buckets 0-2, 5': runs are joined."""
    runs: list[list[int]] = []
    for bucket in buckets:
        if runs and bucket == runs[-1][1] + 1:
            runs[-1][1] = bucket
        else:
            runs.append([bucket, bucket])
    listed = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
    return f"bucket{'' if len(buckets) == 1 else 's'} {listed}"


def carry_out(move: BucketMove) -> Generator[Step, Any, tuple[Moved, ...]]:
    """All steps of a move; what became of each handover."""
    involved = _involved(move)
    yield PrepareRules()
    yield from _begin(move, involved)
    error = yield ChangeRules()
    moved: dict[Handover, Moved] = {}
    if error is None and move.possible:
        markers = yield from _settle(move)
        for handover in move.possible:
            moved[handover] = yield from _hand_over(move, handover, markers, moved)
    if error is None and move.standby is not None:
        yield from _leave_to_standby(move, moved)
    yield from _release(move, involved, moved)
    return tuple(moved.get(one) or Moved(one, error=error or move.reason(one)) for one in move.handovers)


def _involved(move: BucketMove) -> list[int]:
    """Who holds. Where a standby is to have what cannot be handed over, also a new owner whose old one is gone: it must not score that."""
    if move.standby is None:
        return sorted({one.new for one in move.possible} | {one.old for one in move.possible})
    return sorted(({one.new for one in move.handovers} | {one.old for one in move.handovers}) & move.running)


def _ask(move: BucketMove, asks: Sequence[Ask]) -> Generator[Step, Any, dict[int, Any]]:
    """Ask instances; values by instance. One that fails has no part in the move any more."""
    asks = [ask for ask in asks if ask.instance not in move.errors]
    answers: Sequence[Answer] = (yield tuple(asks)) if asks else ()
    values = {}
    for ask, answer in zip(asks, answers, strict=True):
        if answer.error is None:
            values[ask.instance] = answer.value
        else:
            move.errors[ask.instance] = answer.error
    return values


def _begin(move: BucketMove, involved: list[int]) -> Steps:
    """Everyone holds; then all go on up to one stamp: the highest that any has passed on."""
    passed = yield from _ask(move, [Ask(i, "every", "hold", (move.token,)) for i in involved])
    if not passed:
        return
    move.cut = stamp = max(passed.values())
    before, after = move.before, move.after
    cuts = [Ask(i, "packets", "cut", (move.token, stamp, move.owned(i, before), move.owned(i, after))) for i in involved]
    yield from _ask(move, cuts)


def _settle(move: BucketMove) -> Generator[Step, Any, dict[int, int]]:
    """Until no packet of the time of the old rules is under way to anyone, and all that may go on has gone through the bricks.

    A new owner's marker is sent after those of the old owners: what they hand over came through the switch before it, so that nothing
    with a lower stamp can come to the new owner any more. Returns, by old owner, the marker that came.
    """
    came: dict[int, int] = {}  # old owner -> marker
    ended: dict[int, int] = {}  # new owner -> marker
    rows: dict[int, int] = {}
    for attempt in range(ATTEMPTS):
        if attempt:
            yield RestoreRules()
        markers = [(one.old, move.marker(attempt, 0)) for one in move.possible if one.old not in came]
        markers += [(one.new, move.marker(attempt, 1)) for one in move.possible]
        yield SendMarkers(tuple(dict.fromkeys(markers)))
        for _ in range(QUESTIONS):
            waiting = sorted({one.old for one in move.possible} - set(came))
            yield from _ask_markers(move, waiting, [move.marker(a, 0) for a in range(attempt + 1)], (came, rows))
            if {one.old for one in move.possible} <= set(came):
                newest = max((a for a in range(attempt + 1) if move.marker(a, 0) in came.values()), default=0)
                waiting = sorted({one.new for one in move.possible} - set(ended))
                yield from _ask_markers(move, waiting, [move.marker(a, 1) for a in range(newest, attempt + 1)], (ended, rows))
                if {one.new for one in move.possible} <= set(ended):
                    yield from _consumed(move, rows)
                    return came
            yield Pause()
    for one in move.possible:
        for instance in {one.old} - set(came) | {one.new} - set(ended):
            move.errors[instance] = "no marker came through the switch to it"
    yield from _consumed(move, rows)
    return came


def _ask_markers(move: BucketMove, instances: list[int], markers: list[int], found: tuple[dict[int, int], dict[int, int]]) -> Steps:
    answers = yield from _ask(move, [Ask(i, "packets", "settled", (move.token, markers)) for i in instances])
    for instance, value in answers.items():
        if value is not None:
            found[0][instance], found[1][instance] = value


def _consumed(move: BucketMove, rows: Mapping[int, int]) -> Steps:
    """Until the streams are those of the cut."""
    waiting = set(rows)
    for _ in range(ATTEMPTS * QUESTIONS):
        answers = yield from _ask(move, [Ask(i, "streams", "consumed", (rows[i],)) for i in sorted(waiting)])
        waiting -= {i for i, done in answers.items() if done} | set(move.errors)
        if not waiting:
            return
        yield Pause()
    for instance in waiting:
        move.errors[instance] = "its bricks did not take in what was passed on to them"


def _hand_over(move: BucketMove, one: Handover, markers: Mapping[int, int], done: Mapping[Handover, Moved]) -> Generator[Step, Any, Moved]:
    """Streams, then packets: with them the buckets are the new owner's. One after the other: no two instances wait for each other."""
    if one not in move.possible:
        return Moved(one, error=move.reason(one))
    taken = [bucket for other in done if other.new == one.new for bucket in other.buckets]
    owned = sorted({*move.owned(one.new, move.before), *taken})
    (streams,) = yield (Ask(one.old, "streams", "give_streams", (move.token, list(one.buckets), owned), one.new),)
    if streams.error is not None:
        return Moved(one, error=streams.error)
    (packets,) = yield (move.rows(one, markers[one.old]),)
    if packets.error is not None:
        return Moved(one, error=packets.error)
    return Moved(one, streams.value["bytes"], streams.value["records"], packets.value, evicted=streams.value.get("evicted", 0))


def _leave_to_standby(move: BucketMove, moved: dict[Handover, Moved]) -> Steps:
    """What could not be handed over, since one of the two failed, is the standby's: the other one must not score it.

    All that it got by older rules is held when its marker has come; of that, and of what comes by the new rules, it scores nothing.
    """
    left = [one for one in move.handovers if one not in moved or moved[one].error is not None]
    if not left:
        return
    yield from _look_who_failed(move, left)
    reasons = {one: (moved[one].error if one in moved else None) or move.reason(one) for one in left}
    buckets = tuple(bucket for one in left for bucket in one.buckets)
    if (yield LeaveToStandby(buckets)) is not None:
        return
    waiting = sorted(({one.old for one in left} | {one.new for one in left}) & move.running - set(move.errors))
    yield from _ask(move, [Ask(i, "packets", "abandon", (move.token, list(buckets))) for i in waiting])
    yield from _await_markers(move, waiting)
    for one in left:
        failed = next((i for i in (one.old, one.new) if i in move.errors or i not in move.running), one.old)
        moved[one] = Moved(one, error=reasons[one], standby=move.standby, failed=failed)


def _look_who_failed(move: BucketMove, left: Sequence[Handover]) -> Steps:
    """Of two that could not give and take, at least one does not answer any more; if both do, it is the old owner that could not give."""
    for one in left:
        if {one.old, one.new} <= move.running - set(move.errors):
            yield from _ask(move, [Ask(i, "packets", "renew", (move.token,)) for i in (one.old, one.new)])
            if {one.old, one.new} <= move.running - set(move.errors):
                move.errors[one.old] = f"it could not hand anything over to instance {one.new}"


def _await_markers(move: BucketMove, waiting: Sequence[int]) -> Steps:
    """Until all these have had what came to them by older rules. Who has not is in no state to go on."""
    left = [instance for instance in waiting if instance not in move.errors]
    for attempt in range(ATTEMPTS):
        if attempt:
            yield RestoreRules()
        yield SendMarkers(tuple((i, move.marker(attempt, 2)) for i in left))
        for _ in range(QUESTIONS):
            markers = [move.marker(a, 2) for a in range(attempt + 1)]
            answers = yield from _ask(move, [Ask(i, "packets", "settled", (move.token, markers)) for i in left])
            left = [i for i in left if i not in move.errors and answers.get(i) is None]
            if not left:
                return
            yield Pause()
    for instance in left:
        move.errors[instance] = "no marker came through the switch to it"


def _release(move: BucketMove, involved: list[int], moved: Mapping[Handover, Moved]) -> Steps:
    """Everyone goes on. An old owner forgets what is not its own any more, unless something of it stays with it."""
    whole = len(moved) == len(move.handovers) and all(one.error is None for one in moved.values())
    olds = {one.old for one in moved}
    asks = [
        Ask(i, "every", "release", (move.token, move.owned(i, move.after) if whole and i in olds else None))
        for i in involved
        if i in move.running
    ]
    answers: Sequence[Answer] = (yield tuple(asks)) if asks else ()
    move.held = sum(answer.value["held"] for answer in answers if answer.error is None)
