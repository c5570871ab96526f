"""What a run amounted to: every packet accounted for, and each score held against the unsplit run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """Scores of a run against those of one unsplit run over the same stamped packets, bit for bit.

    scored, twice     packets with a score, packets with more than one
    equal             packets whose score has the same bits
    first_difference  sequence number of the first packet whose score differs
    """

    scored: int
    twice: int
    equal: int
    first_difference: int | None

    @property
    def equal_share(self) -> float:
        return self.equal / self.scored if self.scored else 0.0


def compare(records: np.ndarray, unsplit: np.ndarray) -> Comparison:
    """`records`: rows with `seq` and `score`, in any order; `unsplit`: float64 [packets], its index is the sequence number."""
    seqs, first, count = np.unique(records["seq"], return_index=True, return_counts=True)
    scores = np.ascontiguousarray(records["score"][first])
    same = scores.view(np.uint64) == unsplit[seqs.astype(np.int64)].view(np.uint64)
    different = np.flatnonzero(~same)
    return Comparison(
        scored=len(seqs),
        twice=int(np.count_nonzero(count > 1)),
        equal=int(np.count_nonzero(same)),
        first_difference=int(seqs[different[0]]) if len(different) else None,
    )


@dataclass(frozen=True)
class Summary:
    """Totals of a run. What was sent is scored, or dropped under a name (invariant 2 of the design); `missing` is the rest.

    entered, forwarded  packets that came into the switch from the source and that left it to the sink
    """

    sent: int
    seconds: float
    entered: int
    forwarded: int
    comparison: Comparison
    dropped: dict[str, int]
    alerts: dict[str, int]  # by source, most first
    actions: list[dict[str, Any]]
    machine: dict[str, Any]

    @property
    def missing(self) -> int:
        return self.sent - self.comparison.scored - sum(self.dropped.values())

    @property
    def accounted(self) -> bool:
        return self.missing == 0 and self.comparison.twice == 0 and self.forwarded == self.entered

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"missing": self.missing, "accounted": self.accounted, "equal_share": self.comparison.equal_share}
