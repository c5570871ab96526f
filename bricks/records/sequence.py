"""Where a batch stands in the stream of its instance: what it keeps to the end of the graph, whatever becomes of its rows."""

from __future__ import annotations

from typing import NamedTuple

NO_PART = -1


class SequenceRange(NamedTuple):
    """Where a batch stands in the stream that entered the instance: rows `first` to `first + span`, dropped ones included.

    born, since   when it entered the instance, and when it came to wait before the next brick: monotonic nanoseconds, 0 where not known
    part, parts   a batch that was cut over keyed replicas: which of its `parts` parts this is; UNCOUNTED: one of which nothing is left
                  after the replica
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
