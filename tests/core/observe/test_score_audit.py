"""The sampling auditor: what is sampled, which scores are compared, how the twin comes and goes, and what the switch sends it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from lego_sdn.core.control.events import (
    AgentUp,
    InstanceFailed,
    InstanceStarted,
    InstanceStopped,
    Running,
    StartInstance,
    Steer,
    Steered,
    StopInstance,
    SwitchUp,
    Tick,
)
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.config import Config, KeyProblem
from lego_sdn.core.facts.notes import Note
from lego_sdn.core.observe.score_audit import NUMBER, RECORD, Ledger, Losses, ReferenceInstance, Score, parse, sampled_buckets
from lego_sdn.core.traffic.handover import BucketMove, Handover, StateCopy
from lego_sdn.core.traffic.handover_steps import Ask
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules
from lego_sdn.simulation.switch import Frame, SimulatedSwitch
from tests.core.traffic.test_handover import play

AUDITED = {"model": "m", "capture": {"stamps": "trailer"}, "audit": {"share": 0.1}}


def score(stamp: int, value: float = 0.5, source: int = 0x0A000001) -> Score:
    return next(parse(RECORD.pack(stamp, 7, int.from_bytes(NUMBER.pack(value), "little"), 0, source, 1)))


def scores(*stamps: int, value: float = 0.5) -> list[Score]:
    return [score(stamp, value) for stamp in stamps]


# ---- what is sampled ----
@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.001, 1), (0.1, 6), (0.5, 32), (1.0, 64)])
def test_a_share_of_the_buckets_evenly_spread(share, count):
    chosen = sampled_buckets(share, 64)
    assert len(chosen) == count
    gaps = [after - before for before, after in pairwise(chosen)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("wrong", [{"exact": False}, {"capture": {"stamps": "kernel"}}])
def test_without_exact_scores_there_is_nothing_to_audit(wrong):
    with pytest.raises(KeyProblem, match=r"audit.share: wanted 0, unless exact is true and capture.stamps is trailer"):
        Config.parse(AUDITED | wrong)


# ---- what is compared ----
def test_scores_are_records_of_the_bricks():
    found = score(3, 0.25)
    assert (found.stamp, found.value, found.source_text) == (3, 0.25, "10.0.0.1")
    assert replace(found, source=(0xFE80 << 48, 5, 2)).source_text == "fe80::5"
    assert replace(found, source=(0, 0x0242AC110002, 3)).source_text == "02:42:ac:11:00:02"
    assert list(parse(b"x" * (RECORD.size - 1))) == []


def test_pairs_are_compared_bit_for_bit_in_whatever_order_they_come():
    ledger = Ledger()
    ledger.begin(10)
    ledger.add(1, scores(10, 11, 12), 0.0)
    ledger.add(REFERENCE, scores(11, 13), 0.0)
    ledger.add(2, scores(13), 0.0)
    ledger.add(REFERENCE, [score(12, math.nextafter(0.5, 1))], 0.0)
    assert (ledger.compared, ledger.equal, ledger.different, ledger.waiting) == (3, 2, 1, 0)
    assert str(ledger.first) == "packet 12 of 10.0.0.1 got 0.5 from instance 1 and 0.5000000000000001 from the twin"
    assert ledger.alarm is ledger.first


def test_bits_count_not_values():
    ledger = Ledger()
    ledger.begin(-1)
    for stamp, (ours, twins) in enumerate([(0.0, -0.0), (math.nan, math.nan)]):
        ledger.add(1, [score(stamp, ours)], 0.0)
        ledger.add(REFERENCE, [score(stamp, twins)], 0.0)
    assert (ledger.equal, ledger.different) == (1, 1)


def test_what_comes_while_the_twin_is_given_the_streams_is_compared_from_the_cut_on():
    ledger = Ledger()
    ledger.add(1, scores(1), 0.0)
    ledger.expect()
    ledger.add(1, scores(5, 6), 0.0)
    ledger.add(REFERENCE, [score(5, 0.1), score(6), score(7)], 0.0)
    ledger.begin(5)
    assert (ledger.compared, ledger.different, ledger.waiting, dict(ledger.unpaired)) == (1, 0, 1, {})


def test_what_stays_alone_is_counted_by_reason():
    ledger = Ledger()
    ledger.begin(-1)
    ledger.add(1, scores(1, 2, 2), 0.0)
    ledger.add(REFERENCE, scores(3), 30.0)
    ledger.expire(41.0)
    assert ledger.unpaired == {"scored twice": 1, "the twin gave no score": 2}
    ledger.stop("the twin was gone")
    assert ledger.unpaired == {"scored twice": 1, "the twin gave no score": 2, "the twin was gone": 1}
    ledger.add(1, scores(9), 50.0)
    assert ledger.waiting == 0


def test_after_a_loss_a_difference_is_counted_and_no_alarm():
    ledger = Ledger()
    ledger.begin(-1)
    ledger.excused = "an instance lost packets"
    ledger.add(1, scores(1, 2), 0.0)
    ledger.add(REFERENCE, [score(1, 0.7), score(2)], 0.0)
    assert (ledger.equal, ledger.different, ledger.alarm, dict(ledger.unpaired)) == (1, 0, None, {"an instance lost packets": 1})


def report(process: str, pid: int, kernel: int | None, dropped: int, evicted: int) -> dict:
    brick = {"dropped": {"held_dropped": dropped}, "counters": {"packets": pid * 1000, "evicted_hosts": evicted}}
    return {"process": process, "pid": pid, "capture": None if kernel is None else {"kernel_drops": kernel}, "bricks": [brick]}


def test_losses_since_a_process_was_seen_last():
    losses = Losses()
    assert not losses.grew([report("1-a", 7, 0, 0, 0), report("2-a", 8, None, 0, 0)])
    for more in ((1, 0, 0), (1, 2, 0), (1, 2, 3)):
        assert losses.grew([report("1-a", 7, *more)])
        assert not losses.grew([report("1-a", 7, *more), report("2-a", 8, None, 0, 0)])
    assert losses.grew([report("1-a", 9, 1, 0, 0)]), "another process of that name"
    assert not losses.grew([])


# ---- the twin's life ----
def begun(config: Config | None = None):
    """A running instance 1, and the actions since."""
    state, done = fresh(config or Config.parse(AUDITED)), []
    for event in (SwitchUp(1), AgentUp((Running(1, 5),))):
        state, actions = step(state, event, 1.0)
        done += actions
    return state, done


def do(state, event, now=2.0):
    state, actions = step(state, event, now)
    return state, [action for action in actions if not isinstance(action, Note)]


def test_the_twin_is_started_gets_a_port_and_owns_nothing():
    state, done = begun()
    assert StartInstance(REFERENCE) in done
    state, actions = do(state, InstanceStarted(REFERENCE, 9))
    (steer,) = actions
    assert isinstance(steer, Steer)
    assert steer.ports == {1: 5, REFERENCE: 9}
    assert set(steer.assignment.values()) == {1}
    assert state.running == (1,)


def test_off_by_default_and_one_that_is_left_is_stopped():
    assert StartInstance(REFERENCE) not in begun(Config(model="m"))[1]
    state, _ = begun(Config(model="m"))
    state, actions = do(state, AgentUp((Running(1, 5), Running(REFERENCE, 9))))
    assert actions == [StopInstance(REFERENCE)]
    assert do(state, InstanceStopped(REFERENCE))[0].twin.phase == "absent"


def test_a_twin_that_runs_already_is_taken_over():
    state = fresh(Config.parse(AUDITED))
    for event in (SwitchUp(1), AgentUp((Running(1, 5), Running(REFERENCE, 9)))):
        state, actions = step(state, event, 1.0)
    assert state.twin.phase == "running"
    assert StartInstance(REFERENCE) not in actions
    assert set(state.members) == {1}


def test_a_twin_that_fails_is_tried_again_later_and_later():
    state, _ = begun()
    for wait_s in (5.0, 10.0):
        now = state.twin.until + 1
        state, actions = do(state, InstanceFailed(REFERENCE, "no memory"), now)
        assert StopInstance(REFERENCE) in actions
        state, actions = do(state, InstanceStopped(REFERENCE), now)
        assert (state.twin.phase, actions) == ("absent", [])
        assert do(state, Tick(), now + wait_s - 0.1)[1] == []
        state, actions = do(state, Tick(), now + wait_s)
        assert actions == [StartInstance(REFERENCE)]
    assert state.members[1].phase == "running", "the instances do not care"


def test_an_agent_that_came_anew_without_the_twin():
    state, _ = begun()
    state, _ = do(state, InstanceStarted(REFERENCE, 9))
    state, actions = do(state, AgentUp((Running(1, 5),)))
    assert actions[0] == StartInstance(REFERENCE)
    assert state.twin.ofport is None
    assert REFERENCE not in state.ports


def test_one_that_does_not_answer():
    state, _ = begun()
    state, actions = do(state, Tick(), 62.0)
    assert StopInstance(REFERENCE) in actions
    assert isinstance(state.twin, ReferenceInstance)
    assert do(state, Steered(state.version), 63.0)[1] == []


# ---- what the switch sends it ----
@pytest.mark.parametrize("source", range(8))
@pytest.mark.parametrize("family", ["ipv4", "other"])
def test_the_twin_gets_every_packet_once_and_owns_only_the_sampled(source, family):
    options = RuleOptions(buckets=8, forward="drop", sampled=frozenset({0, 4}))
    assignment = {bucket: 1 + bucket % 2 for bucket in range(7)}  # bucket 7 is nobody's
    rules = compile_rules(assignment, {1: 11, 2: 12, REFERENCE: 99}, options)
    kind = {"eth_type": 0x0800, "ipv4_src": source, "ipv4_dst": 3} if family == "ipv4" else {"eth_type": 0x1234}
    frame = Frame({"eth_src": source, "eth_dst": 3} | kind)
    outputs = SimulatedSwitch().load(rules).send(frame, 1)
    (copy,) = [out.frame for out in outputs if out.port == 99]
    assert copy.tags == ((0x88A8, 4093 if source in (0, 4) else 4094),)
    without = SimulatedSwitch().load(compile_rules(assignment, {1: 11, 2: 12}, options)).send(frame, 1)
    assert [out for out in outputs if out.port != 99] == without, "the others get what they get without it"


def test_it_costs_no_bucket_rules_and_nothing_enters_from_it():
    options = RuleOptions(sampled=frozenset({0}))
    assignment = dict.fromkeys(range(64), 1)
    with_it, without = (compile_rules(assignment, {1: 11} | twin, options) for twin in ({REFERENCE: 99}, {}))
    assert len(with_it) == len(without) + 1
    assert SimulatedSwitch().load(with_it).send(Frame({"eth_type": 0x1234, "eth_src": 1, "eth_dst": 2}), 99) == []


# ---- giving it the streams ----
def test_every_owner_copies_to_it_and_nobody_s_buckets_change():
    owners = {0: 1, 1: 1, 2: 2}
    move = StateCopy(9, owners, owners, frozenset({1, 2, REFERENCE}), to=REFERENCE, scored=(0,))
    assert move.handovers == (Handover(1, REFERENCE, (0, 1)), Handover(2, REFERENCE, (2,)))
    assert move.rows(move.handovers[0], 40) == Ask(1, "packets", "copy_rows", (9, [0, 1], 40, [0]), REFERENCE)
    steps, moved = play(move)
    assert [one.error for one in moved] == [None, None]
    assert move.cut == REFERENCE + 40, "the highest that anyone passed on"
    gives = [one[0] for one in steps if isinstance(one, tuple) and one[0].method == "give_streams"]
    assert [(ask.instance, ask.peer, ask.params[1:]) for ask in gives] == [(1, REFERENCE, ([0, 1], [])), (2, REFERENCE, ([2], [0, 1]))]
    assert {ask.instance: ask.params[1] for ask in steps[-1]} == {1: [0, 1], 2: [2], REFERENCE: None}
    assert BucketMove(9, owners, owners, frozenset({1, 2})).handovers == ()
