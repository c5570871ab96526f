"""Feature mapping: gathered into cluster order, normalised by frozen ranges, without clipping."""

from __future__ import annotations

import numpy as np
import pytest

from bricks.feature_mapping import FeatureMapping
from bricks.kernels.kitnet.mapping import add_correlations
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from tests.bricks.kernels.test_kitnet import made_up


def test_values_are_gathered_and_normalised_without_clipping():
    model = made_up(0)
    features = np.random.default_rng(0).normal(size=(77, model.width)) * 100
    head = np.zeros(77, PACKET)
    head["seq"] = np.arange(77) + 5
    batch = FeatureMapping(0, model).process(Batch(head, features))
    assert np.array_equal(batch.values, (features[:, model.order] - model.low) * (1 / model.span))
    assert batch.head is head
    assert batch.values.min() < 0
    assert batch.values.max() > 1


def test_the_input_is_not_changed():
    model = made_up(1)
    features = np.random.default_rng(1).normal(size=(5, model.width))
    before = features.copy()
    FeatureMapping(0, model).process(Batch(np.zeros(5, PACKET), features))
    assert np.array_equal(features, before)


@pytest.mark.parametrize("cuts", [[1] * 200, [64, 64, 72], [199, 1], [3] * 66 + [2]])
def test_correlation_sums_do_not_depend_on_how_the_vectors_are_cut(cuts):
    vectors = np.random.default_rng(2).normal(size=(200, 7)) + 3

    def sums(parts: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        state, products = (np.zeros(1), np.zeros(7), np.zeros(7), np.zeros(7)), np.zeros((7, 7))
        for part in parts:
            add_correlations(part, state, products)
        return (*state, products)

    whole = sums([vectors])
    for one, other in zip(whole, sums(np.split(vectors, np.cumsum(cuts)[:-1])), strict=True):
        assert np.array_equal(one, other)
    count, total, residual, square, products = whole
    means = np.cumsum(vectors, axis=0) / np.arange(1, 201)[:, None]
    r = vectors - means
    assert count[0] == 200
    np.testing.assert_allclose(total, vectors.sum(axis=0))
    np.testing.assert_allclose(residual, r.sum(axis=0))
    np.testing.assert_allclose(square, (r**2).sum(axis=0))
    np.testing.assert_allclose(np.triu(products), np.triu(r.T @ r))
