"""Watching a capture: as fast as it can be read."""

from __future__ import annotations

from pathlib import Path

from bricks.feature_quantization import FeatureQuantization
from bricks.kernels.transport.worker_pick import BATCH
from bricks.learning.live import LiveTraining
from bricks.models.model_file import Model
from bricks.offline.parallel import score_in_parallel
from bricks.offline.scoring import CaptureSummary, read_blocks, score_here
from bricks.records.brick import Batch
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.watch.session import Session


def watch_capture(path: Path, session: Session) -> list[str]:
    """Learn from the first packets if there is no model, score the others, all in the order of the file. Returns warnings about it."""
    watch, summary = session.watch, CaptureSummary()
    model = watch.model
    with summary.told():
        if model is None:
            model = _learn(path, session)
            if model is None:
                return []
        session.detect(model)
        _score(path, model, session, summary)
    return summary.warnings


def _score(path: Path, model: Model, session: Session, summary: CaptureSummary) -> None:
    watch, sink, skip = session.watch, session.sink, session.learned
    assert sink is not None
    scored = score_here if watch.workers == 1 else score_in_parallel
    blocks = scored([path], watch.scoring(model, skip), summary)
    try:
        for rows, scores, explained in blocks:
            session.packets += len(rows)
            first = max(0, skip - int(rows["seq"][0]))
            sink.take(rows[first:], scores[first:], None if explained is None else explained[first:])
            watch.progress(len(rows))
            session.tick(int(rows["time_ns"][-1]))
            if session.told.ending:
                break
    finally:
        blocks.close()  # type: ignore[attr-defined]  # a generator: its workers end


def _learn(path: Path, session: Session) -> Model | None:
    """None: it was ended before there were enough packets."""
    watch, summary = session.watch, CaptureSummary()
    training, extractor = LiveTraining(watch.training), FeatureQuantization(0, watch.training.layout, watch.streams)
    for rows in read_blocks([path], summary):
        if training.taken == 0:
            session.learning()
        for first in range(0, len(rows), BATCH):
            batch = extractor.process(Batch(rows[first : first + BATCH]))
            assert batch.values is not None
            count = training.add(batch.head, batch.values)
            watch.progress(count)
            if training.done or session.told.ending:
                break
        session.packets = training.taken
        if session.told.ending:
            return None
        if training.done:
            break
    if not training.done:
        raise CaptureError(
            f"{path} has {training.taken:,} packets, learning takes the first {watch.training.vectors:,} of them, and none would be left: "
            f"give --model, or a --learn of {max(100, training.taken // 2)}, say"
        )
    session.learned, session.packets = training.taken, 0
    return session.keep(training)
