"""Instances and a switch in memory, for moves of buckets: real holds and real keyed bricks, and a clock turned by hand.

The switch takes packets in batches, lets flows overtake each other inside them, and follows a change of its rules flow by flow. Queues
before the instances have any length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from bricks.capture.packet_ring import PacketRing
from bricks.capture.stamp_reorder import PATIENCE_NS, StampReorder
from bricks.feature_quantization import FeatureQuantization
from bricks.packet_batching import PacketBatching
from bricks.records.brick import Batch
from bricks.records.packets import PACKET, SHADOW, bucket_of
from bricks.records.sequence import SequenceRange
from bricks.runtime.reorder import ReorderBuffer
from bricks.service.handover import HandoverCalls
from bricks.service.node_shards import NodeShards
from bricks.streams.handover_buffer import HandoverBuffer
from bricks.streams.partitioner import KeyTable, LoadSketch, partition
from lego_sdn.adapters.rpc.calls import Unreachable
from lego_sdn.core.facts.clock import ClockNs
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.nf.split_key import BY_SOURCE
from lego_sdn.core.traffic import handover as moves
from lego_sdn.core.traffic import handover_steps

BATCH = 32
STREAMS = 20_000  # of each kind, in a keyed brick: more than what is sent has; a world is freed late, since it is a circle of references
COPIED = -1  # among rules: not a bucket but every packet, and to whom


class QueuedPackets(PacketRing):
    """A packet ring whose interface is a queue of rows and markers."""

    def __init__(self, now_ns: ClockNs) -> None:
        self.queue_: deque[np.void | int] = deque()
        self.now_ns = now_ns
        self._order, self._passed, self.markers = StampReorder(), deque(), {}
        self._alarm = SimpleNamespace(set=lambda due_ns: None)
        self.highest = -1

    def fileno(self) -> int:
        return -1

    def _walk(self, out: np.ndarray) -> int:
        rows = 0
        while self.queue_ and rows < len(out):
            item = self.queue_.popleft()
            if isinstance(item, int):
                self._passed.append((item, self.highest, self.now_ns()))
                if rows:
                    return rows
                continue
            out[rows] = item
            self.highest = max(self.highest, int(item["seq"]))
            rows += 1
        return rows

    def _look_for_errors(self) -> None:
        pass

    def statistics(self) -> dict[str, int]:
        return {}  # nothing is lost in it


class MovedInstance:
    """Packets in, features by stamp out: the part of an instance that a move is about. Its keyed bricks lag behind the interface, each
    by as much as it likes."""

    def __init__(self, number: int, world: MovingInstances) -> None:
        more, buckets = world.more, world.buckets
        self.number, self.wire, self.clock, self.layout = (
            number,
            QueuedPackets(world.monotonic_ns),
            world.monotonic,
            more.get("layout", "kitsune115"),
        )
        self.key, self.new_brick = more.get("key", BY_SOURCE), more.get("new_brick", FeatureQuantization)
        self.hold = HandoverBuffer(self.wire, buckets, more.get("stamped", True), key=self.key, clock=self.clock)
        self.batching = PacketBatching(0, self.hold, 64)
        self.features: list[tuple[int, np.ndarray]] = []
        self.after: Callable[[Batch], Batch] = lambda result: result  # of what a keyed brick gives, what is scored
        self.queues: dict[str, deque[tuple[Batch, SequenceRange]]] = {}
        way = SimpleNamespace(set_parts=lambda rings, here, cut: None, rings=[])
        self.process = SimpleNamespace(
            source=SimpleNamespace(source=self.hold),
            stages=[SimpleNamespace(brick=self.batching, way=lambda node: way)],
            spec=SimpleNamespace(buckets=buckets, process="a", replicas={}, batch=64),
            key=self.key,
            traffic={},
            stage=lambda brick: next(stage for stage in self.process.stages if stage.brick.id == brick),
            paused_until=0.0,
            next_row=0,
        )
        self._keyed(0)
        self.process.traffic[self.brick.node] = LoadSketch(buckets, self.key)
        self.moving = HandoverCalls(self.process, self.clock, world.connect)  # type: ignore[arg-type]
        self.handlers = self.moving.handlers()

    def _keyed(self, serial: int) -> str:
        brick = self.new_brick(serial, self.layout, STREAMS, self.key)
        self.process.stages.append(SimpleNamespace(brick=brick, order=ReorderBuffer(joins=False)))
        self.queues[brick.id] = deque()
        return brick.id

    @property
    def brick(self) -> FeatureQuantization:
        """The keyed brick that was there first."""
        return self.process.stages[1].brick

    @property
    def shards(self) -> NodeShards:
        """Which of its keyed bricks owns which bucket."""
        return self.moving.front.nodes[self.brick.node]

    def deal(self, serials: Iterable[int]) -> dict[str, Any]:
        """From now on these keyed bricks share the stream."""
        there = [f"{self.brick.kind}-{serial}" for serial in serials]
        for brick in there:
            if brick not in self.queues:
                assert self._keyed(int(brick.rpartition("-")[2])) == brick
        while not self.handlers["pause"](1.0):
            self.catch_up(1)
        return self.handlers["deal"]({brick: {"ring": None} for brick in there})

    def work(self, batches: int) -> None:
        for _ in range(batches):
            batch = self.batching.take() if self.clock() >= self.process.paused_until else None
            if batch is None:
                return
            self.process.traffic[self.brick.node].see(batch.head)
            ticket = SequenceRange(self.process.next_row, len(batch))
            self.process.next_row += len(batch)
            replicas = self.moving.front.replicas
            if len(replicas) == 1:
                self.queues[replicas[0].brick].append((batch, ticket))
            else:
                cut = KeyTable(np.array(self.shards.owners), len(replicas), self.key)
                for replica, part, its in partition(batch, ticket, cut):
                    self.queues[replicas[replica].brick].append((part, its))

    def catch_up(self, batches: int) -> None:
        """Every keyed brick takes in so many batches of those that wait for it."""
        for stage in self.process.stages[1:]:
            queue = self.queues[stage.brick.id]
            for _ in range(min(batches, len(queue))):
                batch, ticket = queue.popleft()
                assert stage.order.offer(batch, ticket, 0.0), f"{stage.brick.id} waits for row {stage.order.wanted}, not for {ticket}"
                result = self.after(stage.brick.process(batch))
                self.features += [(int(seq), row) for seq, row in zip(result.head["seq"], result.values, strict=True)]


class MovingInstances:
    """`send` lets packets in; `move` changes the assignment as the controller does, with traffic in between; `finish` gives the features.

    packets     PACKET [n], each with the stamp that is its number
    assignment  bucket -> instance, of those numbered 1 to 5
    seed        of everything that is left to chance: batches, overtaking, who works when
    more        key: of the split; new_brick(serial, layout, streams, key): a keyed brick; layout, stamped: as of an instance
    """

    def __init__(self, packets: np.ndarray, assignment: dict[int, int], seed: int, **more: Any) -> None:
        self.random = np.random.default_rng(seed)
        self.packets, self.buckets = packets, len(assignment)
        self.more = more  # stamped, layout, key, new_brick
        sides = more.get("key", BY_SOURCE).sides
        self.sides = np.stack([bucket_of(packets, self.buckets, fields).astype(int) for fields in sides], axis=1)
        self.rules = dict(assignment)
        self.owners: dict[int, int] | None = None  # who has the streams, where that differs from the rules
        self.cached: dict[tuple[int, ...], dict[int, int]] = {}  # flow -> the assignment that its cached rule is of
        self.at, self.now_ns = 0, 10**9
        self.instances = {i: MovedInstance(i, self) for i in range(1, 6)}
        self.tokens = iter(range(1, 10**6))
        self.moved: list[moves.Moved] = []
        self.lose_markers = 0.0
        self.pace = 60
        self.refuse: dict[tuple[int, str], str] = {}  # (instance, method) -> it fails
        self.fatal: tuple[str, int] | None = None  # at the first call of this method this instance dies
        self.dead: set[int] = set()
        self.no_rules: str | None = None  # why rules cannot be changed
        self.twin: int | None = None
        self.scored: tuple[int, ...] = ()  # buckets, by the twin
        self.steps = 0  # that movers took so far
        self.before_ask: Callable[[], None] = lambda: None

    # ---- traffic ----
    def send(self, count: int) -> None:
        """Let packets in, in batches of the switch, and let instances work, at random."""
        end = min(self.at + count, len(self.packets))
        while self.at < end:
            size = min(int(self.random.integers(1, BATCH + 1)), end - self.at)
            self._batch(range(self.at, self.at + size))
            self.at += size
            self.now_ns += int(self.random.integers(0, 400_000))
            self.some_work()

    def alive(self) -> list[MovedInstance]:
        return [instance for number, instance in self.instances.items() if number not in self.dead]

    def some_work(self) -> None:
        for instance in self.alive():
            if self.random.random() < 0.5:
                instance.work(int(self.random.integers(0, 4)))
            if self.random.random() < 0.5:
                instance.catch_up(int(self.random.integers(0, 4)))

    def _batch(self, numbers: range) -> None:
        flows: dict[tuple[int, ...], list[int]] = {}
        for i in numbers:
            flows.setdefault(tuple(self.sides[i].tolist()), []).append(i)
        for flow in self.random.permutation(list(flows)):
            rules = self.cached.setdefault(tuple(flow), self.rules)
            own, *others = (rules.get(bucket) for bucket in flow)
            for i in flows[tuple(flow)]:
                if own is not None:
                    self._deliver(own, self.packets[i], 0)
                for other in {*others} - {own, None}:
                    self._deliver(other, self.packets[i], SHADOW)
                if COPIED in rules:
                    self._deliver(rules[COPIED], self.packets[i], 0 if flow[0] in self.scored else SHADOW)

    def _deliver(self, instance: int, packet: np.void, flag: int) -> None:
        row = np.array([packet], PACKET)
        row["flags"] |= np.uint32(flag)
        self.instances[instance].wire.queue_.append(row[0])

    # ---- moves ----
    def move(self, after: dict[int, int], stop_after: int | None = None) -> tuple[moves.Moved, ...]:
        """`stop_after`: the mover dies after so many steps."""
        plan = moves.BucketMove(next(self.tokens), self._owners(), after, frozenset(self.instances) - self.dead)
        return self._carry_out(plan, stop_after)

    def copy(self, scored: tuple[int, ...]) -> int:
        """Give the auditor's twin every stream, for the first time or again; the stamp after which it has them."""
        if self.twin is None:
            self.twin, self.scored = max(self.instances) + 1, scored
            self.instances[self.twin] = MovedInstance(self.twin, self)
        plan = moves.StateCopy(next(self.tokens), self._owners(), self._owners(), frozenset(self.instances), to=self.twin, scored=scored)
        assert all(one.error is None for one in self._carry_out(plan))
        assert plan.cut is not None
        return plan.cut

    def _owners(self) -> dict[int, int]:
        return {bucket: owner for bucket, owner in (self.rules if self.owners is None else self.owners).items() if bucket != COPIED}

    def _carry_out(self, plan: moves.BucketMove, stop_after: int | None = None) -> tuple[moves.Moved, ...]:
        steps, answer, after = moves.carry_out(plan), None, dict(plan.after)
        for count in range(10**6):
            try:
                step = steps.send(answer)
            except StopIteration as end:
                self.moved += end.value
                self.owners = after
                return end.value
            if count == stop_after:
                return ()
            self.send(int(self.random.integers(0, self.pace)))
            self.now_ns += PATIENCE_NS // 3
            self.some_work()
            answer = self._do(step, after)
        raise AssertionError

    def _do(self, step: Any, after: dict[int, int]) -> Any:
        self.steps += 1
        if isinstance(step, handover_steps.ChangeRules):
            if self.no_rules is None:
                self._change_rules(after)
            return self.no_rules
        if isinstance(step, handover_steps.SendMarkers):
            for instance, marker in step.frames:
                if self.random.random() >= self.lose_markers:
                    self.instances[instance].wire.queue_.append(marker)
                self.send(int(self.random.integers(0, 3)))
            return None
        if isinstance(step, handover_steps.RestoreRules):
            self.rules = self._with_copies(after)
            return None
        if isinstance(step, (handover_steps.PrepareRules, handover_steps.Pause)):
            return None
        return [self._ask(ask) for ask in step]

    def _ask(self, ask: handover_steps.Ask) -> handover_steps.Answer:
        self.before_ask()
        self.some_work()
        params = list(ask.params) + ([f"i{ask.peer}"] if ask.peer else [])
        try:
            value = self.call(ask.instance, ask.method, *params)
        except LegoError as error:
            return handover_steps.Answer(error=str(error))
        return handover_steps.Answer(value["passed"] if ask.method == "hold" else value)

    def call(self, number: int, method: str, *params: Any) -> Any:
        instance = self.instances[number]
        if (number, method) in self.refuse:
            raise Unreachable(self.refuse[number, method])
        if self.fatal is not None and self.fatal[0] == method:
            self.dead.add(self.fatal[1])
            self.fatal = None
            asked_or_asks = number in self.dead or method.startswith("take_")
            if asked_or_asks and self.random.random() < 0.5:  # what it was asked, or asks another one, may have been done or not
                raise Unreachable("an instance died")
        elif number in self.dead:
            raise Unreachable("it is dead")
        value = instance.handlers[method](*params)
        if number in self.dead:
            raise Unreachable("it died")
        return value

    def _change_rules(self, after: dict[int, int]) -> None:
        """New flows follow the new rules at once, cached ones one after the other."""
        self.rules = self._with_copies(after)
        stale = [flow for flow, rules in self.cached.items() if rules != self.rules]
        for at in self.random.permutation(len(stale)):
            if self.random.random() < 0.3:
                self.send(int(self.random.integers(0, 20)))
            self.cached[stale[at]] = self.rules
        self.cached.clear()

    def _with_copies(self, after: dict[int, int]) -> dict[int, int]:
        return dict(after) if self.twin is None else {**after, COPIED: self.twin}

    def finish(self) -> dict[int, np.ndarray]:
        """Send what is left and work everything off; features by stamp. No packet is scored twice."""
        self.send(len(self.packets))
        for _ in range(8):
            self.now_ns += 2 * PATIENCE_NS
            for instance in self.alive():
                instance.work(10**6)
                instance.catch_up(10**6)
        found: dict[int, np.ndarray] = {}
        for instance in (one for number, one in self.instances.items() if number != self.twin):
            for seq, row in instance.features:
                assert seq not in found, f"packet {seq} is scored twice"
                found[seq] = row
        return found

    # ---- in place of clocks and sockets ----
    def monotonic_ns(self) -> int:
        return self.now_ns

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def connect(self, address: str, timeout: float) -> _Peer:
        return _Peer(self, int(address[1:]))


@dataclass(frozen=True)
class _Peer:
    """What a process has in hand when it calls another one."""

    world: MovingInstances
    number: int

    def __enter__(self) -> _Peer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, method: str, *params: Any) -> Any:
        return self.world.call(self.number, method, *params)
