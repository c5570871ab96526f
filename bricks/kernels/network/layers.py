"""Layers of networks on a block of vectors, [width][LANES]."""

import numpy as np
from numba import njit

from bricks.kernels.exponent import exp_f64
from bricks.kernels.kitnet.score import sigmoid
from bricks.kernels.kitnet.sums import LANES, weighted_sum
from bricks.kernels.network.opcodes import ABOVE, ADD, ELU, LEAKY, RELU, SCALE, SIGMOID, TANH


@njit(cache=True, error_model="numpy")
def dense(inputs, numbers, first, out):
    """Weighted sums; the weights [inputs, outputs] and then the biases begin at `first`."""
    ins, outs = len(inputs), len(out)
    for j in range(outs):
        weighted_sum(inputs, ins, numbers, (first + j, outs), numbers[first + ins * outs + j], out[j])


@njit(cache=True, error_model="numpy")
def scale(code, inputs, numbers, first, out):
    """Each input by two numbers of its own; of CLIP, by the same two."""
    width = len(inputs)
    for i in range(width):
        if code in (SCALE, ADD):
            a, b = numbers[first + i], numbers[first + width + i]
        else:
            a, b = numbers[first], numbers[first + 1]
        for lane in range(LANES):
            x = inputs[i, lane]
            if code == SCALE:
                out[i, lane] = (x - a) / b
            elif code == ADD:
                out[i, lane] = x * a + b
            else:
                out[i, lane] = min(max(x, a), b)


@njit(cache=True, error_model="numpy")
def activate(code, inputs, number, out):
    """An activation of every input."""
    one = out.dtype.type(1)
    zero = one - one
    steep = one + one if code == TANH else one  # tanh(x) = 2 sigmoid(2 x) - 1
    slope = zero if code == RELU else number
    for i in range(len(inputs)):
        x, y = inputs[i], out[i]
        if code in (SIGMOID, TANH):
            for lane in range(LANES):
                y[lane] = steep * sigmoid(steep * x[lane]) - (steep - one)
        elif code in (RELU, LEAKY):
            for lane in range(LANES):
                y[lane] = x[lane] if x[lane] > zero else x[lane] * slope
        elif code == ABOVE:
            for lane in range(LANES):
                y[lane] = one if x[lane] > number else zero
        elif code == ELU:
            _exponentials(x, zero, y)
            for lane in range(LANES):
                y[lane] = x[lane] if x[lane] > zero else number * (y[lane] - one)


@njit(cache=True, error_model="numpy")
def _exponentials(inputs, less, out):
    """e**(input - less), computed in float64."""
    kind = out.dtype
    for lane in range(LANES):
        out[lane] = kind.type(exp_f64(np.float64(inputs[lane] - less)))


@njit(cache=True, error_model="numpy")
def softmax(inputs, out):
    """Shares of e**input; of the largest input, e**0."""
    width = len(inputs)
    largest = inputs[0].copy()
    for i in range(1, width):
        for lane in range(LANES):
            largest[lane] = max(largest[lane], inputs[i, lane])
    for i in range(width):
        for lane in range(LANES):
            out[i, lane] = inputs[i, lane] - largest[lane]
        _exponentials(out[i], out.dtype.type(0), out[i])
    normalise(out[:width], out)


@njit(cache=True, error_model="numpy")
def normalise(inputs, out):
    """Shares of the sum, in the order of the inputs."""
    kind, width = out.dtype, len(inputs)
    total = np.zeros(LANES, kind)
    for i in range(width):
        for lane in range(LANES):
            total[lane] += inputs[i, lane]
    for i in range(width):
        for lane in range(LANES):
            out[i, lane] = inputs[i, lane] / total[lane] if total[lane] != 0 else kind.type(1) / kind.type(width)
