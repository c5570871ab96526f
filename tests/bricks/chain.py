"""Kitsune for tests: its packets come from a file, as many as the test allows; and instances of it in real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from bricks.files.scores import read_scores
from bricks.nfs import kitsune
from bricks.packet_batching import PacketBatching
from bricks.records.brick import Brick
from bricks.transport import rings
from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.core.facts.errors import BrickError, RpcError
from lego_sdn.core.facts.graph import Node
from tests.bricks.conftest import PACKETS

GRAPH = kitsune.NF.graph.order
CHAIN = [f"{kind}-0" for kind in GRAPH]


class Feed:
    """The test's end: a file of packets, and how many of them have arrived so far."""

    def __init__(self, folder: Path, packets: np.ndarray) -> None:
        self.path = folder / "packets.npy"
        np.save(self.path, packets)
        self.total = len(packets)
        self._arrived = np.memmap(f"{self.path}.arrived", np.int64, "w+", shape=(1,))
        os.mkfifo(f"{self.path}.bell")
        self._bell = os.open(f"{self.path}.bell", os.O_RDWR | os.O_NONBLOCK)

    def let(self, count: int) -> None:
        """Let `count` packets in all have arrived."""
        self._arrived[0] = count
        os.write(self._bell, b"\0")

    def close(self) -> None:
        os.close(self._bell)


class FedSource:
    """The process's end of a feed, in the place of a PacketRing."""

    def __init__(self, path: str) -> None:
        self._packets = np.load(path)
        self._arrived = np.memmap(f"{path}.arrived", np.int64, "r", shape=(1,))
        self._bell = os.open(f"{path}.bell", os.O_RDWR | os.O_NONBLOCK)
        self._at = 0

    def fileno(self) -> int:
        return self._bell

    def read(self, out: np.ndarray) -> int:
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 64)
        rows = min(len(out), int(self._arrived[0]) - self._at)
        out[:rows] = self._packets[self._at : self._at + rows]
        self._at += rows
        return rows

    def queue(self) -> float:
        return float(self._at < self._arrived[0])

    def statistics(self) -> dict[str, int]:
        names = ("kernel_drops", "shadows", "unstamped", "gaps", "repeats", "reordered")
        return {"received": self._at} | dict.fromkeys(names, 0)


class Broken(Brick):
    """A brick that cannot start."""

    def __init__(self) -> None:
        raise BrickError("unsupervised-network-0: the net is torn; mend it")


def new_brick(node: Node, serial: int, models: dict[str, Any], settings: dict[str, Any]) -> Brick:
    capture = settings["capture"]
    if node.kind == PacketBatching.kind:
        return PacketBatching(serial, FedSource(capture["feed"]), settings["batch"])
    if node.kind == "unsupervised-network" and capture.get("torn"):
        return Broken()
    return kitsune.NF.build(node, serial, models, settings)


NF = replace(kitsune.NF, name="chain", build=new_brick)


class Instance:
    """Brick processes of one instance, each forked from a warm process or started by itself; ended and cleaned up at exit."""

    def __init__(self, folder: Path, model: Path, feed: Feed | None = None, warm: Client | None = None, **more: Any) -> None:
        self.folder, self.model, self.feed, self.warm, self.more = folder, model, feed, warm, more
        self.name = f"lego-test-{os.getpid()}-{folder.name[-40:]}"
        self.started: dict[str, subprocess.Popen | int] = {}
        self.scores = folder / "scores"

    def ring(self, name: str) -> str:
        return f"{self.name}-{name}"

    def spec(self, name: str, bricks: list[str], rings_in: list[str] | None = None, rings_out: dict | None = None) -> dict[str, Any]:
        told = {"instance": 1, "process": name, "bricks": bricks, "nf": "tests.bricks.chain:NF", "model": str(self.model), "batch": 64}
        told |= {"socket": str(self.folder / f"{name}.sock"), "run_dir": str(self.folder), "capture": {}}
        told |= {"rings_in": [self.ring(ring) for ring in rings_in or []]}
        told |= {"rings_out": {brick: [self.ring(ring) for ring in names] for brick, names in (rings_out or {}).items()}}
        if self.feed:
            told["capture"] = {"feed": str(self.feed.path)}
        if bricks[-1].startswith("sample-result"):
            told["scores"] = str(self.scores)
        return told | self.more

    def start(self, name: str, bricks: list[str], rings_in: list[str] | None = None, rings_out: dict | None = None, **more: Any) -> None:
        spec = self.spec(name, bricks, rings_in, rings_out) | more
        if self.warm is not None:
            self.started[name] = self.warm.call("fork", spec)["pid"]
            return
        file = self.folder / f"{name}.spec"
        file.write_bytes(msgpack.packb(spec))
        self.started[name] = subprocess.Popen([sys.executable, "-m", "tests.bricks.chain", str(file)])

    def start_separate(self) -> None:
        """Every brick in a process of its own, joined by rings r0, r1, ..."""
        for at, brick in enumerate(CHAIN):
            out = {brick: [f"r{at}"]} if at < len(CHAIN) - 1 else {}
            self.start(f"p{at}", [brick], [f"r{at - 1}"] if at else [], out)

    def call(self, name: str, method: str, *params: Any) -> Any:
        """Call a process; waits until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with Client(str(self.folder / f"{name}.sock"), 10) as client:
                    return client.call(method, *params)
            except RpcError as error:
                if "cannot reach" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def drain(self, *names: str) -> dict[str, Any]:
        """Drain processes in this order (all, as they were started); the last one's report."""
        report = {}
        for name in names or self.started:
            report = self.call(name, "drain", 20_000)
        return report

    def brick(self, name: str, brick: str) -> dict[str, Any]:
        return next(one for one in self.call(name, "load")["bricks"] if one["id"] == brick)

    def close(self) -> None:
        for name, process in self.started.items():
            with contextlib.suppress(RpcError), Client(str(self.folder / f"{name}.sock"), 5) as client:
                client.call("stop")
            if isinstance(process, subprocess.Popen):
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for ring in rings.names(self.name):
            rings.remove(ring)


def check(instance: Instance, offline: np.ndarray, count: int = PACKETS) -> None:
    """The scores file has every packet once, in order, with the bits of the offline run."""
    found = read_scores(instance.scores)
    seqs = found["seq"].astype(np.int64)
    missing = np.setdiff1d(np.arange(count), seqs)
    assert (missing.tolist(), len(seqs)) == ([], count), instance.call(next(reversed(instance.started)), "load")
    assert np.flatnonzero(seqs != np.arange(count)).tolist() == [], "out of order"
    assert found["score"].tobytes() == offline[:count].tobytes()


if __name__ == "__main__":
    from bricks.service.run import run

    sys.exit(run(msgpack.unpackb(Path(sys.argv[1]).read_bytes())))
