"""Minima, roots and least squares: against SciPy with finite differences, and derivatives of solutions."""
from __future__ import annotations

import doctest
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import fuse
import fuse.tensor as T
from fuse.errors import DisconnectedInputError, DTypeError, FuseTypeError, FuseValueError, ShapeError
from fuse.optimize import argmin_of, least_squares, minimize, root, root_of
from fuse.optimize.methods import READS

RNG = np.random.default_rng(5)


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x[:-1]) ** 2).sum()


def central(f, x, h=1e-6):
    """The gradient of the scalar ``f`` at the vector ``x`` by central differences."""
    steps = np.eye(x.size) * h
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in steps])


# ---------------------------------------------------------------- minimize
@pytest.mark.parametrize("method", [m for m in READS if m not in ("nelder-mead", "powell", "cobyla", "cobyqa")])
def test_every_method_with_derivatives_finds_the_minimum(method):
    # dogleg wants a positive definite Hessian
    cost = (lambda x: T.exp(x - 1).sum() - x.sum()) if method == "dogleg" else rosenbrock
    found = minimize(cost, [1.3, 0.7, 0.8], method=method, tol=1e-9)
    np.testing.assert_allclose(found.x, 1.0, atol=2e-3)


@pytest.mark.parametrize("method", ["nelder-mead", "powell"])
def test_methods_without_derivatives_do_not_ask_for_them(method):
    found = minimize(lambda x: T.floor(x * 1e6).sum() ** 2 + abs(x - 3.0).sum(), [1.0], method=method)
    np.testing.assert_allclose(found.x, 0.0, atol=1e-5)


def test_the_steps_are_those_of_scipy_with_the_exact_gradient():
    def value(x):
        return 100.0 * np.sum((x[1:] - x[:-1] ** 2) ** 2) + np.sum((1 - x[:-1]) ** 2)

    start = np.array([1.3, 0.7, 0.8, 1.9])
    ours = minimize(rosenbrock, start, method="BFGS")
    theirs = scipy.optimize.minimize(value, start, jac=scipy.optimize.rosen_der, method="BFGS")
    assert (ours.nit, ours.nfev, ours.njev) == (theirs.nit, theirs.nfev, theirs.njev)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-9)


def test_variables_of_any_shapes_become_one_vector():
    w, b, s = T.dmatrix("w"), T.dvector("b"), T.dscalar("s")
    x, y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
    cost = ((T.dot(x, w) + b - y) ** 2).sum() + (s - b.sum()) ** 2
    found = minimize(cost, [w, b, s], x0=[np.zeros((3, 2)), np.zeros(2), 0.0], method="trust-exact", tol=1e-10)
    full = np.linalg.lstsq(np.column_stack([x, np.ones(40)]), y, rcond=None)[0]
    assert [v.shape for v in found.x] == [(3, 2), (2,), ()] == [v.shape for v in found.jac]
    np.testing.assert_allclose(found.x[0], full[:3], atol=1e-8)
    np.testing.assert_allclose(found.x[1], full[3], atol=1e-8)
    np.testing.assert_allclose(found.x[2], full[3].sum(), atol=1e-8)


@pytest.mark.parametrize("method", [None, "newton-cg", "trust-exact"])
def test_shared_variables_start_at_their_values_and_end_at_the_minimum(method):
    w = fuse.shared(np.ones((2, 2), "float32"), name="w")
    b = fuse.shared(0.5, name="b")
    target = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    found = minimize(((w - target) ** 2).sum() + (b - 7) ** 2, [w, b], method=method)
    assert found.x[0].dtype == np.float32
    np.testing.assert_allclose(w.get_value(), target, rtol=1e-4)
    np.testing.assert_allclose(b.get_value(), 7, rtol=1e-6)
    assert np.array_equal(w.get_value(), found.x[0])


def test_givens_are_values_or_expressions():
    x, a, b, c = T.dvector("x"), T.dvector("a"), T.dscalar("b"), T.dscalar("c")
    found = minimize(((x - a * b) ** 2).sum(), x, x0=[0.0, 0.0], givens={a: [1, 2], b: c + 1, c: 2.0})
    np.testing.assert_allclose(found.x, [3, 6], atol=1e-6)


def test_arguments_of_a_function():
    found = minimize(lambda x, a, b: ((a * x - b) ** 2).sum(), np.zeros((2, 1)), args=(2.0, np.array([[2.0], [8.0]])))
    np.testing.assert_allclose(found.x, [[1.0], [4.0]], atol=1e-6)


def test_a_function_means_what_numpy_says_and_takes_what_scipy_takes():
    """Comparisons are of elements, arguments any tree or not a tuple, derivatives of one's own get them too."""
    assert minimize(lambda x: ((x == 1.0) * 5 + 0 * x).sum(), [1.0, 2.0], method="nelder-mead").nfev > 1
    np.testing.assert_allclose(minimize(lambda x, a: ((x - a) ** 2).sum(), [0.0, 0.0], args=3.0).x, 3, rtol=1e-5)
    given = ({"q": np.array([1.0, 2.0])}, "squares")
    found = minimize(lambda x, a, how: ((x - a["q"]) ** 2).sum() if how == "squares" else 0, [0.0, 0.0], args=given)
    np.testing.assert_allclose(found.x, [1, 2], rtol=1e-5)
    solved = root(lambda x, a: x**3 - a, [1.0, 1.0], args=(np.array([8.0, 27.0]),), jac=lambda x, a: np.diag(3 * x**2))
    np.testing.assert_allclose(solved.x, [2, 3])


def test_the_start_of_a_function_may_be_a_tree():
    seen = []
    found = minimize(lambda p: ((p["a"] - 1) ** 2).sum() + (p["b"] - 2) ** 2, {"a": np.zeros(2), "b": 0.0},
                     callback=lambda p: seen.append(sorted(p)))
    np.testing.assert_allclose(found.x["a"], [1, 1], atol=1e-5)
    np.testing.assert_allclose(found.x["b"], 2, atol=1e-5)
    assert set(found.jac) == {"a", "b"} and seen[0] == ["a", "b"]


def test_bounds_of_each_variable_and_as_scipy_has_them():
    x, y = T.dvector("x"), T.dscalar("y")
    cost = ((x + 1) ** 2).sum() + (y - 5) ** 2
    found = minimize(cost, [x, y], x0=[[1.0, 1.0], 1.0], bounds={x: ([0.25, None or -np.inf], None), y: (None, 3)})
    np.testing.assert_allclose(found.x[0], [0.25, -1], atol=1e-6)
    np.testing.assert_allclose(found.x[1], 3)
    again = minimize(cost, [x, y], x0=[[1.0, 1.0], 1.0], bounds=[(0.25, None), (None, None), (None, 3)])
    np.testing.assert_allclose(again.x[0], found.x[0], atol=1e-6)


def test_constraints_are_expressions_of_the_variables():
    x, a = T.dvector("x"), T.dscalar("a")
    found = minimize(
        (x**2).sum(), x, x0=[2.0, 1.0], givens={a: 1.0}, method="slsqp",
        constraints=[{"type": "eq", "fun": x.sum() - a}, {"type": "ineq", "fun": x[0] - 0.75}],
    )
    np.testing.assert_allclose(found.x, [0.75, 0.25], atol=1e-8)


def test_callbacks_see_the_variables():
    seen = []
    w = T.dmatrix("w")
    minimize(((w - 1) ** 2).sum(), w, x0=np.zeros((2, 2)), callback=lambda x: seen.append(x.shape))
    assert seen and set(seen) == {(2, 2)}

    def stop(intermediate_result):
        assert intermediate_result.x.shape == (2, 2)
        raise StopIteration

    assert not minimize(((w - 1) ** 4).sum(), w, x0=np.zeros((2, 2)), callback=stop).success


def test_derivatives_in_place_of_those_of_the_graph():
    calls = []

    def jac(x):
        calls.append(x)
        return 2 * (x - 1)

    assert minimize(lambda x: ((x - 1) ** 2).sum(), [0.0, 0.0], jac=jac).success and calls
    assert minimize(lambda x: ((x - 1) ** 2).sum(), [0.0, 0.0], jac="2-point", method="BFGS").nfev > 5


X, N = T.dvector("x"), T.lvector("n")
WRONG = [
    (lambda: minimize(X**2, X, x0=[1.0]), ShapeError, "scalar cost, not a float64 vector"),
    (lambda: minimize((N**2).sum(), N, x0=[1]), DTypeError, "n is a int64 vector; only float32 and float64"),
    (lambda: minimize((X > 0).sum(), X, x0=[1.0]), FuseTypeError, "a real number, not int64"),
    (lambda: minimize(T.dscalar("c") ** 2, X, x0=[1.0]), DisconnectedInputError, "does not depend on x"),
    (lambda: minimize((X * T.dscalar("c")).sum(), X, x0=[1.0]), FuseValueError, "needs a value for c: givens"),
    (lambda: minimize((X**2).sum(), X), FuseValueError, "needs a start for x"),
    (lambda: minimize((X**2).sum(), X, x0=[[1.0]]), ShapeError, "the start of x"),
    (lambda: minimize((X**2).sum(), [X], x0=[[1.0], [2.0]]), ShapeError, "2 entries for 1 variables"),
    (lambda: minimize((X**2).sum(), [X, X], x0=[[1.0], [2.0]]), FuseValueError, "names a variable twice"),
    (lambda: minimize((X**2).sum(), X**2, x0=[1.0]), FuseTypeError, "wrt holds inputs or shared variables"),
    (lambda: minimize((X**2).sum()), FuseTypeError, "needs wrt"),
    (lambda: minimize((X**2).sum(), X, x0=[1.0], method="magic"), FuseValueError, "not 'magic'"),
    (lambda: minimize(3, X, x0=[1.0]), FuseTypeError, "expression or a function of one array, not int"),
    (lambda: minimize(lambda x: "no", [1.0]), FuseTypeError, "the function returned 'no'"),
    (lambda: minimize((X**2).sum(), X, x0=[1.0, 2.0], bounds={X: ([1, 2, 3], None)}), ShapeError, "a bound of x"),
    (lambda: root(lambda x: x[:1], [1.0, 2.0]), ShapeError, "f has 1 elements, the variables 2"),
    (lambda: root(lambda x: x > 0, [1.0]), FuseTypeError, "needs real values"),
]


@pytest.mark.parametrize("call, kind, text", WRONG, ids=[w[2][:24] for w in WRONG])
def test_what_does_not_fit_is_told(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


# ---------------------------------------------------------------- root, least_squares
@pytest.mark.parametrize("method", ["hybr", "lm", "broyden1"])
def test_roots(method):
    found = root(lambda x: T.stack([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1, 0.5 * (x[1] - x[0]) ** 3 + x[1]]),
                 [0.0, 0.0], method=method)
    np.testing.assert_allclose(found.x, [0.8411639, 0.1588361], atol=1e-5)


def test_roots_of_several_variables():
    m, s = T.dmatrix("m"), T.dscalar("s")
    f = T.concatenate([(m**3 - s).flatten(), (m.sum() - 8).dimshuffle("x")])
    found = root(f, [m, s], x0={m: np.ones((2, 2)), s: 1.0})
    np.testing.assert_allclose(found.x[0], np.full((2, 2), 2.0))
    np.testing.assert_allclose(found.x[1], 8.0)


@pytest.mark.parametrize("method, loss", [("trf", "linear"), ("dogbox", "soft_l1"), ("lm", "linear")])
def test_least_squares_as_scipy(method, loss):
    t = np.linspace(0, 3, 30)
    y = 2.5 * np.exp(-1.3 * t) + 0.01 * RNG.normal(size=30)
    ours = least_squares(lambda p: p[0] * T.exp(-p[1] * t) - y, [1.0, 1.0], method=method, loss=loss)
    theirs = scipy.optimize.least_squares(lambda p: p[0] * np.exp(-p[1] * t) - y, [1.0, 1.0], method=method, loss=loss)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-5)
    np.testing.assert_allclose(ours.jac, theirs.jac, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- solutions as expressions
def test_the_gradient_of_a_root_is_that_of_finite_differences():
    x, a = T.dvector("x"), T.dvector("a")
    f = T.stack([x[0] ** 3 + a[0] * x[1] - 2, T.sin(x[0]) * a[1] + x[1] * 2 - a[0]])
    solved = root_of(f, x, start=[1.0, 1.0])
    loss = (solved**2 * T.stack([1.0, 3.0])).sum() * a[1]
    value, gradient = fuse.function([a], loss), fuse.function([a], fuse.grad(loss, a))
    at = np.array([0.7, 1.4])
    np.testing.assert_allclose(gradient(at), central(value, at), rtol=1e-7)
    second = fuse.function([a], fuse.gradient.hessian(loss, a))
    expected = np.array([central(lambda p, i=i: gradient(p)[i], at) for i in range(2)])
    np.testing.assert_allclose(second(at), expected, rtol=1e-6)
    v = T.dvector("v")
    forward = fuse.function([a, v], fuse.Rop(loss, a, v))
    np.testing.assert_allclose(forward(at, [0.3, -2.0]), gradient(at) @ [0.3, -2.0], rtol=1e-12)


def test_the_gradient_reaches_what_the_equations_are_made_of():
    x, a = T.dscalar("x"), T.dscalar("a")
    inner = T.exp(a)
    solved = root_of(x**2 - inner, x, start=inner)
    by_inner, by_a = fuse.function([a], [fuse.grad(solved, inner), fuse.grad(solved, a)])(0.3)
    np.testing.assert_allclose([by_inner, by_a], [0.5 * np.exp(-0.15), 0.5 * np.exp(0.15)], rtol=1e-12)


def test_several_unknowns_and_shared_variables():
    m, s = T.dmatrix("m"), T.fscalar("s")
    k = fuse.shared(2.0, name="k")
    found = root_of([m**3 - s * k, m.sum() - 4 * k], [m, s], start=[np.ones((2, 2)), 1.0])
    assert [r.type.dtype for r in found] == ["float64", "float32"] and [r.ndim for r in found] == [2, 0]
    values = fuse.function([], [*found, fuse.grad(found[0].sum() + found[1], k)])()
    np.testing.assert_allclose(values[0], np.full((2, 2), 2.0))
    np.testing.assert_allclose(values[1], 4.0)
    np.testing.assert_allclose(values[2], 4 + 2 * 2.0, rtol=1e-6)  # m = k, s = k²
    k.set_value(3.0)
    np.testing.assert_allclose(fuse.function([], found)()[1], 9.0)


def test_sizes_known_at_run_time():
    x, a = T.dvector("x"), T.dvector("a")
    solved = root_of(x**3 + x - a, x, start=T.zeros_like(a))
    f = fuse.function([a], [solved, fuse.grad(solved.sum(), a)])
    for n in (1, 4, 0, 7):
        at = np.linspace(-3, 3, n)
        z, g = f(at)
        np.testing.assert_allclose(z**3 + z, at, atol=1e-12)
        np.testing.assert_allclose(g, 1 / (3 * z**2 + 1), rtol=1e-12)


@pytest.mark.parametrize("method", [None, "trust-exact", "L-BFGS-B"])
def test_the_gradient_of_a_minimum_is_that_of_finite_differences(method):
    w, p = T.dvector("w"), T.dvector("p")
    x, y = RNG.normal(size=(20, 3)), (RNG.random(20) > 0.5) * 1.0
    logits = T.dot(x, w)
    cost = (T.nnet.softplus(logits) - y * logits).sum() + (T.exp(p) * w**2).sum()
    best = argmin_of(cost, w, start=np.zeros(3), method=method)
    loss = (best**2).sum() + T.tanh(best).sum()
    value, gradient = fuse.function([p], loss), fuse.function([p], fuse.grad(loss, p))
    at = np.array([-1.0, 0.2, 0.5])
    np.testing.assert_allclose(gradient(at), central(value, at, 1e-5), rtol=1e-6)


def test_a_solution_is_part_of_a_larger_graph():
    x, a = T.dscalar("x"), T.dscalar("a")
    outer = T.dscalar("y")
    inner = root_of(x**3 - a, x, start=1.0)
    nested = root_of(outer * inner - 4, outer, start=1.0)  # a root of what holds a root
    f = fuse.function([a], {"value": nested * 2, "slope": fuse.grad(nested, a)})
    found = f(8.0)
    np.testing.assert_allclose(found["value"], 4.0)
    np.testing.assert_allclose(found["slope"], -4 / 3 * 8.0 ** (-4 / 3))
    again = pickle.loads(pickle.dumps(f))
    assert again(8.0)["slope"] == found["slope"]
    total = fuse.shared(0.0)
    step = fuse.function([a], [], updates=[(total, total + inner)])
    step(8.0), step(27.0)
    np.testing.assert_allclose(total.get_value(), 5.0)


def test_no_solution_is_an_error():
    x, a = T.dscalar("x"), T.dscalar("a")
    f = fuse.function([a], root_of(x**2 + a, x, start=1.0))
    np.testing.assert_allclose(f(-4.0), 2.0)
    with pytest.raises(FuseValueError, match="root_of: no solution found from this start"):
        f(4.0)


SOLUTIONS = [
    (lambda: root_of(X[:1], X, start=1.0), ShapeError, "the start of x is a float64 scalar, the variable a"),
    (lambda: root_of(X**2, X**2, start=[1.0]), FuseTypeError, "finds input variables"),
    (lambda: root_of(N * 1.5, N, start=[1]), DTypeError, "n is a int64 vector"),
    (lambda: root_of(T.dscalar(), X, start=[1.0]), DisconnectedInputError, "does not depend on x"),
    (lambda: root_of(X > 1, X, start=[1.0]), FuseTypeError, "expression of real numbers"),
    (lambda: argmin_of(X**2, X, start=[1.0]), ShapeError, "needs a real scalar cost"),
    (lambda: root_of(T.stack([X[0]]), X, start=[1.0, 2.0]), ShapeError, "as many equations as unknowns: 1 and 2"),
]


@pytest.mark.parametrize("call, kind, text", SOLUTIONS, ids=[w[2][:24] for w in SOLUTIONS])
def test_what_has_no_solution_is_told(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_the_page_on_models_runs():
    page = Path(__file__).resolve().parents[1] / "docs" / "models.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 20 and not found.failed
