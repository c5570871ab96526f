"""How each of the bricks of `doshi` is built from its one model, a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lego_sdn.core.facts.errors import BrickError, ModelError
from lego_sdn.core.facts.graph import Node

if TYPE_CHECKING:
    from bricks.models.classifier import Classifier
    from bricks.records.brick import Brick

NETWORK = "supervised-network"  # the node whose model it is; the other bricks use the layout and the thresholds in it
Settings = Mapping[str, Any]


def read_model(path: str, layout: str | None = None) -> Classifier:
    """The classifier in a file. ModelError if it is none, or of another layout, or takes another number of features."""
    from bricks.device_features import LAYOUTS
    from bricks.models.model_file import load_model

    model: Classifier = load_model(path, layout, kind="classifier")
    if LAYOUTS.get(model.layout) != model.width:
        known = ", ".join(f"{name} ({width})" for name, width in LAYOUTS.items())
        raise ModelError(f"model {path} takes {model.width} features of another layout than those of doshi, which are {known}")
    return model


def new_brick(node: Node, serial: int, models: Mapping[str, Classifier], settings: Settings) -> Brick:
    """A brick of any kind but `packet-batching`, which the runtime builds. BrickError without a model."""
    if node.kind not in _BUILDERS:
        raise BrickError(f"doshi builds no brick of kind {node.kind!r} from a model; it builds {', '.join(_BUILDERS)}")
    if NETWORK not in models:
        raise BrickError(f"{node.id} of doshi needs the model of {NETWORK}; learn one with 'lego train --nf doshi'")
    return _BUILDERS[node.kind](serial, models[NETWORK], settings)


def _device_features(serial: int, model: Classifier, settings: Settings) -> Brick:
    from bricks.device_features import BY_DEVICE, STREAMS, DeviceFeatures

    streams = (settings.get("limits") or {}).get("streams", STREAMS)
    return DeviceFeatures(serial, model.layout, streams, settings.get("key", BY_DEVICE))


def _supervised_network(serial: int, model: Classifier, settings: Settings) -> Brick:
    from bricks.supervised_network import SupervisedNetwork

    return SupervisedNetwork(serial, model, settings.get("precision") or "float64")


def _class_result(serial: int, model: Classifier, settings: Settings) -> Brick:
    from bricks.class_result import ClassResult

    return ClassResult(serial, model, settings.get("threshold"))


_BUILDERS: dict[str, Callable[[int, Classifier, Settings], Brick]] = {
    "device-features": _device_features,
    NETWORK: _supervised_network,
    "class-result": _class_result,
}


def blank_models(layout: str) -> Mapping[str, Classifier]:
    """By node, a classifier of this layout that has learned nothing."""
    from bricks.device_features import LAYOUTS
    from bricks.kernels.network import opcodes as op
    from bricks.models.classifier import Classifier
    from bricks.models.program import ProgramBuilder

    builder = ProgramBuilder(LAYOUTS[layout])
    builder.dense([[0.0, 0.0]] * LAYOUTS[layout], [0.0, 0.0])
    builder.add(op.SOFTMAX)
    return {NETWORK: Classifier(layout, builder.done(), ("benign", "attack"))}
