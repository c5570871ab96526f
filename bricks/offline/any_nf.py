"""Offline work with any network function whose graph is a chain: its features, a classifier learned from labels, scores and alerts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bricks.files.npy import NpyWriter
from bricks.kernels.transport.worker_pick import BATCH
from bricks.learning.supervised import Examples, Supervised, train_classifier
from bricks.models.classifier import Classifier
from bricks.offline.scoring import CaptureSummary, Progress, note_evictions, read_blocks, silent
from bricks.records.brick import Batch, Brick
from bricks.records.packets import ADDRESS_IPV4, ADDRESS_IPV6, KIND_MASK
from lego_sdn.core.facts.errors import LegoError, ModelError
from lego_sdn.core.facts.text import shown, whole_number
from lego_sdn.core.nf.network_function import NetworkFunction
from lego_sdn.core.nf.split_key import split_key

LEARNED_MOST = 10_000_000  # packets whose features are held for training
OTHERS = "benign"  # the class of packets whose source has no label
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)


def keyed_brick(nf: NetworkFunction, layout: str, streams: int) -> Brick:
    """The brick that extracts the features of a layout. LegoError if the NF has not just one that can be built without a model."""
    if len(nf.graph.keyed) != 1 or nf.blank is None:
        why = "builds no bricks without a model" if len(nf.graph.keyed) == 1 else f"has {len(nf.graph.keyed)} keyed nodes"
        raise LegoError(f"NF {nf.name} {why}: its features cannot be had alone")
    extractor = nf.extractor(layout)
    settings = {"limits": {"streams": streams}, "key": split_key(extractor)}
    brick: Brick = nf.build(nf.graph.node(nf.graph.keyed[0]), 0, nf.blank(layout), settings)
    return brick


def features_of(brick: Brick, rows: np.ndarray) -> np.ndarray:
    """Features of PACKET rows, in stamp order: float64 [rows that are no shadows, width]."""
    found = [brick.process(Batch(rows[first : first + BATCH])).values for first in range(0, len(rows), BATCH)]
    return np.concatenate([one for one in found if one is not None])


# ---- labels ----
class LabelledSource(NamedTuple):
    """A class, and the source whose packets are of it: an IP address as (kind, high word, low word), or a MAC address; `since`: from
    which packet of the time line on."""

    name: str
    address: tuple[int, int, int] | int
    since: int = 0

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Which PACKET rows are of it: bool [rows]."""
        late = rows["seq"] >= np.uint64(self.since)
        if isinstance(self.address, int):
            return np.asarray(late & (rows["src_mac"] == np.uint64(self.address)))
        kind, high, low = self.address
        same = late & (rows["src_lo"] == np.uint64(low)) & (rows["src_hi"] == np.uint64(high))
        return np.asarray(same & (rows["flags"] & KIND_MASK == kind))


def parse_label(text: str) -> LabelledSource:
    """NAME=ADDRESS or NAME=ADDRESS@PACKET, where ADDRESS is an IP or a MAC address. ModelError if it is something else."""
    name, equals, rest = text.partition("=")
    address, at, packet = rest.partition("@")
    since = whole_number(packet) if at else 0
    if not equals or not name.strip() or since is None:
        raise ModelError(f"--label: wanted NAME=ADDRESS or NAME=ADDRESS@PACKET, as worm=192.168.2.110@20000, found {shown(text)}")
    if _MAC.fullmatch(address):
        return LabelledSource(name, int(address.replace(":", ""), 16), since)
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise ModelError(f"--label: {shown(address)} is neither an IP address nor a MAC address") from None
    number = int(found)
    return LabelledSource(name, (ADDRESS_IPV4 if found.version == 4 else ADDRESS_IPV6, number >> 64, number & (1 << 64) - 1), since)


def train_on_labels(
    paths: list[str | Path], brick: Brick, layout: str, labels: Iterable[LabelledSource], how: Supervised, progress: Progress = silent
) -> tuple[Classifier, CaptureSummary]:
    """Learn from the packets of captures (one time line): those of a labelled source are of its class, the others are OTHERS."""
    summary, features, names, labels = CaptureSummary(), list[np.ndarray](), list[np.ndarray](), list(labels)
    with summary.told():
        for rows in read_blocks(paths, summary):
            if summary.packets > LEARNED_MOST:
                raise ModelError(f"training takes {LEARNED_MOST:,} packets at most, and the captures have more; give fewer")
            features.append(features_of(brick, rows))
            names.append(_labels(rows, labels))
            progress(len(rows))
        given = np.concatenate(names)
        for label in labels:
            if label.name not in given:
                raise ModelError(f"--label: no packet of the captures has the source of the class {shown(label.name)}")
        model = train_classifier(Examples(np.concatenate(features), given, layout), how)
    note_evictions(brick.counters, summary)
    return model, summary


def _labels(rows: np.ndarray, labels: Iterable[LabelledSource]) -> np.ndarray:
    found = np.full(len(rows), OTHERS, dtype=object)
    for label in labels:
        found[label.of(rows)] = label.name
    return found


# ---- scores ----
def score_any(paths: list[str | Path], out: str | Path, bricks: list[Brick], skip: int = 0, progress: Progress = silent) -> CaptureSummary:
    """Write the score of every packet, float64 [packets], by the bricks of a chain; the last one raises the alerts.

    The first `skip` packets are taken into the state only: their score is 0.
    """
    summary, scores = CaptureSummary(), np.empty(0)
    with summary.told(), NpyWriter(out) as writer:
        for rows in read_blocks(paths, summary):
            scores = np.zeros(len(rows))
            for first in range(0, len(rows), BATCH):
                batch = bricks[0].process(Batch(rows[first : first + BATCH]))
                kept = batch.head["seq"] >= np.uint64(skip)
                if kept.any():
                    places = (batch.head["seq"][kept] - rows["seq"][0]).astype(np.int64)
                    scores[places] = _through(bricks[1:], Batch(batch.head[kept], _rows(batch)[kept]))
            writer.append(scores)
            progress(len(rows))
    note_evictions(bricks[0].counters, summary)
    last: Any = bricks[-1]
    summary.facts |= {
        "out": str(out),
        "scored": max(0, summary.packets - skip),
        "alerts": last.counters["alerts"],
        "not_a_number": last.counters["not_a_number"],
        "by_source": last.by_source,
        "by_class": last.by_class,
    }
    return summary


def _rows(batch: Batch) -> np.ndarray:
    assert batch.values is not None
    return batch.values


def _through(bricks: list[Brick], batch: Batch) -> np.ndarray:
    for brick in bricks:
        batch = brick.process(batch)
    return _rows(batch)[:, 0]


def chain_of(nf: NetworkFunction, models: Mapping[str, Any], layout: str, settings: Mapping[str, Any]) -> list[Brick]:
    """One brick of each node after the source, in order. LegoError if the graph is no chain."""
    graph = nf.graph
    if len(graph.sources) != 1 or any(len(graph.before(id)) > 1 for id in graph.order):
        raise LegoError(f"NF {nf.name} is no chain of bricks: {graph}; score it by 'lego run --config'")
    key = split_key(nf.extractor(layout))
    return [nf.build(graph.node(id), 0, models, {**settings, "key": key}) for id in graph.order if id not in graph.sources]


def score_features_by(nf: NetworkFunction, models: Mapping[str, Any]) -> Any:
    """features [n, width] -> scores float64 [n], by the bricks between the keyed one and the last."""
    middle = [id for id in nf.graph.order if nf.graph.before(id) and nf.graph.after(id) and id not in nf.graph.keyed]
    bricks = [nf.build(nf.graph.node(id), 0, models, {}) for id in middle]

    def score(heads: np.ndarray, features: np.ndarray) -> np.ndarray:
        return _through(bricks, Batch(heads, features))

    return score
