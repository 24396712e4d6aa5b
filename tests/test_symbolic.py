"""The SymPy face: structure, the way to SymPy and back, lambdify; SymPy itself is the oracle."""
from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import sympy as sp
import sympy.codegen.cfunctions

import fuse
import fuse.frontend
import fuse.tensor as T
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr
from fuse.op import OPS
from fuse.reference import evaluate
from fuse.symbolic import from_sympy, lambdify, to_sympy

for module in pkgutil.iter_modules(fuse.frontend.__path__):
    importlib.import_module(f"fuse.frontend.{module.name}")

x, y = T.dscalars("x", "y")
v = T.dvector("v")
X, Y, Z = sp.symbols("x y z")
N = sp.Symbol("n", integer=True)


# ---------------------------------------------------------------- structure
def test_func_and_args_rebuild_every_node():
    e = T.sum(T.exp(v)[1:] * x + T.cast(v[0], "float32"), axis=0) / 2
    from fuse.expr import toposort

    for node in toposort([e]):
        assert node.func(*node.args) is node
    assert (x + y).func == (y + x).func and hash((x + y).func) == hash((y * 2 + x).func)
    assert (x + y).func != (x * y).func and repr((x + y).func) == "add" and (x + y).func.__name__ == "add"


def test_subs():
    e = x ** 2 + y
    assert e.subs(x, y) is y ** 2 + y
    assert e.subs({x: y, y: x}) is y ** 2 + x
    assert e.subs([(x, y), (y, 2.0)]) is T.constant(2.0, dtype="float64") ** 2 + T.constant(2.0, dtype="float64")
    assert e.subs([(x, y), (y, x)], simultaneous=True) is y ** 2 + x
    assert e.subs("y", 3).subs("nothing", 1) is x ** 2 + T.constant(3.0, dtype="float64")
    assert e.subs(x ** 2, y) is y + y
    assert e.xreplace({x: T.sin(x)}) is T.sin(x) ** 2 + y
    with pytest.raises(FuseTypeError, match="subs takes"):
        e.subs(1, 2, 3)
    with pytest.raises(FuseValueError, match="2 inputs are called 'x'"):
        (x + T.dscalar("x")).subs("x", 1)


def test_numbers_take_the_dtype_of_what_they_replace():
    """100 as int8 would overflow."""
    assert float((x * x).subs(x, 100).eval()) == 10_000.0
    assert (x * x).subs(x, 100).dtype == "float64"
    f = T.fscalar("f")
    assert (f * 2).subs(f, 0.1).dtype == "float32"
    i = T.iscalar("i")
    assert (i + 1).subs(i, 7).dtype == "int32"
    assert float((i + 1).subs(i, 0.5).eval()) == 1.5


def test_queries():
    e = T.exp(x) * 2 + fuse.shared(1.0, name="s")
    assert {n.name for n in e.free_symbols} == {"x", "s"}
    assert e.has(x) and e.has(T.exp) and not e.has(y) and not e.has(T.sin) and e.has(2, y)
    assert e.atoms(T.exp) == {T.exp(x)}
    assert {a.data.item() for a in e.atoms(Constant)} == {2}
    assert len(e.atoms()) == 3
    assert e.has(lambda node: node.name == "s")


def test_replace():
    e = T.exp(T.exp(x)) + 2
    assert e.replace(T.exp, T.sin) is T.sin(T.sin(x)) + 2
    assert e.replace(T.exp, lambda a: a) is x + 2
    assert e.replace(lambda n: isinstance(n, Constant), lambda n: n * 2).eval({x: 0.0}) == pytest.approx(np.e + 4)
    assert e.replace(x, y) is T.exp(T.exp(y)) + 2
    assert e.replace(OPS["exp"], T.cos) is T.cos(T.cos(x)) + 2
    assert T.sum(v).replace(T.sum(v).func, lambda a: a[0]) is v[0]


def test_simplify():
    assert (T.exp(x) / (1 + T.exp(x))).simplify().op.name == "sigmoid"
    assert (T.sin(x) ** 2 + T.cos(x) ** 2).simplify(sympy=True) is T.constant(1.0, dtype="float64")
    back = ((x ** 2 - 1) / (x - 1)).simplify(sympy=True)
    assert float(back.eval({x: 3.0})) == 4.0 and back.dtype == "float64"
    with pytest.raises(FuseTypeError, match="SymPy simplifies scalar expressions"):
        (v + 1).simplify(sympy=True)


FORMULAS = [
    X**3,
    sp.sin(X) * sp.exp(-(X**2)),
    sp.log(1 + X**2),
    X**Y,
    sp.tanh(X * Y),
    sp.sqrt(X) / (1 + Y),
    sp.atan2(X, Y),
    sp.erf(X) * sp.gamma(Y),
    sp.cosh(X) - 1 / sp.cosh(Y),
    sp.Abs(X - Y) ** 3,
]


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_diff_is_that_of_sympy(formula):
    e = from_sympy(formula, {X: x, Y: y})
    real = {X: sp.Symbol("x", real=True), Y: sp.Symbol("y", real=True)}
    formula = formula.subs(real)
    for order, wanted in (
        (1, formula.diff(real[X])),
        (2, formula.diff(real[X], 2)),
        (3, formula.diff(real[X], 2, real[Y])),
    ):
        got = e.diff(x, order) if order < 3 else e.diff(x, 2, y)
        for a, b in ((0.7, 1.3), (2.1, 0.4)):
            value = wanted.subs({real[X]: sp.Float(a, 40), real[Y]: sp.Float(b, 40)}).evalf(30)
            assert float(evaluate([got], {x: np.array(a), y: np.array(b)})[0]) == pytest.approx(
                float(sp.re(value)), rel=1e-9, abs=1e-12
            )


def test_diff_of_arrays():
    d, = evaluate([(T.sin(v) * x).diff(v)], {v: np.array([1.0, 2.0]), x: np.array(3.0)})
    np.testing.assert_allclose(d, 3 * np.cos([1, 2]))
    d, = evaluate([(v ** x).diff(x)], {v: np.array([1.0, 2.0]), x: np.array(3.0)})
    np.testing.assert_allclose(d, [0, 8 * np.log(2)])
    d, = evaluate([T.sum(v ** 2).diff(v)], {v: np.array([1.0, 2.0])})
    np.testing.assert_allclose(d, [2, 4])
    assert evaluate([T.exp(x).diff(y), (x ** 2).diff((x, 2))], {x: np.array(1.0), y: np.array(1.0)}) == [0.0, 2.0]
    assert (x ** 2).diff(x, 0) is x ** 2
    with pytest.raises(FuseTypeError, match="no elementwise function of v"):
        (v / T.sum(v)).diff(v)
    with pytest.raises(FuseTypeError, match="diff needs a variable"):
        x.diff()
    with pytest.raises(FuseTypeError, match="whole number"):
        x.diff(x, 1.5)


# ---------------------------------------------------------------- to SymPy
@pytest.mark.parametrize(
    "op", [o for o in OPS.values() if o.kind == "elementwise" and o.sympy and o.nargs], ids=lambda o: o.name
)
def test_templates_mean_what_the_op_computes(op):
    """Each record's SymPy meaning, to 30 digits by mpmath, against the NumPy reference."""
    rng = np.random.default_rng(0)
    low, high = op.domain or (0.2, 2.0)
    args = list(T.dscalars("a", "b", "c")[: op.nargs])
    if op.name in ("real", "imag", "conj", "angle"):
        args = [T.zscalar("a")]
    if op.name in ("and_", "or_", "xor", "invert", "switch"):
        args = [a > 0.5 if op.name != "switch" or i == 0 else a for i, a in enumerate(args)]
    node = op(*args)
    formula = to_sympy(node).rewrite(sp.erfinv)
    leaves = sorted(node.free_symbols, key=lambda s: s.name)
    for _ in range(5):
        values = {leaf: low + (min(high, low + 8) - low) * rng.uniform(0.05, 0.95) for leaf in leaves}
        wanted = formula.subs({sp.Symbol(leaf.name): sp.Float(float(t), 40) for leaf, t in values.items()})
        wanted = complex(wanted.evalf(30)) if wanted not in (True, False, sp.true, sp.false) else complex(bool(wanted))
        got = complex(evaluate([node], {k: np.array(t) for k, t in values.items()})[0])
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_to_sympy_of_small_arrays():
    a = T.tensor("float64", shape=(3,), name="a")
    s = sp.symbols("a_0:3")
    assert T.sum(a ** 2).to_sympy() == sum(t ** 2 for t in s)
    assert T.dot(a, a[::-1]).to_sympy() == s[0] * s[2] * 2 + s[1] ** 2
    assert (a + 1).to_sympy() == sp.Array([t + 1 for t in s])
    m = T.tensor("float64", shape=(2, 2), name="m")
    assert T.dot(m, m.T).to_sympy() == sp.Array((sp.Matrix(2, 2, sp.symbols("m_0_0 m_0_1 m_1_0 m_1_1")) *
                                                 sp.Matrix(2, 2, sp.symbols("m_0_0 m_0_1 m_1_0 m_1_1")).T).tolist())
    assert T.max(a).to_sympy() == sp.Max(*s)
    assert T.prod(a).to_sympy() == s[0] * s[1] * s[2]
    assert T.concatenate([a, a]).to_sympy() == sp.Array([*s, *s])
    assert T.exp(x).to_sympy({x: sp.pi}) == sp.exp(sp.pi)
    assert sp.sympify(x * 2) == 2 * X and sp.simplify(T.sin(x) ** 2 + T.cos(x) ** 2) == 1


def test_numbers_go_over_exactly():
    assert (x * 0.5).to_sympy() == X / 2 and (x * 2.0).to_sympy() == 2 * X and (x + 0.1).to_sympy() == X + 0.1
    assert T.constant(float("inf")).to_sympy() == sp.oo and T.constant(float("nan")).to_sympy() is sp.nan
    assert T.constant(7).to_sympy() == sp.Integer(7)


def test_what_does_not_go_to_sympy_says_so():
    with pytest.raises(FuseTypeError, match="v is a float64 vector: only arrays of known shape"):
        v.to_sympy()
    with pytest.raises(FuseTypeError, match="cholesky has no meaning in SymPy"):
        OPS["cholesky"](T.tensor("float64", shape=(2, 2), name="m"), lower=True).to_sympy()
    with pytest.raises(FuseTypeError, match="an input without a name"):
        T.dscalar().to_sympy()


# ---------------------------------------------------------------- from SymPy
SCALAR_FORMULAS = [
    X + Y - Z,
    X - 2 * Y,
    -X,
    X * Y / Z,
    X / 3,
    3 / X,
    X**2,
    X**-2,
    X ** sp.Rational(1, 3),
    X ** -sp.Rational(1, 2),
    sp.sqrt(X),
    sp.exp(X),
    sp.exp(1) + sp.pi * X,
    sp.log(X, 2),
    sp.sin(X) + sp.cos(Y) + sp.tan(Z),
    sp.asin(X / 9) + sp.acos(Y / 9) + sp.atan(Z),
    sp.sinh(X) + sp.cosh(Y) + sp.tanh(Z),
    sp.asinh(X) + sp.acosh(1 + Y) + sp.atanh(Z / 9),
    sp.sec(X) + sp.csc(Y) + sp.cot(Z),
    sp.sech(X) + sp.csch(Y) + sp.coth(Z),
    sp.acot(X),
    sp.atan2(X, Y),
    sp.Abs(X - Y),
    sp.sign(X - Y),
    sp.floor(X) + sp.ceiling(Y),
    sp.Max(X, Y, Z) - sp.Min(X, Y, 1),
    sp.Mod(X, Y),
    sp.erf(X) + sp.erfc(Y) + sp.erfinv(X / 9),
    sp.gamma(X) * sp.loggamma(Y),
    sp.digamma(X),
    sp.factorial(X),
    sp.beta(X, Y),
    sp.beta(X - 3.3, Y) + sp.harmonic(X) + sp.frac(X) * sp.KroneckerDelta(Z, Z.subs(Z, 1.1)),
    sp.binomial(X + 3, Y) + sp.binomial(X, -2) + sp.binomial(-X, 3),
    sp.rf(X, Y) + sp.ff(X + 3, Y) + sp.rf(X - 9, 3),
    sp.sinc(X),
    sp.Heaviside(X - Y),
    sp.Heaviside(X - X.subs(X, 1.7)),
    sp.Piecewise((X, X > Y), (Y**2, X > 1), (0, True)),
    sp.Piecewise((1, X < 0), (sp.log(X), True)),
    sp.Piecewise((X, sp.And(X > 0, Y > 0, ~(Z > 99))), (1, sp.Or(X > 3, Y > 3)), (2, True)),
    sp.ITE(X > Y, X > 1, Y > 1),
    sp.Sum(X**N, (N, 0, 5)),
    sp.Sum(X / N**2, (N, 1, 200)),
    sp.Product(1 + X / N**2, (N, 1, 50)),
    sp.Sum(sp.Sum(X * N, (N, 1, 3)), (Z, 1, 2)),
    sp.Float("0.1") * X,
    sp.Rational(22, 7) - X,
    sp.GoldenRatio * X,
    sp.Eq(X, Y),
    sp.Ne(X, Y),
    X >= Y,
    sp.Xor(X > 1, Y > 1),
    sp.cbrt(X),
    sp.real_root(X, 3),
    sp.polygamma(1, X),
    sp.besselj(2, X) + sp.besseli(1, Y),
    sp.besselk(1, X**2 + 1) * sp.bessely(0, Y**2 + 1),
    sp.lowergamma(2.5, X**2) * sp.uppergamma(1.5, Y**2 + 1),
    sp.codegen.cfunctions.log1p(X),
    sp.codegen.cfunctions.expm1(X) + sp.codegen.cfunctions.exp2(Y) + sp.codegen.cfunctions.hypot(X, Y),
    sp.sqrt(2) * X + sp.log(3) * sp.sin(1),
    X + 1,
]


@pytest.mark.parametrize("formula", SCALAR_FORMULAS, ids=lambda f: str(f)[:50])
def test_from_sympy_keeps_the_value(formula):
    e = from_sympy(formula)
    for values in ((0.7, 1.9, 0.4), (2.3, 1.2, 1.1), (1.7, 3.3, 0.9)):
        point = dict(zip((X, Y, Z), values, strict=True))
        leaves = {s: np.array(point[sp.Symbol(s.name)]) for s in e.free_symbols}
        got = evaluate([e], leaves)[0]
        wanted = formula.subs(point)
        wanted = wanted.doit()
        number = bool(wanted) if wanted in (sp.true, sp.false) else complex(sp.N(wanted, 25)).real
        assert float(got) == pytest.approx(float(number), rel=1e-12)


def test_symbols_are_shared_and_typed():
    assert from_sympy(X) is from_sympy(X + 1).args[0]
    assert from_sympy(N).dtype == "int64" and from_sympy(X, dtype="float32").dtype == "float32"
    assert from_sympy(X * Y, {X: v, Y: 2.0}) is v * 2.0
    assert from_sympy(sp.I * X).dtype == "complex128"
    assert from_sympy(sp.Symbol("c") * sp.Float(0.1), dtype="float32").dtype == "float32"


def test_from_sympy_of_matrices():
    mat = sp.Matrix([[X, 1], [sp.sin(Y), X * Y]])
    e = from_sympy(mat, {X: x, Y: y})
    np.testing.assert_allclose(evaluate([e], {x: np.array(2.0), y: np.array(0.5)})[0], [[2, 1], [np.sin(0.5), 1]])
    assert e.type.shape == (2, 2)
    a, b = sp.MatrixSymbol("A", 2, 3), sp.MatrixSymbol("B", 3, 2)
    e = from_sympy(2 * a * b + (a * b).T + sp.Identity(2).as_explicit())
    at = {s: np.arange(6.0).reshape(s.type.shape) + 1 for s in e.free_symbols}
    p = (np.arange(6.0).reshape(2, 3) + 1) @ (np.arange(6.0).reshape(3, 2) + 1)
    np.testing.assert_allclose(evaluate([e], at)[0], 2 * p + p.T + np.eye(2))
    c = sp.MatrixSymbol("C", 2, 2)
    e = from_sympy(sp.Trace(c) + sp.Determinant(c) + c[0, 1])
    value = np.array([[2.0, 1.0], [0.5, 3.0]])
    s, = e.free_symbols
    assert evaluate([e], {s: value})[0] == pytest.approx(5 + 5.5 + 1)
    np.testing.assert_allclose(evaluate([from_sympy(c.I)], {s: value})[0], np.linalg.inv(value))


def test_what_cannot_come_from_sympy_says_so():
    with pytest.raises(FuseTypeError, match=r"Integral .* has no meaning"):
        from_sympy(sp.Integral(sp.exp(X ** 3), X))
    with pytest.raises(FuseTypeError, match="not text"):
        from_sympy("__import__('os')")
    f = sp.Function("f")
    with pytest.raises(FuseTypeError, match="functions="):
        from_sympy(f(X))
    assert from_sympy(f(X) + 1, {X: x}, functions={"f": lambda a: a ** 2}) is x ** 2 + 1


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_round_trip(formula):
    back = to_sympy(from_sympy(formula))
    assert sp.simplify(back - formula) == 0


# ---------------------------------------------------------------- lambdify against SymPy's own
A, B = np.array([0.5, 1.5, 2.5]), np.array([[1.0], [2.0]])
LAMBDIFIED = [
    f
    for f in SCALAR_FORMULAS
    if f.free_symbols <= {X, Y}
    and not f.has(
        sp.Sum,
        sp.Product,
        sp.Xor,
        sp.erfinv,
        sp.ITE,
        sp.beta,
        sp.gamma,
        sp.digamma,
        sp.polygamma,
        sp.factorial,
        sp.real_root,
        sp.Heaviside,
    )
]


@pytest.mark.parametrize("formula", LAMBDIFIED, ids=lambda f: str(f)[:50])
def test_lambdify_as_sympy(formula):
    ours, theirs = lambdify([X, Y], formula), sp.lambdify([X, Y], formula, modules=["scipy", "numpy"])
    for args in ((0.7, 1.9), (A, 1.25), (A, B)):
        got, wanted = ours(*args), theirs(*args)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
        assert np.shape(got) == np.shape(wanted)


@pytest.mark.parametrize(("args", "expr", "values"), [
    (X, X ** 2, (3.0,)),
    ([X], X ** 2, (3,)),
    ((X, (Y, Z)), X * Y - Z, (1.0, (2.0, 3.0))),
    ([X, [Y, [Z]]], [X, [Y * Z]], (1.0, [2.0, [3.0]])),
    ([X, Y], (X + Y, X * Y), (1.5, 2.5)),
    ([X, Y], [X + Y, (X, [Y])], (1.5, 2.5)),
    ([X, Y], sp.Matrix([[X, Y], [0, 1]]), (1.5, 2.5)),
    ([X, Y], sp.Matrix([X, Y]), (1.5, 2.5)),
    ([X], sp.ImmutableMatrix([[X]]), (1.5,)),
    ([X, Y], sp.Array([[X, Y], [1, X * Y]]), (1.5, 2.5)),
    ([N], N ** 2 + 1, (3,)),
    ([N], N / 2, (3,)),
    ([], sp.Integer(3), ()),
    ([X], 5, (2.0,)),
], ids=str)
def test_lambdify_structures(args, expr, values):
    got, wanted = lambdify(args, expr)(*values), sp.lambdify(args, expr, "numpy")(*values)

    def same(a, b):
        if isinstance(b, dict):
            assert a.keys() == b.keys()
            return all(same(a[k], b[k]) for k in b)
        if isinstance(b, (list, tuple)):
            assert type(a) is type(b) and len(a) == len(b)
            return all(same(p, q) for p, q in zip(a, b, strict=True))
        np.testing.assert_allclose(a, b)
        assert np.shape(a) == np.shape(b)
        return True

    assert same(got, wanted)


def test_constants_come_back_in_the_shape_of_the_arguments():
    """sympy/sympy#5642: lambdify(x, 1)(array) is a scalar there."""
    np.testing.assert_array_equal(lambdify(X, 1)(A), [1, 1, 1])
    np.testing.assert_array_equal(lambdify([X, Y], sp.pi)(A, B), np.full((2, 3), np.pi))
    first, second = lambdify([X, Y], [X, 2])(A, B)
    assert first.shape == (3,) and second.shape == (2, 3)


def test_a_matrix_of_arrays_has_the_matrix_in_front():
    got = lambdify([X, Y], sp.Matrix([[X, 1], [X * Y, Y]]))(A, 2.0)
    assert got.shape == (2, 2, 3)
    np.testing.assert_allclose(got, [[A, np.ones(3)], [A * 2, np.full(3, 2.0)]])


def test_matrix_arguments():
    vec = sp.Matrix(sp.symbols("p q"))
    f = lambdify([vec, X], vec.T * vec * X)
    np.testing.assert_allclose(f(np.array([1.0, 2.0]), 3.0), [[15.0]])
    np.testing.assert_allclose(f(np.array([[1.0], [2.0]]), 3.0), [[15.0]])
    m = sp.MatrixSymbol("M", 2, 2)
    np.testing.assert_allclose(lambdify(m, m * m)(np.array([[1.0, 2.0], [3.0, 4.0]])), [[7, 10], [15, 22]])


def test_lambdify_dtypes():
    f = lambdify(X, X * 0.1 + sp.pi)
    assert f(A.astype("float32")).dtype == np.float32 and f(A).dtype == np.float64
    assert lambdify(X, X ** 2)(3) == 9 and lambdify(X, X ** 2)(np.arange(3)).dtype == np.int64
    assert lambdify(X, 1 / X)(2) == 0.5
    assert lambdify(X, sp.sqrt(X))(2 + 3j) == pytest.approx((2 + 3j) ** 0.5)
    assert isinstance(lambdify(X, X + 1)(1.0), float)


def test_lambdify_calls_by_name_and_wrong_calls():
    f = lambdify([X, Y], X - Y)
    assert f(x=3.0, y=1.0) == f(3.0, y=1.0) == 2.0
    for wrong in ((1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(TypeError, match="takes 2 arguments"):
            f(*wrong)
    with pytest.raises(TypeError, match="unexpected argument 'q'"):
        f(1.0, q=2)
    with pytest.raises(FuseTypeError, match="numbers and arrays of numbers"):
        f("a", 1.0)
    with pytest.raises(FuseTypeError, match="needs 'z', which is not among the arguments"):
        lambdify([X, Y], Z)(1.0, 2.0)
    with pytest.raises(FuseTypeError, match="symbols, not int"):
        lambdify([1], X)
    assert lambdify("x, y", X - Y)(3.0, 1.0) == 2.0 and lambdify("x", X)(3.0) == 3.0
    with pytest.raises(FuseTypeError, match="symbols, not set"):
        lambdify({X, Y}, X)
    with pytest.raises(FuseTypeError, match="not text"):
        lambdify(X, "x + 1")


def test_lambdify_of_undefined_functions_and_of_our_expressions():
    f = sp.Function("f")
    assert lambdify(X, f(X) + 1, modules=[{"f": lambda a: a * 10}, "numpy"])(2.0) == 21.0
    np.testing.assert_allclose(lambdify([x, y], x * y)(A, 2.0), A * 2)
    assert lambdify([x], [x, {"two": [2, x + x]}])(1.0) == [1.0, {"two": [2, 2.0]}]


def test_cse_and_other_options_are_accepted():
    shared = sp.exp(X + Y) ** 2
    f = lambdify([X, Y], [shared + 1, shared * 2], modules="numpy", cse=True, dummify=True, docstring_limit=10)
    np.testing.assert_allclose(f(0.1, 0.2), [np.exp(0.6) + 1, np.exp(0.6) * 2])
    assert "x, y" in f.__doc__


def test_gradients_through_lambdified_formulas():
    e = from_sympy(sp.exp(X * Y), {X: x, Y: y})
    assert float(fuse.grad(e, x).eval({x: 0.5, y: 2.0})) == pytest.approx(2 * np.e)


def test_a_sum_of_5000_terms():
    """sympy/sympy#24673: the printed code of such a sum cannot even be compiled."""
    terms = sp.Add(*[sp.Mul(sp.Integer(i), X ** 2, evaluate=False) for i in range(2, 5002)], evaluate=False)
    f = lambdify(X, terms)
    assert f(1.0) == sum(range(2, 5002))


def test_a_deep_formula_does_not_recurse():
    deep = X
    for _ in range(10_000):
        deep = sp.Add(sp.Mul(deep, sp.S.Half, evaluate=False), 1, evaluate=False)
    assert sys.getrecursionlimit() <= 10_000
    assert lambdify(X, deep)(0.0) == 2.0


def test_sympy_loads_only_when_asked():
    code = """
import sys, fuse, fuse.tensor as T
x = T.dscalar("x")
x.subs(x, 1), x.free_symbols, (x ** 2).diff(x)
print("sympy" in sys.modules)"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_methods_are_on_expressions():
    for name in (
        "subs",
        "xreplace",
        "diff",
        "simplify",
        "replace",
        "atoms",
        "has",
        "to_sympy",
        "func",
        "free_symbols",
        "args",
    ):
        assert hasattr(Expr, name)
    assert mpmath.mp.dps  # the oracle of test_templates is at work through SymPy


# ---------------------------------------------------------------- lambdify beside SymPy's own
def test_python_integers_never_wrap():
    x, y = sp.symbols("x y")
    ours = fuse.lambdify([x, y], [x**20, x**20 // 7, x * y - 3, sp.exp(-(x**20))])
    for a, b in [(3, 4), (100, 2), (-1000, 7)]:
        assert ours(a, b)[:3] == [a**20, a**20 // 7, a * b - 3]
        assert ours(a, b)[3] == np.exp(-(float(a) ** 20))
    assert ours(np.array([7]), 1)[0].dtype == np.int64


def test_indexed_bases_are_arrays():
    a, b, x = sp.IndexedBase("a"), sp.IndexedBase("b"), sp.Symbol("x")
    k = sp.Symbol("k", integer=True)
    values = np.array([1.0, 2.0, 4.0])
    for args, expr, given in [
        ([a, x], a[0] * x + a[2], (values, 3.0)),
        ([a, b], a[0] * b[1, 2], (values, np.arange(6.0).reshape(2, 3))),
        ([a, k], a[k] ** 2, (values, 1)),
    ]:
        assert fuse.lambdify(args, expr)(*given) == sp.lambdify(args, expr)(*given)
    assert fuse.lambdify([a], sp.Sum(a[k] ** 2, (k, 0, 2)))(values) == (values**2).sum()


def test_modules_replace_functions_that_sympy_knows():
    x = sp.Symbol("x")
    modules = [{"sin": np.cos}, "numpy"]
    assert fuse.lambdify(x, sp.sin(x), modules)(0.3) == pytest.approx(np.cos(0.3), rel=1e-15)
    assert sp.lambdify(x, sp.sin(x), modules)(0.3) == np.cos(0.3)


def test_all_public_names_are_there_without_sympy():
    code = "import sys; from fuse import *; assert from_sympy and lambdify and 'sympy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("ignore::sympy.utilities.exceptions.SymPyDeprecationWarning")
def test_sympys_own_printer_for_theano(monkeypatch):
    """SymPy prints for a module called theano; it reads ``f.outputs`` for the ranks of results."""
    for name, module in (("theano", fuse), ("theano.tensor", fuse.tensor), ("theano.scalar", fuse.scalar)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "sympy.printing.theanocode", raising=False)
    printer = importlib.import_module("sympy.printing.theanocode")
    u, v = sp.symbols("u v")
    f = printer.theano_function([u, v], [sp.sin(u) * v, u + v], dims={u: 1, v: 2}, mode="FAST_COMPILE")
    a, b = np.array([[0.5], [1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    for got, wanted in zip(f(a, b), (np.sin(a) * b, a + b), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    total = printer.theano_function([u, v], [u + v], scalar=True, mode="FAST_COMPILE")
    assert isinstance(total(2, 3.0), np.floating) and total.theano_function.outputs[0].variable.type.ndim == 0
    sys.modules.pop("sympy.printing.theanocode")  # made with fuse in Theano's place


def test_derivatives_that_sympy_can_evaluate_and_slopes_of_sinc():
    """The slope of sinc at 0 was NaN."""
    u, v = sp.symbols("u v")
    f = lambdify([u], [sp.Derivative(sp.sin(u), u), sp.Subs(sp.Derivative(v**3, v), v, u)])
    np.testing.assert_allclose([float(r) for r in f(0.5)], [np.cos(0.5), 0.75], rtol=1e-12)
    x = T.dscalar("x")
    curve = from_sympy(sp.sinc(u), {u: x})
    bends = fuse.function([x], [T.grad(curve, x), T.grad(T.grad(curve, x), x)], mode="FAST_COMPILE")(0.0)
    np.testing.assert_allclose([float(b) for b in bends], [0, -1 / 3], atol=1e-12)
    with pytest.raises(FuseTypeError, match="derivative that SymPy does not know"):
        from_sympy(sp.Function("g")(u).diff(u), {u: x})
