"""Measurements of a brick's cost, the line through them, and checks that all values of a cost model share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.keys import check_keys

Built = TypeVar("Built")


class CostError(LegoError):
    """A cost model is not one, or is asked about a brick that it does not know."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Executions of one brick on batches of `batch` packets.

    us        CPU microseconds of a batch
    memory_bytes  by which a process grows with the brick and its work: state and working memory
    items_out  rows passed on for each that was taken in; bytes_out: bytes of such a row on its way to the next brick

    Each is a median, CPU and memory of the runs, the others of the batches; the spread beside it is the middle half, as a share of it.
    """

    batch: int
    us: float
    spread: float = 0.0
    memory_bytes: int = 0
    memory_spread: float = 0.0
    items_out: float = 1.0
    items_spread: float = 0.0
    bytes_out: float = 0.0
    bytes_spread: float = 0.0

    def __post_init__(self) -> None:
        require(self, self.batch >= 1, "batch", "at least 1 packet")
        require_numbers(self, "us", "spread", "memory_bytes", "memory_spread", "items_out", "items_spread", "bytes_out", "bytes_spread")


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


def built(kind: type[Built], data: Any, where: str) -> Built:
    """A value of this kind from its plain form; CostError, beginning with `where`, says what is wrong."""
    if not isinstance(data, Mapping):
        raise CostError(f"{where}: wanted keys with values, found {data!r}")
    check_keys(kind, data, where)
    try:
        return kind(**data)
    except CostError as error:
        raise CostError(f"{where}: {error}") from None


def listed(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise CostError(f"{where}: wanted a list, found {value!r}")
    return value


def require_numbers(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        require(of, fits, name, "a finite number that is not negative")


def require(of: Any, fits: bool, name: str, wanted: str) -> None:
    if not fits:
        raise CostError(f"{name}: wanted {wanted}, found {getattr(of, name)!r}")
