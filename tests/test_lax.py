"""Loops, choices and slices by JAX's names: what Python's own loops and branches give, of arrays and in transforms."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
from fuse import lax
from fuse.errors import FuseTypeError, FuseValueError, ShapeError

X = np.array([0.5, -1.0, 2.0])


def test_loops_are_pythons():
    def step(carry, x):
        return {"a": carry["a"] * x + 1.0, "n": carry["n"] + 1}, (carry["a"], x)

    for reverse in (False, True):
        carry, kept = {"a": 2.0, "n": 0}, []
        for x in X[::-1] if reverse else X:
            carry, y = step(carry, x)
            kept.append(y)
        kept = [np.array(k)[::-1] if reverse else np.array(k) for k in zip(*kept, strict=True)]
        last, ys = lax.scan(step, {"a": 2.0, "n": 0}, X, reverse=reverse)
        assert last == carry and isinstance(last["a"], np.ndarray)
        for a, b in zip(ys, kept, strict=True):
            np.testing.assert_allclose(a, b)
    assert lax.scan(lambda c, _: (2 * c, c), 1, length=3)[1].tolist() == [1, 2, 4]
    assert lax.fori_loop(3, 300, lambda i, c: c + i, 0) == sum(range(3, 300))
    assert lax.fori_loop(5, 2, lambda i, c: c + 1, 7) == 7
    small = lax.fori_loop(0, 300, lambda i, c: (c[0] + i, c[1] + i * i), (np.int32(0), np.ones(2, "uint8")))
    assert small[0] == sum(range(300)) and small[0].dtype == np.int32
    np.testing.assert_array_equal(small[1], np.full(2, (1 + sum(i * i for i in range(300))) % 256, "uint8"))
    bodies = []
    many = lax.fori_loop(0, 4, lambda i, c: bodies.append(i) or [x + i for x in c], [np.int32(k) for k in range(9)])
    assert len(bodies) < 9 and [x.tolist() for x in many] == [6 + k for k in range(9)]
    squares = fuse.jit(lambda x, n: lax.fori_loop(0, n, lambda i, c: c.at[i].set(x[i] ** 2), x))(X, 2)
    np.testing.assert_allclose(squares, [0.25, 1.0, 2.0])
    np.testing.assert_allclose(fuse.grad(lambda a: lax.scan(lambda c, x: (c * a, c), 1.0, X)[0])(2.0), 12.0)
    ends = fuse.vmap(lambda n: lax.while_loop(lambda c: c < n, lambda c: 2 * c, 1))(np.array([0, 5, 100]))
    assert ends.tolist() == [1, 8, 128]
    slopes = fuse.grad(lambda m: lax.map(lambda r: np.sum(r) ** 2, m).sum())(np.arange(4.0).reshape(2, 2))
    np.testing.assert_allclose(slopes, [[2.0, 2.0], [10.0, 10.0]])


def test_states_that_start_as_numbers_may_hold_what_others_held():
    def step(state, x):
        last, before, total = state
        return (x, last, total + x * before), last

    for y in (X, X.astype("f4")):
        last, kept = fuse.jit(lambda y: lax.scan(step, (0.0, 0.0, 0.0), y))(y)
        np.testing.assert_allclose([*last, *kept], [2.0, -1.0, 1.0, 0.0, 0.5, -1.0])
        assert {v.dtype for v in (*last, kept)} == {y.dtype}
    turned = fuse.jit(lambda: lax.scan(lambda c, _: ((c[1], c[2], c[0] + c[2] * 0.5), c[0]), (0.0, 1.0, 0.3), length=4))
    np.testing.assert_allclose(turned()[1], [0.0, 1.0, 0.3, 0.15])


def test_choices_compute_one_function():
    f = fuse.jit(lambda x: lax.cond(x > 0, lambda x: {"y": np.log(x), "n": 0}, lambda x: {"y": 0, "n": 1}, x))
    assert f(1.0) == {"y": 0.0, "n": 0} and f(-1.0) == {"y": 0.0, "n": 1}
    assert f(np.float32(-1.0))["y"].dtype == np.float32
    assert fuse.grad(lambda x: lax.cond(x > 0, np.log, lambda x: 0.0 * x, x))(-1.0) == 0.0
    assert lax.cond(True, lambda: 1, lambda: 1 // 0) == lax.cond(-0.5, lambda: 1, lambda: 1 // 0) == 1
    assert fuse.jit(lambda x: lax.cond(x, lambda: 1, lambda: 2))(-0.5) == 1  # as Python has it
    ways = [lambda x: x, lambda x: 10 * x, lambda x: -x]
    chosen = fuse.vmap(lambda i, x: lax.switch(i, ways, x))(np.array([-1, 0, 1, 2, 9]), np.arange(1.0, 6.0))
    np.testing.assert_array_equal(chosen, [1.0, 2.0, 30.0, -4.0, -5.0])
    assert lax.switch(np.int64(1), ways, 3) == 30
    np.testing.assert_array_equal(lax.select(X > 0, X, 0.0), [0.5, 0.0, 2.0])


def test_slices_are_moved_into_the_array():
    rows = fuse.vmap(lambda x, i: lax.dynamic_slice(x, (i,), (2,)), (None, 0))(np.arange(5.0), np.array([0, 2, 9, -1]))
    assert rows.tolist() == [[0, 1], [2, 3], [3, 4], [3, 4]]
    m = np.arange(6.0).reshape(2, 3)
    cost = fuse.grad(lambda x, u: (lax.dynamic_update_slice(x, u, (0, 5)) ** 2).sum(), (0, 1))
    by_x, by_new = cost(m, np.ones((1, 2)))
    np.testing.assert_array_equal(by_x, [[0.0, 0.0, 0.0], [6.0, 8.0, 10.0]])
    np.testing.assert_array_equal(by_new, [[2.0, 2.0]])
    column = fuse.jit(lambda x, i: lax.dynamic_index_in_dim(x, i, 1, keepdims=False))(m, 2)
    assert column.tolist() == [2.0, 5.0] and lax.dynamic_index_in_dim(m, 1).tolist() == [[3.0, 4.0, 5.0]]


@pytest.mark.parametrize("wrong, error, words", [
    (lambda: lax.scan(3, 0.0, X), FuseTypeError, "takes a function"),
    (lambda: lax.scan(lambda c, x: (c, x), 0.0, (X, X[:2])), FuseValueError, "one length"),
    (lambda: lax.scan(lambda c, x: (c, x), 0.0, X, length=2), FuseValueError, "one length"),
    (lambda: fuse.jit(lambda a, b: lax.scan(lambda c, x: (c, x[1]), 0.0, (a, b), reverse=True))(X, X[:2]),
     ShapeError, r"has shape \(2,\), not \(3,\)"),
    (lambda: fuse.jit(lambda a: lax.scan(lambda c, x: (c, x), 0.0, a, length=2))(X), ShapeError, "has shape"),
    (lambda: lax.fori_loop(0, 2, lambda i, c: c + np.arange(2), np.zeros(2, "int32")), FuseTypeError, "int32"),
    (lambda: lax.fori_loop(0, np.int64(2), lambda i, c: c + i, np.int32(0)), FuseTypeError, "int32"),
    (lambda: lax.scan(lambda c, x: (c, x), 0.0, (X, 1.0)), FuseTypeError, "a number does not have"),
    (lambda: fuse.jit(lambda x: lax.cond(x > 0, lambda: x, lambda: (x,)))(1.0), FuseTypeError, "one structure"),
    (lambda: lax.switch(0, []), FuseValueError, "one function or more"),
    (lambda: lax.dynamic_slice(X, (0, 0), (1, 1)), FuseTypeError, "a start and a size for each axis"),
    (lambda: lax.dynamic_slice(X, (1.5,), (1,)), FuseTypeError, "integers"),
    (lambda: fuse.jit(lambda i: lax.switch(i, [lambda: 1, lambda: 2]))(1.5), FuseTypeError, "integers"),
    (lambda: lax.fori_loop(0, 2.5, lambda i, c: c + i, 0), FuseTypeError, "integers"),
    (lambda: lax.dynamic_update_slice(np.arange(3), X, (0,)), FuseTypeError, "float64 does not fit into int64"),
    (lambda: lax.dynamic_index_in_dim(X, 0, axis=1), FuseValueError, "axis 1 is out of bounds"),
], ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_what_is_refused(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()
