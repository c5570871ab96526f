"""What a run amounted to: every packet accounted for, and each score held against the unsplit run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bricks.streams.results import result_of
from lego_sdn.core.facts.instance_notes import InstanceDied


@dataclass(frozen=True)
class ScoreComparison:
    """Scores of a run against those of one unsplit run over the same stamped packets, bit for bit.

    scored, twice     packets with a score, packets with more than one (where a packet has several results: of each)
    equal             of these scores, those that have the same bits
    first_difference  sequence number of the first packet whose score differs
    """

    scored: int
    twice: int
    equal: int
    first_difference: int | None

    @property
    def equal_share(self) -> float:
        return self.equal / self.scored if self.scored else 0.0


def numbers_of(records: np.ndarray, results: int) -> np.ndarray:
    """The number of each score: that of its packet, times the results that a packet has, and its result. int64 [records]"""
    seqs: np.ndarray = records["seq"].astype(np.int64)
    return seqs if results == 1 else seqs * results + result_of(records["flags"])


def compare(records: np.ndarray, unsplit: np.ndarray) -> ScoreComparison:
    """`records`: rows with `seq` and `score`, in any order, and `flags` where a packet has several scores; `unsplit`: float64 [packets] or
    [packets, results], its index is the sequence number."""
    results = unsplit[0].size if len(unsplit) else 1
    numbers, first, count = np.unique(numbers_of(records, results), return_index=True, return_counts=True)
    seqs, scores = numbers // results, np.ascontiguousarray(records["score"][first])
    same = scores.view(np.uint64) == unsplit.ravel()[numbers].view(np.uint64)
    different = np.flatnonzero(~same)
    return ScoreComparison(
        scored=len(numbers),
        twice=int(np.count_nonzero(count > 1)),
        equal=int(np.count_nonzero(same)),
        first_difference=int(seqs[different[0]]) if len(different) else None,
    )


def without_repeats(records: np.ndarray, results: int) -> tuple[np.ndarray, int]:
    """Records of which each is there once: a standby may score a packet that the owner, which died, had scored. And how many were left out.

    A repeat whose score has other bits stays: it is none.
    """
    numbers, bits = numbers_of(records, results), np.ascontiguousarray(records["score"]).view(np.uint64)
    order = np.lexsort((bits, numbers))
    first = np.ones(len(records), np.bool_)
    first[1:] = (np.diff(numbers[order]) != 0) | (bits[order][1:] != bits[order][:-1])
    return records[order][first], int(np.count_nonzero(~first))


@dataclass(frozen=True)
class Deaths:
    """What tells with which instance a packet died.

    owned   instance -> buckets that it was ever seen to own
    moves   rows of `GET moves`; events: of `GET events`
    """

    owned: Mapping[int, set[int]]
    moves: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]

    @property
    def instances(self) -> list[int]:
        """Those that failed while they ran."""
        return sorted({one["instance"] for one in self.events if one["type"] == InstanceDied.__name__ and one["instance"] is not None})

    def buckets(self, instance: int) -> set[int]:
        """Every bucket that it owned, or was to own when it died."""
        its = [one for row in self.moves for one in row["handovers"] if instance in (one["old"], one["new"])]
        return self.owned.get(instance, set()).union(*(one["buckets"] for one in its))

    def held_from(self, instance: int) -> int | None:
        """The stamp from which on packets waited in it when it died; None if it died in no move."""
        cuts = [row["cut"] for row in self.moves if str(instance) in row["errors"] and row["cut"] is not None]
        return cuts[-1] + 1 if cuts else None


def note_owned(owned: dict[int, set[int]], by_owner: Mapping[str, Iterable[int]]) -> None:
    """Add an assignment, as `GET assignment` has it, to what each instance was seen to own."""
    for instance, buckets in by_owner.items():
        owned.setdefault(int(instance), set()).update(buckets)


def died_with(unscored: Sequence[tuple[int, int]], deaths: Deaths, most: int) -> dict[str, int]:
    """Of the unscored packets (stamp, bucket), at most `most`, those that were in, or on the way to, an instance that died: by reason."""
    lost: Counter[str] = Counter()
    for dead in deaths.instances:
        buckets, held_from = deaths.buckets(dead), deaths.held_from(dead)
        for stamp in [stamp for stamp, bucket in sorted(unscored) if bucket in buckets][: most - lost.total()]:
            held = held_from is not None and stamp >= held_from
            lost[f"held by instance {dead}, which died in a move" if held else f"with instance {dead}, which died"] += 1
    return dict(lost)


def dropped_in(reports: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Packets that were dropped, by reason, of final load reports."""
    dropped: Counter[str] = Counter()
    for report in reports:
        for brick in report["bricks"]:
            dropped.update(brick["dropped"])
        if report["capture"]:
            dropped["kernel ring full"] += report["capture"]["kernel_drops"]
    return {reason: count for reason, count in dropped.items() if count}


def out_of_order_in(reports: Iterable[Mapping[str, Any]]) -> int:
    """Results that came too late to the bricks that keep count of it, those at the end of a graph."""
    return sum(brick["counters"].get("out_of_order", 0) for report in reports for brick in report["bricks"])


@dataclass(frozen=True)
class RunSummary:
    """Totals of a run. What was sent is scored, or dropped under a name (invariant 2 of the design); `missing` is the rest.

    entered, forwarded  packets that came into the switch from the source and that left it to the sink
    out_of_order        results that came to the end of an instance's graph after one with a higher stamp
    repeated            scores with the same bits that the standby gave once more, and that are left out
    results             scores of each packet
    """

    sent: int
    seconds: float
    entered: int
    forwarded: int
    comparison: ScoreComparison
    dropped: dict[str, int]
    alerts: dict[str, int]  # by source, most first
    actions: list[dict[str, Any]]
    machine: dict[str, Any]
    moves: list[dict[str, Any]] = field(default_factory=list)  # rows of `GET moves`
    out_of_order: int = 0
    results: int = 1
    repeated: int = 0

    @property
    def due(self) -> int:
        """Scores that there should be."""
        return self.sent * self.results

    @property
    def missing(self) -> int:
        return max(0, -self._too_many)

    @property
    def extra(self) -> int:
        """Packets that were scored or dropped beyond those that were sent: somebody else sends, too."""
        return max(0, self._too_many)

    @property
    def _too_many(self) -> int:
        return self.comparison.scored + sum(self.dropped.values()) - self.due

    @property
    def accounted(self) -> bool:
        return self.missing == self.extra == 0 and self.comparison.twice == 0 and self.forwarded == self.entered

    @property
    def same(self) -> bool:
        """Whether every score has the bits of the unsplit run."""
        return self.comparison.equal == self.comparison.scored

    def as_dict(self) -> dict[str, Any]:
        facts = {"missing": self.missing, "extra": self.extra, "accounted": self.accounted, "same": self.same}
        return asdict(self) | facts | {"equal_share": self.comparison.equal_share}
