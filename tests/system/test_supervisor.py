"""What the supervisor does when parts die, hang, or cannot be started: without a process and without a clock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from lego_sdn.core.facts.errors import HostError
from lego_sdn.system.supervisor import LONGEST_WAIT_S, SILENT_S, STEADY_S, Supervisor


@dataclass
class Crew:
    parts: tuple[str, ...] = ("one",)
    dead: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    dies_at_once: bool = False
    cannot_start: bool = False
    starts: list[float] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    now: float = 0.0

    def ended(self, part):
        return f"{part} ended" if part in self.dead else None

    def start(self, part):
        self.starts.append(self.now)
        if self.cannot_start:
            raise HostError("no space")
        self.silent.discard(part)
        if not self.dies_at_once:
            self.dead.discard(part)

    def answers(self, part):
        return part not in self.dead | self.silent

    def is_busy(self, part):
        return part in self.busy

    def kill(self, part):
        self.kills.append(self.now)
        self.dead.add(part)


@dataclass
class World:
    crew: Crew = field(default_factory=Crew)
    said: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.supervisor = Supervisor(self.crew, self.said.append, 0.0)

    def run(self, seconds):
        until = self.crew.now + seconds
        while self.crew.now < until:
            self.crew.now += 0.5
            self.supervisor.look(self.crew.now)


def test_waits_grow_up_to_a_most_and_it_never_ends():
    world = World()
    world.crew.dies_at_once = True
    world.crew.dead.add("one")
    world.run(3600)
    gaps = [later - earlier for earlier, later in itertools.pairwise(world.crew.starts)]
    assert all(before <= after + 1.0 for before, after in itertools.pairwise(gaps))
    assert gaps[0] <= 2
    assert LONGEST_WAIT_S <= gaps[-1] <= LONGEST_WAIT_S + 1
    assert len(world.said) < 12, "told once for each change"


def test_a_steady_life_makes_earlier_deaths_forgotten():
    world = World()
    for _ in range(4):
        world.crew.dead.add("one")
        world.run(STEADY_S + 20)
    assert len(world.crew.starts) == 4
    assert all(" in " not in line for line in world.said if "started anew" in line)


def test_who_lives_and_is_silent_is_killed_but_not_one_who_works():
    world = World()
    world.crew.silent.add("one")
    world.crew.busy.add("one")
    world.run(200)
    assert world.crew.kills == []
    world.crew.busy.clear()
    world.run(SILENT_S + 5)
    assert len(world.crew.kills) == len(world.crew.starts) == 1
    world.run(100)
    assert len(world.crew.kills) == 1


def test_a_short_silence_and_a_jump_of_the_clock_kill_nobody():
    world = World()
    for _ in range(20):
        world.crew.silent.add("one")
        world.run(SILENT_S - 3)
        world.crew.silent.clear()
        world.run(4)
    world.crew.silent.add("one")
    world.run(2)
    world.crew.now += 10_000  # this machine was suspended
    world.run(0.5)
    world.crew.silent.clear()
    world.run(10)
    assert world.crew.kills == []


def test_one_that_cannot_be_started_does_not_keep_the_others_down():
    crew = Crew(parts=("one", "two"), cannot_start=True, dead={"one", "two"})
    world = World(crew)
    world.run(60)
    assert len(crew.starts) > 6
    crew.cannot_start = False
    world.run(70)
    assert crew.dead == set()
    assert any("no space" in line for line in world.said)
