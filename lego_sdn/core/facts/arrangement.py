"""How an instance's bricks lie in processes, and how they lie once an action is done: frozen values.

Start, growth, shrinking and stop are one transition, `Arrangement.apply`: an instance starts from the empty arrangement and stops to it.
Actions within a running instance are answered by `Regrown` or `RegrowFailed`; one that fails leaves the instance as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lego_sdn.core.facts.actions import (
    BrickAction,
    ChainBrick,
    Separate,
    SetDeadlines,
    SetQuota,
    StartInstance,
    StartReplica,
    StopInstance,
    StopReplica,
    TakeOut,
)
from lego_sdn.core.facts.config import REPLICAS_MOST
from lego_sdn.core.facts.cpu_quotas import regiven, settled
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import EMPTY, BrickId, Graph, node_of

PLACEMENTS = ("chained", "separate")


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
    """How an instance's bricks lie in processes. Without processes: of an instance that does not run.

    graph      of the NF, as the agent tells it
    died       last words of replicas that the agent took out since they were dead
    quota      cores of a process that is started without a quota of its own (None: no limit)
    placement  how an instance starts: its bricks `chained` in one process, or each in a process of its own (`separate`)
    made       how many names of processes were given out; none is given twice
    """

    processes: tuple[Placed, ...] = ()
    graph: Graph = EMPTY
    died: tuple[str, ...] = ()
    quota: float | None = None
    placement: str = PLACEMENTS[0]
    made: int = 0

    def __post_init__(self) -> None:
        least = max((_number(one.process) + 1 for one in self.processes), default=0)
        object.__setattr__(self, "made", max(self.made, least))

    @classmethod
    def of(cls, instance: Mapping[str, Any]) -> Arrangement:
        """From an instance as the agent tells it (docs/reference/contract.md). GraphError if its graph is none."""
        told = instance["processes"]
        processes = tuple(Placed(one["process"], tuple(one["bricks"]), one["cpu_quota"], one.get("cpu_given")) for one in told)
        graph = instance.get("graph") or Graph.line(*dict.fromkeys(node_of(brick) for one in processes for brick in one.bricks)).to_dict()
        placement = instance.get("spec", {}).get("placement", PLACEMENTS[0])
        return cls(processes, Graph.parse(graph), tuple(instance.get("buried", ())), instance.get("cpu_quota"), placement)

    @property
    def bricks(self) -> tuple[str, ...]:
        """Brick ids in the order of the packets' way, replicas by their numbers."""
        return tuple(sorted((brick for one in self.processes for brick in one.bricks), key=self.place))

    def place(self, brick: str) -> tuple[int, BrickId]:
        """Sorts bricks by the packets' way, replicas by their numbers."""
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

    def apply(self, action: StartInstance | StopInstance | BrickAction) -> Arrangement:
        """How the bricks lie once an action is done. BrickError, one sentence, if it cannot be done with these."""
        return _CHANGES[type(action)](self, action)

    def refusal(self, action: BrickAction) -> str | None:
        """Why an action cannot be done with these bricks, or None."""
        try:
            self.apply(action)
        except BrickError as error:
            return str(error)
        return None

    def new_brick(self, before: Arrangement) -> str | None:
        """The brick that these have and those of before had not, or None."""
        return next((brick for brick in self.bricks if brick not in before.bricks), None)

    def without(self, process: str) -> Arrangement:
        """These without a process that is gone: the CPU that it had of others is theirs again."""
        rest = tuple(one for one in self.processes if one.process != process)
        quotas = settled({one.process: one.quota for one in rest}, {one.process: one.given for one in rest})
        return replace(self, processes=tuple(replace(one, quota=quotas.get(one.process, one.quota)) for one in rest))

    def _more(self, instance: int, bricks: tuple[str, ...], cores: float | None = None) -> Arrangement:
        """These and a process more."""
        one = Placed(process_name(instance, self.made), bricks, self.quota if cores is None else cores)
        return replace(self, processes=(*self.processes, one), made=self.made + 1)


def process_name(instance: int, at: int) -> str:
    """1-a, 1-b, ... 1-z, 1-a1, ..."""
    return f"{instance}-{chr(ord('a') + at % 26)}{at // 26 or ''}"


@lru_cache(maxsize=4096)
def _number(process: str) -> int:
    """27 of 1-b1, as `process_name` counts; -1 of a name that it did not give."""
    found = re.fullmatch(r"[0-9]+-([a-z])([0-9]{0,6})", process)
    return ord(found[1]) - ord("a") + 26 * int(found[2] or 0) if found else -1


# ---- what each action leads to ----
def _started(old: Arrangement, action: StartInstance) -> Arrangement:
    if old.processes:
        raise BrickError(f"instance {action.instance} runs already")
    bricks = tuple(str(BrickId(node, 0)) for node in old.graph.order)
    new = replace(old, died=(), made=0)
    for chain in [bricks] if old.placement == "chained" else [(brick,) for brick in bricks]:
        new = new._more(action.instance, chain)
    return new


def _stopped(old: Arrangement, action: StopInstance) -> Arrangement:
    return replace(old, processes=(), died=(), made=0)


def _replicated(old: Arrangement, action: StartReplica) -> Arrangement:
    _require_inner(old, action, "stays single in an instance; replicate the instance instead")
    replicas = old.of_kind(action.kind)
    if len(replicas) >= REPLICAS_MOST:
        raise BrickError(f"{action.kind} of instance {action.instance} has {REPLICAS_MOST} replicas, and no more can be had")
    return old._more(action.instance, (str(BrickId(action.kind, BrickId.parse(replicas[-1]).serial + 1)),), action.cores)


def _separated(old: Arrangement, action: Separate) -> Arrangement:
    """A replica in a process of its own comes instead of the chained brick."""
    _require_inner(old, action, "stays with its process: the interface and the results are there")
    brick = next((brick for brick in old.of_kind(action.kind) if _is_chained(old, brick)), None)
    if brick is None:
        raise BrickError(f"{action.kind} of instance {action.instance} is not chained with other bricks: it has a process of its own")
    new = _replicated(old, StartReplica(action.instance, action.kind, action.cores))
    return replace(new, processes=tuple(replace(one, bricks=tuple(b for b in one.bricks if b != brick)) for one in new.processes))


def _chained(old: Arrangement, action: ChainBrick) -> Arrangement:
    """The only brick of a kind goes; in the chain, the kind's first one takes over again."""
    _require_inner(old, action, "was never separated")
    home, replicas = max(old.processes, key=lambda one: len(one.bricks)), old.of_kind(action.kind)
    if len(home.bricks) < 2 or any(_is_chained(old, brick) for brick in replicas):
        why = "it is chained already, or was placed in a process of its own"
        raise BrickError(f"{action.kind} of instance {action.instance} has no seat in a chain: {why}")
    if len(replicas) > 1:
        raise BrickError(f"{action.kind} of instance {action.instance} has {len(replicas)} replicas; stop all but one of them first")
    chain = tuple(sorted((*home.bricks, str(BrickId(action.kind, 0))), key=old.place))
    left = old.without(_home(old, replicas[0], action.instance).process)
    return replace(left, processes=tuple(replace(one, bricks=chain) if one.process == home.process else one for one in left.processes))


def _merged(old: Arrangement, action: StopReplica) -> Arrangement:
    return old.without(_require_spare(old, action.brick, action.instance))


def _taken_out(old: Arrangement, action: TakeOut) -> Arrangement:
    bricks = next((one.bricks for one in old.processes if one.process == action.process), None)
    if bricks is None:
        raise _no_process(old, action.instance, action.process)
    left = old.without(_require_spare(old, bricks[0], action.instance))
    return replace(left, died=(*old.died, f"brick process {action.process} did not answer and was ended"))


def _given_quotas(old: Arrangement, action: SetQuota) -> Arrangement:
    told = dict(action.cores)
    for process in told:
        if process not in old.quotas:
            raise _no_process(old, action.instance, process)
    given = regiven(old.quotas, told, {one.process: one.given for one in old.processes})
    cores = old.quotas | told
    return replace(old, processes=tuple(replace(one, quota=cores[one.process], given=given[one.process]) for one in old.processes))


_CHANGES: dict[type[Any], Callable[[Arrangement, Any], Arrangement]] = {
    StartInstance: _started,
    StopInstance: _stopped,
    StartReplica: _replicated,
    StopReplica: _merged,
    Separate: _separated,
    ChainBrick: _chained,
    SetQuota: _given_quotas,
    SetDeadlines: lambda old, _: old,
    TakeOut: _taken_out,
}


def _require_inner(old: Arrangement, action: StartReplica | Separate | ChainBrick, otherwise: str) -> None:
    """BrickError if there is no such kind, or it is at an end of the graph."""
    if not old.of_kind(action.kind) or action.kind not in old.graph:
        raise BrickError(f"instance {action.instance} has no brick of kind {action.kind!r}; its graph is {old.graph}")
    if action.kind not in old.graph.inner:
        where = "is at an end of the graph" if len(old.graph.before(action.kind)) < 2 else "joins several inputs"
        raise BrickError(f"{action.kind} {where} and {otherwise}")


def _require_spare(old: Arrangement, brick: str, instance: int) -> str:
    """The process of a brick whose work others can do. BrickError if it is the last of its kind or shares its process with others."""
    home = _home(old, brick, instance)
    if len(old.of_kind(node_of(brick))) == 1:
        raise BrickError(f"{brick} is the only {node_of(brick)} of instance {instance}; stop the instance instead")
    if len(home.bricks) > 1:
        raise BrickError(f"{brick} shares process {home.process} with other bricks and cannot be stopped alone")
    return home.process


def _home(old: Arrangement, brick: str, instance: int) -> Placed:
    home = old.process_of(brick)
    if home is None:
        raise BrickError(f"instance {instance} has no brick {brick}; it has {', '.join(old.bricks)}")
    return home


def _is_chained(old: Arrangement, brick: str) -> bool:
    home = old.process_of(brick)
    return home is not None and len(home.bricks) > 1


def _no_process(old: Arrangement, instance: int, process: str) -> BrickError:
    return BrickError(f"instance {instance} has no process {process}; it has {', '.join(old.quotas)}")


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
