"""KitNET's model (Kitsune paper, section V): an ensemble of autoencoders, one more over their errors, and what normalises both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bricks.models.archive import ArrayPart
from bricks.models.kinds import ModelKind
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import shown

_REAL = ("low", "span", "weights", "hidden_bias", "visible_bias", "error_low", "error_span", "threshold")
_WHOLE = ("order", "sizes")


def hidden_units(visible: np.ndarray | int) -> np.ndarray | int:
    """Hidden units of an autoencoder: ceil(0.75 visible)."""
    return (3 * visible + 3) // 4


@dataclass(frozen=True, eq=False)
class Model:
    """A trained KitNET. Arrays are float64 unless told; `width` features in `clusters` autoencoders.

    layout       name of the feature layout
    order        int64 [width]: feature of each column, cluster after cluster
    sizes        int64 [clusters]: visible units of each autoencoder of the ensemble; the output autoencoder has `clusters`
    low, span    [width]: lowest value and range of each column in training
    weights      of every autoencoder [visible, hidden], flat, the output autoencoder last; used in both directions (tied)
    hidden_bias, visible_bias      likewise
    error_low, error_span          [clusters]: of the ensemble's errors in training
    threshold    a score above it raises an alert
    about        how it was trained: seed, counts, numerics, calibration; plain JSON values
    """

    kind: ClassVar[str] = "kitnet"
    layout: str
    order: np.ndarray
    sizes: np.ndarray
    low: np.ndarray
    span: np.ndarray
    weights: np.ndarray
    hidden_bias: np.ndarray
    visible_bias: np.ndarray
    error_low: np.ndarray
    error_span: np.ndarray
    threshold: float
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*_WHOLE, *_REAL[:-1]):
            array = np.array(getattr(self, name), dtype=np.int64 if name in _WHOLE else np.float64)  # a copy: nobody else's to change
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "threshold", float(self.threshold))
        fault = _fault(self)
        if fault:
            raise ModelError(f"model of layout {shown(self.layout)}: {fault}; train again")

    @property
    def width(self) -> int:
        return len(self.order)

    @property
    def all_sizes(self) -> np.ndarray:
        """Visible units of every autoencoder, the output autoencoder last."""
        return np.append(self.sizes, len(self.sizes))

    def net(self, precision: str = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, hidden and visible biases in the precision of the arithmetic."""
        return tuple(np.ascontiguousarray(a, dtype=precision) for a in (self.weights, self.hidden_bias, self.visible_bias))

    def __repr__(self) -> str:
        return f"<Model {self.layout} {self.width} features, {len(self.sizes)} autoencoders, threshold {self.threshold:.6g}>"


def _fault(model: Model) -> str | None:
    """What makes the arrays no model, or None."""
    sizes, width = model.sizes, model.width
    if model.order.ndim != 1 or sizes.ndim != 1 or len(sizes) == 0 or sizes.min() < 1 or sizes.max() > width or sizes.sum() != width:
        return f"clusters of {shown(sizes.tolist())} features do not make up {width} features"
    if sorted(model.order.tolist()) != list(range(width)):
        return f"the feature map is not a permutation of {width} features"
    visible = np.append(sizes, len(sizes))
    wanted = {"low": width, "span": width, "error_low": len(sizes), "error_span": len(sizes)}
    wanted |= {"weights": int((visible * hidden_units(visible)).sum()), "hidden_bias": int(hidden_units(visible).sum())}
    wanted |= {"visible_bias": int(visible.sum())}
    for name, length in wanted.items():
        array = getattr(model, name)
        if array.shape != (length,):
            return f"{name} has shape {array.shape} where ({length},) was expected"
        if not np.isfinite(array).all():
            return f"{name} holds numbers that are not finite"
    if min(model.span.min(), model.error_span.min()) <= 0:
        return "a range is not above zero"
    return None if model.threshold > 0 else f"the threshold {model.threshold} is not above zero"


def compiled(model: Model, precision: str = "float64") -> Callable[[np.ndarray], np.ndarray]:
    """Mapped values, float64 [n, width] in cluster order -> scores, float64 [n, 1]."""
    from bricks.kernels.kitnet.score import score_batch

    sizes, net = model.all_sizes, model.net(precision)
    error_norm = model.error_low.astype(precision), model.error_span.astype(precision)

    def run(mapped: np.ndarray) -> np.ndarray:
        scores = np.empty(len(mapped))
        score_batch(mapped, sizes, net, error_norm, scores)
        return scores.reshape(-1, 1)

    return run


def _described(model: Model) -> dict[str, Any]:
    return {"layout": model.layout, "features": model.width, "autoencoders": len(model.sizes), "threshold": model.threshold}


PARTS = {name: ArrayPart.vector("<i8") for name in _WHOLE} | {name: ArrayPart.vector("<f8") for name in _REAL[:-1]}
KIND = ModelKind(
    name=Model.kind,
    parts=PARTS | {"threshold": ArrayPart("<f8")},
    make=lambda fields: Model(**fields),
    arrays=lambda model: {name: np.asarray(getattr(model, name)) for name in (*_WHOLE, *_REAL)},
    compiled=compiled,
    described=_described,
)
