"""Everything that an experiment can leave behind on a host, to be compared before and after it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import psutil


def traces() -> set[tuple[str, str]]:
    """Bridges, namespaces, interfaces, rings, limits of the kernel, and processes of LEGO's and Mininet's."""
    bridges = subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True, check=True).stdout.split()
    found = {("bridge", name) for name in bridges} | {("interface", name) for _, name in socket.if_nameindex()}
    found |= {("namespace", path.name) for path in _in(Path("/run/netns"))}
    found |= {("ring", path.name) for path in _in(Path("/dev/shm")) if path.name.startswith("lego-")}
    found |= {("limit", f"{name}={Path('/proc/sys', name).read_text().strip()}") for name in ("kernel/pty/max", "fs/file-max")}
    return found | {("process", f"{process.pid}") for process in psutil.process_iter(["cmdline"]) if _is_ours(process)}


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_ours(process: psutil.Process) -> bool:
    words = process.info["cmdline"] or []
    return "lego_sdn" in words or any(word.startswith("mininet:") for word in words)
