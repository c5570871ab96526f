"""Doshi's classifiers of IoT traffic as a value (Doshi, Apthorpe, Feamster 2018). `declaration.py`: what its statistics read; `build.py`:
its bricks and models; docs/reference/doshi.md: source, deviations, what it reaches."""

from __future__ import annotations

from bricks.nfs.doshi.build import NETWORK, blank_models, new_brick, read_model
from bricks.nfs.doshi.declaration import EXTRACTORS
from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.nf.network_function import NetworkFunction

NF = NetworkFunction(
    "doshi",
    Graph.line("packet-batching", Node("device-features", keyed=True), NETWORK, "class-result"),
    EXTRACTORS,
    new_brick,
    models={NETWORK: read_model},
    blank=blank_models,
)
