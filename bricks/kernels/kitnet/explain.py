"""The parts that the score of a KitNET is made of: the arithmetic of `bricks.kernels.kitnet.score`, with its terms kept."""

import numpy as np
from numba import njit

from bricks.kernels.kitnet.score import hidden_units, unit_outputs
from bricks.kernels.kitnet.sums import LANES
from bricks.kernels.kitnet.transpose import load_block


@njit(cache=True, error_model="numpy")
def _rebuild(visible, count, net, at, hidden, rebuilt, out):
    """As `score._error`, and rebuilt[i, lane] is what the autoencoder makes of visible[i, lane]."""
    weights, hidden_bias, visible_bias = net
    units = hidden_units(count)
    for j in range(units):
        unit_outputs(visible, count, weights, (at[0] + j, units), hidden_bias[at[1] + j], hidden[j])
    for lane in range(LANES):
        out[lane] = 0.0
    for i in range(count):
        unit_outputs(hidden, units, weights, (at[0] + i * units, 1), visible_bias[at[2] + i], rebuilt[i])
        for lane in range(LANES):
            difference = visible[i, lane] - rebuilt[i, lane]
            out[lane] += difference * difference
    number = out.dtype.type(count)
    for lane in range(LANES):
        out[lane] = np.sqrt(out[lane] / number)


@njit(cache=True, error_model="numpy")
def explain_batch(values, sizes, net, error_norm, parts):
    """Scores of mapped vectors, and what they are made of. values, sizes, net, error_norm: as of `score_batch`.

    parts  written, float64: (rebuilt values [n, width], normalised errors of the ensemble [n, clusters], these rebuilt by the output
           autoencoder [n, clusters], scores [n])
    """
    clusters, widest = len(sizes) - 1, sizes.max()
    kind, width = net[0].dtype, values.shape[1]
    block, rebuilt = np.empty((width, LANES), kind), np.empty((width, LANES), kind)
    errors, rebuilt_errors = np.empty((clusters, LANES), kind), np.empty((clusters, LANES), kind)
    hidden, result = np.empty((widest, LANES), kind), np.empty(LANES, kind)
    lowest, span = error_norm
    for first in range(0, len(values), LANES):
        load_block(values, first, block)
        weight = unit = column = 0
        for k in range(clusters):
            last = column + sizes[k]
            _rebuild(block[column:last], sizes[k], net, (weight, unit, column), hidden, rebuilt[column:last], errors[k])
            for lane in range(LANES):
                errors[k, lane] = (errors[k, lane] - lowest[k]) / span[k]
            weight += sizes[k] * hidden_units(sizes[k])
            unit += hidden_units(sizes[k])
            column += sizes[k]
        _rebuild(errors, clusters, net, (weight, unit, column), hidden, rebuilt_errors, result)
        for lane in range(min(LANES, len(values) - first)):
            for i in range(width):
                parts[0][first + lane, i] = rebuilt[i, lane]
            for k in range(clusters):
                parts[1][first + lane, k] = errors[k, lane]
                parts[2][first + lane, k] = rebuilt_errors[k, lane]
            parts[3][first + lane] = result[lane]
