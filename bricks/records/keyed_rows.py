"""A keyed state for small NFs: one row of numbers for each key, in a dictionary that can leave and enter by bucket.

For a brick in plain Python. An NF that must be fast keeps its state in the arrays of `bricks/kernels/streams`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import SplitKey, bits_of

Key = tuple[int, ...]
Row = tuple[float | int, ...]
MOST = 100_000  # rows; beyond, the oldest key goes


class KeyedRows:
    """A brick's `State` (bricks/records/brick.py): key -> row.

    name    of the statistic, in the counters
    fields  header fields of a key, as a SplitKey names them; a key is (low word of each of them, and more integers if need be)
    key     the split key by whose buckets rows leave and enter
    rows    what is known; a brick reads it, and writes it by `put`
    """

    def __init__(self, name: str, fields: Sequence[str], key: SplitKey, most: int = MOST) -> None:
        self.rows: dict[Key, Row] = {}
        self._name, self._most, self._evicted = name, most, 0
        self._sides = [[fields.index(field) for field in side] for side in key.sides if set(side) <= set(fields)]

    def put(self, key: Key, row: Row) -> None:
        """Set the row of a key. The oldest key is dropped, and counted, if there is no room."""
        self.rows[key] = row
        if len(self.rows) > self._most:
            del self.rows[next(iter(self.rows))]
            self._evicted += 1

    def export(self, buckets: frozenset[int], of: int, but: frozenset[int] = frozenset()) -> bytes:
        leaving = [(key, row) for key, row in self.rows.items() if self._ends(key, of) & buckets and not self._ends(key, of) & but]
        return json.dumps(leaving).encode()  # floats come back with the same bits

    def adopt(self, data: bytes, buckets: frozenset[int] | None = None, of: int = 1) -> int:
        came = [(key, row) for key, row in _unpacked(data) if buckets is None or self._ends(key, of) & buckets]
        new = [(key, row) for key, row in came if key not in self.rows]
        for key, row in new:
            self.put(key, row)
        return len(new)

    def forget(self, owned: frozenset[int], of: int) -> int:
        leaving = [key for key in self.rows if not self._ends(key, of) & owned]
        for key in leaving:
            del self.rows[key]
        return len(leaving)

    def counters(self) -> dict[str, int]:
        return {f"streams_{self._name}": len(self.rows), f"evicted_{self._name}": self._evicted}

    def _ends(self, key: Key, of: int) -> frozenset[int]:
        """The buckets (of `of`) in which a key lies: one for each side of the split key whose fields it has."""
        found = set()
        for places in self._sides:
            bucket = 0
            for place, bits in zip(places, bits_of(of, len(places)) if places else (), strict=True):
                bucket = bucket << bits | key[place] & (1 << bits) - 1
            found.add(bucket)
        return frozenset(found)


def _unpacked(data: bytes) -> list[tuple[Key, Row]]:
    """BrickError if the bytes are not what `export` gives."""
    try:
        found: Any = json.loads(data)
        return [(tuple(map(int, key)), tuple(row)) for key, row in found]
    except Exception as error:  # whatever is wrong with the bytes
        raise BrickError(f"these {len(data)} bytes are no export of keyed rows ({type(error).__name__}: {error})") from error
