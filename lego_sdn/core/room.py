"""Whether an instance has room for the streams of more buckets: a move that would make it forget some is refused before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lego_sdn.core.state import State

PREFIX = "streams_"


def lacking_room(state: State, targets: Mapping[int, int]) -> str | None:
    """Why an instance that is to get buckets (bucket -> new owner) is too full for them, or None.

    By the last load reports; of an old owner's streams as large a share is reckoned as of its buckets.
    """
    coming: dict[int, Counter[str]] = {}
    for bucket, new in targets.items():
        old = state.owners[bucket]
        if old is not None and old != new:
            share = 1 / state.owners.count(old)
            coming.setdefault(new, Counter()).update({kind: share * count for kind, count in _streams(state, old).items()})
    for new, kinds in sorted(coming.items()):
        held, room = _streams(state, new), state.config.instance.streams * max(1, _bricks(state, new))
        for kind, more in sorted(kinds.items()):
            if held[kind] + more > room:
                return (
                    f"instance {new} is full: it holds {held[kind]:.0f} streams of kind {kind} of {room}, and about {more:.0f} would come"
                )
    return None


def _streams(state: State, instance: int) -> Counter[str]:
    """Streams that an instance holds, by kind."""
    held: Counter[str] = Counter()
    for (owner, _), report in state.reports.items():
        for brick in report.bricks if owner == instance else ():
            held.update({name.removeprefix(PREFIX): count for name, count in brick.counters.items() if name.startswith(PREFIX)})
    return held


def _bricks(state: State, instance: int) -> int:
    """Replicas of the brick with the streams."""
    reports = [report for (owner, _), report in state.reports.items() if owner == instance]
    return sum(any(name.startswith(PREFIX) for name in brick.counters) for report in reports for brick in report.bricks)
