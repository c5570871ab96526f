"""The whole system for a measurement: switch, agent, controller, and a source of packets; afterwards nothing of it is left."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bricks.frames import Frames
from lego_sdn.adapters import netns
from lego_sdn.adapters.journal import Journal
from lego_sdn.adapters.ovs import Ovs
from lego_sdn.adapters.rpc import Client
from lego_sdn.adapters.wire import free_port
from lego_sdn.core.config import Capture, Config, Forward, Rest, Scaling, Switch
from lego_sdn.core.errors import HostError
from lego_sdn.leftovers import Belongings
from lego_sdn.system import System

INSIDE = "eth0"
READY_S = 60.0
LOOK_S = 0.02
SOURCES = 1024


class Running:
    """A context manager: inside it one instance runs, and scaling happens only when asked for.

    source  name of a namespace whose interface INSIDE leads into the switch
    """

    def __init__(self, folder: Path, model: Path, stamps: str = "kernel") -> None:
        self.source, self.scores = f"lgs{os.getpid() % 10**6}", folder / "scores"
        config = Config(
            model=str(model),
            run_dir=str(folder / "run"),
            switch=Switch(bridge=f"lgb{os.getpid() % 10**6}", openflow_port=free_port()),
            rest=Rest(port=free_port()),
            forward=Forward("drop"),
            capture=Capture(stamps=stamps),
            scaling=Scaling(max_instances=2, drain_s=2.0),
        )
        self.system = System(config, scores=self.scores)
        self.system.on_bridge = self._attach
        self._rest = ExitStack()

    def __enter__(self) -> Running:
        self.scores.mkdir(exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self.system)
            self.ask("pause")
            self.wait_for("one instance in force", lambda: self.settled(1))
            self._rest = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    def _attach(self, journal: Journal, run: str) -> None:
        """The source's namespace and port; the system's journal removes them."""
        belongings, ovs = Belongings(journal, run), Ovs(run)
        belongings.make("namespace", self.source, lambda: netns.create(self.source))
        belongings.make("veth", self.source, lambda: netns.add_veth(self.source, self.source, INSIDE))
        belongings.make("port", self.source, lambda: ovs.add_port(self.system.config.switch.bridge, self.source, tag=None))

    @property
    def agent(self) -> Client:
        return self.system.agent

    def get(self, path: str) -> dict[str, Any]:
        """What the controller shows. HostError if it does not answer."""
        return self._request(urllib.request.Request(f"{self.system.url}/{path}"))

    def ask(self, command: str, **body: Any) -> None:
        """Have the controller do something. HostError if it refuses."""
        headers = {"Content-Type": "application/json"}
        self._request(urllib.request.Request(f"{self.system.url}/{command}", json.dumps(body).encode(), headers))

    def settled(self, instances: int) -> bool:
        """Whether so many instances run, with their rules in force and nothing being changed."""
        shown = self.get("status")
        running = [one["phase"] for one in shown["instances"]] == ["running"] * instances
        return running and shown["change"] is None and shown["rules"]["in_force"] == shown["rules"]["version"]

    def wait_for(self, what: str, is_so: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until it is so; HostError if it does not become so."""
        deadline = time.monotonic() + READY_S
        while not is_so():
            self.system.check()
            if time.monotonic() > deadline:
                raise HostError(f"'{what}' did not come true within {READY_S:g} s; see the logs in {self.system.run_dir}")
            meanwhile()
            time.sleep(LOOK_S)

    def load(self, instance: int) -> dict[str, Any]:
        """Load report of the process at an instance's interface."""
        shown = next(one for one in self.agent.call("instances") if one["instance"] == instance)
        with Client(shown["processes"][0]["socket"]) as process:
            return process.call("load")

    def _request(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise HostError(f"the controller refused {request.selector}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise HostError(f"the controller does not answer on {request.full_url} ({error})") from error


def even_frames() -> Frames:
    """One UDP packet from each of SOURCES sources, so that every bucket has traffic."""
    from topologies.wire import Host, udp

    target = Host(bytes.fromhex("0200000000fe"), bytes([198, 18, 0, 1]))
    hosts = [Host(bytes.fromhex("02000000") + n.to_bytes(2, "big"), bytes([10, 0, n >> 8, n & 255])) for n in range(SOURCES)]
    sent = [udp(host, target, (5000, 53), bytes(60)) for host in hosts]
    sizes = np.array([len(frame) for frame in sent], np.uint32)
    offsets = np.cumsum(sizes, dtype=np.int64) - sizes
    return Frames(np.frombuffer(b"".join(sent), np.uint8), offsets, sizes, sizes, np.arange(len(sent)) * 1_000_000)
