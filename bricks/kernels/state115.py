"""State of the `kitsune115` extractor: its tables, and how they grow, count, leave and enter."""

from __future__ import annotations

import msgpack
import numpy as np

from bricks.kernels import eviction, handover, kitsune115
from bricks.kernels.streams import EVICTED, FREE, USED, Table, with_room
from lego_sdn.core.errors import BrickError

_FORMAT = {"what": "lego streams", "version": 1, "layout": "kitsune115"}
_BLOCK = 512  # packets between two looks at the room in the index


class Kitsune115State:
    """All streams that the packets so far have left, at most `streams` of each kind."""

    def __init__(self, streams: int) -> None:
        self.tables = kitsune115.new_tables(streams)

    def advance(self, packets: np.ndarray, out: np.ndarray) -> int:
        """Take PACKET rows in; statistics of those that are no shadows go to `out`, float64 [n, 115]. Returns how many."""
        written = 0
        for begin in range(0, len(packets), _BLOCK):
            block = packets[begin : begin + _BLOCK]
            self._make_room(len(block))
            written += kitsune115.advance(block, self.tables, out[written:].reshape(-1))
        return written

    def _make_room(self, packets: int) -> None:
        self.tables = kitsune115.make_room(self.tables, packets)

    def counters(self) -> dict[str, int]:
        """Streams held and evicted, by kind."""
        held = {f"streams_{kind}": int(table.book[USED] - table.book[FREE]) for kind, table in self._named()}
        return held | {f"evicted_{kind}": int(table.book[EVICTED]) for kind, table in self._named()}

    def _named(self) -> list[tuple[str, Table]]:
        return list(self.tables._asdict().items())

    def export(self, buckets: frozenset[int], of: int) -> bytes:
        """The records of the streams with an end in `buckets` (of `of` in all), keys and product sums included."""
        chosen = handover.chosen_buckets(buckets, of)
        records = {kind: handover.records_of(table, handover.rows_with_end(table, chosen)).tobytes() for kind, table in self._named()}
        return msgpack.packb(_FORMAT | {"records": records})

    def adopt(self, data: bytes) -> int:
        """Take exported records in; returns how many. A record held already is left as it is."""
        message = _unpacked(data)
        taken = 0
        for kind, table in self._named():
            records = np.frombuffer(message["records"][kind], np.float64).reshape(-1, handover.record_words(table))
            roomy = with_room(table, len(records))
            taken += handover.put_into(roomy, records, records.view(np.uint64))
            self.tables = self.tables._replace(**{kind: roomy})
        return taken

    def forget(self, owned: frozenset[int], of: int) -> int:
        """Drop the streams that have no end in the buckets still owned; returns how many."""
        kept, every = handover.chosen_buckets(owned, of), np.ones(of, np.bool_)
        dropped = 0
        for _, table in self._named():
            rows = np.setdiff1d(handover.rows_with_end(table, every), handover.rows_with_end(table, kept), assume_unique=True)
            eviction.drop_all(table, rows)
            dropped += len(rows)
        return dropped


def _unpacked(data: bytes) -> dict:
    try:
        message = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        raise BrickError(f"streams to adopt are no message of another feature-quantization brick: {error}") from error
    found = {key: message.get(key) for key in _FORMAT} if isinstance(message, dict) else message
    if found != _FORMAT:
        raise BrickError(f"streams to adopt: wanted {_FORMAT}, found {found}")
    return message
