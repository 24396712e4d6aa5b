"""Arithmetic of numbers that Python cannot spell, for generated kernels and the vector mathematics.

Importing this module imports numba.
"""
from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen import far
from fuse.codegen.shared_intrinsics import (
    copysign,
    f2i,
    f2i32,
    fabs,
    float_kind,
    fma,
    i2f,
    i2f32,
    is_constant,
    rint,
)


def _far(function):
    """An intrinsic `(x, near) -> near`, where x is not far: see `fuse.codegen.far`."""
    def typer(typingctx, x, near):
        kind = float_kind(x)
        def build(context, builder, signature, args):
            value = args[0].type
            name = far.symbol(function, f"f{kind.bitwidth}")
            llvm.add_symbol(name, id(typer))        # numba links helpers to run them, which nobody does
            return builder.call(cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(value, [value, value]), name), args)
        return kind(kind, kind), build
    typer.__name__ = f"far_{function}"
    typer.__doc__ = f"``near``, or where `x` is far from 0 the C library's ``{function}(x)``."
    return intrinsic(typer)


def rounded_to_half(builder, value):
    """LLVM's float `value` as `half` rounds it."""
    whole, single = ir.IntType(32), ir.FloatType()
    bits = builder.bitcast(value, whole)
    sign = builder.and_(bits, whole(0x80000000))
    size = builder.and_(bits, whole(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(size, whole(13)), whole(1))
    ordinary = builder.and_(builder.add(builder.add(size, whole(0x0FFF)), odd), whole(0xFFFFE000))
    ordinary = builder.select(builder.icmp_unsigned(">", ordinary, whole(0x477FE000)), whole(0x7F800000), ordinary)
    # Below 2**-14 halves are multiples of 2**-24, which is the distance of numbers from 0.5 on.
    shifted = builder.fadd(builder.bitcast(size, single), single(0.5))
    small = builder.bitcast(builder.fsub(shifted, single(0.5)), whole)
    rounded = builder.select(builder.icmp_unsigned("<", size, whole(0x38800000)), small, ordinary)
    rounded = builder.select(builder.icmp_unsigned(">", size, whole(0x7F800000)), size, rounded)
    return builder.bitcast(builder.or_(rounded, sign), single)


@intrinsic
def half(typingctx, x):
    """A float32 rounded to what a half float holds, to even in the middle.

    In integers: of vectors of half floats, and of their signs, LLVM makes what it cannot translate.
    """
    def build(context, builder, signature, args):
        return rounded_to_half(builder, args[0])
    return types.float32(types.float32), build


far_sin, far_cos, far_tan = _far("sin"), _far("cos"), _far("tan")

INTRINSICS = (is_constant, half, fma, rint, fabs, copysign, f2i, i2f, f2i32, i2f32, far_sin, far_cos, far_tan)
