"""Kitsune as a value: its bricks in the order of the graph, the links between them, and how each is built from a model.

What its feature extractor declares of its statistics is in `kitsune_declaration.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lego_sdn.core.errors import BrickError

if TYPE_CHECKING:
    from bricks.base import Brick
    from bricks.model import Model

GRAPH = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
KEYED = "feature-quantization"  # its replicas share out the sources, each with its own streams; comes right after the first
LINKS = tuple(pairwise(GRAPH))  # (from, to), by kind

Settings = Mapping[str, Any]


def new_brick(kind: str, serial: int, model: Model, settings: Settings | None = None) -> Brick:
    """A brick of the graph, of any kind but `packet-batching`, whose input is an interface and which the runtime builds.

    settings: limits {"streams": n}, precision "float64" | "float32", threshold float | None; each may be missing.
    """
    if kind not in _BUILDERS:
        raise BrickError(f"kitsune builds no brick of kind {kind!r} from a model; it builds {', '.join(_BUILDERS)}")
    return _BUILDERS[kind](serial, model, settings or {})


def _feature_quantization(serial: int, model: Model, settings: Settings) -> Brick:
    from bricks.feature_quantization import STREAMS, FeatureQuantization

    return FeatureQuantization(serial, model.layout, (settings.get("limits") or {}).get("streams", STREAMS))


def _feature_mapping(serial: int, model: Model, settings: Settings) -> Brick:
    from bricks.feature_mapping import FeatureMapping

    return FeatureMapping(serial, model)


def _unsupervised_network(serial: int, model: Model, settings: Settings) -> Brick:
    from bricks.unsupervised_network import UnsupervisedNetwork

    return UnsupervisedNetwork(serial, model, settings.get("precision") or "float64")


def _sample_result(serial: int, model: Model, settings: Settings) -> Brick:
    from bricks.sample_result import SampleResult

    return SampleResult(serial, model, settings.get("threshold"))


_BUILDERS: dict[str, Callable[[int, Model, Settings], Brick]] = {
    "feature-quantization": _feature_quantization,
    "feature-mapping": _feature_mapping,
    "unsupervised-network": _unsupervised_network,
    "sample-result": _sample_result,
}
