"""Values that wait in the memory of results for later sweeps (`fuse/codegen/lending.py`): numbers, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.kernel import Compute, walk

SHAPES = [(1, 1), (3, 5), (10, 1000), (17, 300), (130, 70), (600, 40), (4, 0)]


def _weights(x, axis=0):
    e = T.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _numbers(x, axis=0):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _close(found, wanted):
    tolerance = 1e-12 if wanted.dtype == np.float64 else 2e-5
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, tolerance, tolerance)


@pytest.mark.parametrize(("order", "dtype"), [("C", "float64"), ("C", "float32"), ("F", "float64")])
def test_softmax_over_columns_and_its_gradient(dtype, order):
    x, y = T.matrix(dtype=dtype), T.matrix(dtype=dtype)
    f = fuse.function([x], _weights(x))
    g = fuse.function([x, y], fuse.grad((_weights(x) * y).sum(), x))
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        a, b = (np.asarray(rng.normal(size=shape), dtype, order=order) for _ in "ab")
        kept = a.copy()
        s = _numbers(a)
        _close(f(a), s)
        _close(g(a, b), s * (b - (s * b).sum(0)))
        assert (a == kept).all()


def test_an_exponential_is_computed_once():
    x, y = T.dmatrix(), T.dmatrix()
    for formula in (_weights(x), fuse.grad((_weights(x) * y).sum(), x)):
        (launcher,) = fuse.function([x, y], formula, on_unused_input="ignore").fn.planned.launchers
        computed = [s.op.name for s in walk(launcher.default.body) if isinstance(s, Compute)]
        assert computed.count("exp") == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_more_dimensions(axis):
    x = T.dtensor3()
    f = fuse.function([x], _weights(x, axis))
    for shape in [(3, 4, 5), (2, 40, 70), (40, 2, 70)]:
        a = np.random.default_rng(2).normal(size=shape)
        _close(f(a), _numbers(a, axis))


def test_results_that_later_statements_read_past():
    x = T.dmatrix()
    e = T.exp(x)
    s = e / e.sum(0)
    a = np.random.default_rng(3).normal(size=(12, 50))
    p = np.exp(a)
    q = p / p.sum(0)
    for outputs, wanted in [
        ([s, e], [q, p]),
        ([s, s + T.tanh(e)], [q, q + np.tanh(p)]),
        ([s, T.sqrt(s).sum(0), s * e], [q, np.sqrt(q).sum(0), q * p]),
        ([T.cast(s, "float32")], [q.astype("float32")]),
        ([s > 0.02, e.sum(0)], [q > 0.02, p.sum(0)]),
        ([s[::-1], s.T], [q[::-1], q.T]),
    ]:
        for found, value in zip(fuse.function([x], outputs)(a), wanted, strict=True):
            _close(found, value)


def test_two_values_in_one_memory_and_two_memories():
    x, y = T.dmatrix(), T.dmatrix()
    u, v = T.exp(x), T.tanh(y)
    first, second = u / u.sum(0), v / (v * v).sum(0)
    third = T.sin(first * second)
    values = [first, second, third / third.sum(0), T.cos(third) - T.cos(third).mean(0)]
    f = fuse.function([x, y], values)
    a, b = np.random.default_rng(4).normal(size=(2, 9, 333))
    p, q = np.exp(a), np.tanh(b)
    p, q = p / p.sum(0), q / (q * q).sum(0)
    r = np.sin(p * q)
    for found, wanted in zip(f(a, b), [p, q, r / r.sum(0), np.cos(r) - np.cos(r).mean(0)], strict=True):
        np.testing.assert_allclose(found, wanted, 1e-10, 1e-13)


def test_updates_and_given_results():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(10, 800))
    x, shared = T.dmatrix(), fuse.shared(a.copy())
    step = fuse.function([], [], updates=[(shared, _weights(shared))])
    step()
    _close(shared.get_value(), _numbers(a))
    f = fuse.function([x], _weights(x))
    given = a.copy()
    f(given, out=given)
    _close(given, _numbers(a))
    g = fuse.function([fuse.In(x, mutable=True)], _weights(x))
    _close(g(a.copy()), _numbers(a))


def test_much_work_is_shared_among_threads():
    x = T.dmatrix()
    f = fuse.function([x], _weights(x))
    for shape in [(10, 40000), (300, 20000)]:
        a = np.random.default_rng(6).normal(size=shape)
        _close(f(a), _numbers(a))
