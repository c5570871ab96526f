"""Precompilation: runs every kernel of the packet path once on tiny input, so that no packet waits for a kernel to compile or load."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bricks.capture.packet_ring import PacketRing
from bricks.kernels.streams.index import SMALLEST, refill
from bricks.nfs.registry import load, own
from bricks.packet_batching import PacketBatching
from bricks.records.brick import Batch, Brick
from bricks.records.packets import ADDRESS_IPV4, DST_KIND_SHIFT, PACKET, SRC_KIND_SHIFT
from bricks.records.sequence import SequenceRange
from bricks.transport import rings
from lego_sdn.core.facts.errors import BrickError, LegoError
from lego_sdn.core.nf.network_function import NetworkFunction

LOG = logging.getLogger(__name__)
SMALLEST_STATE = 8  # streams


def warm_up_all() -> None:
    """Run the kernels of LEGO's own NFs, for every layout, and those of rings and interfaces."""
    for name in own():
        nf = load(name)
        for layout in nf.layouts if nf.blank is not None else ():
            try:
                warm_up(nf, nf.blank(layout))
            except BrickError as error:  # one layout that does not work must not keep the others from working
                LOG.warning("layout %s of %s is not warmed up: %s", layout, name, error)
    refill(np.zeros(SMALLEST, np.uint64), np.zeros(2 * SMALLEST, np.uint64))  # as a table's index grows
    _ring()
    _interface()


def warm_up(nf: NetworkFunction, models: Mapping[str, Any]) -> None:
    """Run the kernels of an NF's bricks, which are built with these models by node. BrickError if one cannot be built."""
    packets = np.zeros(3, PACKET)
    packets["flags"] = ADDRESS_IPV4 << SRC_KIND_SHIFT | ADDRESS_IPV4 << DST_KIND_SHIFT
    packets["src_lo"], packets["dst_lo"], packets["length"] = [1, 2, 1], [2, 1, 3], 60
    given = dict.fromkeys(nf.graph.sources, Batch(packets))
    for id in nf.graph.order:
        node = nf.graph.node(id)
        before = [given[source] for source in nf.graph.before(id)]
        if node.kind != PacketBatching.kind:
            given[id] = _run(nf.build(node, 0, models, {"limits": {"streams": SMALLEST_STATE}}), before[0] if before else given[id])


def _run(brick: Brick, batch: Batch) -> Batch:
    """What a brick makes of a batch; its state is exported, taken in and forgotten as in a move."""
    result = brick.process(batch)
    if brick.state is not None:
        brick.state.adopt(brick.state.export(frozenset({0}), 1))
        brick.state.forget(frozenset(), 1)
    return result


def _ring() -> None:
    name = f"lego-warm-{os.getpid()}"
    writer, reader = rings.RingWriter(name, 4, 2), rings.RingReader(name, 4, 2)
    try:
        for values in (None, np.zeros((2, 3))):
            writer.put(Batch(np.zeros(2, PACKET), values), SequenceRange(0, 2))
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
