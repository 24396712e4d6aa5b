"""Numba's arrays on the memory of a kernel, for functions of the user's that a compiled loop calls.

Importing this module imports numba.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.extending import intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from fuse.codegen import intrinsics
from fuse.codegen.structures import member


def _array(layout: str, writable: bool) -> Any:
    def typer(typingctx, a, offset, shape, strides):
        kind = types.Array(a.dtype, len(shape), layout, readonly=not writable)
        count = len(shape)

        def build(context, builder, signature, args):
            buffer, at, sizes, steps = args
            data = member(context, builder, a, buffer, "data")
            width = intrinsics.I64(a.itemsize)
            data = cgutils.pointer_add(builder, data, builder.mul(at, width))
            made = arrayobj.make_array(kind)(context, builder)
            arrayobj.populate_array(
                made, builder.bitcast(data, context.get_data_type(kind.dtype).as_pointer()),
                cgutils.unpack_tuple(builder, sizes, count),
                [builder.mul(s, width) for s in cgutils.unpack_tuple(builder, steps, count)], width, None,
            )
            return made._getvalue()

        return kind(a, types.int64, shape, strides), build

    typer.__name__ = name_of(layout, writable)
    typer.__doc__ = "Numba's array at an offset of a buffer; sizes and strides are in elements."
    return intrinsic(typer)


def name_of(layout: str, writable: bool) -> str:
    """What generated source calls an array of this layout."""
    return f"array_{layout}{'_out' if writable else ''}"


ARRAYS = {name_of(layout, writable): _array(layout, writable) for layout in "CA" for writable in (False, True)}


def type_of(dtype: str, ndim: int | None = None, layout: str = "C", writable: bool = False) -> Any:
    """Numba's type of an array, or of a number where there is no ``ndim``."""
    kind = from_dtype(np.dtype(dtype))
    return kind if ndim is None else types.Array(kind, ndim, layout, readonly=not writable)


def guarded(function: Callable[..., Any], argtypes: Sequence[Any]) -> Any:
    """``function`` compiled for these types, giving 0, or 1 where it raises an exception.

    It is compiled here, not when a kernel that calls it is: Numba would compile it as kernels are, without allocation.
    """
    called = function if hasattr(function, "py_func") else numba.njit(function)

    def call(*args):
        try:
            called(*args)
        except Exception:
            return 1
        return 0

    made = numba.njit(call)
    made.get_call_template(tuple(argtypes), {})
    return made
