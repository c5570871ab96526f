"""What a split would do, before it is done: load of each instance, shadows, state to move, rule changes, and what it gains.

Everything follows from what a capture says of buckets (`TrafficMatrix`), pure and exact for that capture; how the buckets were assigned is
somebody else's choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lego_sdn.core.facts.assignment import Owners, balance
from lego_sdn.core.traffic.handover import BucketMove
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules, diff

WORTH = 0.5  # a split pays if it brings at least this share of what it would bring if load could be divided at will and copies cost nothing
SHADOW_SHARE = (
    0.25  # cost of a shadow by that of a packet: it is parsed and followed, but not scored (docs/explanation/moves.md has the measurement)
)
EXTRACTION_SHARE = 0.6  # the same within feature quantization alone, all that a shadow meets: where only that brick's work is shared out

Sides = tuple[int, ...]  # the own bucket, then those of the copies that the split key asks for


@dataclass(frozen=True, slots=True)
class TrafficMatrix:
    """What a capture says of `buckets` buckets.

    packets  by the buckets of the split key's sides
    streams  by the buckets whose owners hold them: (streams, bytes) of the state that the capture leaves. None: it is not known
    frame_bytes  of a packet on the wire, on average
    """

    buckets: int
    packets: Mapping[Sides, int]
    streams: Mapping[Sides, tuple[int, int]] | None = None
    frame_bytes: float = 500.0

    @property
    def total(self) -> int:
        return sum(self.packets.values())

    @property
    def by_bucket(self) -> tuple[float, ...]:
        """Packets of each bucket."""
        own: Counter[int] = Counter()
        for (bucket, *_), packets in self.packets.items():
            own[bucket] += packets
        return tuple(float(own[bucket]) for bucket in range(self.buckets))


@dataclass(frozen=True, slots=True)
class Share:
    """One instance's part. `load`: its cost, as a share of that of one instance that does everything."""

    instance: int
    buckets: int
    packets: int
    shadows: int
    load: float


@dataclass(frozen=True, slots=True)
class SplitOutcome:
    """A split, predicted.

    owners         bucket -> instance; shares: by instance
    shadows        copies for each packet, on average
    moved          buckets that change hands; streams, state_bytes: what goes with them (None: not known)
    rules_added, rules_deleted   flows that the switch is told to add or replace, and to delete
    gain           how many times as much traffic can be carried as by one instance
    ideal          the gain if load could be divided at will and copies cost nothing
    """

    owners: Owners
    shares: tuple[Share, ...]
    shadows: float
    moved: int
    streams: int | None
    state_bytes: int | None
    rules_added: int
    rules_deleted: int
    gain: float
    ideal: int

    @property
    def pays(self) -> bool:
        """Whether the further capacity is `WORTH` the further instances."""
        return self.ideal == 1 or self.gain - 1 >= WORTH * (self.ideal - 1)

    @property
    def verdict(self) -> str:
        if self.pays:
            return f"pays: {self.gain:.2f} times the capacity of one instance"
        least = 1 + WORTH * (self.ideal - 1)
        return f"does not pay: {self.gain:.2f} times the capacity of one instance, worth it from {least:.2f} on"


@dataclass(frozen=True, slots=True)
class Prices:
    """What the prediction rests on: cost of a shadow by that of a packet, and the pipeline that rules are compiled for."""

    shadow: float = SHADOW_SHARE
    options: RuleOptions = field(default_factory=RuleOptions)


def predict(talk: TrafficMatrix, change: tuple[Owners, Owners], count: int, prices: Prices) -> SplitOutcome:
    """Going from the first owners to the second ones, which are `count` instances; every bucket has an owner in both."""
    before, after = change
    instances = sorted({owner for owner in after if owner is not None})
    packets, shadows = deliveries(talk, after, exact=prices.options.exact)
    load = {i: (packets[i] + prices.shadow * shadows[i]) / max(1, talk.total) for i in instances}
    streams, size = _state(talk, before, after)
    added, deleted = _rules(before, after, prices.options)
    return SplitOutcome(
        owners=after,
        shares=tuple(Share(i, after.count(i), packets[i], shadows[i], load[i]) for i in instances),
        shadows=shadows.total() / max(1, talk.total),
        moved=sum(old != new for old, new in zip(before, after, strict=True)),
        streams=streams,
        state_bytes=size,
        rules_added=added,
        rules_deleted=deleted,
        gain=1 / max(load.values()) if talk.total else 1.0,
        ideal=count,
    )


def deliveries(talk: TrafficMatrix, owners: Owners, exact: bool) -> tuple[Counter[int], Counter[int]]:
    """Packets and shadows by instance. A copy goes to its bucket's owner, unless that one has the packet already."""
    packets: Counter[int] = Counter()
    shadows: Counter[int] = Counter()
    for sides, count in talk.packets.items():
        own, *others = (owners[bucket] for bucket in sides)
        assert own is not None
        packets[own] += count
        for other in {*others} - {own} if exact else ():
            assert other is not None
            shadows[other] += count
    return packets, shadows


def _state(talk: TrafficMatrix, before: Owners, after: Owners) -> tuple[int | None, int | None]:
    """Streams and bytes that go from old to new owners: with each handover those that belong to its buckets."""
    if talk.streams is None:
        return None, None
    streams = size = 0
    for one in _move(before, after).handovers:
        chosen = set(one.buckets)
        for sides, (count, space) in talk.streams.items():
            if chosen.intersection(sides):
                streams, size = streams + count, size + space
    return streams, size


def _move(before: Owners, after: Owners) -> BucketMove:
    return BucketMove(0, _map(before), _map(after), frozenset())


def _map(owners: Owners) -> dict[int, int]:
    return {bucket: owner for bucket, owner in enumerate(owners) if owner is not None}


def _rules(before: Owners, after: Owners, options: RuleOptions) -> tuple[int, int]:
    """Flows to add or replace, and to delete, once every instance has a port."""
    move = _move(before, after)
    ports = {i: i for i in {*move.before.values(), *move.after.values()}}
    change = diff(compile_rules(move.before, ports, options), compile_rules(move.after, ports, options))
    return len(change.add), len(change.delete)


# ---- assignments ----
def one_owner(buckets: int, instance: int = 1) -> Owners:
    return (instance,) * buckets


def hashing(talk: TrafficMatrix, instances: int) -> Owners:
    """What the controller does by itself: from one instance, as few buckets as it takes to even out their packets."""
    return balance(one_owner(talk.buckets), talk.by_bucket, range(1, instances + 1))


def talkers(parts: Sequence[int], talk: TrafficMatrix) -> Owners:
    """Parts of a partition (any number for each bucket) as instances 1, 2, ...: the part that costs most to move stays with instance 1."""
    weight: Counter[int] = Counter()
    for sides, (_, space) in (talk.streams or {}).items():
        weight.update(dict.fromkeys({parts[bucket] for bucket in sides}, space))
    load = talk.by_bucket
    order = sorted(set(parts), key=lambda part: (-weight[part], -sum(load[b] for b, p in enumerate(parts) if p == part), part))
    number = {part: place for place, part in enumerate(order, start=1)}
    return tuple(number[part] for part in parts)


def graph(talk: TrafficMatrix) -> tuple[list[int], list[dict[int, int]]]:
    """The buckets as a graph: cost of each (its packets), and by neighbour the packets that both of them see."""
    nodes = [int(packets) for packets in talk.by_bucket]
    edges: list[dict[int, int]] = [{} for _ in range(talk.buckets)]
    for (own, *others), packets in talk.packets.items():
        for other in {*others} - {own}:
            edges[own][other] = edges[own].get(other, 0) + packets
            edges[other][own] = edges[other].get(own, 0) + packets
    return nodes, edges
