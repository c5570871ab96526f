"""Learning the feature map: which features go to which autoencoder (Kitsune paper, section V-B)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bricks.kernels.kitnet.mapping import add_correlations

_DIGITS = 9  # of a distance: several statistics are equal or nearly so, and the map must not hang on rounding noise


class FeatureMap(NamedTuple):
    """sizes int64 [clusters]; order int64 [width]: the features, cluster after cluster."""

    sizes: np.ndarray
    order: np.ndarray


def distances(vectors: np.ndarray) -> np.ndarray:
    """Correlation distance between the features of vectors [n, width]: float64 [width, width], 0 to 2, to 9 decimals."""
    width = vectors.shape[1]
    sums = np.zeros(1), np.zeros(width), np.zeros(width), np.zeros(width)
    products = np.zeros((width, width))
    add_correlations(np.ascontiguousarray(vectors, dtype=np.float64), sums, products)
    products = np.triu(products) + np.triu(products, 1).T
    root = np.sqrt(sums[3])
    scale = np.outer(root, root)
    scale[scale == 0] = 1e-100
    distance = 1 - products / scale
    distance[distance < 0] = 0
    return np.round(distance, _DIGITS)


def learn_map(vectors: np.ndarray, max_size: int) -> FeatureMap:
    """Cluster the features of vectors [n, width] by correlation, at most `max_size` to a cluster."""
    from scipy.cluster.hierarchy import linkage, to_tree

    distance = distances(vectors)
    width = len(distance)
    if width == 1:
        return FeatureMap(np.ones(1, np.int64), np.zeros(1, np.int64))
    root = to_tree(linkage(distance[np.triu_indices(width, 1)], "single"))
    clusters = _cut(root, max_size)
    return FeatureMap(np.array([len(c) for c in clusters], np.int64), np.concatenate(clusters).astype(np.int64))


def _cut(root, max_size: int) -> list[list[int]]:
    """Leaves of the largest subtrees with at most `max_size` leaves, in pre-order."""
    clusters, todo = [], [root]
    while todo:
        node = todo.pop()
        if node.count <= max_size:
            clusters.append(node.pre_order())
        else:
            todo += [node.right, node.left]
    return clusters
