"""What becomes one kernel, how its memory is used, and that nothing users name reaches generated code."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.kernel import Loop, walk
from fuse.codegen.program import compile_program
from fuse.codegen.region import MAX_ARRAYS, MAX_RESULTS
from fuse.codegen.wellformed import check

RNG = np.random.default_rng(7)


def steps(function):
    """The calls and kernels of a function, in order, as ``explain`` lists them."""
    listing = function.explain().split("Steps:")[1].split("\n\n")[0]
    lines = [line.strip() for line in listing.splitlines()]
    return [line.split("(")[0].split(":")[0] for line in lines if line.startswith(("kernel", "call"))]


def per_axis(x, axis):
    """The formulas that must each be one kernel."""
    shifted = T.exp(x - T.max(x, axis=axis, keepdims=True))
    mean = x.mean(axis=axis, keepdims=True)
    return {
        "softmax by hand": shifted / shifted.sum(axis=axis, keepdims=True),
        "logsumexp": T.logsumexp(x, axis=axis),
        "variance": T.var(x, axis=axis),
        "standardised": (x - mean) / T.sqrt(T.var(x, axis=axis, keepdims=True) + 1e-5),
        "mean and maximum": T.mean(x, axis=axis) + T.max(x, axis=axis),
    }


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", list(per_axis(T.matrix(), 1)))
def test_row_and_column_formulas_are_one_kernel(name, axis):
    x = T.matrix("x")
    f = fuse.function([x], per_axis(x, axis)[name])
    assert steps(f) == ["kernel 0"], f.explain()
    value = RNG.normal(size=(37, 23))
    want = {
        "softmax by hand": lambda a: np.exp(a) / np.exp(a).sum(axis, keepdims=True),
        "logsumexp": lambda a: np.log(np.exp(a).sum(axis)),
        "variance": lambda a: a.var(axis),
        "standardised": lambda a: (a - a.mean(axis, keepdims=True)) / np.sqrt(a.var(axis, keepdims=True) + 1e-5),
        "mean and maximum": lambda a: a.mean(axis) + a.max(axis),
    }[name]
    other = (value[::-1, ::-1], np.repeat(value, 2, axis=1)[:, ::2])[axis]
    for layout in (value, np.asfortranarray(value), other):
        np.testing.assert_allclose(f(layout), want(layout), rtol=1e-12, atol=1e-14)


def test_softmax_and_its_gradient_are_one_kernel_each():
    x, g = T.matrices("x", "g")
    y = T.nnet.softmax(x)
    assert steps(fuse.function([x], y)) == ["kernel 0"]
    gradient = fuse.function([x, g], T.grad(None, x, known_grads={y: g}))
    assert steps(gradient) == ["kernel 0"]
    a, b = RNG.normal(size=(5, 7)), RNG.normal(size=(5, 7))
    s = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    np.testing.assert_allclose(gradient(a, b), s * (b - (b * s).sum(1, keepdims=True)), rtol=1e-12)


def test_logistic_regression_is_a_dot_a_kernel_and_a_dot():
    x, y, w, b = T.matrix("x"), T.vector("y"), T.vector("w"), T.scalar("b")
    p = 1 / (1 + T.exp(-T.dot(x, w) - b))
    cost = (-y * T.log(p) - (1 - y) * T.log(1 - p)).mean()
    f = fuse.function([x, y, w, b], [cost, *T.grad(cost, [w, b])])
    assert steps(f) == ["call dot", "kernel 0", "call dot"], f.explain()
    xv, wv, bv = RNG.normal(size=(50, 8)), RNG.normal(size=8), 0.3
    yv = (RNG.random(50) < 0.5) * 1.0
    pv = 1 / (1 + np.exp(-xv @ wv - bv))
    got = f(xv, yv, wv, bv)
    np.testing.assert_allclose(got[0], -(yv * np.log(pv) + (1 - yv) * np.log(1 - pv)).mean(), rtol=1e-12)
    np.testing.assert_allclose(got[1], xv.T @ (pv - yv) / 50, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(got[2], (pv - yv).mean(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("spelling", ["indexed log", "categorical_crossentropy"])
def test_softmax_regression_is_a_dot_a_kernel_and_a_dot(spelling):
    x, y, w, b = T.matrix("x"), T.ivector("y"), T.matrix("w"), T.vector("b")
    p = T.nnet.softmax(T.dot(x, w) + b)
    if spelling == "indexed log":
        cost = -T.mean(T.log(p)[T.arange(y.shape[0]), y])
    else:
        cost = T.nnet.categorical_crossentropy(p, y).mean()
    f = fuse.function([x, y, w, b], [cost, *T.grad(cost, [w, b])])
    assert steps(f) == ["call dot", "kernel 0", "call dot"], f.explain()
    xv, wv, bv = RNG.normal(size=(20, 6)), RNG.normal(size=(6, 4)), RNG.normal(size=4)
    yv = RNG.integers(0, 4, 20).astype("int32")
    z = xv @ wv + bv
    pv = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    delta = (pv - np.eye(4)[yv]) / 20
    got = f(xv, yv, wv, bv)
    np.testing.assert_allclose(got[0], -np.log(pv[np.arange(20), yv]).mean(), rtol=1e-12)
    np.testing.assert_allclose(got[1], xv.T @ delta, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(got[2], delta.sum(0), rtol=1e-9, atol=1e-13)
    with pytest.raises(fuse.errors.FuseIndexError, match="out of bounds"):
        f(xv, np.full(20, 4, "int32"), wv, bv)


def test_picking_fewer_places_than_rows_is_served_all_the_same():
    x, y = T.matrix("x"), T.lvector("y")
    f = fuse.function([x, y], T.nnet.softmax(x)[T.arange(y.shape[0]), y])
    a = RNG.normal(size=(6, 3))
    s = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    np.testing.assert_allclose(f(a, [0, 1, 2, 0, 1, 2]), s[np.arange(6), [0, 1, 2, 0, 1, 2]], rtol=1e-12)
    np.testing.assert_allclose(f(a, [2, 1]), s[[0, 1], [2, 1]], rtol=1e-12)


def test_sizes_of_one_met_at_run_time_broadcast_in_value_and_gradient():
    x, y = T.vectors("x", "y")
    cost = ((x * y + x) ** 2).sum()
    f = fuse.function([x, y], [cost, *T.grad(cost, [x, y])])
    for n, m in ((5, 5), (1, 5), (5, 1), (1, 1)):
        a, b = RNG.normal(size=n), RNG.normal(size=m)
        z = a * b + a
        full_a, full_b = 2 * z * (b + 1), 2 * z * a
        got = f(a, b)
        np.testing.assert_allclose(got[0], (z**2).sum())
        np.testing.assert_allclose(got[1], full_a.sum(keepdims=True) if n == 1 and m > 1 else full_a)
        np.testing.assert_allclose(got[2], full_b.sum(keepdims=True) if m == 1 and n > 1 else full_b)
    with pytest.raises(fuse.errors.ShapeError, match="mul"):
        f(np.ones(2), np.ones(3))


def test_updates_are_computed_in_place_where_nothing_else_reads_the_old_value():
    w = fuse.shared(np.arange(4.0), "w")
    x = T.vector("x")
    step = fuse.function([x], (w * x).sum(), updates=[(w, w - 0.5 * x)])
    storage = w.container.array
    assert step(np.ones(4)) == 6.0
    np.testing.assert_array_equal(w.get_value(), np.arange(4.0) - 0.5)
    assert w.container.array is storage
    old = fuse.function([x], w, updates=[(w, w + x)])
    kept = old(np.ones(4))
    np.testing.assert_array_equal(kept, np.arange(4.0) - 0.5)
    np.testing.assert_array_equal(w.get_value(), np.arange(4.0) + 0.5)


def test_borrowed_arrays_are_not_written_over():
    mine = np.arange(3.0)
    a, b = fuse.shared(mine, borrow=True), fuse.shared(mine, borrow=True)
    both = fuse.function([], updates=[(a, a + 1), (b, b * 10)])
    both()
    both()
    np.testing.assert_array_equal(mine, np.arange(3.0))
    np.testing.assert_array_equal(a.get_value(), np.arange(3.0) + 2)
    np.testing.assert_array_equal(b.get_value(), np.arange(3.0) * 100)
    a.set_value(mine, borrow=True)
    both()
    np.testing.assert_array_equal(mine, np.arange(3.0))


def test_intermediate_results_are_kept_between_calls_and_outputs_are_not():
    x, w = T.matrix("x"), T.matrix("w")
    f = fuse.function([x, w], T.dot(T.tanh(T.dot(x, w)), w))
    a, b = RNG.normal(size=(4, 4)), RNG.normal(size=(4, 4))
    first = f(a, b)
    copy = first.copy()
    second = f(b, a)
    np.testing.assert_array_equal(first, copy)
    assert not np.shares_memory(first, second)
    np.testing.assert_allclose(second, np.tanh(b @ a) @ a)
    wide = RNG.normal(size=(9, 4))
    np.testing.assert_allclose(f(wide, b), np.tanh(wide @ b) @ b)


def test_sums_keep_the_accuracy_of_pairwise_summation():
    x = T.fvector("x")
    value = RNG.random(3_000_001).astype("float32")
    exact = value.astype("float64").sum()
    assert abs(float(fuse.function([x], x.sum())(value)) - exact) <= abs(float(value.sum()) - exact) + exact * 6e-8
    y = T.vector("y")
    hard = np.tile([1.0, 1e16, 1.0, -1e16], 4096)
    total = float(fuse.function([y], y.sum())(np.sort(RNG.normal(size=100_001)) * 1e3))
    assert np.isfinite(total)
    assert np.isfinite(float(fuse.function([y], (y * 1.0).sum())(hard)))
    for special in (np.inf, -np.inf, np.nan):
        bad = np.ones(2000)
        bad[700] = special
        np.testing.assert_equal(float(fuse.function([y], y.sum())(bad)), special)


def test_no_name_of_the_user_reaches_generated_code():
    evil = "x): import os; os.abort() #"
    x, s = T.vector(evil), fuse.shared(1.0, evil)
    y = x * s + 1
    y.name = evil
    f = fuse.function([x], T.exp(y), name=evil)
    assert "abort" not in f.source
    np.testing.assert_allclose(f(np.zeros(2)), np.exp(np.ones(2)))


def test_contiguous_dimensions_collapse_into_one_loop():
    x, y = T.tensor3("x"), T.tensor3("y")
    program = fuse.function([x, y], x * y + 1).fn
    kernels = fuse.codegen.program.compile_program([x, y], [x * y + 1]).kernels
    assert sum(isinstance(s, Loop) for s in walk(kernels[0].body)) == 1
    del program


@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_kernel_interpreter_agrees_with_the_emitted_kernel(axis):
    x = T.matrix("x")
    y = T.exp(x - T.max(x, axis=axis, keepdims=True)).sum(axis=axis)
    program = fuse.codegen.program.compile_program([x], [y])
    (launcher,) = program.planned.launchers
    kernel, binding = launcher.scheduled({})
    check(kernel)
    value = RNG.normal(size=(4, 6))
    got = program(value)[0]
    want = np.empty_like(got)
    extra = [np.empty([value.shape[int(a.name[1:])] for a in b.axes]) for b in binding.buffers[2:]]
    interpret.run(kernel, [value, want, *extra], [])
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_kernels_of_long_formulas_have_few_arrays():
    # LLVM takes minutes for a kernel of two hundred arrays; the gradient of a long formula reads all that it computed.
    x = T.dmatrix("x")
    y = x
    for k in range(200):
        y = T.sin(y) + (1 + k / 1000) * y.sum(axis=1, keepdims=True)
    program = compile_program([x], [T.grad(y.sum(), x)])
    assert all(len(kernel.buffers) <= MAX_ARRAYS for kernel in program.kernels)
    assert 2 <= len(program.kernels) <= 40


def test_what_a_thread_keeps_for_itself_may_lie_along_several_axes():
    x = T.tensor3("x")
    y = T.sin(x + x) - x.mean(axis=(1, 2), keepdims=True)
    cost = T.sqr(y).sum()
    value = RNG.normal(size=(3, 4, 5))
    got = fuse.function([x], [cost, T.grad(cost, x)])(value)
    out = np.sin(2 * value) - value.mean((1, 2), keepdims=True)
    want = 4 * out * np.cos(2 * value) - 2 * out.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(got[0], (out**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(got[1], want, rtol=1e-11, atol=1e-13)


def test_many_results_are_spread_over_kernels_that_read_one_another_little():
    """Compile time grows faster than linearly with the arrays of one kernel."""
    x = T.dvector("x")
    once = T.exp(x)
    factors = [k + 0.5 for k in range(150)]
    for results in ([T.tanh(x * k) for k in factors], [once * k for k in factors]):
        f = fuse.function([x], results)
        stored = [len(launcher.region.outputs) for launcher in f.fn.planned.launchers]
        assert len(stored) == 2 and max(stored) <= MAX_RESULTS + 1
        assert sum(stored) <= 151  # the exponential alone is stored besides
        value = np.linspace(-1, 1, 5)
        for k, got in zip(factors, f(value), strict=True):
            want = np.exp(value) * k if results[0].op.name == "mul" else np.tanh(value * k)
            np.testing.assert_allclose(got, want, rtol=1e-14)


def test_gradients_by_many_inputs_are_part_of_the_kernels_that_read_these():
    """A kernel with more operands than one may gather took in nothing that reads them: each result had its own."""
    xs = [T.dscalar() for _ in range(60)]
    value = T.tanh(sum(T.tanh(x) * (k + 0.5) for k, x in enumerate(xs)) / 1000)
    f = fuse.function(xs, [value, *T.grad(value, xs)])
    assert len(f.fn.planned.launchers) < 8
    at = np.linspace(-1, 1, 60)
    slope = 1 - np.tanh((np.tanh(at) * (np.arange(60) + 0.5)).sum() / 1000) ** 2
    want = slope * (1 - np.tanh(at) ** 2) * (np.arange(60) + 0.5) / 1000
    np.testing.assert_allclose(f(*at)[1:], want, rtol=1e-12)
