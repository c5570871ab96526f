"""A change within an instance that succeeds in the main tells what it could not do."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from lego_sdn.agent.layout import InstanceLayout, lay_out
from lego_sdn.agent.transition import LayoutTransition
from lego_sdn.core.facts.actions import StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph

GRAPH = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
NETWORK = "unsupervised-network"


class Processes:
    """Brick processes that answer every call but those of `deaf`; `waits`: rows that wait, from answer to answer."""

    def __init__(self, deaf: set[tuple[str, str]], waits: Sequence[int] = (0,)) -> None:
        self.deaf, self.waits, self.called, self.stopped = deaf, list(waits), [], []
        self.belongings = SimpleNamespace(things=[], note_all=list, remove=lambda _: None, of=lambda _: [])

    def call(self, name: str, method: str, *params: Any, timeout: float = 5.0) -> Any:
        self.called.append((name, method))
        if (name, method) in self.deaf:
            raise BrickError(f"{name} did not answer {method}")
        waits = self.waits.pop(0) if method == "drain" and len(self.waits) > 1 else self.waits[0]
        return {"process": name, "bricks": [{"queue_in": waits}]}

    def stop(self, name: str) -> None:
        self.stopped.append(name)

    def set_quotas(self, wanted: dict) -> None:
        """There are none."""


def with_two_networks() -> InstanceLayout:
    return lay_out(1, "run", Arrangement(graph=Graph.line(*GRAPH), placement="separate")).after(StartReplica(1, NETWORK))


def test_what_fails_when_packets_go_the_new_way_already_is_told():
    grown, brick = with_two_networks(), f"{NETWORK}-1"
    leaver, reader = grown.process_of(brick), grown.process_of("sample-result-0")
    processes = Processes({(leaver, "drain"), (reader, "inputs")})
    change = LayoutTransition(processes, grown, grown.after(StopReplica(1, brick))).carry_out()
    assert change.undone == [f"{leaver} did not answer drain", f"{reader} did not answer inputs"]
    assert (processes.stopped, change.reports) == ([leaver], [])
    assert LayoutTransition(Processes(set()), grown, grown.after(StopReplica(1, brick))).carry_out().undone == []


def test_who_leaves_is_drained_as_long_as_it_gets_something_done():
    grown, brick = with_two_networks(), f"{NETWORK}-1"
    leaver = grown.process_of(brick)
    slow = Processes(set(), waits=(7000, 4000, 900, 0))
    change = LayoutTransition(slow, grown, grown.after(StopReplica(1, brick))).carry_out()
    assert slow.called.count((leaver, "drain")) == 4
    assert (change.undone, change.reports[0]["bricks"]) == ([], [{"queue_in": 0}])
    stuck = Processes(set(), waits=(7000, 900, 900))
    change = LayoutTransition(stuck, grown, grown.after(StopReplica(1, brick))).carry_out()
    assert change.undone == [f"{leaver} ended with 900 rows before it that it did not get done: they count as lost"]
