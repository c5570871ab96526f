"""The record of an instance in the journal, for an agent that comes after a killed one."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Protocol

from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.layout import InstanceLayout, Ring
from lego_sdn.agent.processes import BrickProcesses
from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.graph import Graph

KIND = "instance"  # of the journal's note; without one no later agent takes an instance over


class Recorded(Protocol):
    """What the journal keeps of an instance."""

    spec: InstanceSpec
    wiring: InstanceLayout
    ofport: int | None
    processes: BrickProcesses
    belongings: OwnedResources


def save_record(instance: Recorded, wiring: InstanceLayout | None = None, to: InstanceLayout | None = None) -> None:
    """Keep in the journal how an instance is made up, if that has changed.

    wiring, to  of a change that is begun: all that there may be meanwhile, and what an agent that finds it half done makes of it
    """
    running = instance.processes
    record = {"spec": asdict(instance.spec), "wiring": _plain(wiring or instance.wiring), "ofport": instance.ofport}
    record |= {"deadlines": dict(running.deadlines), "to": None if to is None else _plain(to)}
    record["quotas"] = dict(running.quotas)
    name, things = str(instance.spec.instance), instance.belongings.things
    there = next((thing for thing in things if thing.kind == KIND), None)
    if there is None or any(there.detail.get(key) != value for key, value in record.items()):
        instance.belongings.note(KIND, name, **record)
        if there is not None:
            things.remove(there)  # the first that is equal: not the new one


def _plain(wiring: InstanceLayout) -> dict[str, Any]:
    arranged = {item.name: getattr(wiring.arrangement, item.name) for item in fields(Arrangement)}
    arranged |= {"graph": wiring.graph.to_dict(), "processes": [asdict(one) for one in wiring.arrangement.processes]}
    plain = {item.name: getattr(wiring, item.name) for item in fields(wiring)}
    return plain | {"arrangement": arranged, "rings": [asdict(ring) for ring in wiring.rings]}


def wiring_of(data: dict[str, Any]) -> InstanceLayout:
    """As `_plain` and the journal made it plain. GraphError, KeyError or TypeError if it is none."""
    arranged = data["arrangement"]
    placed = tuple(Placed(**one | {"bricks": tuple(one["bricks"])}) for one in arranged["processes"])
    changed = {"graph": Graph.parse(arranged["graph"]), "processes": placed, "died": tuple(arranged["died"])}
    made = {name: tuple(bricks) for name, bricks in data["processes"].items()}
    rings = tuple(Ring(**ring) for ring in data["rings"])
    return InstanceLayout(**data | {"arrangement": Arrangement(**arranged | changed), "processes": made, "rings": rings})
