"""Where rings are: a folder for each run under the shared memory, which nobody but the user of the run may look into or write into.

The ring `lego-RUN-i1-r0` is `/dev/shm/lego-RUN.UID/lego-RUN-i1-r0`. The shared memory is everybody's: another user could take a name there
before it is used. Root moves such a folder out of its way; others are told. No module of numbers is imported here: `lego down` uses it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.text import shown

FOLDER = Path("/dev/shm")
ATTEMPTS = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def place_of(name: str) -> Path:
    """Where a ring of this name is, or would be. BrickError if it is no name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BrickError(f"{shown(name)} is no name for a ring: use letters, digits, dot, dash and underscore, at most 100")
    return _parent_of(name) / name


def make_parent(name: str) -> Path:
    """The folder of a ring's run, made if it is not there. BrickError if another user has that name, or may look into the folder."""
    parent = place_of(name).parent
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent, 0o700)
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, with the last ring of a run
            if is_ours(parent):
                return parent
            if os.geteuid() != 0:
                break
            os.rename(parent, parent.with_name(f"foreign-{secrets.token_hex(8)}"))
    raise BrickError(f"{parent} is another user's, or open to others: remove it")


def is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user's that others cannot use. FileNotFoundError if there is none."""
    found = os.stat(folder, follow_symlinks=False)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def remove(name: str) -> None:
    """Remove a ring, if it is there, and the folder of its run with the last one. Who has it open keeps its memory. OSError if it stays."""
    path = place_of(name)
    with contextlib.suppress(FileNotFoundError):
        if not is_ours(path.parent):
            return  # then the ring was never ours
        if path.exists():
            shutil.rmtree(path, onerror=_unless_gone)
    with contextlib.suppress(OSError):  # others are still there
        os.rmdir(path.parent)


def names(prefix: str) -> list[str]:
    """Rings of this user whose names begin so: what a killed process may have left."""
    parent = place_of(prefix).parent
    return sorted(path.name for path in parent.glob(f"{prefix}*") if (path / "ring").is_file())


def _parent_of(name: str) -> Path:
    run = "-".join(name.split("-")[:2])
    return FOLDER / f"{run}.{os.geteuid()}"


def _unless_gone(_function: object, _path: str, error: tuple) -> None:
    if not issubclass(error[0], FileNotFoundError):
        raise error[1]
