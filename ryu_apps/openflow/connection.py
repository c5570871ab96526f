"""One connected switch: asks it something and waits for the answer, in the greenthread of the caller."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lego_sdn.core.facts.clock import Clock
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.flow_rules import Flow, Port, Rule
from lego_sdn.core.traffic.rule_compiler import RuleChange
from ryu_apps.openflow import messages

GONE = object()


class SwitchError(LegoError):
    """The switch refused something, did not answer, or went away."""


@dataclass
class Staged:
    """A bundle on its way. `rules`: by the number of the message that has them; `box`: what the switch answers to any of them."""

    number: int
    rules: dict[int, Rule | None]
    box: queue.Queue


class Switch:
    """A datapath of Ryu's, with answers brought to who asked, by message number.

    `queue.Queue` is eventlet's where Ryu has patched the standard library, and otherwise the usual one.
    """

    def __init__(self, datapath: Any, timeout: float = 5.0, clock: Clock = time.monotonic) -> None:
        self.datapath, self.timeout, self._clock = datapath, timeout, clock
        self.dpid: int = datapath.id
        local = datapath.ports.get(messages.LOCAL)
        self.name: str = local.name.decode(errors="replace") if local else f"{datapath.id:016x}"
        self._waiting: dict[int, queue.Queue] = {}
        self._bundles = itertools.count(1)

    def flows(self, table: int | None = None, everyone: bool = False) -> list[Flow]:
        """LEGO's flows (`everyone`: foreign ones too), as they are now."""
        return messages.flows_of(self._ask(messages.flows_request(self.datapath, table, everyone), "its flows"))

    def count(self) -> int:
        """How many flows of LEGO's it has."""
        return messages.count_of(self._ask(messages.count_request(self.datapath), "the number of its flows"))

    def ports(self) -> list[Port]:
        return messages.ports_of(self._ask(messages.ports_request(self.datapath), "its port counters"))

    def answers(self, seconds: float) -> bool:
        """Whether it lives: a switch whose machine lost its power says no word, and its connection stays open."""
        try:
            self._ask(messages.barrier(self.datapath), "whether it lives", seconds)
        except SwitchError:
            return False
        return True

    def port_numbers(self) -> dict[str, int]:
        """Port name -> OpenFlow number, of the ports that it has told of."""
        return {port.name.decode(errors="replace"): number for number, port in self.datapath.ports.items()}

    def links(self) -> dict[int, bool]:
        """OpenFlow number -> whether the link is up, of the ports that it has told of."""
        down, off = messages.DOWN, messages.OFF
        return {number: not (port.state & down or port.config & off) for number, port in self.datapath.ports.items()}

    def commit(self, change: RuleChange) -> None:
        """Put all of `change` into force at one instant, or, with SwitchError, nothing of it; then wait for the barrier."""
        if not change:
            return
        number = next(self._bundles)
        data, numbers = messages.wire(self.datapath, messages.bundle(self.datapath, number, change))
        rules = dict(zip(numbers, (None, *change.delete, *change.add, None), strict=True))
        self._into_force(Staged(number, rules, queue.Queue()), data, numbers[-1])

    def stage(self, change: RuleChange) -> Staged:
        """Give the switch all of `change` but the word that puts it into force, which `commit_staged` says."""
        number = next(self._bundles)
        data, numbers = messages.wire(self.datapath, messages.bundle(self.datapath, number, change)[:-1])
        staged = Staged(number, dict(zip(numbers, (None, *change.delete, *change.add), strict=True)), queue.Queue())
        self._waiting.update(dict.fromkeys(numbers, staged.box))
        try:
            self._send(data)
            self._ask(messages.barrier(self.datapath), "the barrier after a bundle that is not in force yet")
        except SwitchError:
            self.discard(staged)
            raise
        return staged

    def commit_staged(self, staged: Staged) -> None:
        """As `commit`, of what the switch has already."""
        data, (last,) = messages.wire(self.datapath, [messages.commit(self.datapath, staged.number)])
        self._into_force(staged, data, last)

    def discard(self, staged: Staged) -> None:
        """Nothing of it comes into force."""
        self._forget(staged.rules)
        self._send(messages.wire(self.datapath, [messages.discard(self.datapath, staged.number)])[0])

    def send_frames(self, frames: Iterable[tuple[int, bytes]]) -> None:
        """Send frames out of ports, in this order: (port, frame)."""
        outgoing = [messages.frame_out(self.datapath, port, frame) for port, frame in frames]
        self._send(messages.wire(self.datapath, outgoing)[0])

    def answer(self, message: Any) -> bool:
        """Bring a message of the switch to who waits for it; False if nobody does."""
        box = self._waiting.get(message.xid)
        if box is not None:
            box.put(message)
        return box is not None

    @property
    def waiting(self) -> int:
        """Messages to which an answer may still come."""
        return len(self._waiting)

    def close(self) -> None:
        """The connection is gone: whoever waits gets SwitchError."""
        for box in set(self._waiting.values()):
            box.put(GONE)

    def __repr__(self) -> str:
        return f"<Switch {self.name} {self.dpid:016x} waiting={self.waiting}>"

    def _ask(self, request: Any, what: str, seconds: float | None = None) -> list[Any]:
        data, numbers = messages.wire(self.datapath, [request])
        with self._box(numbers) as box:
            self._send(data)
            replies = list(self._until(box, lambda message: not messages.more(message), what, seconds))
        for reply in replies:
            if messages.is_error(reply):
                raise SwitchError(f"switch {self.name} refused to tell {what}: {messages.error_text(reply)}")
        return replies

    def _into_force(self, staged: Staged, data: bytes, last: int) -> None:
        """Send what is not sent yet, the commit last; wait until the switch says what became of it, and for the barrier."""
        numbers = [*staged.rules, last]
        self._waiting.update(dict.fromkeys(numbers, staged.box))
        try:
            self._send(data)
            end = self._until(
                staged.box, lambda m: m.xid == last and (messages.is_commit(m) or messages.is_error(m)), "whether the rules are in force"
            )
            errors = [message for message in end if messages.is_error(message)]
            if errors:
                raise SwitchError(self._refused(staged, errors[0]))
        except SwitchError:
            self.discard(staged)
            raise
        finally:
            self._forget(numbers)
        self._ask(messages.barrier(self.datapath), "the barrier after a bundle")

    def _refused(self, staged: Staged, error: Any) -> str:
        rule, count = staged.rules.get(error.xid), sum(rule is not None for rule in staged.rules.values())
        about = f" ({rule})" if rule else ""
        return f"switch {self.name} refused {count} rule changes: {messages.error_text(error)}{about}"

    def _until(self, box: queue.Queue, is_last: Callable[[Any], bool], what: str, seconds: float | None = None) -> Iterator[Any]:
        """Answers as they come, up to the last one."""
        seconds = self.timeout if seconds is None else seconds
        deadline = self._clock() + seconds
        while True:
            try:
                message = box.get(timeout=max(0.001, deadline - self._clock()))
            except queue.Empty:
                raise SwitchError(f"switch {self.name} did not tell {what} within {seconds:g} s") from None
            if message is GONE:
                raise SwitchError(f"switch {self.name} went away before it told {what}")
            yield message
            if is_last(message):
                return

    def _send(self, data: bytes) -> None:
        if not self.datapath.send(data):
            raise SwitchError(f"switch {self.name} went away")

    @contextmanager
    def _box(self, numbers: Iterable[int]) -> Iterator[queue.Queue]:
        box: queue.Queue = queue.Queue()
        self._waiting.update(dict.fromkeys(numbers, box))
        try:
            yield box
        finally:
            self._forget(numbers)

    def _forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._waiting.pop(number, None)
