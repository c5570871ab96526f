"""The cost model of an NF on this machine, from one capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bricks.models.model_file import Model
from bricks.nfs.registry import load
from lego_sdn.core.cost.model import Costs
from lego_sdn.core.nf.split_key import split_key
from lego_sdn.profile import carriage
from lego_sdn.profile.execution import brick_cost
from lego_sdn.profile.inputs import prepare
from lego_sdn.system.machine import machine

BATCHES = (1, 16, 64, 256)
Say = Callable[[str], None]  # hears what is being measured


@dataclass(frozen=True)
class ProfileOptions:
    """What is measured, and how thoroughly."""

    nf: str = "kitsune"
    batches: tuple[int, ...] = BATCHES
    runs: int = 5
    packets: int = 20_000


def profile(capture: Path, model: Model, wanted: ProfileOptions, say: Say = lambda _: None) -> tuple[Costs, list[str]]:
    """Execute every brick on the packets of a capture; returns warnings about it, too. BrickError for an unknown NF, CaptureError for a
    capture without frames."""
    graph = load(wanted.nf).graph
    say("packets")
    inputs = prepare(capture, wanted.nf, model, wanted.packets)
    found = []
    for kind in graph.order:
        say(kind)
        found.append(brick_cost(inputs, kind, sorted(wanted.batches), wanted.runs))
    say("carriage")
    about = machine() | {"packets": inputs.packets, "runs": wanted.runs, "capture": capture.name}
    ring, wire = carriage.over_ring(wanted.runs), carriage.over_wire(wanted.runs)
    bricks, process_bytes = tuple(cost for cost, _ in found), max(size for _, size in found)
    costs = Costs(wanted.nf, model.layout, bricks, ring, wire, _shadows(wanted.nf, model.layout), process_bytes, about, graph=graph)
    return costs, inputs.frames.warnings


def _shadows(nf: str, layout: str) -> int:
    """Copies of a packet in an exact split."""
    return split_key(load(nf).extractor(layout)).copies
