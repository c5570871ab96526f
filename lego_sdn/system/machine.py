"""The machine on which figures were taken."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """CPU, cores that this process may use, memory, kernel, versions, and the load of others before the bench began."""
    return {
        "cpu": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "mhz": _number(_line("/proc/cpuinfo", "cpu MHz")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(_number(_line("/proc/meminfo", "MemTotal")) / 1e6, 1),
        "hypervisor": "hypervisor" in _line("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numba": version("numba"),
        "numpy": version("numpy"),
        "load": round(os.getloadavg()[0], 2),
    }


def _line(file: str, key: str) -> str:
    """What a file of /proc says of a key, or an empty text."""
    with contextlib.suppress(OSError), Path(file).open() as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    return ""


def _number(text: str) -> float:
    """The number with which a text begins, or 0."""
    try:
        return float(text.split()[0])
    except (IndexError, ValueError):
        return 0.0


def is_root() -> bool:
    """Whether rows that need namespaces and a switch can be measured."""
    return os.geteuid() == 0
