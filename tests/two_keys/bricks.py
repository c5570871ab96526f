"""The bricks of the `two-keys` NF. Plain Python: they are a proof, not fast."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from bricks.records.brick import Batch, Brick
from bricks.records.keyed_rows import KeyedRows
from bricks.sample_result import SampleResult
from lego_sdn.core.facts.graph import Node
from lego_sdn.core.nf.split_key import SplitKey

FADED_NS = 1e9
WORDS = {"src_ip": "src_lo", "dst_ip": "dst_lo"}


class AddressLoad(Brick, kind="address-load"):
    """Turn each packet into the load of one of its addresses, faded over time.

    In:    PACKET [n], in stamp order, none of them a shadow
    Out:   the same rows, load  float64 [n, 1]
    State: (load, time) by address
    Reads: packets, shadows, streams_load, evicted_load
    """

    in_order = True

    def __init__(self, serial: int, field: str, key: SplitKey) -> None:
        super().__init__(serial)
        self.word, self.loads = WORDS[field], KeyedRows("load", (field,), key)
        self.state = self.loads
        self.counters = {"packets": 0, "shadows": 0} | self.loads.counters()

    def process(self, batch: Batch) -> Batch:
        values = [self._load(int(row[self.word]), int(row["time_ns"])) for row in batch.head]
        self.counters |= {"packets": self.counters["packets"] + len(batch)} | self.loads.counters()
        return Batch(batch.head, np.array(values, np.float64).reshape(-1, 1))

    def _load(self, address: int, now: int) -> float:
        load, then = self.loads.rows.get((address,), (0.0, now))
        found = load * 2.0 ** (-(now - then) / FADED_NS) + 1.0
        self.loads.put((address,), (found, now))
        return found


class Doubling(Brick, kind="doubling"):
    """Twice the values: something without state on a branch.

    In:    values  float64 [n, width]
    Out:   the same rows, 2 * values
    State: none
    Reads: packets
    """

    def __init__(self, serial: int) -> None:
        super().__init__(serial)
        self.counters = {"packets": 0}

    def process(self, batch: Batch) -> Batch:
        self.counters["packets"] += len(batch)
        return Batch(batch.head, None if batch.values is None else 2.0 * batch.values)


def build(node: Node, serial: int, settings: Mapping[str, Any]) -> Brick:
    if node.kind == AddressLoad.kind:
        return AddressLoad(serial, node.settings["field"], settings["key"])
    if node.kind == Doubling.kind:
        return Doubling(serial)
    return SampleResult(serial, SimpleNamespace(threshold=1e9), settings.get("threshold"))  # type: ignore[arg-type]
