"""From rows of one vector each to rows of one feature each, SIDE by SIDE numbers at a time, in vector registers."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bricks.kernels.kitnet.sums import LANES

SIDE = 8


def _transposed(builder, rows):
    """SIDE vectors of SIDE numbers, transposed: for each bit, swap the blocks where row and column differ in it."""
    for bit in (1, 2, 4):
        swapped = list(rows)
        for upper in (row for row in range(SIDE) if not row & bit):
            a, b = rows[upper], rows[upper + bit]
            for row, own in ((upper, 0), (upper + bit, bit)):
                picks = [
                    (column if own == 0 else column + SIDE) if (column & bit) == own else (column ^ bit) + (SIDE if own == 0 else 0)
                    for column in range(SIDE)
                ]
                swapped[row] = builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), SIDE), picks))
        rows = swapped
    return rows


@intrinsic
def _tile(typingctx, values, start, stride, block, place):
    """block[place + LANES * column + row] = values[start + stride * row + column] for SIDE rows and columns; nothing checks the bounds."""

    def emit(context, builder, signature, args):
        source, target = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 3))
        wide, kind = ir.VectorType(source.type.pointee, SIDE), ir.VectorType(target.type.pointee, SIDE)
        rows, at = [], args[1]
        for _ in range(SIDE):
            pointer = builder.bitcast(builder.gep(source, [at], inbounds=True), wide.as_pointer())
            row = builder.load(pointer, align=8)
            rows.append(row if wide == kind else builder.fptrunc(row, kind))
            at = builder.add(at, args[2])
        for column, row in enumerate(_transposed(builder, rows)):
            pointer = builder.gep(target, [builder.add(args[4], args[4].type(column * LANES))], inbounds=True)
            builder.store(row, builder.bitcast(pointer, kind.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(values, types.intp, types.intp, block, types.intp), emit


@njit(cache=True, error_model="numpy")
def load_block(values, first, block):
    """block[i, lane] = values[first + lane, i] for LANES vectors; zeros where there is no such row.

    values float64 [n, width], rows contiguous; block [width, LANES], float64 or float32.
    """
    width, rows = values.shape[1], min(LANES, len(values) - first)
    if rows == LANES and width >= SIDE:
        for lane in range(0, LANES, SIDE):
            for column in range(0, width - SIDE + 1, SIDE):
                _tile(values, (first + lane) * width + column, width, block, column * LANES + lane)
            column = width - SIDE  # the last tile may overlap the one before
            _tile(values, (first + lane) * width + column, width, block, column * LANES + lane)
        return
    for i in range(width):
        for lane in range(rows):
            block[i, lane] = values[first + lane, i]
        for lane in range(rows, LANES):
            block[i, lane] = 0.0
