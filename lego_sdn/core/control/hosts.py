"""What the core knows of each host by its name: whether its agent answers, and what it has."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL = "local"  # the controller's own machine, which is the only host today


@dataclass(frozen=True, slots=True)
class HostState:
    """A machine with an agent.

    agent         whether it answers (None: it has not spoken yet)
    cores         of the host; memory_bytes: of it (None: the agent does not say)
    free_bytes    of the memory, as of the last round of reports (None: the agent does not say)
    """

    agent: bool | None = None
    cores: float | None = None
    memory_bytes: float | None = None
    free_bytes: float | None = None
