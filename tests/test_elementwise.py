"""Every elementwise record against NumPy, SciPy, SymPy, mpmath, finite differences and Theano's dtypes.

The cases come from the op table: a new op is tested by having a record. Notes that a record may carry in ``meta``:
``examples`` (parameters to try), ``ulps`` (tolerance, 4 without it), ``defined`` (where the result is promised),
``zero_sign`` (False: the sign of a zero is not), ``reference_error`` (of a reference that is worse than the kernel).
"""
from __future__ import annotations

import json
import operator
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy
from elementwise_cases import (
    ELEMENTWISE,
    KERNEL_DTYPES,
    arity,
    cases,
    examples,
    operands,
    run_kernels,
    wrong_places,
)

import fuse
import fuse.tensor as T
from fuse import types as ty
from fuse.autodiff.absent import NullType
from fuse.errors import FuseTypeError
from fuse.expr import as_expr, variable
from fuse.frontend import elementwise as ew
from fuse.op import DISCONNECTED, OPS, ZERO
from fuse.reference import evaluate

RULES = json.loads((Path(__file__).parent / "dtype_rules.json").read_text())
DTYPES = RULES["dtypes"].split()


# ---------------------------------------------------------------- values of kernels
SIGNATURES = [(d, n) for d in KERNEL_DTYPES for n in (1, 2, 3)]


@pytest.mark.parametrize(("dtype", "count"), SIGNATURES, ids=lambda v: str(v))
def test_kernels_agree_with_their_references(dtype, count):
    """Each op's scalar kernel, inlined and compiled, against its NumPy reference: dtype, value, NaN, inf and -0."""
    wrong = []
    for want, ops in cases(dtype, count).items():
        arrays = operands(want)
        for (op, params, out), have in zip(ops, run_kernels(ops, want, arrays), strict=True):
            assert not isinstance(have, str), have
            bad = wrong_places(op, params, out, arrays, have)
            wrong += [(op.name, params, *(a[k] for a in arrays), "gives", have[k]) for k in np.flatnonzero(bad)[:3]]
    assert not wrong, "\n".join(map(str, wrong))


# ---------------------------------------------------------------- dtypes, as Theano has them
def char(dtype: str) -> str:
    return {"int64": "l", "uint64": "L"}.get(dtype, np.dtype(dtype).char)


def result(build, *args) -> str:
    try:
        return char(build(*args).dtype)
    except FuseTypeError:
        return "-"


@pytest.mark.parametrize("name", RULES["binary"])
def test_binary_dtypes(name):
    table = RULES["binary"][name].split()
    vectors = [variable(ty.TensorType(d, (None,))) for d in DTYPES]
    build = getattr(ew, name)
    if name == "and_":  # Theano has float64 for int64 with uint64, and fails when it runs
        table = [row.replace("d", "-") for row in table]
    if name in ("int_div", "mod"):  # Theano has a dtype for complex numbers, and fails when it runs or before
        table = [row.replace("F", "-").replace("D", "-") for row in table]
    build = (lambda a, b: ew.switch(variable(ty.TensorType("bool", ())), a, b)) if name == "switch" else build
    wrong = [(name, a.dtype, b.dtype, have, want) for a, row in zip(vectors, table, strict=True)
             for b, want in zip(vectors, row, strict=True) if (have := result(build, a, b)) != want != "-"]
    assert not wrong


@pytest.mark.parametrize("name", RULES["unary"])
def test_unary_dtypes(name):
    table = RULES["unary"][name]
    if name in ("erf", "gamma"):  # of complex numbers: Theano leaves them to SciPy, one at a time; we have none
        table = table.replace("F", "-").replace("D", "-")
    wrong = [(name, d, have, want) for d, want in zip(DTYPES, table, strict=True)
             if (have := result(getattr(ew, name), variable(ty.TensorType(d, ())))) != want != "-"]
    assert not wrong


OPERATORS = {"+": ew.add, "*": ew.mul, "/": ew.true_div, "**": ew.pow, "//": ew.int_div}


@pytest.mark.parametrize("row", RULES["constants"])
def test_dtypes_with_python_numbers(row):
    dtype, symbol = row.split()
    x = variable(ty.TensorType(dtype, ()))
    for entry in RULES["constants"][row].split(", "):
        value, want = entry.split()
        number = float(value) if "." in value or "e" in value else int(value)
        assert OPERATORS[symbol](x, number).dtype == want, entry


@pytest.mark.parametrize("build", [ew.neg, ew.sgn, lambda x: ew.sub(x, x)])
def test_bool_has_no_negative(build):
    with pytest.raises(FuseTypeError, match="not defined for bool"):
        build(variable(ty.TensorType("bool", ())))


@pytest.mark.parametrize("build", [ew.floor, ew.erfinv, ew.sigmoid, ew.deg2rad, lambda x: ew.arctan2(x, x),
                                   lambda x: x % 5, lambda x: 2 // x, lambda x: ew.and_(x, x),
                                   lambda x: ew.cast(x, "float64"), ew.signbit])
def test_complex_numbers_are_refused_where_they_have_no_meaning(build):
    with pytest.raises(FuseTypeError, match=r"complex|bit operations"):
        build(variable(ty.TensorType("complex128", ())))


# ---------------------------------------------------------------- gradients
DIFFERENTIABLE = [op for op in ELEMENTWISE if op.domain is not None and op.grad is not None]


def points(op, count: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.uniform(*op.domain, count) for _ in range(arity(op))]


def derivative(f, arrays, k: int, h: float) -> np.ndarray:
    """The fourth-order central difference of ``f`` in argument ``k``."""
    def at(step: float) -> np.ndarray:
        return f(*[a + step * h if n == k else a for n, a in enumerate(arrays)])
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def rule_values(op, params, arrays, k):
    """The gradient rule for argument ``k`` at cotangent 1; None for ZERO and DISCONNECTED, and where there is none."""
    xs = [variable(ty.TensorType("float64", (None,))) for _ in arrays]
    rule = op.grad[k]
    if rule is ZERO or rule is DISCONNECTED or isinstance(rule, str):
        return None
    out = op(*xs, **params)
    g = variable(ty.TensorType(out.dtype, (None,)))
    made = rule(g, out, *xs, **params)
    if made is ZERO or made is DISCONNECTED:
        return None
    return evaluate([made], {**dict(zip(xs, arrays, strict=True)), g: np.ones(len(arrays[0]), out.dtype)})[0]


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=str)
def test_gradient_rules_agree_with_finite_differences(op):
    arrays = points(op)
    for params in examples(op):
        f = lambda *a: np.asarray(op.numpy(*a, **params), float)  # noqa: B023, E731
        for k in [k for k, rule in enumerate(op.grad) if not isinstance(rule, str)]:
            wide, narrow = derivative(f, arrays, k, 1e-3), derivative(f, arrays, k, 5e-4)
            smooth = np.isclose(wide, narrow, rtol=1e-6, atol=1e-8)
            assert smooth.mean() > 0.7
            have = rule_values(op, params, arrays, k)
            have = np.zeros_like(narrow) if have is None else have
            np.testing.assert_allclose(have[smooth], narrow[smooth], rtol=1e-6, atol=1e-7, err_msg=f"argument {k}")


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=str)
def test_second_derivatives_agree_with_finite_differences(op):
    arrays = points(op)
    for params in examples(op):
        for k in range(len(arrays)):
            if rule_values(op, params, arrays, k) is None:
                continue
            xs = [variable(ty.TensorType("float64", (None,))) for _ in arrays]
            first = fuse.grad(T.sum(op(*xs, **params)), xs[k], disconnected_inputs="ignore")
            second = fuse.grad(T.sum(first), xs, disconnected_inputs="ignore", null_gradients="return")
            f = lambda *a: evaluate([first], dict(zip(xs, a, strict=True)))[0]  # noqa: B023, E731
            for j in [j for j, s in enumerate(second) if not isinstance(s.type, NullType)]:
                have = evaluate([second[j]], dict(zip(xs, arrays, strict=True)))[0]
                wide, narrow = derivative(f, arrays, j, 1e-3), derivative(f, arrays, j, 5e-4)
                smooth = np.isclose(wide, narrow, rtol=1e-6, atol=1e-8)
                np.testing.assert_allclose(have[smooth], narrow[smooth], rtol=1e-6, atol=1e-7, err_msg=f"{k}, {j}")


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=str)
def test_gradients_keep_single_precision(op):
    """A constant in a rule must not make float64 of float32."""
    for params in examples(op):
        xs = [variable(ty.TensorType("float32", (None,))) for _ in range(arity(op))]
        out = op(*xs, **params)
        g = variable(ty.TensorType(out.dtype, (None,)))
        for rule in [r for r in op.grad if not isinstance(r, str)] if out.dtype == "float32" else ():
            made = rule if rule in (ZERO, DISCONNECTED) else rule(g, out, *xs, **params)
            assert made in (ZERO, DISCONNECTED) or made.dtype == "float32"


EDGES = [
    (ew.maximum, (1.0, 1.0), (1.0, 0.0)), (ew.minimum, (1.0, 1.0), (1.0, 0.0)), (ew.maximum, (0.0, 0.0), (1.0, 0.0)),
    (ew.abs, (0.0,), (0.0,)), (ew.relu, (0.0,), (0.5,)), (lambda x: ew.relu(x, 0.2), (0.0,), (0.6,)),
    (lambda x: ew.switch(x > 0, x, 0), (0.0,), (0.0,)),
    (lambda x: ew.clip(x, -1, 1), (1.0,), (1.0,)), (lambda x: ew.clip(x, -1, 1), (-1.0,), (1.0,)),
    (ew.pow, (0.0, 2.0), (0.0, 0.0)), (ew.pow, (-2.0, 3.0), (12.0, np.nan)), (ew.pow, (0.0, 0.0), (0.0, 0.0)),
    (lambda x: ew.pow(x, 0), (0.0,), (0.0,)), (lambda x: ew.pow(x, 0), (np.inf,), (0.0,)),
    (lambda x: ew.mod(x, 2), (3.5,), (1.0,)), (lambda x: ew.int_div(x, 2), (3.5,), (0.0,)),
    (ew.floor, (1.5,), (0.0,)), (ew.round, (1.5,), (0.0,)), (ew.sgn, (1.5,), (0.0,)),
    (ew.arctan2, (0.0, 0.0), (0.0, 0.0)), (ew.hypot, (0.0, 0.0), (0.0, 0.0)), (ew.sqrt, (0.0,), (np.inf,)),
    (ew.log, (0.0,), (np.inf,)), (ew.sigmoid, (-1000.0,), (0.0,)), (ew.softplus, (1000.0,), (1.0,)),
    (ew.logaddexp, (1000.0, -1000.0), (1.0, 0.0)), (ew.logaddexp, (np.inf, 0.0), (1.0, 0.0)),
    (ew.elu, (1000.0,), (1.0,)), (ew.xlogy, (0.0, 0.0), (0.0, 0.0)), (ew.exp, (-np.inf,), (0.0,)),
    (lambda x: ew.switch(x > 0, ew.elu(x), 0), (1000.0,), (1.0,)),
]


@pytest.mark.parametrize(("build", "at", "want"), EDGES, ids=range(len(EDGES)))
def test_gradients_at_ties_and_edges(build, at, want):
    """Theano's conventions, measured; 0 where it gave nan for arctan2 and the norm at the origin."""
    xs = [variable(ty.TensorType("float64", ())) for _ in at]
    gradients = fuse.grad(build(*xs), xs, disconnected_inputs="ignore")
    have = evaluate(gradients, {x: np.asarray(v) for x, v in zip(xs, at, strict=True)})
    np.testing.assert_array_equal(have, want)


def test_gradient_of_a_power_with_an_integer_base_keeps_double_precision():
    y = T.dscalar("y")
    assert evaluate([fuse.grad(2**y, y)], {y: np.asarray(0.0)})[0] == np.log(2.0)


# ---------------------------------------------------------------- SymPy and mpmath
SYMBOLS = sympy.symbols("x y z", real=True)
# names that SymPy writes for mpmath but mpmath lacks
MPMATH = {"erfcinv": lambda v: mpmath.erfinv(1 - v), "loggamma": lambda v: mpmath.log(abs(mpmath.gamma(v))),
          "digamma": mpmath.digamma, "Heaviside": lambda v, at=0.5: mpmath.mpf(1) if v > 0 else mpmath.mpf(0)}
# truth values, and SymPy's real_root, which mpmath has under another name
NUMERIC = [op for op in DIFFERENTIABLE if op.sympy and "real_root" not in op.sympy]


@cache
def meaning(op):
    return sympy.sympify(op.sympy, locals=dict(zip("xyz", SYMBOLS, strict=True)))


def high_precision(expression, count: int):
    return sympy.lambdify(SYMBOLS[:count], expression, modules=[MPMATH, "mpmath"])


@pytest.mark.parametrize("op", NUMERIC, ids=str)
def test_gradient_rules_agree_with_sympy(op):
    arrays = points(op, 6)
    for k in range(len(arrays)):
        have = rule_values(op, {}, arrays, k)
        expression = meaning(op).diff(SYMBOLS[k])
        if have is None or expression.has(sympy.Derivative, sympy.Subs):  # of floor, which SymPy leaves as it is
            continue
        f = high_precision(expression, len(arrays))
        for n in range(len(arrays[0])):
            want = f(*[mpmath.mpf(a[n]) for a in arrays])
            assert float(want) == pytest.approx(have[n], rel=1e-9, abs=1e-12)


def accuracy_points(op, dtype: str) -> list[np.ndarray]:
    """Within the domain, and near its ends and zero over many orders of magnitude."""
    rng = np.random.default_rng(11)
    low, high = op.domain
    inside = [rng.uniform(low, high, 40) for _ in range(arity(op))]
    small = [rng.choice([1.0, -1.0], 30) * 10 ** rng.uniform(-12, 0, 30) for _ in range(arity(op))]
    return [np.concatenate([a, b[(b > low) & (b < high)]]).astype(dtype) if arity(op) == 1 else a.astype(dtype)
            for a, b in zip(inside, small, strict=True)]


def sensitivities(f, at) -> list:
    """The change of ``f`` for a relative change of 1 in each argument."""
    at = [mpmath.mpf(float(v)) for v in at]
    orders = [tuple(int(j == k) for j in range(len(at))) for k in range(len(at))]
    return [v * mpmath.diff(f, tuple(at) if len(at) > 1 else at[0], order if len(at) > 1 else 1)
            for v, order in zip(at, orders, strict=True)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_are_accurate_to_a_few_units_in_the_last_place(dtype):
    """Every kernel with a meaning in SymPy, against that meaning at 60 digits."""
    wrong = []
    with mpmath.workdps(60):
        for op in NUMERIC:
            want = (dtype,) * arity(op)
            arrays = accuracy_points(op, dtype)
            if op.signature(*[variable(ty.TensorType(dtype, ()))] * arity(op)) != (want, dtype):
                continue
            have = run_kernels([(op, {}, dtype)], want, arrays)[0]
            f = high_precision(meaning(op), arity(op))
            for k in range(len(have)):
                at = [a[k] for a in arrays]
                true = f(*[mpmath.mpf(float(v)) for v in at])
                unit = mpmath.mpf(float(np.spacing(np.abs(np.asarray(float(true), dtype)))))
                error = abs(mpmath.mpf(float(have[k])) - true) / unit
                # an error of half a unit in an argument is beyond the kernel: what it does to the result is allowed
                if error > 4.5 and error > 4.5 + sum(abs(s) for s in sensitivities(f, at)) * np.finfo(dtype).eps / unit:
                    wrong.append((op.name, *at, float(have[k]), f"off by {float(error):.1f} units"))
    assert not wrong, "\n".join(map(str, wrong))


# ---------------------------------------------------------------- records and builders
def test_every_record_is_complete():
    for op in ELEMENTWISE:
        assert op.doc, op
        assert ">>>" in op.doc or not hasattr(ew, op.name), op
        assert op.grad is not None and len(op.grad) == arity(op), op


def test_operators_in_python_are_these_ops():
    x, y = T.dscalar("x"), T.dscalar("y")
    for symbol in ("add", "sub", "mul", "mod", "pow", "lt", "le", "gt", "ge"):
        assert getattr(operator, symbol)(x, y).op is OPS[symbol]
    assert (x / y).op is OPS["true_div"] and (x // y).op is OPS["int_div"] and (-x).op is OPS["neg"]


def test_many_operands_associate_from_the_left():
    a, b, c = T.dscalars("a", "b", "c")
    assert ew.add(a, b, c) is ew.add(ew.add(a, b), c) and ew.mul(a, b, c) is ew.mul(ew.mul(a, b), c)
    assert ew.add(a) is a


@pytest.mark.parametrize("parts", [("real", 3 + 4j, 1.0), ("imag", 3 + 4j, -1j), ("abs", 3 + 4j, 0.6 - 0.8j),
                                   ("angle", 3 + 4j, (-4 - 3j) / 25)])
def test_real_functions_of_complex_numbers_have_gradients(parts):
    """The cotangent ``g`` with d(value) = real(g * dz), for both a real and an imaginary step."""
    name, at, want = parts
    z = variable(ty.TensorType("complex128", ()))
    out = getattr(ew, name)(z)
    g = as_expr(np.asarray(1.0))
    have = evaluate([out.op.grad[0](g, out, z)], {z: np.asarray(at)})[0]
    np.testing.assert_allclose(have, want, rtol=1e-12)
    f = lambda v: evaluate([out], {z: np.asarray(v)})[0]  # noqa: E731
    for step in (1e-6, 1e-6j):
        difference = (f(at + step) - f(at - step)) / 2
        np.testing.assert_allclose(difference, (have * step).real, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_quotients_of_integers_of_all_sizes_are_exact(dtype):
    rng, kind = np.random.default_rng(3), np.iinfo(dtype)

    def drawn(n=20_000):
        """Of all lengths in bits, and the extremes."""
        values = rng.integers(0, 2**63, n) >> rng.integers(63 - kind.bits, 63, n)
        values = values.astype(dtype) if kind.min == 0 else (values * rng.choice([-1, 1], n)).astype(dtype)
        extremes = [0, 1, 2, kind.max, kind.max - 1, kind.min, kind.min + 1] + ([-1, -2] if kind.min else [])
        return np.where(rng.random(n) < 0.2, rng.choice(np.array(extremes, dtype), n), values).astype(dtype)

    x, y = T.vector(dtype=dtype), T.vector(dtype=dtype)
    a, b = drawn(), drawn()
    with np.errstate(all="ignore"):
        a[::3] = b[::3] * (a[::3] % np.array(100, dtype)) + a[::3] % np.array(3, dtype)  # about whole multiples
        seven = np.array(7, dtype)
        for have, want in zip(
            fuse.function([x, y], [x // y, x % y, x // seven, x % seven])(a, b),
            [a // b, a % b, a // seven, a % seven], strict=True,
        ):
            np.testing.assert_array_equal(have, want)
