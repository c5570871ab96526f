"""A standby in memory beside the instances of `moves`: deaths at any step, and takeovers by the steps of the real controller."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bricks.capture.stamp_reorder import PATIENCE_NS
from bricks.records.brick import Batch
from bricks.runtime.kept_rows import KeptRows
from bricks.service.takeover import TakeOverCalls
from lego_sdn.core.facts.standby import TakenOver, TakeOver
from lego_sdn.core.traffic import handover as moves
from lego_sdn.core.traffic import handover_steps, takeover
from lego_sdn.simulation.moves import MovedInstance, MovingInstances

KEPT = 1 << 13
EVERYTHING = 10**6  # batches


class ControllerDied(Exception):
    """In the middle of a takeover."""


class LateScoring(MovedInstance):
    """What its keyed bricks give is scored some time later, and is lost if it dies before."""

    def __init__(self, number: int, world: InstancesWithStandby) -> None:
        super().__init__(number, world)
        self.random = world.random
        self.unscored: list[tuple[int, np.ndarray]] = []

    def catch_up(self, batches: int) -> None:
        before = len(self.features)
        super().catch_up(batches)
        self.unscored += self.features[before:]
        del self.features[before:]
        count = len(self.unscored) if batches >= EVERYTHING else int(self.random.integers(0, len(self.unscored) // 2 + 1))
        self.features += self.unscored[:count]
        del self.unscored[:count]


class StandbyInMemory(MovedInstance):
    """Its bricks are one process: what it takes goes through all of them before it answers a call."""

    def __init__(self, number: int, world: InstancesWithStandby, most: int = KEPT) -> None:
        super().__init__(number, world)
        self.process.kept = KeptRows(world.buckets, most, self.key)
        self.process.score_kept, self.process.be_ordinary = self._score, self._be_ordinary
        self.after = self.process.kept.sift
        self._take = self.batching.take
        self.batching.take = self._unmarked  # type: ignore[method-assign]
        self.handlers |= TakeOverCalls(self.process, self.moving, world.scored_by).handlers()  # type: ignore[arg-type]

    def _unmarked(self) -> Batch | None:
        batch = self._take()
        if batch is not None and self.process.kept is not None:
            self.process.kept.unmark(batch.head)
        return batch

    def work(self, batches: int) -> None:
        super().work(batches)
        self.catch_up(EVERYTHING)

    def _score(self, batches: Any) -> int:
        rows = 0
        for batch in batches:
            self.features += [(int(seq), row) for seq, row in zip(batch.head["seq"], batch.values, strict=True)]
            rows += len(batch)
        return rows

    def _be_ordinary(self) -> None:
        self.process.kept, self.after = None, lambda result: result


class InstancesWithStandby(MovingInstances):
    """`stand_by` gives a new standby every stream; `change` is what the controller does for an assignment, with those that died known.

    taken      what became of takeovers; repeats: packets with several scores, once `finish` has compared these
    """

    def __init__(self, packets: np.ndarray, assignment: dict[int, int], seed: int, **more: Any) -> None:
        super().__init__(packets, assignment, seed, **more)
        self.instances = {number: LateScoring(number, self) for number in self.instances}
        self.given: list[tuple[moves.Handover, int]] = []
        self.taken: list[TakenOver] = []
        self.repeats = 0
        self.stop_after: int | None = None

    def scored_by(self, instance: int) -> int:
        """The highest stamp that it has scored."""
        return max((seq for seq, _ in self.instances[instance].features), default=-1)

    def stand_by(self, most: int = KEPT) -> int:
        """A new standby, which has every stream when this returns."""
        self.twin = number = max(self.instances) + 1
        self.instances[number] = StandbyInMemory(number, self, most)
        plan = moves.StateCopy(next(self.tokens), self._owners(), self._owners(), frozenset(self.instances) - self.dead, to=number)
        copied = self._carry_out(plan)
        assert all(one.error is None for one in copied), copied
        for owner in {*plan.before.values()}:
            self.instances[owner].catch_up(EVERYTHING)  # the controller waits until they have scored what came up to the cut
        self.call(number, "keep_from", plan.cut)
        return number

    def owned(self) -> dict[int, int]:
        """bucket -> the instance that has its streams."""
        return self._owners()

    def is_ready(self) -> bool:
        return self.twin is not None and self.twin not in self.dead and self.call(self.twin, "standing")["complete"]

    def change(self, after: Mapping[int, int], died: Collection[int] = ()) -> None:
        """To this assignment, in which those that died own nothing."""
        self._take_over({*died} | ({*self._owners().values()} & self.dead))
        standby = self.twin if self.is_ready() else None
        plan = moves.BucketMove(next(self.tokens), self._owners(), dict(after), frozenset(self.instances) - self.dead, standby=standby)
        moved = self._carry_out(plan)
        left = {bucket: one.standby for one in moved if one.standby is not None for bucket in one.handover.buckets}
        self.owners = {**plan.after, **left}  # type: ignore[dict-item]
        self.given += [(one.handover, plan.cut) for one in moved if one.error is None and plan.cut is not None]
        self._take_over({one.failed for one in moved if one.failed is not None})

    def restart(self, after: Mapping[int, int], standby: int) -> None:
        """The controller died in a takeover, and another one goes on: it asks the standby where it stands."""
        standing = self.call(standby, "standing")
        self.owners = {**self._owners(), **dict.fromkeys(standing["owned"], standby)}
        self.twin = standby if standing["standby"] else None
        if standing["standby"] and standing["owned"]:
            owned = sorted(standing["owned"])
            assert self._steps(takeover.become_ordinary(standby, owned, next(self.tokens) << 32 | 1), self._owners()) is None
            self.twin = None
        self.change(after)

    def _take_over(self, died: Collection[int]) -> None:
        for dead in sorted(died):
            if self.is_ready():
                self._one(TakeOver(dead, self.twin or 0, tuple(b for b, owner in self._owners().items() if owner == dead)))

    def _one(self, one: TakeOver) -> None:
        gave = [(handover, cut) for handover, cut in self.given if handover.old == one.dead]
        rest = takeover.Given(tuple({b for handover, _ in gave for b in handover.buckets}), max((cut for _, cut in gave), default=-1))
        before = self._owners()
        after = takeover.owners_after(before, one)
        keeps = one.heir not in after.values()
        steps: Any = takeover.carry_out(one, before, rest, next(self.tokens) << 32 | 1)
        self.taken.append(self._steps(steps, after))
        self.owners = after
        self.twin = self.twin if keeps else None

    def _steps(self, steps: Any, after: dict[int, int]) -> Any:
        """Carry out steps in which the standby ceases to get every packet; `stop_after`: so many of them, then the controller dies."""
        answer, twin = None, self.twin
        for count in range(10**6):
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            if count == self.stop_after:
                raise ControllerDied
            self.send(int(self.random.integers(0, self.pace)))
            self.now_ns += PATIENCE_NS // 3
            self.some_work()
            if isinstance(step, (handover_steps.ChangeRules, handover_steps.RestoreRules)):
                self.twin = None  # it gets no copy of every packet any more
            answer = self._do(step, after)
            self.twin = twin
        raise AssertionError

    def _do(self, step: Any, after: dict[int, int]) -> Any:
        if isinstance(step, handover_steps.LeaveToStandby):
            for bucket in step.buckets:
                del after[bucket]
            self._change_rules(after)
            return self.no_rules
        return super()._do(step, after)

    def finish(self) -> dict[int, np.ndarray]:
        """As of its base; but a packet may have several scores, if these have the same bits."""
        self.send(len(self.packets))
        for _ in range(8):
            self.now_ns += 2 * PATIENCE_NS
            for instance in self.alive():
                instance.work(EVERYTHING)
                instance.catch_up(EVERYTHING)
        found: dict[int, np.ndarray] = {}
        for instance in self.instances.values():
            for seq, row in instance.features:
                assert seq not in found or found[seq].tobytes() == row.tobytes(), f"packet {seq} has two scores that differ"
                self.repeats += seq in found
                found[seq] = row
        return found
