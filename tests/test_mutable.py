"""Inputs that a function may overwrite: ``In(mutable=True)``."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fuse
import fuse.tensor as T

A, B = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])


def mutable(outputs, *inputs, **kwargs):
    first, *rest = inputs
    return fuse.function([fuse.In(first, mutable=True), *rest], outputs, **kwargs)


def test_a_result_stands_in_the_memory_of_the_input():
    x, y = T.dvectors("x", "y")
    f = mutable(x * 2 + y, x, y)
    for _ in range(8):  # later calls take another path
        a = A.copy()
        assert f(a, B) is a and np.array_equal(a, A * 2 + B)
    again = pickle.loads(pickle.dumps(f))
    a = A.copy()
    assert again(a, B) is a


def test_one_result_for_one_input():
    x, y = T.dvectors("x", "y")
    f = fuse.function([fuse.In(x, mutable=True), fuse.In(y, mutable=True)], [x + y, x - y, x * y])
    a, b = A.copy(), B.copy()
    results = f(a, b)
    for got, want in zip(results, (A + B, A - B, A * B), strict=True):
        np.testing.assert_array_equal(got, want)
    assert sum(r is a for r in results) == 1 and sum(r is b for r in results) == 1


STORES = {
    "set a slice": (lambda x, y: T.set_subtensor(x[1:], y[1:] * 2), lambda a, b: np.r_[a[:1], b[1:] * 2]),
    "increase a slice": (lambda x, y: T.inc_subtensor(x[:2], y[:2]), lambda a, b: np.r_[a[:2] + b[:2], a[2:]]),
    "increase at indices": (
        lambda x, y: T.inc_subtensor(x[np.array([0, 0, 2])], y), lambda a, b: a + np.array([b[0] + b[1], 0, b[2]]),
    ),
    "set one": (lambda x, y: T.set_subtensor(x[1], 7.0), lambda a, b: np.r_[a[0], 7.0, a[2]]),
}


@pytest.mark.parametrize("name", list(STORES))
def test_stores_change_the_input(name):
    x, y = T.dvectors("x", "y")
    build, numpy = STORES[name]
    f = mutable(build(x, y), x, y, on_unused_input="ignore")
    for _ in range(6):
        a = A.copy()
        got = f(a, B)
        np.testing.assert_array_equal(got, numpy(A, B))
        np.testing.assert_array_equal(a, numpy(A, B) if got is a else A)
    plain = fuse.function([x, y], build(x, y), on_unused_input="ignore")
    a = A.copy()
    assert plain(a, B) is not a and np.array_equal(a, A)


def test_what_is_read_elsewhere_keeps_its_value():
    x, y = T.dvectors("x", "y")
    cases = {
        "reversed": ([x[::-1] * 2], lambda a, b: [a[::-1] * 2]),
        "its sum": ([x - x.sum()], lambda a, b: [a - a.sum()]),
        "itself": ([x, x + 1], lambda a, b: [a, a + 1]),
        "a part": ([x[1:], x + 1], lambda a, b: [a[1:], a + 1]),
        "in a product": ([T.dot(x, y), T.exp(x)], lambda a, b: [a @ b, np.exp(a)]),
        "sorted": ([T.sort(x), x * y], lambda a, b: [np.sort(a), a * b]),
    }
    for name, (outputs, numpy) in cases.items():
        f = mutable(outputs, x, y, on_unused_input="ignore")
        for _ in range(6):
            for got, want in zip(f(A.copy(), B), numpy(A, B), strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-14, err_msg=name)


def test_memory_that_is_shared_is_left_alone():
    x, y = T.dvectors("x", "y")
    f = mutable(x * 2 + y[::-1], x, y)
    a = A.copy()
    np.testing.assert_array_equal(f(a, a), A * 2 + A[::-1])
    memory = np.arange(6.0)
    np.testing.assert_array_equal(f(memory[:3], memory[1:4]), [0 + 3, 2 + 2, 4 + 1])
    np.testing.assert_array_equal(memory, np.arange(6.0))
    state = fuse.shared(A.copy(), borrow=True)
    g = mutable(x + state[::-1], x)
    kept = state.get_value(borrow=True)
    np.testing.assert_array_equal(g(kept), A + A[::-1])
    np.testing.assert_array_equal(state.get_value(), A)


def test_arrays_that_cannot_be_written():
    x, y = T.dvectors("x", "y")
    f = mutable(x * 2 + y, x, y)
    fixed = A.copy()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(f(fixed, B), A * 2 + B)
    np.testing.assert_array_equal(f([1.0, 2.0, 3.0], B), A * 2 + B)
    np.testing.assert_array_equal(f(A.astype("f4"), B), A * 2 + B)
    np.testing.assert_array_equal(f(np.broadcast_to(2.0, 3), B), 4 + B)
    one = np.array([2.0])
    np.testing.assert_array_equal(f(one, B), 4 + B)
    steps = np.zeros(6)[::2]
    assert np.array_equal(f(steps, B), B)


def test_new_values_of_shared_variables_are_not_in_an_input():
    """Neither computed there, nor by one step over another; who fills the array again changes no variable."""
    x, w, v = T.dvector("x"), fuse.shared(A), fuse.shared(A)
    f = mutable([], x, updates=[(w, x + 1)])
    g = mutable([], x, updates=[(v, T.set_subtensor(T.set_subtensor(x[0], 5.0)[1], x[2]))])
    h = mutable(x * 3, x, updates=[(w, x * 3)])
    a = A.copy()
    f(a)
    assert np.array_equal(a, A)
    g(a)
    a[:] = 1
    tripled = h(a)
    tripled += 1
    grow = fuse.function([], updates=[(w, w + 1), (v, v + 1)])
    grow()
    np.testing.assert_array_equal(w.get_value(), [4, 4, 4])
    np.testing.assert_array_equal(v.get_value(), [6, A[2] + 1, A[2] + 1])


def test_defaults_states_and_given_arrays_are_not_overwritten():
    x, y = T.dvectors("x", "y")
    f = fuse.function([y, fuse.In(x, value=A, mutable=True)], x + y)
    for _ in range(3):
        np.testing.assert_array_equal(f(B), A + B)
        assert np.array_equal(f["x"], A)
    f["x"] = B
    for _ in range(3):
        np.testing.assert_array_equal(f(B), B + B)
    g = mutable([x + y, x - y], x, y)
    a = A.copy()
    first, second = g(a, B, out=[a, None])
    assert first is a and np.array_equal(a, A + B) and np.array_equal(second, A - B)


def test_borrow_follows_mutable():
    x = T.dvector("x")
    assert fuse.In(x, mutable=True).borrow and not fuse.In(x).borrow and fuse.In(x, borrow=True).borrow
    with pytest.warns(UserWarning, match="borrow=False has no effect"):
        assert fuse.In(x, mutable=True, borrow=False).borrow
    out = fuse.function([x], fuse.Out(x * 2, borrow=True))
    first, second = out(A), out(B)
    np.testing.assert_array_equal(first, A * 2)
    np.testing.assert_array_equal(second, B * 2)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "DebugMode"])
def test_other_modes_compute_the_same(mode):
    x, y = T.dvectors("x", "y")
    np.testing.assert_array_equal(mutable(x * 2 + y, x, y, mode=mode)(A.copy(), B), A * 2 + B)
