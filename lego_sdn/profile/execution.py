"""Executing one kind of brick: CPU of its batches at several sizes, its memory, and what it passes on."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bricks.records.brick import Batch, Brick
from bricks.runtime.stage import Stage
from bricks.transport.rings import SequenceRange
from lego_sdn.core.cost.measurements import Measured, fit
from lego_sdn.core.cost.model import BrickCost
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.profile.inputs import ProfileInputs

WARM = 256  # rows of a batch, before anything is measured
MOST_BATCHES = 2000  # of one run: thousands of small ones tell as much as all of them
PATIENCE_S = 600.0

Found = TypeVar("Found")


class _Needs(NamedTuple):
    """Memory of the process `without` the brick, and by what it grew with it; for each batch rows out of a row in, and bytes of a row."""

    without: int
    memory_bytes: int
    items: list[float]
    row_bytes: list[float]


def brick_cost(inputs: ProfileInputs, kind: str, batches: Sequence[int], runs: int) -> tuple[BrickCost, int]:
    """The cost of a kind, and the memory of a process without it. BrickError, with what was said, where it cannot be executed.

    CPU is that of one process, all sizes in turns, so that whatever else the machine does meets all of them. Memory is that of a process
    for each size and run: what one brick frees is not the next one's.
    """
    us: dict[int, list[float]] = _in_a_process(kind, lambda: _times(inputs, kind, batches, runs))
    needs = {size: [_in_a_process(kind, lambda size=size: _needs(inputs, kind, size)) for _ in range(runs)] for size in batches}
    measured = tuple(_measured(size, us[size], needs[size]) for size in batches)
    fixed, each = fit([(one.batch, one.us) for one in measured])
    cost = BrickCost(
        kind=kind,
        batch_us=fixed,
        packet_us=each,
        spread=float(np.median([one.spread for one in measured])),
        memory_bytes=max(one.memory_bytes for one in measured),
        items_out=measured[-1].items_out,
        bytes_out=measured[-1].bytes_out,
        keyed=inputs.new(kind, 1).state is not None,
        measured=measured,
    )
    return cost, max(need.without for size in batches for need in needs[size])


def _in_a_process(kind: str, work: Callable[[], Found]) -> Found:
    """What `work` gives in a child of this process."""
    fork = mp.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_tell, args=(there, work), daemon=True)
    child.start()
    there.close()
    try:
        said = here.recv() if here.poll(PATIENCE_S) else f"no answer within {PATIENCE_S:g} s"
    except EOFError:
        said = "its process ended without an answer"
    finally:
        here.close()
        child.terminate()
        child.join()
        child.close()
    if isinstance(said, str):
        raise BrickError(f"{kind} could not be executed on these packets: {said}")
    return said


def _tell(pipe: Connection, work: Callable[[], Any]) -> None:
    try:
        pipe.send(work())
    except Exception as error:  # whatever it is, the parent says it
        pipe.send(f"{type(error).__name__}: {error}")


def _times(inputs: ProfileInputs, kind: str, batches: Sequence[int], runs: int) -> dict[int, list[float]]:
    """CPU microseconds of a batch, by size and run."""
    work = {size: inputs.cut(kind, size)[:MOST_BATCHES] for size in batches}
    _warm_up(inputs, kind)
    taken: dict[int, list[float]] = {size: [] for size in batches}
    for _ in range(runs):
        for size in batches:
            taken[size].append(_run(inputs.new(kind, size), work[size]))
    return taken


def _needs(inputs: ProfileInputs, kind: str, size: int) -> _Needs:
    """What a fresh brick takes and passes on."""
    work = inputs.cut(kind, size)[:MOST_BATCHES]
    _warm_up(inputs, kind)
    without = private_bytes()
    brick = inputs.new(kind, size)
    _run(brick, work)
    memory_bytes, items, row_bytes = max(0, private_bytes() - without), [], []
    for batch in work:
        given = brick.process(batch)
        items.append(len(given) / len(batch))
        row_bytes.extend([_size(given) / len(given)] if len(given) else [])
    return _Needs(without, memory_bytes, items, row_bytes)


def _warm_up(inputs: ProfileInputs, kind: str) -> None:
    """Everything is loaded before it is measured."""
    _run(inputs.new(kind, WARM), inputs.cut(kind, WARM)[:4])


def _size(batch: Batch) -> int:
    """Bytes of its rows, as a ring carries them."""
    return batch.head.nbytes + (batch.values.nbytes if batch.values is not None else 0)


def _run(brick: Brick, work: list[Batch]) -> float:
    """CPU microseconds of a batch, everything included that a process does for it at this brick."""
    stage, first = Stage(brick, last=True), 0
    take: Any = getattr(brick, "take", None)
    began = time.thread_time()
    for batch in work:
        now, at = time.monotonic(), time.thread_time()
        ticket = SequenceRange(first, len(batch))
        first += len(batch)
        if take is None:
            stage.accept(batch, ticket, now)
        else:
            stage.emit(take(), ticket, at, now)
    return 1e6 * (time.thread_time() - began) / len(work)


def _measured(size: int, us: list[float], needs: list[_Needs]) -> Measured:
    of_runs = (*_middle(us), *_middle([need.memory_bytes for need in needs]))
    passed = (*_middle(needs[0].items), *_middle(needs[0].row_bytes))  # of every run the same
    return Measured(size, *of_runs, *passed)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the middle half as a share of it."""
    if not values:
        return 0.0, 0.0
    low, half, high = np.percentile(values, [25, 50, 75]).tolist()
    return half, (high - low) / half if half else 0.0


def private_bytes() -> int:
    """Memory that this process shares with nobody."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))
