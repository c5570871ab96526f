"""Where batches are cut does not change a bit, for every size of batch from 1 to 300: features of both layouts, and the whole chain."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_quantization import LAYOUTS, extract, new_state
from bricks.learning.training import Training, train_model
from bricks.offline.scoring import OfflineChain, Scoring
from tests.bricks.feature_traffic import capture

pytestmark = pytest.mark.data
ROWS, STREAMS = 600, 2000


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_in_batches_of_every_size(data, layout):
    packets = capture(data, "mixed-4631.pcap", ROWS)
    whole = extract(packets, layout, STREAMS)
    for size in range(1, 301):
        state, found = new_state(layout, STREAMS), np.empty_like(whole)
        for at in range(0, ROWS, size):
            assert state.advance(packets[at : at + size], found[at : at + size]) == min(size, ROWS - at)
        assert found.tobytes() == whole.tobytes(), f"batches of {size}"


@pytest.mark.slow
def test_scores_of_the_chain_in_batches_of_every_size(data):
    packets = capture(data, "mirai-benign-20000.pcap", 4000)
    model = train_model(extract(packets), Training(fm_grace=1000, ad_grace=2500))
    scoring, packets = Scoring(model, streams=STREAMS), packets[:ROWS]
    whole = scores_of(OfflineChain(scoring), packets, 300)
    for size in range(1, 300):
        assert scores_of(OfflineChain(scoring), packets, size).tobytes() == whole.tobytes(), f"batches of {size}"


def scores_of(chain: OfflineChain, packets: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([chain.score(chain.features(packets[at : at + size])) for at in range(0, len(packets), size)])
