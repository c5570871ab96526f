"""State of the `kitsune115` extractor: how its streams are counted, leave and enter."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bricks.kernels import eviction, handover, kitsune115
from bricks.kernels.state import StreamState
from bricks.kernels.streams import EVICTED, FREE, USED, Table


class Kitsune115State(StreamState):
    """All streams that the packets so far have left, at most `streams` of each kind: mi, h, hh, hp."""

    layout = "kitsune115"
    kernel: ClassVar = kitsune115

    def _named(self) -> list[tuple[str, Table]]:
        return [(kind, getattr(self.tables, kind)) for kind in kitsune115.KINDS]

    def counters(self) -> dict[str, int]:
        tables = self._named()
        held = {f"streams_{kind}": int(table.book[USED] - table.book[FREE]) for kind, table in tables}
        return held | {f"evicted_{kind}": int(table.book[EVICTED]) for kind, table in tables}

    def _leave(self, chosen: np.ndarray, but: np.ndarray) -> dict:
        tables = self._named()
        return {kind: handover.records_of(table, handover.rows_with_end(table, chosen, but)).tobytes() for kind, table in tables}

    def _enter(self, records: dict, chosen: np.ndarray | None) -> int:
        taken = 0
        for kind, table in self._named():
            new = np.frombuffer(records[kind], np.float64).reshape(-1, handover.record_words(table))
            if chosen is not None:
                new = new[handover.has_end(table, new, chosen)]
                new.flags.writeable = False  # as it came: another kind of array would be compiled for anew
            taken += handover.put_into(table, new, new.view(np.uint64))
        return taken

    def _drop_others(self, chosen: np.ndarray) -> int:
        dropped, every = 0, np.ones(len(chosen), np.bool_)
        for _, table in self._named():
            rows = np.setdiff1d(handover.rows_with_end(table, every), handover.rows_with_end(table, chosen), assume_unique=True)
            eviction.drop_all(table, rows)
            dropped += len(rows)
        return dropped
