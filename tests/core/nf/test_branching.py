"""An NF whose graph branches and joins, with two nodes of one kind: every decision in core asks the graph, none a list.

in -> streams -> short + long -> out; short and long are autoencoders, long costs four times as much.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lego_sdn.core.cost.capacity import capacity, chained, kind_us, separate, shadow_share
from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.cost.model import BrickCost, Carriage, Costs
from lego_sdn.core.cost.placement import HostCapacity, Need, initial
from lego_sdn.core.cost.second_host import overloaded
from lego_sdn.core.facts.actions import ChainBrick, Separate, StartInstance, StartReplica, StopReplica
from lego_sdn.core.facts.arrangement import Arrangement, Placed
from lego_sdn.core.facts.config import InstanceSettings
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Graph, Node, require_runnable
from lego_sdn.core.facts.headers import SRC_IP
from lego_sdn.core.facts.reports import Report
from lego_sdn.core.nf.granularity import Extractor, Statistic
from lego_sdn.core.nf.split_key import SplitError, SplitKey, split_key
from lego_sdn.core.observe.deadlines import Promise, divide
from lego_sdn.core.observe.diagnosis import Outside, Rounds, diagnose
from lego_sdn.core.observe.slo import basis_of, tally
from lego_sdn.core.policy.options import larger, smaller
from lego_sdn.simulation.brick_queues import BrickQueues
from tests.two_keys import NF as TWO_KEYS

EDGES = (("in", "streams"), ("streams", "short"), ("streams", "long"), ("short", "out"), ("long", "out"))
NODES = (Node("in", "packet-batching"), Node("streams", keyed=True), Node("short", "autoencoder"), Node("long", "autoencoder"), Node("out"))
GRAPH = Graph(NODES, EDGES)
US = {"in": 10.0, "streams": 20.0, "short": 50.0, "long": 200.0, "out": 5.0}
BYTES = {"in": 80.0, "streams": 1000.0, "short": 88.0, "long": 96.0}
BRICKS = tuple(BrickCost(node, 0.0, us, bytes_out=BYTES.get(node, 0.0), keyed=node == "streams") for node, us in US.items())
COSTS = Costs("toy", "toy", BRICKS, shadows=1, graph=GRAPH)


def laid(quota: float | None = 0.2, **replicas: int) -> Arrangement:
    """A process for each brick; so many replicas of some nodes."""
    bricks = [f"{node}-{serial}" for node in GRAPH.order for serial in range(replicas.get(node, 1))]
    return Arrangement(tuple(Placed(f"1-{chr(97 + at)}", (brick,), quota) for at, brick in enumerate(bricks)), GRAPH)


# ---- costs and capacity ----
def test_costs_keep_their_graph_in_the_plain_form_and_their_order_is_the_graphs():
    assert Costs.parse(json.loads(json.dumps(COSTS.to_dict()))) == COSTS
    assert replace(COSTS, bricks=BRICKS[::-1]) == COSTS
    with pytest.raises(CostError, match="wanted those of the nodes in, streams, short, long, out, found in"):
        replace(COSTS, bricks=BRICKS[:1])
    with pytest.raises(CostError, match="edges form a circle"):
        Costs.parse(COSTS.to_dict() | {"graph": {"nodes": [{"id": "a"}], "edges": [["a", "a"]]}})


def test_every_branch_gets_every_row_and_the_join_gets_each_once():
    filtering = tuple(replace(brick, items_out=0.5) if brick.kind == "short" else brick for brick in BRICKS)
    rows = replace(COSTS, bricks=filtering).visits(2.0)
    assert rows == {"in": 2.0, "streams": 2.0, "short": 1.0, "long": 1.0, "out": 1.0}, "shadows end where the streams are"
    assert shadow_share(COSTS) == pytest.approx((10 + 20) / sum(US.values()))


def test_shadows_go_along_a_branch_without_keyed_nodes_to_the_keyed_one_after_it():
    graph = Graph((Node("a"), Node("b"), Node("c", keyed=True), Node("d", keyed=True), Node("e")), (*zip("aabcd", "bcdee", strict=True),))
    costs = Costs("x", "x", tuple(BrickCost(node, 0.0, 1.0, keyed=node in "cd") for node in "abcde"), graph=graph)
    assert costs.visits(3.0) == {"a": 3.0, "b": 3.0, "c": 3.0, "d": 3.0, "e": 1.0}


def test_capacity_is_that_of_the_costlier_branch_and_carriage_is_paid_for_each_edge():
    assert capacity(COSTS, chained(GRAPH.order)).packets == pytest.approx(1e6 / sum(US.values()))
    found = capacity(COSTS, separate(GRAPH.order))
    assert (found.packets, found.full, found.slowest) == (pytest.approx(5000), ("long",), "long")
    carried = kind_us(replace(COSTS, ring=Carriage(0.0, 0.01)), separate(GRAPH.order))
    assert carried["streams"] == pytest.approx(20 + 2 * 10.0), "a row goes to both"
    assert carried["short"] == pytest.approx(50 + 0.88)
    assert carried["out"] == pytest.approx(5)


# ---- deadlines ----
def test_a_promise_is_divided_along_both_branches_and_shared_nodes_get_the_tighter_part():
    parts = divide(Promise(235.0, 0.1), COSTS)
    assert {node: round(part.ms, 1) for node, part in parts.items()} == {"in": 10, "streams": 20, "long": 200, "out": 5, "short": 138.2}
    basis = basis_of_laid(laid())
    assert basis.paths == (("in", "streams", "short", "out"), ("in", "streams", "long", "out"))
    assert basis.cores == dict.fromkeys(US, 0.2)


def basis_of_laid(arrangement):
    from lego_sdn.core.facts.config import Config

    line = replace(COSTS, graph=Graph())  # costs of before graphs were told
    assert not line.graph.after("out")
    return basis_of(Config(), line, [arrangement])


# ---- placement and growth ----
def test_a_cut_between_branches_carries_the_rows_of_every_edge_that_it_cuts():
    needs = [Need(node, 1.0) for node in GRAPH.order]
    hosts = [HostCapacity("a", 3.5, 1e9, link_bytes=1e9), HostCapacity("b", 2.5, 1e9, link_bytes=1e9)]
    placed = initial(COSTS, 1000.0, needs, hosts)
    assert [[need.kind for need in part] for _, part in placed.parts] == [["in", "streams", "short"], ["long", "out"]]
    assert placed.carried_bytes == pytest.approx(1000 * (1000 + 88)), "rows to long, and results of short"


def test_an_inner_node_is_what_grows():
    assert overloaded(COSTS) == "long"
    assert overloaded(replace(COSTS, bricks=tuple(replace(b, packet_us=500.0) if b.kind == "out" else b for b in BRICKS))) == "long"
    steps = [action for action, _ in larger(1, Arrangement(graph=GRAPH).apply(StartInstance(1)), COSTS, 0.2)]
    assert steps == [Separate(1, "streams"), StartReplica(1, "short"), StartReplica(1, "long")]
    whole = Arrangement(graph=GRAPH).apply(StartInstance(1))
    apart = whole.apply(Separate(1, "streams")).apply(Separate(1, "short")).apply(StartReplica(1, "long"))
    assert [step for step, _ in smaller(1, apart, InstanceSettings())] == [
        ChainBrick(1, "streams"), ChainBrick(1, "short"), StopReplica(1, "long-1"),
    ]  # fmt: skip


# ---- arrangement ----
def test_an_arrangement_has_the_graph_that_the_agent_tells_and_replicas_by_node():
    arrangement = laid(long=2)
    told = {"processes": [{"process": p.process, "bricks": list(p.bricks), "cpu_quota": 0.2} for p in arrangement.processes[::-1]]}
    found = Arrangement.of(json.loads(json.dumps(told | {"graph": GRAPH.to_dict()})))
    assert found.graph == GRAPH
    assert found.bricks == ("in-0", "streams-0", "short-0", "long-0", "long-1", "out-0")
    assert found.of_kind("long") == ("long-0", "long-1"), "not those of the other autoencoder"
    assert found.is_spare(found.process_of("long-1").process)
    assert not found.is_spare(found.process_of("short-0").process)


def test_a_change_within_puts_a_brick_back_where_the_graph_has_it():
    whole = Arrangement(graph=GRAPH).apply(StartInstance(1))
    apart = whole.apply(Separate(1, "short"))
    more = apart.apply(StartReplica(1, "long"))
    assert more.bricks == ("in-0", "streams-0", "short-1", "long-0", "long-1", "out-0")
    assert more.new_brick(apart) == "long-1"
    assert apart.apply(ChainBrick(1, "short")).processes == whole.processes


# ---- diagnosis ----
def watched(us, offered: float):
    pipeline = BrickQueues(laid(), us)
    pipeline.run(offered, 6)
    before = pipeline.reports()
    pipeline.run(offered, 4)
    return diagnose(Rounds(before, pipeline.reports()), laid(), Outside(offered))


@pytest.mark.parametrize(("slow", "other"), [("long", "short"), ("short", "long")])
def test_the_slow_branch_is_named_and_the_other_one_is_not_held_up(slow, other):
    found = watched(US | {"short": 100.0, "long": 100.0, slow: 2000.0}, 150.0)
    verdicts = {one.kind: one.verdict for one in found.bricks}
    assert (found.cause, found.brick) == ("brick", f"{slow}-0")
    assert verdicts[slow] == "slow"
    assert verdicts[other] == "easy", "rows on the one branch do not come by the other"
    assert verdicts["out"] == "starved"


def test_a_packet_waits_on_the_longest_way():
    found = watched(US | {"long": 2000.0}, 150.0)
    waits = {one.kind: one.wait_us for one in found.bricks}
    assert found.wait_s == pytest.approx(sum(waits[node] for node in ("in", "streams", "long", "out")) / 1e6)


def test_what_is_late_counts_at_every_end():
    both = Graph((Node("in"), Node("left", "end"), Node("right", "end")), (("in", "left"), ("in", "right")))
    numbers = dict.fromkeys(("serial", "packets_out", "batches", "queue_in", "queue_out", "cpu_s", "service_us"), 0)
    plain = dict.fromkeys(("instance", "pid", "uptime_s", "cpu_s", "rss_bytes"), 1) | {"process": "1-a", "capture": None}

    def report(time: float, rows: int) -> dict[str, Report]:
        more = {"dropped": {}, "kind": "end", "packets_in": rows, "counters": {"late_total": rows // 10}}
        bricks = [numbers | more | {"id": f"{node.id}-0"} for node in both.nodes]
        return {"1-a": Report.parse(plain | {"time": time, "bricks": bricks})}

    found = tally(report(0.0, 0), report(1.0, 100), both.ends)
    assert (found.scored, found.late) == (200, 20)


# ---- what runs, and what cannot ----
@pytest.mark.parametrize("graph", [GRAPH, Graph.line("a", Node("b", keyed=True), "c"), TWO_KEYS.graph])
def test_a_graph_that_branches_and_joins_may_run(graph):
    require_runnable(graph)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (Graph((Node("a"), Node("b"))), "has 2 nodes without one before them"),
        (Graph((Node("a"), Node("b"), Node("c")), (("a", "b"), ("a", "c"))), "has 2 nodes without one after them"),
        (Graph.line("a", Node("b", keyed=True), Node("c", keyed=True), "d"), "keyed node c .* must come right after the source"),
        (Graph.line("a", "b", Node("c", keyed=True), "d"), "keyed node c .* must come right after the source"),
    ],
)
def test_a_graph_that_bricks_cannot_run_is_refused_in_one_sentence(graph, words):
    with pytest.raises(BrickError, match=words):
        require_runnable(graph)


def test_a_node_that_joins_has_no_replicas():
    graph = Graph((Node("a"), Node("b"), Node("c"), Node("d"), Node("e")), (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")))
    assert graph.inner == ("b", "c")


# ---- several results of Algorithm 1 ----
def test_each_keyed_node_has_a_key_of_its_own():
    key = split_key(TWO_KEYS.extractor("loads"))
    assert (key.own, key.shadows, key.results, key.apart, key.whole) == (("src_ip",), (("dst_ip",),), ("senders", "receivers"), True, None)
    assert (key.of_node("senders"), key.of_node("receivers")) == (SplitKey(("src_ip",)), SplitKey(("dst_ip",)))
    assert (key.deliveries(4), key.copies) == (2.0, 0)
    assert str(key) == "senders: buckets of SrcIP, receivers: buckets of DstIP"


def test_results_without_stamps_or_with_an_auditor_are_refused():
    key = split_key(TWO_KEYS.extractor("loads"))
    key.require_joined("trailer", False)
    for stamps, audited, words in (("kernel", False, "capture.stamps"), ("trailer", True, "audit.share")):
        with pytest.raises(SplitError, match=words):
            key.require_joined(stamps, audited)


def test_a_statistic_that_no_keyed_node_keeps_is_refused():
    wrong = Extractor("x", (Statistic("s", SRC_IP, node="elsewhere"),))
    with pytest.raises(BrickError, match="kept by 'elsewhere', which is no keyed node"):
        replace(TWO_KEYS, extractors={"x": wrong})
