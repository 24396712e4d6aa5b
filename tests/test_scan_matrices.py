"""Matrices taken apart within compiled loops, against NumPy's and SciPy's routines called for each step."""
from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import lower
from fuse.errors import MatrixError
from fuse.frontend.scans import recurrence
from fuse.op import OPS
from fuse.tensor import nlinalg, slinalg

RNG = np.random.default_rng(7)


def spd(steps: int, n: int, dtype: str = "float64") -> Any:
    x = RNG.standard_normal((steps, n, n))
    return (x @ x.swapaxes(1, 2) + 0.1 * np.eye(n)).astype(dtype)


# name: formula of a matrix, a matrix of right-hand sides and a vector; the same in NumPy and SciPy
FORMULAS: dict[str, tuple[Any, Any]] = {
    "inverse": (lambda a, b, v: nlinalg.matrix_inverse(a), lambda a, b, v: np.linalg.inv(a)),
    "inverse of the transposed": (lambda a, b, v: nlinalg.matrix_inverse(a.T), lambda a, b, v: np.linalg.inv(a.T)),
    "det": (lambda a, b, v: nlinalg.det(a), lambda a, b, v: np.linalg.det(a)),
    "slogdet": (lambda a, b, v: nlinalg.slogdet(a)[0] * nlinalg.slogdet(a)[1],
                lambda a, b, v: np.prod(np.linalg.slogdet(a))),
    "solve": (lambda a, b, v: slinalg.solve(a, b), lambda a, b, v: np.linalg.solve(a, b)),
    "solve, vector": (lambda a, b, v: slinalg.solve(a, v), lambda a, b, v: np.linalg.solve(a, v)),
    "cholesky": (lambda a, b, v: slinalg.cholesky(a.dot(a.T)), lambda a, b, v: np.linalg.cholesky(a @ a.T)),
    "upper": (lambda a, b, v: slinalg.cholesky(a.dot(a.T), lower=False), lambda a, b, v: np.linalg.cholesky(a @ a.T).T),
    "triangular": (lambda a, b, v: slinalg.solve_triangular(a, b, lower=True),
                   lambda a, b, v: np.linalg.solve(np.tril(a), b)),
    "triangular, upper": (lambda a, b, v: slinalg.solve_triangular(a, v, lower=False),
                          lambda a, b, v: np.linalg.solve(np.triu(a), v)),
    "triangular, unit": (lambda a, b, v: slinalg.solve_triangular(a, b, lower=True, unit_diagonal=True),
                         lambda a, b, v: np.linalg.solve(np.tril(a, -1) + np.eye(len(a)), b)),
    "positive": (lambda a, b, v: slinalg.solve(a.dot(a.T), b, assume_a="pos"),
                 lambda a, b, v: np.linalg.solve(a @ a.T, b)),
    "both": (lambda a, b, v: nlinalg.slogdet(a)[1] + v.dot(nlinalg.matrix_inverse(a).dot(v)) + slinalg.solve(a, v)[0],
             lambda a, b, v: np.linalg.slogdet(a)[1] + v @ np.linalg.inv(a) @ v + np.linalg.solve(a, v)[0]),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_of_each(dtype: str) -> None:
    a, b, v = T.tensor3("a", dtype), T.matrix("b", dtype), T.vector("v", dtype)

    def step(m: Any, total: Any, b: Any, v: Any) -> Any:
        m = T.switch(total < 1e30, m, -m)  # else all of it would be computed before the loop
        found = [f(m, b, v) for f, _ in FORMULAS.values()]
        return [total + sum(x.sum() for x in found), *found]

    outputs, _ = fuse.scan(step, [a], [T.zeros((), dtype), *[None] * len(FORMULAS)], [b, v])
    f = fuse.function([a, b, v], outputs[1:])
    assert "not compiled" not in f.source
    for steps, n, m in ((3, 1, 2), (4, 2, 1), (2, 5, 3), (3, 9, 2)):
        x = RNG.standard_normal((steps, n, n)).astype(dtype) + 2 * np.eye(n, dtype=dtype)[::-1]
        x += 4 * np.eye(n, dtype=dtype)
        right, vector = RNG.standard_normal((n, m)).astype(dtype), RNG.standard_normal(n).astype(dtype)
        for found, (name, (_, formula)) in zip(f(x, right, vector), FORMULAS.items(), strict=True):
            expected = np.array([formula(each.astype("float64"), right, vector) for each in x])
            assert found.dtype == dtype
            tolerance = 1e-9 if dtype == "float64" else 2e-2
            np.testing.assert_allclose(found, expected, tolerance, tolerance, err_msg=name)


def _by_matrix(function: Any, *stacks: Any) -> Any:
    """A function of matrices for each matrix of stacks that broadcast."""
    lead = np.broadcast_shapes(*[x.shape[:-2] for x in stacks])
    wide = [np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in stacks]
    rows = [function(*[x[at] for x in wide]) for at in np.ndindex(lead)]
    return np.reshape(rows, (*lead, *np.shape(rows[0])))


def _turned(x: Any) -> Any:
    return x.dimshuffle(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)


# Formulas of a stack of stacks of matrices, a stack of right-hand sides, one matrix of them and a stack of vectors.
STACKS: dict[str, tuple[Any, Any]] = {
    "inverse": (lambda a, b, c, v: nlinalg.matrix_inverse(a), lambda a, b, c, v: np.linalg.inv(a)),
    "det": (lambda a, b, c, v: nlinalg.det(_turned(a)), lambda a, b, c, v: np.linalg.det(a)),
    "sign": (lambda a, b, c, v: nlinalg.slogdet(a)[0], lambda a, b, c, v: np.linalg.slogdet(a)[0]),
    "logarithm": (lambda a, b, c, v: nlinalg.slogdet(a[0])[1], lambda a, b, c, v: np.linalg.slogdet(a[0])[1]),
    "solve": (lambda a, b, c, v: slinalg.solve(a, b), lambda a, b, c, v: _by_matrix(np.linalg.solve, a, b)),
    "solve, one": (lambda a, b, c, v: slinalg.solve(_turned(a), c),
                   lambda a, b, c, v: _by_matrix(np.linalg.solve, a.swapaxes(-1, -2), c)),
    "solve, one matrix": (lambda a, b, c, v: slinalg.solve(a[0, 0], b),
                          lambda a, b, c, v: _by_matrix(np.linalg.solve, a[0, 0], b)),
    "solve, vectors": (lambda a, b, c, v: slinalg.solve(a, v, b_ndim=1),
                       lambda a, b, c, v: _by_matrix(np.linalg.solve, a, v[..., None])[..., 0]),
    "cholesky": (lambda a, b, c, v: slinalg.cholesky(a @ _turned(a)),
                 lambda a, b, c, v: np.linalg.cholesky(a @ a.swapaxes(-1, -2))),
    "upper": (lambda a, b, c, v: slinalg.cholesky(a @ _turned(a), lower=False),
              lambda a, b, c, v: np.linalg.cholesky(a @ a.swapaxes(-1, -2)).swapaxes(-1, -2)),
    "no factor": (lambda a, b, c, v: slinalg.cholesky(T.concatenate([a, -a]) @ a[:1], on_error="nan"),
                  lambda a, b, c, v: _by_matrix(_factor_or_nan, np.concatenate([a, -a]) @ a[:1])),
    "triangular": (lambda a, b, c, v: slinalg.solve_triangular(a, b, lower=True),
                   lambda a, b, c, v: _by_matrix(lambda x, y: np.linalg.solve(np.tril(x), y), a, b)),
    "triangular, unit": (lambda a, b, c, v: slinalg.solve_triangular(a, c, lower=False, unit_diagonal=True),
                         lambda a, b, c, v: _by_matrix(
                             lambda x, y: np.linalg.solve(np.triu(x, 1) + np.eye(len(x)), y), a, c)),
    "matmul": (lambda a, b, c, v: a @ b, lambda a, b, c, v: a @ b),
    "matmul with one": (lambda a, b, c, v: _turned(b) @ a, lambda a, b, c, v: b.swapaxes(-1, -2) @ a),
    "diagonals": (lambda a, b, c, v: T.diagonal(a, 1, 3, 2) * 2, lambda a, b, c, v: np.diagonal(a, 1, 3, 2) * 2),
    "diagonals below": (lambda a, b, c, v: T.diagonal(a, -1, 1, 3), lambda a, b, c, v: np.diagonal(a, -1, 1, 3)),
}


def _factor_or_nan(x: Any) -> Any:
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return np.full_like(x, np.nan)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_stacks(dtype: str) -> None:
    """Each matrix of a stack by itself, with right-hand sides that all of them have, or some."""
    a = T.tensor(dtype=dtype, shape=(None,) * 5)
    b, c, v = T.tensor3("b", dtype), T.matrix("c", dtype), T.matrix("v", dtype)

    def step(m: Any, total: Any, b: Any, c: Any, v: Any) -> Any:
        m = T.switch(total < 1e30, m, -m)  # else all of it would be computed before the loop
        found = [f(m, b, c, v) for f, _ in STACKS.values()]
        return [total + T.switch(T.isnan(found[0]), 0.0, found[0]).sum(), *found]

    outputs, _ = fuse.scan(step, [a], [T.zeros((), dtype), *[None] * len(STACKS)], [b, c, v])
    f = fuse.function([a, b, c, v], outputs[1:])
    assert "not compiled" not in f.source
    rng = np.random.default_rng(5)
    for steps, lead, n, m in ((2, (2, 3), 4, 2), (1, (1, 2), 1, 1), (2, (3, 1), 2, 3)):
        x = rng.standard_normal((steps, *lead, n, n)) * 0.3
        x = (x @ x.swapaxes(-1, -2) + 2 * np.eye(n)).astype(dtype)
        values = [rng.standard_normal(s).astype(dtype) for s in ((lead[1], n, m), (n, m), (lead[1], n))]
        wide = [each.astype("float64") for each in values]
        for found, (name, (_, formula)) in zip(f(x, *values), STACKS.items(), strict=True):
            expected = np.array([formula(each.astype("float64"), *wide) for each in x])
            assert found.dtype == dtype
            tolerance = 1e-11 if dtype == "float64" else 1e-4
            np.testing.assert_allclose(found, expected, tolerance, tolerance, err_msg=name)
    with pytest.raises(MatrixError):
        f(np.zeros((1, 1, 1, 2, 2), dtype), *[np.ones(s, dtype) for s in ((1, 2, 1), (2, 1), (1, 2))])


def looped(formula: Any) -> Any:
    a = T.tensor3("a")

    def step(m: Any, total: Any) -> Any:
        return total + formula(T.switch(total < 1e200, m, -m)).sum()  # else it would be computed before the loop

    outputs, _ = fuse.scan(step, [a], [np.zeros(())])
    f = fuse.function([a], outputs)
    assert "not compiled" not in f.source
    return f


def test_rows_change_places() -> None:
    x = np.array([[[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [4.0, 0.0, 0.0]]])
    np.testing.assert_allclose(looped(nlinalg.matrix_inverse)(x), [np.linalg.inv(x[0]).sum()])
    np.testing.assert_allclose(looped(nlinalg.det)(x), [24.0])
    np.testing.assert_allclose(looped(nlinalg.det)(x[:, [1, 0, 2]]), [-24.0])


def test_singular_matrices() -> None:
    x = np.array([[[1.0, 2.0], [2.0, 4.0]]])
    np.testing.assert_array_equal(looped(nlinalg.det)(x), [0.0])
    np.testing.assert_array_equal(looped(lambda a: nlinalg.slogdet(a)[1])(x), [-np.inf])
    np.testing.assert_array_equal(looped(lambda a: nlinalg.slogdet(a)[0])(x), [0.0])
    for formula in (nlinalg.matrix_inverse, lambda a: slinalg.solve(a, a), lambda a: slinalg.cholesky(-a)):
        with pytest.raises(MatrixError):
            looped(formula)(x)
    with pytest.raises(MatrixError):
        looped(lambda a: slinalg.solve_triangular(a, a, lower=True))(np.array([[[1.0, 2.0], [2.0, 0.0]]]))
    assert np.isnan(looped(lambda a: slinalg.cholesky(a, on_error="nan"))(-x)).all()
    with pytest.raises(fuse.errors.FuseError):
        looped(nlinalg.matrix_inverse)(np.ones((2, 2, 3)))


def test_a_determinant_neither_overflows_nor_vanishes_on_the_way() -> None:
    x = np.diag([1e-200, 1e-200, 1e300, 1e150])[None]
    np.testing.assert_allclose(looped(nlinalg.det)(x), [1e50], 1e-10)


@pytest.mark.parametrize("name", ["inverse", "slogdet", "solve", "positive", "cholesky"])
def test_gradients_are_compiled_loops(name: str) -> None:
    formula = FORMULAS[name][0]
    a, b, v, w = T.tensor3("a"), T.matrix("b"), T.vector("v"), T.matrix("w")

    def step(m: Any, state: Any, w: Any, b: Any, v: Any) -> Any:
        x = m + T.tanh(state)
        return T.tanh(w * T.sum(formula(x, b, v)) + T.sin(state))

    outputs, _ = fuse.scan(step, [a], [T.zeros_like(w)], [w, b, v])
    cost = T.sum(outputs[-1] ** 2)
    f = fuse.function([a, b, v, w], [cost, T.grad(cost, w)])
    assert "not compiled" not in f.source
    given = spd(4, 3) + 3 * np.eye(3), RNG.standard_normal((3, 2)), RNG.standard_normal(3)
    w0, e = 0.2 * RNG.standard_normal((3, 3)), 1e-6
    found = f(*given, w0)[1]
    for at in ((0, 0), (1, 2), (2, 1)):
        move = np.zeros((3, 3))
        move[at] = e
        up, down = [f(*given, w0 + d)[0] for d in (move, -move)]
        np.testing.assert_allclose(found[at], (up - down) / (2 * e), 1e-5, 1e-7)


def test_a_number_of_slogdet_in_a_formula() -> None:
    x, y = T.dmatrix(), T.dscalar()
    f = fuse.function([x, y], T.exp(nlinalg.slogdet(x)[1]) + y)
    for _ in range(5):  # the fourth call goes another way
        np.testing.assert_allclose(f(2.0 * np.eye(3), 1.0), 9.0)


_RECURRENCE = OPS["recurrence"].numpy


def _slope(s: Any) -> Any:
    return T.grad(T.cumprod(s, axis=1).sum(), s)


def _slope_of_products(s: Any) -> Any:
    """The same in NumPy: each product without one of its factors."""
    out = np.zeros_like(s)
    for k in range(s.shape[1]):
        for i in range(k + 1):
            out[:, i] += np.prod(np.delete(s[:, : k + 1], i, 1), 1)
    return out


# Formulas of a matrix and a stack that walk along axes; the same in NumPy.
ALONG: dict[str, tuple[Any, Any]] = {
    "argmax": (lambda a, s: T.argmax(a), lambda a, s: np.argmax(a)),
    "argmax of columns": (lambda a, s: T.argmax(a, axis=0), lambda a, s: np.argmax(a, axis=0)),
    "argmin of rows": (lambda a, s: T.argmin(a.T, axis=0), lambda a, s: np.argmin(a, axis=1)),
    "argmin of a stack": (lambda a, s: T.argmin(s, axis=1), lambda a, s: np.argmin(s, axis=1)),
    "argmax of integers": (lambda a, s: T.argmax(T.cast(a * 3, "int64"), axis=1),
                           lambda a, s: np.argmax((a * 3).astype("int64"), axis=1)),
    "cumsum": (lambda a, s: T.cumsum(a, axis=1), lambda a, s: np.cumsum(a, axis=1)),
    "cumprod": (lambda a, s: T.cumprod(s, axis=0), lambda a, s: np.cumprod(s, axis=0)),
    "cumsum of all": (lambda a, s: T.cumsum(a), lambda a, s: np.cumsum(a)),
    "gradient of cumprod": (lambda a, s: _slope(abs(s)), lambda a, s: _slope_of_products(abs(s))),
    "recurrence": (lambda a, s: recurrence(abs(s), s * s, 2), lambda a, s: _RECURRENCE(abs(s), s * s, 2, False)),
    "diagonal": (lambda a, s: T.diag(a) * 2, lambda a, s: np.diag(a) * 2),
    "diagonal above": (lambda a, s: T.diagonal(a, 1) * 2, lambda a, s: np.diagonal(a, 1) * 2),
    "diagonal below": (lambda a, s: T.diagonal(a.T, -1) * 2, lambda a, s: np.diagonal(a.T, -1) * 2),
    "batched_dot": (lambda a, s: T.batched_dot(s, s.dimshuffle(0, 2, 1)), lambda a, s: s @ s.swapaxes(1, 2)),
    "matmul": (lambda a, s: s @ s.dimshuffle(0, 2, 1), lambda a, s: s @ s.swapaxes(1, 2)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_along_axes(dtype: str) -> None:
    a, s = T.tensor3("a", dtype), T.tensor3("s", dtype)

    def step(m: Any, total: Any, s: Any) -> Any:
        m = T.switch(total < 1e30, m, -m)  # else all of it would be computed before the loop
        found = [f(m, T.switch(total < 1e30, s, -s)) for f, _ in ALONG.values()]
        return [total + T.cast(sum(x.sum() for x in found), dtype), *found]

    outputs, _ = fuse.scan(step, [a], [T.zeros((), dtype), *[None] * len(ALONG)], [s])
    f = fuse.function([a, s], outputs[1:])
    assert "not compiled" not in f.source
    for steps, shape, stack in ((3, (4, 4), (2, 3, 4)), (2, (1, 1), (1, 1, 2)), (1, (3, 5), (3, 5, 9))):
        x, y = RNG.standard_normal((steps, *shape)).astype(dtype), RNG.standard_normal(stack).astype(dtype)
        for found, (name, (_, formula)) in zip(f(x, y), ALONG.items(), strict=True):
            expected = np.array([formula(each, y) for each in x])
            assert found.dtype == expected.dtype, name
            np.testing.assert_allclose(found, expected, 2e-6 if dtype == "float32" else 1e-13, err_msg=name)


def test_positions_of_what_is_no_number_and_of_nothing() -> None:
    x = T.matrix("x")
    at, _ = fuse.scan(lambda row, last: T.argmax(row * T.switch(last < 5, 1.0, 2.0)), [x], [np.int64(0)])
    f = fuse.function([x], at)
    assert "not compiled" not in f.source
    assert f([[1.0, np.nan, 2.0, np.nan], [3.0, 3.0, -np.inf, 1.0]]).tolist() == [1, 0]
    with pytest.raises(fuse.errors.FuseError):
        f(np.empty((2, 0)))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_positions_along_rows(dtype: str) -> None:
    """Along another axis than the last, rows are compared in groups: ties go to the first, and to what is no number."""
    x = T.tensor(dtype=dtype, shape=(None,) * 4)

    def step(m: Any, last: Any) -> Any:
        m = T.switch(last < 10**6, m, -m)  # else all of it would be computed before the loop
        found = [T.argmax(m, axis=0), T.argmin(m, axis=1), T.argmax(m, axis=1), T.argmin(m, axis=0)]
        return [last + found[0].sum(), *found]

    outputs, _ = fuse.scan(step, [x], [np.int64(0), None, None, None, None])
    f = fuse.function([x], outputs[1:])
    assert "not compiled" not in f.source
    for shape in ((3, 1, 1, 1), (2, 2, 5, 3), (4, 9, 14, 17), (1, 13, 2, 40), (2, 6, 3, 0)):
        value = RNG.integers(-2, 3, shape).astype(dtype)
        if dtype != "int64":
            value[RNG.random(shape) < 0.1] = np.nan
            value[RNG.random(shape) < 0.1] = np.inf
            value[RNG.random(shape) < 0.1] = -0.0
        for _ in range(2):
            for found, (name, axis) in zip(f(value), (("argmax", 0), ("argmin", 1), ("argmax", 1), ("argmin", 0)),
                                           strict=True):
                expected = np.array([getattr(np, name)(each, axis=axis) for each in value])
                np.testing.assert_array_equal(found, expected, strict=True)


def test_what_is_taken_of_a_matrix_of_each_step_keeps_no_matrices() -> None:
    """Viterbi's algorithm: the best ways are found step by step, as the sums that they are found in are larger."""
    scores, change, start = T.dmatrix("scores"), T.dmatrix("change"), T.dvector("start")

    def step(score: Any, best: Any) -> Any:
        both = best.dimshuffle(0, "x") + change
        return both.max(axis=0) + score, both.argmax(axis=0)

    (best, ways), _ = fuse.scan(step, scores, [start, None])
    f = fuse.function([scores, change, start], [best[-1], ways])
    assert "argmax" not in f.source and "call" not in f.source[f.source.index("# wrapper"):]
    s, c, state = RNG.standard_normal((6, 11)), RNG.standard_normal((11, 11)), RNG.standard_normal(11)
    for _ in range(5):
        found = f(s, c, state)
    for t, row in enumerate(s):
        both = state[:, None] + c
        np.testing.assert_array_equal(found[1][t], both.argmax(axis=0))
        state = both.max(axis=0) + row
    np.testing.assert_allclose(found[0], state, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_a_number_taken_of_a_vector_of_each_step_keeps_no_vectors(dtype: str) -> None:
    x, a, start = T.matrix("x", dtype), T.vector("a", dtype), T.vector("start", dtype)
    mixed, _ = fuse.scan(lambda row, y, a: [row + a * y, T.dot(row + a * y, a)], x, [start, None], a)
    f = fuse.function([x, a, start], [mixed[1], mixed[0][-1]])
    if dtype != "int64":
        assert not re.search(r"small|call|dot", f.source[f.source.index("# wrapper"):])
    for steps, n in ((1, 1), (5, 3), (80, 17), (3, 0)):
        given = [RNG.integers(-3, 4, shape).astype(dtype) for shape in ((steps, n), n, n)]
        rows, weights, state = [np.asarray(v, dtype if dtype == "int64" else "float64") for v in given]
        if dtype != "int64":
            weights, given[1] = weights / 8, given[1] / np.array(8, dtype)
        wanted = []
        for row in rows:
            state = row + weights * state
            wanted.append(state @ weights)
        for _ in range(5):
            found = f(*given)
        for got, expected in zip(found, (np.array(wanted), state), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)


def test_products_alike_are_one_function_of_a_loop():
    lower.unsupported.clear()
    m, n = 9, 16
    h, a, b = T.TensorType("float64", (m, n))("h"), *[T.TensorType("float64", (n, n))(name) for name in "ab"]
    states, _ = fuse.scan(lambda h, a, b: T.tanh(h @ a) - T.tanh(h @ b), outputs_info=[h], non_sequences=[a, b],
                          n_steps=3)
    f = fuse.function([h, a, b], [states[-1], *T.grad(T.sum(states[-1] ** 2), [h, a])])
    rng = np.random.default_rng(4)
    rows, left, right = [rng.normal(size=(m, n))], *rng.normal(size=(2, n, n))
    for _ in range(3):
        rows.append(np.tanh(rows[-1] @ left) - np.tanh(rows[-1] @ right))
    slope, of_left = 2 * rows[-1], 0
    for row in rows[-2::-1]:
        first, second = slope * (1 - np.tanh(row @ left) ** 2), slope * (1 - np.tanh(row @ right) ** 2)
        of_left = of_left + row.T @ first
        slope = first @ left.T - second @ right.T
    for have, want in zip(f(rows[0], left, right), (rows[-1], slope, of_left), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-10, atol=1e-12)
    assert "def product2" not in f.fn.source and f.fn.source.count("  product1(") == 4 and lower.unsupported == []


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_places_in_an_ordered_vector(dtype):
    """In steps of a loop: NumPy's, where values repeat and are no numbers, too."""
    def step(total, v):
        places = [T.searchsorted(ordered, x, side=side) for x in (v, v[0]) for side in ("left", "right")]
        return total + places[0].sum(), tuple(places)

    ordered, sought = T.vector(dtype=dtype), T.matrix(dtype=dtype)
    f = fuse.function([ordered, sought], [*fuse.loop(step, T.constant(0, dtype="int64"), sought)[1]])
    assert "each step is a call" not in f.source
    rng = np.random.default_rng(5)
    for n in (1, 2, 7, 8, 33):
        x = np.sort(rng.integers(-4, 5, n)).astype(dtype)
        v = np.concatenate([x, x + 1, [-50, 50]]).astype(dtype)
        if dtype != "int64":
            x[-1] = np.nan if n > 2 else x[-1]
            v = np.concatenate([v, [np.nan, np.inf, -np.inf]]).astype(dtype)
        v = np.stack([v, v[::-1]])
        wanted = [np.searchsorted(x, w, side=side) for w in (v, v[:, 0]) for side in ("left", "right")]
        for found, one in zip(f(x, v), wanted, strict=True):
            np.testing.assert_array_equal(found, one)
    assert not any(found.any() for found in f(x[:0], v))
