"""Units of a loop's body that take matrices: solutions, inverses, determinants, factors and products of stacks.

Of a stack each matrix is taken by itself. Within a step matrices are small and a call of LAPACK costs more than its
arithmetic, so Gauss' elimination with row pivots and Cholesky's are written out, as LAPACK has them without blocks
(Golub and Van Loan, "Matrix Computations", algorithms 3.4.1 and 4.2.1). What LAPACK calls an error leaves the loop, and
the interpreter tells it.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fuse.codegen import mathlib
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines, dot_lines
from fuse.expr import Expr, make
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def _matrix(w: Writer, node: Expr) -> tuple[Expr, str]:
    """The operand that is a square matrix of the result's dtype, or a stack of them, and its size."""
    arg = node.args[0]
    dtype = arg.type.dtype
    if dtype not in ("float64", "float32") or any(a.type.dtype != dtype for a in node.args):
        raise NotCompiled(node.op.name)
    n, m = w.shape(arg)[-2:]
    if n != m:
        w.lines += [f"if {n} != {m}:", "    return 3"]
    return arg, n


class Each:
    """One entry of stacks, of which the indices are names: the matrix or the number at them."""

    def __init__(self, w: Writer, lead: Sequence[str]) -> None:
        self.w = w
        self.index = [w.fresh("m") for _ in lead]

    def __call__(self, stack: Place, own: int = 2) -> Place:
        """The entry, which has ``own`` dimensions; what has a size of 1 is every entry's."""
        lead = len(stack.shape) - own
        if lead == 0:
            return stack
        at = ["0" if n == "1" else i for n, i in zip(stack.shape[:lead], self.index[-lead:], strict=True)]
        name = self.w.fresh("p")
        self.w.lines.append(f"{name} = {stack.at(*at)}")
        return Place(stack.buffer, name, stack.shape[lead:], None if stack.strides is None else stack.strides[lead:])

    def number(self, stack: Place | str) -> str:
        """The text of an entry that is a number; a name is the number itself."""
        if isinstance(stack, str):
            return stack
        found = self(stack, 0)
        return f"load({found.buffer}, {found.offset})"


def _over(w: Writer, lead: Sequence[str], write: Callable[[Each], None]) -> None:
    """What ``write`` writes for one entry, for each entry of stacks with these leading sizes."""
    each = Each(w, lead)
    before, w.lines = w.lines, []
    write(each)
    loops = ["    " * d + f"for {i} in range({n}):" for d, (i, n) in enumerate(zip(each.index, lead, strict=True))]
    w.lines = [*before, *loops, *["    " * len(loops) + line for line in w.lines]]


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


def _factored(w: Writer, arg: Expr, n: str) -> tuple[Place, Place, Place | str]:
    """Both triangles of matrices with their rows in other places, these, and the signs of their orders.

    The sign is 0 where a pivot is; that of one matrix is a name.
    """
    key = ("factors", arg)
    if key in w.where:
        found: tuple[Place, Place, Place | str] = w.where[key]
        return found
    dtype, lead = arg.type.dtype, w.shape(arg)[:-2]
    stack, orders = w.scratch(dtype, (*lead, n, n)), w.scratch("int64", (*lead, n))
    u = w.fresh("g")
    signs = w.scratch(dtype, lead) if lead else f"{u}_sign"
    source = w.place(arg)

    def write(each: Each) -> None:
        x, places = each(stack), each(orders, 1)
        sign, best, at = f"{u}_sign", f"{u}_best", f"{u}_at"
        k, i, j, c, f = (f"{u}_{letter}" for letter in "kijcf")
        row, pivot = x.at(i, j), x.at(k, j)
        w.lines += [
            *copy_lines(w.fresh("c"), each(source), x), f"{sign} = {_number('1.0', dtype)}",
            f"for {k} in range({n}):",
            f"    {at} = {k}", f"    {best} = abs(load({x.buffer}, {x.at(k, k)}))",
            f"    for {i} in range({k} + 1, {n}):", f"        {c} = abs(load({x.buffer}, {x.at(i, k)}))",
            f"        if {c} > {best}:", f"            {best} = {c}", f"            {at} = {i}",
            f"    store({places.buffer}, {places.at(k)}, {at})",
            f"    if {best} == {_number('0.0', dtype)}:", f"        {sign} = {_number('0.0', dtype)}",
            "    else:",
            f"        if {at} != {k}:", f"            {sign} = -{sign}", *_swapped(u, " " * 12, x, n, k, at),
            f"        for {i} in range({k} + 1, {n}):",
            f"            {f} = load({x.buffer}, {x.at(i, k)}) / load({x.buffer}, {x.at(k, k)})",
            f"            store({x.buffer}, {x.at(i, k)}, {f})",
            f"            for {j} in range({k} + 1, {n}):", "                independent()",
            f"                store({x.buffer}, {row}, load({x.buffer}, {row}) - {f} * load({x.buffer}, {pivot}))",
        ]
        if isinstance(signs, Place):
            kept = each(signs, 0)
            w.lines.append(f"store({kept.buffer}, {kept.offset}, {sign})")

    _over(w, lead, write)
    w.where[key] = stack, orders, signs
    return stack, orders, signs


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


def _solved(w: Writer, arg: Expr, n: str, out: Place, m: str, lead: Sequence[str]) -> None:
    """Replace right-hand sides by solutions."""
    stack, orders, signs = _factored(w, arg, n)

    def write(each: Each) -> None:
        factors, places, x = each(stack), each(orders, 1), _columns(each, out, lead)
        w.lines += [f"if {each.number(signs)} == {_number('0.0', arg.type.dtype)}:", "    return 3"]
        u = w.fresh("s")
        w.lines += [
            f"for {u}_k in range({n}):", f"    {u}_p = load({places.buffer}, {places.at(f'{u}_k')})",
            f"    if {u}_p != {u}_k:", *_swapped(u, " " * 8, x, m, f"{u}_k", f"{u}_p"),
        ]
        _substituted(w, factors, n, x, m, lower=True, unit=True)
        _substituted(w, factors, n, x, m, lower=False, unit=False)

    _over(w, lead, write)


def _columns(each: Each, stack: Place, lead: Sequence[str]) -> Place:
    """The right-hand sides, or the solutions, of one system: one or several columns."""
    return each(stack, len(stack.shape) - len(lead))


def _memory(w: Writer, node: Expr) -> Place:
    """Where the result is computed: in C order."""
    out = w.new(node)
    return out if out.strides is None else w.scratch(node.type.dtype, w.shape(node))


def _inverse(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    out, lead = _memory(w, node), w.shape(node)[:-2]
    one, zero = _number("1.0", node.type.dtype), _number("0.0", node.type.dtype)

    def write(each: Each) -> None:
        x = each(out)
        u = w.fresh("o")
        w.lines += [
            f"for {u}_i in range({n}):", f"    for {u}_j in range({n}):",
            f"        store({x.buffer}, {x.at(f'{u}_i', f'{u}_j')}, {one} if {u}_i == {u}_j else {zero})",
        ]

    _over(w, lead, write)
    _solved(w, arg, n, out, n, lead)
    w.values[node] = out


def _check_lead(w: Writer, lead: Sequence[str], found: Sequence[Sequence[str]], always: bool = False) -> None:
    """Leave the loop where leading sizes of operands are not those of the result; those known to be 1 may be others.

    ``always``: not even these.
    """
    for sizes in found:
        for a, b in zip(sizes, lead[len(lead) - len(sizes):], strict=True):
            if a != b and (always or a != "1"):
                w.lines += [f"if {a} != {b}:", "    return 3"]


def _right(w: Writer, node: Expr, n: str) -> tuple[Place, str, tuple[str, ...]]:
    """A copy of the right-hand sides, how many columns they have, and the sizes of the stack."""
    left, right = node.args
    own = min(right.type.ndim, 2)
    sizes = w.shape(right)
    if sizes[-own] != n:
        w.lines += [f"if {sizes[-own]} != {n}:", "    return 3"]
    lead = w.shape(node)[:-own]
    _check_lead(w, lead, [w.shape(left)[:-2], sizes[:-own]])
    source, out = w.place(right), _memory(w, node)
    _over(w, lead, lambda each: w.lines.extend(
        copy_lines(w.fresh("c"), each(source, own), _columns(each, out, lead))))
    return out, sizes[-1] if own == 2 else "1", lead


def _solve(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    out, m, lead = _right(w, node, n)
    _solved(w, arg, n, out, m, lead)
    w.values[node] = out


def _triangular(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    out, m, lead = _right(w, node, n)
    source, unit = w.place(arg), node.params["unit_diagonal"]
    zero = _number("0.0", node.type.dtype)

    def write(each: Each) -> None:
        a, x = each(source), _columns(each, out, lead)
        if not unit:
            u = w.fresh("s")
            w.lines += [f"for {u}_i in range({n}):",
                        f"    if load({a.buffer}, {a.at(f'{u}_i', f'{u}_i')}) == {zero}:", "        return 3"]
        _substituted(w, a, n, x, m, node.params["lower"], unit)

    _over(w, lead, write)
    w.values[node] = out


def _slogdet(w: Writer, node: Expr) -> None:
    """The sign, and the logarithm as a sum of those of the pivots: it does not overflow."""
    arg, n = _matrix(w, node)
    parts = [make(OPS["part"], (node,), {"i": i}) for i in range(2)]
    lead = w.shape(arg)[:-2]
    if lead:
        outs = [w.given[p] if p in w.given else w.scratch(p.type.dtype, lead) for p in parts]
        w.values.update(zip(parts, outs, strict=True))

    def write(each: Each, factors: Place, order: str) -> None:
        found = _logarithm(w, arg.type.dtype, n, factors, order)
        for k, part in enumerate(parts):
            if lead:
                out = each(outs[k], 0)
                w.lines.append(f"store({out.buffer}, {out.offset}, {found[k]})")
            else:
                w.values[part] = found[k]

    _from_factors(w, arg, n, write)


def _det(w: Writer, node: Expr) -> None:
    arg, n = _matrix(w, node)
    out = w.new(node) if node.type.ndim else None

    def write(each: Each, factors: Place, order: str) -> None:
        sign, total = _logarithm(w, arg.type.dtype, n, factors, order)
        value = f"{sign} * {_function(w, 'exp', node.type.dtype)}({total})"
        if out is None:
            name = w.values[node] = w.fresh("v")
            w.lines.append(f"{name} = {value}")
        else:
            at = each(out, 0)
            w.lines.append(f"store({at.buffer}, {at.offset}, {value})")

    _from_factors(w, arg, n, write)
    if out is not None:
        w.values[node] = out


def _from_factors(w: Writer, arg: Expr, n: str, write: Callable[[Each, Place, str], None]) -> None:
    """What ``write`` writes for the factors of each matrix and the sign of their order."""
    stack, _, signs = _factored(w, arg, n)
    _over(w, w.shape(arg)[:-2], lambda each: write(each, each(stack), each.number(signs)))


def _logarithm(w: Writer, dtype: str, n: str, x: Place, order: str) -> tuple[str, str]:
    u = w.fresh("l")
    sign, total, zero = f"{u}_sign", f"{u}_log", _number("0.0", dtype)
    log = _function(w, "log", dtype)
    w.lines += [
        f"{sign} = {order}", f"{total} = {zero}", f"if {sign} == {zero}:",
        f"    {total} = {_number('-np.inf', dtype)}", "else:", f"    for {u}_i in range({n}):",
        f"        {u}_p = load({x.buffer}, {x.at(f'{u}_i', f'{u}_i')})",
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
    """The lower factors, row by row; the upper one is that of the transposed matrix, transposed."""
    arg, n = _matrix(w, node)
    dtype, lower = node.type.dtype, node.params["lower"]
    result, lead = _memory(w, node), w.shape(node)[:-2]
    stack = result if lower else w.scratch(dtype, (n, n))
    source = w.place(arg)

    def write(each: Each) -> None:
        x, a = each(result), each(source)
        a, out = (a, x) if lower else (a.permuted((1, 0)), stack)
        u = w.fresh("q")
        i, j, k, s = (f"{u}_{letter}" for letter in "ijks")
        zero, b, bad = _number("0.0", dtype), out.buffer, f"{u}_bad"
        failed = ["        " + x for x in ([f"{bad} = 1"] if node.params.get("on_error") == "nan" else ["return 3"])]
        w.lines += [
            f"{bad} = 0", f"for {i} in range({n}):",
            f"    for {j} in range({i}):",
            f"        {s} = load({a.buffer}, {a.at(i, j)})", f"        for {k} in range({j}):",
            f"            {s} = radd({s}, -load({b}, {out.at(i, k)}) * load({b}, {out.at(j, k)}))",
            f"        store({b}, {out.at(i, j)}, {s} / load({b}, {out.at(j, j)}))",
            f"    {s} = load({a.buffer}, {a.at(i, i)})", f"    for {k} in range({i}):",
            f"        {u}_v = load({b}, {out.at(i, k)})", f"        {s} = radd({s}, -{u}_v * {u}_v)",
            f"    if not {s} > {zero}:", *failed,
            f"    store({b}, {out.at(i, i)}, {_function(w, 'sqrt', dtype)}({s}))",
            f"    for {j} in range({i} + 1, {n}):", f"        store({b}, {out.at(i, j)}, {zero})",
        ]
        if not lower:
            w.lines += copy_lines(w.fresh("c"), out.permuted((1, 0)), x)
        if node.params.get("on_error") == "nan":
            w.lines += [f"if {bad} != 0:", f"    for {i} in range({n} * {n}):",
                        f"        store({x.buffer}, {x.offset} + {i}, {_number('np.nan', dtype)})"]

    _over(w, lead, write)
    w.values[node] = result


def _products(w: Writer, node: Expr) -> None:
    """The products of two stacks of matrices, one by one; those of matmul broadcast."""
    dtype = node.type.dtype
    if dtype not in ("float64", "float32") or any(a.type.dtype != dtype for a in node.args):
        raise NotCompiled(f"{node.op.name} of this dtype")
    lead = w.shape(node)[:-2]
    left, right = [w.place(a) for a in node.args]
    _check_lead(w, lead, [left.shape[:-2], right.shape[:-2]], always=node.op.name == "batched_dot")
    if left.shape[-1] != right.shape[-2]:
        w.lines += [f"if {left.shape[-1]} != {right.shape[-2]}:", "    return 3"]
    out = w.new(node)

    def write(each: Each) -> None:
        w.lines += dot_lines(w.fresh("d"), dtype, each(left), each(right), each(out))

    _over(w, lead, write)
    w.values[node] = out


MATRICES: dict[str, Callable[[Any, Expr], None]] = {
    "matrix_inverse": _inverse, "solve": _solve, "solve_triangular": _triangular, "det": _det, "slogdet": _slogdet,
    "cholesky": _cholesky, "matmul": _products, "batched_dot": _products,
}
