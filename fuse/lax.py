"""Loops, choices and slices of functions by JAX's names and arguments: of arrays, and in traces.

Where arguments hold expressions, or functions read some from outside, results are expressions; else the function is
compiled and called at once, as transforms are.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index as as_index
from typing import Any

import numpy as np

from fuse import tree
from fuse.autodiff.stop import stop_gradient
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import creation
from fuse.frontend import elementwise as ew
from fuse.frontend.at import At
from fuse.frontend.axes import specify_shape
from fuse.frontend.sizes import as_size_expr, normalize_axis, sizes_of
from fuse.ifelse import ifelse
from fuse.scan_module import loop
from fuse.scan_module import while_loop as while_loop_of_expressions
from fuse.trace import tracing
from fuse.transforms.tracing import PYTHON, Jitted
from fuse.types import DISCRETE, INTEGER

Function = Callable[..., Any]


def _called(build: Function, name: str, *args: Any) -> Any:
    """``build`` of these arguments: compiled and called where they are arrays, else an expression."""
    return Jitted(build, eager=True, name=name)(*args)


def _function(f: Any, name: str) -> Function:
    if not callable(f):
        raise FuseTypeError(f"{name} takes a function, not {type(f).__name__} {f!r:.60}")
    return f


def _integers(name: str, *values: Any) -> list[Any]:
    """Indices and bounds, which are integers: others would be rounded towards 0."""
    for value in values:
        dtype = value.type.dtype if isinstance(value, Expr) else np.asarray(value).dtype.name
        if dtype not in DISCRETE:
            raise FuseTypeError(f"{name} takes integers for its places, not {dtype}: cast them first")
    return list(values)


# ---------------------------------------------------------------- loops
def scan(
    f: Function, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for each ``x`` along the first axes of ``xs``: (last carry, all ``y``, stacked).

    ``reverse``: from the last ``x`` to the first, each ``y`` at the place of its ``x``. ``unroll`` changes nothing: the
    loop is one compiled loop. See ``fuse.loop``. Raises FuseValueError for sequences that differ in length, while a
    trace is called SpecifiedShapeError.

    >>> scan(lambda total, x: (total + x, total), 0.0, np.array([1.0, 2.0, 3.0]), reverse=True)
    (array(6.), array([5., 3., 0.]))
    """
    _function(f, "scan")
    sizes = [(sizes_of(x) if isinstance(x, Expr) else np.shape(x))[:1] for x in tree.leaves(xs)]
    if () in sizes:
        raise FuseTypeError("scan walks along the first axes of its sequences, which a number does not have")
    lengths = {n for n in [*[n for n, in sizes], length] if isinstance(n, int)}
    if len(lengths) > 1:
        raise FuseValueError(f"the sequences and the length of scan are of one length, not {sorted(lengths)}")

    def build(init: Any, xs: Any) -> Any:
        count = length if length is not None else next((sizes_of(as_expr(x))[0] for x in tree.leaves(xs)), None)

        def walked(x: Any) -> Expr:
            x = as_expr(x)
            x = x if sizes_of(x)[0] is count else specify_shape(x, [count, *[None] * (x.type.ndim - 1)])
            return x[::-1] if reverse else x

        given = tree.map(walked, xs)
        last, ys = loop(f, init, given, n_steps=None if tree.leaves(given) else length)
        return last, tree.map(lambda y: y[::-1], ys) if reverse else ys

    return _called(build, "scan", init, xs)


def map(f: Function, xs: Any) -> Any:
    """``f(x)`` for each ``x`` along the first axes of ``xs``, one after the other, stacked; ``fuse.vmap`` is faster.

    >>> map(lambda x: x[0] * x[1], np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([ 2., 12.])
    """
    _function(f, "map")
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Any) -> Any:
    """The carry after ``carry = body_fun(i, carry)`` for ``i`` from ``lower`` to ``upper - 1``.

    Between bounds that are Python's integers ``i`` gives a carry of integers no wider dtype, as such integers do not.

    >>> fori_loop(0, 5, lambda i, total: total + i, 0)
    array(10)
    """
    _function(body_fun, "fori_loop")

    def build(lower: Any, upper: Any, init: Any) -> Any:
        places = creation.arange(lower, upper, dtype="int64")
        return loop(lambda carry, i: (step(i, carry), None), init, places)[0]

    step = _with_weak_counter(body_fun) if type(lower) is type(upper) is int else body_fun
    return _called(build, "fori_loop", *_integers("fori_loop", lower, upper), init_val)


def _with_weak_counter(body: Function) -> Function:
    """``body`` whose integers are as wide as the carry's where only the counter widens them."""

    def step(i: Expr, carry: Any) -> Any:
        new, structure = tree.flatten(body(i, carry))
        old = tree.leaves(carry)
        by_dtype: dict[str, list[Any]] = {}  # what the body makes of a counter of that dtype
        for k, (a, b) in enumerate(zip(old, new, strict=False)):
            dtype = a.type.dtype
            if isinstance(b, Expr) and b.type.dtype != dtype and {dtype, b.type.dtype} <= set(INTEGER):
                if dtype not in by_dtype:
                    by_dtype[dtype] = tree.leaves(body(ew.cast(i, dtype), carry))
                new[k] = ew.cast(b, dtype) if as_expr(by_dtype[dtype][k]).type.dtype == dtype else b
        return tree.unflatten(structure, new)

    return step


def while_loop(cond_fun: Function, body_fun: Function, init_val: Any) -> Any:
    """The carry after ``carry = body_fun(carry)`` as long as ``cond_fun(carry)`` is true; gradients go through it.

    >>> while_loop(lambda x: x < 100.0, lambda x: x * x, 3.0)
    array(6561.)
    """
    _function(cond_fun, "while_loop")
    _function(body_fun, "while_loop")
    return _called(lambda init: while_loop_of_expressions(cond_fun, body_fun, init), "while_loop", init_val)


# ---------------------------------------------------------------- choices
def cond(pred: Any, true_fun: Function, false_fun: Function, *operands: Any) -> Any:
    """``true_fun(*operands)`` where the scalar ``pred`` is true, else ``false_fun(*operands)``; only one is computed.

    Raises FuseTypeError where the two do not return trees of one structure.

    >>> import fuse
    >>> f = fuse.jit(lambda x: cond(x > 0, np.log, lambda x: x - 1.0, x))
    >>> float(f(1.0)), float(f(-1.0))
    (0.0, -2.0)
    """
    functions = [_function(false_fun, "cond"), _function(true_fun, "cond")]
    return switch(ew.neq(pred, 0) if isinstance(pred, Expr) else bool(pred), functions, *operands)


def switch(index: Any, branches: Sequence[Function], *operands: Any) -> Any:
    """The function at place ``index`` of ``branches``, called with ``operands``; only that one is computed.

    An index below 0 is the first, one above the last.

    >>> [int(switch(i, [lambda x: x + 1, lambda x: 10 * x], 5)) for i in (0, 1, 7)]
    [6, 50, 50]
    """
    functions = [_function(f, "switch") for f in branches]
    if not functions:
        raise FuseValueError("switch takes one function or more")
    _integers("switch", index)
    if not isinstance(index, Expr):
        return functions[min(max(as_index(np.asarray(index).astype("int64")), 0), len(functions) - 1)](*operands)
    with tracing():
        leaves, structures = zip(*[tree.flatten(f(*operands)) for f in functions], strict=True)
    if any(s != structures[0] for s in structures):
        found = " and ".join([str(s) for s in structures])
        raise FuseTypeError(f"the functions return trees of one structure, not {found}")
    place = ew.cast(index, "int64")
    rows = [_alike(row) for row in zip(*leaves, strict=True)]
    return tree.unflatten(structures[0], [_chosen(place, row) for row in rows])


def _alike(values: Sequence[Any]) -> list[Expr]:
    """Expressions of one dtype, as NumPy promotes: Python's numbers have none of their own beside others."""
    kinds = [v if type(v) in PYTHON else as_expr(v).type.dtype for v in values]
    return [ew.cast(as_expr(v), np.result_type(*kinds).name) for v in values]


def _chosen(place: Expr, values: Sequence[Expr]) -> Expr:
    found = values[-1]
    for i in range(len(values) - 2, -1, -1):
        found = ifelse(ew.le(place, i), values[i], found)
    return found


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Elements of ``on_true`` where ``pred`` is true, else those of ``on_false``: ``numpy.where``.

    >>> select(np.array([True, False]), np.array([1, 2]), np.array([10, 20]))
    array([ 1, 20])
    """
    return np.where(pred, on_true, on_false)


# ---------------------------------------------------------------- slices of known sizes at places that are not known
def _places(x: Expr, starts: Sequence[Any], sizes: Sequence[Any]) -> tuple[Expr, ...]:
    """For each axis the indices of the slice, which is moved into the array where it would leave it."""
    if not x.type.ndim == len(starts) == len(sizes):
        raise FuseTypeError(f"a slice of a {x.type.describe()} has a start and a size for each axis")
    found = []
    for axis, (start, size, whole) in enumerate(zip(starts, sizes, sizes_of(x), strict=True)):
        first = ew.cast(as_expr(start), "int64")
        first = ew.switch(ew.lt(first, 0), ew.add(first, as_size_expr(whole)), first)
        first = ew.maximum(ew.minimum(first, ew.sub(as_size_expr(whole), as_size_expr(size))), 0)
        places = ew.add(first, creation.arange(size, dtype="int64"))
        found.append(places.dimshuffle(*["x"] * axis, 0, *["x"] * (x.type.ndim - axis - 1)))
    return tuple(found)


def dynamic_slice(operand: Any, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> Any:
    """The slice of ``slice_sizes`` from ``start_indices`` on, moved into the array where it would leave it.

    >>> dynamic_slice(np.arange(5.0), (4,), (2,))
    array([3., 4.])
    """
    def build(x: Any, starts: Any) -> Any:
        x = as_expr(x)
        return x[_places(x, list(starts), slice_sizes)]

    return _called(build, "dynamic_slice", operand, _integers("dynamic_slice", *start_indices))


def dynamic_update_slice(operand: Any, update: Any, start_indices: Sequence[Any]) -> Any:
    """``operand`` with ``update`` in place of the slice of its shape from ``start_indices`` on, as `dynamic_slice`.

    >>> dynamic_update_slice(np.zeros(4), np.ones(2), (1,))
    array([0., 1., 1., 0.])
    """
    def build(x: Any, new: Any, starts: Any) -> Any:
        x, new = as_expr(x), as_expr(new)
        if not np.can_cast(new.type.dtype, x.type.dtype, "same_kind"):
            raise FuseTypeError(f"an update of {new.type.dtype} does not fit into {x.type.dtype}: cast one of them")
        return At(x)[_places(x, list(starts), sizes_of(new))].set(new)

    return _called(build, "dynamic_update_slice", operand, update, _integers("dynamic_update_slice", *start_indices))


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    """The elements at ``index`` along ``axis``, moved into the array where it would leave it.

    >>> dynamic_index_in_dim(np.array([[1, 2], [3, 4]]), 1, keepdims=False)
    array([3, 4])
    """
    shape = np.shape(operand)
    axis = normalize_axis(axis, len(shape))
    starts = [index if i == axis else 0 for i in range(len(shape))]
    found = dynamic_slice(operand, starts, [1 if i == axis else n for i, n in enumerate(shape)])
    return found if keepdims else np.squeeze(found, axis)


__all__ = [
    "cond", "dynamic_index_in_dim", "dynamic_slice", "dynamic_update_slice", "fori_loop", "map", "scan", "select",
    "stop_gradient", "switch", "while_loop",
]
