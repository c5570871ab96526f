"""Supervisor: starts a process again when it ended or does not answer, without end; it never removes what forwards traffic.

A process that dies again and again is started after growing waits. Each change is logged once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lego_sdn.core.facts.errors import LegoError

ASK_S = 2.0  # between two questions to a part whether it answers
SILENT_S, STARTING_S = 10.0, 60.0  # without an answer, after which it is killed: once it has answered, and since it was started
QUESTIONS = 3  # at least so many were not answered: a machine that was suspended has asked none meanwhile
LONGEST_WAIT_S = 60.0  # before it is started anew
STEADY_S = 60.0  # it has answered for so long: its earlier deaths do not count any more


class SupervisedProcesses(Protocol):
    """The parts that are watched, by name."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    def ended(self, part: str) -> str | None:
        """One sentence on a part that does not run, or None."""

    def start(self, part: str) -> None:
        """Start it anew. LegoError or OSError if that fails."""

    def answers(self, part: str) -> bool:
        """Whether it answers a question, which takes seconds at the most."""

    def is_busy(self, part: str) -> bool:
        """Whether it has said that it works and will not answer for a while."""

    def kill(self, part: str) -> None:
        """End it at once, by its process id."""


@dataclass
class Life:
    """How one part fares; times in monotonic seconds.

    deaths        one after the other, with no steady life between them
    due           when it is to be started anew; None: it was started
    heard         since when it has answered without a pause; None: not since it was started
    silent_since  of the first question that was not answered; unanswered: how many
    """

    began: float
    deaths: int = 0
    due: float | None = None
    ask_at: float = 0.0
    heard: float | None = None
    silent_since: float | None = None
    unanswered: int = 0

    def started(self, now: float) -> None:
        self.began, self.due, self.ask_at = now, None, now
        self.heard, self.silent_since, self.unanswered = None, None, 0

    def died(self, now: float) -> float:
        """Seconds until it is to be started anew: none after the first death, then a second, and twice as long each time."""
        steady = self.heard is not None and now - self.heard >= STEADY_S
        self.deaths = 1 if steady else self.deaths + 1
        wait = 0.0 if self.deaths == 1 else min(LONGEST_WAIT_S, 2.0 ** min(self.deaths - 2, 30))
        self.due = now + wait
        return wait

    def answered(self, now: float) -> bool:
        """It has; whether that is the first time since it was started."""
        self.silent_since, self.unanswered = None, 0
        first = self.heard is None
        self.heard = now if self.heard is None else self.heard
        return first

    def stays_silent(self, now: float) -> bool:
        """It has not answered; whether that has lasted too long."""
        patience = STARTING_S if self.heard is None else SILENT_S
        self.silent_since = now if self.silent_since is None else self.silent_since
        self.unanswered += 1
        return self.unanswered >= QUESTIONS and now - self.silent_since >= patience


class Supervisor:
    """`look` is to be called about twice a second, from when all parts have been started."""

    def __init__(self, crew: SupervisedProcesses, say: Callable[[str], None], now: float) -> None:
        self.crew, self._say = crew, say
        self.lives = {part: Life(now, heard=now) for part in crew.parts}
        self._said: dict[str, str] = {}

    def look(self, now: float) -> None:
        """Look after every part once."""
        for part, life in self.lives.items():
            if life.due is not None:
                if now >= life.due:
                    self._start(part, life, now)
                continue
            words = self.crew.ended(part)
            if words is not None:
                self._bring_back(part, life, now, words)
            elif now >= life.ask_at:
                life.ask_at = now + ASK_S
                self._ask(part, life, now)

    def _ask(self, part: str, life: Life, now: float) -> None:
        if self.crew.answers(part):
            if life.answered(now):
                self._tell(part, f"{part} answers")
        elif self.crew.is_busy(part):
            life.silent_since, life.unanswered = None, 0
        elif life.stays_silent(now):
            seconds = STARTING_S if life.heard is None else SILENT_S
            self.crew.kill(part)
            self._bring_back(part, life, now, f"{part} has not answered for {seconds:g} s and was killed")

    def _start(self, part: str, life: Life, now: float) -> None:
        life.started(now)
        try:
            self.crew.start(part)
        except (LegoError, OSError) as error:
            self._bring_back(part, life, now, f"{part} could not be started ({error})")

    def _bring_back(self, part: str, life: Life, now: float, words: str) -> None:
        wait = life.died(now)
        self._tell(part, f"{words}; it is started anew{f' in {wait:g} s' if wait else ''}")
        if not wait:
            self._start(part, life, now)

    def _tell(self, part: str, sentence: str) -> None:
        """Once: a part that dies in the same way every minute is no news."""
        if self._said.get(part) != sentence:
            self._said[part] = sentence
            self._say(sentence)
