"""What bricks cost (LEGO paper, section III-C): learned by executing them on real packets beforehand, kept true while they run.

`lego profile` measures batches of several sizes: in between, costs lie on the lines between them, and all in all near `batch_us +
n * packet_us`, which stands where nothing was measured. Running bricks report what they use and pass on, and the level follows them
exponentially weighted, while the shape, which only a measurement at several batch sizes can tell, stays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from lego_sdn.core.cost.measurements import CostError, Measured, built, listed, require, require_numbers
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.counters import BrickCounters
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.graph import EMPTY, Graph, GraphError
from lego_sdn.core.facts.keys import check_keys
from lego_sdn.core.facts.reports import BrickLoad

HALF_LIFE = 2000  # packets after which what was known before counts half
MEMORY_SHARE = 0.1  # of what is known of memory, that the reports of one round make
VERSION = 1  # of the plain form
BATCH = 256  # packets: the limit of a batch, where nobody says another


@dataclass(frozen=True, slots=True)
class BrickCost:
    """Cost of the brick of one node of the graph.

    kind          id of the node
    batch_us, packet_us  CPU for a batch, however few packets it has, and for each of its packets, roughly (`fit`)
    spread        of the runs, as a share of the cost
    memory_bytes  of one replica, besides that of its process
    items_out     rows that it passes on for each that it takes in, shadows aside, as it runs; bytes_out: bytes of such a row on its way
    keyed         has the state of streams: it takes shadows in, and passes none on
    scale         what it costs while running, against the profile
    measured      what the profile rests on, by batch size
    """

    kind: str
    batch_us: float
    packet_us: float
    spread: float = 0.0
    memory_bytes: int = 0
    items_out: float = 1.0
    bytes_out: float = 0.0
    keyed: bool = False
    scale: float = 1.0
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        require_numbers(self, "batch_us", "packet_us", "spread", "memory_bytes", "items_out", "bytes_out", "scale")
        require(self, self.scale > 0, "scale", "above 0")
        require(self, self.batch_us + self.packet_us > 0, "packet_us", "above 0 where batch_us is 0")
        sizes = [one.batch for one in self.measured]
        require(self, sizes == sorted(set(sizes)), "measured", "each batch size once, in order")

    def us(self, batch: float) -> float:
        """CPU microseconds of a batch of so many packets, at the present level."""
        return self.scale * self._profiled_us(batch)

    def _profiled_us(self, batch: float) -> float:
        if not self.measured:
            return self.batch_us + self.packet_us * batch
        first, last = self.measured[0], self.measured[-1]
        if batch >= last.batch:
            return last.us * batch / last.batch
        for low, high in pairwise(self.measured):
            if low.batch <= batch < high.batch:
                return low.us + (high.us - low.us) * (batch - low.batch) / (high.batch - low.batch)
        return first.us

    def per_packet_us(self, batch: float) -> float:
        return self.us(batch) / batch

    @property
    def profiled(self) -> BrickCost:
        """As estimated before anything ran: to be shown beside the present level."""
        return replace(self, scale=1.0, items_out=self.measured[-1].items_out if self.measured else self.items_out)

    def slowed(self, us: float) -> BrickCost:
        """With so much more for each packet."""
        return replace(self, packet_us=self.packet_us + us, measured=tuple(replace(m, us=m.us + m.batch * us) for m in self.measured))

    def updated(self, seen: Work) -> BrickCost:
        """The level moved towards what was seen; a hundred packets move it little, many thousands all the way."""
        expected = self._profiled_us(seen.batch) * seen.batches
        ratio = seen.cpu_us / expected
        if not 0 < ratio < math.inf:
            return self  # too short for the clock: nothing is known
        share = 1.0 - 0.5 ** (seen.packets / HALF_LIFE)
        scale = self.scale + (ratio - self.scale) * share
        spread = self.spread + (abs(ratio / scale - 1.0) - self.spread) * share
        own = seen.packets - seen.shadows
        items_out = self.items_out + (seen.items / own - self.items_out) * share if own > 0 else self.items_out
        return replace(self, scale=scale, spread=spread, items_out=items_out)


@dataclass(frozen=True, slots=True)
class Work:
    """What a brick did in some time: packets taken in, shadows among them, in so many batches, for so much CPU; rows passed on."""

    packets: int
    batches: int
    cpu_us: float
    items: int
    shadows: int = 0

    @property
    def batch(self) -> float:
        """Packets of a batch, on average."""
        return self.packets / self.batches

    @classmethod
    def between(cls, before: BrickLoad, after: BrickLoad) -> Work | None:
        """From two reports of the same brick; None where it did nothing, or was started anew in between."""
        packets, batches = after.packets_in - before.packets_in, after.batches - before.batches
        cpu_us, items = 1e6 * (after.cpu_s - before.cpu_s), after.packets_out - before.packets_out
        shadows = (BrickCounters.of(after.counters).shadows or 0) - (BrickCounters.of(before.counters).shadows or 0)
        return cls(packets, batches, cpu_us, items, shadows) if packets > 0 and batches > 0 and cpu_us > 0 else None


@dataclass(frozen=True, slots=True)
class Carriage:
    """CPU of handing a batch on to another process, of both sides together."""

    batch_us: float = 0.0
    byte_us: float = 0.0

    def __post_init__(self) -> None:
        require_numbers(self, "batch_us", "byte_us")

    def us(self, size: float) -> float:
        """Of a batch of so many bytes."""
        return self.batch_us + self.byte_us * size


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost model of an NF: what the brick of each node costs, in the order of the graph.

    graph       of the NF; if not said, one brick after the other
    ring, wire  carriage of a batch between processes of a host, and between hosts
    shadows     copies of a packet that the split wants (`SplitPlan.shadows`; none where it need not be exact)
    process_bytes  memory of a process by itself, which bricks in one process share
    memory_scale   what processes and bricks take while running, against the profile
    machine     where it was measured, in words and figures, for whoever reads it
    batch       its limit where the bricks run (`instance.batch`): batches are full where a brick is at its limit
    """

    nf: str
    layout: str
    bricks: tuple[BrickCost, ...]
    ring: Carriage = field(default_factory=Carriage)
    wire: Carriage = field(default_factory=Carriage)
    shadows: int = 0
    process_bytes: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)
    batch: int = BATCH
    memory_scale: float = 1.0
    graph: Graph = EMPTY

    def __post_init__(self) -> None:
        kinds = [brick.kind for brick in self.bricks]
        if not kinds or len(set(kinds)) != len(kinds):
            raise CostError(f"costs of {self.nf}: wanted bricks, one of each kind, found {kinds}")
        if not self.graph.nodes:
            object.__setattr__(self, "graph", _line(self.nf, kinds))
        if set(self.graph.order) != set(kinds):
            raise CostError(f"costs of {self.nf}: wanted those of the nodes {', '.join(self.graph.order)}, found {', '.join(kinds)}")
        object.__setattr__(self, "bricks", tuple(sorted(self.bricks, key=lambda brick: self.graph.order.index(brick.kind))))
        require_numbers(self, "shadows", "process_bytes", "batch", "memory_scale")
        require(self, self.batch >= 1, "batch", "at least 1 packet")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(brick.kind for brick in self.bricks)

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that were measured."""
        return tuple(sorted({one.batch for brick in self.bricks for one in brick.measured}))

    @property
    def profiled(self) -> Costs:
        """As estimated before anything ran."""
        return replace(self, bricks=tuple(brick.profiled for brick in self.bricks), memory_scale=1.0)

    def of(self, kind: str) -> BrickCost:
        for brick in self.bricks:
            if brick.kind == kind:
                return brick
        raise CostError(f"costs of {self.nf}: no brick of kind {kind!r}; there are {', '.join(self.kinds)}")

    def deliveries(self, parts: int) -> float:
        """Packets and shadows for each packet where the traffic is split into so many parts, destinations spread evenly."""
        return 1 + self.shadows * (1 - 1 / parts)

    def deliveries_to(self, share: float) -> float:
        """The same for an instance with this share of the traffic."""
        return 1 + self.shadows * (1 - share)

    def visits(self, deliveries: float = 1.0) -> dict[str, float]:
        """Rows that each kind takes in for every packet that is the instance's own; `deliveries`: packets and shadows for each of these."""
        rows: dict[str, float] = {}
        out: dict[str, float] = {}
        shadowed: set[str] = set()  # nodes that pass shadows on
        for brick in self.bricks:
            before = self.graph.before(brick.kind)
            left = max((out[node] for node in before), default=deliveries)  # what was divided is joined by stamp
            shadows = not before or any(node in shadowed for node in before)
            rows[brick.kind] = left
            out[brick.kind] = (left / deliveries if shadows and brick.keyed else left) * brick.items_out
            if shadows and not brick.keyed:
                shadowed.add(brick.kind)
        return rows

    def updated(self, seen: Mapping[str, Iterable[Work]]) -> Costs:
        """Every kind's level moved towards what its replicas did; kinds that are not known are not the model's business."""
        bricks = []
        for brick in self.bricks:
            for work in seen.get(brick.kind, ()):
                brick = brick.updated(work)
            bricks.append(brick)
        return replace(self, bricks=tuple(bricks))

    def memory_bytes(self, kinds: Iterable[str]) -> float:
        """Of a process with these bricks, as processes are now."""
        return self.memory_scale * (self.process_bytes + sum(self.of(kind).memory_bytes for kind in kinds))

    def weighed(self, processes: Iterable[tuple[Collection[str], float]]) -> Costs:
        """Memory moved towards what processes use: (kinds in it, bytes) of each. Nothing is learned where none was profiled."""
        there = [(kinds, size) for kinds, size in processes if kinds and size > 0 and set(kinds) <= set(self.kinds)]
        expected = sum(self.profiled.memory_bytes(kinds) for kinds, _ in there)
        if not self.process_bytes or not expected:
            return self
        ratio = sum(size for _, size in there) / expected
        return replace(self, memory_scale=self.memory_scale + (ratio - self.memory_scale) * MEMORY_SHARE)

    def slowed(self, slow_us: Mapping[str, float]) -> Costs:
        """With CPU that is burnt per packet on top, for experiments with the paper's costs. CostError for an unknown kind."""
        for kind in slow_us:
            self.of(kind)
        return replace(self, bricks=tuple(brick.slowed(slow_us.get(brick.kind, 0.0)) for brick in self.bricks))

    def configured(self, config: Config) -> Costs:
        """As they are where this configuration runs: its batches, and no shadows where the split need not be exact."""
        return replace(self, batch=config.instance.batch, shadows=self.shadows if config.exact else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `parse` of it gives the same costs."""
        plain = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        plain |= {"bricks": [dataclasses.asdict(brick) for brick in self.bricks], "graph": self.graph.to_dict()}
        plain |= {"ring": dataclasses.asdict(self.ring), "wire": dataclasses.asdict(self.wire), "machine": dict(self.machine)}
        return {"version": VERSION} | plain

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str = "costs") -> Costs:
        """From plain values. CostError, beginning with `where`, names the brick and the key that is wrong."""
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            found = data.get("version") if isinstance(data, Mapping) else data
            raise CostError(f"{where}: wanted a cost model of version {VERSION}, found {found!r}; make one with `lego profile`")
        try:
            values = {key: value for key, value in data.items() if key != "version"}
            check_keys(cls, values, where)
            values["bricks"] = tuple(_brick(one, f"{where}: brick {at}") for at, one in enumerate(listed(values["bricks"], where)))
            for name in ("ring", "wire"):
                if name in values:
                    values[name] = built(Carriage, values[name], f"{where}: {name}")
            if "graph" in values:
                values["graph"] = Graph.parse(values["graph"])
            return built(cls, values, where)
        except (ConfigError, GraphError) as error:
            raise CostError(str(error)) from None


def _line(nf: str, nodes: list[str]) -> Graph:
    try:
        return Graph.line(*nodes)
    except GraphError as error:
        raise CostError(f"costs of {nf}: {error}") from None


def _brick(data: Any, where: str) -> BrickCost:
    if isinstance(data, Mapping) and "measured" in data:
        rows = listed(data["measured"], where)
        data = {**data, "measured": tuple(built(Measured, row, f"{where}: measured {at}") for at, row in enumerate(rows))}
    return built(BrickCost, data, where)
