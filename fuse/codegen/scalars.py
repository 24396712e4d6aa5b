"""Arithmetic of numbers that Python cannot spell, for generated kernels and the vector mathematics.

Importing this module imports numba.
"""
from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen import far


def call(builder, name, *args, fastmath=()):
    """Call the overloaded LLVM intrinsic `name` on values of one type."""
    return builder.call(builder.module.declare_intrinsic(name, [args[0].type],
                                                         ir.FunctionType(args[0].type, [a.type for a in args])), args,
                        fastmath=fastmath)


def _floating(name, llvm_name, arity):
    """An intrinsic of `arity` floats of one type; anything that is not float32 alone is float64."""
    def typer(typingctx, *values):
        kinds = {types.unliteral(v) for v in values}
        kind = types.float32 if kinds == {types.float32} else types.float64
        return kind(*[kind] * arity), lambda context, builder, signature, args: call(builder, llvm_name, *args)
    bodies = {1: lambda typingctx, x: typer(typingctx, x), 2: lambda typingctx, x, y: typer(typingctx, x, y),
              3: lambda typingctx, x, y, z: typer(typingctx, x, y, z)}
    body = bodies[arity]
    body.__name__, body.__doc__ = name, f"LLVM's ``{llvm_name}`` in the precision of the arguments."
    return intrinsic(body)


def _far(function):
    """An intrinsic `(x, near) -> near`, where x is not far: see `fuse.codegen.far`."""
    def typer(typingctx, x, near):
        kind = types.float32 if types.unliteral(x) == types.float32 else types.float64
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


def _bitcast(name, source, target):
    def typer(typingctx, x):
        return target(source), lambda context, builder, signature, args: builder.bitcast(
            args[0], context.get_value_type(target))
    typer.__name__, typer.__doc__ = name, f"The bits of a {source} as {target}."
    return intrinsic(typer)


@intrinsic
def is_constant(typingctx, x):
    """Whether LLVM knows the value of `x` by the time that loops become vectors."""
    def build(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(1), [args[0].type])
        return builder.call(builder.module.declare_intrinsic("llvm.is.constant", [args[0].type], kind), args)
    return types.boolean(types.unliteral(x)), build


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


fma = _floating("fma", "llvm.fma", 3)
rint = _floating("rint", "llvm.rint", 1)
fabs = _floating("fabs", "llvm.fabs", 1)
copysign = _floating("copysign", "llvm.copysign", 2)
f2i = _bitcast("f2i", types.float64, types.int64)
i2f = _bitcast("i2f", types.int64, types.float64)
f2i32 = _bitcast("f2i32", types.float32, types.int32)
i2f32 = _bitcast("i2f32", types.int32, types.float32)
far_sin, far_cos, far_tan = _far("sin"), _far("cos"), _far("tan")

INTRINSICS = (is_constant, half, fma, rint, fabs, copysign, f2i, i2f, f2i32, i2f32, far_sin, far_cos, far_tan)
