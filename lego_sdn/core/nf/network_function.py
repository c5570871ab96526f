"""A network function (NF) as one value: what the system knows of it, and how its bricks and models are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.errors import BrickError, ConfigError
from lego_sdn.core.facts.graph import Graph, Node
from lego_sdn.core.nf.granularity import Extractor

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class NetworkFunction:
    """An NF. The value itself is light: what is heavy (kernels, models) is imported by its functions when they are called.

    extractors  by feature layout: what the feature extractor declares of its statistics; the first layout is the usual one
    build       (node, serial, models, settings) -> Brick; models: by node, as `models` read them; settings: limits {"streams": n},
                precision "float64" | "float32", threshold float | None, key (the SplitKey by whose buckets state leaves and enters),
                each may be missing
    models      node -> (path, layout or None) -> model: the nodes that need a model file, and how it is read (ModelError)
    learn       (PACKET rows of ordinary traffic, path, layout) -> model: learns one and writes it; None: models come from elsewhere
    blank       (layout) -> models by node that have learned nothing, with which kernels are compiled before packets come
    """

    name: str
    graph: Graph
    extractors: Mapping[str, Extractor]
    build: Callable[[Node, int, Mapping[str, Any], Settings], Any]
    models: Mapping[str, Callable[[str, str | None], Any]] = field(default_factory=dict)
    learn: Callable[[Any, Any, str], Any] | None = None
    blank: Callable[[str], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not self.graph.nodes:
            raise BrickError(f"NF {self.name}: its graph has no node")
        for node in self.models:
            if node not in self.graph:
                raise BrickError(f"NF {self.name}: a model is read for {node!r}, which is no node of {self.graph}")
        if not self.extractors:
            raise BrickError(f"NF {self.name}: no extractor is declared; without one, nothing says by which key traffic may be split")
        for extractor in self.extractors.values():
            self._check_nodes(extractor)

    def _check_nodes(self, extractor: Extractor) -> None:
        """BrickError if a statistic is kept by a node that has no state, or results of several keys are not told apart by the graph."""
        keyed = self.graph.keyed
        for statistic in extractor.statistics:
            if statistic.node and statistic.node not in keyed:
                raise BrickError(
                    f"NF {self.name}: statistic {statistic.name} is kept by {statistic.node!r}, which is no keyed node of {self.graph}"
                )
        if extractor.results and set(self.graph.after(*self.graph.sources[:1])) != set(extractor.results):
            nodes = ", ".join(extractor.results)
            raise BrickError(
                f"NF {self.name}: packets are divided by the keys of {nodes}; no other node may follow the source in {self.graph}"
            )

    @property
    def layouts(self) -> tuple[str, ...]:
        return tuple(self.extractors)

    def extractor(self, layout: str) -> Extractor:
        """ConfigError, with the layouts that there are, if there is none of this name."""
        if layout not in self.extractors:
            raise ConfigError(f"unknown layout {layout!r} of {self.name}; there are {', '.join(sorted(self.extractors))}")
        return self.extractors[layout]

    def model_paths(self, model: str | None, models: Mapping[str, str]) -> dict[str, str]:
        """Node -> path of its model file, of the configuration's `model` (one for all) and `models` (by node).

        ConfigError if a node is named that reads no model. Nodes without a path are left out: whoever builds them says so.
        """
        for node in models:
            if node not in self.models:
                wanted = f"nodes of {self.name} that have a model ({', '.join(self.models) or 'none has one'})"
                raise ConfigError(f"models: wanted {wanted}, found {node!r}")
        usual = {} if model is None else dict.fromkeys(self.models, model)
        return usual | dict(models)

    def __repr__(self) -> str:
        return f"<NetworkFunction {self.name}: {self.graph}>"
