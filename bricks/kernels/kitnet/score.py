"""Execution of a KitNET: an ensemble of small autoencoders and one more over their errors (Kitsune paper, section V).

A block of LANES vectors lies feature by feature, [width][LANES], so that the compiler turns each loop over the lanes into
vector instructions. The last block of a batch is filled up with zeros and goes through the same loops: the bits of a score
depend neither on the place of its vector in the batch nor on the batch. Sums run in the order of the inputs.

The autoencoders are one flat list, the output autoencoder last: number k has `sizes[k]` visible units, `hidden_units(sizes[k])`
hidden ones, and its weights [visible, hidden] follow those of number k - 1 in `weights`; likewise the biases.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from bricks.kernels.exponent import exp_f64
from bricks.kernels.kitnet.sums import LANES, weighted_sum
from bricks.kernels.kitnet.transpose import load_block

_ONE = np.float32(1.0)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)  # 9 bits: n * _LN2_HIGH is exact
_LN2_LOW = np.float32(-2.12194440e-4)
_MAGIC = np.float32(12582912.0)  # 1.5 * 2**23: added, it leaves the nearest whole number in the low bits
_FAR = np.float32(87.0)
_C2, _C3, _C4, _C5, _C6 = (np.float32(c) for c in (0.5, 1 / 6, 1 / 24, 1 / 120, 1 / 720))


@njit(cache=True, error_model="numpy")
def hidden_units(visible):
    """ceil(0.75 visible), at least 1."""
    return (3 * visible + 3) // 4


@intrinsic
def _power_of_two_f32(typingctx, shifted):
    """2**n as float32, for the float32 n + _MAGIC with -126 <= n <= 127."""

    def emit(context, builder, signature, args):
        word = ir.IntType(32)
        bits = builder.add(builder.bitcast(args[0], word), word(127))
        return builder.bitcast(builder.shl(bits, word(23)), ir.FloatType())

    return (types.float32(types.float32), emit) if shifted == types.float32 else None


def sigmoid(x):
    """1 / (1 + e**-x) in the precision of x."""
    raise NotImplementedError("for compiled code")


@overload(sigmoid, inline="always")
def _sigmoid(x):
    if x == types.float64:
        return lambda x: 1.0 / (1.0 + exp_f64(-x))
    if x == types.float32:
        return lambda x: _ONE / (_ONE + _exp_f32(-x))
    return None


@njit(cache=True, error_model="numpy")
def _exp_f32(x):
    """e**x for float32, x kept within 87 of zero; relative error some 1e-7. nan stays nan."""
    y = -_FAR if x < -_FAR else x
    y = _FAR if y > _FAR else y
    shifted = y * _LOG2_E + _MAGIC
    n = shifted - _MAGIC
    f = (y - n * _LN2_HIGH) - n * _LN2_LOW
    ff = f * f
    p = ((_C6 * ff + _C4) * ff + _C2) * ff + (((_C5 * ff + _C3) * ff + _ONE) * f)
    return (p + _ONE) * _power_of_two_f32(shifted)


@njit(cache=True, error_model="numpy")
def unit_outputs(inputs, count, weights, place, bias, out):
    """out[lane] = sigmoid(bias + the weighted sum of the inputs); see `weighted_sum`."""
    weighted_sum(inputs, count, weights, place, bias, out)
    for lane in range(LANES):
        out[lane] = sigmoid(out[lane])


@njit(cache=True, error_model="numpy")
def _error(visible, count, net, at, scratch, out):
    """out[lane] = root mean square error with which one autoencoder rebuilds visible[:count, lane]."""
    weights, hidden_bias, visible_bias = net
    hidden, rebuilt = scratch
    units = hidden_units(count)
    for j in range(units):
        unit_outputs(visible, count, weights, (at[0] + j, units), hidden_bias[at[1] + j], hidden[j])
    for lane in range(LANES):
        out[lane] = 0.0
    for i in range(count):
        unit_outputs(hidden, units, weights, (at[0] + i * units, 1), visible_bias[at[2] + i], rebuilt)
        for lane in range(LANES):
            difference = visible[i, lane] - rebuilt[lane]
            out[lane] += difference * difference
    number = out.dtype.type(count)
    for lane in range(LANES):
        out[lane] = np.sqrt(out[lane] / number)


@njit(cache=True, error_model="numpy")
def score_batch(values, sizes, net, error_norm, scores):
    """Scores of mapped vectors: the error of the output autoencoder over the errors of the ensemble.

    values      float64 [n, width], normalised, in cluster order, rows contiguous
    sizes       int64 [clusters + 1], visible units; the last is the output autoencoder, whose inputs are `clusters`
    net         (weights, hidden biases, visible biases), flat, all float64 or all float32: the precision of the arithmetic
    error_norm  (lowest, span) of the ensemble's errors in training, of the same type, [clusters]
    scores      float64 [n], written
    """
    clusters, widest = len(sizes) - 1, sizes.max()
    kind = net[0].dtype
    block, errors = np.empty((values.shape[1], LANES), kind), np.empty((clusters, LANES), kind)
    scratch, result = (np.empty((widest, LANES), kind), np.empty(LANES, kind)), np.empty(LANES, kind)
    lowest, span = error_norm
    for first in range(0, len(values), LANES):
        load_block(values, first, block)
        weight = unit = column = 0
        for k in range(clusters):
            _error(block[column : column + sizes[k]], sizes[k], net, (weight, unit, column), scratch, errors[k])
            for lane in range(LANES):
                errors[k, lane] = (errors[k, lane] - lowest[k]) / span[k]
            weight += sizes[k] * hidden_units(sizes[k])
            unit += hidden_units(sizes[k])
            column += sizes[k]
        _error(errors, clusters, net, (weight, unit, column), scratch, result)
        for lane in range(min(LANES, len(values) - first)):
            scores[first + lane] = result[lane]
