"""The names with which generated source calls BLAS: ``gemm`` and ``gemv``, products, and ``reorder``, a copy.

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
        form = ir.FunctionType(ir.VoidType(), [
            *[_WORD] * 3, *[_I64] * 3, number, _MEMORY, _I64, _MEMORY, _I64, number, _MEMORY, _I64])
        function = _imported(builder, name, form)
        first, second, third = (_element(context, builder, signature, args, k) for k in (5, 8, 12))
        builder.call(function, [
            _WORD(ROWS), _read(builder, args[0], 1), _read(builder, args[0], 2), *args[1:4], args[4], first, args[7],
            second, args[10], args[11], third, args[14]])
        return context.get_dummy_value()

    i64, real = types.int64, c.dtype
    return types.none(i64, i64, i64, i64, real, a, i64, i64, b, i64, i64, real, c, i64, i64), build


@intrinsic
def gemv(typingctx, turned, m, n, a, x, y):
    """``y = a @ x``, or ``a.T @ x`` where `turned` is 1; `a` has `m` rows and `n` columns."""
    name = f"{PREFIX}{LETTERS[str(y.dtype)]}gemv"
    number = ir.FloatType() if y.dtype == types.float32 else ir.DoubleType()

    def build(context, builder, signature, args):
        form = ir.FunctionType(ir.VoidType(), [
            *[_WORD] * 2, *[_I64] * 2, number, _MEMORY, _I64, _MEMORY, _I64, number, _MEMORY, _I64])
        first, second, third = (member(context, builder, signature.args[k], args[k], "data") for k in (3, 4, 5))
        builder.call(_imported(builder, name, form), [
            _WORD(ROWS), _read(builder, args[0], 1), *args[1:3], number(1), builder.bitcast(first, _MEMORY), args[2],
            builder.bitcast(second, _MEMORY), _I64(1), number(0), builder.bitcast(third, _MEMORY), _I64(1)])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(i64, i64, i64, a, x, y), build


@intrinsic
def reorder(typingctx, turned, m, n, a, at_a, row_a, b, at_b, row_b):
    """``b = a``, or ``a.T`` where `turned` is 1: `a` has `m` rows and `n` columns; `at_a` and `row_a` as for `gemm`."""
    name = f"{PREFIX}{LETTERS[str(b.dtype)]}omatcopy"
    number = ir.FloatType() if b.dtype == types.float32 else ir.DoubleType()

    def build(context, builder, signature, args):
        form = ir.FunctionType(ir.VoidType(), [_WORD, _WORD, _I64, _I64, number, _MEMORY, _I64, _MEMORY, _I64])
        function = _imported(builder, name, form)
        source, target = (_element(context, builder, signature, args, k) for k in (3, 6))
        builder.call(function, [
            _WORD(ROWS), _read(builder, args[0], 1), *args[1:3], number(1), source, args[5], target, args[8]])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(i64, i64, i64, a, i64, i64, b, i64, i64), build


def _element(context, builder, signature, args, k):
    """The address of the element of array `k` whose number is the next argument."""
    kind = signature.args[k]
    data = member(context, builder, kind, args[k], "data")
    return builder.bitcast(builder.gep(data, [builder.mul(args[k + 1], _I64(kind.itemsize))]), _MEMORY)


def _read(builder, turned, bit):
    """The word of CBLAS for an operand that is read transposed where `turned` has this bit."""
    chosen = builder.icmp_signed("!=", builder.and_(turned, _I64(bit)), _I64(0))
    return builder.select(chosen, _WORD(TRANSPOSED), _WORD(PLAIN))


def _imported(builder, name, form):
    llvm.add_symbol(name, address(name) or 0)
    return cgutils.get_or_insert_function(builder.module, form, name)


INTRINSICS = (gemm, gemv, reorder)
