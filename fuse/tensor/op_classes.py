"""Theano's classes of ops: to ask ``isinstance(node.op, Dot)``, and to call as programs do, ``Dot()(x, y)``.

A class stands for the records of ops that mean the same. What it makes is the public function with the class's
parameters filled in.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, LeafOp, as_expr
from fuse.frontend import (
    axes,
    creation,
    decompositions,
    extra_ops,
    indexing,
    join,
    layout,
    linalg,
    nonzero,
    ranking,
    rearrange,
    reductions,
    scans,
    selecting,
    signal_windows,
    sizes,
    sorting,
    statistics,
    systems,
)
from fuse.frontend import elementwise as ew
from fuse.frontend.class_op import Op as ClassOp
from fuse.op import Op


class OpClass(type):
    """A class whose instances are the op records that its ``has`` accepts, and those that its call makes."""

    has: Callable[[Any], bool]
    build: Callable[..., Any]

    def __new__(mcs, name: str, bases: tuple[Any, ...], namespace: dict[str, Any]) -> Any:
        """A subclass with a ``perform`` of its own is an op of the user's; with a gradient alone there is none."""
        if "perform" in namespace:
            real = dict.fromkeys([ClassOp if isinstance(b, OpClass) else b for b in bases])
            return type(name, tuple(real), namespace)
        if own := {"grad", "L_op", "R_op", "pullback", "pushforward"} & set(namespace):
            raise FuseTypeError(
                f"{name}.{min(own)} would not be asked, as {bases[0].__name__} has a gradient: write make_node and "
                "perform too, or OpFromGraph(inputs, [output], grad_overrides=...)"
            )
        return super().__new__(mcs, name, bases, namespace)

    def __instancecheck__(cls, op: Any) -> bool:
        if isinstance(op, (Op, LeafOp)):
            return bool(cls.has(op))
        return cls in type(op).__mro__ or cls is Elemwise and hasattr(type(op), "impl")  # a user's own op on scalars


class WithParameters(metaclass=OpClass):
    """An op of a class with its parameters: a function of expressions that has the parameters as attributes."""

    has = staticmethod(lambda op: False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        build = type(self).build
        bound = inspect.signature(build).bind(*args, **kwargs)
        bound.apply_defaults()
        self.__dict__.update(bound.arguments)
        self._key = args, tuple(sorted(kwargs.items()))
        self._function = build(*args, **kwargs)

    def __call__(self, *inputs: Any, return_list: bool = False, name: str | None = None, **kwargs: Any) -> Any:
        found = self._function(*inputs, **kwargs)
        if name is not None:
            (found[0] if isinstance(found, (list, tuple)) else found).name = name
        return [found] if return_list and not isinstance(found, (list, tuple)) else found

    def make_node(self, *inputs: Any) -> Any:
        """The application to ``inputs``, with its ``outputs``."""
        return self(*inputs, return_list=True)[0].owner

    def __getattr__(self, name: str) -> Any:  # what the function behind it has, such as its record
        if name.startswith("__") or name == "_function":
            raise AttributeError(name)
        return getattr(self._function, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key == other._key

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        args, kwargs = self._key
        return f"{type(self).__name__}({', '.join([*map(repr, args), *[f'{k}={v!r}' for k, v in kwargs]])})"


def op_class(name: str, ops: str | Callable[[Any], bool], build: Callable[..., Any], doc: str = "") -> OpClass:
    """The class ``name`` of the records with these names; called, it gives what ``build`` makes of its parameters.

    >>> import fuse.tensor as T
    >>> Product = op_class("Product", "dot", lambda: T.dot)
    >>> x = T.dvector("x")
    >>> isinstance(Product()(x, x).owner.op, Product)
    True
    """
    names = frozenset(ops.split()) if isinstance(ops, str) else frozenset()
    has = ops if callable(ops) else lambda op: op.name in names
    doc = doc or f"The op {ops}." if isinstance(ops, str) else doc
    return OpClass(name, (WithParameters,), {"has": staticmethod(has), "build": staticmethod(build), "__doc__": doc,
                              "__module__": __name__})


def plain_builder(function: Callable[..., Any]) -> Callable[..., Any]:
    """The builder of a class without parameters of importance: ``Class(...)(*args)`` is ``function(*args)``."""
    return lambda *params, **named: function


def plain_classes(names: Mapping[str, str], functions: Mapping[str, Any]) -> dict[str, OpClass]:
    """A class without parameters for each op: ``names`` gives the op by class, ``functions`` what a call makes."""
    return {name: op_class(name, op, plain_builder(functions[op])) for name, op in names.items()}


def _split(splits: int) -> Callable[..., Any]:
    return lambda x, axis, sizes: join.split(x, sizes, splits, axis)


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def build(
        axis: Any = None, dtype: Any = None, acc_dtype: Any = None, no_zeros_in_input: bool = False
    ) -> Callable[[Any], Expr]:
        named = {k: v for k, v in {"dtype": dtype, "acc_dtype": acc_dtype}.items() if v is not None}
        return partial(function, axis=axis, **named)

    return build


def _rebroadcast(*pairs: Any) -> Callable[[Any], Expr]:
    def build(x: Any) -> Expr:
        x = as_expr(x)
        one = [axis for axis, broadcast in pairs if broadcast]
        x = axes.addbroadcast(x, *one) if one else x
        more = [axis for axis, broadcast in pairs if not broadcast]
        return axes.unbroadcast(x, *more) if more else x

    return build


def _dimshuffle(
    input_broadcastable: Any = None, new_order: Any = (), inplace: bool = True, *, input_ndim: int | None = None
) -> Callable[[Any], Expr]:
    if input_broadcastable is None:  # PyTensor says how many axes there are
        if isinstance(input_ndim, bool) or not isinstance(input_ndim, int):
            raise FuseTypeError(f"input_ndim must be an integer, not {input_ndim!r}")
        input_broadcastable = [True] * input_ndim
    lost = [a for a, one in enumerate(input_broadcastable) if not one and a not in list(new_order)]
    if lost:
        raise FuseValueError(f"DimShuffle drops axes of size 1 only, not axis {lost[0]}")
    kept = [a for a in new_order if a != "x"]
    if len(set(kept)) < len(kept):
        raise FuseValueError(f"an axis may not appear twice in a DimShuffle: {list(new_order)}")
    return lambda x: layout.dimshuffle(as_expr(x), *new_order)


def _on_diagonal(offset: int, axis1: int, axis2: int, x: Any) -> Expr:
    """Zeros with the last axis of ``x`` on the diagonal ``offset`` of ``axis1`` and ``axis2``."""
    x = as_expr(x)
    *outer, n = sizes.sizes_of(x)
    side = sizes.size_add(n, abs(offset))
    rows, columns = max(-offset, 0), max(offset, 0)
    place = layout.iota(n)
    start = creation.zeros((*outer, side, side), dtype=x.type.dtype)
    full = indexing.set_subtensor(start[..., ew.add(place, rows), ew.add(place, columns)], x)
    rank, order = full.type.ndim, list(range(full.type.ndim - 2))
    for axis, d in sorted([(axis1 % rank, rank - 2), (axis2 % rank, rank - 1)]):
        order.insert(axis, d)
    return layout.dimshuffle(full, order)


def _in_slices(op: Any) -> bool:
    return op.name in ("set_subtensor", "inc_subtensor")


Elemwise = op_class(
    "Elemwise", lambda op: op.kind == "elementwise", lambda scalar_op, *_, **__: scalar_op,
    """Ops that work element by element; called with a scalar op, that op on arrays.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> isinstance((x + 1).owner.op, Elemwise), isinstance(x.sum().owner.op, Elemwise)
    (True, False)
    """,
)
CAReduce = op_class(
    "CAReduce", lambda op: op.kind == "reduction", lambda scalar_op, axis=None: partial(_reduce, scalar_op, axis),
    """Reductions: sum, prod, max, min, all, any; called with a scalar op and axes, the reduction in its own dtype.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> isinstance(x.sum().owner.op, CAReduce), isinstance((x + 1).owner.op, CAReduce)
    (True, False)
    """,
)
_REDUCTIONS = {
    "add": reductions.sum, "mul": reductions.prod, "maximum": reductions.max, "minimum": reductions.min,
    "and_": reductions.all, "or_": reductions.any,
}


def _reduce(scalar_op: Any, axis: Any, x: Any, **dtypes: Any) -> Expr:
    record = getattr(scalar_op, "op", scalar_op)
    name: Any = getattr(record, "name", None) or getattr(record, "__name__", "")
    function: Any = _REDUCTIONS.get(name)
    if function is None:
        raise TypeError(f"CAReduce reduces with add, mul, maximum, minimum, and_ or or_, not with {scalar_op}")
    x = as_expr(x)
    if name in ("and_", "or_") and x.type.dtype != "bool":
        raise TypeError(
            f"{name} over an axis of {x.type.dtype} would join the bits of its numbers: no such reduction exists; for "
            "truth values write all() or any(), for bits a fuse.reduce with & or |"
        )
    if name not in ("add", "mul"):
        return function(x, axis=axis)
    return function(x, axis=axis, **dtypes) if dtypes else ew.cast(function(x, axis=axis), x.type.dtype)


CAReduceDtype = op_class(
    "CAReduceDtype", CAReduce.has, lambda scalar_op, axis=None, dtype=None, acc_dtype=None: partial(
        _reduce, scalar_op, axis, dtype=dtype, acc_dtype=acc_dtype
    ), "Reductions whose dtype is given, or is that of sum and prod.",
)
DimShuffle = op_class("DimShuffle", "dimshuffle", _dimshuffle, "The op that orders, inserts and drops axes.")
Sum = op_class("Sum", "sum", _reduced(reductions.sum))
Prod = op_class("Prod", "prod", _reduced(reductions.prod))
ProdWithoutZeros = op_class(
    "ProdWithoutZeros", lambda op: False, lambda axis=None, dtype=None, acc_dtype=None: lambda x: (
        _reduced(reductions.prod)(axis, dtype, acc_dtype)(ew.switch(ew.eq(x, 0), ew.cast(1, as_expr(x).type.dtype), x))
    ), "The product of what is not 0: a switch and a product here.",
)
Mean = op_class("Mean", "true_div", _reduced(statistics.mean), "The mean: a sum divided by a number.")
All = op_class("All", "all", lambda axis=None: partial(reductions.all, axis=axis))
Any_ = op_class("Any", "any", lambda axis=None: partial(reductions.any, axis=axis))
MaxAndArgmax = op_class(
    "MaxAndArgmax", "argmax", lambda axis=None: partial(scans.max_and_argmax, axis=axis)
)
Argmax = op_class("Argmax", "argmax", lambda axis=None: partial(scans.argmax, axis=axis))

Max = op_class("Max", "max", lambda axis=None: partial(reductions.max, axis=axis))
Min = op_class("Min", "min", lambda axis=None: partial(reductions.min, axis=axis))
Dot = op_class("Dot", "dot", plain_builder(linalg.dot))
MatMul = op_class("MatMul", "matmul", lambda dtype=None: linalg.matmul)
BatchedDot = op_class("BatchedDot", "batched_dot", plain_builder(linalg.batched_dot))
Join = op_class("Join", "join", plain_builder(join.join))
Split = op_class("Split", "subtensor", _split)
Reshape = op_class(
    "Reshape", "reshape", lambda ndim, name=None: lambda x, shape: layout.reshape(x, shape, ndim=ndim)
)
Flatten = op_class("Flatten", "reshape", lambda outdim=1: partial(axes.flatten, ndim=outdim))
Rebroadcast = op_class("Rebroadcast", "rebroadcast unbroadcast", _rebroadcast)
Unbroadcast = op_class("Unbroadcast", "rebroadcast unbroadcast", lambda *at: lambda x: axes.unbroadcast(x, *at))
SpecifyShape = op_class("SpecifyShape", "specify_shape", plain_builder(axes.specify_shape))
Shape = op_class("Shape", "shape make_vector", plain_builder(sizes.shape))
Shape_i = op_class("Shape_i", "shape_i", lambda i: lambda x: sizes.shape_i(x, i))
MakeVector = op_class(
    "MakeVector", "make_vector", lambda dtype="int64": lambda *items: ew.cast(sizes.make_vector(*items), dtype)
)
Alloc = op_class("Alloc", "broadcast_to", plain_builder(creation.alloc))
AllocEmpty = op_class(
    "AllocEmpty", "broadcast_to", lambda dtype: lambda *shape: creation.zeros(shape, dtype=dtype),
    "An array to be filled: zeros here.",
)
ARange = op_class("ARange", "iota", lambda dtype=None: partial(creation.arange, dtype=dtype))
Eye = op_class("Eye", "cast", lambda dtype=None: lambda n, m, k: creation.eye(n, m, k, dtype=dtype))
Tri = op_class("Tri", "cast", lambda dtype=None: lambda n, m, k: creation.tri(n, m, k, dtype=dtype))
Tile = op_class("Tile", "reshape", lambda ndim: lambda x, reps: rearrange.tile(x, reps, ndim=ndim))
Nonzero = op_class("Nonzero", "nonzero", lambda: partial(nonzero.nonzero, return_matrix=False))
Choose = op_class("Choose", "gather", lambda mode="raise": lambda a, choices: selecting.choose(a, choices, mode=mode))
ExtractDiag = op_class(
    "ExtractDiag", "diagonal",
    lambda offset=0, axis1=0, axis2=1, view=False: lambda x: layout.diagonal(x, offset, axis1, axis2),
)
AllocDiag = op_class("AllocDiag", "set_gather inc_gather", lambda offset=0, axis1=0, axis2=1: partial(
    _on_diagonal, offset, axis1, axis2
))
ScalarFromTensor = op_class("ScalarFromTensor", "", plain_builder(as_expr), "Scalars are 0-d tensors: no op here.")
TensorFromScalar = op_class("TensorFromScalar", "", plain_builder(as_expr), "Scalars are 0-d tensors: no op here.")

Subtensor = op_class("Subtensor", "subtensor", lambda idx_list: lambda x, *args: as_expr(x)[tuple(idx_list)])
AdvancedSubtensor = op_class("AdvancedSubtensor", "gather", lambda: lambda x, *at: as_expr(x)[at])
AdvancedSubtensor1 = op_class("AdvancedSubtensor1", "gather", lambda: lambda x, at: as_expr(x)[at])
AdvancedBooleanSubtensor = op_class("AdvancedBooleanSubtensor", "gather nonzero", lambda: lambda x, *at: as_expr(x)[at])
IncSubtensor = op_class(
    "IncSubtensor", _in_slices, lambda idx_list, inplace=False, set_instead_of_inc=False, **_: lambda x, y, *args: (
        (indexing.set_subtensor if set_instead_of_inc else indexing.inc_subtensor)(as_expr(x)[tuple(idx_list)], y)
    ), "The ops set_subtensor and inc_subtensor.",
)


def _stores(inplace: bool = False, set_instead_of_inc: bool = False) -> Callable[..., Expr]:
    store = indexing.set_subtensor if set_instead_of_inc else indexing.inc_subtensor
    return lambda x, y, *at: store(as_expr(x)[at if len(at) > 1 else at[0]], y)


AdvancedIncSubtensor = op_class("AdvancedIncSubtensor", "set_gather inc_gather", _stores)
AdvancedIncSubtensor1 = op_class("AdvancedIncSubtensor1", "set_gather inc_gather", _stores)
AdvancedBooleanIncSubtensor = op_class("AdvancedBooleanIncSubtensor", "set_gather inc_gather", _stores)
BaseAdvancedSubtensor, BaseAdvancedIncSubtensor = AdvancedSubtensor, AdvancedIncSubtensor

CumOp = op_class(
    "CumOp", "cumsum cumprod", lambda axis=None, mode="add": partial(
        {"add": scans.cumsum, "mul": scans.cumprod}[mode], axis=axis
    ),
)
DiffOp = op_class("DiffOp", "sub", lambda n=1, axis=-1: partial(extra_ops.diff, n=n, axis=axis))
RepeatOp = op_class("RepeatOp", "gather", lambda axis=None: partial(rearrange.repeat, axis=axis))
FillDiagonal = op_class("FillDiagonal", "switch", plain_builder(extra_ops.fill_diagonal))
FillDiagonalOffset = op_class("FillDiagonalOffset", "switch", plain_builder(extra_ops.fill_diagonal_offset))
SearchsortedOp = op_class(
    "SearchsortedOp", "searchsorted", lambda side="left": partial(selecting.searchsorted, side=side)
)
Bartlett = op_class("Bartlett", "bartlett", plain_builder(signal_windows.bartlett))
RavelMultiIndex = op_class(
    "RavelMultiIndex", "ravel_multi_index",
    lambda mode="raise", order="C": lambda *at: extra_ops.ravel_multi_index(at[:-1], at[-1], mode, order),
)
UnravelIndex = op_class(
    "UnravelIndex", "unravel_index", lambda order="C": partial(extra_ops.unravel_index, order=order)
)
Unique = op_class(
    "Unique", "unique", lambda return_index=False, return_inverse=False, return_counts=False, axis=None: partial(
        sorting.unique, return_index=return_index, return_inverse=return_inverse, return_counts=return_counts, axis=axis
    ),
)
SortOp = op_class("SortOp", "sort", lambda kind=None, order=None: sorting.sort)
ArgSortOp = op_class("ArgSortOp", "argsort", lambda kind=None, order=None: sorting.argsort)
TopKOp = op_class("TopKOp", "argsort", plain_builder(ranking.topk))

MatrixInverse = op_class("MatrixInverse", "matrix_inverse", plain_builder(decompositions.matrix_inverse))
Det = op_class("Det", "det", plain_builder(decompositions.det))
Cholesky = op_class(
    "Cholesky", "cholesky", lambda lower=True, on_error="raise", **_: partial(
        decompositions.cholesky, lower=lower, on_error=on_error
    ),
)
Solve = op_class(
    "Solve", "solve solve_triangular",
    lambda A_structure="general", lower=False, overwrite_A=False, overwrite_b=False, assume_a=None, **_: partial(
        _solved, _structure(assume_a) if assume_a else A_structure
    ),
)


def _structure(assume_a: str) -> str:
    """Theano's name for what SciPy says of a matrix."""
    known = {"gen": "general", "sym": "symmetric", "her": "symmetric", "pos": "symmetric"}
    if assume_a not in known:
        raise FuseValueError(f"{assume_a!r} is not a recognized matrix structure: {', '.join(known)}")
    return known[assume_a]


def _solved(structure: str, a: Any, b: Any) -> Expr:
    if structure in ("lower_triangular", "upper_triangular"):
        return systems.solve_triangular(a, b, lower=structure == "lower_triangular")
    if structure not in ("general", "symmetric"):
        raise ValueError(f"Invalid matrix structure argument: {structure!r}")
    return systems.solve(a, b)


__all__ = [
    "ARange", "AdvancedBooleanIncSubtensor", "AdvancedBooleanSubtensor", "AdvancedIncSubtensor",
    "AdvancedIncSubtensor1", "AdvancedSubtensor", "AdvancedSubtensor1", "All", "Alloc", "AllocDiag", "AllocEmpty",
    "ArgSortOp", "Argmax", "Bartlett", "BaseAdvancedIncSubtensor", "BaseAdvancedSubtensor", "BatchedDot", "CAReduce",
    "CAReduceDtype", "Cholesky", "Choose", "CumOp", "Det", "DiffOp", "DimShuffle", "Dot", "Elemwise", "ExtractDiag",
    "Eye", "FillDiagonal", "FillDiagonalOffset", "Flatten", "IncSubtensor", "Join", "MakeVector", "MatMul",
    "MatrixInverse", "Max", "MaxAndArgmax", "Mean", "Min", "Nonzero", "Prod", "ProdWithoutZeros", "RavelMultiIndex",
    "Rebroadcast", "RepeatOp", "Reshape", "ScalarFromTensor", "SearchsortedOp", "Shape", "Shape_i", "Solve", "SortOp",
    "SpecifyShape", "Split", "Subtensor", "Sum", "TensorFromScalar", "Tile", "TopKOp", "Tri", "Unbroadcast", "Unique",
    "UnravelIndex",
]
