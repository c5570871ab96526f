"""A locked file of lines on the disk: a line is added in space that was set aside for it, and struck out in place, without new space.

So whoever must write that something is gone can do so on a disk that is full.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from lego_sdn.core.facts.errors import HostError

FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # nor wait for the writer of a pipe
LIBC = ctypes.CDLL(None, use_errno=True)
RESERVE = 1 << 16  # bytes set aside beyond the last line
KEEP_SIZE = 1  # of linux/falloc.h: the space is taken, the file looks as long as it was
STRUCK = b"#"  # in place of a line's first character


class Lines:
    """The file, made with mode 0600 if it is not there. HostError if another process has it, or somebody else may have written it.

    Everything that writes raises OSError if it cannot, and then nothing that was written before is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()
        found = os.fstat(self._file).st_size
        self._reserved = found
        self._data = os.pread(self._file, found, 0)
        self._end = len(self._data)
        self._whole = not self._data or self._data.endswith(b"\n")  # else a crash, or a full disk, cut the last line off

    def read(self) -> list[tuple[int, bytes]]:
        """(where it begins, line) of every line that was there when the file was opened."""
        found, at = [], 0
        for line in self._data.split(b"\n"):
            found.append((at, line))
            at += len(line) + 1
        return found

    @property
    def size(self) -> int:
        """Bytes, struck lines included."""
        return self._end

    def add(self, *lines: bytes) -> list[int]:
        """Write lines at the end, on the disk before this returns; where each begins. They are synced together, once."""
        before = b"" if self._whole else b"\n"
        data = before + b"".join(line + b"\n" for line in lines)
        if self._end + len(data) > self._reserved:
            self._set_aside(self._end + len(data))
        try:
            _write(self._file, data, self._end)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # half a line is none, and must not begin the next one
                os.ftruncate(self._file, self._end)
                self._reserved = self._end
            raise
        starts = _starts(lines, self._end + len(before))
        self._end, self._whole = self._end + len(data), True
        return starts

    def strike(self, at: int) -> None:
        """The line that begins there does not count any more."""
        _write(self._file, STRUCK, at)
        os.fsync(self._file)

    def rewrite(self, lines: list[bytes]) -> list[int]:
        """These lines instead of all that there are, where each begins. The new file is locked and on the disk before it takes the
        place of the old one."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)  # of a process that was killed here
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = b"".join(line + b"\n" for line in lines)
            _write(file, data, 0)
            os.fsync(file)
            if not _allocated(file, len(data) + RESERVE) and not self.is_lost():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the old file has space set aside: it is worth more
            os.replace(fresh, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._end, self._reserved, self._whole = file, len(data), len(data), True
        self._set_aside(len(data))
        return _starts(lines, 0)

    def is_lost(self) -> bool:
        """Whether the file is not there any more under its name."""
        return not _same_file(self._file, self.path)

    def close(self, remove: bool) -> None:
        """Give the file up; `remove` it, if it is still this one and can be removed."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            if remove and not self.is_lost():
                self.path.unlink()
        os.close(self._file)
        self._file = -1

    def _open(self) -> int:
        try:
            while True:
                file = _open_own(self.path)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _same_file(file, self.path):  # not one that its owner has just removed
                        return file
                except BaseException:
                    os.close(file)
                    raise
                os.close(file)
        except BlockingIOError:
            raise HostError(
                f"{self.path} is in use: another LEGO process runs with this run_dir; end it ('lego down'), or choose another run_dir"
            ) from None
        except OSError as error:
            raise HostError(f"cannot open the journal {self.path}: {error.strerror}") from error

    def refill(self) -> None:
        """Set space aside again, once half of it is used up. OSError if there is none."""
        if self._end + RESERVE // 2 > self._reserved and not self._set_aside(self._end):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _set_aside(self, end: int) -> bool:
        """Take space beyond `end`; whether there was any. Without it a line may still fit."""
        done = _allocated(self._file, end + RESERVE)
        if done:
            self._reserved = end + RESERVE
        return done


def _starts(lines: Iterable[bytes], first: int) -> list[int]:
    """Where each of some lines begins that are written one after the other."""
    starts = [first]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts[:-1]


def read_lines(path: Path) -> list[bytes]:
    """The lines of a file that another process may hold. HostError if somebody else may have written it; OSError if it cannot be read."""
    file = _own(os.open(path, os.O_RDONLY | FLAGS), path)
    with open(file, "rb") as opened:
        return opened.read().split(b"\n")


def _open_own(path: Path) -> int:
    """To read and write; on a disk that may only be read, to read."""
    try:
        return _own(os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o600), path)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EPERM, errno.EACCES):  # the last two: a file that is immutable, say
            raise
        return _own(os.open(path, os.O_RDONLY | FLAGS), path)


def _own(file: int, path: Path) -> int:
    """An open file, if nobody but this user can have written it; else it is closed, and HostError."""
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return file
    os.close(file)
    raise HostError(f"the journal {path} may be another user's work (user {found.st_uid} owns it), so it is not believed: remove it")


def _allocated(file: int, size: int) -> bool:
    """Take space for so many bytes; whether there is so much. Where a file system cannot do this, lines go where they go."""
    done = LIBC.fallocate(file, KEEP_SIZE, ctypes.c_longlong(0), ctypes.c_longlong(size)) == 0
    return done or ctypes.get_errno() in (errno.EOPNOTSUPP, errno.ENOSYS)


def _write(file: int, data: bytes, at: int) -> None:
    """All of it: the system may take a part at a time."""
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _same_file(file: int, path: Path) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(os.fstat(file), there)
