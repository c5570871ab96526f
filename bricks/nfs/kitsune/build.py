"""How each of Kitsune's bricks is built from its one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.facts.graph import Node
from lego_sdn.core.nf.split_key import BY_SOURCE

if TYPE_CHECKING:
    from bricks.models.model_file import Model
    from bricks.records.brick import Brick

NETWORK = "unsupervised-network"  # the node whose model it is; the other bricks use the feature map and the threshold in it

Settings = Mapping[str, Any]


def read_model(path: str, layout: str | None = None) -> Model:
    """The model in a file. ModelError if it is none, or one of another layout."""
    from bricks.models.model_file import load_model

    return load_model(path, layout)


def new_brick(node: Node, serial: int, models: Mapping[str, Model], settings: Settings) -> Brick:
    """A brick of any kind but `packet-batching`, whose input is an interface and which the runtime builds. BrickError without a model."""
    if node.kind not in _BUILDERS:
        raise BrickError(f"kitsune builds no brick of kind {node.kind!r} from a model; it builds {', '.join(_BUILDERS)}")
    if NETWORK not in models:
        raise BrickError(f"{node.id} of kitsune needs the model of {NETWORK}; learn one with 'lego train'")
    return _BUILDERS[node.kind](serial, models[NETWORK], settings)


def _feature_quantization(serial: int, model: Model, settings: Settings) -> Brick:
    from bricks.feature_quantization import STREAMS, FeatureQuantization

    streams = (settings.get("limits") or {}).get("streams", STREAMS)
    return FeatureQuantization(serial, model.layout, streams, settings.get("key", BY_SOURCE))


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
