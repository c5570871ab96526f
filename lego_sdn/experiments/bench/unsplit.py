"""One unsplit run beside a running system, over the packets of which it gave scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from bricks.feature_quantization import LAYOUTS, new_state
from bricks.learning.threshold import score_features
from bricks.models.model_file import Model

STREAMS = 200_000


class UnsplitRun:
    """Goes on from call to call: stamps go up."""

    def __init__(self, model: Model) -> None:
        self._model, self._state = model, new_state(model.layout, STREAMS)

    def scores(self, packets: np.ndarray, records: np.ndarray) -> np.ndarray:
        """float64 [n] for SCORE records [n], each stamp once and in order; `packets`, PACKET [n], are those of the records, whatever their
        stamps and times say."""
        rows: Any = packets.copy()
        rows["seq"], rows["time_ns"] = records["seq"], records["time_ns"]
        features = np.empty((len(rows), LAYOUTS[self._model.layout]))
        self._state.advance(rows, features)
        return score_features(self._model, features)
