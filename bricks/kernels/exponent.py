"""2**x and e**x whose bits do not depend on where a number stands in an array.

A compiler takes one library routine for a lone number and another one for a vector, and the two differ in the last bit.
These functions are plain multiplications, additions and shifts, in a fixed order and without fused operations: the same
bits alone, in a loop that the compiler turns into vectors, and in its remainder. Without branches, so that it can.

2**x: x = n + j/128 + f with n whole, 0 <= j < 128 and |f| <= 1/256; 2**(j/128) comes from a table, with its rounding error.
The result is the nearest float64 but for one case in a thousand, where it is the next one.
e**x: x = n ln 2 + f with |f| <= ln 2 / 2; e**f = 1 + f q(f), where q interpolates (e**f - 1) / f at the Chebyshev nodes,
computed in 60 decimal digits (error 1e-17); relative error of the result below 2**-52.
2**0 and e**0 are exactly 1. Results below 2**-960 (e**x: below e**-708) are 0, above the largest float64 inf; nan stays nan.
"""

from decimal import Decimal, localcontext

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

STEPS, STEP_BITS = 128, 7  # of the table
FINE = 1.5 * 2.0 ** (52 - STEP_BITS)  # added to x, it leaves the nearest 128th of x, as a whole number, in the low bits
LOWEST = -960.0  # of 2**x: so far above the smallest normal number that no product of the computation leaves them

_WHOLE = 1.5 * 2.0**52  # likewise for the nearest whole number
_HIGHEST = 1024.0
_BIAS = 1022  # of the exponent field, less one: 2**1024 = 2 * 2**1023 must come out as inf, 2**1023.9 must not

_LOG2_E = 1.4426950408889634
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 33 bits: n * _LN2_HIGH is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")

# Taylor coefficients ln(2)**k / k!, and those of q
_LN2 = (0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477, 0.0013333558146428443)
# fmt: off
_Q = (
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


def table_of_steps(module):
    """A constant of the compiled module: 2**(j/128) and the share by which that is rounded down, by turns; float64 [256]."""
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(2) ** (Decimal(j) / STEPS) for j in range(STEPS)]
        numbers = [number for step in exact for number in (float(step), float(step / Decimal(float(step)) - 1))]
    kind = ir.ArrayType(ir.DoubleType(), 2 * STEPS)
    table = ir.GlobalVariable(module, kind, module.get_unique_name("steps_of_two"))
    table.initializer, table.global_constant, table.linkage = ir.Constant(kind, numbers), True, "internal"
    return table


def load_step(builder, table, step, offset):
    """One number of the table: offset 0 for the power, 1 for its rounding."""
    word = ir.IntType(64)
    at = builder.add(builder.shl(step, word(1)), word(offset))
    return builder.load(builder.gep(table, [word(0), at], inbounds=True))


@intrinsic
def _step(typingctx, shifted):
    """For FINE + x: 2**(j/128) times 2**n, 2**(n-1) to be precise, and the share by which it is rounded down."""

    def emit(context, builder, sig, args):
        word, table = ir.IntType(64), table_of_steps(builder.module)
        whole = builder.bitcast(args[0], word)
        step = builder.and_(whole, word(STEPS - 1))
        power = builder.bitcast(load_step(builder, table, step, 0), word)
        exponent = builder.shl(builder.sub(whole, step), word(52 - STEP_BITS))
        scaled = builder.sub(builder.add(power, exponent), word(1 << 52))
        return context.make_tuple(builder, sig.return_type, [builder.bitcast(scaled, ir.DoubleType()), load_step(builder, table, step, 1)])

    return types.UniTuple(types.float64, 2)(types.float64), emit


@njit(cache=True)
def power_of(scale, rounding, f):
    """scale * 2**f for |f| <= 1/256, where scale is to be increased by the share that it was rounded down."""
    a, b, c, d, e = _LN2
    return scale + scale * (rounding + f * (a + f * (b + f * (c + f * (d + f * e)))))


@njit(cache=True)
def exp2_f64(x):
    """2**x, float64."""
    y = LOWEST if x < LOWEST else x
    y = _HIGHEST if y > _HIGHEST else y
    shifted = y + FINE
    scale, rounding = _step(shifted)
    scaled = power_of(scale, rounding, y - (shifted - FINE)) * 2.0
    return 0.0 if x < LOWEST else scaled


@njit(cache=True)
def exp_f64(x):
    """e**x, float64. Even and odd powers of f side by side, which halves the waiting."""
    y = -708.0 if x < -708.0 else x
    y = 710.5 if y > 710.5 else y
    shifted = y * _LOG2_E + _WHOLE
    n = shifted - _WHOLE
    f, q = (y - n * _LN2_HIGH) - n * _LN2_LOW, _Q
    ff = f * f
    even = ((((q[10] * ff + q[8]) * ff + q[6]) * ff + q[4]) * ff + q[2]) * ff + q[0]
    odd = (((q[9] * ff + q[7]) * ff + q[5]) * ff + q[3]) * ff + q[1]
    scaled = (f * (odd * f + even) + 1.0) * bits_float((float_bits(shifted) + _BIAS) << 52) * 2.0
    return 0.0 if x < -708.0 else scaled
