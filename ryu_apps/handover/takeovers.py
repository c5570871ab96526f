"""Takeovers as the handover executor carries them out: which instances died, what the standby takes over, and what was done already."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lego_sdn.core.control.events import Steer, Steered
from lego_sdn.core.facts.standby import TakenOver, TakeOver
from lego_sdn.core.traffic import takeover
from lego_sdn.core.traffic.handover import Handover, Moved
from lego_sdn.core.traffic.handover_steps import Step
from ryu_apps.context.shared import Shared
from ryu_apps.handover.standby_streams import StandbyStreams

LOG = logging.getLogger("lego.mover")
MARKER_BITS = 62
LATELY, LATELY_S = 4096, 10.0  # handovers that are remembered, and how long they matter: after it, what was moved is scored

Owners = Mapping[int, int]
TakeSteps = Callable[[Generator[Step, Any, Any], Steer], Any]


class TakeOvers:
    """`take_steps` carries out steps and returns what comes of them; a change of the rules among them is to those of the `Steer`."""

    def __init__(self, shared: Shared, standby: StandbyStreams, take_steps: TakeSteps) -> None:
        self.shared, self.standby, self._take_steps = shared, standby, take_steps
        self.done: dict[int, TakenOver] = {}  # by the instance that died, as long as a `Steer` names it
        self._told: set[int] = set()
        self._gave: deque[tuple[float, int, Handover]] = deque(maxlen=LATELY)  # when, the cut, what

    def gave(self, moved: Iterable[Moved], cut: int | None) -> None:
        """Who gave buckets away may not have scored all packets up to the cut yet."""
        if cut is not None and self.shared.config.standby:
            self._gave.extend((self.shared.clock(), cut, one.handover) for one in moved if one.error is None)

    def adjusted(self, steer: Steer) -> Steer:
        """The core may not have heard yet who died, and which standby is none any more."""
        named = {*steer.assignment.values(), *(one.dead for one in steer.takeovers)}
        self.done = {dead: one for dead, one in self.done.items() if dead in named}
        self._told &= set(self.done)
        heirs = {dead: one.of.heir for dead, one in self.done.items() if one.error is None}
        if steer.standby is not None and steer.standby == self.standby.heir:
            steer = replace(steer, standby=None)
        if not heirs:
            return steer
        return replace(steer, assignment={bucket: heirs.get(owner, owner) for bucket, owner in steer.assignment.items()})

    def carry_out(self, died: Collection[int], steer: Steer, owners: Owners) -> Owners:
        """The standby, if there is one, takes over from these instances. Who owns what afterwards."""
        for dead in sorted(set(died) - set(self.done)):
            heir = self.standby.ready
            of = next((one for one in steer.takeovers if one.dead == dead), None)
            if heir is not None and dead != heir:
                owners = self._one(TakeOver(dead, heir, tuple(b for b, owner in owners.items() if owner == dead)), steer, owners)
            elif of is not None:
                self.done[dead] = TakenOver(of, error=f"instance {of.heir} is no standby that has every stream")
        return owners

    def _one(self, one: TakeOver, steer: Steer, owners: Owners) -> Owners:
        now, after = self.shared.clock(), takeover.owners_after(owners, one)
        lately = [(cut, gave) for at, cut, gave in self._gave if gave.old == one.dead and now - at < LATELY_S]
        given = takeover.Given(tuple({b for _, gave in lately for b in gave.buckets}), max((cut for cut, _ in lately), default=-1))
        steps = takeover.carry_out(one, owners, given, secrets.randbits(MARKER_BITS) | 1)
        taken = self.done[one.dead] = self._take_steps(steps, self._ordinary(steer, after))
        LOG.info("takeover: %s", taken)
        if one.heir in after.values():
            self.standby.took_over()
        return after

    def retire(self, steer: Steer, owners: Owners) -> None:
        """A standby that owns buckets, or is to own some, goes by the rules from now on: a controller before this one came no further."""
        heir = self.standby.ready
        if heir is not None and heir in {*owners.values(), *steer.assignment.values()}:
            owned = sorted(bucket for bucket, owner in owners.items() if owner == heir)
            steps = takeover.become_ordinary(heir, owned, secrets.randbits(MARKER_BITS) | 1)
            error = self._take_steps(steps, self._ordinary(steer, owners))
            if error is not None:
                LOG.error("instance %d was a standby and is to be none, but: %s", heir, error)
            self.standby.took_over()

    @staticmethod
    def _ordinary(steer: Steer, owners: Owners) -> Steer:
        """Rules in which nobody gets every packet."""
        return replace(steer, assignment=owners, settle=True, standby=None)

    def told(self, done: Steered, steer: Steer) -> Steered:
        """The answer to this change, with what became of takeovers: each is told once."""
        heir = self.standby.heir if self.standby.heir == steer.standby else None
        left = [TakenOver(one, error="nobody knows what it owned") for one in steer.takeovers if one.dead not in self.done]
        taken = [one for dead, one in self.done.items() if dead not in self._told]
        if done.error is None:  # else nobody may hear of it
            self._told |= set(self.done)
        return replace(done, taken=(*taken, *left), heir=heir)
