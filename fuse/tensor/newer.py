"""What PyTensor has beside Theano: products of vectors in batches, indices of triangles, interpolation; and packs."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend import numpy_more
from fuse.frontend.asserting import required
from fuse.frontend.axes import atleast_nd, broadcast_shape, moveaxis
from fuse.frontend.bessel import kv
from fuse.frontend.creation import linspace, tri
from fuse.frontend.linalg import dot, matmul
from fuse.frontend.nonzero import nonzero
from fuse.frontend.selecting import searchsorted
from fuse.frontend.sizes import (
    as_size,
    as_size_expr,
    size_floordiv,
    size_max,
    size_min,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.frontend.sorting import argsort
from fuse.frontend.tensor import NotScalarConstantError, get_scalar_constant_value
from fuse.tensor.packs import (
    concat_with_broadcast,
    join_dims,
    pack,
    slice_at_axis,
    specify_broadcastable,
    split_dims,
    unpack,
)
from fuse.types import DISCRETE, FLOATING, dtype_name, inexact, promote

e, euler_gamma, inf, nan, newaxis, pi = np.e, np.euler_gamma, np.inf, np.nan, None, np.pi
NoneSliceConst = slice(None)
__all__ = [
    "NoneSliceConst", "atleast_Nd", "concat_with_broadcast", "convolve", "convolve1d", "dense_dot", "e", "euler_gamma",
    "geomspace", "get_underlying_scalar_constant_value", "inf", "infer_static_shape", "interpolate1d", "ix_",
    "join_dims", "kn", "log1pexp", "matvec", "nan", "newaxis", "pack", "pi", "shape_tuple", "slice_at_axis",
    "specify_broadcastable", "split_dims", "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from",
    "unpack", "vecdot", "vecmat", "vectorize",
]

log1pexp = ew.softplus


def _typed(x: Expr, dtype: Any) -> Expr:
    return x if dtype is None else ew.cast(x, dtype_name(dtype))


# ---------------------------------------------------------------- products
def vecdot(x1: Any, x2: Any, dtype: Any = None) -> Expr:
    """The products of the vectors along the last axes, of which the first is conjugated (``numpy.vecdot``).

    >>> vecdot([[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0]).eval()
    array([21., 43.])
    """
    return _typed(numpy_more.vector_dot(x1, x2), dtype)


def matvec(x1: Any, x2: Any, dtype: Any = None) -> Expr:
    """The products of the matrices in the last two axes of ``x1`` with the vectors in the last of ``x2``.

    >>> matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0]).eval()
    array([21., 43.])
    """
    return _typed(matmul(x1, as_expr(x2)[..., None])[..., 0], dtype)


def vecmat(x1: Any, x2: Any, dtype: Any = None) -> Expr:
    """The products of the vectors in the last axis of ``x1``, conjugated, with the matrices in the last two of ``x2``.

    >>> vecmat([1.0, 10.0], [[1.0, 2.0], [3.0, 4.0]]).eval()
    array([31., 42.])
    """
    return _typed(matmul(ew.conj(as_expr(x1))[..., None, :], x2)[..., 0, :], dtype)


def dense_dot(a: Any, b: Any) -> Expr:
    """``dot`` of two arrays."""
    return dot(a, b)


def convolve1d(in1: Any, in2: Any, mode: str = "full") -> Expr:
    """The convolution of two vectors: 'full', 'valid' (where they overlap wholly) or 'same' (as long as ``in1``).

    Of arrays with more axes along the last one, the others broadcast. Raises FuseValueError for numbers and for another
    mode.

    >>> convolve1d([1.0, 2.0, 3.0], [1.0, 10.0]).eval()
    array([ 1., 12., 23., 30.])
    """
    from fuse.tensor.signal.conv import part_of_convolution, whole_convolution

    x, y = as_expr(in1), as_expr(in2)
    if not x.type.ndim or not y.type.ndim:
        raise FuseValueError("inputs to `convolve` must be 1-dim.")
    if x.type.ndim > 1 or y.type.ndim > 1:
        return vectorize(lambda a, b: convolve1d(a, b, mode), "(n),(m)->(k)")(x, y)
    if mode not in ("full", "valid", "same"):
        raise FuseValueError(f"mode must be one of 'full', 'valid' and 'same', not {mode!r}")
    return part_of_convolution(whole_convolution(x[None], y[None])[0], mode, x, y)


def convolve(a: Any, v: Any, mode: str = "full") -> Expr:
    """The convolution of two vectors as ``numpy.convolve``: with 'same' it is as long as the longer one.

    Raises FuseValueError for arrays with more axes, and where one of them is empty.

    >>> convolve([1.0], [1.0, 10.0, 100.0], "same").eval()
    array([  1.,  10., 100.])
    """
    x, y = atleast_nd(a, 1), atleast_nd(v, 1)
    for name, z in (("a", x), ("v", y)):
        if z.type.ndim > 1:
            raise FuseValueError(f"convolve takes vectors, {name} is a {z.type.describe()}: see convolve1d")
        x = required(x, [ew.gt(as_size_expr(sizes_of(z)[0]), 0)], f"{name} cannot be empty", "FuseValueError")
    if mode != "same":
        return convolve1d(x, y, mode)
    n, m = [sizes_of(z)[0] for z in (x, y)]
    return convolve1d(x, y)[size_floordiv(size_sub(size_min(n, m), 1), 2) :][: size_max(n, m)]


def kn(n: Any, x: Any) -> Expr:
    """The modified Bessel function of the second kind, of integer order.

    >>> round(float(kn(0, 1.0).eval()), 4)
    0.421
    """
    return kv(n, x)


# ---------------------------------------------------------------- constants and sizes
def get_underlying_scalar_constant_value(
    v: Any, *, elemwise: bool = True, only_process_constants: bool = False, max_recur: int = 10,
    raise_not_constant: bool = True,
) -> Any:
    """The value of an expression that is one constant number, as an array.

    Otherwise NotScalarConstantError, or ``v`` itself where ``raise_not_constant`` is false.

    >>> import fuse.tensor as T
    >>> get_underlying_scalar_constant_value(T.fill(T.dvector(), 2.0))
    array(2., dtype=float32)
    """
    try:
        return get_scalar_constant_value(v)
    except NotScalarConstantError:
        if raise_not_constant:
            raise
    return v


def infer_static_shape(shape: Any) -> tuple[list[Expr], tuple[int | None, ...]]:
    """The sizes as expressions, and as integers where they are known (else None).

    Raises FuseTypeError for a size that is no integer.

    >>> import fuse.tensor as T
    >>> infer_static_shape([2, T.lscalar("n")])[1]
    (2, None)
    """
    exprs = [as_expr(s) for s in (shape if isinstance(shape, (list, tuple)) else list(as_expr(shape)))]
    for s in exprs:
        if s.type.dtype not in DISCRETE or s.type.ndim:
            raise FuseTypeError(f"Shapes must be scalar integers; got {s}")
    return exprs, tuple([static_int(s) for s in exprs])


def broadcast_shape_exprs(*arrays: Any, arrays_are_shapes: bool = False, **_: Any) -> tuple[Expr, ...]:
    """The sizes to which arrays, or shapes, broadcast, each an expression.

    >>> [int(n.data) for n in broadcast_shape_exprs((2, 1), (3,), arrays_are_shapes=True)]
    [2, 3]
    """
    return tuple(map(as_size_expr, broadcast_shape(*arrays, arrays_are_shapes=arrays_are_shapes)))


def shape_tuple(x: Any) -> tuple[Expr, ...]:
    """The sizes of ``x``, each an expression.

    >>> import fuse.tensor as T
    >>> shape_tuple(T.tensor("float64", shape=(2, None)))[0].data
    array(2)
    """
    return tuple(map(as_size_expr, sizes_of(as_expr(x))))


# ---------------------------------------------------------------- axes
def atleast_Nd(arry: Any, *, n: int = 1, left: bool = True) -> Expr:
    """``arry`` with axes of size 1 added, in front or behind, until it has ``n``.

    >>> import fuse.tensor as T
    >>> atleast_Nd(T.dvector("v"), n=3, left=False).type.broadcastable
    (False, True, True)
    """
    return atleast_nd(arry, n, left)


def ix_(*args: Any) -> tuple[Expr, ...]:
    """Index vectors for every combination of their elements (``numpy.ix_``).

    Raises FuseValueError for what is no vector.

    >>> import fuse.tensor as T
    >>> T.constant([[1, 2, 3], [4, 5, 6]])[ix_([0, 1], [0, 2])].eval()
    array([[1, 3],
           [4, 6]])
    """
    vectors = list(map(as_expr, args))
    if any(v.type.ndim != 1 for v in vectors):
        raise FuseValueError("Cross index must be 1 dimensional")
    return tuple([v[(None,) * k + (slice(None),) + (None,) * (len(args) - 1 - k)] for k, v in enumerate(vectors)])


# ---------------------------------------------------------------- ranges and triangles
def geomspace(
    start: Any, stop: Any = None, num: Any = 50, base: Any = 10.0, endpoint: bool = True, dtype: Any = None,
    axis: int = 0, end: Any = None, steps: Any = None,
) -> Expr:
    """``num`` values from ``start`` to ``stop``, each the same multiple of the one before.

    >>> geomspace(1.0, 8.0, 4).eval().round(6)
    array([1., 2., 4., 8.])
    """
    given = [as_expr(start), as_expr(end if stop is None else stop), as_expr(base)]
    work = promote(*[inexact(x.type.dtype) for x in given], config.floatX)
    first, last, base = [ew.cast(x, work) for x in given]
    low, high = [ew.true_div(ew.log(x), ew.log(base)) for x in (first, last)]
    made = ew.pow(base, linspace(low, high, num if steps is None else steps, endpoint))
    return _typed(moveaxis(made, 0, axis) if axis else made, dtype)


def tril_indices(n: Any, k: Any = 0, m: Any = None) -> tuple[Expr, ...]:
    """The indices of the elements on and below the diagonal ``k`` of ``n`` rows and ``m`` columns.

    >>> [i.eval().tolist() for i in tril_indices(2)]
    [[0, 1, 1], [0, 0, 1]]
    """
    return tuple(nonzero(tri(n, m, k, dtype="bool")))


def triu_indices(n: Any, k: Any = 0, m: Any = None) -> tuple[Expr, ...]:
    """The indices of the elements on and above the diagonal ``k`` of ``n`` rows and ``m`` columns."""
    return tuple(nonzero(ew.sub(1, tri(n, m, as_size(k) - 1, dtype="int64"))))


def _matrix(a: Any) -> Expr:
    a = as_expr(a)
    if a.type.ndim != 2:
        raise FuseValueError("The input array must be two dimensional.")
    return a


def tril_indices_from(a: Any, k: Any = 0) -> tuple[Expr, ...]:
    """The indices of the elements of a matrix on and below its diagonal ``k``."""
    n, m = sizes_of(_matrix(a))
    return tril_indices(n, k, m)


def triu_indices_from(a: Any, k: Any = 0) -> tuple[Expr, ...]:
    """The indices of the elements of a matrix on and above its diagonal ``k``."""
    n, m = sizes_of(_matrix(a))
    return triu_indices(n, k, m)


# ---------------------------------------------------------------- functions
def vectorize(func: Callable[..., Any], signature: str | None = None) -> Callable[..., Any]:
    """The function ``func`` of few axes for expressions with more axes in front: ``fuse.vectorize``.

    Raises FuseTypeError where it is called with what is no expression.

    >>> import fuse.tensor as T
    >>> vectorize(lambda v: v / v.sum(), "(n)->(n)")(T.dmatrix("m")).eval({"m": [[1.0, 1.0], [1.0, 3.0]]})
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    from fuse.transforms.mapped import vectorize as mapped

    vectorized = mapped(func, signature=signature)

    def call(*args: Any) -> Any:
        for a in args:
            if not isinstance(a, Expr):
                raise FuseTypeError(f"Inputs to vectorize function must be TensorVariable, got {type(a)}")
        return vectorized(*args)

    return call


InterpolationMethod = Literal["linear", "nearest", "first", "last", "mean"]
valid_methods = get_args(InterpolationMethod)


def interpolate1d(
    x: Any, y: Any, method: InterpolationMethod = "linear", left_pad: Any = None, right_pad: Any = None,
    extrapolate: bool = True,
) -> Callable[[Any], Expr]:
    """The function between the points (``x``, ``y``), in any order, by
    'linear', 'nearest', 'first', 'last' or 'mean' values.

    Outside it goes on with ``extrapolate``, else it is ``left_pad`` and ``right_pad``, by default the end values.
    Raises FuseValueError for another method.

    >>> interpolate1d([0.0, 1.0, 2.0], [0.0, 10.0, 40.0])([0.5, 3.0]).eval()
    array([ 5., 70.])
    """
    if method not in valid_methods:
        raise FuseValueError(f"interpolate1d has no method {method!r}: linear, nearest, first, last or mean")
    xs, ys = as_expr(x), as_expr(y)
    if xs.type.ndim != 1 or ys.type.ndim != 1:
        raise FuseValueError("Inputs must be 1d")
    order = argsort(xs)
    xs, ys = xs[order], ys[order]

    def at(point: Any) -> Expr:
        p = as_expr(point)
        n = as_size_expr(sizes_of(xs)[0])
        right = ew.clip(searchsorted(xs, p, side="left"), 1, ew.sub(n, 1))
        x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
        made = {
            "linear": lambda: y0 + (y1 - y0) * ((p - x0) / (x1 - x0)),
            "nearest": lambda: ew.switch(ew.le(p - x0, x1 - p), y0, y1),
            "first": lambda: ew.switch(ew.gt(p, x1), y1, y0),
            "last": lambda: ew.switch(ew.le(p, x0), y0, y1),
            "mean": lambda: (y0 + y1) / 2,
        }[method]()
        if extrapolate:
            return made
        low, high = ys[0] if left_pad is None else left_pad, ys[-1] if right_pad is None else right_pad
        return ew.switch(ew.le(p, xs[0]), low, ew.switch(ew.gt(p, xs[-1]), high, made))

    return at


