"""lambdify: a SymPy expression (or one of ours) as a compiled function of numbers and arrays."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.expr import Constant, Expr, substitute, toposort
from fuse.symbolic.inward import Walk
from fuse.symbolic.lazily import sympy
from fuse.types import TensorType

# Beyond so many nodes the time to compile kernels outweighs what they save.
_INTERPRETED = 20_000
_FLOAT, _INTEGER = np.dtype("float64"), np.dtype("int64")


def lambdify(
    args: Any,
    expr: Any,
    modules: Any = None,
    printer: Any = None,
    use_imps: bool = True,
    dummify: bool = False,
    cse: bool = False,
    docstring_limit: int | None = 1000,
) -> Lambdified:
    """A function of ``args`` that computes ``expr`` in compiled code, as ``sympy.lambdify`` makes one.

    ``args`` is a symbol, or a list, tuple or Matrix of them, nested as the call's arguments will be. ``expr`` is a
    SymPy expression or Matrix, one of our expressions, a number, or a list, tuple or dict of these; the result has its
    structure. Arguments are numbers and arrays that broadcast; a constant comes back in the shape to which they do, and
    the result for a Matrix of shape (m, n) has shape (m, n, ...).

    A mapping in ``modules`` gives the meaning of functions by name, called with expressions. Python integers give exact
    integers, as large as they are; arrays of integers wrap, as NumPy's do. An IndexedBase stands for an array. Common
    subexpressions are always computed once, and other options of SymPy's are accepted without effect. It is compiled
    once for each combination of dtypes and ranks.

    >>> import numpy as np, sympy, fuse
    >>> x, y = sympy.symbols("x y")
    >>> f = fuse.lambdify([x, y], sympy.sin(x) / y)
    >>> f(np.array([0.0, 1.0]), 2)
    array([0.        , 0.42073549])
    >>> fuse.lambdify(x, [x ** 2, 1])(np.array([1.0, 3.0]))
    [array([1., 9.]), array([1, 1])]
    """
    return Lambdified(args, expr, _meanings(modules))


def _meanings(modules: Any) -> dict[str, Callable[..., Any]]:
    listed = modules if isinstance(modules, (list, tuple)) else [modules]
    found: dict[str, Callable[..., Any]] = {}
    for module in reversed(listed):  # as in SymPy, entries to the left win
        if isinstance(module, dict):
            found.update(module)
    return found


class Lambdified:
    """What ``lambdify`` returns."""

    def __init__(self, args: Any, expr: Any, functions: dict[str, Callable[..., Any]]) -> None:
        if isinstance(args, str):
            names = [sympy.Symbol(n) for n in args.replace(",", " ").split()]
            args = names[0] if len(names) == 1 else names
        single = not isinstance(args, (list, tuple, sympy.MatrixBase, sympy.Tuple, sympy.NDimArray))
        self._args: list[Any] = [args] if single else list(args)
        self._functions = functions
        self._symbols: list[Any] = list(_flat(self._args))
        self._is_flat = len(self._symbols) == len(self._args) and all(
            a is s for a, s in zip(self._args, self._symbols, strict=True)
        )
        for s in self._symbols:
            if not isinstance(s, (sympy.Basic, Expr)) or isinstance(s, sympy.Number):
                raise FuseTypeError(f"the arguments of lambdify are symbols, not {type(s).__name__} {s!r:.40}")
        self._pieces, self._shape_result = _structure(expr)
        self._has_constants = any(map(_has_no_symbols, self._pieces))
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._on_floats: Callable[..., Any] | None = None
        self.__name__ = "_lambdifygenerated"
        listed = ", ".join(map(str, self._symbols))
        self.__doc__ = f"Function of ({listed}) made by fuse.lambdify; computes {_shortened(expr)}"

    def __call__(self, *values: Any, **named: Any) -> Any:
        plain = self._is_flat and not named and len(values) == len(self._args)
        if plain and self._on_floats is not None and not set(map(type, values)) - {float}:
            return self._shape_result(self._on_floats(*values), None)  # for numbers in a loop: nothing to look up
        if plain:
            arrays = [np.asarray(v) for v in values]
        else:
            arrays = self._arrays(values, named)
        key = tuple([(a.dtype, a.ndim) for a in arrays])
        if key not in self._compiled:
            _check_numbers(arrays, values)
        results = self._program(key)(*arrays)
        if plain and values and not set(map(type, values)) - {int} and not set(key) - {(_INTEGER, 0)}:
            results = self._unwrapped(values, results)
        shape = _common_shape(self._symbols, arrays) if self._has_constants else None
        return self._shape_result(results, shape)

    def _program(self, key: tuple[tuple[Any, int], ...]) -> Callable[..., Any]:
        program = self._compiled.get(key)
        if program is None:
            program = self._compiled[key] = self._compile(key)
            if self._is_flat and all(k == (_FLOAT, 0) for k in key):
                self._on_floats = program
        return program

    def _unwrapped(self, values: Sequence[int], results: Sequence[Any]) -> list[Any]:
        """``results`` of 64-bit integers, or SymPy's where arithmetic on floats shows that integers wrapped."""
        floats = self._program(((_FLOAT, 0),) * len(values))(*map(float, values))
        exact: list[Any] = []
        for piece, found, near in zip(self._pieces, results, floats, strict=True):
            if isinstance(piece, sympy.Basic) and not np.isclose(found, near, rtol=1e-9, equal_nan=True):
                number = piece.xreplace(dict(zip(self._symbols, map(sympy.Integer, values), strict=True)))
                if number.is_Integer:
                    found = np.array(int(number), dtype=object)
                elif number.is_number and number.is_real:
                    found = np.array(float(number), dtype=object)
            exact.append(found)
        return exact

    def _arrays(self, values: Sequence[Any], named: dict[str, Any]) -> list[Any]:
        """The values in nested arguments, in the order of the symbols."""
        if named:
            order = [str(s) for s in self._args]
            unknown = set(named) - set(order[len(values):])
            if unknown:
                raise TypeError(f"lambdified function got an unexpected argument {sorted(unknown)[0]!r}")
            values = [*values, *[named[n] for n in order[len(values):] if n in named]]
        if len(values) != len(self._args):
            raise TypeError(
                f"lambdified function takes {len(self._args)} arguments ({', '.join(map(str, self._symbols))}), "
                f"not {len(values)}"
            )
        flat: list[Any] = []
        for pattern, value in zip(self._args, values, strict=True):
            _match(pattern, value, flat)
        return list(map(np.asarray, flat))

    def _compile(self, key: tuple[tuple[Any, int], ...]) -> Callable[..., Any]:
        from fuse.compiled import function

        inputs = [TensorType(dtype, (None,) * ndim)(f"x{i}") for i, (dtype, ndim) in enumerate(key)]
        outputs = _converted(self._pieces, self._symbols, inputs, self._functions)
        if not outputs:
            return lambda *arrays: []
        size = len(toposort(outputs))
        return function(
            inputs, outputs, on_unused_input="ignore", mode="FAST_COMPILE" if size > _INTERPRETED else None
        )


# ---------------------------------------------------------------- arguments
def _flat(args: Any) -> Iterable[Any]:
    """The symbols in nested arguments, from left to right."""
    stack = [args]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple, sympy.Tuple)):
            stack += reversed(list(item))
        elif isinstance(item, (sympy.MatrixBase, sympy.NDimArray)):
            stack += reversed(sympy.flatten(item.tolist()))
        else:
            yield item


def _match(pattern: Any, value: Any, out: list[Any]) -> None:
    """Pair nested arguments with nested values."""
    stack = [(pattern, value)]
    while stack:
        pattern, value = stack.pop()
        if isinstance(pattern, (sympy.MatrixBase, sympy.NDimArray)):
            pattern, value = sympy.flatten(pattern.tolist()), list(np.asarray(value).reshape(len(pattern), -1)[:, 0])
        if isinstance(pattern, (list, tuple, sympy.Tuple)):
            items = list(value)
            if len(items) != len(pattern):
                raise TypeError(f"an argument stands for {len(pattern)} symbols, {len(items)} values were given")
            stack += reversed(list(zip(pattern, items, strict=True)))
        else:
            out.append(value)


def _check_numbers(arrays: Sequence[Any], values: Sequence[Any]) -> None:
    for array, value in zip(arrays, values if len(values) == len(arrays) else arrays, strict=True):
        if array.dtype.kind not in "biufc":
            raise FuseTypeError(
                f"a lambdified function takes numbers and arrays of numbers, not {type(value).__name__} {value!r:.60}"
            )


def _common_shape(symbols: Sequence[Any], arrays: Sequence[Any]) -> tuple[int, ...] | None:
    """The shape to which the arguments broadcast (matrices apart), None where they do not."""
    whole = (sympy.MatrixSymbol, sympy.IndexedBase)
    plain = [a.shape for s, a in zip(symbols, arrays, strict=True) if not isinstance(s, whole)]
    try:
        return np.broadcast_shapes(*plain)
    except ValueError:
        return None


# ---------------------------------------------------------------- expressions
def _converted(
    pieces: Sequence[Any], symbols: Sequence[Any], inputs: Sequence[Expr], functions: dict[str, Callable[..., Any]]
) -> list[Expr]:
    """Each piece as an expression of ``inputs``, which stand for ``symbols``."""
    floats = [i.dtype for i in inputs if i.dtype.startswith("float")]
    weak = max(floats, key=lambda d: np.dtype(d).itemsize) if floats else "float64"
    given = {s: i for s, i in zip(symbols, inputs, strict=True) if isinstance(s, sympy.Basic)}
    ours = {s: i for s, i in zip(symbols, inputs, strict=True) if isinstance(s, Expr)}
    walk = Walk(given, weak, functions)
    out = [substitute([p], ours)[0] if isinstance(p, Expr) else walk.convert(p) for p in pieces]
    known = set(inputs)
    for node in toposort(out):
        if node.is_leaf and not isinstance(node, Constant) and node not in known and node.op.name == "input":
            raise FuseTypeError(f"the expression needs {node.name!r}, which is not among the arguments of lambdify")
    return out


Assemble = Callable[[list[Any], "tuple[int, ...] | None"], Any]


def _structure(expr: Any) -> tuple[list[Any], Assemble]:
    """The scalar pieces of nested outputs, and what puts their values together again."""
    pieces: list[Any] = []

    def visit(item: Any) -> Assemble:  # as deep as the person's own nesting of lists, not as the expression
        if isinstance(item, dict):
            inner = {k: visit(v) for k, v in item.items()}
            return lambda values, shape: {k: build(values, shape) for k, build in inner.items()}
        if isinstance(item, (list, tuple, sympy.Tuple)):
            listed = [visit(i) for i in item]
            kind = list if isinstance(item, list) else tuple
            return lambda values, shape: kind(build(values, shape) for build in listed)
        if isinstance(item, (sympy.MatrixBase, sympy.NDimArray)):
            entries = [visit(i) for i in sympy.flatten(item.tolist())]
            size = tuple([int(n) for n in item.shape])
            return lambda values, shape: _assembled([build(values, shape) for build in entries], size)
        if not isinstance(item, Expr):
            item = sympy.sympify(item) if not isinstance(item, str) else _no_text()
        position = len(pieces)
        pieces.append(item)
        is_constant = _has_no_symbols(item)
        return lambda values, shape: _constant(values[position], shape) if is_constant else _plain(values[position])

    build = visit(expr)
    return pieces, build


def _no_text() -> Any:
    raise FuseTypeError("lambdify takes expressions, not text: sympy.parse_expr reads text (and runs it)")


def _has_no_symbols(item: Any) -> bool:
    if isinstance(item, Expr):
        return all(isinstance(n, Constant) for n in toposort([item]) if n.is_leaf)
    return not item.args and isinstance(item, (sympy.Number, sympy.NumberSymbol))


def _constant(value: Any, shape: tuple[int, ...] | None) -> Any:
    """A constant in the shape of the arguments, integers as int64."""
    dtype = np.int64 if value.dtype.kind in "iu" else value.dtype
    return np.full(shape, value, dtype=dtype) if shape else _plain(value.astype(dtype))


def _plain(value: Any) -> Any:
    """A NumPy scalar for a 0-d result."""
    return value[()] if np.ndim(value) == 0 else value


def _assembled(entries: list[Any], size: tuple[int, ...]) -> Any:
    if not entries:
        return np.zeros(size)
    stacked = np.stack(np.broadcast_arrays(*entries))
    return stacked.reshape(size + stacked.shape[1:])


def _shortened(expr: Any) -> str:
    if isinstance(expr, sympy.Basic) and expr.args and _is_large(expr):
        return f"a large {type(expr).__name__}"
    text = str(expr)
    return text if len(text) <= 200 else text[:197] + "..."


def _is_large(expr: Any) -> bool:
    stack, count = [expr], 0
    while stack:
        node = stack.pop()
        count += 1
        if count > 200:
            return True
        stack += node.args
    return False


__all__ = ["Lambdified", "lambdify"]
