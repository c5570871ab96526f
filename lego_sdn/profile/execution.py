"""Executing one kind of brick: CPU of its batches at several sizes, its memory, and what it passes on."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bricks.base import Batch, Brick
from bricks.rings import Ticket
from bricks.stage import Stage
from lego_sdn.core.cost import BrickCost
from lego_sdn.core.errors import BrickError
from lego_sdn.core.measured import Measured, fit
from lego_sdn.profile.inputs import Inputs

MOST_BATCHES = 2000  # of one run: thousands of small ones tell as much as all of them
PATIENCE_S = 600.0


def brick_cost(inputs: Inputs, kind: str, batches: Sequence[int], runs: int) -> tuple[BrickCost, int]:
    """The cost of a kind, measured in a process of its own, and that process's memory. BrickError, with what it said, if that fails."""
    fork = mp.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_tell, args=(there, inputs, kind, tuple(batches), runs), daemon=True)
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


def _tell(pipe: Connection, inputs: Inputs, kind: str, batches: tuple[int, ...], runs: int) -> None:
    try:
        pipe.send(_measure(inputs, kind, batches, runs))
    except Exception as error:  # whatever it is, the parent says it
        pipe.send(f"{type(error).__name__}: {error}")


def _measure(inputs: Inputs, kind: str, batches: tuple[int, ...], runs: int) -> tuple[BrickCost, int]:
    """All sizes in turns, so that whatever else the machine does meets all of them."""
    work = {size: inputs.cut(kind, size)[:MOST_BATCHES] for size in batches}
    _run(inputs.new(kind, batches[-1]), work[batches[-1]][:4])  # everything is loaded before the clock runs
    empty, taken = private_bytes(), {size: list[float]() for size in batches}
    grown: dict[int, int] = {}
    for _ in range(runs):
        for size in batches:
            brick = inputs.new(kind, size)
            taken[size].append(_run(brick, work[size]))
            grown[size] = max(0, private_bytes() - empty)
            del brick
    measured = tuple(_measured(size, taken[size], grown[size]) for size in batches)
    rows, size = _passed(inputs.new(kind, batches[-1]), work[batches[-1]])
    fixed, each = fit([(one.batch, one.us) for one in measured])
    cost = BrickCost(
        kind=kind,
        batch_us=fixed,
        packet_us=each,
        spread=float(np.median([one.spread for one in measured])),
        memory_bytes=max(one.memory_bytes for one in measured),
        items_out=rows / sum(len(batch) for batch in work[batches[-1]]),
        bytes_out=size / max(1, rows),
        keyed=inputs.new(kind, 1).state is not None,
        measured=measured,
    )
    return cost, empty


def _passed(brick: Brick, work: list[Batch]) -> tuple[int, int]:
    """Rows and bytes that a brick passes on, as a ring would carry them."""
    given = [brick.process(batch) for batch in work]
    size = sum(batch.head.nbytes + (batch.values.nbytes if batch.values is not None else 0) for batch in given)
    return sum(len(batch) for batch in given), size


def _run(brick: Brick, work: list[Batch]) -> float:
    """CPU microseconds of a batch, everything included that a process does for it at this brick."""
    stage, first = Stage(brick, last=True), 0
    take: Any = getattr(brick, "take", None)
    began = time.thread_time()
    for batch in work:
        now, at = time.monotonic(), time.thread_time()
        ticket = Ticket(first, len(batch))
        first += len(batch)
        if take is None:
            stage.accept(batch, ticket, now)
        else:
            stage.emit(take(), ticket, at, now)
    return 1e6 * (time.thread_time() - began) / len(work)


def _measured(size: int, us: list[float], memory_bytes: int) -> Measured:
    low, middle, high = np.percentile(us, [25, 50, 75]).tolist()
    return Measured(size, middle, (high - low) / middle, memory_bytes)


def private_bytes() -> int:
    """Memory that this process shares with nobody."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))
