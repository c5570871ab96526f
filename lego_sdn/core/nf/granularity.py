"""By what traffic may be split: Algorithm 1 of the LEGO paper (section III-A), and what a split costs and keeps exact.

An extractor declares for each statistic which packets write it and which streams its features read. A read relates the reader's
fields to the writer's: HH of a packet A->B reads the stream of B->A, so the reader's src_ip is the writer's dst_ip. Everything here
follows from such declarations; no network function is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.headers import ADDRESSES, HeaderGroup, spell, within

Link = tuple[str, str]  # (reader's field, writer's field): they hold the same value
Function = tuple[tuple[str, str], ...]


class DeclarationError(LegoError):
    """An extractor's declaration contradicts itself."""


def algorithm_1(groups: Iterable[HeaderGroup]) -> tuple[HeaderGroup, ...]:
    """The groups that lie within no other. One: split by it. Several: the traffic cannot be split cleanly."""
    distinct = list({group.fields: group for group in groups}.values())
    return tuple(g for g in distinct if not any(within(g, other) for other in distinct if other is not g))


@dataclass(frozen=True, slots=True)
class Read:
    """A feature (or an update) reads the stream of `statistic` whose writers hold, in the linked fields, the reader's values.

    No links: any packet may have written what is read. `rounding`: such writers change what is read by rounding only.
    """

    statistic: str
    links: frozenset[Link]
    rounding: bool = False

    @classmethod
    def same(cls, statistic: str, *fields: str) -> Read:
        """The reader's own stream."""
        return cls(statistic, frozenset((field, field) for field in fields))


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the extractor's output, and every read that its value depends on."""

    name: str
    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Statistic:
    """Streams keyed by the fields of `group`; `updates`: what a packet that writes a stream reads to do so.

    node  the keyed node of the graph that keeps it; it need not be said where Algorithm 1 has one result
    """

    name: str
    group: HeaderGroup
    features: tuple[Feature, ...] = ()
    updates: tuple[Read, ...] = ()
    node: str = ""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something about the traffic that a split may rely on: functions, each given as the field pairs (given, implied) that it maps.

    ("src_ip", "src_mac"), ("dst_ip", "dst_mac") is one function: an address, at whichever end, has one MAC.
    """

    name: str
    sentence: str
    functions: tuple[Function, ...]


@dataclass(frozen=True, slots=True)
class Extractor:
    """What a feature extractor declares. Features are in the order of its columns."""

    name: str
    statistics: tuple[Statistic, ...]
    assumptions: tuple[Assumption, ...] = ()

    def __post_init__(self) -> None:
        names = [statistic.name for statistic in self.statistics]
        if len(set(names)) != len(names):
            raise DeclarationError(f"extractor {self.name}: two statistics have one name in {names}")
        for statistic in self.statistics:
            for read in (*statistic.updates, *(read for feature in statistic.features for read in feature.reads)):
                if read.statistic not in names:
                    raise DeclarationError(f"extractor {self.name}: {statistic.name} reads {read.statistic}, which is not declared")

    @property
    def groups(self) -> tuple[HeaderGroup, ...]:
        return tuple(dict.fromkeys(statistic.group for statistic in self.statistics))

    @property
    def results(self) -> tuple[str, ...]:
        """The keyed nodes, where Algorithm 1 has several results and a node is told for every statistic: each gives a result of its own."""
        nodes = tuple(dict.fromkeys(statistic.node for statistic in self.statistics))
        return nodes if "" not in nodes and len(nodes) > 1 and len(algorithm_1(self.groups)) > 1 else ()

    def of_node(self, node: str) -> Extractor:
        """What a keyed node declares. DeclarationError if it reads a statistic of another node."""
        return Extractor(f"{self.name}: {node}", tuple(one for one in self.statistics if one.node == node), self.assumptions)

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(feature for statistic in self.statistics for feature in statistic.features)


class Copies(Enum):
    """Where the packets that write must also go, so that the reader's instance has them."""

    OWN = "own"  # nowhere: writer and reader have one owner
    SHADOW = "shadow"  # to the owner of other fields of theirs
    ALL = "all"  # to every instance: nothing in the packet tells who reads


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one read needs; `target`: the writer's fields whose owner gets the shadow, in the order of the granularity's sorted fields."""

    read: Read
    copies: Copies
    target: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """A split of an extractor's traffic by `granularity`: the copies it needs, and which features are then what.

    alone        exact without any copy
    exact        exact once packets are shadowed to the owners of `shadows`' fields (contains `alone`)
    rounding     as exact, but for the last bits: other senders' packets change what is read by rounding
    approximate  exact only if every packet is copied to every instance
    """

    granularity: HeaderGroup
    verdicts: tuple[Verdict, ...]
    shadows: tuple[tuple[str, ...], ...]
    alone: tuple[str, ...]
    exact: tuple[str, ...]
    rounding: tuple[str, ...]
    approximate: tuple[str, ...]

    def spell(self, target: tuple[str, ...]) -> str:
        """A shadow's destination in words."""
        fields = sorted(self.granularity.fields)
        if len(fields) == 1:
            return f"the owner of {spell(target)}"
        return "the owner of the key " + ", ".join(
            f"{spell([field])} = its {spell([theirs])}" for field, theirs in zip(fields, target, strict=True)
        )

    def deliveries(self, instances: int) -> float:
        """Packets delivered for each packet, expected where destinations spread evenly: every shadow misses the owner by 1 - 1/n."""
        return 1 + len(self.shadows) * (1 - 1 / instances)


def split_plan(extractor: Extractor, granularity: HeaderGroup, assume: Iterable[str] = ()) -> SplitPlan:
    """What splitting by `granularity` means for each feature; `assume` names assumptions of the extractor to rely on."""
    functions = _functions(extractor, tuple(assume))
    levels: dict[str, list[str]] = {"alone": [], "exact": [], "rounding": [], "approximate": []}
    verdicts: dict[Verdict, None] = {}
    shadows: dict[tuple[str, ...], None] = {}
    for feature in extractor.features:
        needed = [_verdict(read, granularity) for read in _all_reads(extractor, feature.reads, functions)]
        verdicts.update(dict.fromkeys(needed))
        level = _level(needed)
        levels[level].append(feature.name)
        if level != "approximate":
            shadows.update((verdict.target, None) for verdict in needed if verdict.copies is Copies.SHADOW)
        if all(verdict.copies is Copies.OWN for verdict in needed):
            levels["alone"].append(feature.name)
    return SplitPlan(granularity, tuple(verdicts), tuple(shadows), **{level: tuple(names) for level, names in levels.items()})


def _level(needed: Iterable[Verdict]) -> str:
    everywhere = {verdict.read.rounding for verdict in needed if verdict.copies is Copies.ALL}
    return "approximate" if False in everywhere else "rounding" if everywhere else "exact"


def _functions(extractor: Extractor, names: tuple[str, ...]) -> tuple[Function, ...]:
    known = {assumption.name: assumption for assumption in extractor.assumptions}
    for name in names:
        if name not in known:
            raise DeclarationError(f"assumption {name!r}: extractor {extractor.name} has {', '.join(known) or 'none'}")
    return tuple(function for name in names for function in known[name].functions)


def _all_reads(extractor: Extractor, reads: Iterable[Read], functions: tuple[Function, ...]) -> Iterator[Read]:
    """The reads, and what the packets behind each of them read to write: all of it must be where the reader is."""
    updates = {statistic.name: statistic.updates for statistic in extractor.statistics}
    todo = [_follow(read, functions) for read in reads]
    seen: set[Read] = set()
    while todo:
        read = todo.pop(0)
        if read not in seen:
            seen.add(read)
            yield read
            todo += [_follow(_through(read, update), functions) for update in updates[read.statistic]]


def _through(read: Read, update: Read) -> Read:
    """What the reader reads by way of a writer: the fields that are equal along both steps."""
    links = frozenset((mine, theirs) for mine, between in read.links for field, theirs in update.links if field == between)
    return Read(update.statistic, links, read.rounding or update.rounding)


def _follow(read: Read, functions: tuple[Function, ...]) -> Read:
    """With the links that follow: what a function maps equal fields to is equal too."""
    known = set(read.links)
    while True:
        follows = {(a, b) for pairs in functions for given, a in pairs for other, b in pairs if (given, other) in known}
        if follows <= known:
            return Read(read.statistic, frozenset(known), read.rounding)
        known |= follows


def _verdict(read: Read, granularity: HeaderGroup) -> Verdict:
    """Look for the reader's key in the header of the packets that write: same fields, other fields, or not there."""
    fields = sorted(granularity.fields)
    target = []
    for field in fields:
        found = sorted((theirs for mine, theirs in read.links if mine == field), key=_usefulness)
        if not found:
            return Verdict(read, Copies.ALL)
        target.append(field if field in found else found[0])
    return Verdict(read, Copies.OWN) if target == fields else Verdict(read, Copies.SHADOW, tuple(target))


def _usefulness(field: str) -> tuple[int, str]:
    """For an order of fields that hold one value: first those by which a switch can find an owner."""
    return ADDRESSES.index(field) if field in ADDRESSES else len(ADDRESSES), field
