"""Controller, agent and owners are killed at calls of a move, on a real switch under traffic: afterwards every source has one owner,
and either all scores are those of the unsplit run, or the packets concerned are counted.

A tap on the sockets of the processes says when a move is at a call. One system and one capture for all; the same for every call and every
death of an owner, without processes, is in tests/bricks/service/test_deaths.py.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from bricks.files.captures import read_packets
from bricks.files.scores import SCORE, read_scores
from bricks.records.packets import bucket_of
from lego_sdn.experiments.run import Experiment, RunObservation
from lego_sdn.system.shutdown import AGENT, CONTROLLER
from tests.fakes.tap import Tap
from tests.live.session import Live, configuration, traffic_in

pytestmark = pytest.mark.root
BUCKETS, PPS, ROUNDS, FIRST = 64, 200.0, 4, 1  # more traffic than the kills need: the sending ends with them
OLD, NEW = "old owner", "new owner"
# the call of a move at which somebody dies, where it arrives (at the old owner, the new one or the agent), who dies, and whether the call
# is carried out all the same
KILLS: tuple[tuple[str, str, str, bool], ...] = (
    ("hold", OLD, CONTROLLER, True),
    ("flush_cache", AGENT, CONTROLLER, False),
    ("take_streams", NEW, CONTROLLER, True),
    ("take_rows", NEW, CONTROLLER, True),
    ("release", OLD, CONTROLLER, False),
    ("flush_cache", AGENT, AGENT, False),
    ("give_streams", OLD, AGENT, True),
)
DEATHS = (("give_rows", OLD, OLD, True), ("take_streams", NEW, NEW, False), ("release", NEW, NEW, True))


@dataclass
class Site:
    """A run under traffic. The low buckets stay with the first instance, the high ones with the second; the middle ones are moved."""

    live: Live
    second: int = 0
    taps: list[Tap] = field(default_factory=list)
    low: list[int] = field(init=False)
    middle: list[int] = field(init=False)
    high: list[int] = field(init=False)

    def __post_init__(self) -> None:
        packets, _ = read_packets(self.live.load.captures)
        busy = np.argsort(-np.bincount(bucket_of(packets, BUCKETS).astype(int), minlength=BUCKETS), kind="stable").tolist()
        self.middle, self.low, self.high = busy[0::3], busy[1::3], busy[2::3]  # each with some of the traffic
        next(self.live.experiment.watch(self.live.load, 0.0))  # it is sent from now on

    def until(self, found: Callable[[RunObservation], object], what: str) -> RunObservation:
        deadline = time.monotonic() + 40
        while True:
            seen = self.live.experiment.look()
            if seen.quiet and seen.assignment["in_force"] and found(seen):
                return seen
            assert time.monotonic() < deadline, f"not yet: {what}: {self.live.errors[-1:]} {self.live.experiment.actions[-9:]}"

    def ask(self, name: str, **body: object) -> None:
        """Until it is accepted."""
        self.until(lambda _: self.live.post(name, **body), f"{name} is accepted")

    def replicate(self) -> None:
        """Two instances run, the first one and another."""
        self.ask("replicate")
        seen = self.until(lambda seen: seen.instances == 2, "two instances")
        (self.second,) = [one["instance"] for one in seen.status["instances"] if one["phase"] == "running" and one["instance"] != FIRST]

    def place(self, buckets: list[int], instance: int) -> None:
        """Unless they are there."""
        if not set(buckets) <= set(self.owned(self.until(lambda _: True, "quiet"), instance)):
            self.ask("move", buckets=buckets, instance=instance)
            self.until(lambda seen: set(buckets) <= set(self.owned(seen, instance)), "they moved")

    def owned(self, seen: RunObservation, instance: int) -> list[int]:
        return seen.assignment["by_owner"].get(str(instance), [])

    @contextlib.contextmanager
    def tapped(self, instance: int | None) -> Iterator[Tap]:
        """An instance's process; None: the agent."""
        system = self.live.experiment.system
        sockets = {one["instance"]: one["processes"][0]["socket"] for one in system.agent.call("instances")}
        tap = Tap(system.config.agent if instance is None else sockets[instance])
        self.taps.append(tap)
        yield tap
        tap.remove()

    def kill_in_a_move(self, old: int, case: tuple[str, str, str, bool], kill: Callable[[], None]) -> None:
        """Move the middle buckets from this instance to the other one, and kill somebody on the way."""
        method, at, _, carried_out = case
        self.place(self.middle, old)
        new = self.second if old == FIRST else FIRST
        with self.tapped({OLD: old, NEW: new, AGENT: None}[at]) as tap:
            tap.arm(method, kill, carried_out)
            self.ask("move", buckets=self.middle, instance=new)
            assert tap.fired.wait(20), f"the move never came to {method}"


@pytest.fixture
def site(tmp_path):
    load, prepared = traffic_in(tmp_path, PPS, ROUNDS)
    config = configuration(tmp_path, prepared.model)
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        site = Site(Live(experiment, load, prepared))
        yield site
    for tap in site.taps:
        tap.close()


def test_kills_at_every_call_of_a_move(site: Site):
    live = site.live
    site.replicate()
    owner = FIRST
    for case in KILLS:
        role = str(case[2])
        site.kill_in_a_move(owner, case, lambda role=role: live.kill(role))
        live.experiment.system.revive(role)
        owner = site.second if owner == FIRST else FIRST
        seen = site.until(lambda seen, owner=owner: set(site.middle) <= set(site.owned(seen, owner)), "the move is finished")
        check_one_owner(site, seen)
    assert live.experiment.sending
    assert live.notes("inexact") == []
    exact_up_to = int(records(site)["seq"].max())
    for nth, case in enumerate(DEATHS):
        if nth:
            site.replicate()
        site.place(site.low, FIRST)
        site.place(site.high, site.second)
        site.kill_in_a_move(site.second if case[2] == OLD else FIRST, case, lambda: live.kill_instance(site.second))
        check_one_owner(site, site.until(lambda seen: seen.instances == 1, "the death is known"))
    check_scores(site, exact_up_to)


def check_one_owner(site: Site, seen: RunObservation) -> None:
    """In what is wanted, and in the rules of the switch."""
    owners = {row["bucket"]: row["owner"] for row in seen.assignment["buckets"]}
    assert sorted(owners) == list(range(BUCKETS))
    assert set(owners.values()) <= {one["instance"] for one in seen.status["instances"]}
    rules = [row for row in site.live.experiment.get("flows")["flows"] if row["role"] == "owner"]
    assert set(Counter((row["family"], row["bucket"]) for row in rules).values()) == {1}
    assert {row["bucket"]: row["owner"] for row in rules} == owners


def records(site: Site) -> np.ndarray:
    return np.concatenate([read_scores(path) for path in sorted(site.live.experiment.scores.iterdir())] or [np.empty(0, SCORE)])


def check_scores(site: Site, exact_up_to: int) -> None:
    """Up to the first death of an instance all are equal; of sources that never were with one that died, all that are scored at all."""
    site.live.experiment.enough()
    summary = site.live.finish()
    assert (summary.missing, summary.comparison.twice) == (0, 0), summary.dropped
    given = records(site)
    given = given[np.argsort(given["seq"])]
    equal = given["score"].view(np.uint64) == site.live.prepared.unsplit[given["seq"].astype(int)].view(np.uint64)
    early = given["seq"] <= exact_up_to
    assert given["seq"][early].tolist() == list(range(exact_up_to + 1))
    assert equal[early].all()
    assert equal[np.isin(bucket_of(given, BUCKETS), site.low)].all()
    packets = site.live.prepared.packets
    missing = np.setdiff1d(np.arange(summary.sent), given["seq"].astype(int))
    assert not np.isin(bucket_of(packets[missing], BUCKETS), site.low).any()
