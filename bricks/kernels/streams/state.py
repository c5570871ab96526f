"""What the states of both feature layouts have in common: blocks, counting, and the message in which streams travel."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import msgpack
import numpy as np

from lego_sdn.core.facts.errors import BrickError

_VERSION = 1


class StreamState:
    """State of a feature extractor; a subclass has the tables, their kernel, and how streams leave and enter them."""

    layout: ClassVar[str] = ""
    kernel: ClassVar = None  # module with new_tables, make_room, advance, BLOCK

    def __init__(self, streams: int) -> None:
        self.tables: NamedTuple = self.kernel.new_tables(streams)

    def advance(self, packets: np.ndarray, out: np.ndarray) -> int:
        """Take PACKET rows in; statistics of those that are no shadows go to `out`, float64 [n, width]. Returns how many."""
        packets = np.require(packets, requirements=["C", "W"])  # another kind of array would be compiled for anew
        written = 0
        for begin in range(0, len(packets), self.kernel.BLOCK):
            block = packets[begin : begin + self.kernel.BLOCK]
            self.tables = self.kernel.make_room(self.tables, len(block))
            written += self.kernel.advance(block, self.tables, out[written:].reshape(-1))
        return written

    def counters(self) -> dict[str, int]:
        """Streams held and evicted, by kind."""
        raise NotImplementedError

    def export(self, buckets: frozenset[int], of: int, but: frozenset[int] = frozenset()) -> bytes:
        """The records of the streams with an end in `buckets` (of `of` in all), keys and pairs included.

        `but`: those with an end in there may be left out, since the receiver has them.
        """
        records = self._leave(chosen_buckets(buckets, of), chosen_buckets(but, of))
        return msgpack.packb({"what": "lego streams", "version": _VERSION, "layout": self.layout, "records": records})

    def adopt(self, data: bytes, buckets: frozenset[int] | None = None, of: int = 1) -> int:
        """Take exported records in; returns how many. A record held already is left as it is.

        `buckets` (of `of` in all): only streams with an end in there, and the pairs that these need.
        """
        try:
            message = msgpack.unpackb(data)
        except (ValueError, msgpack.UnpackException) as error:
            raise BrickError(f"streams to adopt are no message of a feature-quantization brick: {error}") from error
        wanted = {"what": "lego streams", "version": _VERSION, "layout": self.layout}
        found = {key: message.get(key) for key in wanted} if isinstance(message, dict) else message
        if found != wanted:
            raise BrickError(f"streams to adopt: wanted {wanted}, found {found}")
        return self._enter(message["records"], None if buckets is None else chosen_buckets(buckets, of))

    def forget(self, owned: frozenset[int], of: int) -> int:
        """Drop what none of the buckets still owned needs; returns the number of streams."""
        return self._drop_others(chosen_buckets(owned, of))

    def _leave(self, chosen: np.ndarray, but: np.ndarray) -> dict:
        raise NotImplementedError

    def _enter(self, records: dict, chosen: np.ndarray | None) -> int:
        raise NotImplementedError

    def _drop_others(self, chosen: np.ndarray) -> int:
        raise NotImplementedError


def chosen_buckets(buckets: frozenset[int], of: int) -> np.ndarray:
    """bool [of]: which buckets are meant. `of` is a power of two."""
    if of < 1 or of & (of - 1) or not all(0 <= bucket < of for bucket in buckets):
        raise BrickError(f"buckets {sorted(buckets)} of {of}: the number of buckets must be a power of two and above each of them")
    chosen = np.zeros(of, np.bool_)
    chosen[list(buckets)] = True
    return chosen
