"""Results written into arrays of the user: ``f(x, out=array)``."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import DTypeError, FuseTypeError, FuseValueError, ShapeError

A, B = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])


def test_forms():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], x + y)
    out = np.zeros(3)
    assert f(A, B, out=out) is out and np.array_equal(out, A + B)
    assert f(x=A, y=A, out=(out,)) is out and np.array_equal(out, A + A)
    assert np.array_equal(f(A, B, out=None), A + B)
    pair = fuse.function([x, y], [x + y, (x * y).sum()])
    first, second = pair(A, B, out=[None, np.zeros(())])
    assert np.array_equal(first, A + B) and float(second) == 32.0
    outs = [np.zeros(3), np.zeros(())]
    got = pair(A, B, out=outs)
    assert got[0] is outs[0] and got[1] is outs[1] and np.array_equal(outs[0], A + B) and float(outs[1]) == 32.0
    named = fuse.function([x, y], {"a": x + y, "b": x - y})
    result = named(A, B, out={"b": out})
    assert list(result) == ["a", "b"] and result["b"] is out and np.array_equal(out, A - B)


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE", "DebugMode"])
def test_every_mode(mode):
    x = T.dmatrix("x")
    value = np.random.default_rng(0).normal(size=(4, 4))
    formulas = [T.tanh(x), T.dot(x, x), x.T, T.nnet.softmax(x), x.sum(axis=0), T.sort(x, axis=0)]
    f = fuse.function([x], formulas, mode=mode)
    expected = fuse.function([x], formulas)(value)
    outs = [np.full(e.shape, np.nan) for e in expected]
    got = f(value, out=outs)
    for result, out, want in zip(got, outs, expected, strict=True):
        assert result is out and np.allclose(out, want)


LAYOUTS = {
    "Fortran": lambda: np.zeros((4, 4), order="F"), "every other": lambda: np.zeros((8, 8))[::2, ::2],
    "reversed": lambda: np.zeros((4, 4))[::-1, ::-1], "transposed": lambda: np.zeros((4, 4)).T,
    "unaligned": lambda: np.zeros(129, "u1")[1:].view("f8").reshape(4, 4),
    "a subclass": lambda: np.zeros((4, 4)).view(np.recarray),
    "in a record": lambda: np.zeros((4, 4), [("a", "u1"), ("b", "f8")])["b"],
}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(make):
    x = T.dmatrix("x")
    value = np.random.default_rng(0).normal(size=(4, 4))
    for formula, want in [
        (x * 2 + 1, value * 2 + 1), (T.dot(x, x), value @ value), (x / x.sum(axis=0), value / value.sum(0)),
        (x.T, value.T), (x.cumsum(axis=1), value.cumsum(1)),
    ]:
        f = fuse.function([x], formula)
        for _ in range(2):
            out = make()
            assert f(value, out=out) is out and np.allclose(out, want)


OVERLAPS = {
    "itself": lambda v: v, "reversed": lambda v: v[::-1], "transposed": lambda v: v.T, "a copy": lambda v: v.copy(),
    "both reversed": lambda v: v[::-1, ::-1],
}
FORMULAS = {
    "elementwise": (lambda x, y: T.exp(x) + y, lambda x, y: np.exp(x) + y),
    "its own transpose": (lambda x, y: x + x.T * y, lambda x, y: x + x.T * y),
    "row sums": (lambda x, y: x / (1 + (x * x).sum(axis=1, keepdims=True)),
                 lambda x, y: x / (1 + (x * x).sum(1, keepdims=True))),
    "column sums": (lambda x, y: x - y.sum(axis=0), lambda x, y: x - y.sum(0)),
    "softmax": (lambda x, y: T.nnet.softmax(x * y), lambda x, y: np.exp(x * y) / np.exp(x * y).sum(1, keepdims=True)),
    "dot": (lambda x, y: T.dot(x, y), lambda x, y: x @ y),
    "kernel after dot": (lambda x, y: T.tanh(T.dot(x, y)) + x, lambda x, y: np.tanh(x @ y) + x),
    "shifted": (lambda x, y: T.concatenate([x[1:], y[:1]]), lambda x, y: np.concatenate([x[1:], y[:1]])),
    "gather": (lambda x, y: x[[2, 0, 1, 3]] + y, lambda x, y: x[[2, 0, 1, 3]] + y),
    "first row": (lambda x, y: x + x[0] * y, lambda x, y: x + x[0] * y),
}


@pytest.mark.parametrize("overlap", OVERLAPS.values(), ids=OVERLAPS)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_out_may_overlap_inputs(formula, overlap):
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], formula[0](x, y) + 0.0 * (x + y))
    rng = np.random.default_rng(0)
    for which in (0, 1):
        values = list(rng.normal(size=(2, 4, 4)))
        want = formula[1](*[v.copy() for v in values])
        out = overlap(values[which])
        assert f(*values, out=out) is out and np.allclose(out, want)


def test_several_results_over_several_inputs():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], [x + y, x - y, (x * y).sum()])
    for order in ([0, 1], [1, 0]):
        values = [A.copy(), B.copy()]
        outs = [values[k] for k in order] + [np.zeros(())]
        f(*values, out=outs)
        assert np.array_equal(outs[0], A + B) and np.array_equal(outs[1], A - B) and float(outs[2]) == 32.0
    swap = fuse.function([x, y], [y * 1.0, x * 1.0])
    values = [A.copy(), B.copy()]
    swap(*values, out=values)
    assert np.array_equal(values[0], B) and np.array_equal(values[1], A)


def test_shared_variables_and_out():
    x = T.dvector("x")
    state = fuse.shared(np.zeros(3))
    f = fuse.function([x], [state + x, state], updates=[(state, state + x)])
    out = [np.zeros(3), np.zeros(3)]
    for k in range(1, 5):
        f(A, out=out)
        assert np.array_equal(out[0], k * A) and np.array_equal(out[1], (k - 1) * A)
        out[0][:] = -1
        assert np.array_equal(state.get_value(), k * A)
    with pytest.raises(ShapeError):
        f(A, out=[np.zeros(4), None])
    assert np.array_equal(state.get_value(), 4 * A)
    mine = np.ones(3)
    state.set_value(mine, borrow=True)
    assert np.array_equal(f(A, out=[mine, None])[1], np.ones(3)) and np.array_equal(state.get_value(), 1 + A)
    compared = fuse.function([x], x * 2, updates=[(state, state + x)], mode="DebugMode")  # an update in place
    with pytest.raises(ShapeError, match="out has the shape"):
        compared(A, out=np.zeros(4))
    assert np.array_equal(state.get_value(), 1 + A)


def test_broadcasting_sizes_of_one_and_states():
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], x + y)
    out = np.zeros((2, 3))
    assert f(np.ones((2, 1)), A[None], out=out) is out and np.array_equal(out, np.ones((2, 1)) + A)
    v, step = T.dvector("v"), T.dscalar("step")
    g = fuse.function([v, fuse.In(step, value=1.0, update=step * 2)], v * step)
    out = np.zeros(3)
    for k in range(4):
        assert g(A, out=out) is out and np.array_equal(out, A * 2.0**k)


def test_what_does_not_fit_is_told():
    x, y = T.dvectors("x", "y")
    f, g = fuse.function([x, y], x + y, name="total"), fuse.function([x, y], [x + y, x - y])
    with pytest.raises(DTypeError, match="out is an array of float32, the result is a float64 vector"):
        f(A, B, out=np.zeros(3, "f4"))
    with pytest.raises(ShapeError, match="out has the shape"):
        f(A, B, out=np.zeros((3, 1)))
    with pytest.raises(ShapeError, match=r"out has the shape \(4,\), the result \(3,\)"):
        f(A, B, out=np.zeros(4))
    fixed = np.zeros(3)
    fixed.flags.writeable = False
    with pytest.raises(FuseValueError, match="read-only"):
        f(A, B, out=fixed)
    with pytest.raises(FuseTypeError, match="not list"):
        f(A, B, out=[[0.0, 0.0, 0.0]])
    with pytest.raises(FuseTypeError, match="list of 2 arrays"):
        g(A, B, out=np.zeros(3))
    with pytest.raises(FuseValueError, match="same memory"):
        g(A, B, out=[A, A])
    with pytest.raises(FuseTypeError, match="needs a value for input 1"):
        f(A, out=np.zeros(3))
    named = fuse.function([x], {"a": x + 1})
    with pytest.raises(FuseTypeError, match="keys among a"):
        named(A, out={"b": np.zeros(3)})


def test_an_input_called_out_is_an_input():
    out = T.dvector("out")
    assert np.array_equal(fuse.function([out], out + 1)(out=A), A + 1)


def test_nothing_is_allocated():
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], [T.exp(x) + y, T.nnet.softmax(x), (x * y).sum(axis=1)])
    a, b = np.random.default_rng(0).normal(size=(2, 500, 300))
    outs = [np.zeros((500, 300)), np.zeros((500, 300)), np.zeros(500)]
    f(a, b, out=outs)
    tracemalloc.start()
    try:
        f(a, b, out=outs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
