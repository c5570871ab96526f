"""What each brick is given: real packets, as far as the bricks before it have brought them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bricks.files.frames import Frames, read_frames
from bricks.kernels.parse.ethernet import parse_frames
from bricks.models.model_file import Model
from bricks.nfs.registry import load
from bricks.offline.scoring import no_packet
from bricks.packet_batching import PacketBatching
from bricks.records.brick import Batch, Brick
from bricks.records.packets import PACKET

WHOLE = 256  # rows of a batch, where its size does not matter


class Replayed:
    """Frames of a capture as a source of packets. Only the walk over the kernel's ring is missing, against an interface."""

    def __init__(self, frames: Frames, count: int) -> None:
        self.frames, self.count, self.at = frames, count, 0

    def read(self, out: np.ndarray) -> int:
        """The next packets, parsed; their `seq` runs on."""
        rows, frames, part = min(len(out), self.count - self.at), self.frames, slice(self.at, self.at + len(out))
        if rows > 0:
            where = frames.offsets[part][:rows], frames.captured[part][:rows], frames.lengths[part][:rows], frames.times_ns[part][:rows]
            parse_frames(frames.buffer, *where, out[:rows])
            out["seq"][:rows] = np.arange(self.at, self.at + rows)
            self.at += rows
        return max(0, rows)

    def fileno(self) -> int:
        raise OSError("a capture cannot be waited for: all of it is there")

    def queue(self) -> float:
        return 1.0 - self.at / self.count

    def statistics(self) -> dict[str, int]:
        return {"received": self.at, "unstamped": 0}


@dataclass(frozen=True)
class ProfileInputs:
    """`before`: by node, the rows that it takes in, as one batch; `new`: makes a fresh brick of a node, for batches of a size."""

    frames: Frames
    packets: int
    before: dict[str, Batch]
    new: Callable[[str, int], Brick]

    def cut(self, kind: str, batch: int) -> list[Batch]:
        """What a kind takes in, in batches of a size."""
        rows = self.before[kind]
        starts = range(0, len(rows), batch)
        return [Batch(rows.head[a : a + batch], None if rows.values is None else rows.values[a : a + batch]) for a in starts]


def prepare(capture: Path, nf: str, model: Model, most: int) -> ProfileInputs:
    """Up to `most` packets of a capture, brought through the whole graph once. CaptureError if it has none, or holds no frames."""
    frames = read_frames([capture])
    count = min(most, len(frames))
    if not count:
        raise no_packet([capture], frames.warnings)
    function = load(nf)
    graph, models = function.graph, dict.fromkeys(function.models, model)

    def new(id: str, batch: int) -> Brick:
        if id in graph.sources:
            return PacketBatching(0, Replayed(frames, count), batch)
        return function.build(graph.node(id), 0, models, {})

    rows = np.zeros(count, PACKET)
    Replayed(frames, count).read(rows)
    found = ProfileInputs(frames, count, {}, new)
    found.before.update(dict.fromkeys(graph.sources, Batch(rows)))
    for id in graph.order:
        if graph.after(id):
            found.before.update(dict.fromkeys(graph.after(id), _through(new(id, WHOLE), found.cut(id, WHOLE))))
    return found


def _through(brick: Brick, batches: list[Batch]) -> Batch:
    """All that a brick gives for these batches."""
    given = [brick.process(batch).copy() for batch in batches]
    values = [batch.values for batch in given if batch.values is not None]
    return Batch(np.concatenate([batch.head for batch in given]), np.concatenate(values) if values else None)
