"""A whole system under traffic, for tests that interfere with it: commands, kills, and what was noted."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lego_sdn.adapters.rpc.rest_client import RequestRefused
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.config import Config
from lego_sdn.experiments.accounting import RunSummary
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.run import Experiment, Prepared, prepare
from topologies.traffic import traffic, write_pcap

BENIGN, ATTACK = 9000, 3000
_NUMBER = itertools.count()


def traffic_in(folder: Path, pps: float, rounds: int = 1) -> tuple[OfferedTraffic, Prepared]:
    """Benign packets and an attack, and what the unsplit run makes of them."""
    made = traffic(devices=10, benign_packets=BENIGN, attack_packets=ATTACK, seed=11)
    paths = folder / "benign.pcap", folder / "attack.pcap"
    for path, rows in zip(paths, (slice(0, BENIGN), slice(BENIGN, None)), strict=True):
        write_pcap(path, made.frames[rows], made.times_us[rows])
    load = OfferedTraffic(paths, pps, rounds)
    return load, prepare(load, None, folder)


def configuration(folder: Path, model: Path, **more: Any) -> Config:
    """With names and ports of its own; load makes no instance come or go while a test lasts."""
    base = {
        "run_dir": str(folder / "run"),
        "model": str(model),
        "switch": {"bridge": f"lv{os.getpid() % 10**6}{next(_NUMBER)}", "openflow_port": free_port("127.0.0.1")},
        "rest": {"port": free_port("127.0.0.1")},
        "capture": {"stamps": "trailer"},
        "scaling": {"period_s": 0.25, "cooldown_s": 0.01, "max_instances": 4, "up_after": 1000, "down_after": 1000},
    }
    return Config.parse(base | more)


def fields_of(events: Iterable[Mapping[str, Any]], type: str) -> list[dict[str, Any]]:
    """Of the rows of `GET events`, those of this type: their fields and instance."""
    return [{**event["fields"], "instance": event["instance"]} for event in events if event["type"] == type]


@dataclass
class Live:
    """An experiment, what is sent through it, and why commands were refused."""

    experiment: Experiment
    load: OfferedTraffic
    prepared: Prepared
    errors: list[str] = field(default_factory=list)

    def post(self, name: str, **body: Any) -> bool:
        """Whether a command is accepted."""
        try:
            self.experiment.ask(name, **body)
        except RequestRefused as error:
            self.errors.append(str(error))
            return False
        return True

    def notes(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.experiment.actions if event["kind"] == kind]

    def fields(self, type: str) -> list[dict[str, Any]]:
        """Of every event of this type, with its instance."""
        return fields_of(self.experiment.actions, type)

    def kill(self, role: str) -> None:
        """kill -9 of the agent or the controller."""
        self.experiment.system.kill(role)

    def kill_instance(self, instance: int) -> None:
        """kill -9 of its processes."""
        for one in self.experiment.system.agent.call("instances"):
            for process in one["processes"] if one["instance"] == instance else ():
                os.kill(process["pid"], signal.SIGKILL)

    def finish(self) -> RunSummary:
        return self.experiment.finish(self.prepared.unsplit, self.prepared.packets)
