"""State of Doshi's feature extractor: devices and their destinations, bounded, that leave and enter by bucket of the source address."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from bricks.kernels.doshi import features as kernel
from bricks.kernels.doshi.features import DEVICE, DEVICES, PAIR, PAIRS, UNKEPT, DeviceTables
from bricks.kernels.streams.state import chosen_buckets
from bricks.kernels.streams.table import new_secret
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.split_key import SplitKey

BLOCK = 4096  # packets between two looks at the room that is left
PAIRS_EACH = 4  # destinations for each device that there is room for
_WHAT = {"what": "lego devices", "version": 1}


class DeviceState:
    """What the packets so far have left of at most `streams` devices; beyond, those that sent last longest ago are forgotten."""

    def __init__(self, streams: int, width: int, key: SplitKey) -> None:
        self.width, self._mine = width, ("src_ip",) in key.sides
        pairs = streams * PAIRS_EACH if width > kernel.STATELESS else 1
        self._evicted = 0
        self.tables = DeviceTables(
            np.zeros(streams, DEVICE),
            np.zeros(_slots(streams), np.int32),
            np.zeros(pairs, PAIR),
            np.zeros(_slots(pairs), np.int32),
            np.zeros(3, np.int64),
            new_secret().view(np.uint64).copy(),
        )

    @property
    def devices(self) -> np.ndarray:
        return self.tables.devices[: self.tables.book[DEVICES]]

    @property
    def pairs(self) -> np.ndarray:
        return self.tables.pairs[: self.tables.book[PAIRS]]

    def advance(self, packets: np.ndarray, out: np.ndarray) -> int:
        """Take PACKET rows in; features of those that are no shadows go to `out`, float64 [n, width]. Returns how many."""
        packets = np.require(packets, requirements=["C", "W"])  # another kind of array would be compiled for anew
        room, written = len(self.tables.devices), 0
        block = max(1, min(BLOCK, room // 4))
        for begin in range(0, len(packets), block):
            rows = packets[begin : begin + block]
            if len(self.devices) + len(rows) > room:
                self._evict(room - max(block, room // 4))
            if len(self.pairs) + len(rows) > len(self.tables.pairs) and self.width > kernel.STATELESS:
                self._set(self.devices, self._current_pairs())
            written += kernel.advance(rows, self.tables, self.width, out[written:])
        return written

    def counters(self) -> dict[str, int]:
        book = self.tables.book
        held = {"streams_devices": int(book[DEVICES]), "streams_destinations": int(book[PAIRS])}
        return held | {"evicted_devices": self._evicted, "evicted_destinations": int(book[UNKEPT])}

    def export(self, buckets: frozenset[int], of: int, but: frozenset[int] = frozenset()) -> bytes:
        """The devices in `buckets` (of `of` in all) and not in `but`, with their destinations in the window."""
        chosen = chosen_buckets(buckets, of) & ~chosen_buckets(but, of)
        devices, pairs = self._in(self.devices, chosen), self._in(self._current_pairs(), chosen)
        return msgpack.packb({**_WHAT, "width": self.width, "devices": devices.tobytes(), "pairs": pairs.tobytes()})

    def adopt(self, data: bytes, buckets: frozenset[int] | None = None, of: int = 1) -> int:
        """Take exported devices in; returns how many. One that is held already is left as it is. BrickError if it is no export."""
        devices, pairs = self._unpacked(data)
        if buckets is not None:
            chosen = chosen_buckets(buckets, of)
            devices, pairs = self._in(devices, chosen), self._in(pairs, chosen)
        held = set(_keys(self.devices, "kind", 0))
        new = np.array([key not in held for key in _keys(devices, "kind", 0)], np.bool_)
        mine = np.array([key not in held for key in _keys(pairs, "kinds", 2)], np.bool_)
        if not new.any():
            return 0
        self._set(np.concatenate([self.devices, devices[new]]), np.concatenate([self._current_pairs(), pairs[mine]]))
        return int(new.sum())

    def forget(self, owned: frozenset[int], of: int) -> int:
        """Drop the devices that are in none of the buckets still owned; returns how many."""
        before = len(self.devices)
        if self._mine:
            chosen = chosen_buckets(owned, of)
            self._set(self._in(self.devices, chosen), self._in(self._current_pairs(), chosen))
        return before - len(self.devices)

    def _in(self, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Those of DEVICE or PAIR rows whose source address is in a chosen bucket; none if the split is by other fields."""
        return rows[chosen[rows["lo"] & np.uint64(len(chosen) - 1)] & self._mine]

    def _current_pairs(self) -> np.ndarray:
        """A copy of the pairs that are of their devices' window: the others have no effect any more."""
        current = np.zeros(len(self.pairs), np.bool_)
        kernel.mark_current(self.tables, current)
        return self.pairs[current]

    def _evict(self, most: int) -> None:
        """Keep the devices that sent last."""
        devices = self.devices
        kept = np.sort(np.argsort(-devices["last"], kind="stable")[:most])
        self._evicted += len(devices) - len(kept)
        self._set(devices[kept], self.pairs.copy())
        self._set(self.devices, self._current_pairs())

    def _set(self, devices: np.ndarray, pairs: np.ndarray) -> None:
        """These rows and no others; if there are too many, the first go, and are counted."""
        tables, book = self.tables, self.tables.book
        self._evicted += max(0, len(devices) - len(tables.devices))
        book[UNKEPT] += max(0, len(pairs) - len(tables.pairs))
        for rows, table, index, place in (
            (devices, tables.devices, tables.device_index, DEVICES),
            (pairs, tables.pairs, tables.pair_index, PAIRS),
        ):
            kept = rows[-len(table) :].copy()
            table[: len(kept)] = kept
            index[:] = 0
            book[place] = len(kept)
        kernel.enter_all(tables)

    def _unpacked(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        try:
            found: Any = msgpack.unpackb(data)
            if {name: found[name] for name in (*_WHAT, "width")} != {**_WHAT, "width": self.width}:
                raise ValueError("it is of another kind, version or layout")
            devices, pairs = np.frombuffer(found["devices"], DEVICE), np.frombuffer(found["pairs"], PAIR)
        except Exception as error:  # whatever is wrong with the bytes
            raise BrickError(f"these {len(data)} bytes are no export of devices ({type(error).__name__}: {error})") from error
        return devices, pairs


def _slots(rows: int) -> int:
    """Of an index: three quarters full at most."""
    return 1 << (rows * 4 // 3 + 1).bit_length()


def _keys(rows: np.ndarray, kind: str, shift: int) -> list[tuple[int, int, int]]:
    """The devices of DEVICE or PAIR rows."""
    return list(zip(rows["hi"].tolist(), rows["lo"].tolist(), (rows[kind] >> np.uint64(shift)).tolist(), strict=True))
