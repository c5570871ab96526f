"""Weighted sums of many vectors at once, in vector registers.

The loops of `bricks.kernels.kitnet.score` are vectorised by the compiler where every step stands alone. In a sum it would write the lanes
back to
memory after each input; this one function therefore says in vectors what is meant. Each lane is rounded by itself as IEEE 754
says, multiplication and addition apart, so the bits are those of a plain loop on every machine.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 64  # vectors of a block: the arrays here have rows of this length
_GROUP = {"double": 32, "float": 64}  # lanes whose sums are in registers together: enough to hide the latency of an addition


def _splat(builder, value, lanes):
    """A vector with `value` in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, value, ir.IntType(32)(0)), nothing, zeros)


@intrinsic
def weighted_sum(typingctx, inputs, count, weights, place, bias, out):
    """out[lane] = bias + inputs[0, lane] * weights[start] + inputs[1, lane] * weights[start + step] + ..., in this order.

    `count` inputs; place = (start, step). inputs [count or more, LANES], out [LANES], weights flat; nothing checks their bounds.
    """

    def emit(context, builder, signature, args):
        rows, flat, target = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2, 5))
        start, step = cgutils.unpack_tuple(builder, args[3])
        lanes = _GROUP[str(flat.type.pointee)]
        vector = ir.VectorType(flat.type.pointee, lanes)

        def lanes_at(pointer, row, group):
            at = builder.add(builder.mul(row, row.type(LANES)), row.type(group * lanes))
            return builder.bitcast(builder.gep(pointer, [at], inbounds=True), vector.as_pointer())

        for group in range(LANES // lanes):
            total = cgutils.alloca_once(builder, vector)
            builder.store(_splat(builder, args[4], lanes), total)
            with cgutils.for_range(builder, args[1]) as loop:
                at = builder.add(start, builder.mul(loop.index, step))
                weight = _splat(builder, builder.load(builder.gep(flat, [at], inbounds=True)), lanes)
                term = builder.fmul(builder.load(lanes_at(rows, loop.index, group), align=4), weight)
                builder.store(builder.fadd(builder.load(total), term), total)
            builder.store(builder.load(total), lanes_at(target, ir.IntType(64)(0), group), align=4)
        return context.get_dummy_value()

    return types.void(inputs, types.intp, weights, types.UniTuple(types.intp, 2), weights.dtype, out), emit
