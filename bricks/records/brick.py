"""What a brick is: one job, typed records in and out, state apart from logic (LEGO paper, section III-B)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import numpy as np

BRICKS: dict[str, type[Brick]] = {}


class Batch(NamedTuple):
    """Rows that travel together between two bricks.

    head    PACKET [n]: stamp, source and flags go with the row to the end of the graph
    values  float64 [n, width], or None before the feature extractor
    """

    head: np.ndarray
    values: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.head)

    def copy(self) -> Batch:
        """The same rows in memory of their own."""
        return Batch(self.head.copy(), None if self.values is None else self.values.copy())


class State(Protocol):
    """State of a brick by key, apart from its logic, in a form that another replica takes over.

    A stream is what is known of one key; it lies in the bucket of each of its ends. The runtime calls all of these
    (`bricks/service/shard_clients.py`):
    a brick is refused at the door if one is missing (`STATE_CALLS`).
    """

    def export(self, buckets: frozenset[int], of: int, but: frozenset[int] = frozenset()) -> bytes:
        """The records of the streams with an end in `buckets` (of `of` buckets in all). It changes nothing.

        but  streams with an end in these may be left out: the receiver has them already
        """

    def adopt(self, data: bytes, buckets: frozenset[int] | None = None, of: int = 1) -> int:
        """Take in what `export` gave; returns how many records. A record held already is left as it is. BrickError if it is no export.

        buckets  only streams with an end in these (of `of` in all); None: all
        """

    def forget(self, owned: frozenset[int], of: int) -> int:
        """Drop the streams that have no end in the buckets still owned; returns how many."""

    def counters(self) -> dict[str, int]:
        """By kind of stream: `streams_<kind>` held now, and `evicted_<kind>` that the bound on them made it drop since the start."""


STATE_CALLS = ("export", "adopt", "forget", "counters")


class Brick:
    """Base of all bricks; a subclass names its kind and has a docstring of the fixed form that the contract suite checks.

    A brick never blocks, never reads a clock and never touches a socket: the runtime does. One that needs time says how often (`tick_s`).
    `in_order` says that batches must come in stamp order, which holds for every brick with state; the other bricks
    may have replicas that take any batch.
    """

    kind: ClassVar[str] = ""
    in_order: ClassVar[bool] = False
    tick_s: ClassVar[float | None] = None  # seconds between two calls of `on_tick`; None: the brick needs no time
    state: State | None = None

    def __init_subclass__(cls, kind: str = "", **rest) -> None:
        super().__init_subclass__(**rest)
        if kind:
            cls.kind = kind
            BRICKS[kind] = cls

    def __init__(self, serial: int = 0) -> None:
        self.serial = serial
        self.node = self.kind  # its node in the graph, where the graph gives it another name than its kind
        self.counters: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    @property
    def id(self) -> str:
        return f"{self.node}-{self.serial}"

    def process(self, batch: Batch) -> Batch:
        """One batch in, one batch out; arrays of the input are neither kept nor changed: they may lie in a ring."""
        raise NotImplementedError

    def on_tick(self, now: float) -> None:
        """Time has passed: `now` is in seconds of a clock that only goes on. Called between batches, at the earliest every `tick_s`."""

    def __repr__(self) -> str:
        return f"<{self.id} {self.counters} dropped={self.dropped}>"


class SourceBrick(Protocol):
    """What a brick has whose input comes from outside the graph; it is the first of its instance and has no rings to read.

    `source.fileno()` is readable when `take` has something.
    """

    source: HasFileno | None

    def take(self) -> Batch | None:
        """What is there, up to the batch limit, at once, processed; None if there is nothing."""

    def waited_ns(self) -> int:
        """How long what was taken last had waited outside, nanoseconds, as far as that is known."""

    def report(self) -> dict[str, int | float] | None:
        """Totals since start: received, kernel_drops, shadows, gaps, repeats, reordered; and queue, the share of the ring that waits."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...
