"""The latest scores of some buckets, kept for an auditor who compares them with those of another instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bricks.files.scores import SCORE, records_of
from bricks.records.brick import Batch
from bricks.streams.assign import is_owned
from bricks.streams.held_packets import chosen_of
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

KEPT = 1 << 16  # scores
AT_ONCE = 1 << 14  # scores of one answer


class Sampled:
    """A ring of the last `kept` SCORE records, of which one answer has `at_once`; `append` is a tap before the last brick."""

    def __init__(self, buckets: Iterable[int], of: int, kept: int = KEPT, key: SplitKey = BY_SOURCE, at_once: int = AT_ONCE) -> None:
        self._chosen, self._key, self._at_once = chosen_of(buckets, of), key, at_once
        self._rows = np.empty(kept, SCORE)
        self.count = 0

    def append(self, batch: Batch) -> None:
        """Keep the scores of the packets of these buckets."""
        ours = is_owned(batch.head, self._chosen, self._key)
        if not ours.any():
            return
        rows = records_of(batch)[ours][-len(self._rows) :]
        self.count += int(np.count_nonzero(ours))
        self._rows[(self.count - len(rows) + np.arange(len(rows))) % len(self._rows)] = rows

    def since(self, number: int) -> dict[str, Any]:
        """Scores from this number on, oldest first: {"next": the number after the last of them, "missed": how many are forgotten,
        "more": whether there are more, "records": SCORE records}."""
        first = max(number, self.count - len(self._rows), 0)
        last = max(first, min(self.count, first + self._at_once))
        records = self._rows[np.arange(first, last) % len(self._rows)].tobytes()
        return {"next": last, "missed": first - number, "more": last < self.count, "records": records}
