"""Units of a loop's body that take matrices apart: solutions, inverses, determinants and factors, as loops over rows.

Within a step matrices are small and a call of LAPACK costs more than its arithmetic, so Gauss' elimination with row
pivots and Cholesky's are written out, as LAPACK has them without blocks (Golub and Van Loan, "Matrix Computations",
algorithms 3.4.1 and 4.2.1). What LAPACK calls an error leaves the loop, and the interpreter tells it.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fuse.codegen import mathlib
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines
from fuse.expr import Expr, make
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def _matrix(w: Writer, node: Expr) -> tuple[Expr, str]:
    """The operand that is a square matrix of the result's dtype, and its size."""
    arg = node.args[0]
    dtype = arg.type.dtype
    if arg.type.ndim != 2 or dtype not in ("float64", "float32") or any(a.type.dtype != dtype for a in node.args):
        raise NotCompiled(node.op.name)
    n, m = w.shape(arg)
    if n != m:
        w.lines += [f"if {n} != {m}:", "    return 3"]
    return arg, n


def _number(value: str, dtype: str) -> str:
    return f"float32({value})" if dtype == "float32" else value


def _rows(indent: str, j: str, count: str, lines: Sequence[str]) -> list[str]:
    """A loop over the columns of a row, each for itself; none around what has one column."""
    if count == "1":
        return [f"{indent}{j} = 0", *[indent + line for line in lines]]
    return [f"{indent}for {j} in range({count}):", f"{indent}    independent()", *[f"{indent}    {x}" for x in lines]]


def _swapped(u: str, indent: str, x: Place, count: str, one: str, other: str) -> list[str]:
    """Two rows of a matrix in each other's place."""
    j = f"{u}_w"
    a, b = [f"{x.buffer}, {x.offset} + {row} * {count} + {j}" for row in (one, other)]
    lines = [f"{u}_t = load({a})", f"store({a}, load({b}))", f"store({b}, {u}_t)"]
    return _rows(indent, j, count, lines)


def _reduced(u: str, indent: str, x: Place, count: str, factor: str, row: str, by: str) -> list[str]:
    """A row less ``factor`` times another one."""
    j = f"{u}_j"
    a, b = [f"{x.buffer}, {x.offset} + {r} * {count} + {j}" for r in (row, by)]
    return _rows(indent, j, count, [f"store({a}, load({a}) - {factor} * load({b}))"])


def _factored(w: Writer, arg: Expr, n: str) -> tuple[Place, Place, str]:
    """Both triangles of a matrix with its rows in other places, these, and the name of the sign of their order.

    The sign is 0 where a pivot is.
    """
    key = ("factors", arg)
    if key in w.where:
        found: tuple[Place, Place, str] = w.where[key]
        return found
    dtype = arg.type.dtype
    x, places = w.scratch(dtype, (n, n)), w.scratch("int64", (n,))
    u = w.fresh("g")
    sign, best, at = f"{u}_sign", f"{u}_best", f"{u}_at"
    k, i, j, c, f = (f"{u}_{letter}" for letter in "kijcf")
    b = x.buffer
    w.lines += [
        *copy_lines(w.fresh("c"), w.place(arg), x), f"{sign} = {_number('1.0', dtype)}",
        f"for {k} in range({n}):",
        f"    {at} = {k}", f"    {best} = abs(load({b}, {k} * {n} + {k}))",
        f"    for {i} in range({k} + 1, {n}):", f"        {c} = abs(load({b}, {i} * {n} + {k}))",
        f"        if {c} > {best}:", f"            {best} = {c}", f"            {at} = {i}",
        f"    store({places.buffer}, {k}, {at})",
        f"    if {best} == {_number('0.0', dtype)}:", f"        {sign} = {_number('0.0', dtype)}",
        "    else:",
        f"        if {at} != {k}:", f"            {sign} = -{sign}", *_swapped(u, " " * 12, x, n, k, at),
        f"        for {i} in range({k} + 1, {n}):",
        f"            {f} = load({b}, {i} * {n} + {k}) / load({b}, {k} * {n} + {k})",
        f"            store({b}, {i} * {n} + {k}, {f})",
        f"            for {j} in range({k} + 1, {n}):", "                independent()",
        f"                store({b}, {i} * {n} + {j}, load({b}, {i} * {n} + {j}) - {f} * load({b}, {k} * {n} + {j}))",
    ]
    w.where[key] = x, places, sign
    return x, places, sign


def _substituted(w: Writer, a: Place, n: str, x: Place, m: str, lower: bool, unit: bool) -> None:
    """Replace the columns of ``x`` by the solutions of a system with a triangle of ``a`` as its matrix."""
    u = w.fresh("s")
    i, k, f = (f"{u}_{letter}" for letter in "ikf")
    w.lines += [f"for {i}b in range({n}):", f"    {i} = {f'{i}b' if lower else f'{n} - 1 - {i}b'}"]
    others = f"range({i})" if lower else f"range({i} + 1, {n})"
    w.lines += [f"    for {k} in {others}:", f"        {f} = load({a.buffer}, {a.at(i, k)})"]
    w.lines += _reduced(u, " " * 8, x, m, f, i, k)
    if not unit:
        at = f"{x.buffer}, {x.offset} + {i} * {m} + {u}_j"
        w.lines.append(f"    {f} = load({a.buffer}, {a.at(i, i)})")
        w.lines += _rows("    ", f"{u}_j", m, [f"store({at}, load({at}) / {f})"])


def _solved(w: Writer, arg: Expr, n: str, x: Place, m: str) -> None:
    factors, places, sign = _factored(w, arg, n)
    w.lines += [f"if {sign} == {_number('0.0', arg.type.dtype)}:", "    return 3"]
    u = w.fresh("s")
    w.lines += [
        f"for {u}_k in range({n}):", f"    {u}_p = load({places.buffer}, {u}_k)", f"    if {u}_p != {u}_k:",
        *_swapped(u, " " * 8, x, m, f"{u}_k", f"{u}_p"),
    ]
    _substituted(w, factors, n, x, m, lower=True, unit=True)
    _substituted(w, factors, n, x, m, lower=False, unit=False)


def _memory(w: Writer, node: Expr) -> Place:
    """Where the result is computed: in C order."""
    out = w.new(node)
    return out if out.strides is None else w.scratch(node.type.dtype, w.shape(node))


def _inverse(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    x = _memory(w, node)
    u = w.fresh("o")
    at = f"{x.buffer}, {x.offset} + {u}_i * {n} + {u}_j"
    one, zero = _number("1.0", node.type.dtype), _number("0.0", node.type.dtype)
    w.lines += [
        f"for {u}_i in range({n}):", f"    for {u}_j in range({n}):",
        f"        store({at}, {one} if {u}_i == {u}_j else {zero})",
    ]
    _solved(w, arg, n, x, n)
    w.values[node] = x


def _columns(w: Writer, node: Expr, n: str) -> tuple[Place, str]:
    """A copy of the right-hand sides, and how many there are."""
    right = node.args[1]
    shape = w.shape(right)
    if right.type.ndim > 2:
        raise NotCompiled(node.op.name)
    if shape[0] != n:
        w.lines += [f"if {shape[0]} != {n}:", "    return 3"]
    x = _memory(w, node)
    w.lines += copy_lines(w.fresh("c"), w.place(right), x)
    return x, shape[1] if right.type.ndim == 2 else "1"


def _solve(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    x, m = _columns(w, node, n)
    _solved(w, arg, n, x, m)
    w.values[node] = x


def _triangular(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    x, m = _columns(w, node, n)
    a, unit = w.place(arg), node.params["unit_diagonal"]
    if not unit:
        u = w.fresh("s")
        zero = _number("0.0", node.type.dtype)
        w.lines += [f"for {u}_i in range({n}):", f"    if load({a.buffer}, {a.at(f'{u}_i', f'{u}_i')}) == {zero}:",
                    "        return 3"]
    _substituted(w, a, n, x, m, node.params["lower"], unit)
    w.values[node] = x


def _slogdet(w: Writer, node: Expr) -> None:
    """The sign, and the logarithm as a sum of those of the pivots: it does not overflow."""
    arg, n = _matrix(w, node)
    w.values[make(OPS["part"], (node,), {"i": 0})], w.values[make(OPS["part"], (node,), {"i": 1})] = _logarithm(
        w, arg, n)


def _det(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    sign, total = _logarithm(w, arg, n)
    name = w.values[node] = w.fresh("v")
    w.lines.append(f"{name} = {sign} * {_function(w, 'exp', node.type.dtype)}({total})")


def _logarithm(w: Writer, arg: Expr, n: str) -> tuple[str, str]:
    dtype = arg.type.dtype
    x, _, order = _factored(w, arg, n)
    u = w.fresh("l")
    sign, total, zero = f"{u}_sign", f"{u}_log", _number("0.0", dtype)
    log = _function(w, "log", dtype)
    w.lines += [
        f"{sign} = {order}", f"{total} = {zero}", f"if {sign} == {zero}:", f"    {total} = {_number('-np.inf', dtype)}",
        "else:", f"    for {u}_i in range({n}):", f"        {u}_p = load({x.buffer}, {u}_i * {n} + {u}_i)",
        f"        {sign} = -{sign} if {u}_p < {zero} else {sign}", f"        {total} = {total} + {log}(abs({u}_p))",
    ]
    return sign, total


def _function(w: Writer, name: str, dtype: str) -> str:
    """The name of a function of ``mathlib`` in the text."""
    found = mathlib.resolve(name, dtype, "cpu")
    if isinstance(found, str):
        return found
    w.root.helpers[f"{name}_{dtype}"] = found
    return f"{name}_{dtype}"


def _cholesky(w: Writer, node: Expr) -> None:
    """The lower factor, row by row; the upper one is that of the transposed matrix, transposed."""
    arg, n = _matrix(w, node)
    dtype, lower = node.type.dtype, node.params["lower"]
    x = _memory(w, node)
    a = w.place(arg)
    a = a if lower else a.permuted((1, 0))
    out = x if lower else w.scratch(dtype, (n, n))
    u = w.fresh("q")
    i, j, k, s = (f"{u}_{letter}" for letter in "ijks")
    zero, b, at = _number("0.0", dtype), out.buffer, out.offset
    bad = f"{u}_bad"
    failed = ["        " + x for x in ([f"{bad} = 1"] if node.params.get("on_error") == "nan" else ["return 3"])]
    w.lines += [
        f"{bad} = 0", f"for {i} in range({n}):",
        f"    for {j} in range({i}):",
        f"        {s} = load({a.buffer}, {a.at(i, j)})", f"        for {k} in range({j}):",
        f"            {s} = radd({s}, -load({b}, {at} + {i} * {n} + {k}) * load({b}, {at} + {j} * {n} + {k}))",
        f"        store({b}, {at} + {i} * {n} + {j}, {s} / load({b}, {at} + {j} * {n} + {j}))",
        f"    {s} = load({a.buffer}, {a.at(i, i)})", f"    for {k} in range({i}):",
        f"        {u}_v = load({b}, {at} + {i} * {n} + {k})", f"        {s} = radd({s}, -{u}_v * {u}_v)",
        f"    if not {s} > {zero}:", *failed,
        f"    store({b}, {at} + {i} * {n} + {i}, {_function(w, 'sqrt', dtype)}({s}))",
        f"    for {j} in range({i} + 1, {n}):", f"        store({b}, {at} + {i} * {n} + {j}, {zero})",
    ]
    if not lower:
        w.lines += copy_lines(w.fresh("c"), out.permuted((1, 0)), x)
    if node.params.get("on_error") == "nan":
        w.lines += [f"if {bad} != 0:", f"    for {i} in range({n} * {n}):",
                    f"        store({x.buffer}, {x.offset} + {i}, {_number('np.nan', dtype)})"]
    w.values[node] = x


MATRICES: dict[str, Callable[[Any, Expr], None]] = {
    "matrix_inverse": _inverse, "solve": _solve, "solve_triangular": _triangular, "det": _det, "slogdet": _slogdet,
    "cholesky": _cholesky,
}
