"""Normalisation and gathering of features into cluster order, and the sums from which the map is learned."""

import numpy as np
from numba import njit

_BLOCK = 64  # vectors whose residuals are together in the cache
TINY = 1e-16  # the reference adds it to every range


@njit(cache=True, error_model="numpy")
def map_batch(features, order, low, scale, out):
    """out[row, k] = (features[row, order[k]] - low[k]) * scale[k]; float64 [n, width]."""
    for row in range(len(features)):
        for k in range(len(order)):
            out[row, k] = features[row, order[k]]
        for k in range(len(order)):
            out[row, k] = (out[row, k] - low[k]) * scale[k]


@njit(cache=True, error_model="numpy")
def _residuals(vectors, first, last, sums, out):
    """Residuals of vectors [first, last) against the running mean, into out; the running sums go on."""
    count, total, residual, square = sums
    for row in range(first, last):
        count[0] += 1.0
        for i in range(vectors.shape[1]):
            total[i] += vectors[row, i]
            r = vectors[row, i] - total[i] / count[0]
            residual[i] += r
            square[i] += r * r
            out[row - first, i] = r


@njit(cache=True, error_model="numpy")
def add_correlations(vectors, sums, products):
    """Add vectors [n, width], in order, to the incremental correlations (Kitsune paper, section V-B).

    sums = (count [1], sum, residual sum, squared residual sum); products [width, width]: only its upper triangle is kept up.
    Each sum runs in the order of the vectors, whatever the blocks.
    """
    width = vectors.shape[1]
    block = np.empty((_BLOCK, width))
    for first in range(0, len(vectors), _BLOCK):
        last = min(first + _BLOCK, len(vectors))
        _residuals(vectors, first, last, sums, block)
        for i in range(width):
            for row in range(last - first):
                mine = block[row, i]
                for j in range(i, width):
                    products[i, j] += mine * block[row, j]


@njit(cache=True, error_model="numpy")
def span_of(low, high, floor):
    """The range to divide by: at least `floor` of the largest magnitude seen (which counts as 1 if below), plus the reference's 1e-16."""
    magnitude = max(abs(low), abs(high), 1.0)
    return max(high - low, floor * magnitude) + TINY


@njit(cache=True, error_model="numpy")
def map_and_widen(features, order, floor, bounds, out):
    """As `map_batch`, one vector at a time, with ranges that each vector first widens: normalisation while training.

    bounds = (lowest, highest) [width], in cluster order, kept up.
    """
    low, high = bounds
    for row in range(len(features)):
        for k in range(len(order)):
            x = features[row, order[k]]
            low[k] = min(low[k], x)
            high[k] = max(high[k], x)
            out[row, k] = (x - low[k]) / span_of(low[k], high[k], floor)
