"""Scores of captures into a file, by one process or by several."""

from __future__ import annotations

from pathlib import Path

from bricks.files.npy import NpyWriter
from bricks.offline.parallel import score_in_parallel
from bricks.offline.scoring import CaptureSummary, Progress, Scoring, score_here, silent
from bricks.records.brick import Batch
from bricks.sample_result import SampleResult


def score_captures(paths: list[str | Path], out: str | Path, scoring: Scoring, progress: Progress = silent) -> CaptureSummary:
    """Write the score of every packet: float64 [packets]; raise alerts as the live system would."""
    summary, result = CaptureSummary(), SampleResult(0, scoring.model, scoring.threshold)
    scored = score_here if scoring.workers == 1 else score_in_parallel
    with summary.told(), NpyWriter(out) as writer:
        for block in scored(paths, scoring, summary):
            writer.append(block.scores)
            result.process(Batch(block.rows, block.scores.reshape(-1, 1)))
            progress(len(block.rows))
    summary.facts |= {
        "out": str(out),
        "layout": scoring.model.layout,
        "scored": max(0, summary.packets - scoring.skip),
        "threshold": result.threshold,
        "alerts": result.counters["alerts"],
        "by_source": result.by_source,
        "workers": scoring.workers,
    }
    return summary
