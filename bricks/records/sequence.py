"""The range of sequence numbers of a batch: it stays with the batch to the end of the graph, even if rows are dropped."""

from __future__ import annotations

from typing import NamedTuple

NO_PART = -1


class SequenceRange(NamedTuple):
    """Where a batch stands in the stream that entered the instance: rows `first` to `first + span`, dropped ones included.

    born, since   when it entered the instance, and when it came to wait before the next brick: monotonic nanoseconds, 0 where not known
    part, parts   index and number of the parts of a batch that was partitioned by key; NO_PART: a part without rows to score, which the
                  join does not wait for
    scored        rows of the whole batch, all parts together, that are to be scored
    """

    first: int
    span: int
    born: int = 0
    since: int = 0
    part: int = 0
    parts: int = 1
    scored: int = 0

    @property
    def end(self) -> int:
        """The row number that follows it."""
        return self.first + self.span

    @property
    def whole(self) -> SequenceRange:
        """As of a batch that is not cut."""
        return self if self.parts == 1 and self.part == 0 else SequenceRange(*self[:4])

    def at(self, since: int) -> SequenceRange:
        """The same, waiting since then."""
        return SequenceRange(self.first, self.span, self.born, since, self.part, self.parts, self.scored)
