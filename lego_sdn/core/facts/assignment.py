"""Which instance owns which bucket: filling, balancing, and the least that must move for it.

Owners are a tuple, one entry per bucket: an instance, or None where nobody owns it. Weights are any load per bucket (packets/s).
The same input gives the same plan: ties go to the lower number.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence

Owners = tuple[int | None, ...]

REFERENCE = 999  # the number of the auditor's reference instance, which owns nothing; no other instance has one above 64

# Balanced enough: the gap between heaviest and lightest, as a share of an even load.
TOLERANCE = 0.1


def weights(rates: Mapping[int, float], buckets: int) -> tuple[float, ...]:
    """Load of each bucket; a quiet bucket counts a hundredth of the mean, since a source may come to it. All quiet: all equal."""
    mean = sum(rates.values()) / buckets
    return tuple(rates.get(bucket, 0.0) + mean / 100 for bucket in range(buckets)) if mean > 0 else (1.0,) * buckets


def carried(owners: Owners, load: Sequence[float], instances: Iterable[int]) -> dict[int, float]:
    """Load of each of `instances` under `owners`."""
    total = dict.fromkeys(sorted(instances), 0.0)
    for owner, weight in zip(owners, load, strict=True):
        if owner in total:
            total[owner] += weight
    return total


def place(owners: Owners, load: Sequence[float], instances: Iterable[int]) -> Owners:
    """Every bucket that none of `instances` owns is given to one of them, heaviest first to the least loaded; others stay.

    With no instance at all, nobody owns anything.
    """
    total = carried(owners, load, instances)
    if not total:
        return (None,) * len(owners)
    placed = list(owners)
    loose = sorted((b for b, owner in enumerate(owners) if owner not in total), key=lambda b: (-load[b], b))
    for bucket in loose:
        target = min(total, key=lambda i: (total[i], i))
        placed[bucket] = target
        total[target] += load[bucket]
    return tuple(placed)


def balance(owners: Owners, load: Sequence[float], instances: Iterable[int], into: int | None = None) -> Owners:
    """Move as few buckets as it takes to even out the load of `instances`; `into`: only to this instance.

    From the heaviest to the lightest goes, each time, the bucket that comes closest to levelling the two.
    """
    total = carried(owners, load, instances)
    if not total:
        return owners
    moved = list(owners)
    held: dict[int, list[tuple[float, int]]] = {i: sorted((load[b], b) for b, owner in enumerate(owners) if owner == i) for i in total}
    enough = TOLERANCE * sum(total.values()) / len(total)
    for _ in range(len(owners)):
        heavy = max(total, key=lambda i: (total[i], -i))
        light = into if into is not None else min(total, key=lambda i: (total[i], i))
        gap = total[heavy] - total[light]
        best = _leveller(held[heavy], gap, enough / 2) if gap > enough else None
        if best is None:
            break
        weight, bucket = best
        held[heavy].remove(best)
        insort(held[light], best)
        moved[bucket] = light
        total[heavy] -= weight
        total[light] += weight
    return tuple(moved)


def _leveller(held: list[tuple[float, int]], gap: float, least: float) -> tuple[float, int] | None:
    """Of the buckets held, sorted by load, the one nearest to half the gap.

    Only a bucket lighter than the gap lowers the maximum of the two. None where these together cannot weigh `least`: a host of quiet
    buckets is not worth moving.
    """
    useful = held[: bisect_left(held, (gap, -1))]
    if not useful or len(useful) * useful[-1][0] < least:
        return None
    above = bisect_left(useful, (gap / 2, -1))
    below = bisect_left(useful, (useful[above - 1][0], -1)) if above else 0
    nearest = [useful[i] for i in {below, above} if i < len(useful)]
    return min(nearest, key=lambda item: (abs(item[0] - gap / 2), item[1]))


def moves(before: Owners, after: Owners) -> dict[int, int]:
    """Bucket -> new owner, where it changed."""
    return {b: new for b, (old, new) in enumerate(zip(before, after, strict=True)) if new is not None and new != old}
