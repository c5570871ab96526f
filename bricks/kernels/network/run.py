"""Execution of a program of layers, trees, neighbours and densities (`bricks/models/program.py`).

A block of LANES vectors lies feature by feature, [width][LANES], as in `bricks.kernels.kitnet.score`: every loop over the lanes becomes
vector instructions, each lane is rounded by itself, and sums run in the order of the inputs. So the bits of a result depend neither on
the place of its vector in the batch, nor on the batch, nor on the width of the machine's vectors.
"""

import numpy as np
from numba import njit

from bricks.kernels.kitnet.sums import LANES
from bricks.kernels.kitnet.transpose import load_block
from bricks.kernels.network.layers import activate, dense, normalise, scale, softmax
from bricks.kernels.network.memory import gaussian, nearest
from bricks.kernels.network.opcodes import (
    ADD,
    CLIP,
    DENSE,
    GAUSSIAN,
    INPUTS,
    NEAREST,
    NORMALISE,
    NUMBER,
    OPERATOR,
    OUTPUTS,
    SCALE,
    SOFTMAX,
    TREES,
)
from bricks.kernels.network.trees import vote


@njit(cache=True, error_model="numpy")
def _step(step, numbers, indices, inputs, out):
    """One step on a block: `inputs` [step's inputs][LANES] into `out` [step's outputs][LANES]."""
    code, outs, number = step[OPERATOR], step[OUTPUTS], step[NUMBER]
    ins = inputs[: step[INPUTS]]
    if code == DENSE:
        dense(ins, numbers, number, out[:outs])
    elif code in (SCALE, ADD, CLIP):
        scale(code, ins, numbers, number, out)
    elif code == SOFTMAX:
        softmax(ins, out)
    elif code == NORMALISE:
        normalise(ins, out)
    elif code == TREES:
        vote(step, ins, numbers, indices, out[:outs])
    elif code == NEAREST:
        nearest(step, ins, numbers, indices, out[:outs])
    elif code == GAUSSIAN:
        gaussian(ins, numbers, number, out[:outs])
    else:
        activate(code, ins, numbers[number], out)


@njit(cache=True, error_model="numpy")
def run_program(values, steps, numbers, indices, widest, out):
    """Results of vectors; a vector with a value that is not finite has results that are nan.

    values   float64 [n, width], rows contiguous
    steps    int64 [steps, FIELDS]; indices int64, flat; numbers float64 or float32, flat: the precision of the arithmetic
    widest   the largest width of a step
    out      float64 [n, outputs of the last step], written
    """
    kind, width = numbers.dtype, values.shape[1]
    here, there = np.empty((widest, LANES), kind), np.empty((widest, LANES), kind)
    sound = np.empty(LANES, np.bool_)
    for first in range(0, len(values), LANES):
        load_block(values, first, here[:width])
        sound[:] = True
        for i in range(width):
            for lane in range(LANES):
                sound[lane] &= np.isfinite(here[i, lane])
        for number in range(len(steps)):
            _step(steps[number], numbers, indices, here, there)
            here, there = there, here
        for lane in range(min(LANES, len(values) - first)):
            for i in range(out.shape[1]):
                out[first + lane, i] = here[i, lane] if sound[lane] else np.nan
