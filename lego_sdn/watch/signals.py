"""What a long-running command is told by signals: to end in order, and to open its files anew."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_END = (signal.SIGINT, signal.SIGTERM)


@dataclass
class ReceivedSignals:
    """ending: SIGINT or SIGTERM came; a second one ends the process at once. reopen: SIGHUP came; whoever acts on it clears it."""

    ending: bool = False
    reopen: bool = False


@contextmanager
def signals() -> Iterator[ReceivedSignals]:
    """Inside it the signals are only noted."""
    told = ReceivedSignals()

    def end(number: int, _frame: object) -> None:
        told.ending = True
        for one in _END:
            signal.signal(one, signal.SIG_DFL)

    def reopen(_number: int, _frame: object) -> None:
        told.reopen = True

    before = {number: signal.signal(number, end) for number in _END}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, reopen)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
