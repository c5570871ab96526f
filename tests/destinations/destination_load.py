"""The keyed brick of the `destinations` NF. Plain Python: it is a proof, not fast."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np

from bricks.records.brick import Batch, Brick
from bricks.records.packets import SHADOW
from bricks.sample_result import SampleResult
from lego_sdn.core.facts.graph import Node
from lego_sdn.core.nf.split_key import SplitKey

FADED_NS = 1e9
Key = tuple[int, ...]  # low words of the destination and, of a channel, of the source
PLACES = {"dst_ip": 0, "src_ip": 1}


class Loads:
    """State: key -> (load, time of the last packet). A key has an end in the bucket of every field of the split key that it holds."""

    def __init__(self, key: SplitKey) -> None:
        self.places = tuple(PLACES[field] for fields in key.sides for field in fields)
        self.loads: dict[Key, tuple[float, int]] = {}

    def add(self, key: Key, time_ns: int) -> float:
        self.loads[key] = self.now(key, time_ns) + 1.0, time_ns
        return self.loads[key][0]

    def now(self, key: Key, time_ns: int) -> float:
        load, then = self.loads.get(key, (0.0, time_ns))
        return load * 2.0 ** (-(time_ns - then) / FADED_NS)

    def _in(self, key: Key, buckets: frozenset[int], of: int) -> bool:
        return any(key[place] % of in buckets for place in self.places if place < len(key))

    def export(self, buckets: frozenset[int], of: int, but: frozenset[int] = frozenset()) -> bytes:
        left = {key: value for key, value in self.loads.items() if self._in(key, buckets, of) and not self._in(key, but, of)}
        return msgpack.packb([(list(key), struct.pack("<dq", *value)) for key, value in left.items()])

    def adopt(self, data: bytes, buckets: frozenset[int] | None = None, of: int = 1) -> int:
        came = {tuple(key): struct.unpack("<dq", value) for key, value in msgpack.unpackb(data)}
        new = {k: v for k, v in came.items() if k not in self.loads and (buckets is None or self._in(k, buckets, of))}
        self.loads |= new
        return len(new)

    def forget(self, owned: frozenset[int], of: int) -> int:
        gone = [key for key in self.loads if not self._in(key, owned, of)]
        for key in gone:
            del self.loads[key]
        return len(gone)

    def counters(self) -> dict[str, int]:
        return {"streams_load": len(self.loads), "evicted_load": 0}


class DestinationLoad(Brick, kind="destination-load"):
    """Turn each packet into the load of its destination; a shadow only adds to it.

    In:    PACKET [n], in stamp order
    Out:   the rows that are no shadows, score  float64 [m, 1]
    State: loads by destination; leaves and enters by bucket of the split key
    Reads: packets, shadows, streams_*, evicted_*
    """

    in_order, width = True, 1

    def __init__(self, serial: int, layout: str, streams: int, key: SplitKey) -> None:
        super().__init__(serial)
        self.channels, self.state = layout == "answered", Loads(key)
        self.counters = {"packets": 0, "shadows": 0} | self.state.counters()

    def process(self, batch: Batch) -> Batch:
        own = batch.head["flags"] & SHADOW == 0
        values = np.array([self._load(row) for row in batch.head]).reshape(-1, 1)[own]
        self.counters |= self.state.counters()
        self.counters["packets"] += len(own)
        self.counters["shadows"] += int(np.count_nonzero(~own))
        return Batch(batch.head[own], values)

    def _load(self, row: np.void) -> float:
        source, target, now = int(row["src_lo"]), int(row["dst_lo"]), int(row["time_ns"])
        load = self.state.add((target,), now)
        if self.channels:
            load += self.state.add((target, source), now) / (1.0 + self.state.now((source, target), now))
        return load


def build(node: Node, serial: int, settings: Mapping[str, Any]) -> Brick:
    if node.kind == DestinationLoad.kind:
        key = settings["key"]
        return DestinationLoad(serial, "answered" if key.shadows else "received", 0, key)
    return SampleResult(serial, SimpleNamespace(threshold=1e9), settings.get("threshold"))  # type: ignore[arg-type]
