"""Trees of decisions on a block of vectors, [width][LANES]."""

import numpy as np
from numba import njit

from bricks.kernels.kitnet.sums import LANES
from bricks.kernels.network.opcodes import EXTRA, INDEX, NUMBER, OPTION, SIZE


@njit(cache=True, error_model="numpy")
def vote(step, inputs, numbers, indices, out):
    """Sums of the values of the leaves that a vector comes to, tree after tree.

    Nodes are numbered through all trees; an input goes left if it is at most the threshold.
    """
    trees, nodes, rounded = step[SIZE], step[EXTRA], step[OPTION] == 1
    thresholds = numbers[step[NUMBER] : step[NUMBER] + nodes]
    values = numbers[step[NUMBER] + nodes :]
    roots = indices[step[INDEX] : step[INDEX] + trees]
    at = step[INDEX] + trees
    feature, left, right = indices[at : at + nodes], indices[at + nodes : at + 2 * nodes], indices[at + 2 * nodes : at + 3 * nodes]
    outs = len(out)
    out[:] = 0.0
    for tree in range(trees):
        for lane in range(LANES):
            node = roots[tree]
            while left[node] >= 0:
                x = inputs[feature[node], lane]
                if rounded:
                    x = inputs.dtype.type(np.float32(x))
                node = left[node] if x <= thresholds[node] else right[node]
            for j in range(outs):
                out[j, lane] += values[node * outs + j]
