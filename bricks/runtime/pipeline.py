"""The bricks of one process and their work: batch after batch, and what to wait for when there is none."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from bricks.files.scores import ScoreFile
from bricks.nfs.registry import load
from bricks.records.brick import Batch, HasFileno
from bricks.records.sequence import SequenceRange
from bricks.runtime.assembly import Models, build, place_of
from bricks.runtime.kept_rows import KeptRows
from bricks.runtime.score_sampler import Sampled
from bricks.runtime.scored_stamp import ScoredStamp
from bricks.runtime.spec import Spec
from bricks.runtime.stage import Stage
from bricks.streams.partitioner import LoadSketch
from bricks.streams.results import pick_for
from lego_sdn.core.facts.errors import BrickError


class Pipeline:
    """The stages of a process, in the order of the graph. The first may be a source; any stage may also read rings and share its results
    out over rings.

    Every batch gets a ticket where it enters: the numbers of its rows in the instance's stream. It keeps the ticket to the
    end of the graph, whatever becomes of its rows, so that order is put right and loss is seen wherever ways join.
    """

    def __init__(self, spec: Spec, models: Models) -> None:
        self.spec, self.key = spec, spec.key
        nf, bricks = load(spec.nf), build(spec, models)
        self.scores = ScoreFile(spec.scores) if spec.scores else None
        self.sampled = Sampled(spec.sampled, spec.buckets, key=self.key) if spec.sampled else None
        self.stages: list[Stage] = []
        for brick in reversed(bricks):  # a stage knows those after it
            here = {stage.brick.node: stage for stage in self.stages}
            last, slow_us = brick.node in nf.graph.ends, spec.slow_us.get(brick.node, 0.0)
            stage = Stage(brick, last=last, slow_us=slow_us, place=place_of(brick.node, nf, self.key, here))
            stage.meter.set_deadlines(brick.node, spec.deadlines)
            if last:
                stage.tap = self._tap
            self.stages.insert(0, stage)
        self.source = bricks[0] if getattr(bricks[0], "source", None) is not None else None
        for stage in self.stages:
            stage.set_inputs(spec.rings_in.get(stage.brick.id, []), spec.batch)
            stage.set_outputs(spec.rings_out.get(stage.brick.id, []), spec.batch)
        self.traffic = {node: LoadSketch(spec.buckets, self.key.of_node(node), pick_for(node, self.key)) for node in nf.graph.keyed}
        self.ticks = {stage.brick: 0.0 for stage in self.stages if stage.brick.tick_s is not None}  # when each is due
        self.scored = ScoredStamp(spec.scored) if spec.scored else None
        self.kept = self._kept_rows(spec) if spec.kept else None
        self.paused_until = 0.0  # monotonic seconds: no packets are taken before
        self._go_on()

    def _kept_rows(self, spec: Spec) -> KeptRows:
        """This process is a standby. BrickError if it does not do all the work of its instance."""
        chain = [stage.place.joining.edges == 1 and len(stage.ways) == 1 for stage in self.stages[1:-1]]
        keyed = [stage for stage in self.stages if stage.brick.state is not None]
        if self.source is None or keyed != self.stages[1:2] or not self.stages[-1].last or not all(chain):
            raise BrickError(
                f"process {spec.process}: a standby is one process with the whole graph, which must be a chain with one keyed brick, the "
                f"first after the source: set standby to 0 for the network function {spec.nf}"
            )
        kept = KeptRows(spec.buckets, spec.kept, self.key)
        keyed[0].after = kept.sift
        return kept

    def _tap(self, batch: Batch) -> None:
        """Whoever wants every score gets it before the last brick does."""
        for wanted in (self.scores, self.sampled):
            if wanted is not None:
                wanted.append(batch)
        if self.scored is not None:
            self._note_scored(batch)

    def _note_scored(self, batch: Batch) -> None:
        """After the scores are written. Once batches were lost on the way, nobody knows any more what was scored."""
        order = self.stages[-1].order
        if self.scored is not None and not (order is not None and order.lost):
            self.scored.note(batch.head)

    def _go_on(self) -> None:
        """Number on where the rings stand: a process that is started anew continues the stream of the one before."""
        rings = [ring for stage in self.stages for ring in (*stage.inputs, *stage.outputs)]
        self.next_row = max((ring.next_written for ring in rings), default=0)
        for stage in self.stages:
            if stage.order is not None:
                stage.order.wanted = max((ring.next_wanted for ring in stage.inputs), default=0)

    def work(self, now: float) -> bool:
        """At most one batch for every brick, the last brick first; False: nothing could be done."""
        if self.ticks:
            self._tick(now)
        busy = False
        for stage in reversed(self.stages):
            busy |= stage.step(now)
        return self._take(now) or busy

    def _tick(self, now: float) -> None:
        """Tell the bricks that need it that time has passed."""
        for brick, due in self.ticks.items():
            if now >= due:
                brick.on_tick(now)
                self.ticks[brick] = now + (brick.tick_s or 0.0)

    def _take(self, now: float) -> bool:
        """A batch from the interface, if all that come after can take it."""
        if self.source is None or now < self.paused_until:
            return False
        full = not self.stages[0].has_exit(self.next_row)
        self.stages[0].meter.stuck(full, now)
        began = time.thread_time()
        batch = None if full else self.source.take()
        if batch is None:
            return False
        born = time.monotonic_ns() - self.source.waited_ns()
        ticket = SequenceRange(self.next_row, len(batch), born, born)
        self.next_row += len(batch)
        if self.kept is not None:
            self.kept.unmark(batch.head)
        for sketch in self.traffic.values():
            sketch.see(batch.head)
        self.stages[0].emit(batch, ticket, began, now)
        return True

    def before_sleep(self) -> list[HasFileno] | None:
        """What to wait for; None: there is work already. `after_sleep` must follow."""
        doors: list[HasFileno] = []
        for stage in self.stages:
            for reader in (*stage.inputs, *stage.retiring):
                doors.append(reader)
                if reader.sleep() and stage.admits(reader.peek()[1].first):
                    return None
            for writer in stage.outputs:
                if not writer.has_room:
                    doors.append(writer)
                    if writer.wait_for_room():
                        return None
        if self.source is not None and self.stages[0].has_exit(self.next_row) and time.monotonic() >= self.paused_until:
            doors.append(self.source.source)
        return doors

    def after_sleep(self) -> None:
        """No doorbells from here on."""
        for stage in self.stages:
            for ring in (*stage.inputs, *stage.retiring, *stage.outputs):
                ring.awake()

    def patience_s(self, now: float) -> float | None:
        """Seconds after which there is something to do even if nothing comes; None: there is not."""
        waits = [stage.order.wait_s(now) for stage in self.stages if stage.order is not None]
        waits += [max(0.0, due - now) for due in self.ticks.values()]
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def idle(self) -> bool:
        """Nothing waits in this process or before it; packets at an interface do as long as they cannot be taken."""
        return all(stage.idle for stage in self.stages) and (self.source is None or self.stages[0].has_exit(self.next_row))

    def wait_no_more(self) -> None:
        """Packets that wait for a move to end go on now."""
        self.paused_until = 0.0
        if self.source is not None and hasattr(self.source.source, "give_up"):
            self.source.source.give_up()

    def set_deadlines(self, ms: Mapping[str, float]) -> None:
        """Milliseconds that each kind of brick has; those not named have no deadline."""
        for stage in self.stages:
            stage.meter.set_deadlines(stage.brick.node, ms)

    # ---- a standby ----
    def score_kept(self, batches: Iterable[Batch]) -> int:
        """Score rows that a standby has kept, ahead of whatever comes next: how many. All bricks are here, and none is at work."""
        rows = 0
        for kept in batches:
            batch = kept
            for stage in self.stages[2:]:
                batch = stage.work_on(batch)
            rows += len(kept)
        return rows

    def be_ordinary(self) -> None:
        """A standby no longer: packets are scored as the switch says whose they are."""
        self.kept, self.stages[1].after = None, None

    def stage(self, brick: str) -> Stage:
        """The stage of a brick. BrickError if it is not in this process."""
        for stage in self.stages:
            if stage.brick.id == brick:
                return stage
        raise BrickError(f"process {self.spec.process} has no brick {brick}; it has {', '.join(self.spec.bricks)}")

    def set_seats(self, seats: Collection[str]) -> None:
        """These bricks are idle seats from now on, and no others: nothing goes to them from the brick before them in this process."""
        for way in (way for stage in self.stages for way in stage.ways):
            if way.to.following is not None and way.to.shares:  # who deals out parts is told so by `deal`
                way.here = way.to.following.brick.id not in seats

    def close(self) -> None:
        """End what it reads, let go of what it writes."""
        for stage in self.stages:
            stage.close()
        if self.scores is not None:
            self.scores.close()
        if self.scored is not None:
            self.scored.close()
        if self.source is not None and hasattr(self.source.source, "close"):
            self.source.source.close()
