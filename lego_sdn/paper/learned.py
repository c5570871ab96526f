"""A cost model from a running instance whose bricks each have a process: what its busiest process shows predicts the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lego_sdn.core.cost import BrickCost, Carriage, Costs, Work
from lego_sdn.core.errors import HostError
from lego_sdn.core.load import BrickLoad

Shown = Mapping[str, Any]  # what the controller answers to `GET bricks`


def learn_costs(before: Shown, after: Shown, kinds: tuple[str, ...], names: tuple[str, str]) -> Costs:
    """Costs of the bricks of one instance between two moments; `names`: of the NF and of its layout. HostError if one did nothing.

    A process uses more than its brick: it looks for batches, rings doorbells, answers calls. For a brick that waits most of the time that
    is mostly waking up, which it does not do at its limit; so the busiest process says what a batch costs on top, for all of them.
    """
    then = {row["id"]: row for row in before["bricks"]}
    work: dict[str, list[Work]] = {kind: [] for kind in kinds}
    for row in after["bricks"]:
        found = Work.between(_load(then[row["id"]]), _load(row)) if row["id"] in then else None
        if found is not None:
            work[row["kind"]].append(found)
    idle = [kind for kind, found in work.items() if not found]
    if idle:
        raise HostError(f"{idle[0]} took in no packet: nothing can be learned of its cost; send more, or watch for longer")
    bricks = tuple(BrickCost(kind, 0.0, sum(w.cpu_us for w in found) / sum(w.packets for w in found)) for kind, found in work.items())
    return Costs(*names, bricks, ring=Carriage(batch_us=_on_top_us(before, after)))


def batch_of(before: Shown, after: Shown, kind: str) -> float:
    """Packets of a batch of this kind of brick, on average between two moments."""
    packets, batches = (
        sum(row[key] for row in after["bricks"] if row["kind"] == kind) - sum(row[key] for row in before["bricks"] if row["kind"] == kind)
        for key in ("packets_in", "batches")
    )
    return max(1.0, packets / max(batches, 1))


def _on_top_us(before: Shown, after: Shown) -> float:
    """CPU of the busiest process beyond its bricks', for each batch."""
    earlier = {process["process"]: process for process in before["processes"]}
    pairs = [(earlier[process["process"]], process) for process in after["processes"] if process["process"] in earlier]
    used = [(now["cpu_s"] - then["cpu_s"], now["process"]) for then, now in pairs]
    cpu_s, busiest = max(used)
    rows = [(old, new) for old in before["bricks"] for new in after["bricks"] if old["id"] == new["id"] and new["process"] == busiest]
    bricks_s = sum(new["cpu_s"] - old["cpu_s"] for old, new in rows)
    batches = max((new["batches"] - old["batches"] for old, new in rows), default=0)
    return 1e6 * max(0.0, cpu_s - bricks_s) / max(batches, 1)


def _load(row: Shown) -> BrickLoad:
    return BrickLoad.parse(row, "GET bricks")
