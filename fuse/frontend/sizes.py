"""Symbolic sizes: shape_i, make_vector, x.shape, integer arithmetic on sizes, and shape_of."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import AxisError, FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.parts import parts
from fuse.notes import noted, notes
from fuse.op import DISCONNECTED, Op, op_record
from fuse.reference import evaluate
from fuse.typebase import Type
from fuse.types import DISCRETE, TensorType

Size = int | Expr  # a size known at build time, or a 0-d int64 expression


# ---------------------------------------------------------------- axes
def normalize_axis(axis: Any, ndim: int, what: str = "axis") -> int:
    """``axis`` counted from the front; an AxisError where there is no such axis.

    >>> normalize_axis(-1, 3)
    2
    """
    number = static_int(axis)
    if number is None and isinstance(axis, Expr) and axis.type.ndim == 0 and axis.type.dtype in DISCRETE:
        known = constant_value(axis)
        number = None if known is None else int(known)
    if number is None:
        raise FuseTypeError(f"{what} is an integer known while the graph is built, not {axis!r}")
    if not -ndim <= number < ndim:
        there = f"there are {-ndim} to {ndim - 1}" if ndim else "a scalar has none"
        raise AxisError(f"{what} {number} is out of bounds for {ndim} dimensions: {there}")
    return number % ndim


def is_symbolic(axis: Any) -> bool:
    """Whether an axis is an expression whose value is not known before it runs."""
    return isinstance(axis, Expr) and static_int(axis) is None and (
        axis.type.ndim != 0 or axis.type.dtype not in DISCRETE or constant_value(axis) is None)


def normalize_axes(axis: Any, ndim: int, what: str = "axis") -> tuple[int, ...]:
    """None, an int, or a sequence of ints as a sorted tuple of axes counted from the front.

    >>> normalize_axes(None, 2), normalize_axes(-1, 2), normalize_axes((1, 0), 2)
    ((0, 1), (1,), (0, 1))
    """
    if axis is None:
        return tuple(range(ndim))
    if static_int(axis) is not None:
        return (normalize_axis(axis, ndim, what),)
    if isinstance(axis, Expr):
        raise FuseTypeError(f"{what} must be known while the graph is built, not the expression {axis}")
    if not isinstance(axis, Iterable):
        raise FuseTypeError(f"{what} is an integer, a sequence of integers or None, not {axis!r}")
    listed = [normalize_axis(a, ndim, what) for a in axis]
    if len(set(listed)) < len(listed):
        raise FuseValueError(f"{what} {tuple(axis)} names an axis twice")
    return tuple(sorted(listed))


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction goes along: NumPy lets a scalar be asked for axis 0 or -1 too, and it has none.

    >>> reduced_axes(-1, 2), reduced_axes(-1, 0)
    ((1,), ())
    """
    asked = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    return () if ndim == 0 and [static_int(a) for a in asked] in ([0], [-1]) else normalize_axes(axis, ndim)


def static_int(value: Any) -> int | None:
    """The integer that ``value`` (a Python, NumPy or constant 0-d integer) is, or None."""
    if isinstance(value, Constant):
        value = value.data
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "biu":
        return int(value)
    return None


# ---------------------------------------------------------------- core ops
def _shape_i_type(x: Expr, *, axis: int) -> TensorType:
    return TensorType("int64", ())


@op_record(
    "shape", numpy=lambda x, axis: np.int64(x.shape[axis]), infer=_shape_i_type, shape=lambda node, s: (),
    grad=lambda g, out, x, axis: (DISCONNECTED,), traits="count",
)
def shape_i(op: Op, x: Any, axis: int) -> Expr:
    """The size of ``x`` along ``axis``, as a 0-d int64 expression; a constant where it is known.

    >>> import fuse.tensor as T
    >>> shape_i(T.tensor("float64", shape=(None, 3)), 1).data
    array(3)
    """
    x = as_expr(x)
    axis = normalize_axis(axis, x.ndim)
    known = x.type.shape[axis]
    return op(x, axis=axis) if known is None else constant(known, dtype="int64")


def _make_vector_type(*items: Expr) -> TensorType:
    if any(i.type.ndim for i in items):
        raise ShapeError("make_vector takes 0-d expressions; use stack or concatenate for arrays")
    dtype = ty.promote(*[i.type.dtype for i in items]) if items else "int64"
    return TensorType(dtype, (len(items),))


def _make_vector_grad(g: Expr, out: Expr, *items: Expr) -> tuple[Any, ...]:
    return tuple([g[i] for i in range(len(items))])


@op_record(
    "opaque", numpy=lambda *items: np.array(items) if items else np.zeros(0, "int64"), infer=_make_vector_type,
    shape=lambda node, *shapes: (len(node.args),), grad=_make_vector_grad,
)
def make_vector(op: Op, *items: Any) -> Expr:
    """A vector of 0-d expressions, of their promoted dtype.

    >>> import fuse.tensor as T
    >>> make_vector(T.iscalar("a"), 2).type
    TensorType(int32, (2,))
    """
    if len(items) == 1 and isinstance(items[0], (list, tuple)):
        items = tuple(items[0])
    return op(*items)


# ---------------------------------------------------------------- integer arithmetic on sizes: ints fold in Python
def size_add(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if isinstance(a, int) and a == 0:
        return b
    return a if isinstance(b, int) and b == 0 else ew.add(a, b)


def size_sub(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    if a is b:
        return 0
    return a if isinstance(b, int) and b == 0 else ew.sub(a, b)


def size_mul(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if isinstance(a, int) and a in (0, 1):
        return b if a else 0
    if isinstance(b, int) and b in (0, 1):
        return a if b else 0
    return ew.mul(a, b)


def size_floordiv(a: Size, b: Size) -> Size:
    """``a // b`` for ``b`` > 0; 0 where ``b`` is 0."""
    if isinstance(b, int) and b == 1:
        return a
    if isinstance(b, int) and b == 0:
        return 0
    return a // b if isinstance(a, int) and isinstance(b, int) else ew.int_div(a, b)


def size_max(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return a if a is b else ew.maximum(a, b)


def size_min(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return a if a is b else ew.minimum(a, b)


def size_product(sizes: Iterable[Size]) -> Size:
    """The product of ``sizes``; the known ones are multiplied here, the others in their order."""
    known, symbolic = 1, None
    for n in sizes:
        if isinstance(n, int):
            known *= n
        else:
            symbolic = n if symbolic is None else ew.mul(symbolic, n)
    return known if symbolic is None else size_mul(symbolic, known)


def as_size_expr(size: Size) -> Expr:
    """A size as a 0-d int64 expression."""
    return constant(size, dtype="int64") if isinstance(size, int) else size


def as_size(value: Any, what: str = "a size") -> Size:
    """What a person wrote for a size: an int, or a 0-d integer expression (cast to int64).

    Raises FuseTypeError for what is no integer.

    >>> as_size(np.int32(3))
    3
    """
    number = static_int(value)
    if number is not None:
        return number
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        raise FuseTypeError(f"{what} is an integer: write {int(value)}, not {value!r}")
    try:
        expr = as_expr(value)
    except FuseError as error:
        raise FuseTypeError(f"{what} is an integer or a 0-d integer expression, not {value!r}") from error
    if expr.type.ndim or expr.type.dtype not in DISCRETE:
        raise FuseTypeError(
            f"{what} is an integer or a 0-d integer expression, not a {expr.type.describe()}; "
            f"cast it first: cast(n, 'int64')"
        )
    folded = constant_value(expr)
    if folded is not None:
        return int(folded)
    return expr if expr.type.dtype == "int64" else ew.cast(expr, "int64")


def constant_value(expr: Expr, limit: int = 64) -> np.ndarray[Any, Any] | None:
    """The value of a small expression of constants, such as ``x.shape[0] * 3`` with a known size; else None."""
    if isinstance(expr, Constant):
        return expr.data
    stack, seen = [expr], 0
    while stack:
        node = stack.pop()
        seen += 1
        unknown = node.is_leaf and not isinstance(node, Constant) or node.op.stateful or node.op.name == "assert"
        if seen > limit or unknown:
            return None
        stack += node.args
    return evaluate([expr], {})[0]


def as_sizes(shape: Any, ndim: int | None = None) -> tuple[Size, ...]:
    """A shape argument as sizes: a number, a sequence, or an integer vector expression of known length.

    Raises FuseTypeError for what is no shape.

    >>> as_sizes((2, 3)), as_sizes(4)
    ((2, 3), (4,))
    """
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if isinstance(shape, Constant):
        shape = shape.data.tolist()
    if isinstance(shape, Expr) and shape.type.ndim == 1:
        return _vector_sizes(shape, ndim)
    if isinstance(shape, Expr) or static_int(shape) is not None:
        return (as_size(shape),)
    try:
        listed = tuple(shape)
    except TypeError:
        raise FuseTypeError(f"a shape is an integer, a sequence of them or an integer vector, not {shape!r}") from None
    return tuple([as_size(n) for n in listed])


def _vector_sizes(shape: Expr, ndim: int | None) -> tuple[Size, ...]:
    from fuse.frontend.axes import specify_shape
    from fuse.frontend.shared import vector_length

    length = shape.type.shape[0]
    if length is None:
        length = vector_length(shape) if ndim is None else ndim
        shape = shape if length is None else specify_shape(shape, (length,))
    if length is None:
        raise ShapeError(
            f"the shape {shape} is a vector whose length is not known while the graph is built: give its length as "
            f"ndim=..., or write the sizes as a list"
        )
    if shape.op.name == "make_vector":
        return tuple([as_size(a) for a in shape.args])
    return tuple([as_size(shape[i]) for i in range(length)])


# ---------------------------------------------------------------- the shape of an expression
def sizes_of(x: Expr) -> tuple[Size, ...]:
    """The sizes of ``x`` in terms of ``x`` itself: ints where known, else ``shape_i(x, axis)``.

    Graphs are built from these, not from ``shape_of``: they stay right when ``x`` is later replaced by something
    of another shape (``givens``, ``clone``); rewriting resolves them.
    """
    return tuple([shape_i(x, axis) if n is None else n for axis, n in enumerate(x.type.shape)])


def shape(x: Any) -> Expr:
    """The shape of ``x`` as an int64 vector; it unpacks, and ``shape(x)[0]`` is the first size.

    >>> import fuse.tensor as T
    >>> rows, columns = shape(T.matrix("m"))
    >>> rows.type
    TensorType(int64, scalar)
    """
    return make_vector(*[as_size_expr(n) for n in sizes_of(as_expr(x))])


def size(x: Any) -> Expr:
    """The number of elements of ``x``, a 0-d int64 expression.

    A constant where the shape is known at build time.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> size(m).eval({m: [[1.0, 2.0, 3.0]]})
    array(3)
    >>> size(T.tensor("float64", shape=(2, 3)))
    6
    """
    return as_size_expr(size_product(sizes_of(as_expr(x))))


def shape_of(expr: Expr) -> tuple[Any, ...]:
    """The sizes of ``expr`` (ints or 0-d int64 expressions) from its inputs' shapes, without computing values.

    Follows each op's ``shape`` rule without recursion; results are kept on the nodes. For a node with several
    results: one tuple per result.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> shape_of(T.exp(x).T + 1) == (x.shape[1], x.shape[0])
    True
    """
    found = _known_shape(expr)
    if found is not None:
        return found
    stack = [expr]
    while stack:
        node = stack[-1]
        if _known_shape(node) is not None:
            stack.pop()
            continue
        missing = [a for a in node.args if _known_shape(a) is None] if _follows(node) else []
        if missing:
            stack += missing
            continue
        _remember(node, _resolve(node))
        stack.pop()
    found = _known_shape(expr)
    assert found is not None
    return found


def _follows(node: Expr) -> bool:
    return node.op.kind == "elementwise" or node.op.shape is not None


def _known_shape(node: Expr) -> tuple[Any, ...] | None:
    static = getattr(node.type, "shape", None)
    if static is None and isinstance(node.type, Type):  # of objects that are no arrays
        return ()
    if static is not None and None not in static:
        return static
    return noted(node, "shape")


def _remember(node: Expr, sizes: tuple[Any, ...]) -> None:
    notes(node)["shape"] = sizes


def _resolve(node: Expr) -> tuple[Any, ...]:
    type_: Any = node.type
    several = not hasattr(type_, "shape")
    if not _follows(node):
        return tuple([sizes_of(p) for p in parts(node)]) if several else sizes_of(node)
    shapes = [_known_shape(a) for a in node.args]
    if node.op.kind == "elementwise" and node.op.shape is None:
        for full in shapes:
            if len(full) == len(type_.shape):  # type: ignore[arg-type]
                if all(s is full or not s for s in shapes):
                    return full  # type: ignore[return-value]
                break
        return _merge(node.type.shape, broadcast_sizes(shapes))  # type: ignore[arg-type]
    assert node.op.shape is not None
    found = node.op.shape(node, *shapes)
    if several:
        return tuple([
            () if not hasattr(p.type, "shape") else sizes_of(p) if s is None else
            _merge(p.type.shape, [n if f is None else f for n, f in zip(sizes_of(p), s, strict=True)])
            for p, s in zip(parts(node), found, strict=True)
        ])
    if None in found:
        found = tuple([n if f is None else f for n, f in zip(sizes_of(node), found, strict=True)])
    return _merge(node.type.shape, found)


def _merge(static: Sequence[int | None], found: Sequence[Any]) -> tuple[Size, ...]:
    """Sizes known from the type win; a constant expression becomes an int."""
    assert len(static) == len(found), (static, found)
    return tuple([_as_known(f) if s is None else s for s, f in zip(static, found, strict=True)])


def _as_known(found: Any) -> Size:
    number = static_int(found)
    return found if number is None else number


def broadcast_sizes(shapes: Sequence[Sequence[Size]]) -> tuple[Size, ...]:
    """The sizes to which ``shapes`` broadcast.

    >>> broadcast_sizes([(2, 1), (3,)])
    (2, 3)
    """
    ndim = max(map(len, shapes), default=0)
    return tuple([_broadcast_axis([s[axis] for s in shapes if -axis <= len(s)]) for axis in range(-ndim, 0)])


def _broadcast_axis(sizes: list[Size]) -> Size:
    rest: list[Any] = []
    for n in sizes:
        if isinstance(n, int) and n != 1:
            return n
        if n not in rest and n != 1:
            rest.append(n)
    if not rest:
        return 1
    size = rest[0]
    if len(rest) > 1:
        from fuse.rewrite.sizes import broadcast_parts
    for n in rest[1:]:
        have, more = broadcast_parts(size), broadcast_parts(n)
        if have.keys() <= more.keys():
            size = n
            continue
        for part in more:
            if part not in have:
                size = ew.broadcast_size(size, part)
    return size


__all__ = [
    "Size", "as_size", "as_size_expr", "as_sizes", "broadcast_sizes", "constant_value", "make_vector", "normalize_axes",
    "normalize_axis", "reduced_axes", "shape", "shape_i", "shape_of", "size", "size_add", "size_floordiv", "size_max",
    "size_min", "size_mul", "size_product", "size_sub", "sizes_of", "static_int",
]
