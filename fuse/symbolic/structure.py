"""Expressions as SymPy shows its own: func, subs, replace, atoms, has, free_symbols, diff, simplify."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, as_expr, constant, rebuild, substitute, toposort
from fuse.op import OPS, Op


class Applied:
    """What makes a node from its arguments: ``expr.func(*expr.args) is expr``."""

    __slots__ = ("op", "params")

    def __init__(self, op: Op, params: Mapping[str, Any]) -> None:
        self.op, self.params = op, params

    def __call__(self, *args: Any) -> Expr:
        return self.op(*args, **self.params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Applied) and self.op is other.op and dict(self.params) == dict(other.params)

    def __hash__(self) -> int:
        return hash((self.op, tuple(sorted(self.params))))

    @property
    def __name__(self) -> str:
        return str(self.op)

    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in self.params.items())
        return f"{self.op}({inner})" if inner else str(self.op)


def func(expr: Expr) -> Any:
    """The operation at the top of ``expr``, such that ``expr.func(*expr.args) is expr``; for a leaf: returns it.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> e = T.exp(x) + 1
    >>> e.func, e.func(*e.args) is e
    (add, True)
    """
    if expr.is_leaf:
        return lambda: expr
    return Applied(expr.op, expr.params)


def xreplace(expr: Expr, rule: Mapping[Any, Any]) -> Expr:
    """``expr`` with each key of ``rule`` replaced by its value, all at once; the replacements are not searched.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> (x + 2 * y).xreplace({x: y, y: x})
    y + 2 * x
    """
    return substitute([expr], {_old(expr, k): _fitted(v, _old(expr, k)) for k, v in rule.items()})[0]


def subs(expr: Expr, *args: Any, simultaneous: bool = False) -> Expr:
    """``expr`` with subexpressions replaced: ``subs(old, new)``, ``subs({old: new})`` or ``subs([(old, new), ...])``.

    A dict is replaced all at once, a list one pair after the other. Inputs may be given by name. Numbers take the
    dtype of what they replace.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> (x ** 2 + y).subs(x, T.sin(y)), (x * y).subs([(x, y), (y, 2)]), (x * y).subs({"x": 3})
    (sin(y) ** 2 + y, 2.0 * 2.0, 3.0 * y)
    """
    if len(args) == 2:
        pairs: list[tuple[Any, Any]] = [(args[0], args[1])]
    elif len(args) == 1:
        pairs = list(args[0].items()) if isinstance(args[0], Mapping) else list(args[0])
        simultaneous = simultaneous or isinstance(args[0], Mapping)
    else:
        raise FuseTypeError(f"subs takes (old, new), a dict or a list of pairs, not {len(args)} arguments")
    if simultaneous:
        return xreplace(expr, dict(pairs))
    for old, new in pairs:
        expr = xreplace(expr, {old: new})
    return expr


def _old(expr: Expr, key: Any) -> Expr:
    if isinstance(key, Expr):
        return key
    if isinstance(key, str):
        named = [s for s in toposort([expr]) if s.is_leaf and s.name == key]
        if len(named) == 1:
            return named[0]
        if len(named) > 1:
            raise FuseValueError(f"{len(named)} inputs are called {key!r}: give the variable itself")
        return constant(np.nan, name=f"absent {key}")  # as in SymPy, replacing what is not there changes nothing
    return as_expr(key)


def _fitted(value: Any, old: Expr) -> Expr:
    """``value`` in the dtype of what it replaces, as far as that loses nothing."""
    if isinstance(value, Expr):
        fits = value.dtype != old.dtype and np.can_cast(value.dtype, old.dtype, "safe")
        return OPS["cast"](value, dtype=old.dtype) if fits else value
    array = np.asarray(value)
    with np.errstate(all="ignore"):
        exact = array.dtype.kind in "biufc" and bool((array.astype(old.dtype) == array).all() or (array != array).all())
    return (
        constant(array.astype(old.dtype))
        if exact or array.dtype.kind in "fc" and old.dtype in ("float32", "float16")
        else as_expr(value)
    )


# ---------------------------------------------------------------- queries
def free_symbols(expr: Expr) -> set[Expr]:
    """The inputs and shared variables in ``expr``.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> sorted((x * y + 1).free_symbols, key=str)
    [x, y]
    """
    return {n for n in toposort([expr]) if n.is_leaf and not isinstance(n, Constant)}


def atoms(expr: Expr, *kinds: Any) -> set[Expr]:
    """The leaves of ``expr``; with ``kinds`` (classes such as Constant, or ops) the nodes that are of one of them.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> (T.exp(x) + 2).atoms(T.exp)
    {exp(x)}
    """
    tests = [_matcher(k) for k in kinds] or [lambda n: n.is_leaf]
    return {n for n in toposort([expr]) if any(t(n) for t in tests)}


def has(expr: Expr, *patterns: Any) -> bool:
    """Whether one of ``patterns`` (an expression, an op such as ``T.exp``, a class) occurs in ``expr``.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> (T.exp(x) + 1).has(x), (T.exp(x) + 1).has(y), (T.exp(x) + 1).has(T.exp)
    (True, False, True)
    """
    tests = [_matcher(p) for p in patterns]
    return any(t(n) for n in toposort([expr]) for t in tests)


def _matcher(pattern: Any) -> Callable[[Expr], bool]:
    if isinstance(pattern, Expr):
        return lambda node: node is pattern
    if isinstance(pattern, Applied):
        return lambda node: not node.is_leaf and Applied(node.op, node.params) == pattern
    if isinstance(pattern, type):
        return lambda node: isinstance(node, pattern)
    record = _record(pattern)
    if record is not None:
        return lambda node: node.op is record
    if callable(pattern):
        return lambda node: bool(pattern(node))
    wanted = as_expr(pattern)
    return lambda node: node is wanted


def _record(pattern: Any) -> Op | None:
    """The op record that ``pattern`` (a record or its public function, however wrapped) stands for."""
    while pattern is not None:
        record = pattern if isinstance(pattern, Op) else getattr(pattern, "op", None)
        if isinstance(record, Op):
            return record
        pattern = getattr(pattern, "__wrapped__", None)
    return None


def replace(expr: Expr, pattern: Any, value: Any) -> Expr:
    """``expr`` with every node that matches ``pattern`` replaced, arguments first.

    ``pattern`` is an expression, an op (``T.exp``; ``value`` then gets the node's arguments), or a test of a node
    (``value`` gets the node). ``value`` may also be an expression or a number.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> (T.exp(x) + T.exp(2 * x)).replace(T.exp, lambda a: 1 + a)
    1 + x + (1 + 2 * x)
    """
    test = _matcher(pattern)
    by_args = _record(pattern) is not None or isinstance(pattern, Applied)
    new: dict[Expr, Expr] = {}
    for node in toposort([expr]):
        node_now = rebuild(node, [new[a] for a in node.args]) if node.args else node
        if not test(node_now) and not test(node):
            new[node] = node_now
        elif callable(value) and not isinstance(value, Expr):
            new[node] = as_expr(value(*node_now.args) if by_args else value(node_now))
        else:
            new[node] = as_expr(value) if isinstance(value, Expr) else _fitted(value, node)
    return new[expr]


# ---------------------------------------------------------------- calculus
def diff(expr: Expr, *symbols: Any) -> Expr:
    """The derivative of ``expr``, simplified: ``e.diff(x)``, ``e.diff(x, 2)``, ``e.diff(x, y)``, ``e.diff((x, 2), y)``.

    By a 0-d variable the derivative has the shape of ``expr``. By an array it is the gradient of a scalar ``expr``, or
    the derivative element by element where ``expr`` works element by element on arrays of that shape.

    Raises FuseTypeError for other arrays (see ``fuse.gradient.jacobian``).

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float((x ** 3).diff(x, 2).eval({x: 2.0}))
    12.0
    """
    out = expr
    for variable, count in _orders(symbols):
        for _ in range(count):
            out = simplify(_derivative(out, variable))
    return out


def _orders(symbols: Iterable[Any]) -> list[tuple[Expr, int]]:
    orders: list[tuple[Expr, int]] = []
    for item in symbols:
        if isinstance(item, Expr) and not isinstance(item, Constant):
            orders.append((item, 1))
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            orders.append((item[0], _count(item[1])))
        elif orders:
            orders[-1] = (orders[-1][0], _count(item))
        else:
            raise FuseTypeError(f"diff takes variables and counts, such as diff(x, 2); not {item!r} first")
    if not orders:
        raise FuseTypeError("diff needs a variable: e.diff(x)")
    return orders


def _count(item: Any) -> int:
    if isinstance(item, (int, np.integer)) and item >= 0:
        return int(item)
    raise FuseTypeError(f"how often to differentiate is a whole number, not {item!r}")


def _derivative(expr: Expr, variable: Expr) -> Expr:
    from fuse.autodiff.forward import Rop
    from fuse.autodiff.reverse import grad
    from fuse.autodiff.sweep import filled

    if expr.type.ndim == 0 and variable.type.ndim:
        return grad(expr, variable, disconnected_inputs="ignore", add_names=False)
    if variable.type.ndim and not _elementwise_in(expr, variable):
        raise FuseTypeError(
            f"{expr} is no elementwise function of {variable.name or 'the variable'}: fuse.gradient.jacobian(e, x) has "
            f"all derivatives, Rop and Lop their products with vectors"
        )
    return Rop(expr, variable, filled(variable, 1.0), disconnected_outputs="ignore")


def _elementwise_in(expr: Expr, variable: Expr) -> bool:
    below: set[Expr] = {variable}
    for node in toposort([expr]):
        if not below.isdisjoint(node.args):
            below.add(node)
            if node.op.kind != "elementwise" or node.type.ndim != variable.type.ndim:
                return False
    return True


def simplify(expr: Expr, sympy: bool = False, **options: Any) -> Expr:
    """``expr`` simplified by fuse's rules, which keep the meaning of floating point up to the mode's allowance.

    With ``sympy=True`` a scalar expression goes through SymPy's ``simplify``, which knows more mathematics and
    respects neither rounding nor special values.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> (T.sin(x) ** 2 + T.cos(x) ** 2).simplify(sympy=True)
    1.0
    """
    if sympy:
        from fuse.symbolic.inward import simplified_by_sympy

        return simplified_by_sympy(expr, **options)
    from fuse import rules

    return rules.simplify(expr, **options)
