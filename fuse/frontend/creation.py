"""Arrays from nothing but a shape: alloc, zeros, ones, full, eye, arange, linspace, tri, mgrid."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.jumps import placed_by
from fuse.frontend.layout import broadcast_to, dimshuffle, iota
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    constant_value,
    size_add,
    size_max,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.op import elementwise, numeric
from fuse.types import DISCRETE, FLOATING, INTEGER, dtype_name


def _number(value: Any, dtype: Any) -> Expr:
    """A 0-d constant of a dtype (None: floatX)."""
    return constant(value, dtype=config.floatX if dtype is None else dtype_name(dtype))


def alloc(value: Any, *shape: Any) -> Expr:
    """``value`` broadcast to the given sizes: ``alloc(0.0, n, m)``.

    >>> import fuse.tensor as T
    >>> alloc(T.constant(1.0), 2, 3).type
    TensorType(float32, (2, 3))
    """
    return broadcast_to(value, shape[0] if len(shape) == 1 else shape)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Expr:
    """An array of ``shape`` filled with ``fill_value``; the dtype is the value's where none is given.

    >>> full((2, 3), 7, "int32").type
    TensorType(int32, (2, 3))
    """
    value = as_expr(fill_value)
    return broadcast_to(value if dtype is None else ew.cast(value, dtype_name(dtype)), shape)


def zeros(shape: Any, *more: Any, dtype: Any = None) -> Expr:
    """An array of zeros; ``dtype`` is floatX unless given.

    >>> zeros((2, 3)).type
    TensorType(float64, (2, 3))
    """
    return _filled(0, shape, more, dtype)


def ones(shape: Any, *more: Any, dtype: Any = None) -> Expr:
    """An array of ones; ``dtype`` is floatX unless given.

    >>> ones(3, dtype="int8").type
    TensorType(int8, (3,))
    """
    return _filled(1, shape, more, dtype)


def _filled(value: int, shape: Any, more: tuple[Any, ...], dtype: Any) -> Expr:
    if len(more) == 1 and static_int(more[0]) is None and not isinstance(more[0], Expr):
        dtype, more = more[0], ()  # zeros((2, 3), 'float32')
    return broadcast_to(_number(value, dtype), (shape, *more) if more else shape)


def empty(shape: Any, dtype: Any = None) -> Expr:
    """An array whose values are not promised; here they are zeros.

    >>> empty((2, 3), "int16").type
    TensorType(int16, (2, 3))
    """
    return zeros(shape, dtype=dtype)


def zeros_like(model: Any, dtype: Any = None, opt: bool = False) -> Expr:
    """Zeros of the shape of ``model``, and of its dtype unless another is given.

    >>> import fuse.tensor as T
    >>> m = T.fmatrix("m")
    >>> zeros_like(m).type
    TensorType(float32, matrix)
    >>> zeros_like(m, "int64").eval({m: [[0.5, 1.5]]})
    array([[0, 0]])
    """
    return full_like(model, 0, dtype)


def ones_like(model: Any, dtype: Any = None, opt: bool = False) -> Expr:
    """Ones of the shape of ``model``, and of its dtype unless another is given.

    >>> import fuse.tensor as T
    >>> m = T.fmatrix("m")
    >>> ones_like(m).type
    TensorType(float32, matrix)
    >>> ones_like(m).eval({m: [[0.5, 1.5]]})
    array([[1., 1.]], dtype=float32)
    """
    return full_like(model, 1, dtype)


@also(prototype="model")
def empty_like(model: Any, dtype: Any = None) -> Expr:
    """An array of the shape and dtype of ``model`` whose values are not promised; here they are zeros.

    >>> import fuse.tensor as T
    >>> empty_like(T.tensor("int16", shape=(2, None))).type
    TensorType(int16, (2, ?))
    """
    return zeros_like(model, dtype)


@also(a="model")
def full_like(model: Any, fill_value: Any, dtype: Any = None) -> Expr:
    """``fill_value`` in the shape of ``model``, and in its dtype unless another is given.

    >>> import fuse.tensor as T
    >>> full_like(T.ivector("v"), 7).type
    TensorType(int32, vector)
    """
    model = as_expr(model)
    target = model.type.dtype if dtype is None else dtype_name(dtype)
    value = as_expr(fill_value)
    value = constant(value.data, dtype=target) if isinstance(value, Constant) else ew.cast(value, target)
    return broadcast_to(value, sizes_of(model)) if value.type.ndim else ew.fill(model, value)


# ---------------------------------------------------------------- diagonals and triangles, by comparing positions
def diagonal_offsets(rows: Size, columns: Size) -> Expr:
    """column - row for each element of a matrix."""
    return ew.sub(dimshuffle(iota(columns), "x", 0), dimshuffle(iota(rows), 0, "x"))


def eye(n: Any, m: Any = None, k: Any = 0, dtype: Any = None) -> Expr:
    """An n by m matrix (m = n where not given) with ones on diagonal ``k`` and zeros elsewhere.

    >>> eye(2, 3).type
    TensorType(float64, (2, 3))
    """
    rows = as_size(n)
    columns = rows if m is None else as_size(m)
    return ew.cast(ew.eq(diagonal_offsets(rows, columns), placed_by(as_size(k, "k"))), dtype or config.floatX)


def identity_like(x: Any, dtype: Any = None) -> Expr:
    """Ones on the main diagonal of a matrix of the shape of ``x``, zeros elsewhere.

    Raises ShapeError where ``x`` is no matrix.

    >>> identity_like([[7, 7, 7], [7, 7, 7]]).eval()
    array([[1, 0, 0],
           [0, 1, 0]])
    """
    x = as_expr(x)
    if x.type.ndim != 2:
        raise ShapeError(f"identity_like takes a matrix, not a {x.type.describe()}")
    rows, columns = sizes_of(x)
    return eye(rows, columns, dtype=x.type.dtype if dtype is None else dtype)


def identity(n: Any, dtype: Any = None) -> Expr:
    """The n by n identity matrix.

    ``n`` is an int or a 0-d integer expression; ``dtype`` is floatX unless given.

    >>> import fuse.tensor as T
    >>> n = T.lscalar("n")
    >>> identity(n, "int8").eval({n: 2})
    array([[1, 0],
           [0, 1]], dtype=int8)
    """
    return eye(n, dtype=dtype)


def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Expr:
    """An N by M matrix with ones at and below diagonal ``k``, zeros above.

    The sizes and ``k`` are ints or 0-d integer expressions; ``dtype`` is floatX unless given.

    >>> tri(2, 3, k=1, dtype="int8").eval()
    array([[1, 1, 0],
           [1, 1, 1]], dtype=int8)
    """
    rows = as_size(N)
    columns = rows if M is None else as_size(M)
    return ew.cast(ew.le(diagonal_offsets(rows, columns), placed_by(as_size(k, "k"))), dtype or config.floatX)


def tril(m: Any, k: Any = 0) -> Expr:
    """``m`` with zeros above diagonal ``k`` of its last two axes.

    Raises ShapeError for fewer than two dimensions.

    >>> tril([[1, 2], [3, 4]]).eval()
    array([[1, 0],
           [3, 4]])
    """
    return _triangle(m, k, ew.le, "tril")


def triu(m: Any, k: Any = 0) -> Expr:
    """``m`` with zeros below diagonal ``k`` of its last two axes.

    Raises ShapeError for fewer than two dimensions.

    >>> triu([[1, 2], [3, 4]], k=1).eval()
    array([[0, 2],
           [0, 0]])
    """
    return _triangle(m, k, ew.ge, "triu")


def _triangle(m: Any, k: Any, keep: Any, what: str) -> Expr:
    m = as_expr(m)
    if m.type.ndim < 2:
        raise ShapeError(f"{what} takes at least a matrix, not a {m.type.describe()}")
    kept = keep(diagonal_offsets(*sizes_of(m)[-2:]), placed_by(as_size(k, "k")))
    return ew.switch(kept, m, constant(0, dtype=m.type.dtype))


def diag(v: Any, k: int = 0) -> Expr:
    """The diagonal ``k`` of a matrix, or the matrix with the vector ``v`` on diagonal ``k`` and zeros elsewhere.

    Raises ShapeError for other ranks, FuseTypeError for an offset that is an expression.

    >>> import fuse.tensor as T
    >>> diag(T.matrix("m")).ndim, diag(T.vector("v"), 1).ndim
    (1, 2)
    """
    from fuse.frontend.join import pad_end
    from fuse.frontend.layout import diagonal

    v = as_expr(v)
    if v.type.ndim == 2:
        return diagonal(v, k)
    if v.type.ndim != 1:
        raise ShapeError(f"diag takes a vector or a matrix (Input must be 1- or 2-d.), not a {v.type.describe()}")
    offset = static_int(k)
    if offset is None:
        raise FuseTypeError("the offset of diag is an integer known while the graph is built")
    n = size_add(sizes_of(v)[0], abs(offset))
    values = dimshuffle(pad_end(v, n), *((0, "x") if offset >= 0 else ("x", 0)))
    return ew.switch(ew.eq(diagonal_offsets(n, n), offset), values, constant(0, dtype=v.type.dtype))


# ---------------------------------------------------------------- ranges
_NO_STEP = "the step of arange is 0"


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Expr:
    """Evenly spaced values from ``start`` up to, not including, ``stop``.

    Integers give int64 (unsigned: uint64) and floats their promoted dtype, at least floatX from Python floats.

    >>> arange(5).type, arange(0, 1, 0.25).type
    (TensorType(int64, (5,)), TensorType(float64, (4,)))
    """
    if stop is None:
        start, stop = 0, start
    first, last, by = [_bound(v) for v in (start, stop, step)]
    if dtype is None:
        dtype = ty.promote(first.type.dtype, last.type.dtype, by.type.dtype)
        dtype = {"u": "uint64", "i": "int64", "b": "int64"}.get(ty.kind(dtype), dtype)
    dtype = dtype_name(dtype)
    if not isinstance(by, Constant):
        by = required(by, [ew.neq(by, constant(0, dtype=by.type.dtype))], _NO_STEP, "FuseValueError")
    n = _arange_length(first, last, by)
    ramp = iota(n)
    if all(e.type.dtype in DISCRETE for e in (first, last, by)):
        return ew.cast(_line(first, by, ramp), dtype)
    # NumPy's own steps: the difference of the first two values, each rounded to the dtype
    low, second = ew.cast(first, dtype), ew.cast(ew.add(first, by), dtype)
    inner = "float32" if dtype == "float16" else dtype
    low, second = _folded(ew.cast(low, inner)), _folded(ew.cast(second, inner))
    ramp = ew.cast(ramp, inner) if inner in FLOATING else ramp
    return ew.cast(_line(low, _folded(_rounded_step(low, second)), ramp), dtype)


@elementwise(
    name="rounded_step", dtype=numeric, numpy=lambda first, second: second - first, sympy="y - x", builtin=True,
    grad=(lambda g, out, first, second: -g, lambda g, out, first, second: g),
)
def _rounded_step(first, second):
    """``second - first``, which no rule knows for a difference: ``(x + y) - x`` is not ``y`` here."""
    return second - first


def _bound(value: Any) -> Expr:
    expr = as_expr(value)
    if expr.type.ndim:
        raise ShapeError(f"arange takes 0-d numbers, not a {expr.type.describe()}")
    if isinstance(value, float) and not isinstance(value, np.floating):
        return constant(value, dtype=ty.promote(config.floatX, expr.type.dtype))
    if ty.kind(expr.type.dtype) == "c":
        raise FuseTypeError("arange takes real numbers: arange(n) * step + start makes complex ones")
    return expr


def _folded(expr: Expr) -> Expr:
    """A 0-d expression of constants as a constant."""
    value = constant_value(expr)
    return expr if value is None else constant(value, dtype=expr.type.dtype)


def _line(first: Expr, by: Expr, ramp: Expr) -> Expr:
    """first + by * ramp, without adding 0 or multiplying by 1."""
    if not (isinstance(by, Constant) and by.data == 1):
        ramp = ew.mul(ramp, by)
    return ramp if isinstance(first, Constant) and first.data == 0 else ew.add(first, ramp)


def _arange_length(first: Expr, last: Expr, by: Expr) -> Size:
    bounds = (first, last, by)
    values = [e.data[()] for e in bounds if isinstance(e, Constant)]
    if isinstance(by, Constant) and by.data == 0:
        raise FuseValueError(_NO_STEP)
    if all(e.type.dtype in DISCRETE for e in bounds):
        if len(values) == 3:
            return len(range(*map(int, values)))
        wide = [ew.cast(e, "int64") for e in bounds]
        wide = [e if (value := constant_value(e)) is None else constant(value) for e in wide]
        if isinstance(by, Constant) and by.data == 1:
            return size_max(_minus(wide[1], wide[0]), 0)
        return size_max(ew.neg(ew.int_div(_minus(wide[0], wide[1]), wide[2])), 0)
    if len(values) == 3:
        return max(int(np.ceil((float(values[1]) - float(values[0])) / float(values[2]))), 0)
    wide = [ew.cast(e, "float64") for e in bounds]
    return size_max(ew.cast(ew.ceil(ew.true_div(ew.sub(wide[1], wide[0]), wide[2])), "int64"), 0)


def _minus(a: Expr, b: Expr) -> Expr:
    return a if isinstance(b, Constant) and b.data == 0 else ew.sub(a, b)


@also(end="stop", steps="num")
def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """``num`` evenly spaced values from ``start`` to ``stop`` (included, unless ``endpoint`` is false).

    The bounds may be arrays: ``axis`` is then that of the values. With ``retstep`` also the distance of two values.

    >>> linspace(0, 1, 5).type
    TensorType(float64, (5,))
    """
    n = as_size(num, "num")
    first, last = as_expr(start), as_expr(stop)
    work = ty.promote(ty.inexact(first.type.dtype), ty.inexact(last.type.dtype), config.floatX)
    first, last = ew.cast(first, work), ew.cast(last, work)
    gaps = size_max(size_sub(n, 1) if endpoint else n, 1)
    step = ew.true_div(ew.sub(last, first), ew.cast(as_size_expr(gaps), work))
    ramp = iota(n)
    if rank := max(step.type.ndim, first.type.ndim):
        ramp = dimshuffle(ramp, [0, *["x"] * rank])
    values = ew.add(ew.mul(ew.cast(ramp, work), _folded(step)), _folded(first))
    if endpoint and not (isinstance(n, int) and n < 2):  # the last value is exact, whatever rounding did
        ends = ew.and_(ew.eq(ramp, gaps), ew.gt(ramp, 0))
        values = ew.switch(ends, last, values)
    if axis and rank:
        at = axis % (rank + 1)
        values = dimshuffle(values, [*range(1, at + 1), 0, *range(at + 1, rank + 1)])
    if dtype is not None:
        target = dtype_name(dtype)
        values = ew.cast(ew.floor(values) if target in INTEGER else values, target)
    return (values, step) if retstep else values


@also(end="stop", steps="num")
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Expr:
    """``base`` to the powers ``linspace(start, stop, num)``.

    >>> logspace(0, 3, 4).eval()
    array([   1.,   10.,  100., 1000.])
    """
    values = ew.pow(base, linspace(start, stop, num, endpoint, axis=axis))
    return values if dtype is None else ew.cast(values, dtype_name(dtype))


class _Grid:
    """``mgrid[0:3, 0:1:5j]``: coordinate arrays of a grid; complex steps are counts, as in NumPy.

    ``ogrid`` gives the same coordinates with size 1 along the other axes.

    >>> import fuse.tensor as T
    >>> rows, columns = T.mgrid[0:2, 0:1:3j]
    >>> columns.eval()
    array([[0. , 0.5, 1. ],
           [0. , 0.5, 1. ]])
    >>> [a.eval().shape for a in T.ogrid[0:2, 0:1:3j]]
    [(2, 1), (1, 3)]
    """

    def __init__(self, name: str, sparse: bool) -> None:
        self._name, self._sparse = name, sparse

    def __repr__(self) -> str:
        return self._name

    def __getitem__(self, item: Any) -> Any:
        slices = item if isinstance(item, tuple) else (item,)
        axes = [self._axis(s) for s in slices]
        if not isinstance(item, tuple):
            return axes[0]
        spread = [dimshuffle(a, ["x"] * i + [0] + ["x"] * (len(axes) - i - 1)) for i, a in enumerate(axes)]
        if self._sparse:
            return spread
        sizes = [sizes_of(a)[0] for a in axes]
        return [broadcast_to(a, sizes) for a in spread]

    def _axis(self, s: Any) -> Expr:
        if not isinstance(s, slice) or s.stop is None:
            raise FuseTypeError(f"{self._name} takes slices with a stop, as in {self._name}[0:3, 0:1:5j]")
        start = 0 if s.start is None else s.start
        if isinstance(s.step, complex):
            return linspace(start, s.stop, int(abs(s.step)))
        return arange(start, s.stop, 1 if s.step is None else s.step)


mgrid = _Grid("mgrid", sparse=False)
ogrid = _Grid("ogrid", sparse=True)

__all__ = [
    "alloc", "arange", "diag", "empty", "empty_like", "eye", "full", "full_like", "identity", "identity_like",
    "linspace", "logspace", "mgrid", "ogrid", "ones", "ones_like", "tri", "tril", "triu", "zeros", "zeros_like",
]
