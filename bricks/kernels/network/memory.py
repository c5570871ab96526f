"""Classifiers that remember their examples, or their means: nearest neighbours and Gaussian densities, on a block [width][LANES]."""

import numpy as np
from numba import njit

from bricks.kernels.kitnet.sums import LANES
from bricks.kernels.network.opcodes import EXTRA, INDEX, NUMBER, OPTION, SIZE


@njit(cache=True, error_model="numpy")
def nearest(step, inputs, numbers, indices, out):
    """Shares of the classes among the nearest points, by the sum of squared differences; of equally near ones, the first points."""
    width, points, wanted = len(inputs), step[SIZE], step[EXTRA]
    classes = indices[step[INDEX] : step[INDEX] + points]
    distances = np.full((wanted, LANES), np.inf, inputs.dtype)
    found = np.zeros((wanted, LANES), np.int64)
    square = np.empty(LANES, inputs.dtype)
    for point in range(points):
        square[:] = 0.0
        for i in range(width):
            x = numbers[step[NUMBER] + point * width + i]
            for lane in range(LANES):
                difference = inputs[i, lane] - x
                square[lane] += difference * difference
        for lane in range(LANES):
            if square[lane] < distances[wanted - 1, lane]:
                _insert(distances, found, lane, square[lane], point)
    out[:] = 0.0
    for lane in range(LANES):
        _share(step[OPTION] == 1, distances, found, classes, lane, out)


@njit(cache=True, error_model="numpy")
def _insert(distances, found, lane, square, point):
    """Put a point in its place among the nearest of a lane, behind those that are as near."""
    place = len(distances) - 1
    while place > 0 and square < distances[place - 1, lane]:
        distances[place, lane], found[place, lane] = distances[place - 1, lane], found[place - 1, lane]
        place -= 1
    distances[place, lane], found[place, lane] = square, point


@njit(cache=True, error_model="numpy")
def _share(weighted, distances, found, classes, lane, out):
    """Add up the weights of each class; points at distance 0, if there are any, are then the only ones that count."""
    kind, total = out.dtype, out.dtype.type(0)
    for place in range(len(distances)):
        weight = kind.type(1)
        if weighted and distances[0, lane] == 0:
            weight = kind.type(distances[place, lane] == 0)
        elif weighted:
            weight = kind.type(1) / np.sqrt(distances[place, lane])
        out[classes[found[place, lane]], lane] += weight
        total += weight
    for j in range(len(out)):
        out[j, lane] /= total


@njit(cache=True, error_model="numpy")
def gaussian(inputs, numbers, first, out):
    """The logarithm of each class's density, but for a constant that all have in common."""
    width = len(inputs)
    for j in range(len(out)):
        at = first + j * (2 * width + 1)
        out[j] = 0.0
        for i in range(width):
            mean, variance = numbers[at + 1 + i], numbers[at + 1 + width + i]
            for lane in range(LANES):
                difference = inputs[i, lane] - mean
                out[j, lane] += difference * difference / variance
        for lane in range(LANES):
            out[j, lane] = numbers[at] - out[j, lane] / 2
