"""Drives the decision core with a clock that is turned by hand: what it asks for is answered after the time that it takes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from lego_sdn.core.control.events import Action, Event
from lego_sdn.core.control.state import SystemState
from lego_sdn.core.control.step import step


class CoreDriver:
    """`takes`: seconds from an action to its answer, by type of action. Whoever inherits says by `perform` what is answered."""

    def __init__(self, state: SystemState, now: float, takes: Mapping[type[Any], float]) -> None:
        self.state, self.now, self.takes = state, now, takes
        self._due: list[tuple[float, int, Event]] = []
        self._order = count()

    def happen(self, event: Event) -> tuple[Action, ...]:
        """An event at the present time, with everything that the core asks for because of it."""
        self.state, actions = step(self.state, event, self.now)
        self.saw(event, actions)
        for action in actions:
            answer = self.perform(action)
            if answer is not None:
                self.later(self.takes[type(action)], answer)
        return actions

    def saw(self, event: Event, actions: tuple[Action, ...]) -> None:
        """After each step, before its actions are carried out."""

    def perform(self, action: Action) -> Event | None:
        """Carry an action out; what will be answered when its time is over, or None: nothing."""
        raise NotImplementedError

    def later(self, seconds: float, event: Event) -> None:
        """This will happen after so many seconds; of what is due at one time, the first that was asked for."""
        heapq.heappush(self._due, (self.now + seconds, next(self._order), event))

    @property
    def next_answer(self) -> float:
        """When the next answer is due; infinity: none is."""
        return self._due[0][0] if self._due else float("inf")

    def due(self, until: float) -> Iterator[Event]:
        """Answers that are due until then, also those that come up meanwhile."""
        while self._due and self._due[0][0] <= until:
            yield heapq.heappop(self._due)[2]

    def forget_answers(self) -> None:
        """Nothing that was asked for is answered."""
        self._due.clear()
