"""Files and folders that no other user can have had a hand in: what root reads, writes, follows or imports lies in such a folder.

A folder is ours if it and all folders above it belong to root, and nobody else may write into them. Above it, a folder that everybody
may write into is no harm where the sticky bit is set (/tmp): nobody can rename or remove another user's entries there. A process that is
not root's is not asked whose its folders are: it can do no more there than its user.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.text import printable

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # nor wait for the reader of a pipe


def open_folder(path: str | Path, last: bool = True) -> int:
    """A descriptor of a folder that is ours (not `last`: that may lie above one of ours). HostError, in one sentence, if it is not, or
    cannot be opened."""
    try:
        real = Path(os.path.realpath(path))
        folder = os.open("/", _FOLDER)
    except (OSError, ValueError) as error:
        raise HostError(f"the folder {printable(str(path))} cannot be opened: {_reason(error)}") from error
    try:
        _require_ours(os.fstat(folder), "/", last=last and len(real.parts) == 1)
        for depth, name in enumerate(real.parts[1:], start=2):
            inner = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
            _require_ours(os.fstat(folder), str(Path(*real.parts[:depth])), last=last and depth == len(real.parts))
    except OSError as error:
        os.close(folder)
        raise HostError(f"the folder {printable(str(path))} cannot be opened: {_reason(error)}") from error
    except HostError:
        os.close(folder)
        raise
    return folder


def require_folder(path: str | Path) -> None:
    """HostError if the folder is not ours."""
    os.close(open_folder(path))


def make_folder(path: str | Path, mode: int) -> None:
    """Make a folder that is not there, and those above it. HostError, and nothing is made, if it would not be ours."""
    try:
        folder = Path(os.path.realpath(path))
        there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
        if there != folder:
            os.close(open_folder(there, last=False))
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise HostError(f"the folder {printable(str(path))} cannot be made: {_reason(error)}") from error


def append_to(path: str | Path, mode: int = 0o640) -> int:
    """A descriptor that appends to a file: a new one, or one that is a plain file of ours, under no second name. A pipe of ours that
    somebody reads is written like a file, and its reader is waited for.

    HostError if its folder is not ours, or what has the name is anything else (a link, a device, another user's file).
    """
    path = Path(path)
    folder = open_folder(path.parent)
    try:
        return _append(folder, path, mode)
    except (OSError, ValueError) as error:
        raise HostError(f"{printable(str(path))} cannot be written: {_reason(error)}") from error
    finally:
        os.close(folder)


def replace_file(path: str | Path, mode: int = 0o640) -> int:
    """A descriptor that writes a new file, instead of what had the name."""
    path = Path(path)
    folder = open_folder(path.parent)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=folder)
        return os.open(path.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FILE, mode, dir_fd=folder)
    except (OSError, ValueError) as error:
        raise HostError(f"{printable(str(path))} cannot be written: {_reason(error)}") from error
    finally:
        os.close(folder)


def require_file(path: str | Path) -> None:
    """HostError if the file, or its folder, is not ours."""
    try:
        real = Path(os.path.realpath(path))
        require_folder(real.parent)
        _require_ours(os.stat(real, follow_symlinks=False), str(real), last=True)
    except (OSError, ValueError) as error:
        raise HostError(f"{printable(str(path))} cannot be read: {_reason(error)}") from error


def _append(folder: int, path: Path, mode: int) -> int:
    flags = os.O_WRONLY | os.O_APPEND | _FILE
    try:
        return os.open(path.name, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
    except FileExistsError:
        file = os.open(path.name, flags, dir_fd=folder)
    found = os.fstat(file)
    known = stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)
    if known and found.st_uid == os.geteuid() and found.st_nlink == 1 and not found.st_mode & OTHERS_WRITE:
        os.set_blocking(file, True)
        return file
    os.close(file)
    raise HostError(f"{printable(str(path))} cannot be written: it exists, and is no plain file or pipe of this user's alone: remove it")


def _require_ours(found: os.stat_result, path: str, last: bool) -> None:
    if os.geteuid() != 0:
        return
    path = printable(path)
    if found.st_uid != 0:
        raise HostError(f"{path} belongs to user {found.st_uid}: choose a place that is root's, with all folders above it")
    if found.st_mode & OTHERS_WRITE and (last or not found.st_mode & stat.S_ISVTX):
        raise HostError(f"{path} is writable by others: choose a place that is not, or 'chmod go-w {path}'")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
