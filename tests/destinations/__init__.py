"""A small NF of another package, keyed by destination: how busy each address is as a receiver, faded over time.

Two layouts. `received`: the load of the packet's destination. `answered`: besides, that of its channel and of the channel back. Its scores
are its features, so that no model is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.facts.headers import DST_IP, SRC_IP_DST_IP
from lego_sdn.core.nf.granularity import Extractor, Feature, Read, Statistic
from lego_sdn.core.nf.network_function import NetworkFunction

_LOAD = Statistic("load", DST_IP, (Feature("load", (Read.same("load", "dst_ip"),)),))
_SAME = Read.same("channel", "src_ip", "dst_ip")
_BACK = Read("channel", frozenset({("src_ip", "dst_ip"), ("dst_ip", "src_ip")}))
_CHANNEL = Statistic("channel", SRC_IP_DST_IP, (Feature("channel", (_SAME, _BACK)),))
RECEIVED, ANSWERED = Extractor("received", (_LOAD,)), Extractor("answered", (_LOAD, _CHANNEL))


def _build(node: Node, serial: int, models: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    from tests.destinations import destination_load

    return destination_load.build(node, serial, settings)


NF = NetworkFunction(
    "destinations",
    Graph.line("packet-batching", Node("destination-load", keyed=True), "sample-result"),
    {extractor.name: extractor for extractor in (RECEIVED, ANSWERED)},
    _build,
)
