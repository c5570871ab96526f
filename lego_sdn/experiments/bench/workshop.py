"""Brick processes for a measurement, and an interface that they take packets from; afterwards nothing of it is left."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from bricks.nfs.registry import load
from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.launcher import BrickProcess, Launcher
from lego_sdn.core.facts.config import CaptureSettings

INSIDE = "in0"
CHAIN = tuple(f"{kind}-0" for kind in load("kitsune").graph.order)
_USUAL = CaptureSettings()
RING = {"blocks": _USUAL.blocks, "block_bytes": _USUAL.block_bytes, "timeout_ms": _USUAL.timeout_ms}  # settings of a running system
STOP_S = 5.0
WARM_S = 180.0  # the first start on a machine compiles every kernel
_NUMBER = count()


class Workshop:
    """A context manager: inside it there is a warm process that has read the model."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model, self.run = folder / f"workshop{next(_NUMBER)}", model, secrets.token_hex(4)
        self._rest = ExitStack()

    def __enter__(self) -> Workshop:
        self.folder.mkdir(mode=0o700)
        with ExitStack() as stack:
            journal = stack.enter_context(Journal(self.folder / "journal"))
            self.belongings = OwnedResources(journal, self.run)
            stack.callback(self.belongings.remove)
            self.belongings.note("marked", self.run)  # whatever carries the mark of this run is ended
            self.launcher = Launcher(self.folder, self.run)
            stack.callback(self.launcher.stop)
            self.launcher.start()
            self.launcher.wait_ready(WARM_S)
            self.launcher.preload(str(self.model))
            self._rest = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    def network(self) -> str:
        """A namespace with the interface INSIDE; returns its name, which is that of the interface's other end, here, too."""
        name = f"lgb{os.getpid() % 10**6}x{next(_NUMBER)}"
        self.belongings.make("namespace", name, lambda: netns.create(name))
        self.belongings.make("veth", name, lambda: netns.add_veth(name, name, INSIDE))
        return name

    def start(self, bricks: tuple[str, ...] = CHAIN, **more: Any) -> BrickProcess:
        """A process with these bricks, chained; it answers when this returns. `more`: further keys of its spec."""
        name = f"1-{next(_NUMBER)}"
        told = {"instance": 1, "process": name, "bricks": list(bricks), "model": str(self.model), "run_dir": str(self.folder)}
        told |= {"socket": str(self.folder / f"{name}.sock"), "log": str(self.folder / f"{name}.log")}
        replica = self.launcher.fork(told | more)
        self.belongings.note("process", str(replica.process.pid), start=replica.process.start, of=name)
        self.launcher.launched(replica)
        return replica

    def start_live(self, network: str, scores: Path | None = None) -> BrickProcess:
        """A whole instance in one process that takes packets from a network, with the settings of a running system."""
        where = {"interface": INSIDE, "namespace": str(netns.path(network)), "stamps": "kernel", "capture": RING}
        return self.start(**where, scores=str(scores) if scores else None)

    def ring(self) -> str:
        """A name for a ring."""
        return self.belongings.note("ring", f"lego-bench-{os.getpid()}-{next(_NUMBER)}").name

    def stop(self, replica: BrickProcess) -> None:
        """End a process that was started here: first by asking."""
        call(replica, "stop")
        replica.process.wait(time.monotonic() + STOP_S)
        self.belongings.remove(self.belongings.of(replica.name))


def call(replica: BrickProcess, method: str, *params: Any, timeout: float = 30.0) -> Any:
    """Ask a brick process."""
    with replica.client(timeout) as client:
        return client.call(method, *params)


def cores() -> tuple[set[int], set[int]]:
    """A core for the instance and one for what feeds it; the same if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}
