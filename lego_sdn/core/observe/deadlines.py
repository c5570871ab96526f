"""From an end-to-end promise to one for every brick, in proportion to cost (LEGO paper, section III-C), and whether each is kept.

Along every path of the graph the parts of the latency add up to the whole, and so do, as probabilities do, the parts of the loss. A brick
on several paths gets the least of its parts. What a part leaves beyond the work itself is there for waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lego_sdn.core.cost.model import Costs
from lego_sdn.core.facts.config import KeyProblem


@dataclass(frozen=True, slots=True)
class Promise:
    """End to end, for a packet: milliseconds from the interface to its result; the share that may be lost. None: not promised."""

    latency_ms: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        if self.latency_ms is not None and not 0 < self.latency_ms < float("inf"):
            raise KeyProblem("sla.latency_ms", "milliseconds above 0", self.latency_ms)
        if self.loss is not None and not 0 <= self.loss < 1:
            raise KeyProblem("sla.loss", "a share from 0, below 1", self.loss)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A brick's part of the promise; None where that is not promised.

    ms       from a row's arrival before the brick to its result
    bare_ms  of which the work itself takes: a whole batch, since a row's result comes with those of its batch
    loss     share of the rows that it may lose
    """

    kind: str
    ms: float | None
    bare_ms: float
    loss: float | None

    @property
    def waiting_ms(self) -> float | None:
        """How long a row may wait."""
        return None if self.ms is None else self.ms - self.bare_ms

    def tighter(self, other: Deadline) -> Deadline:
        """Both kept, of the same kind on two paths."""
        return Deadline(self.kind, _least(self.ms, other.ms), max(self.bare_ms, other.bare_ms), _least(self.loss, other.loss))


def _least(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)


@dataclass(frozen=True, slots=True)
class DeadlineProgress:
    """What a brick, all its replicas together, did between two reports: rows finished, of which late; rows lost; how long a row waited."""

    rows: int
    late: int = 0
    lost: int = 0
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """How a brick keeps its part: shares of rows late and lost, and whether that is within what it may."""

    deadline: Deadline
    late: float
    loss: float
    wait_ms: float
    kept: bool


def divide(
    promise: Promise, costs: Costs, cores: Mapping[str, float] | None = None, paths: Sequence[Sequence[str]] = ()
) -> dict[str, Deadline]:
    """Each kind's part, in proportion to what a full batch of it takes.

    cores  by kind: the share of a core that its process may use, where that is less than one
    paths  nodes along each path of the graph; none: those of the costs' graph

    A promise that is less than the work alone takes is divided, too: `waiting_ms` is below 0 then. CostError for a kind without a cost.
    """
    parts: dict[str, Deadline] = {}
    for path in paths or costs.graph.paths():
        for part in _along(promise, costs, cores or {}, path):
            there = parts.get(part.kind)
            parts[part.kind] = part if there is None else part.tighter(there)
    return parts


def _along(promise: Promise, costs: Costs, cores: Mapping[str, float], path: Sequence[str]) -> list[Deadline]:
    batch = costs.batch
    bare = {kind: costs.of(kind).us(batch) / 1e3 / min(1.0, cores.get(kind, 1.0)) for kind in path}
    whole = sum(bare.values())
    shares = {kind: ms / whole for kind, ms in bare.items()}
    ms, loss = promise.latency_ms, promise.loss
    return [
        Deadline(k, None if ms is None else ms * share, bare[k], None if loss is None else 1.0 - (1.0 - loss) ** share)
        for k, share in shares.items()
    ]


def kept(deadline: Deadline, done: DeadlineProgress, late: float) -> Kept:
    """Whether a brick kept its part in this time; `late`: the share of rows that may be (`sla.tolerance`). Who did nothing kept it."""
    all_rows = done.rows + done.lost
    share, loss = (done.late / done.rows if done.rows else 0.0), (done.lost / all_rows if all_rows else 0.0)
    in_time = deadline.ms is None or share <= late
    return Kept(deadline, share, loss, done.wait_ms, in_time and (deadline.loss is None or loss <= deadline.loss))
