"""The sampling auditor: compares the scores of some buckets with those of an unsplit reference instance, bit for bit.

The reference instance gets every packet and owns no bucket. This module decides which buckets are sampled, which scores belong together and
what a difference means; `ryu_apps.apps.auditor` makes the calls.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.backoff import Backoff
from lego_sdn.core.facts.counters import BrickCounters

RECORD = struct.Struct("<QqQQQI")  # SCORE of bricks/files/scores.py, the score by its bits
BITS = struct.Struct("<Q")
NUMBER = struct.Struct("<d")
PATIENCE_S = 40.0  # for the other score: packets wait in a move, at most 15 s after the last word of its mover
MOST = 200_000  # scores that wait for the other one


def sampled_buckets(share: float, buckets: int) -> tuple[int, ...]:
    """The buckets whose sources are scored twice: `share` of them, at least one unless it is 0, evenly spread."""
    count = min(buckets, max(1, round(share * buckets))) if share > 0 else 0
    return tuple(bucket for bucket in range(buckets) if bucket * count % buckets < count)


@dataclass(frozen=True, slots=True)
class Score:
    """What an instance gave a packet. source: (high word, low word, kind), as in a packet record."""

    stamp: int
    source: tuple[int, int, int]
    bits: int

    @property
    def value(self) -> float:
        (number,) = NUMBER.unpack(BITS.pack(self.bits))
        return float(number)

    @property
    def source_text(self) -> str:
        high, low, kind = self.source
        if kind == 1:
            return str(ipaddress.IPv4Address(low & 0xFFFFFFFF))
        return str(ipaddress.IPv6Address(high << 64 | low)) if kind == 2 else low.to_bytes(8, "big")[2:].hex(":")


def parse(records: bytes) -> Iterator[Score]:
    """Of SCORE records; one that is cut short is left out."""
    for stamp, _, bits, high, low, flags in RECORD.iter_unpack(records[: len(records) // RECORD.size * RECORD.size]):
        yield Score(stamp, (high, low, flags & 3), bits)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two scores of one packet, by an instance and by the twin."""

    instance: int
    ours: Score
    twins: Score

    def __str__(self) -> str:
        return (
            f"packet {self.ours.stamp} of {self.ours.source_text} got {self.ours.value!r} from instance {self.instance} "
            f"and {self.twins.value!r} from the twin"
        )


@dataclass(slots=True)
class Ledger:
    """Scores that were given, until both of a packet are there. It reads no clock: `now` is seconds of any clock.

    since     the highest stamp before the audit: of packets up to it nothing is said; None: it has not begun
    expected  it is about to begin: scores are kept
    excused   why differences say nothing of a fault: an instance lost packets, which the other one has
    first     difference of all; alarm: the first that nobody was told of yet
    unpaired  scores that stayed alone, or pairs that say nothing, by reason
    """

    since: int | None = None
    expected: bool = False
    compared: int = 0
    different: int = 0
    excused: str | None = None
    first: Pair | None = None
    alarm: Pair | None = None
    unpaired: Counter[str] = field(default_factory=Counter)
    _ours: dict[int, tuple[int, Score, float]] = field(default_factory=dict)
    _twins: dict[int, tuple[int, Score, float]] = field(default_factory=dict)

    @property
    def equal(self) -> int:
        return self.compared - self.different

    @property
    def waiting(self) -> int:
        return len(self._ours) + len(self._twins)

    def expect(self) -> None:
        """The twin is about to be given every stream."""
        self.stop("the audit began anew")
        self.expected = True

    def begin(self, stamp: int) -> None:
        """The twin has every stream as it was after this stamp; what came since is compared."""
        came = [(instance, score, now) for kept in (self._ours, self._twins) for instance, score, now in kept.values()]
        self._ours.clear()
        self._twins.clear()
        self.since, self.expected, self.excused = stamp, False, None
        for instance, score, now in came:
            self.add(instance, [score], now)

    def stop(self, reason: str) -> None:
        """Nothing is compared until it begins (again)."""
        if self.waiting:
            self.unpaired[reason] += self.waiting
        self._ours.clear()
        self._twins.clear()
        self.since, self.expected = None, False

    def add(self, instance: int, scores: Iterable[Score], now: float) -> None:
        """Take in what an instance gave; where the other score of a packet is there, compare."""
        mine, others = (self._twins, self._ours) if instance == REFERENCE else (self._ours, self._twins)
        for score in scores:
            if self.expected:
                mine[score.stamp] = instance, score, now
            elif self.since is None or score.stamp <= self.since:
                continue
            elif score.stamp in mine:
                self.unpaired["scored twice"] += 1
            elif score.stamp not in others:
                mine[score.stamp] = instance, score, now
            else:
                other, their, _ = others.pop(score.stamp)
                pair = Pair(other, their, score) if instance == REFERENCE else Pair(instance, score, their)
                self._compare(pair)

    def _compare(self, pair: Pair) -> None:
        differs = pair.ours.bits != pair.twins.bits
        if differs and self.excused is not None:
            self.unpaired[self.excused] += 1
            return
        self.compared += 1
        self.different += differs
        if differs:
            self.first, self.alarm = self.first or pair, self.alarm or pair

    def expire(self, now: float) -> None:
        """Give up waiting for what does not come."""
        for waiting, reason in ((self._ours, "the twin gave no score"), (self._twins, "no instance gave a score")):
            surplus = max(0, len(waiting) - MOST)
            late = [stamp for at, (stamp, (_, _, since)) in enumerate(waiting.items()) if at < surplus or now - since > PATIENCE_S]
            for stamp in late:
                del waiting[stamp]
            self.unpaired[reason] += len(late)
        self.unpaired = +self.unpaired


@dataclass(slots=True)
class Losses:
    """Packets lost and streams forgotten for want of room, by process (name and pid), as last seen."""

    seen: dict[tuple[str, int], int] = field(default_factory=dict)

    def grew(self, reports: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a process has lost anything since it was seen last; `reports` as docs/reference/contract.md has them."""
        now = {(report["process"], report["pid"]): _lost(report) for report in reports}
        more = any(count > self.seen.get(key, 0) for key, count in now.items())
        self.seen |= now
        return more


def _lost(report: Mapping[str, Any]) -> int:
    total = int((report.get("capture") or {}).get("kernel_drops", 0))
    for brick in report["bricks"]:
        total += sum(brick["dropped"].values())
        total += BrickCounters.of(brick["counters"]).all_evicted
    return total


@dataclass(frozen=True, slots=True)
class ReferenceInstance:
    """The twin as an instance: what `core/control/reference.py` makes of it."""

    phase: str = "absent"  # absent, starting, running, stopping
    since: float = 0.0
    ofport: int | None = None
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def until(self) -> float:
        """No start before."""
        return self.backoff.until
