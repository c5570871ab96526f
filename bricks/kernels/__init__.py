"""Compiled kernels. Their cache is named after all their sources.

numba notices a change only in the file of the function that it cached, and goes on using what that one had compiled in from others.
"""

import hashlib
import os
from pathlib import Path

import numba


def _cache() -> Path:
    """A folder for exactly these sources: beside them, or below the user's cache if that place is not ours to write."""
    here = Path(__file__).parent
    sources = sorted([*here.rglob("*.py"), here.parent / "records" / "packets.py"])
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    below = here / "__pycache__" if os.access(here, os.W_OK) else Path.home() / ".cache" / "lego"
    return below / f"numba-{digest}"


if not numba.config.CACHE_DIR:  # NUMBA_CACHE_DIR goes first
    numba.config.CACHE_DIR = str(_cache())
