"""Admission of moves: a move is refused before it begins if the receiving instance has no room for the streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lego_sdn.core.control.state import SystemState
from lego_sdn.core.facts.assignment import Owners, moves, place
from lego_sdn.core.facts.counters import BrickCounters


def lacking_room(state: SystemState, targets: Mapping[int, int]) -> str | None:
    """Why an instance that is to get buckets (bucket -> new owner) is too full for them, or None. What is not exact may forget."""
    full = next(iter(_full(state, targets).values()), None)
    return full if state.config.exact else None


def leave(state: SystemState, load: Sequence[float], leaving: int) -> tuple[Owners, str | None]:
    """Owners once an instance has left: its buckets go to those that have room for them; and, if there are none, why it cannot leave."""
    rest = [i for i in state.running if i != leaving]
    heirs, reason = list(rest), None
    while heirs:
        placed = place(state.owners, load, heirs)
        owners = tuple(old if old in rest else new for old, new in zip(state.owners, placed, strict=True))
        full = _full(state, moves(state.owners, owners)) if state.config.exact else {}
        if not full:
            return owners, None
        reason = next(iter(full.values()))
        heirs = [i for i in heirs if i not in full]
    return place(state.owners, load, rest), reason


def _full(state: SystemState, targets: Mapping[int, int]) -> dict[int, str]:
    """Instances that are too full for the buckets that they are to get (bucket -> new owner), each with the figures.

    By the last load reports; of an old owner's streams as large a share is reckoned as of its buckets.
    """
    coming: dict[int, Counter[str]] = {}
    for bucket, new in targets.items():
        old = state.owners[bucket]
        if old is not None and old != new:
            share = 1 / state.owners.count(old)
            coming.setdefault(new, Counter()).update({kind: share * count for kind, count in _streams(state, old).items()})
    full: dict[int, str] = {}
    for new, kinds in sorted(coming.items()):
        held, room = _streams(state, new), state.config.instance.streams * max(1, _bricks(state, new))
        for kind, more in sorted(kinds.items()):
            if held[kind] + more > room:
                figures = f"it holds {held[kind]:.0f} streams of kind {kind} of {room}, and about {more:.0f} would come"
                full.setdefault(new, f"instance {new} is full: {figures}")
    return full


def _streams(state: SystemState, instance: int) -> Counter[str]:
    """Streams that an instance holds, by kind."""
    held: Counter[str] = Counter()
    for (owner, _), report in state.reports.items():
        for brick in report.bricks if owner == instance else ():
            held.update(BrickCounters.of(brick.counters).streams)
    return held


def _bricks(state: SystemState, instance: int) -> int:
    """Replicas of the brick with the streams."""
    reports = [report for (owner, _), report in state.reports.items() if owner == instance]
    return sum(bool(BrickCounters.of(brick.counters).streams) for report in reports for brick in report.bricks)
