"""The signals that end this process: heard once, then ignored, so that everything is ended and removed in order."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndSignals:
    """From `hear` until `let_go` the first one raises KeyboardInterrupt (SIGINT) or SystemExit (the others); those after it do nothing."""

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}  # what was done on each before
        self._first: int | None = None
        self._unraisable: Callable[[Any], object] | None = None

    def hear(self) -> None:
        """A signal that is ignored already (as nohup has it, for one) stays so."""
        heard = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._end_by) for number in heard}
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._ignored

    def check(self) -> None:
        """Raise what a signal has raised already, for Python may have ignored that (after a fork, say)."""
        if self._first is not None:
            _leave(self._first)

    def ignore(self) -> None:
        """From now on no signal ends this process."""
        self._handlers = _ignore() | self._handlers

    def let_go(self) -> None:
        """Whoever heard them before does so again."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        if self._unraisable is not None:
            sys.unraisablehook, self._unraisable = self._unraisable, None

    def _end_by(self, number: int, frame: object) -> None:
        self._first = number
        _leave(number)

    def _ignored(self, raised: Any) -> None:
        """Python ignores an exception: what ended this process is not lost (`check`), and nothing to show a user."""
        if self._first is None or not isinstance(raised.exc_value, KeyboardInterrupt | SystemExit):
            assert self._unraisable is not None
            self._unraisable(raised)


def _leave(number: int) -> None:
    """The signals after the first must not cut the end short, not even before it has begun."""
    _ignore()
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _ignore() -> dict[int, Any]:
    """From now on no signal ends this process; what was done on each of them before."""
    return {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
