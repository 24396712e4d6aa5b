"""NumPy's functions on expressions build graphs: __array_ufunc__, __array_function__; __array__ explains itself."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr
from fuse.frontend import (
    axes,
    creation,
    elementwise,
    extra_ops,
    join,
    layout,
    linalg,
    nonzero,
    ranking,
    rearrange,
    reductions,
    scans,
    selecting,
    sizes,
    sorting,
    statistics,
)
from fuse.frontend.numpy_arguments import bound, later, loaded
from fuse.frontend.weak import as_numpy_does, numpys
from fuse.op import OPS
from fuse.trace import TRACE
from fuse.types import COMPLEX, DISCRETE, INTEGER, real_of

# Ufuncs of functions that are not one op; those of ops come from their records.
UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: elementwise.add, np.multiply: elementwise.mul, np.matmul: linalg.matmul, np.divmod: elementwise.divmod,
    np.logical_and: elementwise.logical_and, np.logical_or: elementwise.logical_or,
    np.logical_xor: elementwise.logical_xor, np.logical_not: elementwise.logical_not,
    np.positive: lambda x: x,
    **{getattr(np, n): later("numpy_more", word) for n, word in (("fabs", "fabs"), ("trunc", "whole"),
                                                                 ("reciprocal", "reciprocal"))},
    np.floor: lambda x: x if x.type.dtype in DISCRETE else elementwise.floor(x),
    np.ceil: lambda x: x if x.type.dtype in DISCRETE else elementwise.ceil(x),
    np.rint: lambda x: _round(elementwise.cast(x, "float64") if x.type.dtype in DISCRETE else x),
    np.conjugate: elementwise.conj, np.degrees: elementwise.rad2deg, np.radians: elementwise.deg2rad,
}

_NO_COUNTERPART = (
    "{} has no counterpart for expressions: write it in functions of fuse.tensor, or wrap it with fuse.as_op, so that "
    "it is called on arrays"
)

# What NumPy refuses for complex numbers; Theano's operators have values there.
REAL = {np.remainder, np.fmod, np.floor_divide, np.divmod, np.heaviside, np.ldexp, np.fabs, np.arctan2, np.hypot}
COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}


def refuse_complex(called: str, operands: Any) -> None:
    """FuseTypeError where one of the operands is complex."""
    if any(isinstance(x, Expr) and x.type.dtype in COMPLEX for x in operands):
        raise FuseTypeError(f"{called} of complex numbers is not defined: take x.real, x.imag or abs(x)")


# ufunc.reduce and ufunc.accumulate
REDUCE: dict[Any, Callable[..., Any]] = {
    np.add: reductions.sum, np.multiply: reductions.prod, np.maximum: reductions.max, np.minimum: reductions.min,
    np.logical_and: reductions.all, np.logical_or: reductions.any,
    np.bitwise_and: later("folds", "and_bits"), np.bitwise_or: later("folds", "or_bits"),
    np.bitwise_xor: later("folds", "xor_bits"),
}
ACCUMULATE: dict[Any, Callable[..., Any]] = {
    np.add: np.cumsum, np.multiply: np.cumprod, np.maximum: later("folds", "running_max"),
    np.minimum: later("folds", "running_min"), np.logical_and: later("folds", "running_all"),
    np.logical_or: later("folds", "running_any"),
}

# NumPy functions by the function of ours that means the same; arguments are passed as they come.
SAME_NAME = (
    (axes, "swapaxes moveaxis expand_dims squeeze atleast_1d atleast_2d atleast_3d broadcast_arrays"),
    (creation, "zeros_like ones_like full_like empty_like tril triu diag linspace logspace"),
    (elementwise, "real imag isclose nan_to_num isposinf isneginf"),
    (join, "concatenate hstack vstack"),
    (layout, "broadcast_to diagonal"),
    (linalg, "dot tensordot outer inner vdot trace kron"),
    (nonzero, "nonzero flatnonzero argwhere"),
    (rearrange, "tile repeat roll flip fliplr flipud rot90 meshgrid"),
    (reductions, "sum prod max min all any"),
    (scans, "argmax argmin"),
    (selecting, "take take_along_axis compress searchsorted"),
    (ranking, "median"),
    (sorting, "sort argsort"),
    (extra_ops, "diff pad unravel_index ravel_multi_index"),
    (statistics, "mean var std ptp"),
)


def _reshape(x: Any, shape: Any = None, order: str = "C", newshape: Any = None, copy: Any = None) -> Expr:
    shape = newshape if shape is None else shape
    if _by_columns(order):
        turned = shape[::-1] if isinstance(shape, (tuple, list)) or bool(getattr(shape, "ndim", 0)) else shape
        return layout.reshape(x.transpose(), turned).transpose()
    return layout.reshape(x, shape)


def _ravel(a: Any, order: str = "C") -> Expr:
    return axes.ravel(a.transpose() if _by_columns(order) else a)


def _by_columns(order: Any) -> bool:
    if order not in ("C", "F", "A", "K"):
        raise FuseValueError(f"order is 'C', 'F', 'A' or 'K', not {order!r}")
    return bool(order == "F")  # expressions have no order in memory: "A" and "K" are "C"


def _where(condition: Any, *values: Any) -> Any:
    if TRACE.active:
        values = as_numpy_does(*numpys(*values))
    return elementwise.switch(condition, *values) if values else nonzero.nonzero(condition)


def _choose(a: Any, choices: Any, mode: str = "raise") -> Expr:
    if TRACE.active and isinstance(choices, (list, tuple)):
        choices = as_numpy_does(*numpys(*choices))
    return selecting.choose(a, choices, mode=mode)


def _transpose(a: Any, axes: Any = None) -> Expr:
    return a.transpose() if axes is None else a.transpose(axes)


def _stack(arrays: Any, axis: int = 0) -> Expr:
    return join.stack(list(arrays), axis=axis)


def _split(x: Any, parts: Any, axis: int = 0) -> list[Expr]:
    if isinstance(parts, (int, np.integer)):
        return join.split(x, parts, axis=axis)
    axis = sizes.normalize_axis(axis, x.type.ndim)
    known = [0, *[b for b in parts if isinstance(b, (int, np.integer))]]
    if known != sorted(known):  # bounds counted from the end, or pieces that overlap
        return [x[(*[slice(None)] * axis, slice(a, b))] for a, b in pairwise([0, *parts, None])]
    bounds = [0, *parts, sizes.sizes_of(x)[axis]]
    return join.split(x, [sizes.size_sub(b, a) for a, b in pairwise(bounds)], axis=axis)


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    return later("spectral", "svd")(a, full_matrices, compute_uv)


def _eigvalsh(a: Any, UPLO: str = "L") -> Expr:
    if UPLO not in ("L", "U", "l", "u"):
        raise FuseValueError(f"UPLO is 'L' or 'U', the triangle that is read, not {UPLO!r}")
    return later("spectral", "eigvalsh")(a, lower=UPLO in "Ll")


def _cholesky(a: Any, upper: bool = False) -> Expr:
    return later("decompositions", "cholesky")(a, lower=not upper)


# Functions of NumPy that few programs use, by module.
_LATER = {
    "decompositions": "det slogdet", "systems": "solve", "spectral": "eig eigh pinv",
    "factors": "lstsq qr tensorinv tensorsolve", "linalg": "matrix_power",
}
_FFT = "fft ifft fftn ifftn fft2 ifft2 rfft irfft rfftn irfftn rfft2 irfft2 hfft ihfft fftshift ifftshift".split()
_LINALG = {getattr(np.linalg, name): later(module, name) for module, names in _LATER.items() for name in names.split()}


def _clip(x: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Expr:
    if min is not None and a_min is not None or max is not None and a_max is not None:
        raise FuseValueError("clip takes the bounds as a_min and a_max, or as min and max, not both")
    low, high = a_min if min is None else min, a_max if max is None else max
    if TRACE.active:
        if isinstance(x, Expr) and x.type.dtype in INTEGER:  # Python's integers beyond those of the dtype bound nothing
            limits = np.iinfo(x.type.dtype)
            low = None if type(low) is int and low <= limits.min else low
            high = None if type(high) is int and high >= limits.max else high
        x, low, high = as_numpy_does(x, low, high)
    if low is None and high is None:
        return x
    if low is None or high is None:
        return elementwise.maximum(x, low) if high is None else elementwise.minimum(x, high)
    numbers = [b.data if isinstance(b, Constant) else b for b in (low, high)]
    if any(isinstance(b, Expr) for b in numbers) or not (np.asarray(numbers[0]) <= np.asarray(numbers[1])).all():
        return elementwise.minimum(elementwise.maximum(x, low), high)  # what NumPy does where low > high, or is NaN
    return elementwise.clip(x, low, high)


def _shape(x: Any) -> Any:
    return sizes.sizes_of(x) if TRACE.active else sizes.shape(x)


def _round(x: Any, decimals: int = 0) -> Expr:
    """To digits as NumPy does it: multiplied, rounded, divided."""
    dtype = x.type.dtype
    if dtype in COMPLEX:
        return elementwise.complex(_round(x.real, decimals), _round(x.imag, decimals))
    if not decimals:
        return elementwise.round(x)
    if dtype in DISCRETE and decimals > 0:
        return x
    scaled = elementwise.cast(x, "float64") if dtype in DISCRETE else x
    factor = np.asarray(10.0 ** abs(decimals), real_of(scaled.type.dtype))
    there, back = elementwise.mul, elementwise.true_div
    if decimals < 0:
        there, back = back, there
    return elementwise.cast(back(elementwise.round(there(scaled, factor)), factor), dtype)


def cumulative(scan: Callable[..., Any]) -> Callable[..., Any]:
    """cumsum or cumprod in NumPy's dtype: that of sums, where ``scan`` keeps that of its argument."""
    def build(a: Any, axis: int | None = None, dtype: Any = None) -> Expr:
        if dtype is None and a.type.dtype in DISCRETE:
            dtype = "uint64" if a.type.dtype.startswith("uint") else "int64"
        return scan(a if dtype is None else elementwise.cast(a, dtype), axis)

    return build


def _bincount(x: Any, weights: Any = None, minlength: Any = 0) -> Expr:
    weights = weights if weights is None else elementwise.cast(weights, "float64")
    return extra_ops.bincount(x, weights, minlength, assert_nonneg=True)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Expr:
    return later("factors", "norm")(elementwise.cast(x, "float64") if x.type.dtype in DISCRETE else x, ord, axis,
                                    keepdims)


def _ndim(x: Any) -> int:
    return x.type.ndim


def _size(x: Any, axis: int | None = None) -> Any:
    if TRACE.active:
        return sizes.size_product(sizes.sizes_of(x)) if axis is None else sizes.sizes_of(x)[axis]
    return sizes.size(x) if axis is None else sizes.shape_i(x, axis)


def _copy(x: Any, order: str = "K", subok: bool = False) -> Any:
    return x


def _phase(z: Any) -> Expr:
    """The angle, of float32 where ``z`` is."""
    found = elementwise.angle(z)
    return found if z.type.dtype in DISCRETE else elementwise.cast(found, real_of(z.type.dtype))


def _sinc(x: Any) -> Expr:
    return later("incomplete", "sinc")(elementwise.cast(x, "float64") if x.type.dtype in DISCRETE else x)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.reshape: _reshape, np.where: _where, np.choose: _choose, np.stack: _stack, np.split: _split, np.shape: _shape,
    np.ravel: _ravel, np.cumsum: cumulative(scans.cumsum), np.cumprod: cumulative(scans.cumprod),
    np.bincount: _bincount, np.linalg.norm: _norm, np.transpose: _transpose, np.round: _round,
    np.around: _round, np.ndim: _ndim, np.size: _size, np.copy: _copy, np.angle: _phase,
    **_LINALG, np.linalg.inv: later("decompositions", "matrix_inverse"), np.linalg.svd: _svd,
    **{getattr(np.fft, name): later("fourier", name) for name in _FFT},
    np.linalg.eigvalsh: _eigvalsh, np.linalg.cholesky: _cholesky, np.einsum: later("einsum", "einsum"),
    np.i0: later("bessel", "i0"), np.sinc: _sinc,
    np.average: statistics.mean, np.clip: _clip,
    np.amax: reductions.max, np.amin: reductions.min, np.iscomplexobj: lambda x: x.type.dtype.startswith("complex"),
    np.result_type: lambda *xs: np.result_type(*[x.type.numpy_dtype if isinstance(x, Expr) else x for x in xs]),
    **{getattr(np, name): getattr(module, name) for module, names in SAME_NAME for name in names.split()},
}


@cache
def _ufuncs() -> dict[Any, Callable[..., Any]]:
    """Each ufunc with what it builds: an op names its own (``ufunc``), or its reference is one."""
    found: dict[Any, Callable[..., Any]] = {}
    for op in OPS.values():
        if op.kind == "elementwise":
            named = op.numpy if op.ufunc is None else op.ufunc
            if isinstance(named, np.ufunc):
                found.setdefault(named, op)
    return found | UFUNCS


def _rare(ufunc: Any) -> Callable[..., Any] | None:
    from fuse.frontend.numpy_more import UFUNCS as rare  # what few programs use

    if ufunc in rare:
        return rare[ufunc]
    from fuse.frontend.numpy_full import special

    return special(ufunc)


def array_ufunc(self: Expr, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Build the op that ``ufunc`` stands for."""
    called = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if options.pop("out", None) is not None:
        raise FuseTypeError(
            f"{called}(..., out=...) cannot store an expression in an array: use the result (a = a + x, not a += x)"
        )
    if options.pop("where", True) is not True:
        raise FuseTypeError(f"{called}(..., where=...) is not defined for expressions: use switch(condition, a, b)")
    if method == "__call__":
        if ufunc in REAL:
            refuse_complex(called, inputs)
        dtype = options.pop("dtype", None)
        build = _ufuncs().get(ufunc) or _rare(ufunc)
        if build is None:
            raise FuseTypeError(_NO_COUNTERPART.format(called))
        _refuse(called, options)
        operands = as_numpy_does(*inputs, compared=ufunc in COMPARISONS) if TRACE.active else inputs
        out = build(*operands)
        return out if dtype is None else elementwise.cast(out, dtype)
    table = {"reduce": REDUCE, "accumulate": ACCUMULATE}.get(method, {})
    if ufunc in table:
        options = {k: v for k, v in options.items() if v is not None and v is not np._NoValue or k == "axis"}
        return table[ufunc](*inputs, **{"axis": 0, **options}) if len(inputs) == 1 else table[ufunc](*inputs, **options)
    if method == "outer" and len(inputs) == 2 and ufunc in _ufuncs():
        left, right = [x if isinstance(x, Expr) else np.asarray(x) for x in inputs]
        wide = axes.shape_padright(left, right.ndim)
        return _ufuncs()[ufunc](wide, right)
    raise FuseTypeError(_NO_COUNTERPART.format(called))


def _refuse(called: str, options: dict[str, Any]) -> None:
    if options:
        raise FuseTypeError(f"{called} of an expression takes no {', '.join(options)}")


def array_function(self: Expr, function: Any, types: Any, args: Any, options: Any) -> Any:
    """Build what NumPy's ``function`` stands for."""
    name = f"{function.__module__}.{function.__name__}"
    build = FUNCTIONS.get(function)
    if build is None:
        from fuse.frontend.numpy_more import builder

        build = builder(function, name)
    if options.get("out") is not None:
        raise FuseTypeError(f"{name}(..., out=...) cannot store an expression in an array: use the result")
    given, named, unknown = bound(function, loaded(build), args, options)
    if unknown:
        from fuse.frontend.numpy_full import FULL  # with all of NumPy's arguments

        build, given, named = FULL.get(function), list(args), options
        if build is None:
            raise FuseTypeError(f"{name} of an expression takes no {', '.join(unknown)}")
    try:
        return build(*given, **named)
    except TypeError as error:
        if isinstance(error, FuseTypeError) or "argument" not in str(error):
            raise
        raise FuseTypeError(f"{name} of an expression: {error}") from error


def array(self: Expr, dtype: Any = None, copy: Any = None) -> Any:
    """The value of a constant; other expressions have none yet."""
    if isinstance(self, Constant):
        return self.data.astype(dtype or self.data.dtype)
    raise FuseTypeError(
        f"an expression ({self.type.describe()}) is no array: .eval({{...}}) gives its value, stack([x, y]) makes one "
        f"expression of several, as_tensor_variable(a)[{self.name or 'x'}] indexes an array with one, "
        f"as_tensor_variable(a).at[i].set({self.name or 'x'}) stores one in a copy of an array, and fuse.as_op wraps a "
        f"function that takes arrays alone, such as one of SciPy's"
    )


def attach(cls: type[Expr]) -> None:
    """Give ``cls`` NumPy's protocol."""
    cls.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
    cls.__array_function__ = array_function  # type: ignore[attr-defined]
    cls.__array__ = array  # type: ignore[attr-defined]
