"""What a standby is told, and what is known of it: the instance that has every packet in its state and takes over from one that dies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.backoff import Backoff

KEPT_ROWS = 1 << 16  # packets whose features a standby keeps until their owner has scored them
FEATURE_BYTES, RECORD_BYTES = 8, 82  # of a kept packet: each feature; its record and bucket


def scored_file(run_dir: str, instance: int) -> str:
    """Where an instance writes how far it has scored."""
    return f"{run_dir.rstrip('/')}/i{instance}.scored"


def kept_bytes(features: int) -> int:
    """Memory of the rows that a standby keeps, when it is full."""
    return KEPT_ROWS * (features * FEATURE_BYTES + RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Instance `heir`, a standby until now, owns what instance `dead` owned; if that is nothing, it scores what is left and stays one."""

    dead: int
    heir: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of it. error: why the heir does not score; None: it does.

    scored    packets that were kept, and are scored now
    complete  whether these are all that the dead instance had not scored, with the features that they should have
    at        epoch seconds of the first score
    """

    of: TakeOver
    scored: int = 0
    complete: bool = True
    at: float = 0.0
    error: str | None = None

    @classmethod
    def told(cls, of: TakeOver, answer: Mapping[str, Any]) -> TakenOver:
        """As the heir answers."""
        return cls(of, int(answer["scored"]), bool(answer["complete"]), float(answer["at"]))


@dataclass(frozen=True, slots=True)
class StandbyInstance:
    """The standby, as the controller knows it: `instance` is its number (None: there is none).

    starting, stopping  asked of the agent
    copying             takes every packet, and is being given the streams
    ready               has all of them
    backoff             failures in a row; no start before its end
    """

    phase: Literal["absent", "starting", "copying", "ready", "stopping"] = "absent"
    instance: int | None = None
    since: float = 0.0
    ofport: int | None = None
    arrangement: Arrangement = field(default_factory=Arrangement)
    backoff: Backoff = field(default_factory=Backoff)
