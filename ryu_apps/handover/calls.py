"""Calls to instances during a move: each goes to the process that takes the packets, or to the one that answers for the streams."""

from __future__ import annotations

import queue
from typing import Any

from lego_sdn.core.facts.errors import LegoError, RpcError
from lego_sdn.core.traffic.handover_steps import Answer, Ask
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.greenthreads import spawn
from ryu_apps.context.liveness import is_gone
from ryu_apps.context.shared import Shared

ANSWER_S = 4.0
GIVE_S = 60.0  # streams and packets go from instance to instance meanwhile, or a standby scores what it has kept


class Asking:
    """Of all processes of instances, as they were observed; which of them has which part is learned from its answer to `hold`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._parts: dict[tuple[int, str, int], tuple[bool, bool]] = {}  # process -> it takes packets, it has streams

    def all(self, asks: tuple[Ask, ...]) -> list[Answer]:
        """All at once: a slow instance delays none but itself."""
        answers: queue.Queue[tuple[int, Answer]] = queue.Queue()
        for at, ask in enumerate(asks):
            spawn(lambda at=at, ask=ask: answers.put((at, self._ask(ask))))
        got = dict(answers.get() for _ in asks)
        return [got[at] for at in range(len(asks))]

    def _ask(self, ask: Ask) -> Answer:
        try:
            if ask.method == "hold":
                return Answer(self._hold(ask))
            params = list(ask.params)
            if ask.peer is not None:
                params.append(self._part(ask.peer, ask.part).socket)
            timeout = GIVE_S if ask.peer is not None or ask.method == "take_over" else ANSWER_S
            values = [self.call(process, ask.method, params, timeout) for process in self._processes(ask.instance, ask.part)]
        except LegoError as error:
            return Answer(error=str(error))
        return Answer(values[0]) if values else Answer(error=f"instance {ask.instance} has no process that takes packets or has streams")

    def _hold(self, ask: Ask) -> int:
        """Hold; and learn which process takes the packets, and which has the streams."""
        passed = -1
        for process in self._of(ask.instance):
            try:
                told = self.call(process, ask.method, list(ask.params))
            except RpcError:
                if not is_gone(process, self.shared.host):
                    raise
                told = {"passed": None, "state": False}  # a replica that was merged a moment ago
            self._parts[_key(process)] = told["passed"] is not None, told["state"]
            passed = max(passed, -1 if told["passed"] is None else told["passed"])
        return passed

    def call(self, process: ObservedProcess, method: str, params: list[Any], timeout: float = ANSWER_S) -> Any:
        """One call to one process. RpcError if it does not answer, or refuses."""
        with self.shared.connect(process.socket, timeout) as client:
            return client.call(method, *params)

    def _of(self, instance: int) -> list[ObservedProcess]:
        found = [process for process in self.shared.observed.processes.values() if process.instance == instance]
        if not found:
            raise RpcError(f"instance {instance} has no process")
        return found

    def _processes(self, instance: int, part: str) -> list[ObservedProcess]:
        """Those that a call goes to; the one at the interface first."""
        if part != "every":
            return [self._part(instance, part)]
        return sorted(
            (process for process in self._of(instance) if any(self._parts.get(_key(process), (True, True)))),
            key=lambda process: not self._parts.get(_key(process), (True, True))[0],
        )

    def _part(self, instance: int, part: str) -> ObservedProcess:
        which = 0 if part == "packets" else 1
        for process in self._of(instance):
            if self._parts.get(_key(process), (False, False))[which]:
                return process
        raise RpcError(f"instance {instance} has no process with {part}")


def _key(process: ObservedProcess) -> tuple[int, str, int]:
    return process.instance, process.process, process.pid
