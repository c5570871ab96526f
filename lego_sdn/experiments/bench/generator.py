"""Packets into an interface from a process of its own, on a core of its own."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bricks.files.frames import Frames
from lego_sdn.adapters.linux.pace import Pace
from lego_sdn.adapters.linux.replay_sender import Sender, Sent, Stamps
from lego_sdn.core.facts.errors import HostError, LegoError

MOST = 400_000  # frames of one portion: what is sent longer is sent in portions
PATIENCE_S = 60.0  # for the process to tell what it sent, on a machine that gives it little CPU time


@dataclass(frozen=True)
class GeneratorPlan:
    """What is sent: frames again and again, `rate` packets/s (None: as fast as it goes), for `seconds`, from these cores; less if the
    generator is stopped before.

    namespace   that has the interface; None: this one
    stamp_from  sequence number of the first frame's stamp, which has the time of sending; None: no stamps
    """

    frames: Frames
    interface: str
    rate: float | None
    seconds: float
    cores: frozenset[int]
    namespace: str | None = None
    stamp_from: int | None = None


class Generator:
    """A context manager: inside it the plan is carried out; afterwards the process is gone."""

    def __init__(self, plan: GeneratorPlan) -> None:
        self.plan = plan
        self._patience_s = plan.seconds * 2 + PATIENCE_S
        fork = mp.get_context("fork")
        self._pipe, there = fork.Pipe(duplex=False)
        self._stop = fork.RawValue("b", 0)
        self._process = fork.Process(target=_work, args=(plan, there, self._stop), daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    @property
    def running(self) -> bool:
        return not self._pipe.poll()

    def stop(self) -> Sent:
        """Send no further frame; what was sent until now. HostError if it failed."""
        self._stop.value = 1
        self._patience_s = PATIENCE_S
        return self.result()

    def result(self) -> Sent:
        """What was sent; waits for the end. HostError if it failed."""
        try:
            told = self._pipe.recv() if self._pipe.poll(self._patience_s) else "it does not come to an end"
        except EOFError:
            told = "it ended without a word; look for a traceback above"
        if isinstance(told, str):
            raise HostError(f"the generator of packets: {told}")
        return told


def _work(plan: GeneratorPlan, pipe: Connection, stop: Any) -> None:
    """The process: sends, and tells what it sent, or one sentence."""
    os.sched_setaffinity(0, plan.cores)
    told: Any
    try:
        with Sender(plan.interface, plan.namespace) as sender:
            told = _send(sender, plan, stop)
    except LegoError as error:
        told = str(error)
    pipe.send(told)


def _send(sender: Sender, plan: GeneratorPlan, stop: Any) -> Sent:
    """`stop`: a byte that this process shares with the other one, which sets it."""

    def look(_done: int) -> None:
        if stop.value:
            sender.stop()

    left = max(1, round(plan.rate * plan.seconds)) if plan.rate else None
    frames = plan.frames.tiled(min(left, MOST) if left else len(plan.frames))
    total, pace, deadline = Sent(), Pace(pps=plan.rate), time.monotonic() + plan.seconds
    while (left is None or left > 0) and not sender.stopped:
        count = len(frames) if left is None else min(left, len(frames))
        stamps = None if plan.stamp_from is None else Stamps(plan.stamp_from + total.sent, clock=True)
        total += sender.send(Frames(frames.buffer, *(column[:count] for column in frames[1:6])), pace, stamps, look)
        if left is not None:
            left -= count
        if left is None and time.monotonic() >= deadline:
            break
    return total
