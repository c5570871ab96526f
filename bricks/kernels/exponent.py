"""2**x and e**x whose bits do not depend on where a number stands in an array.

A compiler takes one library routine for a lone number and another one for a vector, and the two differ in the last bit.
These functions are plain multiplications, additions and shifts, in a fixed order and without fused operations: the same
bits alone, in a loop that the compiler turns into vectors, and in its remainder. Without branches, so that it can.

x = n + f with n whole and |f| <= 1/2 (for e**x: x = n ln 2 + f); 2**f = 1 + f q(f), where q interpolates (2**f - 1) / f at
the Chebyshev nodes, computed in 60 decimal digits (error 2e-17). Relative error of the result below 2**-52, and of 2**x
mostly half of that: its largest term is multiplied and added without error, so that it is seldom not the nearest float64.
2**0 and e**0 are exactly 1. Results below 2**-1021 (for e**x: below e**-708) are 0, above the largest float64 inf; nan stays nan.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

MAGIC = 6755399441055744.0  # 1.5 * 2**52: added to x, it leaves the nearest whole number in the low bits
LOWEST = -1021.0  # below, the result is no normal number any more
HIGHEST = 1025.0
_BIAS = 1022  # of the exponent field, less one: 2**1024 = 2 * 2**1023 must come out as inf, 2**1023.9 must not

_SPLIT = 100663296.0  # 1.5 * 2**26: what is added to it keeps 26 bits after the point
_HIGH = float.fromhex("0x1.62e43p-1")  # ln 2 in 21 bits, and the rest
_LOW = float.fromhex("-0x1.05c610ca86c39p-29")

_LOG2_E = 1.4426950408889634
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 33 bits: n * _LN2_HIGH is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")

# fmt: off
EXP2_Q = (
    0.6931471805599453, 0.24022650695910097, 0.0555041086648216, 0.009618129107606888, 0.0013333558146416936,
    0.0001540353044173605, 1.525273382983612e-05, 1.321544258792169e-06, 1.0178062445845774e-07,
    7.072585949269223e-09, 4.4549605981865186e-10,
)
EXP_Q = (
    1.0, 0.5000000000000006, 0.1666666666666667, 0.041666666666573066, 0.008333333333326136,
    0.001388888893251478, 0.00019841269874820627, 2.480150431378554e-05, 2.7557255400206422e-06,
    2.7626371065696354e-07, 2.5105217004720745e-08,
)
# fmt: on


@intrinsic
def float_bits(typingctx, x):
    """The 64 bits of a float64, as int64."""

    def emit(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return (types.int64(types.float64), emit) if x == types.float64 else None


@intrinsic
def bits_float(typingctx, x):
    """The float64 that has these 64 bits."""

    def emit(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return (types.float64(x), emit) if x in (types.int64, types.uint64) else None


@njit(inline="always")
def fraction(f):
    """2**f for |f| <= 1/2. Even and odd powers side by side, which halves the waiting."""
    q, ff = EXP2_Q, f * f
    even = (((q[10] * ff + q[8]) * ff + q[6]) * ff + q[4]) * ff + q[2]
    odd = (((q[9] * ff + q[7]) * ff + q[5]) * ff + q[3]) * ff + q[1]
    high = (f + _SPLIT) - _SPLIT
    term = high * _HIGH  # exact, 25 times 21 bits
    total = term + 1.0
    lost = term - (total - 1.0)
    return total + (((f * even + odd) * ff + lost) + ((f - high) * q[0] + high * _LOW))


@njit(inline="always")
def _polynomial(f, q):
    """1 + f q(f) for the eleven coefficients q."""
    ff = f * f
    even = ((((q[10] * ff + q[8]) * ff + q[6]) * ff + q[4]) * ff + q[2]) * ff + q[0]
    odd = (((q[9] * ff + q[7]) * ff + q[5]) * ff + q[3]) * ff + q[1]
    return f * (odd * f + even) + 1.0


@njit(cache=True)
def exp2_f64(x):
    """2**x, float64."""
    y = LOWEST if x < LOWEST else x
    y = HIGHEST if y > HIGHEST else y
    shifted = y + MAGIC
    p = fraction(y - (shifted - MAGIC))
    scaled = p * bits_float((float_bits(shifted) + _BIAS) << 52) * 2.0
    return 0.0 if x < LOWEST else scaled


@njit(cache=True)
def exp_f64(x):
    """e**x, float64."""
    y = -708.0 if x < -708.0 else x
    y = 710.5 if y > 710.5 else y
    shifted = y * _LOG2_E + MAGIC
    n = shifted - MAGIC
    p = _polynomial((y - n * _LN2_HIGH) - n * _LN2_LOW, EXP_Q)
    scaled = p * bits_float((float_bits(shifted) + _BIAS) << 52) * 2.0
    return 0.0 if x < -708.0 else scaled
