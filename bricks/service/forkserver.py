"""The fork server: it compiles the kernels and loads the models once; brick processes are forked from it and start at once.

It ends with the agent that started it. Its children do not: they go on to take packets and write scores until the next agent ends them,
since a killed agent must not stop the watching of traffic. That agent finds them in its journal and by a mark in their environment.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from bricks.nfs.registry import load
from bricks.runtime.assembly import Models
from bricks.runtime.precompile import warm_up, warm_up_all
from bricks.runtime.spec import Spec
from bricks.service import loop  # noqa: F401 - no child has to import it, which took half of its start
from bricks.service.run import run
from lego_sdn.adapters.linux import owned
from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.core.facts.errors import BrickError, LegoError
from lego_sdn.core.facts.messages import WARM

LOG = logging.getLogger(__name__)
KEPT = 256  # exits
LOOK_S = 1.0
PR_SET_PDEATHSIG = 1


class Warm:
    """Answers `preload`, `fork` and `exits`."""

    def __init__(self, address: str) -> None:
        self.models = Models()
        self.exited: list[dict[str, int | None]] = []
        self.ending = False
        self.server = Server(address, {"preload": self.preload, "fork": self.fork, "exits": self.exits}, takes=WARM)

    def preload(self, model: str, nf: str = "kitsune") -> bool:
        """Read the model of an NF, and make its first batch quick."""
        function = load(nf)
        warm_up(function, self.models.of(function, function.model_paths(model, {})))
        return True

    def fork(self, spec: Mapping[str, Any]) -> dict[str, int]:
        """Start a brick process; it reports what is wrong with it in its log and its exit status."""
        told = Spec.parse(spec)
        threads = os.listdir("/proc/self/task")
        if len(threads) != 1:
            raise BrickError(f"the warm process has {len(threads)} threads and cannot fork safely; set OPENBLAS_NUM_THREADS=1")
        self._load(told)
        pid = os.fork()
        if pid == 0:
            self._be(spec, told)
        return {"pid": pid}

    def exits(self) -> list[dict[str, int | None]]:
        """How the latest brick processes ended: status, or the signal that ended them."""
        self.reap()
        return self.exited

    def reap(self) -> None:
        """Take note of children that have ended."""
        while True:
            try:
                pid, how = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(how)
            self.exited.append({"pid": pid, "status": code if code >= 0 else None, "signal": -code if code < 0 else None})
            del self.exited[:-KEPT]

    def _load(self, told: Spec) -> None:
        """Hold the models and the split key for this child and the next; if one is wrong, the child says so."""
        try:
            nf = load(told.nf)
            self.models.of(nf, nf.model_paths(told.model, told.models))
            _ = told.key
        except LegoError as error:
            LOG.warning("%s", error)

    def _be(self, spec: Mapping[str, Any], told: Spec) -> NoReturn:
        """The child's whole life."""
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self.server.forget()
            log = owned.append_to(told.log_path)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            status = run(spec, self.models)
        except SystemExit:
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)


def serve_forks(address: str) -> int:
    """Be the warm process until SIGTERM, or until the process that started it dies."""
    _die_with_parent()
    try:
        warm_up_all()
        warm = Warm(address)
    except LegoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    gc.collect()
    gc.freeze()  # what is here stays: children share its pages longer

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    with warm.server:
        while True:
            warm.server.serve_once(LOOK_S)
            warm.reap()


def _die_with_parent() -> None:
    """SIGTERM when the parent dies; the kernel forgets this for forked children, which go on."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)
