"""What can be asked of an instance and of its single bricks: frozen values. `arrangement.Arrangement.apply` says what each leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lego_sdn.core.facts.graph import node_of


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start instance `instance` as the configuration says, or as the standby. Answer: `InstanceStarted` or `InstanceFailed`."""

    instance: int
    standby: bool = False


@dataclass(frozen=True, slots=True)
class StopInstance:
    """Stop it and take its port away. Answer: `InstanceStopped` (also if there was none) or `InstanceFailed`.

    silent  its processes that do not answer: nobody waits for them
    """

    instance: int
    drain_ms: int = 0
    silent: tuple[str, ...] = ()


# ---- within a running instance ----
def _with(cores: float | None) -> str:
    return "" if cores is None else f", with {cores:.3g} cores"


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
