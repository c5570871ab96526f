"""How Kitsune's model is learned, and one that has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bricks.nfs.kitsune.build import NETWORK

if TYPE_CHECKING:
    import numpy as np

    from bricks.models.model_file import Model

FM_GRACE, AD_GRACE = 5000, 50_000  # packets for the feature map and for the autoencoders, at most


def learn_model(packets: np.ndarray, to: str | Path, layout: str) -> Model:
    """Learn from PACKET rows [n] of ordinary traffic, write the model to `to`. ModelError if it cannot be written.

    A quarter of the rows, FM_GRACE at most, is for the feature map; the next ones, AD_GRACE at most, are for the autoencoders.
    """
    from bricks.feature_quantization import extract
    from bricks.learning.training import Training, train_model
    from bricks.models.model_file import save_model

    fm_grace = min(FM_GRACE, len(packets) // 4)
    training = Training(layout, fm_grace=fm_grace, ad_grace=min(AD_GRACE, len(packets) - fm_grace - 1))
    model = train_model(extract(packets, layout), training)
    save_model(model, to)
    return model


def blank_models(layout: str) -> Mapping[str, Model]:
    """By node, a model of this layout that has learned nothing."""
    import numpy as np

    from bricks.feature_quantization import LAYOUTS
    from bricks.models.kitnet import Model, hidden_units

    width = LAYOUTS[layout]
    sizes = np.array([10] * (width // 10) + [width % 10] * (width % 10 > 0))
    visible = np.append(sizes, len(sizes))
    hidden, clusters = hidden_units(visible), len(sizes)
    model = Model(
        layout=layout,
        order=np.arange(width),
        sizes=sizes,
        low=np.zeros(width),
        span=np.ones(width),
        weights=np.zeros(int((visible * hidden).sum())),
        hidden_bias=np.zeros(int(hidden.sum())),
        visible_bias=np.zeros(int(visible.sum())),
        error_low=np.zeros(clusters),
        error_span=np.ones(clusters),
        threshold=1.0,
    )
    return {NETWORK: model}
