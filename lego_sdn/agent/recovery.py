"""Crash recovery: how an agent takes over the instances of a killed one, by the records in the journal.

Brick processes go on without an agent. The next agent ends only instances that are not whole: packets of the others do not wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from lego_sdn.adapters.linux import netns, processes
from lego_sdn.adapters.linux.journal import Journal, Thing
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.agent import cleanup
from lego_sdn.agent.instance import Instance
from lego_sdn.agent.layout import InstanceLayout
from lego_sdn.agent.processes import AgentContext
from lego_sdn.agent.record import KIND, wiring_of
from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.graph import Graph

LOG = logging.getLogger(__name__)
BRIDGES = ("bridge", "bridge-settings")


@dataclass(frozen=True)
class Survivor:
    """An instance all of whose parts are still there: what the journal says of it.

    to      how it is to be wired, where a change was under way: what that adds may be there or not
    quotas  that the kernel has, in cores by process
    """

    spec: InstanceSpec
    wiring: InstanceLayout
    ofport: int
    quotas: dict[str, float | None]
    deadlines: dict[str, float]
    things: list[Thing]
    processes: dict[str, Process]
    to: InstanceLayout | None = None


@dataclass(frozen=True)
class FoundAgent:
    """What an agent finds of the one before. run: its mark, under which this one goes on; None: nothing of it is taken over.

    things  that are taken over and belong to no instance: the bridge, the mark
    """

    run: str | None = None
    survivors: list[Survivor] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    @property
    def kept(self) -> list[Thing]:
        return self.things + [thing for one in self.survivors for thing in one.things]


def look_for(journal: Journal, bridge: str) -> FoundAgent:
    """The bridge of a killed agent, for traffic goes over it also where no instance runs, and the instances behind it that are whole."""
    runs = [thing.run for thing in journal.things if thing.kind in BRIDGES and thing.name == bridge]
    if not runs:
        return FoundAgent()
    run = runs[-1]
    ovs = Ovs(run)
    if not (ovs.is_running() and ovs.bridge_exists(bridge)):
        return FoundAgent()
    ports = set(ovs.marked("Port"))
    shared = [thing for thing in journal.things if thing.kind in (*BRIDGES, "marked") and thing.run == run]
    records = [thing for thing in journal.things if thing.kind == KIND and thing.run == run]
    return FoundAgent(run, [one for one in (_survivor(journal, record, ports) for record in records) if one is not None], shared)


def _survivor(journal: Journal, record: Thing, ports: set[str]) -> Survivor | None:
    """None if a part of it is gone that it cannot do without."""
    things = [thing for thing in journal.things if thing.detail.get("owner") == record.name and thing.run == record.run]
    try:
        detail = record.detail
        spec, wiring = InstanceSpec.parse(detail["spec"]), wiring_of(detail["wiring"])
        to = wiring_of(detail["to"]) if detail["to"] is not None else None
        rest = detail["ofport"], detail["quotas"], detail["deadlines"]
    except (LegoError, KeyError, TypeError) as error:
        LOG.warning("instance %s cannot be taken over: the journal does not say how it is made up: %s", record.name, error)
        return None
    running = {thing.detail["of"]: Process(int(thing.name), thing.detail["start"]) for thing in things if thing.kind == "process"}
    needed = set(wiring.processes if to is None else to.processes)
    lacking = [f"process {name}" for name in sorted(needed - set(running) | set(running) - set(wiring.processes))]
    lacking += [f"process {name}" for name, process in running.items() if name in needed and not process.is_alive()]
    lacking += [f"{thing.kind} {thing.name}" for thing in things if (thing.kind in THERE and not THERE[thing.kind](thing.name))]
    lacking += [f"port {thing.name}" for thing in things if thing.kind == "port" and thing.name not in ports]
    if lacking:
        LOG.warning("instance %s cannot be taken over: %s", record.name, ", ".join(lacking))
        return None
    return Survivor(spec, wiring, *rest, things, running, to)


THERE: dict[str, Callable[[str], bool]] = {"namespace": netns.exists, "veth": netns.link_exists}


def clear_rest(journal: Journal, found: FoundAgent) -> list[Thing]:
    """Remove everything in the journal that is not taken over, processes that it does not name among it; returns what that was."""
    kept = set(found.kept)
    rest = [thing for thing in journal.things if thing not in kept]
    if found.run is not None:
        go_on = {process for one in found.survivors for process in one.processes.values()}
        processes.end((process for process in processes.marked(found.run) if process not in go_on), cleanup.PATIENCE_S)
    cleanup.remove(journal, rest)
    return rest


def take_over(host: AgentContext, survivor: Survivor, graph: Graph) -> Instance:
    """The instance, as if this agent had started it; a change that was under way is finished or rolled back."""
    instance = Instance(host, survivor.spec, graph)
    instance.wiring, instance.ofport = survivor.wiring, survivor.ofport
    instance.belongings.things = list(survivor.things)
    for name, process in survivor.processes.items():
        instance.processes.take_over(name, process)
    instance.processes.quotas = dict(survivor.quotas)
    instance.processes.deadlines = dict(survivor.deadlines)
    if survivor.to is not None:
        instance.end_change(survivor.to)
    return instance
