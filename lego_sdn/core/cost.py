"""What bricks cost (LEGO paper, section III-C): learned by executing them on real packets beforehand, kept true while they run.

A batch of n packets costs a brick `batch_us + n * packet_us` of CPU. `lego profile` measures that; running bricks report what they use,
and the level follows them exponentially weighted, while the shape, which only a measurement at several batch sizes can tell, stays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lego_sdn.core.errors import ConfigError, LegoError
from lego_sdn.core.keys import check_keys
from lego_sdn.core.load import BrickLoad

Built = TypeVar("Built")
HALF_LIFE = 2000  # packets after which what was known before counts half
VERSION = 1  # of the plain form


class CostError(LegoError):
    """A cost model is not one, or is asked about a brick that it does not know."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Executions of one brick on batches of `batch` packets.

    us      CPU microseconds of a batch, the median of the runs; spread: middle half of the runs, as a share of it
    memory_bytes  by which the process had grown when all runs were done: state and working memory
    """

    batch: int
    us: float
    spread: float = 0.0
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        _require(self, self.batch >= 1, "batch", "at least 1 packet")
        _require_numbers(self, "us", "spread", "memory_bytes")


@dataclass(frozen=True, slots=True)
class BrickCost:
    """Cost of one kind of brick.

    batch_us, packet_us  CPU for a batch, however few packets it has, and for each of its packets, as profiled
    spread        of the runs, as a share of the cost
    memory_bytes  of one replica
    items_out     rows that it passes on for each that it takes in; bytes_out: bytes of such a row on its way to the next brick
    keyed         has the state of streams: it takes shadows in, and passes none on
    scale         what it costs while running, against the profile
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
        _require_numbers(self, "batch_us", "packet_us", "spread", "memory_bytes", "items_out", "bytes_out", "scale")
        _require(self, self.scale > 0, "scale", "above 0")
        _require(self, self.batch_us + self.packet_us > 0, "packet_us", "above 0 where batch_us is 0")

    def us(self, batch: float) -> float:
        """CPU microseconds of a batch of so many packets, at the present level."""
        return self.scale * (self.batch_us + self.packet_us * batch)

    def per_packet_us(self, batch: float) -> float:
        return self.us(batch) / batch

    @property
    def profiled(self) -> BrickCost:
        """As estimated before anything ran: to be shown beside the present level."""
        return replace(self, scale=1.0)

    def updated(self, seen: Work) -> BrickCost:
        """The level moved towards what was seen; a hundred packets move it little, many thousands all the way."""
        expected = self.profiled.us(seen.batch) * seen.batches
        ratio = seen.cpu_us / expected
        if not 0 < ratio < math.inf:
            return self  # too short for the clock: nothing is known
        share = 1.0 - 0.5 ** (seen.packets / HALF_LIFE)
        scale = self.scale + (ratio - self.scale) * share
        spread = self.spread + (abs(ratio / scale - 1.0) - self.spread) * share
        return replace(self, scale=scale, spread=spread)


@dataclass(frozen=True, slots=True)
class Work:
    """What a brick did in some time: packets taken in, in so many batches, for so much CPU."""

    packets: int
    batches: int
    cpu_us: float

    @property
    def batch(self) -> float:
        """Packets of a batch, on average."""
        return self.packets / self.batches

    @classmethod
    def between(cls, before: BrickLoad, after: BrickLoad) -> Work | None:
        """From two reports of the same brick; None where it did nothing, or was started anew in between."""
        packets, batches = after.packets_in - before.packets_in, after.batches - before.batches
        cpu_us = 1e6 * (after.cpu_s - before.cpu_s)
        return cls(packets, batches, cpu_us) if packets > 0 and batches > 0 and cpu_us > 0 else None


@dataclass(frozen=True, slots=True)
class Carriage:
    """CPU of handing a batch on to another process, of both sides together."""

    batch_us: float = 0.0
    byte_us: float = 0.0

    def __post_init__(self) -> None:
        _require_numbers(self, "batch_us", "byte_us")

    def us(self, size: float) -> float:
        """Of a batch of so many bytes."""
        return self.batch_us + self.byte_us * size


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost model of an NF: its bricks in the order of the graph.

    ring, wire  carriage of a batch between processes of a host, and between hosts
    shadows     copies of a packet that an exact split wants (`SplitPlan.shadows`)
    machine     where it was measured, in words and figures, for whoever reads it
    """

    nf: str
    layout: str
    bricks: tuple[BrickCost, ...]
    ring: Carriage = field(default_factory=Carriage)
    wire: Carriage = field(default_factory=Carriage)
    shadows: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = [brick.kind for brick in self.bricks]
        if not kinds or len(set(kinds)) != len(kinds):
            raise CostError(f"costs of {self.nf}: wanted bricks, one of each kind, found {kinds}")
        _require_numbers(self, "shadows")

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
        return replace(self, bricks=tuple(brick.profiled for brick in self.bricks))

    def of(self, kind: str) -> BrickCost:
        for brick in self.bricks:
            if brick.kind == kind:
                return brick
        raise CostError(f"costs of {self.nf}: no brick of kind {kind!r}; there are {', '.join(self.kinds)}")

    def deliveries(self, parts: int) -> float:
        """Packets and shadows for each packet where the traffic is split into so many parts, destinations spread evenly."""
        return 1 + self.shadows * (1 - 1 / parts)

    def visits(self, deliveries: float = 1.0) -> dict[str, float]:
        """Rows that each kind takes in for every packet that is the instance's own; `deliveries`: packets and shadows for each of these."""
        rows, left = {}, deliveries
        shadows_end = next((brick.kind for brick in self.bricks if brick.keyed), None)
        for brick in self.bricks:
            rows[brick.kind] = left
            left = (left / deliveries if brick.kind == shadows_end else left) * brick.items_out
        return rows

    def updated(self, seen: Mapping[str, Iterable[Work]]) -> Costs:
        """Every kind's level moved towards what its replicas did; kinds that are not known are not the model's business."""
        bricks = []
        for brick in self.bricks:
            for work in seen.get(brick.kind, ()):
                brick = brick.updated(work)
            bricks.append(brick)
        return replace(self, bricks=tuple(bricks))

    def slowed(self, slow_us: Mapping[str, float]) -> Costs:
        """With CPU that is burnt per packet on top, for experiments with the paper's costs. CostError for an unknown kind."""
        for kind in slow_us:
            self.of(kind)
        return replace(self, bricks=tuple(replace(b, packet_us=b.packet_us + slow_us.get(b.kind, 0.0)) for b in self.bricks))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `parse` of it gives the same costs."""
        return {"version": VERSION} | dataclasses.asdict(self)

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str = "costs") -> Costs:
        """From plain values. CostError, beginning with `where`, names the brick and the key that is wrong."""
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            found = data.get("version") if isinstance(data, Mapping) else data
            raise CostError(f"{where}: wanted a cost model of version {VERSION}, found {found!r}; make one with `lego profile`")
        try:
            values = {key: value for key, value in data.items() if key != "version"}
            check_keys(cls, values, where)
            values["bricks"] = tuple(_brick(one, f"{where}: brick {at}") for at, one in enumerate(_list(values["bricks"], where)))
            for name in ("ring", "wire"):
                if name in values:
                    values[name] = _built(Carriage, values[name], f"{where}: {name}")
            return _built(cls, values, where)
        except ConfigError as error:
            raise CostError(str(error)) from None


def fit(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """(batch_us, packet_us), neither below 0, closest to points (packets, CPU of the batch); errors count as shares of a point's cost."""
    if not points or any(n < 1 or us <= 0 for n, us in points):
        raise CostError(f"wanted batches of at least one packet and their CPU above 0, found {list(points)}")
    ones, sizes = [1 / us for _, us in points], [n / us for n, us in points]  # a * one + b * size = 1, for every point
    aa, bb = sum(x * x for x in ones), sum(x * x for x in sizes)
    ab, a1, b1 = sum(x * y for x, y in zip(ones, sizes, strict=True)), sum(ones), sum(sizes)
    rest = aa * bb - ab * ab
    if len({n for n, _ in points}) == 1 or rest <= 0:
        return 0.0, b1 / bb
    batch_us, packet_us = (a1 * bb - b1 * ab) / rest, (b1 * aa - a1 * ab) / rest
    if batch_us < 0:
        return 0.0, b1 / bb
    return (batch_us, packet_us) if packet_us >= 0 else (a1 / aa, 0.0)


def _brick(data: Any, where: str) -> BrickCost:
    if isinstance(data, Mapping) and "measured" in data:
        rows = _list(data["measured"], where)
        data = {**data, "measured": tuple(_built(Measured, row, f"{where}: measured {at}") for at, row in enumerate(rows))}
    return _built(BrickCost, data, where)


def _built(kind: type[Built], data: Any, where: str) -> Built:
    if not isinstance(data, Mapping):
        raise CostError(f"{where}: wanted keys with values, found {data!r}")
    check_keys(kind, data, where)
    try:
        return kind(**data)
    except CostError as error:
        raise CostError(f"{where}: {error}") from None


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise CostError(f"{where}: wanted a list, found {value!r}")
    return value


def _require_numbers(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        _require(of, fits, name, "a finite number that is not negative")


def _require(of: Any, fits: bool, name: str, wanted: str) -> None:
    if not fits:
        raise CostError(f"{name}: wanted {wanted}, found {getattr(of, name)!r}")
