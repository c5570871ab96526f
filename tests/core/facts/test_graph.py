"""A graph of nodes and edges: it may branch and join, one kind may be there twice, and what contradicts itself is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import BrickId, Edge, Graph, GraphError, Node

DIAMOND = Graph(
    (Node("in"), Node("short", "autoencoder"), Node("long", "autoencoder", {"width": 40}), Node("out")),
    (("in", "short"), ("in", "long"), ("short", "out"), ("long", "out")),
)


@st.composite
def graphs(draw) -> Graph:
    """Any graph without a circle, its nodes in any order."""
    ids = draw(st.lists(st.from_regex(r"[a-z]{1,3}(-[0-9]{1,2})?", fullmatch=True), unique=True, min_size=1, max_size=7))
    pairs = [(a, b) for at, a in enumerate(ids) for b in ids[at + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(tuple(Node(id, keyed=draw(st.booleans())) for id in draw(st.permutations(ids))), tuple(edges))


def test_two_nodes_of_one_kind_that_branch_and_join():
    assert [DIAMOND.node(id).kind for id in DIAMOND.order] == ["in", "autoencoder", "autoencoder", "out"]
    assert (DIAMOND.after("in"), DIAMOND.before("out")) == (("short", "long"), ("short", "long"))
    assert (DIAMOND.sources, DIAMOND.ends, DIAMOND.inner) == (("in",), ("out",), ("short", "long"))
    assert DIAMOND.paths() == (("in", "short", "out"), ("in", "long", "out"))
    assert DIAMOND.beyond("in") == {"short", "long", "out"}
    assert str(DIAMOND) == "in -> short + long, short -> out, long -> out"
    assert not DIAMOND.is_line


def test_a_line():
    line = Graph.line("a", Node("b", "kind", keyed=True), "c")
    assert (line.order, line.edges, line.keyed, str(line)) == (("a", "b", "c"), (Edge("a", "b"), Edge("b", "c")), ("b",), "a -> b -> c")
    assert line.is_line
    assert Graph().is_line
    assert "b" in line
    assert "kind" not in line


@given(graphs())
def test_every_edge_leads_onward_and_paths_are_along_edges(graph):
    at = {id: number for number, id in enumerate(graph.order)}
    assert sorted(at) == sorted(node.id for node in graph.nodes)
    assert all(at[edge.source] < at[edge.target] for edge in graph.edges)
    for path in graph.paths():
        assert (path[0] in graph.sources, path[-1] in graph.ends) == (True, True)
        assert all(pair in graph.edges for pair in pairwise(path))
    for id in at:
        assert graph.beyond(id) == {later for path in graph.paths() if id in path for later in path[path.index(id) + 1 :]}


@given(graphs())
def test_the_plain_form_gives_the_same_graph(graph):
    assert Graph.parse(json.loads(json.dumps(graph.to_dict()))) == graph


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        ("ab", [("a", "b"), ("b", "a")], "edges form a circle: a, b"),
        ("ab", [("a", "a")], "edges form a circle: a"),
        ("abc", [("a", "b"), ("b", "c"), ("c", "b")], "edges form a circle: b, c"),
        ("aba", [], "node a is twice"),
        ("ab", [("a", "b"), ("a", "b")], "the edge from a to b is twice"),
        ("ab", [("a", "x")], "the edge from a to x has an end that is no node: x"),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(nodes, edges, words):
    with pytest.raises(GraphError, match=words):
        Graph(tuple(map(Node, nodes)), tuple(edges))


@pytest.mark.parametrize("name", ["", "a b", "a-", "-a", "a--b", "a/b", "ä", 7])
def test_names_that_could_not_stand_in_a_brick_id_are_refused(name):
    with pytest.raises(GraphError, match="cannot name a node or a kind"):
        Node(name)


@pytest.mark.parametrize("told", [{}, {"nodes": []}, {"nodes": [{"id": "a", "what": 1}], "edges": []}, {"nodes": [], "edges": [["a"]]}, []])
def test_what_is_no_plain_form_is_refused(told):
    with pytest.raises(GraphError):
        Graph.parse(told)


def test_a_node_that_is_not_there():
    with pytest.raises(GraphError, match="there is no node 'x' in the graph in -> short"):
        DIAMOND.node("x")


@given(st.from_regex(r"[a-z]{1,4}(-[a-z0-9]{1,3}){0,2}", fullmatch=True), st.integers(0, 10**9 - 1))
def test_a_brick_id_is_node_and_serial(node, serial):
    id = BrickId(node, serial)
    assert BrickId.parse(str(id)) == id


@pytest.mark.parametrize("text", ["", "a", "-0", "a-", "a-x", "a-01", "a--", "a-1.0", "a-٣", "a-9999999999"])
def test_what_is_no_brick_id_is_refused(text):
    with pytest.raises(BrickError, match="is no brick's id"):
        BrickId.parse(text)
