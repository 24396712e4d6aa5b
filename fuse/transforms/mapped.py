"""vmap, vectorize and vectorize_graph: formulas of single arrays for stacks of them, without loops at run time."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fuse import tree
from fuse.autodiff.batching import vectorize as batched
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, substitute, toposort
from fuse.frontend.axes import moveaxis, specify_shape
from fuse.frontend.layout import broadcast_to
from fuse.frontend.sizes import as_size_expr, broadcast_sizes, sizes_of
from fuse.trace import tracing
from fuse.transforms.derivatives import expression, transformed
from fuse.types import TensorType

Function = Callable[..., Any]


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0, axis_size: Any = None) -> Function:
    """The function that is ``f`` for every entry along an axis of its arguments, computed together.

    ``in_axes`` is the axis of all arguments, or one per argument (None: the same for all entries), or trees of these;
    ``out_axes`` where the axis stands in the results. Keyword arguments are mapped along axis 0.
    Raises FuseValueError where ``in_axes`` does not have an entry for each argument.

    >>> import numpy as np
    >>> rows = np.arange(6.0).reshape(3, 2)
    >>> vmap(np.dot, in_axes=(0, None))(rows, np.array([1.0, 10.0]))
    array([10., 32., 54.])
    """
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)

    @transformed(f, "vmap")
    def build(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise FuseValueError(f"vmap: in_axes has {len(in_axes)} entries for {len(args)} positional arguments")
        axes = [*tree.spread(in_axes, tuple(args)), *[0] * tree.structure(kwargs).count]
        values = [v if a is None else _front(expression(v), a) for v, a in zip(leaves, axes, strict=True)]
        fronts = [v for v, a in zip(values, axes, strict=True) if a is not None]
        size = _common_size(fronts, axis_size)
        mapped: dict[Expr, Expr] = {}
        entries = []
        for value, axis in zip(values, axes, strict=True):
            if axis is not None:
                if value is not fronts[0] and value.type.shape[0] is None:  # a size of 1 is not to broadcast here
                    value = specify_shape(value, (size, *[None] * (value.type.ndim - 1)))
                one = TensorType(value.type.dtype, value.type.shape[1:])(value.name)
                mapped[one] = value
                entries.append(one)
            else:
                entries.append(value)
        inner_args, inner_kwargs = tree.unflatten(structure, entries)
        result = f(*inner_args, **inner_kwargs)
        results, shape = tree.flatten(result)
        places = tree.spread(out_axes, result)
        exprs = [expression(r) for r in results]
        with tracing(False):
            wide = batched(exprs, mapped, size)
        reached = _depend(exprs, mapped)
        return tree.unflatten(shape, [
            _placed(w, e, axis, e in reached) for w, e, axis in zip(wide, exprs, places, strict=True)
        ])

    return build


def _front(value: Expr, axis: Any) -> Expr:
    if not isinstance(axis, int) or not -value.type.ndim <= axis < value.type.ndim:
        raise FuseValueError(f"vmap: a {value.type.describe()} has no axis {axis!r} (in_axes: an int, or None)")
    return value if axis % value.type.ndim == 0 else moveaxis(value, axis, 0)


def _common_size(fronts: Sequence[Expr], axis_size: Any) -> Expr:
    """The size of the mapped axis, which all have; where sizes are known they are compared here."""
    if not fronts:
        if axis_size is None:
            raise FuseValueError("vmap: no argument is mapped: in_axes are all None, and axis_size is not given")
        return as_size_expr(axis_size)
    sizes = [sizes_of(v)[0] for v in fronts]
    known = {n for n in [*sizes, axis_size] if isinstance(n, int)}
    if len(known) > 1:
        raise ShapeError(f"vmap: the mapped axes have different sizes: {', '.join(map(str, sorted(known)))}")
    return as_size_expr(next((n for n in sizes if isinstance(n, int)), sizes[0]))


def _depend(outputs: Sequence[Expr], on: Mapping[Expr, Expr]) -> set[Expr]:
    reached: set[Expr] = set(on)
    for node in toposort(outputs):
        if any(a in reached for a in node.args):
            reached.add(node)
    return reached


def _placed(wide: Expr, one: Expr, axis: Any, reached: bool) -> Expr:
    if axis is None:
        if reached:
            raise FuseValueError("vmap: out_axes=None is for results that are the same for all entries")
        return one
    if not -wide.type.ndim <= axis < wide.type.ndim:
        raise FuseValueError(f"vmap: a result with {wide.type.ndim} axes has no place {axis} (out_axes)")
    return wide if axis % wide.type.ndim == 0 else moveaxis(wide, 0, axis)


# ---------------------------------------------------------------- NumPy's signatures
_ARGUMENT = r"\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)"
_SIGNATURE = re.compile(rf"^\s*(?:{_ARGUMENT}\s*(?:,\s*{_ARGUMENT}\s*)*)?->\s*{_ARGUMENT}\s*(?:,\s*{_ARGUMENT}\s*)*$")


def _parsed(signature: str) -> tuple[list[list[str]], list[list[str]]]:
    if not isinstance(signature, str) or not _SIGNATURE.match(signature):
        raise FuseValueError(f"a signature is written as in NumPy, '(n),(n,m)->(m)', not {signature!r}")
    ins, outs = signature.split("->")
    return tuple([re.findall(r"\w+", a) for a in re.findall(_ARGUMENT, side)] for side in (ins, outs))  # type: ignore[return-value]


def vectorize(f: Function | None = None, *, signature: str | None = None, excluded: Any = ()) -> Function:
    """The function ``f`` of arrays of few axes for arrays with more axes in front, which broadcast as in NumPy.

    ``signature`` is NumPy's: ``"(n),(n)->()"`` says that ``f`` takes two vectors of one length and returns a scalar;
    without one ``f`` is a function of scalars. ``excluded``: arguments, by position or name, that are passed on whole.
    Raises FuseTypeError where the arguments are not those of the signature.

    >>> import numpy as np
    >>> distance = vectorize(lambda a, b: np.sqrt(np.sum((a - b) ** 2)), signature="(n),(n)->()")
    >>> distance(np.zeros((3, 1, 2)), np.ones((4, 2))).shape
    (3, 4)
    """
    if f is None:
        return lambda g: vectorize(g, signature=signature, excluded=excluded)
    core = _parsed(signature) if signature is not None else None
    whole = {excluded} if isinstance(excluded, (int, str)) else set(excluded)
    inner: Function = f

    @transformed(inner, "vectorize")
    def build(*args: Any, **kwargs: Any) -> Any:
        places = [i for i in range(len(args)) if i not in whole]
        named = [k for k in kwargs if k not in whole]
        if named and core is not None:
            raise FuseTypeError(f"vectorize with a signature takes arguments by position, not {', '.join(named)}")
        values = [expression(args[i]) for i in places] + [expression(kwargs[k]) for k in named]
        dims = core[0] if core is not None else [[] for _ in values]
        if len(dims) != len(values):
            raise ShapeError(f"vectorize: Number of inputs is {len(values)}, {len(dims)} in {signature!r}")
        values = _agreed(values, dims)
        loops = [v.type.ndim - len(d) for v, d in zip(values, dims, strict=True)]
        ones = [TensorType(v.type.dtype, v.type.shape[n:])(v.name) for v, n in zip(values, loops, strict=True)]
        inner_args, inner_kwargs = list(args), dict(kwargs)
        for i, one in zip(places, ones, strict=False):
            inner_args[i] = one
        inner_kwargs.update(zip(named, ones[len(places):], strict=True))
        result = inner(*inner_args, **inner_kwargs)
        results, shape = tree.flatten(result)
        if not results:
            raise FuseValueError("vectorize: the function has no outputs: it returns an expression, or several")
        exprs = [expression(r) for r in results]
        if core is not None:
            _check_results(exprs, core[1], str(signature))
        full = broadcast_sizes([sizes_of(v)[:n] for v, n in zip(values, loops, strict=True)])
        with tracing(False):
            found = _over_axes(exprs, dict(zip(ones, values, strict=True)), full, always=True)
        return tree.unflatten(shape, found)

    return build


def _agreed(values: list[Expr], dims: list[list[str]]) -> list[Expr]:
    """The arguments, with core axes of one name declared to have one size."""
    sizes: dict[str, Any] = {}
    found = []
    for value, names in zip(values, dims, strict=True):
        have = sizes_of(value)
        if len(names) > len(have):
            raise ShapeError(
                f"vectorize: Input {value.name or 'without a name'} has less dimensions ({len(have)}) than its core "
                f"axes ({', '.join(names)})"
            )
        want: list[Any] = [None] * (len(have) - len(names))
        for name, size in zip(names, have[len(want):], strict=True):
            size = int(name) if name.isdigit() else size
            known = sizes.setdefault(name, size)
            if isinstance(known, int) and isinstance(size, int) and known != size:
                raise ShapeError(f"vectorize: the core axis {name} has sizes {known} and {size}")
            want.append(None if known is size and not name.isdigit() else known)
        found.append(specify_shape(value, want) if any(n is not None for n in want) else value)
    return found


def _check_results(results: Sequence[Expr], dims: list[list[str]], signature: str) -> None:
    if len(results) != len(dims):
        raise ShapeError(f"vectorize: Number of outputs is {len(results)}, {len(dims)} in {signature!r}")
    for result, names in zip(results, dims, strict=True):
        if result.type.ndim != len(names):
            raise ShapeError(
                f"vectorize: the function returns a {result.type.describe()}, {signature!r} says ({', '.join(names)})"
            )


def _over_axes(
    outputs: Sequence[Expr], replaced: Mapping[Expr, Expr], full: Sequence[Any], always: bool
) -> list[Expr]:
    """``outputs`` with keys replaced by values that have axes more in front, which broadcast to ``full``.

    An output that depends on no key stays as it is, but with ``always`` is repeated.
    """
    wide = {k: v for k, v in replaced.items() if v.type.ndim > k.type.ndim}
    loops = {k: v.type.ndim - k.type.ndim for k, v in wide.items()}
    final = {
        k: v if loops[k] == len(full) and len(wide) == 1 else broadcast_to(v, (*full, *sizes_of(v)[loops[k]:]))
        for k, v in wide.items()
    }
    reached = _depend(outputs, wide)
    current, keys = list(outputs), list(wide)
    for depth in range(1, len(full) + 1):  # the innermost axis first
        size = as_size_expr(full[-depth])
        grown = [TensorType(final[k].type.dtype, final[k].type.shape[len(full) - depth:])() for k in wide]
        new = batched(current, dict(zip(keys, grown, strict=True)), size)
        current = [n if always or o in reached else c for n, o, c in zip(new, outputs, current, strict=True)]
        keys = grown
    plain = {k: v for k, v in replaced.items() if k not in wide}
    return substitute(current, {**dict(zip(keys, final.values(), strict=True)), **plain})


def vectorize_graph(outputs: Any, replace: Mapping[Expr, Any]) -> Any:
    """``outputs`` with each key of ``replace`` replaced by an expression with the same axes and any more in front.

    The new axes broadcast, and stand in front in the results; an output that depends on no key stays as it is.
    Raises FuseTypeError where an expression is replaced by one with fewer axes.

    >>> import fuse.tensor as T
    >>> x, rows = T.dvector("x"), T.dmatrix("rows")
    >>> [total] = vectorize_graph([T.exp(x).sum()], {x: rows})
    >>> total.eval({rows: [[0.0, 0.0], [0.0, -1000.0]]})
    array([2., 1.])
    """
    several = isinstance(outputs, (list, tuple))
    roots = list(outputs) if several else [outputs]
    found: dict[Expr, Expr] = {}
    for key, value in replace.items():
        new = expression(value)
        if not isinstance(key, Expr) or new.type.ndim < key.type.ndim:
            raise FuseTypeError(f"vectorize_graph replaces expressions by ones of the same or more axes, not {key} by "
                                f"{new.type.describe()}")
        found[key] = new if new.type.dtype == key.type.dtype else new.astype(key.type.dtype)
    results = []
    for root in roots:
        needed = {n for n in toposort([root]) if n in found}
        own = {k: v for k, v in found.items() if k in needed}
        full = broadcast_sizes([sizes_of(v)[: v.type.ndim - k.type.ndim] for k, v in own.items()])
        results += _over_axes([root], own, full, always=False)
    return type(outputs)(results) if several else results[0]


__all__ = ["vectorize", "vectorize_graph", "vmap"]
