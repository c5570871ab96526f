"""What can be asked of single bricks of a running instance, and the answers: frozen values, a part of `lego_sdn.core.control.events`.

Every action here is answered by `Regrown` or `RegrowFailed`, which carries it. An action that fails leaves the instance as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.facts.graph import EMPTY, BrickId, Graph, node_of


@dataclass(frozen=True, slots=True)
class Placed:
    """A process of an instance: the bricks that are chained in it, and its CPU quota in cores (None: no limit).

    given  what the instance got with it, before CPU went from one process to another; if not said, the quota
    """

    process: str
    bricks: tuple[str, ...]
    quota: float | None = None
    given: float | None = None

    def __post_init__(self) -> None:
        if self.given is None:
            object.__setattr__(self, "given", self.quota)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How an instance's bricks lie in processes.

    graph  of the NF, as the agent tells it
    died   last words of replicas that the agent took out since they were dead
    """

    processes: tuple[Placed, ...] = ()
    graph: Graph = EMPTY
    died: tuple[str, ...] = ()

    @classmethod
    def of(cls, instance: Mapping[str, Any]) -> Arrangement:
        """From an instance as the agent tells it (docs/reference/contract.md). GraphError if its graph is none."""
        told = instance["processes"]
        processes = tuple(Placed(one["process"], tuple(one["bricks"]), one["cpu_quota"], one.get("cpu_given")) for one in told)
        graph = instance.get("graph") or Graph.line(*dict.fromkeys(node_of(brick) for one in processes for brick in one.bricks)).to_dict()
        return cls(processes, Graph.parse(graph), tuple(instance.get("buried", ())))

    @property
    def bricks(self) -> tuple[str, ...]:
        """Brick ids in the order of the packets' way, replicas by their numbers."""
        return tuple(sorted((brick for one in self.processes for brick in one.bricks), key=self._place))

    def _place(self, brick: str) -> tuple[int, BrickId]:
        id = BrickId.parse(brick)
        return self.graph.place(id.node), id

    @property
    def quotas(self) -> dict[str, float | None]:
        return {one.process: one.quota for one in self.processes}

    def of_kind(self, kind: str) -> tuple[str, ...]:
        return tuple(sorted((b for one in self.processes for b in one.bricks if node_of(b) == kind), key=BrickId.parse))

    def is_spare(self, process: str) -> bool:
        """Whether a process has one brick only, whose work other replicas can do."""
        bricks = next((one.bricks for one in self.processes if one.process == process), ())
        return len(bricks) == 1 and len(self.of_kind(node_of(bricks[0]))) > 1

    def process_of(self, brick: str) -> Placed | None:
        for one in self.processes:  # without a generator: it is asked often
            if brick in one.bricks:
                return one
        return None


def _with(cores: float | None) -> str:
    return "" if cores is None else f", with {cores:.3g} cores"


# ---- actions ----
@dataclass(frozen=True, slots=True)
class StartReplica:
    """One more replica of a kind of brick, in a process of its own with `cores` (None: as the other processes have)."""

    instance: int
    kind: str
    cores: float | None = None

    def __str__(self) -> str:
        return f"one more replica of {self.kind} in instance {self.instance}{_with(self.cores)}"


@dataclass(frozen=True, slots=True)
class StopReplica:
    """Take one replica out; what it has is finished first."""

    instance: int
    brick: str

    @property
    def kind(self) -> str:
        return node_of(self.brick)

    def __str__(self) -> str:
        return f"{self.brick} of instance {self.instance} goes"


@dataclass(frozen=True, slots=True)
class Separate:
    """Give a brick that is chained with others a process of its own, which takes everything over; `cores` as of a replica."""

    instance: int
    kind: str
    cores: float | None = None

    def __str__(self) -> str:
        return f"a process of its own for {self.kind} of instance {self.instance}{_with(self.cores)}"


@dataclass(frozen=True, slots=True)
class ChainBrick:
    """Put a separated brick back into the process of its neighbours."""

    instance: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} of instance {self.instance} back into the chain"


@dataclass(frozen=True, slots=True)
class SetQuota:
    """CPU quotas in cores by process; those that are not named keep theirs."""

    instance: int
    cores: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return f"quotas in instance {self.instance}: " + ", ".join(f"{process} {cores:.3g} cores" for process, cores in self.cores)


@dataclass(frozen=True, slots=True)
class TakeOut:
    """End the process of a replica that does not answer: it counts as dead. Like deadlines, it may be under way beside a change."""

    instance: int
    process: str

    def __str__(self) -> str:
        return f"process {self.process} of instance {self.instance} is taken out"


@dataclass(frozen=True, slots=True)
class SetDeadlines:
    """Deadlines in milliseconds by kind of brick. It may be under way beside a change: nothing waits for it."""

    instance: int
    ms: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return f"deadlines in instance {self.instance}: " + ", ".join(f"{kind} {ms:.3g} ms" for kind, ms in self.ms)


BrickAction = StartReplica | StopReplica | Separate | ChainBrick | SetQuota | SetDeadlines | TakeOut

WORDS: dict[type[Any], str] = {
    StartReplica: "replicate",
    StopReplica: "merge",
    Separate: "separate",
    ChainBrick: "chain",
    SetQuota: "quota",
    SetDeadlines: "deadlines",
}


# ---- events ----
@dataclass(frozen=True, slots=True)
class Regrown:
    """Answer: it is done; the instance is laid out like this now; `brick`: the new one's id where one was started."""

    instance: int
    arrangement: Arrangement
    action: BrickAction
    brick: str | None = None


@dataclass(frozen=True, slots=True)
class RegrowFailed:
    """Answer: it could not be done, `error` is one sentence; the instance is as it was."""

    instance: int
    error: str
    action: BrickAction
