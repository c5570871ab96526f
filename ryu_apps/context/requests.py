"""What one app of the controller asks of another, as values: `Shared.ask` hands each to the app that performs its type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadFlows:
    """LEGO's flows on the steered bridge, read now. Answer: list[Flow]. SwitchError if they cannot be had. By `Steering`."""


@dataclass(frozen=True, slots=True)
class RestartAudit:
    """Give the auditor's instance every stream again. Answer: None; it is done later. By `Steering`."""


@dataclass(frozen=True, slots=True)
class PullLastScores:
    """Take the scores that the audit still lacks from an instance that is about to be stopped. Answer: None, when done. By `Auditor`."""

    instance: int


REQUESTS = (ReadFlows, RestartAudit, PullLastScores)
