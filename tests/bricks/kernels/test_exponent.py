"""The exponentials: accuracy against exact decimals, ends of the range, and the same bits at every place of an array."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numba import njit

from bricks.kernels.exponent import exp2_f64, exp_f64
from bricks.kernels.streams.lanes import exp2_lanes, load, store


@njit
def _exp2_all(x, out):
    for i in range(len(x)):
        out[i] = exp2_f64(x[i])


@njit
def _exp_all(x, out):
    for i in range(len(x)):
        out[i] = exp_f64(x[i])


@njit
def _exp2_in_lanes(x, out):
    for at in range(0, len(x), 5):
        store(out, at, exp2_lanes(load(x, at)))


FUNCTIONS = {"exp2": (exp2_f64, _exp2_all, Decimal(2), 959), "exp": (exp_f64, _exp_all, Decimal(1).exp(), 705)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_relative_error_is_below_the_step_of_a_float(name):
    one, _, _, limit = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    xs = np.concatenate([rng.uniform(-limit, limit, 1500), rng.uniform(-1, 1, 1500), rng.uniform(-60, 0, 500) ** 5 / 1e6])
    with localcontext() as context:
        context.prec = 45
        logarithm = Decimal(2).ln() if name == "exp2" else Decimal(1)
        for x in xs[np.abs(xs) < limit]:
            exact = (Decimal(float(x)) * logarithm).exp()
            assert abs(Decimal(one(x)) - exact) < exact * Decimal(2) ** -52, (name, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_at_every_place_of_an_array(name):
    one, many, _, limit = FUNCTIONS[name]
    xs = np.random.default_rng(5).uniform(-limit, limit, 300)
    alone = np.array([one(x) for x in xs])
    for begin in range(40):
        for end in (begin + 1, begin + 7, begin + 64, 400):
            out = np.empty(len(xs[begin:end]))
            many(xs[begin:end].copy(), out)
            assert out.tobytes() == alone[begin:end].tobytes()


def test_whole_powers_of_two_are_exact():
    assert all(exp2_f64(float(n)) == 2.0**n for n in range(-960, 1024))
    assert exp_f64(0.0) == exp_f64(-0.0) == exp2_f64(-0.0) == 1.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ends_of_the_range(name):
    one = FUNCTIONS[name][0]
    assert one(-2000.0) == one(-math.inf) == one(-1e300) == 0.0
    assert one(2000.0) == one(math.inf) == one(1e300) == math.inf
    assert math.isnan(one(math.nan))


def test_largest_results_do_not_overflow():
    assert exp2_f64(math.nextafter(1024.0, 0.0)) == pytest.approx(2.0**1023 * 2 ** (1 - 2.0**-43), rel=1e-12)
    assert exp2_f64(1024.0) == math.inf
    assert exp_f64(709.78) == pytest.approx(math.exp(709.78), rel=1e-14)
    assert exp_f64(709.79) == math.inf


def test_powers_of_two_are_seldom_not_the_nearest():
    xs = -np.random.default_rng(9).exponential(2.0, 4000)
    with localcontext() as context:
        context.prec = 45
        nearest = [float((Decimal(float(x)) * Decimal(2).ln()).exp()) for x in xs]
    assert np.mean([exp2_f64(x) != number for x, number in zip(xs, nearest, strict=True)]) < 0.003


def test_lanes_have_the_bits_of_single_numbers():
    xs = -np.random.default_rng(13).exponential(40.0, 500)
    xs[:8] = [0.0, -0.0, -1.0, -959.5, -960.0, -1e-300, -0.00390625, -0.1]
    out = np.empty_like(xs)
    _exp2_in_lanes(xs, out)
    assert out.tobytes() == np.array([exp2_f64(x) for x in xs]).tobytes()
    _exp2_in_lanes(np.full(5, -1e9), out)
    assert (out[:5] < 1e-288).all()
