"""Every kernel of the packet path, run once on next to nothing, so that none is compiled or loaded while packets wait."""

from __future__ import annotations

import contextlib
import logging
import os

import numpy as np

from bricks import rings
from bricks.base import Batch
from bricks.feature_mapping import FeatureMapping
from bricks.feature_quantization import LAYOUTS, FeatureQuantization
from bricks.kernels.index import SMALLEST, refill
from bricks.model import Model, hidden_units
from bricks.packet_ring import PacketRing
from bricks.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SRC_KIND_SHIFT
from bricks.sample_result import SampleResult
from bricks.ticket import Ticket
from bricks.unsupervised_network import UnsupervisedNetwork
from lego_sdn.core.errors import BrickError, LegoError

LOG = logging.getLogger(__name__)
SMALLEST_STATE = 8  # streams


def warm_up(model: Model | None = None) -> None:
    """Run the graph's kernels for the model's layout, or for every layout if there is none yet; and those of rings and interfaces."""
    for one in [model] if model else [blank_model(layout) for layout in LAYOUTS]:
        try:
            _graph(one)
        except BrickError as error:  # one layout that does not work must not keep the others from working
            LOG.warning("layout %s is not warmed up: %s", one.layout, error)
    if model is None:
        _ring()
        _interface()


def blank_model(layout: str) -> Model:
    """A model of this layout that has learned nothing."""
    width = LAYOUTS[layout]
    sizes = np.array([10] * (width // 10) + [width % 10] * (width % 10 > 0))
    visible = np.append(sizes, len(sizes))
    hidden, clusters = hidden_units(visible), len(sizes)
    return Model(
        layout=layout,
        order=np.arange(width),
        sizes=sizes,
        low=np.zeros(width),
        span=np.ones(width),
        weights=np.zeros(int((visible * hidden).sum())),
        hidden_bias=np.zeros(int(hidden.sum())),
        visible_bias=np.zeros(int(visible.sum())),
        error_low=np.zeros(clusters),
        error_span=np.ones(clusters),
        threshold=1.0,
    )


def _graph(model: Model) -> None:
    packets = np.zeros(3, PACKET)
    packets["flags"] = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
    packets["src_lo"], packets["dst_lo"], packets["length"] = [1, 2, 1], [2, 1, 3], 60
    extractor = FeatureQuantization(0, model.layout, SMALLEST_STATE)
    batch = extractor.process(Batch(packets))
    extractor.state.adopt(extractor.state.export(frozenset({0}), 1))
    extractor.state.forget(frozenset(), 1)
    refill(np.zeros(SMALLEST, np.uint64), np.zeros(2 * SMALLEST, np.uint64))  # as a table's index grows
    for brick in (FeatureMapping(0, model), UnsupervisedNetwork(0, model), SampleResult(0, model)):
        batch = brick.process(batch)


def _ring() -> None:
    name = f"lego-warm-{os.getpid()}"
    writer, reader = rings.RingWriter(name, 4, 2), rings.RingReader(name, 4, 2)
    try:
        for values in (None, np.zeros((2, 3))):
            writer.put(Batch(np.zeros(2, PACKET), values), Ticket(0, 2))
            reader.peek()
            reader.release(2)
        writer.wait_for_room()
        reader.sleep()
    finally:
        writer.close()
        reader.end()


def _interface() -> None:
    for stamps in ("kernel", "trailer"):
        with contextlib.suppress(LegoError), PacketRing("lo", 2, 4096, stamps=stamps) as ring:  # without root nothing is captured anyway
            ring.read(np.zeros(4, PACKET))
            ring.queue()
