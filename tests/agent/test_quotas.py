"""CPU within an instance: whatever starts, stops, dies or is re-allocated, its quotas add up to what it was given."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lego_sdn.agent.cleanup import OwnedResources
from lego_sdn.agent.instance import Instance
from lego_sdn.agent.layout import InstanceLayout
from lego_sdn.agent.record import save_record, wiring_of
from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.core.facts.actions import (
    ChainBrick,
    Separate,
    SetDeadlines,
    SetQuota,
    StartInstance,
    StartReplica,
    StopInstance,
    StopReplica,
    TakeOut,
)
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.cpu_quotas import LEAST, settled
from lego_sdn.core.facts.errors import HostError, LegoError, RpcError
from lego_sdn.core.facts.graph import Graph
from tests.examples import examples

KINDS = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
EACH = 0.2


class Nothing(OwnedResources):
    """Nothing is made, so nothing is removed."""

    def remove(self, things=None):
        self.things = [thing for thing in self.things if things is not None and thing not in things]


class Alive:
    """A process that says yes to everything, until it is killed."""

    def __init__(self) -> None:
        self.pid, self.start, self.lives = 1 << 30, 0, True

    def is_alive(self) -> bool:
        return self.lives

    def is_stopped(self) -> bool:
        return False

    def send(self, signal: int) -> None:
        self.lives = False

    def wait(self, deadline: float) -> bool:
        return True


class Groups:
    """In place of the kernel's: the quota of each process, as it was last set."""

    def __init__(self) -> None:
        self.cores: dict[str, float | None] = {}
        self.refuses: str | None = None  # the process whose quota it does not take

    def create(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(set_quota=lambda cores: self.take(name.split("-", 2)[2], cores), directories=[], add=id)

    def take(self, process: str, cores: float | None) -> None:
        if process == self.refuses:
            raise HostError(f"the kernel refused a quota of {process}")
        self.cores[process] = cores


def says_yes(timeout: float = 5.0):
    client = SimpleNamespace(call=lambda method, *params, timeout=None: {"bricks": []} if method in ("load", "drain") else True)
    return contextlib.nullcontext(client)


def forked(told: dict) -> SimpleNamespace:
    return SimpleNamespace(name=told["process"], process=Alive(), socket=told["socket"], log="", client=says_yes)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("quotas") / "model"
    path.write_text("any")
    return path


def instance_in_memory(model, placement: str, quota: float | None = EACH) -> tuple[Instance, Groups]:
    groups = Groups()
    launcher = SimpleNamespace(fork=forked, launched=id, obituary=lambda replica: f"{replica.name} was killed")
    journal = SimpleNamespace(made=lambda thing: thing, all_made=id, gone=id)
    host = SimpleNamespace(run="r", run_dir=model.parent, prefix="t", journal=journal, cgroups=groups, launcher=launcher)
    host.owner = host.scores = None
    made = Instance(host, InstanceSpec(1, str(model), cpu_quota=quota, placement=placement), Graph.line(*KINDS))
    made.belongings = made.processes.belongings = Nothing(journal, "r", "1")
    for name in made.wiring.processes:
        made.processes.fork(name, made.wiring)
        made.processes.await_answer(name)
    return made, groups


WHAT = some.sampled_from(["start", "stop", "separate", "chain", "reallocate", "die"])
STEPS = some.lists(some.tuples(WHAT, some.sampled_from(KINDS), some.randoms(use_true_random=False)), max_size=25)


def carry_out(made: Instance, what: str, kind: str, random) -> None:
    names = list(made.processes.replicas)
    if what == "start":
        made.start_replica(kind, random.choice([None, 0.05, 0.5]))
    elif what == "stop":
        made.stop_replica(random.choice(made.wiring.of_kind(kind)))
    elif what == "reallocate":
        quotas = made.processes.quotas
        parts = [0.01 + random.random() for _ in names]
        spread = sum(quotas.values()) - LEAST * len(names)
        made.set_quota({name: LEAST + spread * part / sum(parts) for name, part in zip(names, parts, strict=True)})
    elif what == "die":
        made.processes.replicas[made.wiring.process_of(made.wiring.of_kind(kind)[-1])].process.lives = False
        made.check()
    else:
        getattr(made, what)(kind)


@settings(max_examples=examples(150), deadline=None)
@given(some.sampled_from(["chained", "separate"]), STEPS)
def test_quotas_add_up_to_what_was_given(model, placement, steps):
    made, groups = instance_in_memory(model, placement)
    brought = dict(made.processes.quotas)
    for step in steps:
        with contextlib.suppress(LegoError):
            carry_out(made, *step)
        if made.error:
            return
        told = made.as_dict()["processes"]
        brought = {one["process"]: brought.get(one["process"], one["cpu_quota"]) for one in told}
        assert sum(one["cpu_quota"] for one in told) == pytest.approx(sum(brought.values()))
        assert {one["process"]: one["cpu_given"] for one in told} == brought
        assert all(one["cpu_quota"] >= LEAST - 1e-9 for one in told)
        assert {one["process"]: one["cpu_quota"] for one in told} == {one["process"]: groups.cores[one["process"]] for one in told}


ASKED = {
    StartReplica: lambda made, action: made.start_replica(action.kind, action.cores),
    StopReplica: lambda made, action: made.stop_replica(action.brick),
    Separate: lambda made, action: made.separate(action.kind, action.cores),
    ChainBrick: lambda made, action: made.chain(action.kind),
    SetQuota: lambda made, action: made.set_quota(dict(action.cores)),
    SetDeadlines: lambda made, action: made.set_deadlines(dict(action.ms)),
    TakeOut: lambda made, action: made.take_out(action.process),
}
CORES = some.sampled_from([None, 0.05, 0.5])
NAMES = some.sampled_from([f"1-{letter}" for letter in "abcdefgh"])
ACTIONS = some.one_of(
    some.builds(StartReplica, some.just(1), some.sampled_from((*KINDS, "nothing")), CORES),
    some.builds(lambda kind, serial: StopReplica(1, f"{kind}-{serial}"), some.sampled_from(KINDS[1:]), some.integers(0, 3)),
    some.builds(Separate, some.just(1), some.sampled_from(KINDS), CORES),
    some.builds(ChainBrick, some.just(1), some.sampled_from(KINDS)),
    some.builds(lambda cores: SetQuota(1, tuple(cores.items())), some.dictionaries(NAMES, some.sampled_from([0.1, 0.15, 0.3]), max_size=3)),
    some.just(SetDeadlines(1, ((KINDS[1], 5.0),))),
    some.builds(TakeOut, some.just(1), NAMES),
)


def lies(arrangement: Arrangement) -> dict[str, tuple]:
    """By process: its bricks, and its quota and what it was given to the millionth of a core."""
    rounded = [(one, *(None if cores is None else round(cores, 6) for cores in (one.quota, one.given))) for one in arrangement.processes]
    return {one.process: (one.bricks, quota, had) for one, quota, had in rounded}


def written(made: Instance) -> InstanceLayout:
    """How it is made up, by its record in the journal."""
    save_record(made)
    (record,) = [thing for thing in made.belongings.things if thing.kind == "instance"]
    return wiring_of(json.loads(json.dumps(record.detail["wiring"])))


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(some.sampled_from(["chained", "separate"]), some.sampled_from([None, EACH]), some.lists(ACTIONS, max_size=25))
def test_an_agent_does_what_the_planner_reckons_with(model, placement, quota, actions):
    """Any actions lead to the same bricks, processes, names and quotas by `Arrangement.apply` as in an instance, or to the same refusal."""
    made, _ = instance_in_memory(model, placement, quota)
    planned = Arrangement(graph=Graph.line(*KINDS), quota=quota, placement=placement).apply(StartInstance(1))
    for action in actions:
        refused, error = planned.refusal(action), None
        try:
            ASKED[type(action)](made, action)
        except LegoError as found:
            error = str(found)
        assert (refused or "").partition("; it has ")[0] == (error or "").partition("; it has ")[0]
        planned = planned if refused else planned.apply(action)
        told = Arrangement.of(made.as_dict())
        assert lies(told) == lies(planned)
        assert (set(told.bricks), told.died, told.quota, told.placement) == (set(planned.bricks), planned.died, quota, placement)
    assert written(made) == made.wiring, "what an agent that comes later reads in the journal"
    assert planned.apply(StopInstance(1)) == Arrangement(graph=Graph.line(*KINDS), quota=quota, placement=placement)


def test_a_chain_has_its_cpu_back_when_its_brick_is_chained_again(model):
    made, _ = instance_in_memory(model, "chained")
    made.separate(KINDS[3])
    assert made.set_quota({"1-a": 0.05, "1-b": 0.35})["processes"][1]["cpu_given"] == EACH
    (one,) = made.chain(KINDS[3])["processes"]
    assert one["cpu_quota"] == pytest.approx(EACH)


def test_an_operator_who_gives_more_or_less_gives_it_for_good(model):
    made, _ = instance_in_memory(model, "separate")
    told = made.set_quota({"1-a": 0.5})["processes"]
    assert [one["cpu_given"] for one in told] == [0.5, EACH, EACH, EACH, EACH]
    assert {one["cpu_given"] for one in made.set_quota(0.3)["processes"]} == {0.3}
    assert {one["cpu_given"] for one in made.set_quota(None)["processes"]} == {None}


@pytest.mark.parametrize("cores", [0.4, {"1-a": 0.1, "1-b": 0.3, "1-c": 0.2}])
def test_a_quota_that_the_kernel_refuses_leaves_all_as_they_were(model, cores):
    made, groups = instance_in_memory(model, "separate")
    before, taken = made.as_dict(), dict(groups.cores)
    groups.refuses = "1-b"
    with pytest.raises(HostError, match="refused a quota of 1-b"):
        made.set_quota(cores)
    assert (made.as_dict(), groups.cores) == (before, taken)
    groups.refuses = None
    made.start_replica(KINDS[3])
    assert groups.cores["1-f"] == EACH, "nor does a process that comes later get it"


def test_a_process_is_started_with_the_bricks_and_the_quota_of_the_arrangement(model):
    made, groups = instance_in_memory(model, "chained")
    started = []
    made.host.launcher.fork = lambda told: (started.append(told), forked(told))[1]
    planned = made.wiring.arrangement
    for action in (StartReplica(1, KINDS[1], 0.05), Separate(1, KINDS[3]), StartReplica(1, KINDS[3])):
        planned = planned.apply(action)
        ASKED[type(action)](made, action)
        last = planned.processes[-1]
        assert (started[-1]["process"], tuple(started[-1]["bricks"]), groups.cores[last.process]) == (last.process, last.bricks, last.quota)
    assert made.wiring.arrangement == planned


def test_without_quotas_nothing_is_settled(model):
    made, groups = instance_in_memory(model, "separate", None)
    made.start_replica(KINDS[3])
    made.stop_replica(f"{KINDS[3]}-1")
    assert groups.cores == {}


def test_all_at_the_least_get_what_they_were_given():
    assert settled({"a": LEAST, "b": LEAST}, {"a": 0.2, "b": 0.1}) == {"a": 0.2, "b": 0.1}


def test_a_policy_reckons_with_what_comes_back():
    arrangement = Arrangement((Placed("a", ("x-0",), 0.05, 0.2), Placed("b", ("y-0",), 0.35, 0.2)), Graph.line("x", "y"))
    assert arrangement.without("b").quotas == {"a": pytest.approx(0.2)}
    assert Placed("c", ("z-0",), 0.3).given == 0.3


def test_a_process_that_goes_without_a_word_leaves_no_report(model):
    """Nothing stands for it: whoever adds reports up took None for one."""
    made, _ = instance_in_memory(model, "separate")
    made.start_replica(KINDS[3])
    assert made.stop_replica(f"{KINDS[3]}-1")["report"]

    def mute(method, *params, timeout=None):
        if method == "drain":
            raise RpcError("it did not answer in time")
        return True

    made.processes.replicas[made.start_replica(KINDS[3])["process"]["process"]].client = lambda timeout=5.0: contextlib.nullcontext(
        SimpleNamespace(call=mute)
    )
    assert "report" not in made.stop_replica(f"{KINDS[3]}-1")
