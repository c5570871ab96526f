"""The main loop of a brick process: work, answer calls between batches, sleep when there is neither."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bricks.runtime.assembly import Models
from bricks.runtime.pipeline import Pipeline
from bricks.runtime.spec import Spec
from bricks.service.calls import Northbound
from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.messages import BRICK

LOG = logging.getLogger(__name__)
CALLS_S = 0.003  # between two looks for calls while there is work
QUIET_S = 0.05  # without a batch: nothing comes any more
LEAVE_S = 2.0  # to drain after SIGTERM
LONGEST_SLEEP_S = 1.0
CLONE_NEWNET = 0x40000000


class Loop:
    """Runs a process until it is told to stop; every call, signal and doorbell wakes it."""

    def __init__(self, process: Pipeline, waker: socket.socket, clock: Clock = time.monotonic) -> None:
        self.process, self._waker, self._clock = process, waker, clock
        self.ending = self.leaving = False
        northbound = Northbound(process, self.drain, self._stop, clock)
        self.server = Server(process.spec.socket, northbound.handlers(), takes=BRICK)
        self._served = 0.0

    def run(self) -> None:
        """Until `stop` is called, or SIGTERM came and what waits is done."""
        while not self.ending:
            now = self._clock()
            called = now - self._served >= CALLS_S
            if not self.process.work(now):
                called = self._sleep(LONGEST_SLEEP_S) or called
            if called:
                self._served = now
                self.server.serve_once(0)
            if self.leaving:
                self.leaving = False  # a second SIGTERM cuts it short
                self.drain(LEAVE_S)
                self.ending = True

    def drain(self, seconds: float) -> None:
        """Work until nothing waits and nothing has come for a while, `seconds` have passed or SIGTERM came. Answers no calls meanwhile."""
        self.process.wait_no_more()
        last = self._clock()
        deadline = last + seconds
        while (now := self._clock()) < deadline and not self.leaving:
            if self.process.work(now):
                last = now
            elif self.process.idle and now - last >= QUIET_S:
                return
            else:
                self._sleep(min(QUIET_S, deadline - now), calls=False)

    def _stop(self) -> None:
        self.ending = True

    def _sleep(self, seconds: float, calls: bool = True) -> bool:
        """Until a batch, room, a signal or (if `calls`) a call comes, at most `seconds`; True: there is a call."""
        try:
            waited = self.process.before_sleep()
            if waited is None:
                return False
            poll = select.poll()
            for door in (*waited, self._waker, *([self.server] if calls else [])):
                poll.register(door, select.POLLIN)
            patience = self.process.patience_s(self._clock())
            rung = poll.poll(1e3 * (seconds if patience is None else min(seconds, patience + 0.001)))
        finally:
            self.process.after_sleep()
        doors = {door for door, _ in rung}
        if self._waker.fileno() in doors:
            self._waker.recv(64)
        return self.server.fileno() in doors


def serve(data: Mapping[str, Any], models: Models) -> None:
    """Be one brick process from beginning to end. LegoError if it cannot be what the spec says."""
    spec = Spec.parse(data)
    join(spec)
    with _signals() as (waker, told):
        process = Pipeline(spec, models)
        loop = Loop(process, waker)
        told.append(loop)
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not look at it again
        try:
            with loop.server:
                loop.run()
        finally:
            process.close()


def join(spec: Spec) -> None:
    """Enter the groups and the network namespace of the spec, groups first: everything after that is under the quota."""
    for folder in spec.cgroup:
        try:
            (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))
        except OSError as error:
            raise HostError(f"process {spec.process} cannot join the cgroup {folder}: {error.strerror}") from error
    if spec.namespace:
        try:
            with open(spec.namespace) as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        except OSError as error:
            raise HostError(f"process {spec.process} cannot enter the namespace {spec.namespace}: {error.strerror}") from error


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, list[Loop]]]:
    """SIGTERM makes the loop leave, and wakes it; SIGINT is for whoever started the instance."""
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    theirs.setblocking(False)
    told: list[Loop] = []

    def leave(*_: object) -> None:
        if not told:
            raise SystemExit(0)  # still starting: there is nothing to drain
        told[0].leaving = True

    before = {number: signal.signal(number, how) for number, how in ((signal.SIGTERM, leave), (signal.SIGINT, signal.SIG_IGN))}
    old = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield mine, told
    finally:
        signal.set_wakeup_fd(old)
        for number, how in before.items():
            signal.signal(number, how)
        mine.close()
        theirs.close()
