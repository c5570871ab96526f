"""What is told of instances, their bricks and the switch: how they come, go and fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lego_sdn.core.facts.notes import Note


@dataclass(frozen=True, slots=True)
class EarlyDeath:
    """A death too soon after the start: how long it lived, how many of these came in a row, how long the next start waits (seconds)."""

    lived_s: float
    failures: int
    wait_s: float

    def __str__(self) -> str:
        return f"it lived {self.lived_s:.0f} s, death {self.failures} in a row: the next one waits {self.wait_s:.1f} s"


@dataclass(frozen=True, slots=True)
class InstanceDied(Note, kind="failed"):
    """An instance failed while it took packets. lived_s: seconds since its last phase began; early: None if it had lived well."""

    reason: str
    lived_s: float
    early: EarlyDeath | None = None

    def _words(self) -> str:
        return f"instance {self.instance} failed: {self.reason}" + (f"; {self.early}" if self.early else "")


@dataclass(frozen=True, slots=True)
class StartFailed(Note, kind="failed"):
    reason: str

    def _words(self) -> str:
        return f"instance {self.instance} did not start: {self.reason}"


@dataclass(frozen=True, slots=True)
class StopFailed(Note, kind="failed"):
    """given_up: nobody asks again."""

    reason: str
    given_up: bool = False

    def _words(self) -> str:
        if self.given_up:
            return f"instance {self.instance} could not be stopped ({self.reason}); it owns nothing and is left to the agent"
        return f"instance {self.instance} did not stop: {self.reason}"


@dataclass(frozen=True, slots=True)
class DrainFailed(Note, kind="failed"):
    """An instance that was to be drained had packets queued at its deadline, or (`answered` false) said nothing."""

    answered: bool

    def _words(self) -> str:
        what = "still had packets queued at its deadline" if self.answered else "did not say that it is drained"
        return f"instance {self.instance} {what}"


@dataclass(frozen=True, slots=True)
class BricksDied(Note, kind="failed"):
    """Replicas whose processes died: the instance goes on without them. early: of those that died too soon."""

    bricks: tuple[str, ...]
    reasons: tuple[str, ...]
    early: tuple[EarlyDeath, ...] = ()

    def _words(self) -> str:
        without = ", ".join(self.bricks) or "a replica"
        return f"instance {self.instance} goes on without {without}: {'; '.join([*self.reasons, *map(str, self.early)])}"


@dataclass(frozen=True, slots=True)
class ProcessSilent(Note, kind="failed"):
    """A process of an instance does not answer and is taken out."""

    process: str
    reason: str

    def _words(self) -> str:
        return f"{self.reason}; other replicas do its work"


@dataclass(frozen=True, slots=True)
class ChangeFailed(Note, kind="failed"):
    """A change within an instance failed: it is as it was. change: what was asked, by its short name; action: in words."""

    change: str
    action: str
    reason: str

    def _words(self) -> str:
        return f"{self.action}: {self.reason}; instance {self.instance} goes on as it was"


@dataclass(frozen=True, slots=True)
class GaveUp(Note, kind="failed"):
    """After failures in a row, nothing of this sort is begun for a while (seconds)."""

    what: Literal["starting instances", "changes within instances"]
    failures: int
    wait_s: float

    def _words(self) -> str:
        rows = f"{self.wait_s:.0f} s after {self.failures} failures in a row"
        return f"gave up {self.what} for {rows}; command resume tries again at once"


@dataclass(frozen=True, slots=True)
class RulesRefused(Note, kind="failed"):
    """By the switch. version: of the rules; None: they were to be put right."""

    version: int | None
    reason: str

    def _words(self) -> str:
        if self.version is None:
            return f"the rules could not be put right: {self.reason}"
        return f"the switch refused rules (version {self.version}): {self.reason}"


@dataclass(frozen=True, slots=True)
class RulesRepaired(Note, kind="repair"):
    """Of LEGO's rules, how many were missing, had other actions, or were not put there by LEGO."""

    missing: int
    changed: int
    added: int
    sentence: str

    def _words(self) -> str:
        return self.sentence


# ---- what comes and goes ----
@dataclass(frozen=True, slots=True)
class InstanceRuns(Note, kind="started"):
    """An instance takes packets from now on. port: its OpenFlow port; buckets: how many it gets."""

    port: int
    buckets: int

    def _words(self) -> str:
        return f"instance {self.instance} runs behind port {self.port} and gets {self.buckets} buckets"


@dataclass(frozen=True, slots=True)
class BrickRuns(Note, kind="started"):
    """A replica of a brick, in this instance."""

    brick: str

    def _words(self) -> str:
        return f"{self.brick} runs in instance {self.instance}"


@dataclass(frozen=True, slots=True)
class InstanceAdopted(Note, kind="adopted"):
    """It ran before this controller did."""

    buckets: int

    def _words(self) -> str:
        return f"instance {self.instance} was running already, with {self.buckets} buckets"


@dataclass(frozen=True, slots=True)
class BricksGone(Note, kind="stopped"):
    """Somebody asked the agent to take these replicas out."""

    bricks: tuple[str, ...]

    def _words(self) -> str:
        return f"instance {self.instance} goes on without {', '.join(self.bricks)}: its agent was asked to take it out"


@dataclass(frozen=True, slots=True)
class SwitchSeen(Note, kind="switch"):
    """The steered switch. event: what it did; another: the datapath id of the one that is connected already."""

    dpid: int
    event: Literal["connected", "disconnected", "ignored"]
    another: int | None = None

    def _words(self) -> str:
        if self.event == "ignored":
            return f"switch {self.dpid:#x} is ignored: switch {self.another or 0:#x} is connected"
        goes_on = "; as long as it runs it goes on with the rules it has" if self.event == "disconnected" else ""
        return f"switch {self.dpid:#x} {self.event}{goes_on}"


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Note, kind="refused"):
    """Of a switch, or of whoever came to one of the controller's ports."""

    sentence: str

    def _words(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class ModelMissing(Note, kind="agent"):
    """None is configured."""

    def _words(self) -> str:
        return "no model is configured: no instance is started"


@dataclass(frozen=True, slots=True)
class HostProblem(Note, kind="host"):
    """What the agent says is wrong with its host; over: it was."""

    problem: str
    over: bool = False

    def _words(self) -> str:
        return f"that is over: {self.problem}" if self.over else self.problem
