"""Where a command may write: a new name, or a regular file that is none of its inputs; a symbolic link is followed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lego_sdn.core.facts.errors import LegoError


def output_path(path: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """The file that is to be replaced, behind symbolic links.

    LegoError if it is an input, has a second name (a hard link, which would go on showing the old content), or is no regular file.
    """
    try:
        real = Path(os.path.realpath(path))
        found = os.stat(path) if os.path.exists(path) else None
    except (OSError, ValueError) as error:
        raise LegoError(f"{path} cannot be written: {error}; choose another place") from None
    if found is None:
        return real
    if not stat.S_ISREG(found.st_mode):
        raise LegoError(f"{path} cannot be written: it is no regular file; choose another place")
    for one in inputs:
        if os.path.exists(one) and os.path.samestat(found, os.stat(one)):
            raise LegoError(f"{path} cannot be written: it is the same file as {one}, which is read; choose another place")
    if found.st_nlink > 1:
        raise LegoError(f"{path} cannot be written: the file has {found.st_nlink} names (hard links); choose another place")
    return real


@contextlib.contextmanager
def replacing(path: str | Path, inputs: Iterable[str | Path] = ()) -> Iterator[Path]:
    """A new empty file beside `path` for the body to write, which takes the place of `path` (`output_path`) when the body ends.

    If the body fails, the old file stays as it is. Owner-only permissions and the like are kept. LegoError if it cannot be done.
    """
    real = output_path(path, inputs)
    fresh = real.with_name(f".{real.stem}.{os.getpid()}.partial{real.suffix}")
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise LegoError(f"{path} cannot be written: {error.strerror}; choose another place") from None
    try:
        yield fresh
        if real.exists():
            shutil.copymode(real, fresh)
        os.replace(fresh, real)
    except OSError as error:
        raise LegoError(f"{path} cannot be written: {error.strerror or error}; make room or choose another place") from None
    finally:
        fresh.unlink(missing_ok=True)
