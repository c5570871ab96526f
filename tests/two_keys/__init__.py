"""A small NF of another package with two results of Algorithm 1: how busy each address is as a sender, and as a receiver.

Two keyed nodes of one kind, each with a key of its own, branch from the source; one of the branches has a brick without state. A packet has
two scores, its sender's load (doubled) and its receiver's, which are joined by its stamp. No model is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.facts.headers import DST_IP, SRC_IP
from lego_sdn.core.nf.granularity import Extractor, Feature, Read, Statistic
from lego_sdn.core.nf.network_function import NetworkFunction

_SENT = Statistic("sent", SRC_IP, (Feature("sent", (Read.same("sent", "src_ip"),)),), node="senders")
_RECEIVED = Statistic("received", DST_IP, (Feature("received", (Read.same("received", "dst_ip"),)),), node="receivers")
LOADS = Extractor("loads", (_SENT, _RECEIVED))
GRAPH = Graph(
    (
        Node("packet-batching"),
        Node("senders", "address-load", {"field": "src_ip"}, keyed=True),
        Node("receivers", "address-load", {"field": "dst_ip"}, keyed=True),
        Node("doubling"),
        Node("sample-result"),
    ),
    (
        ("packet-batching", "senders"),
        ("packet-batching", "receivers"),
        ("senders", "doubling"),
        ("doubling", "sample-result"),
        ("receivers", "sample-result"),
    ),
)


def _build(node: Node, serial: int, models: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    from tests.two_keys import bricks

    return bricks.build(node, serial, settings)


NF = NetworkFunction("two-keys", GRAPH, {"loads": LOADS}, _build)
