"""Formulas that overflow or cancel as written: value and gradient after rewriting, against mpmath with 800 digits.

Each formula stands in several spellings (operand order, integer and float constants, negations written in other ways),
each spelling is taken for a scalar, a vector, behind a dimshuffle and behind a cast.
"""

from __future__ import annotations

from types import SimpleNamespace

import mpmath
import numpy as np
import pytest

import fuse.tensor as T
from fuse import grad
from fuse.expr import toposort
from fuse.frontend import elementwise as ew
from fuse.reference import evaluate
from fuse.rules import optimize

mpmath.mp.dps = 800

EXACT = SimpleNamespace(
    exp=mpmath.exp,
    log=mpmath.log,
    log1p=lambda x: mpmath.log(1 + x),
    expm1=lambda x: mpmath.exp(x) - 1,
    sqrt=mpmath.sqrt,
    sigmoid=lambda x: 1 / (1 + mpmath.exp(-x)),
    softplus=lambda x: mpmath.log(1 + mpmath.exp(x)),
    erf=mpmath.erf,
    erfc=mpmath.erfc,
    cosh=mpmath.cosh,
    sinh=mpmath.sinh,
    tanh=mpmath.tanh,
    cos=mpmath.cos,
    sin=mpmath.sin,
    abs=abs,
    sqr=lambda x: x * x,
    reciprocal=lambda x: 1 / x,
    gammaln=mpmath.loggamma,
    gamma=mpmath.gamma,
    exp2=lambda x: mpmath.mpf(2) ** x,
    log2=lambda x: mpmath.log(x) / mpmath.log(2),
)
OURS = SimpleNamespace(**{name: getattr(ew, name) for name in vars(EXACT)})

# number in the list of rules: (points, spellings); a spelling is a function of the functions f and of x
CASES = {
    "1 log1p": (
        [1e-17, -1e-12, 1e-20, 3.0],
        [
            lambda f, x: f.log(1 + x),
            lambda f, x: f.log(x + 1),
            lambda f, x: f.log(1.0 + x),
            lambda f, x: f.log(x + 1.0),
            lambda f, x: f.log(0.5 + x + 0.5),
            lambda f, x: f.log(2 + x - 1),
            lambda f, x: f.log(x - (-1)),
        ],
    ),
    "2 log1p(-x)": (
        [1e-17, -1e-12, 0.3],
        [
            lambda f, x: f.log(1 - x),
            lambda f, x: f.log(1.0 - x),
            lambda f, x: f.log(-x + 1),
            lambda f, x: f.log(1 + (-x)),
            lambda f, x: f.log(-(x - 1)),
        ],
    ),
    "3 expm1": (
        [1e-17, -1e-12, 2.0],
        [
            lambda f, x: f.exp(x) - 1,
            lambda f, x: -1 + f.exp(x),
            lambda f, x: f.exp(x) - 1.0,
            lambda f, x: f.exp(x) + (-1),
            lambda f, x: -(1 - f.exp(x)),
        ],
    ),
    "4 softplus": (
        [800.0, -800.0, -50.0, 0.5],
        [
            lambda f, x: f.log(1 + f.exp(x)),
            lambda f, x: f.log(f.exp(x) + 1.0),
            lambda f, x: f.log1p(f.exp(x)),
            lambda f, x: -f.log(f.reciprocal(1 + f.exp(x))),
            lambda f, x: -f.log(1 / (1 + f.exp(x))),
        ],
    ),
    "5 log1mexp": (
        [-1e-18, -50.0, -800.0, -0.5],
        [
            lambda f, x: f.log(1 - f.exp(x)),
            lambda f, x: f.log1p(-f.exp(x)),
            lambda f, x: f.log(-f.expm1(x)),
            lambda f, x: f.log(-(f.exp(x) - 1)),
            lambda f, x: f.log(1.0 - f.exp(x)),
        ],
    ),
    "5 log(expm1)": ([800.0, 1e-18, 2.0], [lambda f, x: f.log(f.exp(x) - 1), lambda f, x: f.log(f.expm1(x))]),
    "6 log sigmoid": (
        [-800.0, 50.0, 0.5],
        [
            lambda f, x: f.log(f.sigmoid(x)),
            lambda f, x: f.log(1 / (1 + f.exp(-x))),
            lambda f, x: -f.log(1 + f.exp(-x)),
            lambda f, x: f.log(f.exp(x) / (1 + f.exp(x))),
        ],
    ),
    "7 log(1 - sigmoid)": (
        [800.0, -50.0, 0.5],
        [
            lambda f, x: f.log(1 - f.sigmoid(x)),
            lambda f, x: f.log1p(-f.sigmoid(x)),
            lambda f, x: f.log(1.0 - f.sigmoid(x)),
            lambda f, x: f.log(-f.sigmoid(x) + 1),
            lambda f, x: f.log(1 - 1 / (1 + f.exp(-x))),
        ],
    ),
    "8 1 - sigmoid": (
        [50.0, 300.0, -3.0],
        [
            lambda f, x: 1 - f.sigmoid(x),
            lambda f, x: 1.0 - f.sigmoid(x),
            lambda f, x: -f.sigmoid(x) + 1,
            lambda f, x: -(f.sigmoid(x) - 1),
        ],
    ),
    "9 sigmoid": (
        [800.0, -700.0, 0.5],
        [
            lambda f, x: 1 / (1 + f.exp(-x)),
            lambda f, x: f.reciprocal(1.0 + f.exp(-x)),
            lambda f, x: 1.0 / (f.exp(-x) + 1),
            lambda f, x: (1 + f.exp(-x)) ** -1,
        ],
    ),
    "10 exp/(1 + exp)": (
        [800.0, -700.0, 0.5],
        [
            lambda f, x: f.exp(x) / (1 + f.exp(x)),
            lambda f, x: f.exp(x) / (f.exp(x) + 1.0),
            lambda f, x: 1 - 1 / (1 + f.exp(x)),
            lambda f, x: f.exp(x) * (1 / (1 + f.exp(x))),
            lambda f, x: 3 * f.exp(x) / (1 + f.exp(x)) / 3,
        ],
    ),
    "10 c/(1 + exp)": ([700.0, -800.0, 0.5], [lambda f, x: 2 / (1 + f.exp(x)), lambda f, x: 0.1 / (f.exp(x) + 1)]),
    "11 exp * sigmoid": (
        [800.0, -300.0, 0.5],
        [
            lambda f, x: f.exp(x) * f.sigmoid(-x),
            lambda f, x: f.sigmoid(-x) * f.exp(x),
            lambda f, x: 2 * f.exp(x) * f.sigmoid(-x),
        ],
    ),
    "11 exp(-x) * sigmoid(x)": (
        [-800.0, 300.0, 0.5],
        [
            lambda f, x: f.exp(-x) * f.sigmoid(x),
            lambda f, x: f.sigmoid(x) * 3.0 * f.exp(-x),
            lambda f, x: f.sigmoid(x) / f.exp(x),
        ],
    ),
    "12 odds": (
        [50.0, 300.0, -50.0, 0.5],
        [
            lambda f, x: f.sigmoid(x) / (1 - f.sigmoid(x)),
            lambda f, x: f.sigmoid(x) / (1.0 - f.sigmoid(x)),
        ],
    ),
    "12 inverse odds": ([50.0, 300.0, -50.0], [lambda f, x: (1 - f.sigmoid(x)) / f.sigmoid(x)]),
    "13 logit": (
        [0.3, 1e-12, 0.9999],
        [
            lambda f, x: f.sigmoid(f.log(x / (1 - x))),
            lambda f, x: f.sigmoid(f.log(x / (1.0 - x))),
        ],
    ),
    "13 log odds": (
        [50.0, -50.0, 800.0, 0.5],
        [
            lambda f, x: f.log(f.sigmoid(x) / (1 - f.sigmoid(x))),
            lambda f, x: f.log(f.sigmoid(x)) - f.log(1 - f.sigmoid(x)),
        ],
    ),
    "14 log exp": (
        [1000.0, -1000.0, 0.5],
        [
            lambda f, x: f.log(f.exp(x)),
            lambda f, x: f.log2(f.exp2(x)),
            lambda f, x: f.log(f.exp(x) * f.exp(x)) / 2,
            lambda f, x: f.log(2 * f.exp(x)),
        ],
    ),
    "15 log1p expm1": (
        [1000.0, 1e-20, 0.5],
        [lambda f, x: f.log1p(f.expm1(x)), lambda f, x: f.log(1 + (f.exp(x) - 1))],
    ),
    "15 exp softplus": ([300.0, -60.0], [lambda f, x: f.exp(f.softplus(x)), lambda f, x: f.expm1(f.softplus(x)) + 1]),
    "16 exp log": ([1e-300, 5.0, 1e200], [lambda f, x: f.exp(f.log(x)), lambda f, x: f.exp(2 * f.log(x) - f.log(x))]),
    "19 log(exp - exp)": ([1e-14, 1000.0, 40.0], [lambda f, x: f.log(f.exp(2 * x) - f.exp(x)) - x]),
    "20 logaddexp": (
        [1000.0, -1000.0, 0.5],
        [
            lambda f, x: f.log(f.exp(x) + f.exp(2 * x)),
            lambda f, x: f.log(f.exp(x) + f.exp(2 * x) + f.exp(-x)),
            lambda f, x: f.log(3 + f.exp(x)),
            lambda f, x: f.log(2 * f.exp(x) + f.exp(2 * x) * 0.5),
        ],
    ),
    "27 binary cross-entropy": (
        [800.0, -800.0, 0.5],
        [
            lambda f, x: -(0.3 * f.log(f.sigmoid(x)) + (1 - 0.3) * f.log(1 - f.sigmoid(x))),
            lambda f, x: -0.3 * f.log(f.sigmoid(x)) - 0.7 * f.log(1.0 - f.sigmoid(x)),
            lambda f, x: -(f.log(f.sigmoid(x)) * 0.3) - f.log1p(-f.sigmoid(x)) * 0.7,
        ],
    ),
    "29 log of a quotient": (
        [700.0, 800.0, -600.0],
        [
            lambda f, x: f.log(1 / f.exp(x)),
            lambda f, x: f.log(f.exp(x) / 3),
            lambda f, x: f.log(5 / f.exp(x)),
        ],
    ),
    "30 log of a power": (
        [1e200, 1e-200, 3.0],
        [
            lambda f, x: f.log(x**2),
            lambda f, x: f.log(x * x),
            lambda f, x: f.log(f.sqr(x)),
            lambda f, x: f.log(x**3),
            lambda f, x: f.log(f.sqrt(x)),
            lambda f, x: f.log(x**4),
        ],
    ),
    "32 log erfc": ([-20.0, 0.5, 30.0, 35.0], [lambda f, x: f.log(f.erfc(x)), lambda f, x: f.log(1 - f.erf(x))]),
    "33 exp/erfc": (
        [0.5, 25.0, 40.0],
        [
            lambda f, x: f.exp(-(x**2)) / f.erfc(x),
            lambda f, x: f.exp(-x * x) / f.erfc(x),
            lambda f, x: 2 * f.exp(-f.sqr(x)) / f.erfc(x),
        ],
    ),
    "34 erfc": (
        [6.0, 20.0, 0.5],
        [lambda f, x: 1 - f.erf(x), lambda f, x: 1.0 - f.erf(x), lambda f, x: -(f.erf(x) - 1)],
    ),
    "34 erfc(-x)": ([-6.0, -20.0, 0.5], [lambda f, x: 1 + f.erf(x), lambda f, x: f.erf(x) + 1.0]),
    "34 erf": ([1e-18, 0.5], [lambda f, x: 1 - f.erfc(x), lambda f, x: f.erfc(-x) - 1]),
    "36 log cosh": (
        [1000.0, -1000.0, 1e-5, 0.5],
        [
            lambda f, x: f.log(f.cosh(x)),
            lambda f, x: f.log((f.exp(x) + f.exp(-x)) / 2),
        ],
    ),
    "36 log 2 cosh": (
        [1000.0, -1000.0, 0.5],
        [lambda f, x: f.log(2 * f.cosh(x)), lambda f, x: f.log(f.exp(x) + f.exp(-x))],
    ),
    "37 tanh": (
        [800.0, -800.0, 1e-18, 0.5],
        [
            lambda f, x: (f.exp(x) - f.exp(-x)) / (f.exp(x) + f.exp(-x)),
            lambda f, x: f.sinh(x) / f.cosh(x),
        ],
    ),
    "37 tanh of one exponential": (
        [800.0, 1e-18, 0.5],
        [
            lambda f, x: (1 - f.exp(-2 * x)) / (1 + f.exp(-2 * x)),
            lambda f, x: (f.exp(2 * x) - 1) / (f.exp(2 * x) + 1),
            lambda f, x: 2 / (1 + f.exp(-2 * x)) - 1,
        ],
    ),
    "37 sinh": ([1e-18, 0.5], [lambda f, x: (f.exp(x) - f.exp(-x)) / 2, lambda f, x: 0.5 * (f.exp(x) - f.exp(-x))]),
    "38 1 - cos": ([1e-9, 0.5], [lambda f, x: 1 - f.cos(x), lambda f, x: 1.0 - f.cos(x), lambda f, x: -(f.cos(x) - 1)]),
    "38 sqrt(1 + x) - 1": (
        [1e-18, 3.0],
        [
            lambda f, x: f.sqrt(1 + x) - 1,
            lambda f, x: f.sqrt(x + 1.0) - 1.0,
            lambda f, x: -1 + f.sqrt(1 + x),
        ],
    ),
    "38 1 - tanh**2": (
        [20.0, -30.0, 0.5],
        [
            lambda f, x: 1 - f.tanh(x) ** 2,
            lambda f, x: 1 - f.tanh(x) * f.tanh(x),
            lambda f, x: 1 - f.sqr(f.tanh(x)),
        ],
    ),
    "52 cancelled factors": (
        [1e-320, 1e200, 3.0],
        [
            lambda f, x: (x * 3) / x,
            lambda f, x: x / x,
            lambda f, x: (x * x) / x,
            lambda f, x: x / (x / 7),
        ],
    ),
    "53 cancelled terms": (
        [1e20, 3.0],
        [lambda f, x: x + 3 - x, lambda f, x: (x + f.sin(x)) - x, lambda f, x: -x + 0.1 + x],
    ),
    "56 exponentials": (
        [800.0, 3.0],
        [
            lambda f, x: f.exp(x) * f.exp(-x),
            lambda f, x: f.exp(x + 1) / f.exp(x),
            lambda f, x: f.exp(x) * 2 * f.exp(1 - x),
        ],
    ),
    "58 roots": (
        [1e200, 1e-200, 3.0],
        [lambda f, x: f.sqrt(x**2), lambda f, x: f.sqrt(x * x), lambda f, x: (x**2) ** 0.5],
    ),
    "68 gamma": (
        [300.5, 10.0],
        [lambda f, x: f.gamma(x + 1) / f.gamma(x), lambda f, x: f.exp(f.gammaln(x + 1) - f.gammaln(x))],
    ),
}
SPELLINGS = [(name, i, points, f) for name, (points, spellings) in CASES.items() for i, f in enumerate(spellings)]

# Slopes that are sensitive to the last digits of what they are made of.
ROUGH_GRADIENT = {"68 gamma": 1e-7, "37 tanh": 1e-12, "13 logit": 1e-9}


def exact(formula, point):
    """The value and the slope at ``point``, by a central difference of 800 digits."""
    h = abs(point) * mpmath.mpf(10) ** -100
    value, left, right = (mpmath.re(formula(EXACT, p)) for p in (point, point - h, point + h))
    return value, (right - left) / (2 * h)


def forms():
    """The variable itself, a vector of it, behind a dimshuffle, and behind a cast of the formula's input."""
    yield "scalar", T.dscalar("x"), lambda v: v, np.float64
    yield "vector", T.dvector("x"), lambda v: v, lambda p: np.array([p])
    yield "column", T.dvector("x"), lambda v: v.dimshuffle(0, "x"), lambda p: np.array([p])
    yield "matrix", T.dmatrix("x"), lambda v: v.T, lambda p: np.array([[p]])


def close(found, true, tolerance):
    true = mpmath.mpf(true)
    if abs(true) > mpmath.mpf("1.7e308"):
        return np.isinf(found)
    if abs(true) < mpmath.mpf("1e-307"):
        return abs(found) < 1e-300
    return abs(mpmath.mpf(float(found)) - true) <= tolerance * abs(true)


@pytest.mark.parametrize(
    ("name", "number", "points", "formula"), SPELLINGS, ids=lambda v: str(v) if isinstance(v, (str, int)) else ""
)
def test_value_and_gradient(name, number, points, formula):
    truths = [exact(formula, mpmath.mpf(point)) for point in points]
    for form, x, view, value in forms():
        out = formula(OURS, view(x))
        slope = grad(out.sum() if out.ndim else out, x)
        found = optimize([out, slope], "default")
        light = optimize([out, slope], "FAST_COMPILE")
        for point, (true, exact_slope) in zip(points, truths, strict=True):
            a, b = (np.asarray(v).ravel()[0] for v in evaluate(found, {x: value(point)}))
            assert close(a, true, 4e-13), f"{form} value at {point}: {a}, true {mpmath.nstr(true, 20)}: {found[0]}"
            shown = f"{form} slope at {point}: {b}, true {mpmath.nstr(exact_slope, 20)}: {found[1]}"
            assert close(b, exact_slope, ROUGH_GRADIENT.get(name, 1e-11)), shown
            if form == "scalar" and not name.startswith("5"):
                c = np.asarray(evaluate(light, {x: value(point)})[0])
                assert close(c, true, 4e-13), (
                    f"FAST_COMPILE value at {point}: {c}, true {mpmath.nstr(true, 20)}: {light[0]}"
                )


def test_there_are_as_many_checks_as_the_systems_before_were_measured_with():
    assert sum(len(points) for _, _, points, _ in SPELLINGS) * 2 >= 92


# ---------------------------------------------------------------- over an axis
ROWS = np.array([[1000.0, 0.0, -1000.0, 3.0], [-800.0, -801.0, -802.5, -800.1], [0.1, 0.2, 0.3, 0.4]])
LABELS = np.array([1, -2, 3])


def true_rows(function, rows=ROWS):
    """``function`` of each row as mpmath numbers, and its slope in each element."""
    values, slopes = [], []
    for row in rows:
        exact_row = [mpmath.mpf(float(v)) for v in row]
        values.append(function(exact_row, len(values)))
        slope = []
        for i in range(len(row)):
            h = mpmath.mpf(10) ** -100
            up, down = list(exact_row), list(exact_row)
            up[i] += h
            down[i] -= h
            slope.append((function(up, len(values) - 1) - function(down, len(values) - 1)) / (2 * h))
        slopes.append(slope)
    return values, slopes


def lse(row, _=0):
    return mpmath.log(sum(mpmath.exp(v) for v in row))


def picked(row, i):
    return lse(row) - row[int(LABELS[i])]


def second_probability(row, _):
    return mpmath.exp(row[1] - lse(row))


def second_log(row, _):
    return row[1] - lse(row)


m, y = T.dmatrix("m"), T.lvector("y")
total = {"axis": 1, "keepdims": True}
n = m.shape[0]
OVER_AN_AXIS = {
    "logsumexp": (
        lse,
        [
            T.log(T.sum(T.exp(m), axis=1)),
            T.log(T.exp(m).sum(axis=1, keepdims=True)),
            T.log(T.exp(m).sum(axis=-1).dimshuffle(0, "x")),
            T.log(T.sum(T.exp(m.T), axis=0)),
            T.log(T.sum(2 * T.exp(m), axis=1)) - np.log(2.0),
            T.log(T.mean(T.exp(m), axis=1)) + np.log(4.0),
            T.log(T.exp(m[:, 0]) + T.exp(m[:, 1]) + T.exp(m[:, 2]) + T.exp(m[:, 3])),
            T.log(T.sum(T.exp(m - m.max(**total)), axis=1)) + m.max(axis=1),
            -T.log(1 / T.sum(T.exp(m), axis=1)),
        ],
    ),
    "softmax": (
        second_probability,
        [
            (T.exp(m) / T.sum(T.exp(m), **total))[:, 1],
            (T.exp(m) / T.exp(m).sum(axis=1).dimshuffle(0, "x"))[:, 1],
            (T.exp(m.T) / T.sum(T.exp(m.T), axis=0))[1],
            (2 * T.exp(m) / T.sum(T.exp(m), **total) / 2)[:, 1],
            (T.exp(m) * (1 / T.sum(T.exp(m), **total)))[:, 1],
            T.exp(m - T.log(T.sum(T.exp(m), **total)))[:, 1],
            T.exp(T.log(T.nnet.softmax(m)))[:, 1],
            (T.exp(m - m.max(**total)) / T.exp(m - m.max(**total)).sum(**total))[:, 1],
        ],
    ),
    "log_softmax": (
        second_log,
        [
            T.log(T.nnet.softmax(m))[:, 1],
            T.log(T.nnet.softmax(m)[:, 1]),
            T.log(T.nnet.softmax(m).T)[1],
            T.log(T.nnet.softmax(m.T.T)[:, 1:2]),
            T.log(T.exp(m) / T.sum(T.exp(m), **total))[:, 1],
            (m - T.log(T.sum(T.exp(m), **total)))[:, 1],
            m[:, 1] - T.log(T.sum(T.exp(m), axis=1)),
            T.log(T.nnet.softmax(m) * 1.0)[:, 1],
        ],
    ),
    "cross-entropy": (
        picked,
        [
            -T.log(T.nnet.softmax(m))[T.arange(n), y],
            -T.log(T.nnet.softmax(m)[T.arange(n), y]),
            -T.log(T.nnet.softmax(m))[T.arange(y.shape[0]), y],
            T.nnet.categorical_crossentropy(T.nnet.softmax(m), y),
            T.log(1 / T.nnet.softmax(m)[T.arange(y.shape[0]), y]),
            -T.log((T.exp(m) / T.sum(T.exp(m), **total))[T.arange(y.shape[0]), y]),
        ],
    ),
}
AXIS_CASES = [(name, i, true, out) for name, (true, outs) in OVER_AN_AXIS.items() for i, out in enumerate(outs)]


@pytest.mark.parametrize("mode", ["default", "fast", "FAST_COMPILE"])
@pytest.mark.parametrize(
    ("name", "number", "true", "out"), AXIS_CASES, ids=lambda v: str(v) if isinstance(v, (str, int)) else ""
)
def test_over_an_axis(name, number, true, out, mode):
    values, slopes = true_rows(true)
    slope = grad(out.sum(), m)
    found = optimize([out, slope], mode)
    a, b = evaluate(found, {m: ROWS, y: LABELS})
    for i, row in enumerate(slopes):
        assert close(np.ravel(a)[i], values[i], 1e-12), (found[0], a, values[i])
        for j, exact_slope in enumerate(row):
            assert close(b[i, j], exact_slope, 1e-12) or abs(b[i, j] - float(exact_slope)) < 1e-15, (
                found[1],
                b[i],
                row,
            )


def test_a_vector_without_keepdims():
    v = T.dvector("v")
    s = T.exp(v) / T.sum(T.exp(v))
    found = optimize([s, grad(s[0], v)])
    a, b = evaluate(found, {v: ROWS[0]})
    np.testing.assert_allclose(a, [1, 0, 0, 0], atol=1e-300)
    np.testing.assert_allclose(b, [0, 0, 0, 0], atol=1e-300)


def test_the_gradient_of_labels_is_elementwise():
    """No gather of the size of the matrix is left in the gradient of a cross-entropy."""
    cost = -T.mean(T.log(T.nnet.softmax(m))[T.arange(y.shape[0]), y])
    [slope] = optimize([grad(cost, m)])
    assert "inc_gather" not in {node.op.name for node in toposort([slope])}
    given = {m: ROWS, y: LABELS}
    expected = np.exp(ROWS - ROWS.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    expected[np.arange(3), LABELS] -= 1
    np.testing.assert_allclose(evaluate([slope], given)[0], expected / 3, rtol=1e-12, atol=1e-300)
    fewer = {m: ROWS, y: LABELS[:2]}
    expected[2] = 0
    np.testing.assert_allclose(evaluate([slope], fewer)[0], expected / 2, rtol=1e-12, atol=1e-300)


def test_variance_of_two_means_does_not_cancel():
    v = T.dvector("v")
    data = 1e9 + np.array([0.0, 1.0, 2.0, 4.0])
    for formula in (
        T.mean(v**2) - T.mean(v) ** 2,
        T.mean(v * v) - T.sqr(T.mean(v)),
        T.sum(v**2) / v.shape[0] - T.mean(v) ** 2,
    ):
        value, slope = evaluate(optimize([formula, grad(formula, v)]), {v: data})
        np.testing.assert_allclose(value, np.var(data), rtol=1e-12)
        np.testing.assert_allclose(slope, 2 * (data - data.mean()) / 4, rtol=1e-12)


def test_norm_has_slope_zero_at_zero():
    v = T.dvector("v")
    for formula in (T.sqrt(T.sum(v**2)), T.sqrt(T.sum(v * v)), T.sum(T.sqr(v)) ** 0.5, v.norm(2)):
        [slope] = optimize([grad(formula, v)])
        np.testing.assert_array_equal(evaluate([slope], {v: np.zeros(3)})[0], np.zeros(3))
        np.testing.assert_allclose(evaluate([slope], {v: np.array([3.0, 4.0])})[0], [0.6, 0.8], rtol=1e-15)


@pytest.mark.parametrize(
    "f", [T.sqrt, T.log, lambda v: 1 / v, lambda v: v**0.5, lambda v: T.sqrt(T.sin(v)), lambda v: T.exp(1 / v)]
)
def test_a_choice_masks_the_infinite_slope(f):
    """Where the branch was not taken its slope is 0, whatever it is there: never 0 * inf."""
    v = T.dvector("v")
    out = T.switch(v > 0, f(v), 0.0)
    [slope] = optimize([grad(out.sum(), v)])
    given = np.array([0.0, -1.0, 2.0])
    found = evaluate([slope], {v: given})[0]
    assert found[0] == 0 and found[1] == 0 and np.isfinite(found[2])
