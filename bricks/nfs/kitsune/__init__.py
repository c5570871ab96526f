"""Kitsune as a value. `declaration.py`: what its statistics read; `build.py`: its bricks; `learn.py`: its model."""

from __future__ import annotations

from bricks.nfs.kitsune.build import NETWORK, new_brick, read_model
from bricks.nfs.kitsune.declaration import EXTRACTORS
from bricks.nfs.kitsune.learn import blank_models, learn_model
from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.nf.network_function import NetworkFunction

NF = NetworkFunction(
    "kitsune",
    Graph.line("packet-batching", Node("feature-quantization", keyed=True), "feature-mapping", NETWORK, "sample-result"),
    EXTRACTORS,
    new_brick,
    models={NETWORK: read_model},
    learn=learn_model,
    blank=blank_models,
)
