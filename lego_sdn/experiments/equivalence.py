"""The live proof: instances come, go and exchange buckets while stamped packets pass a real switch, and no score differs by a bit.

A script of steps is carried out while the traffic flows, one step after the other; afterwards every packet is accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.accounting import RunSummary
from lego_sdn.experiments.endpoints import OfferedTraffic
from lego_sdn.experiments.run import Experiment, Prepared, RunObservation

NETWORK = "unsupervised-network"
FLOWING = 300  # packets taken in by a brick: then there is something to hold and to hand over


@dataclass(frozen=True)
class ProofStep:
    """One thing done to the running system. `do` returns why it was refused, or None: then the next step waits until it is over."""

    words: str
    do: Callable[[Drive, RunObservation], str | None]
    then: tuple[Callable[[Drive], None], ...] = ()  # right after it was begun


@dataclass
class Drive:
    """An experiment whose instances come and go by a script, not by load.

    whole   all of the load is sent; else the sending ends soon after the last step
    """

    experiment: Experiment
    load: OfferedTraffic
    whole: bool = True
    done: list[ProofStep] = field(default_factory=list)
    left: list[ProofStep] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    _until: int = 0  # packets that the bricks have taken in when the sending ends; 0: not yet known

    def go(self, steps: Sequence[ProofStep], settle_s: float = 60.0) -> Iterator[RunObservation]:
        """Carry the steps out while the traffic goes on; every look at the system on the way.

        Steps that the traffic leaves no time for stay in `left`.
        """
        self.left = list(steps)
        if refusal := self.ask("pause"):
            raise HostError(f"the controller does not leave the instances to this script: {refusal}")
        for seen in self.experiment.watch(self.load, settle_s):
            if self.left and seen.quiet and self.experiment.sending and _flows(seen):
                self._try(self.left[0], seen)
            elif not (self.whole or self.left) and seen.quiet:
                self._end_soon(seen)
            yield seen
            if seen.quiet and not self.experiment.sending:  # instances that the script leaves there are no change to wait for
                return

    def _try(self, step: ProofStep, seen: RunObservation) -> None:
        refusal = step.do(self, seen)
        if refusal is not None:  # what it waits for may come
            self.refusals.append(f"{step.words}: {refusal}")
            return
        self.done.append(self.left.pop(0))
        for then in step.then:
            then(self)

    def _end_soon(self, seen: RunObservation) -> None:
        """Let some packets through after the last step, with whatever it left behind; then the sending ends."""
        taken = sum(brick["packets_in"] for brick in seen.bricks["bricks"])
        self._until = self._until or taken + FLOWING
        if taken >= self._until:
            self.experiment.enough()

    def ask(self, command: str, **body: Any) -> str | None:
        """A command to the controller: why it was refused, or None once it is begun."""
        try:
            self.experiment.ask(command, **body)
        except HostError as error:  # it refuses, or is being started anew
            return str(error)
        return None

    def call(self, method: str, *params: Any) -> Any:
        """A call of the agent."""
        return self.experiment.system.agent.call(method, *params, timeout=30.0)


def _flows(seen: RunObservation) -> bool:
    return any(brick["packets_in"] > FLOWING for brick in seen.bricks["bricks"])


# ---- steps ----
def replicate() -> ProofStep:
    return ProofStep("one more instance", lambda drive, _: drive.ask("replicate"))


def merge(instance: int) -> ProofStep:
    return ProofStep(f"instance {instance} leaves", lambda drive, _: drive.ask("merge", instance=instance))


def move(buckets: Sequence[int], to: int, *then: Callable[[Drive], None]) -> ProofStep:
    words = f"{len(buckets)} bucket{'s' * (len(buckets) != 1)} to instance {to}"
    return ProofStep(words, lambda drive, _: drive.ask("move", buckets=list(buckets), instance=to), then)


def move_busiest(of: int, to: int) -> ProofStep:
    """The bucket of an instance that has most packets."""

    def do(drive: Drive, seen: RunObservation) -> str | None:
        owned = [row for row in seen.assignment["buckets"] if row["owner"] == of]
        if not owned:
            return f"instance {of} owns no bucket"
        return drive.ask("move", buckets=[max(owned, key=lambda row: row["packets_per_s"])["bucket"]], instance=to)

    return ProofStep(f"the busiest bucket of instance {of} to {to}", do)


def grow(instance: int) -> ProofStep:
    """A replica of the learning network."""
    words = f"a replica of the learning network of instance {instance}"
    return ProofStep(words, lambda drive, _: drive.ask("replicate", instance=instance, brick=NETWORK))


def shrink(instance: int) -> ProofStep:
    """Its youngest replica goes."""

    def do(drive: Drive, seen: RunObservation) -> str | None:
        there = [one["serial"] for one in seen.bricks["bricks"] if (one["instance"], one["kind"]) == (instance, NETWORK)]
        if len(there) < 2:
            return f"instance {instance} has {len(there)} replicas of {NETWORK}"
        return drive.ask("merge", instance=instance, brick=f"{NETWORK}-{max(there)}")

    return ProofStep(f"the replica of the learning network of instance {instance} merged", do)


def script() -> tuple[ProofStep, ...]:
    """1 -> 3 -> 2 -> 4 -> 1 instances; buckets move back and forth; the learning network is replicated and merged meanwhile."""
    back_and_forth = (move_busiest(1, 2), move_busiest(2, 1), move(range(32), 2), move(range(32), 1))
    return (
        *(replicate(), replicate(), grow(1), *back_and_forth, merge(3)),
        *(grow(2), replicate(), shrink(1), replicate(), shrink(2)),
        *(merge(2), merge(4), merge(3)),
    )


# ---- what came of it ----
@dataclass(frozen=True)
class Proof:
    """What a script did to the scores. `undone`: steps that the traffic left no time for."""

    summary: RunSummary
    steps: tuple[str, ...]
    undone: tuple[str, ...]
    most_instances: int

    @property
    def holds(self) -> bool:
        """Everything was done, and each packet that was sent has one score, which has the bits of the unsplit run."""
        compared = self.summary.comparison
        whole = self.summary.accounted and not self.summary.dropped and not self.summary.out_of_order
        return not self.undone and whole and compared.equal == self.summary.due

    @property
    def figures(self) -> dict[str, Any]:
        """Of all moves together: durations, whole and of the part that packets wait for; what was carried; how many packets waited."""
        rows = self.summary.moves
        handovers = [one for row in rows for one in row["handovers"]]
        took, held = ([row[name] for row in rows] for name in ("ms", "held_ms"))
        return {
            "packets_per_s": self.summary.sent / self.summary.seconds if self.summary.seconds else 0.0,
            "moves": len(rows),
            "buckets": sum(len(one["buckets"]) for one in handovers),
            "median_ms": median(took) if took else 0.0,
            "longest_ms": max(took, default=0.0),
            "median_held_ms": median(held) if held else 0.0,
            "longest_held_ms": max(held, default=0.0),
            "state_bytes": sum(one["bytes"] for one in handovers),
            "streams": sum(one["records"] for one in handovers),
            "packets_held": sum(row["held"] for row in rows),
            "packets_handed_over": sum(one["packets"] for one in handovers),
            "inexact": [one["error"] for one in handovers if one["error"]],
        }

    def as_dict(self) -> dict[str, Any]:
        steps = {"steps": list(self.steps), "undone": list(self.undone), "most_instances": self.most_instances}
        return {"holds": self.holds, "figures": self.figures} | steps | self.summary.as_dict()


def prove(
    drive: Drive, prepared: Prepared, steps: Sequence[ProofStep], show: Callable[[RunObservation], None] = lambda seen: None
) -> Proof:
    """Carry out the steps and account for every packet."""
    most = 0
    for seen in drive.go(steps):
        most = max(most, seen.instances)
        show(seen)
    summary = drive.experiment.finish(prepared.unsplit, prepared.packets)
    return Proof(summary, tuple(step.words for step in drive.done), tuple(step.words for step in drive.left), most)
