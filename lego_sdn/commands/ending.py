"""How a command that made something ends: in order, whatever signal ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lego_sdn.system.end_signals import ENDING


@contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, object], None]) -> Iterator[None]:
    """Inside it `handler` gets these signals."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Inside it SIGTERM and SIGHUP end the command as Ctrl-C does: what it made is removed."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    with handled((signal.SIGTERM, signal.SIGHUP), leave):
        yield


@contextmanager
def ends_after(stop: Callable[[], None], ended_by: list[int]) -> Iterator[None]:
    """Inside it a signal that ends commands calls `stop` and is added to `ended_by`: what is at hand is ended and shown."""

    def note(number: int, _frame: object) -> None:
        ended_by.append(number)
        stop()

    with handled(ENDING, note):
        yield
