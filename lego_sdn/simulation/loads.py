"""Loads to scale for, by name and seed: packets/s at any time as multiples of what one instance can take, and by which buckets they come.

What a seed decides: levels, times, and the buckets' shares. No load goes beyond what the host could carry.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

BUCKETS = 64
SECONDS = 600.0  # that every load lasts

# What `mirai-benign-20000.pcap` and `mirai-attack-5000.pcap` do, by second: 27.6 packets/s that vary by 37 % before the infection; from one
# second to the next 242.7 that vary by 18 %, of which the one scanner sends 87 %, and it does not stop.
BENIGN_SPREAD, ATTACK_SPREAD = 0.37, 0.18
SCANNER = 242.7 * 0.87 / 27.6  # of one infected device, against all benign traffic


@dataclass(frozen=True)
class SimulatedLoad:
    """`level(seconds)`: the whole, as a multiple of an instance's capacity; `shares(seconds)`: by bucket, adding up to 1."""

    name: str
    seed: int
    level: Callable[[float], float]
    shares: Callable[[float], tuple[float, ...]]


@dataclass
class _Steps:
    """A level that changes at some times and stays in between."""

    times: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def add(self, time: float, level: float) -> None:
        self.times.append(time)
        self.levels.append(level)

    def __call__(self, seconds: float) -> float:
        return self.levels[max(0, bisect_right(self.times, seconds) - 1)]


def square(seed: int) -> SimulatedLoad:
    """Low and high in turns, from one moment to the next; each time lasts one to two minutes."""
    rng, steps, time = random.Random(f"square {seed}"), _Steps(), 0.0
    low, high = rng.uniform(0.2, 0.6), rng.uniform(1.2, 2.2)
    while time < SECONDS:
        steps.add(time, low)
        steps.add(time + rng.uniform(60, 120), high)
        time = steps.times[-1] + rng.uniform(60, 120)
    return SimulatedLoad("square", seed, steps, _even(rng))


def saw(seed: int) -> SimulatedLoad:
    """A climb of two to four minutes from low to high, then all at once low again."""
    rng = random.Random(f"saw {seed}")
    low, high, period = rng.uniform(0.1, 0.4), rng.uniform(1.4, 2.4), rng.uniform(120, 240)
    return SimulatedLoad("saw", seed, lambda s: low + (high - low) * (s % period) / period, _even(rng))


def bursty(seed: int) -> SimulatedLoad:
    """A base with bursts on top, one in about 45 s, half as much to as much again as the capacity, of 5 to 40 s; they may overlap.

    A burst rises within a few seconds, as many users do not begin at one moment, and falls so.
    """
    rng, bursts, time = random.Random(f"bursty {seed}"), list[tuple[float, float, float, float]](), 0.0
    base = rng.uniform(0.3, 0.6)
    while (time := time + rng.expovariate(1 / 45)) < SECONDS:
        bursts.append((time, rng.uniform(5, 40), rng.uniform(0.4, 0.9), rng.uniform(2, 6)))

    def level(seconds: float) -> float:
        return min(2.4, base + sum(_burst(seconds, *burst) for burst in bursts))

    return SimulatedLoad("bursty", seed, level, _even(rng))


def _burst(seconds: float, begins: float, lasts: float, height: float, edge: float) -> float:
    return height * max(0.0, min(1.0, (seconds - begins) / edge, (begins + lasts + edge - seconds) / edge))


def mirai(seed: int) -> SimulatedLoad:
    """A network in which one device after the other is infected and scans, as the devices of the real capture do.

    Rates vary from second to second as there. Infections follow the growth of an epidemic; each scanner is one more bucket.
    """
    rng = random.Random(f"mirai {seed}")
    base = rng.uniform(0.06, 0.1)
    begins, devices = rng.uniform(90, 200), rng.randint(3, 4)
    infections = sorted(begins + 40 * math.log(1 + at * rng.uniform(1.0, 2.5)) for at in range(devices))
    buckets = rng.sample(range(BUCKETS), devices)
    benign = _shares(rng)
    noise = [(rng.lognormvariate(0, BENIGN_SPREAD), [rng.gauss(1, ATTACK_SPREAD / 2) for _ in buckets]) for _ in range(int(SECONDS) + 2)]

    @cache
    def parts(second: int) -> tuple[float, list[float]]:
        calm, scans = noise[second]
        return base * min(calm, 2.5), [base * SCANNER * s if second >= at else 0.0 for at, s in zip(infections, scans, strict=True)]

    @cache
    def whole_at(second: int) -> float:
        return parts(second)[0] + sum(parts(second)[1])

    @cache
    def shares_at(second: int) -> tuple[float, ...]:
        calm, scans = parts(second)
        whole = calm + sum(scans)
        found = [share * calm / whole for share in benign]
        for bucket, scan in zip(buckets, scans, strict=True):
            found[bucket] += scan / whole
        return tuple(found)

    return SimulatedLoad("mirai", seed, lambda s: whole_at(int(s)), lambda s: shares_at(int(s)))


def _even(rng: random.Random) -> Callable[[float], tuple[float, ...]]:
    shares = _shares(rng)
    return lambda seconds: shares


def _shares(rng: random.Random) -> tuple[float, ...]:
    """Many sources, some of them several times as busy as others."""
    weights = [rng.lognormvariate(0, 0.7) for _ in range(BUCKETS)]
    return tuple(weight / sum(weights) for weight in weights)


LOADS: dict[str, Callable[[int], SimulatedLoad]] = {load.__name__: load for load in (square, saw, bursty, mirai)}
