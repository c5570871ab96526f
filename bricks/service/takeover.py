"""A brick process's part in the death of an instance: the calls to a standby, and how far an owner has come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from bricks.records.brick import Batch
from bricks.runtime.kept_rows import KeptRows, Unscored
from bricks.runtime.pipeline import Pipeline
from bricks.runtime.scored_stamp import read_scored
from bricks.service.handover import HandoverCalls
from bricks.streams.handover_buffer import HandoverBuffer
from lego_sdn.core.facts.counters import EVICTED
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.standby import scored_file

# totals of the interface's statistics; where one of them grows, the streams are not complete any more
LOSSES = ("kernel_drops", "late", "implausible", "held_dropped", "held_shadows_dropped", "holds_expired")


class TakeOverCalls:
    """Handlers of the calls about a standby. `scored`: of an instance, the highest stamp that it has scored."""

    def __init__(self, process: Pipeline, moves: HandoverCalls, scored: Callable[[int], int] | None = None) -> None:
        self.process, self.moves, self.front = process, moves, moves.front
        self._scored = scored or (lambda instance: read_scored(scored_file(process.spec.run_dir, instance)))
        self._lost: dict[str, int] = {}  # totals of losses when the streams were given to it
        self._asked: set[int] = set()  # takeovers, by marker
        self._owned: list[int] = []  # buckets that were taken over

    def handlers(self) -> dict[str, Callable]:
        return {name: getattr(self, name) for name in ("release", "progress", "standing", "keep_from", "take_over", "end_take_over")}

    def release(self, token: int, owned: list[int] | None) -> dict[str, int]:
        """Go on after a move. A standby was given streams in it, of which nothing may be lost from now on; what waited was put in order."""
        told = self.moves.release(token, owned)
        self._lost = self._losses() if self.process.kept is not None else {}
        return told

    def progress(self) -> dict[str, int | None]:
        """taken: number of the next row at the interface; scored: of the next one at the end of the graph; None: not in this process."""
        last = self.process.stages[-1]
        return {
            "taken": self.process.next_row if self.process.source is not None else None,
            "scored": last.order.wanted if last.last and last.order is not None else None,
        }

    def standing(self) -> dict[str, Any]:
        """standby: whether it keeps what others score; complete: whether it has had every packet since it was given all streams;
        owned: buckets that it has taken over from instances that died."""
        kept = self.process.kept
        return {"standby": kept is not None, "complete": kept is not None and self._is_complete(kept), "owned": self._owned}

    def keep_from(self, stamp: int) -> bool:
        """The streams are complete after this stamp, and all instances have scored what came up to it."""
        self._kept().begin(stamp)
        return True

    def take_over(self, marker: int, dead: int, buckets: list[int], given: list[int], until: int) -> dict[str, Any]:
        """Score the packets of `buckets` from now on; of what came before, score what instance `dead` has not.

        given, until  buckets that it gave to others, and the highest stamp up to which their packets were its own
        scored: rows that were scored now; complete: whether these are all, with the features that they should have; at: epoch seconds of
        the first score.
        Asked again with the same marker it does nothing. BrickError if it is no standby.
        """
        if marker in self._asked:
            return {"scored": 0, "complete": True, "at": time.time()}
        kept = self._kept()
        complete = self._is_complete(kept)
        batches, forgotten = kept.take_over(Unscored(self._scored(dead), tuple(buckets), tuple(given), until))
        at: list[float] = []
        rows = self.process.score_kept(_timed(batches, at))
        self._asked.add(marker)
        self._owned = np.flatnonzero(kept.owned).tolist()
        return {"scored": rows, "complete": complete and not forgotten, "at": at[1] if len(at) > 1 else time.time()}

    def end_take_over(self, marker: int, owned: list[int]) -> bool:
        """Once the marker has come, no packet is under way by the old rules: whose a packet is, the switch says. Whether it has come."""
        if self.process.kept is None:
            return True
        source = getattr(self.process.source, "source", None)
        if not isinstance(source, HandoverBuffer) or not source.has_passed(marker):
            return False
        self.process.be_ordinary()
        self.front.tidy(owned)
        return True

    def _kept(self) -> KeptRows:
        if self.process.kept is None:
            raise BrickError(f"process {self.process.spec.process} is no standby")
        return self.process.kept

    def _is_complete(self, kept: KeptRows) -> bool:
        return kept.since is not None and self._losses() == self._lost

    def _losses(self) -> dict[str, int]:
        source = getattr(self.process.source, "source", None)
        counted = source.statistics() if source is not None else {}
        total = Counter({name: counted.get(name, 0) for name in LOSSES})
        for stage in self.process.stages:
            if stage.brick.state is not None:
                counters = stage.brick.state.counters()
                total["evicted"] += sum(count for name, count in counters.items() if name.startswith(EVICTED))
        return dict(total)


def _timed(batches: Iterable[Batch], at: list[float]) -> Iterator[Batch]:
    """Note when each batch is asked for: the second time, the first one is scored."""
    for batch in batches:
        at.append(time.time())
        yield batch
    at.append(time.time())
