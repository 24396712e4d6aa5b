"""Functions of SciPy in kernels: what generated source calls ``scipy_NAME`` is a call of SciPy's compiled code.

The call is of ``fuse_scipy_NAME``, which the loader links to the address that ``mathlib.scipys`` finds, so that object
code on disk serves every process.
"""
from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen.mathlib.scipys import ARITIES, PREFIX, SCIPY, address

_DOUBLE, _FLAG = ir.DoubleType(), ir.IntType(32)


def _function(name, arity):
    """An intrinsic of `arity` floats: in double, rounded once where all arguments are single."""
    def typer(typingctx, *values):
        kind = types.float32 if {types.unliteral(v) for v in values} == {types.float32} else types.float64
        def build(context, builder, signature, args):
            symbol = PREFIX + name
            llvm.add_symbol(symbol, address(symbol) or 0)
            wide = [builder.fpext(a, _DOUBLE) for a in args] if kind == types.float32 else args
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(_DOUBLE, [_DOUBLE] * arity + [_FLAG]), symbol)
            result = builder.call(function, [*wide, _FLAG(0)])
            return builder.fptrunc(result, ir.FloatType()) if kind == types.float32 else result
        return kind(*[kind] * arity), build
    body = {1: lambda typingctx, x: typer(typingctx, x), 2: lambda typingctx, x, y: typer(typingctx, x, y),
            3: lambda typingctx, x, y, z: typer(typingctx, x, y, z),
            4: lambda typingctx, x, y, z, w: typer(typingctx, x, y, z, w)}[arity]
    body.__name__, body.__doc__ = SCIPY + name, f"``scipy.special.{name}``, computed in double."
    return intrinsic(body)


INTRINSICS = tuple([_function(name, arity) for name, arity in ARITIES.items()])
