"""State of the `kitsune115` extractor: how its streams are counted, leave and enter."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bricks.kernels.kitsune import features115
from bricks.kernels.streams import eviction, transfer
from bricks.kernels.streams.state import StreamState
from bricks.kernels.streams.table import EVICTED, FREE, USED, Table
from lego_sdn.core.nf.split_key import BY_SOURCE, SplitKey

_ENDS = {"src_ip": 1, "dst_ip": 3}  # words of a stream's head that hold the low words of these fields
FIELDS = {"mi": {"src_ip": 1, "src_mac": 3}, "h": {"src_ip": 1}, "hh": _ENDS, "hp": _ENDS}  # by kind of stream


class Kitsune115State(StreamState):
    """All streams that the packets so far have left, at most `streams` of each kind: mi, h, hh, hp.

    A stream has an end in the bucket of every field of the split key that it is keyed by.
    """

    layout = "kitsune115"
    kernel: ClassVar = features115

    def __init__(self, streams: int, key: SplitKey = BY_SOURCE) -> None:
        super().__init__(streams)
        self.key = key

    def named(self) -> list[tuple[str, Table]]:
        return [(kind, getattr(self.tables, kind)) for kind in features115.KINDS]

    def ends(self, kind: str) -> transfer.Ends:
        """Words of the heads of such streams that tell their buckets."""
        return tuple(FIELDS[kind][field] for fields in self.key.sides for field in fields if field in FIELDS[kind])

    def counters(self) -> dict[str, int]:
        tables = self.named()
        held = {f"streams_{kind}": int(table.book[USED] - table.book[FREE]) for kind, table in tables}
        return held | {f"evicted_{kind}": int(table.book[EVICTED]) for kind, table in tables}

    def _leave(self, chosen: np.ndarray, but: np.ndarray) -> dict:
        left = {kind: (table, transfer.rows_with_end(table, self.ends(kind), chosen, but)) for kind, table in self.named()}
        return {kind: transfer.records_of(table, rows).tobytes() for kind, (table, rows) in left.items()}

    def _enter(self, records: dict, chosen: np.ndarray | None) -> int:
        taken = 0
        for kind, table in self.named():
            new = np.frombuffer(records[kind], np.float64).reshape(-1, transfer.record_words(table))
            if chosen is not None:
                new = new[transfer.has_end(new, self.ends(kind), chosen)]
                new.flags.writeable = False  # as it came: another kind of array would be compiled for anew
            taken += transfer.put_into(table, new, new.view(np.uint64))
        return taken

    def _drop_others(self, chosen: np.ndarray) -> int:
        dropped, every = 0, np.ones(len(chosen), np.bool_)
        for kind, table in self.named():
            all_rows, kept = (transfer.rows_with_end(table, self.ends(kind), buckets) for buckets in (every, chosen))
            rows = np.setdiff1d(all_rows, kept, assume_unique=True)
            eviction.drop_all(table, rows)
            dropped += len(rows)
        return dropped
