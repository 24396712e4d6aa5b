"""The smaller functions of Theano's ``tensor.basic``: largest, smallest, default, cov, load, checks of arguments."""
from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.autodiff.absent import DisconnectedType, grad_not_implemented, grad_undefined
from fuse.errors import DTypeError, FuseIndexError, FuseTypeError, FuseValueError, MethodNotDefined, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.apply import Apply
from fuse.frontend.asserting import required
from fuse.frontend.axes import specify_shape
from fuse.frontend.class_op import Op
from fuse.frontend.join import concatenate, join
from fuse.frontend.layout import dimshuffle
from fuse.frontend.linalg import dot
from fuse.frontend.permutations import permute_row_elements
from fuse.frontend.shared import vector_length
from fuse.frontend.sizes import normalize_axes, sizes_of
from fuse.frontend.statistics import mean
from fuse.typebase import Type as Type
from fuse.types import COMPLEX, DISCRETE, FLOATING, INTEGER, TensorType, real_of

# Types by rank and kind, errors and limits that programs read from ``theano.tensor``.
_KINDS = {"int": [d for d in INTEGER if d[0] == "i"], "float": list(FLOATING), "complex": list(COMPLEX)}
_RANKS = {"scalar": 0, "vector": 1, "matrix": 2}
globals().update({
    f"{kind}_{rank}_types": [TensorType(dtype, (None,) * ndim) for dtype in dtypes]
    for kind, dtypes in _KINDS.items() for rank, ndim in _RANKS.items()
})
float16_rtol, float16_atol = 5e-2, 5e-3
float32_rtol, float32_atol = 1e-5, 1e-5
float64_rtol, float64_atol = 1e-5, 1e-8
AsTensorError, EmptyConstantError = FuseTypeError, FuseValueError
AdvancedIndexingError = AdvancedBooleanIndexingError = FuseIndexError
numpy_diagonal_return_view = True
isinf_, isnan_, join_ = ew.isinf, ew.isnan, join

__all__ = [
    "AdvancedBooleanIndexingError", "AdvancedIndexingError", "Apply", "AsTensorError", "DisconnectedType",
    "EmptyConstantError", "LoadFromDisk", "MethodNotDefined", "Op", "PermuteRowElements", "ShapeError", "Type",
    "as_index_variable", "as_int_none_variable", "check_and_normalize_axes", "cov", "default", "float16_atol",
    "float16_rtol", "float32_atol", "float32_rtol", "float64_atol", "float64_rtol", "get_vector_length",
    "grad_not_implemented", "grad_undefined", "is_flat", "isinf_", "isnan_", "join_", "largest", "load", "makeKeepDims",
    "numpy_diagonal_return_view", "numpy_scalar", "smallest", "tensor_copy", "transfer", "values_eq_approx_always_true",
    *[f"{kind}_{rank}_types" for kind in _KINDS for rank in _RANKS],
]


def check_and_normalize_axes(x: Any, axis: Any) -> list[int]:
    """``axis`` (None, an integer or several) as a list of axes from 0 on; AxisError for one that ``x`` has not.

    >>> import fuse.tensor as T
    >>> check_and_normalize_axes(T.tensor3(), -1)
    [2]
    """
    return [] if axis is None else list(normalize_axes(axis, as_expr(x).type.ndim))


def makeKeepDims(x: Any, y: Any, axis: Any) -> Expr:
    """``y``, a reduction of ``x`` over ``axis``, with these axes as axes of size 1.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> makeKeepDims(m, m.sum(axis=0), 0).type.shape
    (1, None)
    """
    x, y = as_expr(x), as_expr(y)
    gone = normalize_axes(axis, x.type.ndim)
    kept = iter(range(y.type.ndim))
    return dimshuffle(y, ["x" if a in gone else next(kept) for a in range(x.type.ndim)])


def numpy_scalar(data: Any) -> Any:
    """The one element of an array, as a NumPy scalar; FuseValueError where there is none.

    >>> float(numpy_scalar([2.5]))
    2.5
    """
    data = np.asarray(data)
    if data.size != 1:
        raise FuseValueError(f"one element is needed, not an array of shape {data.shape}")
    return data.reshape(())[()]


def transfer(var: Any, target: str = "cpu") -> Expr:
    """``var``: where its value lies is decided for whole functions."""
    return as_expr(var)


def PermuteRowElements() -> Any:
    """The function ``permute_row_elements``."""
    return permute_row_elements


def largest(*args: Any) -> Expr:
    """The larger of each pair of elements, or the largest of several.

    >>> largest([1, 5], [3, 4]).eval()
    array([3, 5])
    """
    return reduce(ew.maximum, map(as_expr, args))


def smallest(*args: Any) -> Expr:
    """The smaller of each pair of elements, or the smallest of several.

    >>> smallest([1, 5], [3, 4]).eval()
    array([1, 4])
    """
    return reduce(ew.minimum, map(as_expr, args))


def default(x: Any, default: Any) -> Any:
    """``x``, or ``default`` where there is no ``x`` (None).

    >>> default(None, 3).eval()
    array(3, dtype=int8)
    """
    return as_expr(default if x is None else x)


def tensor_copy(x: Any) -> Expr:
    """``x`` itself: expressions have no memory of their own to share."""
    return as_expr(x)


def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
        aweights: Any = None) -> Expr:
    """The covariances of variables, as ``numpy.cov`` gives them: rows are variables, columns observations.

    ``rowvar=False`` exchanges rows and columns; ``y`` holds further variables. Sums are divided by the number of
    observations less ``ddof`` (1, or 0 with ``bias``). ``fweights`` says how often each observation was made,
    ``aweights`` how much each counts.
    Raises ShapeError for ranks above 2 and weights that are no vectors; weights below 0, and ``fweights`` that are no
    integers, are errors of the call.

    >>> cov([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]).eval()
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    if ddof is not None and ddof != int(ddof):
        raise FuseValueError(f"ddof is an integer, not {ddof!r}")
    parts = []
    for value in (m, y):
        if value is None:
            continue
        x = as_expr(value)
        if x.type.ndim > 2:
            raise ShapeError(f"cov takes vectors and matrices, not a {x.type.describe()}")
        if x.type.ndim < 2:
            x = dimshuffle(x, ["x", 0] if x.type.ndim else ["x", "x"])
        elif not rowvar and x.type.shape[0] != 1:
            x = dimshuffle(x, 1, 0)
        parts.append(ew.cast(x, "float64") if x.type.dtype in DISCRETE else x)
    x = parts[0] if len(parts) == 1 else concatenate(parts, axis=0)
    less = ddof if ddof is not None else 0 if bias else 1
    weights = [as_expr(w) for w in (fweights, aweights) if w is not None]
    if any(w.type.ndim != 1 for w in weights):
        raise ShapeError("the weights of cov are vectors, with one weight for each observation")
    if fweights is not None:
        whole = ew.eq(weights[0], ew.floor(weights[0])).all()
        weights[0] = required(weights[0], [whole], "the fweights of cov are integers", "FuseTypeError")
    if weights:
        text = "the weights of cov are not negative"
        weights = [required(w, [ew.ge(w, 0).all()], text, "FuseValueError") for w in weights]
        weights = [specify_shape(w, [sizes_of(x)[1]]) for w in weights]  # one for all would count once
        w = ew.mul(*weights) if len(weights) == 2 else weights[0]
        total = w.sum()
        x = ew.sub(x, ew.true_div(ew.mul(x, w).sum(axis=1, keepdims=True), total))
        lost = less if aweights is None else ew.true_div(ew.mul(less, ew.mul(w, weights[-1]).sum()), total)
        weighted = ew.mul(x, w)
    else:
        x = weighted = ew.sub(x, mean(x, axis=1, keepdims=True))
        total, lost = x.shape[1], less
    count = ew.cast(ew.maximum(ew.sub(total, lost), 0), real_of(x.type.dtype))  # 0, as in NumPy, is no negative number
    out = ew.true_div(dot(weighted, dimshuffle(ew.conj(x), 1, 0)), count)
    return out if out.type.shape != (1, 1) else dimshuffle(out, [])


def get_vector_length(v: Any) -> int:
    """The length of a vector, where it is known while the graph is built; else FuseValueError.

    A shared variable's is that of the value it has now.

    >>> get_vector_length([1, 2, 3])
    3
    """
    v = as_expr(v)
    if v.type.ndim != 1:
        raise ShapeError(f"get_vector_length takes a vector, not a {v.type.describe()}")
    length = vector_length(v)
    if length is None:
        raise FuseValueError(f"Length of {v} cannot be determined: it is not known while the graph is built")
    return length


def is_flat(var: Any, ndim: int | None = None, outdim: int | None = None) -> bool:
    """Whether ``var`` has ``outdim`` (1) dimensions.

    >>> is_flat([1, 2])
    True
    """
    return as_expr(var).type.ndim == (outdim or ndim or 1)


def as_index_variable(idx: Any) -> Any:
    """``idx`` as something to index with: slices and None as they are, the rest as integer or bool expressions.

    Raises FuseTypeError for what is no index.
    """
    if idx is None or isinstance(idx, slice):
        return idx
    found = as_expr(idx)
    if found.type.dtype not in INTEGER and found.type.dtype != "bool":
        raise FuseTypeError(f"indices are integers or bools, not {found.type.dtype}")
    return found


def as_int_none_variable(x: Any) -> Expr | None:
    """``x`` as an integer expression, or None.

    Raises FuseTypeError for what is no integer.
    """
    if x is None:
        return None
    found = as_expr(x)
    if found.type.dtype not in INTEGER:
        raise FuseTypeError(f"an integer is needed, not a {found.type.describe()}")
    return found


def values_eq_approx_always_true(a: Any, b: Any) -> bool:
    """True: for results that cannot be compared."""
    return True


class LoadFromDisk(Op):
    """Reads an ``.npy`` file each time that the function runs."""

    __props__ = ("dtype", "shape", "mmap_mode")

    def __init__(self, dtype: str, shape: Any, mmap_mode: str | None = None) -> None:
        self.dtype, self.mmap_mode = dtype, mmap_mode
        self.shape = TensorType(dtype, shape).shape
        if mmap_mode not in (None, "c"):
            raise FuseValueError(f"mmap_mode is None or 'c', which changes no file, not {mmap_mode!r}")

    def make_node(self, path: Any) -> Apply:
        if not isinstance(path, Expr):
            from fuse.gof.type import generic

            path = generic.make_constant(str(path))
        return Apply(self, [path], [TensorType(self.dtype, self.shape)()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        value = np.load(inputs[0], mmap_mode=self.mmap_mode)  # type: ignore[arg-type]
        if value.dtype.name != self.dtype:
            raise DTypeError(f"the file {inputs[0]} holds {value.dtype}, not {self.dtype} as load() was told")
        fits = value.ndim == len(self.shape)
        if not fits or any(n is not None and n != m for n, m in zip(self.shape, value.shape, strict=True)):
            raise ShapeError(f"the file {inputs[0]} holds an array of shape {value.shape}, not {self.shape}")
        output_storage[0][0] = np.asarray(value)


@also(broadcastable="shape")
def load(path: Any, dtype: str, shape: Any, mmap_mode: str | None = None) -> Expr:
    """The array of an ``.npy`` file, read when the function runs; DTypeError or ShapeError there for another one.

    ``path`` is a string or a variable of the type ``generic``, ``shape`` a broadcast pattern or the sizes that are
    known. Raises FuseValueError for a ``mmap_mode`` with which the file could change.

    >>> load("numbers.npy", "float64", (False,)).type
    TensorType(float64, vector)
    """
    return LoadFromDisk(dtype, tuple(shape), mmap_mode)(path)
