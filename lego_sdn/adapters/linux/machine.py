"""What the machine has and what of it is free, by the kernel's account."""

from __future__ import annotations

import os
from pathlib import Path

from lego_sdn.core.facts.errors import HostError

MEMINFO = Path("/proc/meminfo")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def memory(meminfo: Path = MEMINFO) -> dict[str, int]:
    """`memory_bytes` in all, and `free_bytes`: what can be had without swapping. HostError if the kernel does not say."""
    try:
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        total, free = (1024 * int(rows[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError) as error:
        raise HostError(f"{meminfo} does not say how much memory there is: {error!r}") from None
    return {"memory_bytes": total, "free_bytes": free}
