"""What is told of the standby: the instance that takes over from one that dies."""

from __future__ import annotations

from dataclasses import dataclass

from lego_sdn.core.facts.notes import Note


@dataclass(frozen=True, slots=True)
class StandbyStarting(Note, kind="standby"):
    def _words(self) -> str:
        return f"starting instance {self.instance} as the standby"


@dataclass(frozen=True, slots=True)
class StandbyReady(Note, kind="standby"):
    """It has every stream: the death of an instance costs no score from now on."""

    def _words(self) -> str:
        return f"the standby, instance {self.instance}, is ready: it has every stream"


@dataclass(frozen=True, slots=True)
class StandbyFailed(Note, kind="standby"):
    """The standby cannot take over any more. No score depends on it; another one is started in `wait_s` seconds."""

    reason: str
    wait_s: float

    def _words(self) -> str:
        return f"the standby, instance {self.instance}, failed: {self.reason}; another one is started in {self.wait_s:.1f} s"


@dataclass(frozen=True, slots=True)
class StandbyTakesOver(Note, kind="standby"):
    """`instance`, the standby until now, owns the buckets of instance `dead` from now on; buckets: how many."""

    dead: int
    buckets: int

    def _words(self) -> str:
        return f"instance {self.instance}, the standby, takes over {self.buckets} buckets from instance {self.dead}"


@dataclass(frozen=True, slots=True)
class StandbyTookOver(Note, kind="standby"):
    """scored: packets that instance `dead` had not scored; at: epoch seconds of the first score of `instance`."""

    dead: int
    scored: int
    at: float

    def _words(self) -> str:
        return f"instance {self.instance} took over from instance {self.dead}: it scored {self.scored} packets that were not scored yet"
