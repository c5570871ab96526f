"""Ending what a system left running, whoever started it, and removing what a killed one left behind."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

from lego_sdn.adapters.linux.journal import Journal, Thing, peek
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.agent import cleanup
from lego_sdn.agent.options import require_root
from lego_sdn.agent.server import JOURNAL as AGENT_JOURNAL
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError, RpcError

JOURNAL = "system.journal"
CONTROLLER, AGENT = "controller", "agent"
PATIENCE_S = 30.0  # for the agent to remove everything


def take_down(config: Config) -> list[str]:
    """End what a System left running with this run_dir, or what a killed one left behind; returns what was ended or removed, in words."""
    require_root()
    run_dir = Path(config.run_dir)
    words = []
    for holder in [process_of(thing) for thing in peek(run_dir / JOURNAL) if thing.kind == "holder"]:
        if holder.send(signal.SIGTERM):
            words.append(f"lego process {holder.pid}")
            if not holder.wait(time.monotonic() + 2 * PATIENCE_S):
                raise HostError(f"process {holder.pid}, which runs LEGO, does not end; see {run_dir}")
    if (run_dir / JOURNAL).exists():
        with Journal(run_dir / JOURNAL) as journal:
            words += [f"{thing.detail['role']} (process {thing.name})" for thing in journal.things if thing.kind == "process"]
            end_all(journal)
    return words + clear_agent(run_dir)


def end_all(journal: Journal) -> None:
    """End controller and agent, in this order and with time to clean up, and remove what is left of either: each step even if one before
    it fails. Then the last error."""
    things = journal.things
    with contextlib.ExitStack() as last_first:
        last_first.callback(cleanup.clear, journal, PATIENCE_S)  # Open vSwitch goes here, when no bridge needs it any more
        last_first.callback(clear_agent, journal.path.parent)
        marked = [thing for thing in things if thing.kind == "marked"]  # also what a full disk kept out of the journal
        last_first.callback(cleanup.remove, journal, marked, PATIENCE_S)
        for thing in things:
            if thing.kind == "holder":
                last_first.callback(journal.gone, thing)
        last_first.callback(end, journal, AGENT)
        last_first.callback(end, journal, CONTROLLER)
        for thing in things:
            if thing.kind == "switch":  # it may have died: without it no port can be removed
                with contextlib.suppress(HostError):
                    Ovs(thing.run).start()


def end(journal: Journal, role: str) -> None:
    ending = [thing for thing in journal.things if thing.kind == "process" and thing.detail["role"] == role]
    cleanup.remove(journal, ending, PATIENCE_S)


def clear_agent(run_dir: Path) -> list[str]:
    """Remove what a killed agent left; returns that in words. An agent that runs by itself is left alone."""
    path = run_dir / AGENT_JOURNAL
    things = peek(path)
    if not things:
        return []
    with contextlib.suppress(RpcError), Client(str(run_dir / "agent.sock"), timeout=1.0) as agent:
        agent.call("hello")
        return []
    with Journal(path) as journal:
        return [f"{thing.kind} {thing.name}" for thing in cleanup.clear(journal)]


def process_of(thing: Thing) -> Process:
    return Process(int(thing.name), thing.detail["start"])
