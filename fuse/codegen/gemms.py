"""The name with which generated source calls BLAS: ``gemm``, a product of matrices that is added to a third one.

Importing this module imports numba.
"""
from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen.blas import LETTERS, PLAIN, PREFIX, ROWS, TRANSPOSED, address
from fuse.codegen.structures import member

_WORD, _I64, _MEMORY = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()


@intrinsic
def gemm(typingctx, turned, m, n, k, alpha, a, at_a, row_a, b, at_b, row_b, beta, c, at_c, row_c):
    """``c = alpha * a @ b + beta * c``: `c` has `m` rows and `n` columns, and `k` is what is summed over.

    `turned` says which operands are read transposed: 1 the first, 2 the second, 3 both. `at_a` is the element of the
    array at which a matrix begins, `row_a` how many elements its rows are apart.
    """
    name = f"{PREFIX}{LETTERS[str(c.dtype)]}gemm"
    number = ir.FloatType() if c.dtype == types.float32 else ir.DoubleType()

    def build(context, builder, signature, args):
        def memory(which, start):
            kind = signature.args[which]
            data = member(context, builder, kind, args[which], "data")
            place = builder.mul(args[start], _I64(kind.itemsize))
            return builder.bitcast(builder.gep(data, [place]), _MEMORY)

        llvm.add_symbol(name, address(name) or 0)
        form = ir.FunctionType(ir.VoidType(), [
            *[_WORD] * 3, *[_I64] * 3, number, _MEMORY, _I64, _MEMORY, _I64, number, _MEMORY, _I64])
        function = cgutils.get_or_insert_function(builder.module, form, name)
        first, second = (
            builder.select(builder.icmp_signed("!=", builder.and_(args[0], _I64(bit)), _I64(0)),
                           _WORD(TRANSPOSED), _WORD(PLAIN)) for bit in (1, 2))
        builder.call(function, [
            _WORD(ROWS), first, second, *args[1:4], args[4], memory(5, 6), args[7], memory(8, 9), args[10], args[11],
            memory(12, 13), args[14]])
        return context.get_dummy_value()

    i64, real = types.int64, c.dtype
    return types.none(i64, i64, i64, i64, real, a, i64, i64, b, i64, i64, real, c, i64, i64), build


INTRINSICS = (gemm,)
