"""Executor of handovers: carries out the steps of `core.traffic.handover` around every change of the rules, so that scores stay exact.

Streams and packets do not pass through here: instances give them to each other.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from ryu.lib import hub

from lego_sdn.adapters.files.store import Intent, StoreError
from lego_sdn.core.control.events import Steer, Steered
from lego_sdn.core.facts.change_notes import MoveResumed
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.traffic.handover import BucketMove, Moved, StateCopy, carry_out
from lego_sdn.core.traffic.handover_steps import (
    PAUSE_S,
    Ask,
    ChangeRules,
    LeaveToStandby,
    Pause,
    PrepareRules,
    RestoreRules,
    SendMarkers,
    Step,
    marker_frame,
)
from ryu_apps.context.greenthreads import spawn
from ryu_apps.context.shared import Shared
from ryu_apps.handover.calls import Asking
from ryu_apps.handover.log import Laps, told
from ryu_apps.handover.reference_streams import Twinning
from ryu_apps.handover.standby_streams import StandbyStreams
from ryu_apps.handover.takeovers import TakeOvers
from ryu_apps.openflow.rule_keeper import RuleKeeper

LOG = logging.getLogger("lego.mover")
RENEW_S = 2.0  # between two words to those that hold
TOKEN_BITS = 50
BACK_S = 10.0  # for a switch to come back in the middle of a move


class Mover:
    """`steer` is the whole: what must wait does so, the rules change, and what moved is handed over.

    owners   bucket -> the instance that has its streams, as far as is known; None before the first rules
    """

    def __init__(self, shared: Shared, rules: RuleKeeper) -> None:
        self.shared, self._rules = shared, rules
        self.owners: Mapping[int, int] | None = None
        self.twinning = Twinning(shared, self._copy)
        self._ports: Mapping[int, int] = {}
        self.asking = Asking(shared)
        self.standby = StandbyStreams(shared, self.asking, self._copy)
        self.takeovers = TakeOvers(
            shared, self.standby, lambda steps, steer: self._take_steps(steps, steer, Laps(shared.clock, shared.wall))[0]
        )

    def steer(self, steer: Steer) -> Steered:
        """Put an assignment into force."""
        if steer.keep or not self.shared.config.exact:
            if not steer.keep and self.owners is None:
                self._end_left(steer)
                self.owners = steer.assignment
            return Steered(steer.version, self._rules.change(steer))
        told, steer = steer, self.takeovers.adjusted(steer)
        self._ports = steer.ports
        if self.owners is not None:
            steer = self._take_over(steer, self.owners)
        self.twinning.before(steer, self.owners or {})
        done = self._first(steer) if self.owners is None else self._steer(steer, self.owners)
        done = self.standby.after(self.takeovers.adjusted(steer), self.twinning.after(steer, done))
        return self.takeovers.told(done, told)

    def _take_over(self, steer: Steer, owners: Mapping[int, int]) -> Steer:
        """First of all the standby takes over from those that died, and scores what they have not. The change, with it in their place."""
        if self.shared.config.standby:
            died = {one.dead for one in steer.takeovers} | (set(owners.values()) - self._alive(steer))
            self._has(self.takeovers.carry_out(died, steer, owners))
            self.takeovers.retire(steer, self.owners or {})
        return self.takeovers.adjusted(steer)

    def _first(self, steer: Steer) -> Steered:
        """Install the first rules of this controller. A move that the previous controller journaled and did not end is completed first.

        Packets that arrived since then wait at the new owner, while the state is still at the old one: only that move unites them.
        """
        left, owners = self._left()
        if self.shared.config.standby and owners:
            steer = self._take_over(steer, {**owners, **self.standby.adopt(steer.ports)})
            owners = self.owners or {}
        if not left:
            self._end_left(steer)
            return self._steer(steer, owners)
        self.shared.note(MoveResumed())
        meant = left[-1].after
        there = {bucket: meant[bucket] if meant.get(bucket) in steer.ports else owner for bucket, owner in steer.assignment.items()}
        first = self._steer(replace(steer, assignment=there), owners)
        for intent in left:
            self._journal(lambda store, token=intent.token: store.end_move(token))
            self.asking.all(tuple(Ask(i, "every", "release", (intent.token, None)) for i in sorted(self._alive(steer))))  # the others
        then = self._steer(steer, owners if self.owners is None else self.owners)
        return Steered(steer.version, then.error, first.moved + then.moved, first.ms + then.ms, first.held + then.held)

    def _end_left(self, steer: Steer) -> None:
        """Moves that a controller before this one began, and that cannot be finished: nobody waits for them any longer."""
        for intent in self.shared.store.open_moves():
            self.asking.all(tuple(Ask(i, "every", "release", (intent.token, None)) for i in sorted(self._alive(steer))))
            self._journal(lambda store, token=intent.token: store.end_move(token))

    def _alive(self, steer: Steer) -> frozenset[int]:
        """Instances that are asked for their streams: not one of which it is known that it does not answer."""
        processes = list(self.shared.observed.processes.values())
        silent = {process.instance for process in processes if process.given_up}
        return (frozenset(process.instance for process in processes) - silent) & set(steer.ports)

    def _steer(self, steer: Steer, before: Mapping[int, int]) -> Steered:
        self._ports = steer.ports
        standby = self.standby.ready if steer.standby is not None and steer.standby == self.standby.ready else None
        move = BucketMove(secrets.randbits(TOKEN_BITS) | 1, before, steer.assignment, self._alive(steer), standby=standby)
        if not move.handovers:
            error = self._rules.change(steer)
            self._has(steer.assignment if error is None else before)
            return Steered(steer.version, error)
        return self._move(move, steer)

    def _move(self, move: BucketMove, steer: Steer) -> Steered:
        laps = Laps(self.shared.clock, self.shared.wall)
        self._journal(lambda store: store.begin_move(Intent(move.token, move.before, move.after)))
        moved, error = self._go_through(move, replace(steer, settle=True), laps)
        self._has(move.after if error is None else move.before)
        self.takeovers.gave(moved, move.cut)
        self._leave_to_standby(moved, steer)
        self._journal(lambda store: store.end_move(move.token))
        self.shared.observed.moves.append(told(move, moved, laps))
        LOG.info("move %x: %s", move.token, laps)
        return Steered(steer.version, error, moved, laps.held_ms, move.held)

    def _leave_to_standby(self, moved: tuple[Moved, ...], steer: Steer) -> None:
        """Who failed in a move has a standby in its place, and that has the buckets, which the other one could neither get nor give."""
        left = {bucket: one.standby for one in moved if one.standby is not None for bucket in one.handover.buckets}
        failed = {one.failed for one in moved if one.failed is not None}
        if left and self.owners is not None:
            owners = self.takeovers.carry_out(failed, steer, {**self.owners, **left})  # type: ignore[dict-item]
            self._has(owners)

    def _copy(self, move: StateCopy, steer: Steer) -> tuple[tuple[Moved, ...], str | None]:
        """Steps as of a move, of which nothing needs to be journaled: one that is begun and not ended is done again."""
        self._ports, move.running = steer.ports, self._alive(steer)
        return self._go_through(move, replace(steer, settle=True), Laps(self.shared.clock, self.shared.wall))

    def _go_through(self, move: BucketMove, steer: Steer, laps: Laps) -> tuple[tuple[Moved, ...], str | None]:
        word = _LeaseRenewer(self.asking, move)
        try:
            return self._take_steps(carry_out(move), steer, laps)
        finally:
            word.over = True

    def _take_steps(self, steps: Generator[Step, Any, Any], steer: Steer, laps: Laps) -> tuple[Any, str | None]:
        answer, error = None, None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value, error
            if isinstance(step, ChangeRules):
                answer = error = self._change(steer)
            elif isinstance(step, LeaveToStandby):
                left = {bucket: owner for bucket, owner in steer.assignment.items() if bucket not in step.buckets}
                steer = replace(steer, assignment=left)
                answer = self._change(steer)
            else:
                answer = self._do(step, steer)
            laps.note(step[0].method if isinstance(step, tuple) else type(step).__name__)

    def _change(self, steer: Steer) -> str | None:
        """Change the rules. If the switch went away meanwhile it may have them or not: everyone holds on until it is back and can tell."""
        deadline = self.shared.clock() + BACK_S
        while True:
            error = self._rules.change(steer)
            if error is None or self._rules.is_there() or self.shared.clock() > deadline:
                return error
            while not self._rules.is_there() and self.shared.clock() < deadline:
                hub.sleep(PAUSE_S)

    def _do(self, step: Any, steer: Steer) -> Any:
        if isinstance(step, Pause):
            hub.sleep(step.seconds)
            return None
        if isinstance(step, PrepareRules):
            self._rules.prepare(steer)
            return None
        if isinstance(step, RestoreRules):
            error = self._rules.change(steer)
            if error is not None:
                LOG.warning("rules are not in force while a move waits for its markers: %s", error)
            return None
        if isinstance(step, SendMarkers):
            frames = [(self._ports[i], marker_frame(token)) for i, token in step.frames if i in self._ports]
            try:
                self._rules.send(frames)
            except LegoError as error:
                LOG.warning("markers were not sent: %s", error)
            return None
        return self.asking.all(step)

    def keep_open(self) -> None:
        """Until rules can be sent, those who wait since the controller before this one wait on."""
        left = self.shared.store.open_moves()
        instances = {instance for intent in left for instance in (*intent.before.values(), *intent.after.values())}
        while left and self.owners is None:
            for intent in left:
                self.asking.all(tuple(Ask(i, "every", "renew", (intent.token,)) for i in sorted(instances)))
            hub.sleep(RENEW_S)

    # ---- the journal ----
    def _has(self, owners: Mapping[int, int]) -> None:
        """Whose the streams are now."""
        if owners != self.owners:
            self._journal(lambda store: store.save_owners(owners))
        self.owners = owners

    def _journal(self, write: Callable[[Any], None]) -> None:
        try:
            write(self.shared.store)
        except StoreError as error:
            LOG.error("a move is not journaled: %s", error)

    def _left(self) -> tuple[list[Intent], Mapping[int, int]]:
        """Moves that were begun and not ended; and who has the streams: as it was saved, or before the last of these moves.

        Of that, a new owner that took buckets over says so.
        """
        stored, left = self.shared.store.load(), self.shared.store.open_moves()
        if stored is None or stored.buckets != self.shared.config.buckets:  # another division: nothing can be said of the streams
            return [], {}
        owners = self.shared.store.owners()
        for intent in left[-1:]:
            owners = dict(intent.before)
            for instance in sorted(set(intent.after.values())):
                owners |= dict.fromkeys(self._taken(instance, intent.token), instance)
        return left, owners

    def _taken(self, instance: int, token: int) -> list[int]:
        for process in list(self.shared.observed.processes.values()):  # which may change while one answers
            if process.instance == instance:
                try:
                    taken = self.asking.call(process, "taken", [token])
                except LegoError as error:
                    LOG.warning("instance %d does not say what it took over: %s", instance, error)
                    continue
                if taken:
                    return taken
        return []


class _LeaseRenewer:
    """Renews the hold leases of all instances in a move until it is `over`."""

    def __init__(self, asking: Asking, move: BucketMove) -> None:
        self.over = False
        self.asking, self.move = asking, move
        spawn(self._work)

    def _work(self) -> None:
        while not self.over:
            hub.sleep(RENEW_S)
            instances = {one.old for one in self.move.possible} | {one.new for one in self.move.possible}
            if instances and not self.over:
                self.asking.all(tuple(Ask(i, "packets", "renew", (self.move.token,)) for i in sorted(instances)))
