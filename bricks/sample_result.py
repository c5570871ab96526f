"""Sample result quantization: from scores to alerts, the decision maker of an instance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from bricks.feature_mapping import wanted_width
from bricks.models.model_file import Model
from bricks.records.addresses import address_text, addresses
from bricks.records.brick import Batch, Brick
from bricks.records.packets import ARP, PACKET, seconds
from bricks.records.protocols import protocol_of
from lego_sdn.core.facts.errors import BrickError

ALERT = np.dtype([("packet", PACKET), ("score", "<f8")])
_ALERT = ("seq", "time", "source", "destination", "src_port", "dst_port", "proto", "score", "threshold")
KEPT = 10_000  # alerts
SOURCES = 4096  # with counts of their own


class SampleResult(Brick, kind="sample-result"):
    """Raise an alert for every score above the threshold, and keep count of them by source.

    In:    scores  float64 [n, 1], in stamp order
    Out:   the same rows and scores
    State: none that another replica needs; the latest alerts, bounded, and the sources with most of them, bounded
    Reads: packets, alerts, alerts_forgotten, sources_forgotten, out_of_order, not_a_number

    `threshold` stands in for the model's. A score that is no number raises no alert, and is counted.
    """

    in_order = True

    def __init__(self, serial: int, model: Model, threshold: float | None = None, kept: int = KEPT, sources: int = SOURCES) -> None:
        super().__init__(serial)
        self._kept, self._sources = kept, sources  # of alerts, and of sources with counts of their own
        self.threshold = float(model.threshold if threshold is None else threshold)
        if not self.threshold > 0:
            raise BrickError(f"{self.id}: the threshold is {threshold}; it must be a number above 0")
        self.counters = dict.fromkeys(
            ("packets", "alerts", "alerts_forgotten", "sources_forgotten", "out_of_order", "not_a_number"),
            0,
        )
        self._log = _Log(kept)
        self._by_source: dict[tuple[int, int, int], int] = {}
        self._latest = -1

    def process(self, batch: Batch) -> Batch:
        scores = wanted_width(self, batch, 1)[:, 0]
        if len(batch):
            self._check_order(batch.head["seq"])
        self.counters["packets"] += len(batch)
        self.counters["not_a_number"] += int(np.count_nonzero(np.isnan(scores)))
        raised = np.flatnonzero(scores > self.threshold)
        if len(raised):
            self._raise(batch.head[raised], scores[raised])
        return Batch(batch.head, scores.reshape(-1, 1))

    def alerts(self, since: int = 0) -> dict[str, Any]:
        """Alerts from number `since` on that are still kept, the number after the last, and the counts by source, most first.

        {"next": n, "alerts": [{"seq", "time" (epoch seconds), "source", "destination", "src_port", "dst_port", "proto", "score",
        "threshold"}], "by_source": {source: alerts}}. Port 65,536: none; proto "": not known. Of a tunnel or an ICMP error, ports may be
        those of a header within.
        """
        rows = self._log.since(since)
        return {"next": self._log.count, "alerts": self._told(rows), "by_source": self.by_source}

    def _told(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """ALERT rows as plain values."""
        texts, names = _Texts(), _Names()
        packets = rows["packet"]
        ends = [[texts[end] for end in addresses(packets, side).tolist()] for side in ("src", "dst")]
        columns = [
            *(
                packets["seq"].tolist(),
                seconds(packets["time_ns"]).tolist(),
                *ends,
                packets["src_port"].tolist(),
                packets["dst_port"].tolist(),
            ),
            [names[flags] for flags in packets["flags"].tolist()],
            rows["score"].tolist(),
        ]
        return [dict(zip(_ALERT, (*values, self.threshold), strict=True)) for values in zip(*columns, strict=True)]

    @property
    def by_source(self) -> dict[str, int]:
        """Alerts by source, the most first."""
        ranked = sorted(self._by_source.items(), key=lambda item: (-item[1], item[0]))
        return {address_text(*source): count for source, count in ranked}

    def _check_order(self, seq: np.ndarray) -> None:
        """Count rows whose stamp is below that of the row before them."""
        late = int(np.count_nonzero(seq[1:] < seq[:-1])) + (int(seq[0]) < self._latest)
        self.counters["out_of_order"] += late
        self._latest = max(self._latest, int(seq.max()))

    def _raise(self, head: np.ndarray, scores: np.ndarray) -> None:
        rows = np.empty(len(head), ALERT)
        rows["packet"], rows["score"] = head, scores
        self._keep(rows)

    def _keep(self, rows: np.ndarray) -> None:
        """Log alerts, and count them."""
        head = rows["packet"]
        self._log.add(rows)
        self.counters["alerts"] += len(rows)
        self.counters["alerts_forgotten"] = max(0, self._log.count - self._kept)
        for source, count in Counter(addresses(head).tolist()).items():
            self._by_source[source] = self._by_source.get(source, 0) + count
        if len(self._by_source) > self._sources:
            self._forget_sources()

    def _forget_sources(self) -> None:
        """Keep the half with most alerts: a flood of spoofed sources must not fill the memory, nor hide who raises many."""
        ranked = sorted(self._by_source.items(), key=lambda item: (-item[1], item[0]))
        self.counters["sources_forgotten"] += len(ranked) - self._sources // 2
        self._by_source = dict(ranked[: self._sources // 2])


class _Texts(dict[tuple[int, int, int], str]):
    """Addresses as text: many alerts have few sources."""

    def __missing__(self, source: tuple[int, int, int]) -> str:
        self[source] = address_text(*source)
        return self[source]


class _Names(dict[int, str]):
    """Names of protocols by the flags of a packet."""

    def __missing__(self, flags: int) -> str:
        protocol = protocol_of(flags)
        self[flags] = "ARP" if flags & ARP else protocol.name if protocol.number else ""
        return self[flags]


class _Log:
    """The last `size` rows of all that were added; `count` of them in all."""

    def __init__(self, size: int, kind: np.dtype = ALERT) -> None:
        self._rows = np.empty(size, kind)
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        kept = rows[-len(self._rows) :]
        at = (self.count + len(rows) - len(kept) + np.arange(len(kept))) % len(self._rows)
        self._rows[at] = kept
        self.count += len(rows)

    def since(self, number: int) -> np.ndarray:
        """Rows from this number on, oldest first."""
        first = max(number, self.count - len(self._rows), 0)
        return self._rows[np.arange(first, max(first, self.count)) % len(self._rows)]
