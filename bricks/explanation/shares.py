"""Why a score is what it is: exact shares of clusters and features in the score of a KitNET.

The square of a score is the mean, over the clusters, of (e_j - E_j)^2, where e_j is the normalised error of cluster j and E_j what the
output autoencoder makes of it; e_j comes of the mean, over the features of the cluster, of (x_i - X_i)^2, where X_i is the feature rebuilt.
So the share of a cluster is its term's share of the first sum; the share of a feature is that of its cluster times its term's share of the
second sum. All shares of features sum to 1, and so do those of clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bricks.feature_mapping import FeatureMapping
from bricks.kernels.kitnet.explain import explain_batch
from bricks.models.model_file import Model
from bricks.records.brick import Batch
from bricks.records.packets import PACKET

TOP = 5  # features that are kept of a row
EXPLAINED = np.dtype(
    [
        ("features", "<i2", TOP),  # number in the layout, the largest share first; -1: there are no more
        ("shares", "<f8", TOP),
        ("values", "<f8", TOP),
        ("expected", "<f8", TOP),  # the values that the cluster's autoencoder rebuilds
        ("calmer", "?", TOP),  # the feature's cluster counts since it is rebuilt better than the output autoencoder expects
        ("kind", "i1"),  # the group with more than half of all shares, by its number in `groups_of`; MIXED: there is none
    ]
)
MIXED = -1
_MAJORITY = 0.5


@dataclass(frozen=True)
class Explained:
    """Of vectors [n], in the order of the layout's features: shares [n, width] and rebuilt values [n, width], float64.

    clusters  shares [n, clusters], float64; calmer bool [n, clusters]: the error is below what the output autoencoder makes of it
    scores    float64 [n], with the bits of `UnsupervisedNetwork`
    """

    shares: np.ndarray
    expected: np.ndarray
    clusters: np.ndarray
    calmer: np.ndarray
    scores: np.ndarray


def explain(model: Model, features: np.ndarray, precision: str = "float64") -> Explained:
    """Explain the scores of features [n, width of the layout]."""
    count, width, clusters = len(features), model.width, len(model.sizes)
    mapped = FeatureMapping(0, model).process(Batch(np.zeros(count, PACKET), features)).values
    assert mapped is not None
    parts = np.empty((count, width)), np.empty((count, clusters)), np.empty((count, clusters)), np.empty(count)
    norm = model.error_low.astype(precision), model.error_span.astype(precision)
    explain_batch(mapped, model.all_sizes, model.net(precision), norm, parts)
    rebuilt, errors, rebuilt_errors, scores = parts
    of_clusters = _shares(errors - rebuilt_errors)
    of_columns, begin = np.empty((count, width)), 0
    for k, size in enumerate(model.sizes.tolist()):
        columns = slice(begin, begin + size)
        of_columns[:, columns] = of_clusters[:, k : k + 1] * _shares(mapped[:, columns] - rebuilt[:, columns])
        begin += size
    shares, expected = np.empty_like(of_columns), np.empty_like(rebuilt)
    shares[:, model.order], expected[:, model.order] = of_columns, rebuilt * model.span + model.low
    return Explained(shares, expected, of_clusters, errors < rebuilt_errors, scores)


def _shares(terms: np.ndarray) -> np.ndarray:
    """Squares of terms [n, m] as shares of their sum in each row; of a row of zeros, equal shares. Nothing overflows."""
    size = np.nan_to_num(np.abs(terms), nan=0.0, posinf=np.finfo(np.float64).max)
    largest = size.max(axis=1, keepdims=True)
    squares = np.where(largest > 0, size / np.where(largest > 0, largest, 1.0), 1.0) ** 2
    return squares / squares.sum(axis=1, keepdims=True)


def groups_of(names: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """The groups of statistics of a layout's features, in its order, and the number of each feature's group, int64 [width]."""
    found = [name.rpartition("_L")[0] for name in names]
    groups = tuple(dict.fromkeys(found))
    return groups, np.array([groups.index(group) for group in found])


class Explainer:
    """The records of explanations, EXPLAINED, by one model."""

    def __init__(self, model: Model, names: tuple[str, ...], precision: str = "float64") -> None:
        self.model, self.precision = model, precision
        groups, self._group = groups_of(names)
        self._member = (self._group[:, None] == np.arange(len(groups))).astype(np.float64)
        self._cluster = np.empty(model.width, np.int64)
        self._cluster[model.order] = np.repeat(np.arange(len(model.sizes)), model.sizes)
        self._top = min(TOP, model.width)

    def records(self, features: np.ndarray) -> np.ndarray:
        """EXPLAINED [n] of features [n, width of the layout]."""
        found = explain(self.model, features, self.precision)
        records, rows = np.zeros(len(features), EXPLAINED), np.arange(len(features))[:, None]
        top = np.argsort(-found.shares, axis=1, kind="stable")[:, : self._top]
        records["features"] = -1
        records["features"][:, : self._top] = top
        for name, values in (("shares", found.shares), ("values", features), ("expected", found.expected)):
            records[name][:, : self._top] = values[rows, top]
        records["calmer"][:, : self._top] = found.calmer[rows, self._cluster[top]]
        of_groups = found.shares @ self._member
        largest = of_groups.argmax(axis=1)
        records["kind"] = np.where(of_groups.max(axis=1) > _MAJORITY, largest, MIXED)
        return records
