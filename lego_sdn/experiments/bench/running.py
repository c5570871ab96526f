"""The whole system for a measurement: switch, agent, controller, and a source of packets; afterwards nothing of it is left."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from bricks.files.frames import Frames
from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.linux.journal import Journal
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.core.facts.config import CaptureSettings, Config, ForwardSettings, RestSettings, ScalingSettings, SwitchSettings
from lego_sdn.system.session import Live

INSIDE = "eth0"
SOURCES = 1024
STILL_S = 3.0  # without a change of the switch's counters, which it writes every half second


class RunningSystem(Live):
    """A `Live` system behind whose switch one instance runs; scaling happens only when asked for.

    source  name of a namespace whose interface INSIDE leads into the switch
    """

    def __init__(self, folder: Path, model: Path, stamps: str = "kernel", standby: int = 0) -> None:
        self.source, self.scores = f"lgs{os.getpid() % 10**6}", folder / "scores"
        config = Config(
            model=str(model),
            run_dir=str(folder / "run"),
            switch=SwitchSettings(bridge=f"lgb{os.getpid() % 10**6}", openflow_port=free_port()),
            rest=RestSettings(port=free_port()),
            forward=ForwardSettings("drop"),
            capture=CaptureSettings(stamps=stamps),
            standby=standby,
            scaling=ScalingSettings(max_instances=2, drain_s=2.0),
        )
        super().__init__(config, self.scores)
        self.system.on_bridge = self._attach

    def _attach(self, journal: Journal, run: str) -> None:
        """The source's namespace and port; the system's journal removes them."""
        belongings, ovs = OwnedResources(journal, run), Ovs(run)
        belongings.make("namespace", self.source, lambda: netns.create(self.source))
        belongings.make("veth", self.source, lambda: netns.add_veth(self.source, self.source, INSIDE))
        belongings.make("port", self.source, lambda: ovs.add_port(self.system.config.switch.bridge, self.source, instance=False))

    def entered_at_rest(self) -> int:
        """Packets that the rules have seen, once their counters stand still: the switch writes them behind the packets."""
        seen, since = -1, time.monotonic()

        def stands() -> bool:
            nonlocal seen, since
            now = self.entered()
            if now != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > STILL_S

        self.wait_for("the switch's counters", stands)
        return seen

    def load(self, instance: int) -> dict[str, Any]:
        """Load report of the process at an instance's interface."""
        shown = next(one for one in self.agent.call("instances") if one["instance"] == instance)
        with Client(shown["processes"][0]["socket"]) as process:
            return process.call("load")


def even_frames() -> Frames:
    """One UDP packet from each of SOURCES sources, so that every bucket has traffic."""
    from topologies.frames import Endpoint, udp

    target = Endpoint(bytes.fromhex("0200000000fe"), bytes([198, 18, 0, 1]))
    hosts = [Endpoint(bytes.fromhex("02000000") + n.to_bytes(2, "big"), bytes([10, 0, n >> 8, n & 255])) for n in range(SOURCES)]
    sent = [udp(host, target, (5000, 53), bytes(60)) for host in hosts]
    sizes = np.array([len(frame) for frame in sent], np.uint32)
    offsets = np.cumsum(sizes, dtype=np.int64) - sizes
    return Frames(np.frombuffer(b"".join(sent), np.uint8), offsets, sizes, sizes, np.arange(len(sent)) * 1_000_000)
