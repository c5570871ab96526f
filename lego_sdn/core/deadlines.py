"""From an end-to-end promise to one for every brick, in proportion to cost (LEGO paper, section III-C), and whether each is kept.

Along every path of the graph the parts of the latency add up to the whole, and so do, as probabilities do, the parts of the loss. A brick
on several paths gets the least of its parts. What a part leaves beyond the work itself is there for waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lego_sdn.core.config import KeyProblem
from lego_sdn.core.cost import Costs

LATE = 0.01  # share of rows that may be late before a deadline counts as missed: one in a hundred


@dataclass(frozen=True, slots=True)
class Promise:
    """End to end, for a packet: milliseconds from the interface to its result; the share of packets that may be lost."""

    latency_ms: float
    loss: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.latency_ms < float("inf"):
            raise KeyProblem("sla.latency_ms", "milliseconds above 0", self.latency_ms)
        if not 0 <= self.loss < 1:
            raise KeyProblem("sla.loss", "a share from 0, below 1", self.loss)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A brick's part of the promise.

    ms       from a row's arrival before the brick to its result
    bare_ms  of which the work itself takes: a whole batch, since a row's result comes with those of its batch
    loss     share of the rows that it may lose
    """

    kind: str
    ms: float
    bare_ms: float
    loss: float

    @property
    def waiting_ms(self) -> float:
        """How long a row may wait."""
        return self.ms - self.bare_ms


@dataclass(frozen=True, slots=True)
class Done:
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

    @property
    def evidence(self) -> str:
        """In words, for the log."""
        part = self.deadline
        return (
            f"{part.kind}: {self.late:.1%} of its rows later than {part.ms:.3g} ms and {self.loss:.2%} lost ({part.loss:.2%} allowed); "
            f"a row waits {self.wait_ms:.3g} ms, {part.waiting_ms:.3g} ms are left for that"
        )


def divide(
    promise: Promise, costs: Costs, cores: Mapping[str, float] | None = None, paths: Sequence[Sequence[str]] = ()
) -> dict[str, Deadline]:
    """Each kind's part, in proportion to what a full batch of it takes.

    cores  by kind: the share of a core that its process may use, where that is less than one
    paths  kinds along each path of the graph; none: one path through all bricks

    A promise that is less than the work alone takes is divided, too: `waiting_ms` is below 0 then. CostError for a kind without a cost.
    """
    parts: dict[str, Deadline] = {}
    for path in paths or (costs.kinds,):
        for part in _along(promise, costs, cores or {}, path):
            there = parts.get(part.kind)
            parts[part.kind] = (
                part if there is None else Deadline(part.kind, min(part.ms, there.ms), part.bare_ms, min(part.loss, there.loss))
            )
    return parts


def _along(promise: Promise, costs: Costs, cores: Mapping[str, float], path: Sequence[str]) -> list[Deadline]:
    batch = costs.batch
    bare = {kind: costs.of(kind).us(batch) / 1e3 / min(1.0, cores.get(kind, 1.0)) for kind in path}
    whole = sum(bare.values())
    shares = {kind: ms / whole for kind, ms in bare.items()}
    return [Deadline(k, promise.latency_ms * shares[k], bare[k], 1.0 - (1.0 - promise.loss) ** shares[k]) for k in path]


def kept(deadline: Deadline, done: Done, late: float = LATE) -> Kept:
    """Whether a brick kept its part in this time; `late`: the share of rows that may be. A brick that did nothing kept it."""
    all_rows = done.rows + done.lost
    share, loss = (done.late / done.rows if done.rows else 0.0), (done.lost / all_rows if all_rows else 0.0)
    return Kept(deadline, share, loss, done.wait_ms, share <= late and loss <= deadline.loss)
