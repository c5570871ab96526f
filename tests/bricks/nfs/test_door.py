"""What a process takes in of an NF of somebody else's: bricks that need time get it, and a state that could not be moved is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bricks.nfs.kitsune import EXTRACTORS
from bricks.records.brick import Batch, Brick
from bricks.runtime.assembly import Models
from bricks.runtime.pipeline import Pipeline
from bricks.runtime.spec import Spec
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.nf.network_function import NetworkFunction


class Ticking(Brick):
    """Counts the time that it is told."""

    kind = "sample-result"
    tick_s = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def process(self, batch: Batch) -> Batch:
        return batch

    def on_tick(self, now: float) -> None:
        self.told.append(now)


class Stateful(Brick):
    """Has a state, whatever its graph says."""

    kind = "feature-quantization"
    in_order = True
    calls = ("export", "adopt", "forget", "counters")

    def __init__(self, calls: tuple[str, ...] = calls) -> None:
        super().__init__()
        self.state = SimpleNamespace(**dict.fromkeys(calls, lambda *_: {}))


class Incomplete(Stateful):
    """Cannot say what it holds."""

    def __init__(self) -> None:
        super().__init__(("export", "adopt", "forget"))


def nf(brick, *nodes: Node) -> NetworkFunction:
    graph = Graph.line("packet-batching", *nodes, "sample-result")
    return NetworkFunction("toy", graph, EXTRACTORS, lambda node, *_: brick() if node.kind == brick.kind else Ticking())


KEYED = Node("streams", "feature-quantization", keyed=True)
TICKING, STATEFUL = nf(Ticking), nf(Stateful, KEYED)
PLAIN = nf(Stateful, Node("streams", "feature-quantization"))
INCOMPLETE = nf(Incomplete, KEYED)
STATELESS = nf(Ticking, Node("streams", "feature-quantization", keyed=True))
LATE = nf(Stateful, KEYED, Node("more", "feature-quantization", keyed=True))


def process(tmp_path, name: str, *bricks: str) -> Pipeline:
    spec = {"instance": 1, "process": "1-a", "bricks": list(bricks), "socket": "s", "run_dir": str(tmp_path), "nf": f"{__name__}:{name}"}
    return Pipeline(Spec.parse(spec), Models())


def test_a_brick_that_needs_time_is_told_it_by_the_clock_that_the_runtime_is_given(tmp_path):
    made = process(tmp_path, "TICKING", "sample-result-0")
    (stage,) = made.stages
    for now in (10.0, 10.2, 10.5, 10.9, 11.7):
        made.work(now)
    assert stage.brick.told == [10.0, 10.5, 11.7]
    assert made.patience_s(12.0) == pytest.approx(0.2), "the process wakes for it"


def test_a_brick_that_needs_no_time_costs_nothing(tmp_path):
    made = process(tmp_path, "STATEFUL", "streams-0")
    assert (made.ticks, made.stages[0].brick.id) == ({}, "streams-0")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("INCOMPLETE", "the state of streams .feature-quantization. lacks counters"),
        ("PLAIN", "node streams is not keyed in its graph, and its brick .feature-quantization. has a state"),
        ("STATELESS", "node streams is keyed in its graph, and its brick .feature-quantization. has no state"),
        ("LATE", "keyed node more of the graph .* must come right after the source"),
    ],
)
def test_a_state_that_could_not_be_moved_is_refused_before_packets_come(tmp_path, name, words):
    with pytest.raises(BrickError, match=words):
        process(tmp_path, name, "streams-0")
