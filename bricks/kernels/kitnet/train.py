"""Training of one autoencoder: stochastic gradient descent, one vector at a time, in order (Kitsune paper, section V-C).

Vectorised over the hidden units, whose number is filled up to a multiple of PADDING; the padding is and stays zero.
"""

import numpy as np
from numba import njit

from bricks.kernels.kitnet.score import hidden_units, sigmoid

PADDING = 8


@njit(cache=True, error_model="numpy")
def _forward(x, net, hidden, rebuilt):
    """Hidden units and rebuilt input of one vector."""
    weights, hidden_bias, visible_bias = net
    visible, units = len(x), hidden_units(len(x))
    for j in range(weights.shape[1]):
        hidden[j] = 0.0
    for i in range(visible):
        for j in range(weights.shape[1]):
            hidden[j] += x[i] * weights[i, j]
    for j in range(units):
        hidden[j] = sigmoid(hidden[j] + hidden_bias[j])
    for i in range(visible):
        total = 0.0
        for j in range(units):
            total += hidden[j] * weights[i, j]
        rebuilt[i] = total + visible_bias[i]
    for i in range(visible):
        rebuilt[i] = sigmoid(rebuilt[i])


@njit(cache=True, error_model="numpy")
def _backward(x, net, rate, layers, gradient):
    """One step downhill; `rebuilt` becomes the difference to x. Returns the root mean square error before the step."""
    weights, hidden_bias, visible_bias = net
    hidden, rebuilt = layers
    visible, padded = len(x), weights.shape[1]
    square = 0.0
    for i in range(visible):
        rebuilt[i] = x[i] - rebuilt[i]
        square += rebuilt[i] * rebuilt[i]
    for j in range(padded):
        gradient[j] = 0.0
    for i in range(visible):
        for j in range(padded):
            gradient[j] += rebuilt[i] * weights[i, j]
    for j in range(padded):
        gradient[j] = gradient[j] * hidden[j] * (1.0 - hidden[j])
        hidden_bias[j] += rate * gradient[j]
    for i in range(visible):
        visible_bias[i] += rate * rebuilt[i]
        for j in range(padded):
            weights[i, j] += rate * (x[i] * gradient[j] + rebuilt[i] * hidden[j])
    return np.sqrt(square / visible)


@njit(cache=True, error_model="numpy")
def train_autoencoder(vectors, net, rate, errors):
    """Train on vectors [n, visible], in order; errors [n] gets the root mean square error of each before its step.

    net = (weights [visible, padded hidden], hidden bias [padded hidden], visible bias [visible]), float64, changed in place.
    """
    padded = net[0].shape[1]
    layers = np.zeros(padded), np.zeros(vectors.shape[1])
    gradient = np.zeros(padded)
    for row in range(len(vectors)):
        _forward(vectors[row], net, layers[0], layers[1])
        errors[row] = _backward(vectors[row], net, rate, layers, gradient)
