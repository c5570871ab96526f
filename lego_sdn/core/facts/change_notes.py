"""What is told of changes, of buckets that move, and of what becomes of scores."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.facts.notes import Kind, Note


# ---- changes ----
@dataclass(frozen=True, slots=True)
class InstanceStarting(Note, kind="replicate"):
    """evidence: what it was decided on."""

    evidence: str

    def _words(self) -> str:
        return f"starting instance {self.instance}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class InstanceLeaving(Note, kind="merge"):
    """heirs: who gets its buckets; buckets: how many these are."""

    buckets: int
    heirs: tuple[int, ...]
    evidence: str

    def _words(self) -> str:
        return f"instance {self.instance} leaves, its {self.buckets} buckets go to {_list(self.heirs)}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class BucketsReassigned(Note):
    """Buckets are to move between running instances; buckets: how many; heirs: who gets them."""

    change: Kind
    buckets: int
    heirs: tuple[int, ...]
    evidence: str

    @property
    def kind(self) -> Kind:
        return self.change

    def _words(self) -> str:
        return f"{self.buckets} buckets move to {_list(self.heirs)}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class BrickChange(Note):
    """A change within an instance begins. node: of the graph, whose brick is concerned (None: none in particular); action: in words."""

    change: Kind
    node: str | None
    action: str
    evidence: str

    @property
    def kind(self) -> Kind:
        return self.change

    def _words(self) -> str:
        return f"{self.action}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class ChangeEnded(Note):
    """seconds: since it began."""

    change: Kind
    outcome: str
    seconds: float

    @property
    def kind(self) -> Kind:
        return self.change

    def _words(self) -> str:
        return f"{self.kind} {self.outcome} after {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Advice(Note, kind="advice"):
    """A change that would be made (`change`), were scaling not to advise only."""

    change: str
    evidence: str

    def _words(self) -> str:
        return f"{self.change}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class Refused(Note, kind="refused"):
    """A change that was asked for or suggested (`change`), and why it is not made; evidence: of the suggestion."""

    change: str
    reason: str
    evidence: str = ""

    def _words(self) -> str:
        return f"{self.change} refused: {self.reason}" + (f" ({self.evidence})" if self.evidence else "")


@dataclass(frozen=True, slots=True)
class ScalingPaused(Note, kind="pause"):
    """paused: else it goes on; earlier: it was so before this controller started."""

    paused: bool
    earlier: bool = False

    def _words(self) -> str:
        if self.earlier:
            return "scaling is paused, as it was before this controller started; lego resume lets it go on"
        return "scaling is paused" if self.paused else "scaling goes on"


# ---- buckets and scores ----
@dataclass(frozen=True, slots=True)
class BucketsMoved(Note, kind="moved"):
    """Streams were handed over to `instance` by `old`. buckets: how many; named: which, in words; packets: that had waited."""

    old: int
    buckets: int
    named: str
    records: int
    bytes: int
    packets: int

    def _words(self) -> str:
        what = f"{self.records} streams in {self.bytes} bytes, {self.packets} packets"
        return f"{self.named} moved from instance {self.old} to {self.instance}: {what}"


@dataclass(frozen=True, slots=True)
class MoveEnded(Note, kind="moved"):
    """All handovers of a move together: how long packets waited at the most (ms), and how many did."""

    handovers: int
    ms: float
    held: int

    def _words(self) -> str:
        many = f"{self.handovers} handover{'s' * (self.handovers > 1)}"
        return f"{many} took {self.ms:.0f} ms; {self.held} packets waited meanwhile"


@dataclass(frozen=True, slots=True)
class MoveResumed(Note, kind="move"):
    """A controller before this one began it."""

    def _words(self) -> str:
        return "a move of buckets was begun and not ended before this controller started: it is finished now"


@dataclass(frozen=True, slots=True)
class Inexact(Note, kind="inexact"):
    """Scores may differ from those of the unsplit run. reason: a short name, of a fixed set; count: of losses or features, where
    they are counted."""

    reason: str
    sentence: str
    count: int = 1

    def _words(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class TwinFailed(Note, kind="audit"):
    """The auditor's instance; it is tried again in `wait_s` seconds."""

    reason: str
    wait_s: float

    def _words(self) -> str:
        return f"the twin, instance {self.instance}, failed: {self.reason}; it is tried again in {self.wait_s:.0f} s"


@dataclass(frozen=True, slots=True)
class AuditBegun(Note, kind="audit"):
    """The auditor's instance has every stream. buckets: how many are compared, from the packet after stamp `after` on."""

    streams: int
    bytes: int
    buckets: int
    after: int

    def _words(self) -> str:
        has = f"the twin has {self.streams} streams in {self.bytes} bytes"
        return f"{has}; of {self.buckets} buckets, packets after stamp {self.after} are compared"


@dataclass(frozen=True, slots=True)
class AuditAlarm(Note, kind="audit"):
    """A score of `instance` is not that of the auditor's. found: in words; different of compared scores differ so far."""

    found: str
    different: int
    compared: int

    def _words(self) -> str:
        return f"ALARM: {self.found}; {self.different} of {self.compared} scores differ so far"


@dataclass(frozen=True, slots=True)
class PromiseBroken(Note, kind="sla"):
    """promises: of `latency`, `loss`, those that an instance breaks; the shares of its packets that were late and lost, in a window."""

    promises: tuple[str, ...]
    late_share: float
    lost_share: float
    sentence: str

    def _words(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class PromiseKept(Note, kind="sla"):
    """Again, after it was broken."""

    def _words(self) -> str:
        return f"instance {self.instance} keeps the promise again"


def _list(instances: tuple[int, ...]) -> str:
    return ("instance " if len(instances) == 1 else "instances ") + ", ".join(map(str, instances))
