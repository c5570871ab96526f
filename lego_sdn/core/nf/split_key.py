"""The split key: a granularity made ready for use by the rules, the partition inside an instance, the hold and the state transfer.

Algorithm 1 and the split plan (`core/nf/granularity.py`) say by which header group an NF's traffic may be split, and with which copies. A
switch finds owners by the low bits of fields that it can mask. `split_key` brings the two together: a granularity of several fields is
bucketed by one field of it, which keeps its streams whole, and the plan is derived again for that coarser split. A plan that cannot be
carried out gives a key for one instance, with the reason; `require` refuses to split by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.headers import ADDRESSES, GROUPS, PORTS, SRC_IP, WORDS, HeaderGroup, spell
from lego_sdn.core.nf.granularity import Copies, DeclarationError, Extractor, SplitPlan, algorithm_1, split_plan

Fields = tuple[str, ...]
RESULTS_MOST = 2  # an own packet and a copy
ELSE = "exact: false would split all the same, and change scores"


class SplitError(LegoError):
    """A split of an NF's traffic that cannot be carried out."""


@dataclass(frozen=True, slots=True)
class SplitKey:
    """How packets find their owners.

    own      fields whose low bits are a packet's bucket, whose owner scores it; none: all packets are in bucket 0
    shadows  for each copy, the fields whose low bits are the bucket of its receiver, in the order of `own`
    inexact  features that a split by this key may change
    results  keyed nodes of which each gives a result of its own, where Algorithm 1 has several results
    whole    why all packets must go to one instance; None: they may be split
    """

    own: Fields
    shadows: tuple[Fields, ...] = ()
    inexact: tuple[str, ...] = ()
    whole: str | None = None
    results: tuple[str, ...] = ()

    @property
    def apart(self) -> bool:
        """Whether a packet is delivered once for each result: to the owner by `own` for the first, to that by `shadows` for the second,
        also where both are one instance. Such a copy is not taken into other state: it is a packet of the second result's own."""
        return bool(self.results) and len(self.sides) == len(self.results)

    @property
    def copies(self) -> int:
        """Shadows of a packet: what is taken into state and not scored."""
        return 0 if self.apart else len(self.shadows)

    def of_node(self, node: str) -> SplitKey:
        """The key by which replicas of a keyed node divide its packets."""
        return SplitKey(self.sides[self.results.index(node)]) if self.apart and node in self.results else self

    @property
    def exact(self) -> bool:
        return not self.inexact

    @property
    def sides(self) -> tuple[Fields, ...]:
        """The fields of the owner's bucket, then those of each copy's."""
        return self.own, *self.shadows

    def require(self, instances: int, what: str) -> None:
        """SplitError if `what` (of which there are so many) cannot share the packets out."""
        if instances > 1 and self.whole is not None:
            raise SplitError(f"{what} is {instances}, but one instance must take all packets: {self.whole}")

    def require_joined(self, stamps: str, audited: bool) -> None:
        """SplitError if the results of a packet could not be told for one packet's, or an auditor is to take each packet once."""
        if self.apart and stamps != "trailer":
            nodes = " and ".join(self.results)
            raise SplitError(f"capture.stamps: the results of {nodes} are joined by the stamps of packets; wanted trailer, found {stamps}")
        if self.apart and audited:
            raise SplitError(
                "audit.share: wanted 0: the reference instance takes each packet once, and this NF wants it once for each result"
            )

    def deliveries(self, instances: int) -> float:
        """Packets and copies for each packet, where owners are spread evenly."""
        if self.apart:
            return float(len(self.results))
        return 1 + len(self.shadows) * (1 - 1 / instances)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "own": list(self.own),
            "shadows": [list(fields) for fields in self.shadows],
            "sentence": str(self),
            "exact": self.exact,
            "inexact": list(self.inexact),
            "results": list(self.results),
            "one_instance_because": self.whole,
            "deliveries_per_packet": {str(n): round(self.deliveries(n), 3) for n in (2, 3, 4, 8)} if self.whole is None else {"1": 1.0},
        }

    def __str__(self) -> str:
        if self.whole is not None:
            return f"one instance takes all packets: {self.whole}"
        if self.apart:
            return ", ".join(f"{node}: buckets of {spell(side)}" for node, side in zip(self.results, self.sides, strict=True))
        copies = " and ".join(f"the owner of {spell(fields)}" for fields in self.shadows)
        return f"buckets of {spell(self.own)}, " + (f"copies to {copies}" if copies else "no copies")


class Configured(Protocol):
    """A configuration, or a spec: whatever says how an NF's traffic is to be split."""

    @property
    def exact(self) -> bool: ...

    @property
    def granularity(self) -> str | None: ...


BY_SOURCE = SplitKey(("src_ip",), (("dst_ip",),))  # Kitsune's key


def bits_of(buckets: int, fields: int) -> tuple[int, ...]:
    """How many low bits of each field make up a bucket's number, the first field's highest. `buckets` is a power of two."""
    total = buckets.bit_length() - 1
    return tuple(total // fields + (at < total % fields) for at in range(fields))


def configured_key(extractor: Extractor, wanted: Configured) -> SplitKey:
    """The key that is carried out."""
    return split_key(extractor, wanted.exact, GROUPS.get(wanted.granularity or ""))


def split_key(extractor: Extractor, exact: bool = True, by: HeaderGroup | None = None) -> SplitKey:
    """The key by which an NF's traffic is split: by Algorithm 1's result, or by the header group `by`.

    Exact: with every copy that the plan asks for. Else without any copy, whatever that does to the scores.
    """
    return replace(_split_key(extractor, exact, by), results=extractor.results)


def _split_key(extractor: Extractor, exact: bool, by: HeaderGroup | None) -> SplitKey:
    groups = algorithm_1(extractor.groups) if by is None else (by,)
    groups = groups or (SRC_IP,)  # nothing is kept of any packet: any field will do
    for group in groups:
        if not group.fields:
            return _one_instance(f"{_keyed_by(extractor, group)} is keyed by {group}: every packet writes it")
    if not exact:
        return _without_copies(extractor, groups, by)
    if len(groups) > 1 and extractor.results:
        return _each_by_its_own(extractor)
    if len(groups) > 1:
        first, second = (_keyed_by(extractor, group) for group in groups[:2])
        reason = f"{first} is keyed by {groups[0]} and {second} by {groups[1]}, and neither lies within the other"
        return _one_instance(f"{reason} ({ELSE})")
    plans = [split_plan(extractor, HeaderGroup.of(WORDS[field], field)) for field in _maskable(groups[0].fields)]
    if not plans:
        return _one_instance(_unmaskable(extractor, groups[0]))
    best = min(plans, key=_price)
    obstacle = _obstacle(best)
    return SplitKey(tuple(best.granularity.fields), best.shadows) if obstacle is None else _one_instance(f"{obstacle} ({ELSE})")


def _each_by_its_own(extractor: Extractor) -> SplitKey:
    """A packet goes to the owner of each keyed node's key. Each must need no copies; a switch tells two deliveries apart."""
    if len(extractor.results) > RESULTS_MOST:
        nodes = ", ".join(extractor.results)
        return _one_instance(f"{len(extractor.results)} keyed nodes ({nodes}) divide packets by keys of their own, and a switch marks two")
    sides = []
    for node in extractor.results:
        try:
            key = _split_key(extractor.of_node(node), True, None)
        except DeclarationError as error:  # it reads what another node has
            return _one_instance(f"node {node} cannot be split from the others: {error}")
        if key.whole is not None:
            return key
        if key.shadows:
            copies = f"copies to the owner of {spell(key.shadows[0])}"
            return _one_instance(f"node {node} needs {copies}, and a switch cannot tell them from the packets of another node")
        sides.append(key.own)
    return SplitKey(sides[0], tuple(sides[1:]), results=extractor.results)


def _without_copies(extractor: Extractor, groups: tuple[HeaderGroup, ...], by: HeaderGroup | None) -> SplitKey:
    """A group that is asked for is taken with all of its fields; else the field of Algorithm 1's results that changes fewest features."""
    fields = frozenset[str]().union(*(group.fields for group in groups))
    sides = [(field,) for field in _maskable(fields)] if by is None else [tuple(sorted(fields))]
    if not sides or (by is not None and not fields <= {*ADDRESSES, *PORTS}):
        return _one_instance(_unmaskable(extractor, groups[0]))
    kept = {own: split_plan(extractor, HeaderGroup.of(spell(own), *own)).alone for own in sides}
    own = max(sides, key=lambda side: len(kept[side]))  # of equal ones the first
    return SplitKey(own, (), tuple(feature.name for feature in extractor.features if feature.name not in kept[own]))


def _maskable(fields: Iterable[str]) -> Fields:
    return tuple(field for field in ADDRESSES if field in fields)


def _price(plan: SplitPlan) -> tuple[bool, int]:
    """Exact ones first, then those with the fewest copies."""
    return _obstacle(plan) is not None, len(plan.shadows)


def _obstacle(plan: SplitPlan) -> str | None:
    """Why a split by one field cannot be carried out, or None: the statistic of a read that would need more than copies to owners."""
    field = plan.granularity.name
    for verdict in plan.verdicts:
        if verdict.copies is Copies.ALL:
            what = f"{verdict.read.statistic} would need copies of every packet in every instance"
            return f"{what}: no header field of the packets that write it leads to the reader's {field}"
        if verdict.copies is Copies.SHADOW and not set(verdict.target) <= set(ADDRESSES):
            return f"{verdict.read.statistic} needs copies to the owner of {spell(verdict.target)}, which a switch cannot mask"
    return None


def _unmaskable(extractor: Extractor, group: HeaderGroup) -> str:
    return f"{_keyed_by(extractor, group)} is keyed by {spell(group.fields)}, and a switch cannot mask such a key in every packet"


def _keyed_by(extractor: Extractor, group: HeaderGroup) -> str:
    """The first statistic of a group, in words."""
    name = next((statistic.name for statistic in extractor.statistics if statistic.group.fields == group.fields), None)
    return "the split that is asked for" if name is None else f"statistic {name}"


def _one_instance(reason: str) -> SplitKey:
    return SplitKey((), whole=reason)
