"""Kitsune's graph as a value, and its bricks built from a model."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.learning.training import Training, train_model
from bricks.nfs.kitsune import NETWORK, NF
from bricks.records.brick import BRICKS
from bricks.records.packets import PACKET
from lego_sdn.core.facts.errors import BrickError


@pytest.fixture(scope="module")
def learned():
    return train_model(np.random.default_rng(0).normal(size=(300, 115)), Training("kitsune115", 100, 199))


def new_brick(id, serial, model, settings=None):
    return NF.build(NF.graph.node(id), serial, {NETWORK: model}, settings or {})


@pytest.mark.parametrize("kind", NF.graph.order[1:])
def test_every_brick_is_built_with_its_serial(learned, kind):
    brick = new_brick(kind, 3, learned)
    assert isinstance(brick, BRICKS[kind])
    assert brick.id == f"{kind}-3"


def test_settings_reach_the_bricks(learned):
    settings = {"limits": {"streams": 64}, "precision": "float32", "threshold": 2.5}
    assert new_brick("sample-result", 0, learned, settings).threshold == 2.5
    assert new_brick("unsupervised-network", 0, learned, settings).precision == "float32"
    extractor = new_brick("feature-quantization", 0, learned, settings)
    packets = np.zeros(500, PACKET)
    packets["seq"], packets["src_lo"], packets["flags"] = np.arange(500), np.arange(500), 0b0101
    extractor.state.advance(packets, np.empty((500, 115)))
    assert max(count for name, count in extractor.state.counters().items() if name.startswith("streams_")) <= 64


def test_a_kind_that_no_model_makes_is_refused(learned):
    with pytest.raises(BrickError, match="kitsune builds no brick of kind 'packet-batching' from a model; it builds feature-quantization"):
        new_brick("packet-batching", 0, learned)


def test_without_a_model_nothing_is_built():
    with pytest.raises(BrickError, match="feature-mapping of kitsune needs the model of unsupervised-network"):
        NF.build(NF.graph.node("feature-mapping"), 0, {}, {})
