"""Rates of the machine itself: plain loops of one kind of work each, which no kernel of that work can beat by much."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bricks.kernels.exponent import exp_f64
from bricks.kernels.kitnet.score import sigmoid
from bricks.kernels.streams.index import prefetch

_SMALL = 1024  # float64: within the first cache
_LANES = {"double": 64, "float": 128}  # of the chains of multiplications and additions: enough to hide their latency
_LINE = 8  # float64 of a cache line
_NEAR, _FAR = 1 << 14, 1 << 24  # float64: 128 kB, of a second cache; 128 MB, of no cache
_AHEAD = 16
_PAGE = 512  # float64


@intrinsic
def _chain(typingctx, start, rounds):
    """`start` multiplied and added to, `rounds` times, in many lanes side by side, all in registers; one lane of it."""

    def emit(context, builder, signature, args):
        kind = args[0].type
        lanes = _LANES[str(kind)]
        vector = ir.VectorType(kind, lanes)
        value = ir.Constant(vector, ir.Undefined)
        for lane in range(lanes):
            value = builder.insert_element(value, builder.fadd(args[0], kind(lane / lanes)), ir.IntType(32)(lane))
        factor, term = (ir.Constant(vector, [number] * lanes) for number in (0.75, 0.125))
        total = cgutils.alloca_once_value(builder, value)
        with cgutils.for_range(builder, args[1]):
            builder.store(builder.fadd(builder.fmul(builder.load(total), factor), term), total)
        every = builder.load(total)
        out = builder.extract_element(every, ir.IntType(32)(0))
        for lane in range(1, lanes):  # no lane may be left out as unused
            out = builder.fadd(out, builder.extract_element(every, ir.IntType(32)(lane)))
        return out

    return start(start, types.intp), emit


@njit(cache=True)
def _multiply_add_64(rounds):
    return _chain(np.float64(0.5), rounds)


@njit(cache=True)
def _multiply_add_32(rounds):
    return _chain(np.float32(0.5), rounds)


@njit(cache=True, error_model="numpy")
def _sigmoids(values, out, rounds):
    for _ in range(rounds):
        for i in range(len(values)):
            out[i] = sigmoid(values[i])


@njit(cache=True, error_model="numpy")
def _exponentials(values, out, rounds):
    for _ in range(rounds):
        for i in range(len(values)):
            out[i] = exp_f64(values[i])


@njit(cache=True, error_model="numpy")
def _divisions(values, out, rounds):
    for _ in range(rounds):
        for i in range(len(values)):
            out[i] = 1.0 / values[i]


@njit(cache=True, error_model="numpy")
def _roots(values, out, rounds):
    for _ in range(rounds):
        for i in range(len(values)):
            out[i] = np.sqrt(values[i])


@njit(cache=True)
def _scattered(table, places):
    """Change one number of each line at `places`, asked for ahead."""
    for i in range(len(places)):
        prefetch(table, places[min(i + _AHEAD, len(places) - 1)])
        table[places[i]] += 1.0


@dataclass(frozen=True)
class Limits:
    """Nanoseconds, at best, of one: multiplication and addition (float64, float32), sigmoid (both), exponential, division, square root;
    cache line changed at a scattered place of a second cache, of main memory; cache line copied from one large array to another;
    cache line of memory that the process did not have before: the operating system, or the host of a virtual machine, must clear it.
    """

    multiply_add: float
    multiply_add_32: float
    sigmoid: float
    sigmoid_32: float
    exponential: float
    division: float
    root: float
    near_line: float
    far_line: float
    copied_line: float
    new_line: float

    def as_dict(self) -> dict[str, float]:
        return {item.name: getattr(self, item.name) for item in fields(self)}


def measure(scale: float = 1.0) -> Limits:
    """All rates, each the best of five tries of some milliseconds; `scale` shortens them."""
    rounds = max(1, round(2000 * scale))
    values, out = np.linspace(0.5, 3.0, _SMALL), np.empty(_SMALL)
    narrow, narrow_out = values.astype(np.float32), np.empty(_SMALL, np.float32)
    each = rounds * _SMALL
    far = _FAR if scale >= 0.2 else _NEAR * 8
    places = np.random.default_rng(1).integers(0, (_NEAR // _LINE, far // _LINE), (max(1000, round(300_000 * scale)), 2)) * _LINE
    near_places, far_places = np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])
    near_table, table, copy = np.ones(_NEAR), np.ones(far), np.ones(far)
    chains = rounds * 100
    return Limits(
        _best(lambda: _multiply_add_64(chains), chains * _LANES["double"]),
        _best(lambda: _multiply_add_32(chains), chains * _LANES["float"]),
        _best(lambda: _sigmoids(values, out, rounds), each),
        _best(lambda: _sigmoids(narrow, narrow_out, rounds), each),
        _best(lambda: _exponentials(values, out, rounds), each),
        _best(lambda: _divisions(values, out, rounds), each),
        _best(lambda: _roots(values, out, rounds), each),
        _best(lambda: _scattered(near_table, near_places), len(places)),
        _best(lambda: _scattered(table, far_places), len(places)),
        _best(lambda: np.copyto(copy, table), far // _LINE),
        _best(lambda: _take_memory(far), far // _LINE),
    )


def _take_memory(words: int) -> None:
    """Touch every page of a new array; it is given back at once."""
    np.empty(words)[::_PAGE] = 1.0


def _best(work: Callable[[], object], count: int) -> float:
    """Nanoseconds of CPU for one of `count`, in the best of five tries."""
    work()
    tries = []
    for _ in range(5):
        began = time.process_time_ns()
        work()
        tries.append((time.process_time_ns() - began) / count)
    return min(tries)
