"""From SymPy to expressions: a walk over SymPy's tree without recursion, one table entry per kind of node."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from importlib import import_module
from math import pi
from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.op import OPS
from fuse.symbolic.lazily import sympy
from fuse.types import COMPLEX, INTEGER, TensorType, dtype_name

_variables: dict[sympy.Basic, Expr] = {}


def from_sympy(
    expr: Any,
    mapping: Mapping[Any, Any] | None = None,
    dtype: str = "floatX",
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:
    """The SymPy expression ``expr`` as an expression; a Matrix or Array becomes an array expression.

    ``mapping`` gives expressions (or numbers) for symbols. A symbol that it lacks becomes a scalar input of its name,
    of ``dtype`` (int64 where SymPy knows it as integer), a MatrixSymbol a matrix; the same symbol always becomes the
    same input, and ``expr.free_symbols`` has them. ``functions`` says what functions mean, undefined ones above all.

    Raises FuseTypeError for what has no numerical meaning here (unevaluated integrals, limits, sets).

    >>> import sympy, fuse
    >>> x, y = sympy.symbols("x y")
    >>> fuse.from_sympy(sympy.exp(-x) / (1 + y**2))
    exp(-x) / (y ** 2 + 1)
    """
    float_dtype = dtype_name(dtype)
    given = {sympy.sympify(k): as_expr(v) for k, v in (mapping or {}).items()}
    walk = Walk(given, float_dtype, functions or {})
    return walk.convert(_sympified(expr))


def _sympified(value: Any) -> Any:
    if isinstance(value, str):
        raise FuseTypeError("from_sympy takes SymPy expressions, not text: sympy.parse_expr reads text (and runs it)")
    return sympy.sympify(value)


def simplified_by_sympy(expr: Expr, **options: Any) -> Expr:
    """``expr`` through SymPy's ``simplify`` and back, with its own inputs and its own dtype."""
    from fuse.symbolic.outward import to_sympy
    from fuse.symbolic.structure import free_symbols

    stand_ins = {
        s: sympy.Dummy(s.name or f"x{i}", real=True)
        for i, s in enumerate(sorted(free_symbols(expr), key=lambda s: s.name or ""))
    }
    if any(s.type.ndim for s in stand_ins):
        raise FuseTypeError("SymPy simplifies scalar expressions; simplify() without sympy=True takes arrays too")
    simple = sympy.simplify(to_sympy(expr, stand_ins), **options)
    back = from_sympy(simple, {dummy: s for s, dummy in stand_ins.items()}, dtype=expr.dtype)
    if isinstance(back, Constant):
        return constant(back.data, dtype=expr.dtype)
    return back if back.dtype == expr.dtype else ew.cast(back, expr.dtype)


class Walk:
    """One conversion: what symbols mean, and the dtype of numbers that are no integers."""

    def __init__(
        self, given: Mapping[Any, Expr], float_dtype: str, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.given, self.float_dtype, self.functions = dict(given), float_dtype, functions
        self._memory: dict[int, Any] = {}

    def convert(self, root: Any) -> Any:
        """``root`` as an expression, arguments first."""
        alive: list[Any] = []  # the memory goes by id: a node that SymPy makes on the fly must not be freed and reused
        stack = [root]
        while stack:
            node = stack[-1]
            if id(node) in self._memory:
                stack.pop()
                continue
            children = self._children(node)
            waiting = [c for c in children if id(c) not in self._memory]
            if waiting:
                stack += waiting
                alive += waiting
                continue
            self._memory[id(node)] = self._node(node, [self._memory[id(c)] for c in children])
            stack.pop()
        return self._memory[id(root)]

    def _children(self, node: Any) -> Sequence[Any]:
        if self._is_whole(node):
            return ()
        return node.args

    def _is_whole(self, node: Any) -> bool:
        """Whether ``node`` is converted without its arguments having been."""
        return node in self.given or not node.args or isinstance(node, _whole()) and not isinstance(node, sympy.Inverse)

    def _node(self, node: Any, args: list[Any]) -> Any:
        if node in self.given:
            return self.given[node]
        numbers = sympy.Number, sympy.NumberSymbol, sympy.logic.boolalg.BooleanAtom
        if isinstance(node, numbers) or node in (sympy.I, sympy.zoo):
            return self.number(node)
        if (
            args
            and isinstance(node, sympy.Expr)
            and all(isinstance(a, Constant) and not a.type.ndim for a in args)
            and not node.free_symbols
        ):
            return self.number(node)  # sqrt(2), log(2): in full precision, where ours of a small integer is float32
        name = type(node).__name__
        if name in self.functions and args:
            return as_expr(self.functions[name](*args))
        for kind, build in _table():
            if isinstance(node, kind):
                return build(self, node, args)
        if name in _functions() and args:
            return _functions()[name](*map(self.floating, args))
        raise FuseTypeError(
            f"{name} ({node!s:.60}) has no meaning as an expression here: evaluate it in SymPy first (doit(), "
            f"rewrite(...)), or give functions={{{name!r}: ...}}"
        )

    def floating(self, x: Expr) -> Expr:
        """``x``; an integer constant in the float dtype: functions of small integers are float32 here."""
        return constant(x.data, dtype=self.float_dtype) if isinstance(x, Constant) and x.dtype in INTEGER else x

    def number(self, node: Any) -> Expr:
        """A number of SymPy's: integers as small as they are, others in the float dtype."""
        if isinstance(node, sympy.logic.boolalg.BooleanAtom):
            return constant(bool(node))
        if isinstance(node, sympy.Integer) and -(2**63) <= int(node) < 2**63:
            return constant(int(node))
        if node is sympy.zoo:
            return constant(float("nan"), dtype=self.float_dtype)
        value = complex(node)
        if node.is_extended_real is False or value.imag:
            return constant(value, dtype="complex64" if self.float_dtype == "float32" else "complex128")
        return constant(value.real, dtype=self.float_dtype)

    def variable(self, node: Any) -> Expr:
        """The input that stands for a symbol."""
        if isinstance(node, sympy.MatrixSymbol):
            shape: Any = [int(n) if n.is_Integer else None for n in node.shape]
            type_ = TensorType(self.float_dtype, shape)
        else:
            type_ = TensorType("int64" if node.is_integer else self.float_dtype, ())
        known = _variables.get((node, type_))
        if known is None:
            known = _variables.setdefault((node, type_), type_(str(node.name)))  # one for all threads
        return known


# ---------------------------------------------------------------- arithmetic
def _add(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    total: Expr | None = None
    pairs = list(zip(node.args, args, strict=True))
    if isinstance(node.args[0], sympy.Number):  # SymPy keeps it in front and prints it last
        pairs.append(pairs.pop(0))
    for term, value in pairs:
        if total is not None and _is_minus(term):
            total = ew.sub(total, walk.convert(-term))
        else:
            total = value if total is None else ew.add(total, value)
    assert total is not None
    return total


def _is_minus(term: Any) -> bool:
    """Whether ``term`` is written with a minus sign in front; deep terms are not opened to find out."""
    first = term.args[0] if isinstance(term, sympy.Mul) else term
    return isinstance(first, sympy.Rational) and first.p < 0 or isinstance(first, sympy.Float) and bool(first < 0)


def _mul(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    above: list[Expr] = []
    below: list[Expr] = []
    sign = False
    for factor, value in zip(node.args, args, strict=True):
        if factor is sympy.S.NegativeOne:
            sign = not sign
        elif isinstance(factor, sympy.Rational) and not factor.is_Integer and abs(factor.p) == 1:
            sign ^= factor.p < 0
            below.append(walk.number(sympy.Integer(factor.q)))
        elif isinstance(factor, sympy.Pow) and isinstance(factor.exp, sympy.Rational) and factor.exp.is_negative:
            below.append(_power_of(walk, factor.base, -factor.exp))
        else:
            above.append(value)
    top = reduce(ew.mul, above) if above else constant(1, dtype=walk.float_dtype)
    out = ew.true_div(top, reduce(ew.mul, below)) if below else top
    return ew.neg(out) if sign else out


def _power_of(walk: Walk, base: Any, exponent: Any) -> Expr:
    x = walk.convert(base)
    if isinstance(exponent, sympy.Rational) and exponent.is_negative:
        return ew.true_div(constant(1), _power_of(walk, base, -exponent))
    if exponent == sympy.S.One:
        return x
    if exponent == sympy.S.Half:
        return ew.sqrt(walk.floating(x))
    return ew.pow(x, walk.convert(exponent))


def _pow(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    if node.base is sympy.E:
        return ew.exp(args[1])
    return _power_of(walk, node.base, node.exp)


# ---------------------------------------------------------------- choices and logic
def _piecewise(walk: Walk, node: Any, args: list[Any]) -> Expr:
    pieces = list(args)
    if node.args[-1].cond == True:  # noqa: E712 (SymPy's true is not Python's)
        out = pieces.pop()[0]
    else:
        out = constant(float("nan"), dtype=walk.float_dtype)
    for value, condition in reversed(pieces):
        out = ew.switch(condition, value, out)
    return out


def _heaviside(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    at_zero = args[1] if len(args) > 1 else constant(0.5)
    zero, one = constant(0.0, dtype=walk.float_dtype), constant(1.0, dtype=walk.float_dtype)
    return ew.switch(ew.gt(args[0], 0), one, ew.switch(ew.lt(args[0], 0), zero, at_zero + args[0] * 0))


def _folded(binary: Callable[[Any, Any], Expr]) -> Callable[..., Expr]:
    return lambda walk, node, args: reduce(binary, args)


# ---------------------------------------------------------------- arrays
def _stacked(walk: Walk, node: Any, _: list[Any]) -> Expr:
    """A Matrix or Array: its entries as a vector, in its shape."""
    flat = list(node.flat()) if hasattr(node, "flat") else list(sympy.flatten(node.tolist()))
    items = [walk.convert(item) for item in flat]
    shape = tuple([int(n) for n in node.shape])
    if any(i.type.ndim for i in items):
        raise FuseTypeError("a Matrix with entries that are arrays: fuse.lambdify evaluates it for arrays")
    vector = OPS["make_vector"](*items) if items else constant([], dtype=walk.float_dtype)
    return OPS["reshape"](vector, *[constant(n, dtype="int64") for n in shape])


def _element(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    return args[0][tuple(args[1:])]


def _summed(walk: Walk, node: Any, _: list[Any]) -> Expr:
    """A Sum or Product over integer ranges: written out by SymPy where short, else over an arange."""
    reducer = "sum" if isinstance(node, sympy.Sum) else "prod"
    out = node.function
    for index, low, high in node.limits:
        count = high - low + 1
        if count.is_Integer and int(count) <= 16:
            total = sympy.Add if reducer == "sum" else sympy.Mul
            out = total(*[out.subs(index, low + i) for i in range(int(count))])
            continue
        if len(node.limits) > 1:
            raise FuseTypeError(f"a {type(node).__name__} over several long ranges: nest lambdify calls, or use arrays")
        start, stop = walk.convert(low), walk.convert(high)
        length = ew.maximum(ew.cast(stop, "int64") - ew.cast(start, "int64") + 1, 0)
        steps = OPS["iota"](length) + ew.cast(start, "int64")
        inner = Walk({**walk.given, index: steps}, walk.float_dtype, walk.functions).convert(out)
        if inner.type.ndim != 1:
            raise FuseTypeError(f"a {type(node).__name__} with a symbolic range takes scalar symbols")
        return OPS[reducer](inner, axis=(0,), dtype=inner.dtype)
    return walk.convert(out)


def _done(walk: Walk, node: Any, _: list[Any]) -> Expr:
    """What SymPy has not evaluated yet, but can."""
    if (found := node.doit()).has(sympy.Derivative, sympy.Subs):
        raise FuseTypeError(f"{node!s:.60} is a derivative that SymPy does not know: write it out")
    return walk.convert(found)


def _matrix_op(name: str) -> Callable[..., Expr]:
    def build(walk: Walk, node: Any, args: list[Expr]) -> Expr:
        import fuse.frontend.decompositions  # noqa: F401 (its ops are registered when it is imported)

        return OPS[name](args[0])

    return build


def _matrix_power(walk: Walk, node: Any, _: list[Any]) -> Expr:
    if not node.exp.is_Integer or not 1 <= int(node.exp) <= 64:
        raise FuseTypeError(f"a power of a matrix is a whole number from 1 to 64 here, not {node.exp}")
    x = walk.convert(node.base)
    return reduce(lambda a, b: OPS["dot"](a, b), [x] * int(node.exp))


def _polygamma(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    order = node.args[0]
    if not order.is_Integer or order < 0:
        raise FuseTypeError(f"polygamma has a whole number >= 0 for its order, not {order}")
    x = walk.floating(args[1])
    return ew.psi(x) if order == 0 else ew.tri_gamma(x) if order == 1 else ew.polygamma(int(order), x)


_SELDOM = {
    "besselj": ("bessel", "jv"), "bessely": ("bessel", "yv"), "besseli": ("bessel", "iv"), "besselk": ("bessel", "kv"),
    "lowergamma": ("incomplete", "gammal"), "uppergamma": ("incomplete", "gammau"), "beta": ("incomplete", "beta"),
    "RisingFactorial": ("incomplete", "poch"), "sinc": ("incomplete", "sinc"),
}


def _seldom(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    """Functions whose modules are imported when one of them is met."""
    module, name = _SELDOM[type(node).__name__]
    return getattr(import_module(f"fuse.frontend.{module}"), name)(*[walk.floating(a) for a in args])


def _falling(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    """``x (x - 1) ... (x - k + 1)``, and for binomials a part of that."""
    x, k = [walk.floating(a) for a in args]
    product = import_module("fuse.frontend.incomplete").poch(x - k + 1.0, k)
    if isinstance(node, sympy.FallingFactorial):
        return product
    return ew.switch(ew.and_(ew.lt(k, 0), ew.eq(k, ew.floor(k))), 0.0, product / ew.gamma(k + 1.0))


def _harmonic(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    if len(args) > 1:
        raise FuseTypeError(f"harmonic numbers of an order ({node}) have no meaning as an expression here")
    return ew.psi(walk.floating(args[0]) + 1.0) + float(sympy.EulerGamma)


def _is_real(x: Expr) -> bool:
    return x.dtype not in COMPLEX


@cache
def _whole() -> tuple[type, ...]:
    """SymPy's nodes that are read with their arguments, not after them."""
    from sympy.concrete.expr_with_limits import ExprWithLimits

    return (
        sympy.MatrixBase, sympy.NDimArray, ExprWithLimits, sympy.Derivative, sympy.Limit, sympy.Subs,
        sympy.MatrixSymbol, sympy.MatPow, sympy.Idx,
    )


@cache
def _table() -> tuple[tuple[Any, Callable[..., Any]], ...]:
    """What each class of SymPy's means; the first that fits counts."""
    from sympy.codegen import cfunctions

    return (
        (sympy.MatrixSymbol, lambda walk, node, args: walk.variable(node)),
        (sympy.Symbol, lambda walk, node, args: walk.variable(node)),
        ((sympy.MatrixBase, sympy.NDimArray), _stacked),
        (sympy.MatMul, _folded(lambda a, b: ew.mul(a, b) if not (a.ndim and b.ndim) else OPS["dot"](a, b))),
        (
            (sympy.MatAdd, sympy.HadamardProduct),
            lambda walk, node, args: reduce(ew.mul if isinstance(node, sympy.HadamardProduct) else ew.add, args),
        ),
        (sympy.Transpose, lambda walk, node, args: OPS["dimshuffle"](args[0], pattern=(1, 0))),
        (sympy.Inverse, _matrix_op("matrix_inverse")),
        (sympy.Determinant, _matrix_op("det")),
        (sympy.MatPow, _matrix_power),
        (sympy.Trace, lambda walk, node, args: args[0].trace()),
        ((sympy.matrices.expressions.matexpr.MatrixElement, sympy.Indexed), _element),
        (sympy.Add, _add),
        (sympy.Mul, _mul),
        (sympy.Pow, _pow),
        (sympy.polygamma, _polygamma),
        (
            (sympy.re, sympy.conjugate),
            lambda walk, node, args: args[0] if _is_real(args[0]) else _functions()[type(node).__name__](*args),
        ),
        (sympy.im, lambda walk, node, args: args[0] * 0 if _is_real(args[0]) else ew.imag(args[0])),
        (sympy.functions.elementary.piecewise.ExprCondPair, lambda walk, node, args: tuple(args)),
        (sympy.Piecewise, _piecewise),
        (sympy.ITE, lambda walk, node, args: ew.switch(*args)),
        (sympy.Heaviside, _heaviside),
        (sympy.And, _folded(ew.and_)),
        (sympy.Or, _folded(ew.or_)),
        (sympy.Xor, _folded(ew.xor)),
        (sympy.Not, lambda walk, node, args: ew.invert(args[0])),
        (sympy.Max, _folded(ew.maximum)),
        (sympy.Min, _folded(ew.minimum)),
        ((sympy.Sum, sympy.Product), _summed),
        (sympy.factorial, lambda walk, node, args: ew.gamma(args[0] + 1.0)),
        (sympy.sinc, lambda walk, node, args: _seldom(walk, node, [walk.floating(args[0]) / pi])),
        ((sympy.Derivative, sympy.Subs), _done),
        ((sympy.binomial, sympy.FallingFactorial), _falling),
        (sympy.harmonic, _harmonic),
        (sympy.KroneckerDelta, lambda walk, node, args: ew.cast(ew.eq(*args[:2]), "int8")),
        (sympy.frac, lambda walk, node, args: args[0] - ew.floor(args[0])),
        (
            (
                sympy.besselj, sympy.bessely, sympy.besseli, sympy.besselk, sympy.lowergamma, sympy.uppergamma,
                sympy.beta, sympy.RisingFactorial,
            ),
            _seldom,
        ),
        ((sympy.sec, sympy.csc, sympy.cot, sympy.sech, sympy.csch, sympy.coth), _reciprocal),
        ((sympy.asec, sympy.acsc, sympy.acot, sympy.asech, sympy.acsch, sympy.acoth), _reciprocal),
        (cfunctions.fma, lambda walk, node, args: args[0] * args[1] + args[2]),
    )


_RECIPROCAL = {
    "sec": "cos", "csc": "sin", "cot": "tan", "sech": "cosh", "csch": "sinh", "coth": "tanh",
    "asec": "arccos", "acsc": "arcsin", "acot": "arctan", "asech": "arccosh", "acsch": "arcsinh", "acoth": "arctanh",
}


def _reciprocal(walk: Walk, node: Any, args: list[Expr]) -> Expr:
    name = type(node).__name__
    if name.startswith("a"):
        return getattr(ew, _RECIPROCAL[name])(ew.true_div(1.0, args[0]))
    return ew.true_div(1.0, getattr(ew, _RECIPROCAL[name])(walk.floating(args[0])))


_NAMES = {"Relational": None, "Sqrt": "sqrt", "Equality": "eq", "Unequality": "neq", "StrictLessThan": "lt",
          "LessThan": "le", "StrictGreaterThan": "gt", "GreaterThan": "ge", "Cbrt": "cbrt"}


@cache
def _functions() -> dict[str, Callable[..., Expr]]:
    """Function names of SymPy whose meaning is one op: read off the records' templates, plus other spellings."""
    found: dict[str, Callable[..., Expr]] = {}
    found["log"] = lambda x, *base: ew.log(x) / ew.log(base[0]) if base else ew.log(x)
    for record in OPS.values():
        single = re.fullmatch(r"(\w+)\((x(?:, y(?:, z)?)?)\)", record.sympy or "")
        if single and record.nargs == single[2].count(",") + 1:
            found.setdefault(single[1], record)
    for record in (OPS[n] for n in ("log1p", "expm1", "exp2", "log2", "log10", "hypot", "erfc") if n in OPS):
        found.setdefault(record.name, record)
    for theirs, ours in _NAMES.items():
        if ours in OPS:
            found[theirs] = OPS[ours]
    return found
