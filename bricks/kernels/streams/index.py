"""From a key to a row: a hash index with open addressing and linear probing, of a power of two of uint64 entries.

An entry is 32 bits of hash (the tag) over row + 1; 0 is an empty slot. The low bits of the tag are the slot where the search
begins, so that entries can be moved and the index can grow without a look at the keys.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bricks.kernels.jit import compiled

SMALLEST = 4096  # slots
LOW = np.uint64(0xFFFFFFFF)
TAG_SHIFT = np.uint64(32)
_ONE = np.uint64(1)


@intrinsic
def folded(typingctx, a, b):
    """High word xor low word of the 128-bit product of two uint64."""

    def emit(context, builder, sig, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.xor(product, builder.lshr(product, wide(64))), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


@intrinsic
def prefetch(typingctx, array, at):
    """Ask for the cache line of an element of a flat array; a place outside is no error."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *(ir.IntType(32)(n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@compiled
def place(index, tag, row):
    """Enter a row that is not there yet."""
    mask = np.uint64(len(index) - 1)
    at = tag & mask
    while index[at] != 0:
        at = (at + _ONE) & mask
    index[at] = tag << TAG_SHIFT | np.uint64(row + 1)


@compiled
def take_out(index, tag, row):
    """Empty the slot of a row that is there, then move back what probing had pushed beyond it."""
    mask, entry = np.uint64(len(index) - 1), np.uint64(row + 1)
    hole = tag & mask
    while index[hole] & LOW != entry:
        hole = (hole + _ONE) & mask
    at = (hole + _ONE) & mask
    while index[at] != 0:
        home = (index[at] >> TAG_SHIFT) & mask
        if (at - home) & mask >= (at - hole) & mask:
            index[hole] = index[at]
            hole = at
        at = (at + _ONE) & mask
    index[hole] = np.uint64(0)


@compiled
def refill(old, new):
    """Copy all entries of an index to a larger, empty one."""
    for entry in old:
        if entry != 0:
            place(new, entry >> TAG_SHIFT, np.int64(entry & LOW) - 1)
