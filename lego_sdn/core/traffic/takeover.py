"""Takeover: the standby becomes the owner of a dead instance's buckets; which steps, in which order.

Nobody waits and nothing is handed over: the standby has had every packet all along. It scores from the first step on, whatever the rules
say; once no packet is under way by the old rules, it goes by the rules like any other instance. Until then it must not take part in a move.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lego_sdn.core.facts.standby import TakenOver, TakeOver
from lego_sdn.core.traffic.handover import ATTEMPTS, QUESTIONS
from lego_sdn.core.traffic.handover_steps import Answer, Ask, ChangeRules, Pause, RestoreRules, SendMarkers, Step


@dataclass(frozen=True, slots=True)
class Given:
    """Buckets that the dead instance gave to others lately, and the highest stamp up to which it had to score their packets."""

    buckets: tuple[int, ...] = ()
    until: int = -1


def owners_after(owners: Mapping[int, int], one: TakeOver) -> dict[int, int]:
    """bucket -> instance: what the dead one had is the heir's."""
    return {bucket: one.heir if owner == one.dead else owner for bucket, owner in owners.items()}


def carry_out(one: TakeOver, owners: Mapping[int, int], given: Given, marker: int) -> Generator[Step, Any, TakenOver]:
    """All steps of a takeover; what became of it. If the dead one owned nothing, the standby scores what is left, and stays a standby.

    owners  bucket -> instance, before
    marker  a number that nobody can guess
    """
    owned = sorted(bucket for bucket, owner in owners_after(owners, one).items() if owner == one.heir)
    rest = sorted(set(given.buckets) - set(owned))
    answer: Answer
    (answer,) = yield (Ask(one.heir, "every", "take_over", (marker, one.dead, owned, rest, given.until)),)
    if answer.error is not None:
        return TakenOver(one, error=answer.error)
    taken = TakenOver.told(one, answer.value)
    if not owned:
        return taken
    error = yield from become_ordinary(one.heir, owned, marker)
    return replace(taken, error=error)


def become_ordinary(heir: int, owned: list[int], marker: int) -> Generator[Step, Any, str | None]:
    """Rules in which it owns these buckets and gets no other packets, and it goes by them: why it does not, or None."""
    error = yield ChangeRules()
    if error is not None:
        return f"the rules could not be changed: {error}"
    for attempt in range(ATTEMPTS):
        if attempt:
            yield RestoreRules()
        yield SendMarkers(((heir, marker),))
        for _ in range(QUESTIONS):
            (answer,) = yield (Ask(heir, "every", "end_take_over", (marker, owned)),)
            if answer.error is not None:
                return str(answer.error)
            if answer.value:
                return None
            yield Pause()
    return "no marker came through the switch to it"
