"""Five float64 side by side, one per lambda, as one value that compiled code keeps in vector registers.

Loop vectorisation would have to guess from loops of five rounds over memory; here the kernel says what it means:
`w = load(rows, at) * fade + 1.0`. Each lane is rounded by itself as IEEE 754 says, so the bits are those of scalar code
on every machine, whatever the width of its registers. Arrays are flat float64 arrays; nothing checks their bounds.
"""

import operator

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from bricks.kernels.exponent import FINE, LOWEST, STEP_BITS, STEPS, load_step, power_of, table_of_steps

LANES = 5
_FLOATS = ir.VectorType(ir.DoubleType(), LANES)
_WORDS = ir.VectorType(ir.IntType(64), LANES)


class LanesType(types.Type):
    """The numba type of five float64."""

    def __init__(self):
        super().__init__(name="Lanes")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes_type):
        super().__init__(manager, lanes_type, _FLOATS)


LANES_TYPE = LanesType()


def _splat(builder, value):
    """A vector of five times the same value."""
    if value.type == _FLOATS:
        return value
    vector = ir.Constant(_FLOATS, ir.Undefined)
    for lane in range(LANES):
        vector = builder.insert_element(vector, value, ir.IntType(32)(lane))
    return vector


def _constant(builder, value):
    return ir.Constant(_FLOATS, [value] * LANES)


def _operation(operation, instruction):
    """Teach the compiler `lanes op lanes`, `lanes op float` and `float op lanes`."""
    shapes = [(LANES_TYPE, LANES_TYPE), (LANES_TYPE, types.float64), (types.float64, LANES_TYPE)]

    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [signature(LANES_TYPE, *shape) for shape in shapes]  # noqa: RUF012

    def emit(context, builder, sig, args):
        return getattr(builder, instruction)(_splat(builder, args[0]), _splat(builder, args[1]))

    for shape in shapes:
        lower_builtin(operation, *shape)(emit)


_operation(operator.add, "fadd")
_operation(operator.sub, "fsub")
_operation(operator.mul, "fmul")
_operation(operator.truediv, "fdiv")


def _address(context, builder, array_type, array, at):
    """Pointer to element `at` of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [at], inbounds=True)


@intrinsic
def load(typingctx, array, at):
    """The five numbers of a flat array from position `at` on."""

    def emit(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1])
        return builder.load(builder.bitcast(pointer, _FLOATS.as_pointer()), align=8)

    return LANES_TYPE(array, types.intp), emit


@intrinsic
def store(typingctx, array, at, value):
    """Write five numbers to a flat array from position `at` on."""

    def emit(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(pointer, _FLOATS.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES_TYPE), emit


@intrinsic
def interleave(typingctx, array, at, values):
    """Write a tuple of lanes to a flat array lane by lane: all first lanes, all second lanes, ..."""

    def emit(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1])
        vectors = cgutils.unpack_tuple(builder, args[2])
        for lane in range(LANES):
            for column, vector in enumerate(vectors):
                number = builder.extract_element(vector, ir.IntType(32)(lane))
                builder.store(number, builder.gep(pointer, [ir.IntType(64)(lane * len(vectors) + column)], inbounds=True))
        return context.get_dummy_value()

    return types.void(array, types.intp, values), emit


@intrinsic
def constants(typingctx, numbers):
    """Lanes of a tuple of five numbers."""

    def emit(context, builder, sig, args):
        vector = ir.Constant(_FLOATS, ir.Undefined)
        for lane, number in enumerate(cgutils.unpack_tuple(builder, args[0])):
            vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    return LANES_TYPE(numbers), emit


@intrinsic
def roots(typingctx, value):
    """Square root of each lane."""

    def emit(context, builder, sig, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_FLOATS, [_FLOATS]), f"llvm.sqrt.v{LANES}f64")
        return builder.call(function, args)

    return LANES_TYPE(LANES_TYPE), emit


@intrinsic
def at_least(typingctx, value, bound):
    """Each lane, or the bound where the lane is not above it."""

    def emit(context, builder, sig, args):
        bounds = _splat(builder, args[1])
        return builder.select(builder.fcmp_ordered(">", args[0], bounds), args[0], bounds)

    return LANES_TYPE(LANES_TYPE, types.float64), emit


@intrinsic
def at_most(typingctx, value, bound):
    """Each lane, or the bound where the lane is not below it."""

    def emit(context, builder, sig, args):
        bounds = _splat(builder, args[1])
        return builder.select(builder.fcmp_ordered("<", args[0], bounds), args[0], bounds)

    return LANES_TYPE(LANES_TYPE, types.float64), emit


@intrinsic
def zero_where_zero(typingctx, value, divisor):
    """Each lane, or 0 where the divisor is 0."""

    def emit(context, builder, sig, args):
        nothing = _constant(builder, 0.0)
        return builder.select(builder.fcmp_ordered("==", args[1], nothing), nothing, args[0])

    return LANES_TYPE(LANES_TYPE, LANES_TYPE), emit


@intrinsic
def _steps(typingctx, shifted):
    """For FINE + x of each lane: 2**(x rounded down to 128ths), and the share by which that is rounded down."""

    def emit(context, builder, sig, args):
        table = table_of_steps(builder.module)
        whole = builder.bitcast(args[0], _WORDS)
        step = builder.and_(whole, ir.Constant(_WORDS, [STEPS - 1] * LANES))
        power = rounding = ir.Constant(_FLOATS, ir.Undefined)
        for lane in range(LANES):
            at = builder.extract_element(step, ir.IntType(32)(lane))
            power = builder.insert_element(power, load_step(builder, table, at, 0), ir.IntType(32)(lane))
            rounding = builder.insert_element(rounding, load_step(builder, table, at, 1), ir.IntType(32)(lane))
        exponent = builder.shl(builder.sub(whole, step), ir.Constant(_WORDS, [52 - STEP_BITS] * LANES))
        scaled = builder.bitcast(builder.add(builder.bitcast(power, _WORDS), exponent), _FLOATS)
        return context.make_tuple(builder, sig.return_type, [scaled, rounding])

    return types.UniTuple(LANES_TYPE, 2)(LANES_TYPE), emit


@njit(cache=True)
def exp2_lanes(x):
    """2**x of each lane, x <= 0, with the bits of `exp2_f64`; below 2**-960 it stays there."""
    y = at_least(x, LOWEST)
    shifted = y + FINE
    scale, rounding = _steps(shifted)
    return power_of(scale, rounding, y - (shifted - FINE))
