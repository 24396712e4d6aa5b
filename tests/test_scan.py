"""Loops against loops in NumPy, and their derivatives against finite differences."""
from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.autodiff.check import verify_grad
from fuse.errors import FuseTypeError, FuseValueError, ShapeError

RNG = np.random.default_rng(7)


def scanned(taps_in, taps_out, backwards, steps, x, init):
    """What scan has to give for ``y = 0.5 sum(x taps) + 0.3 tanh(sum(y taps))``, as a loop in NumPy."""
    low, high = min([0, *taps_in]), max([0, *taps_in])
    count = len(x) - high + low
    rows = [np.stack([x[t - low + k] for k in taps_in]).sum(0) for t in range(count)]
    rows = rows[::-1] if backwards else rows
    rows = rows if steps is None else rows[:steps]
    past = [init] if init.ndim < x.ndim else list(init[: -min(taps_out)])
    out = []
    for row in rows:
        new = 0.5 * row + 0.3 * np.tanh(sum(past[k] for k in taps_out))
        past.append(new)
        out.append(new)
    return np.array(out).reshape(len(rows), *x.shape[1:]).astype(x.dtype)


CASES = list(itertools.product(
    [(0,), (-1, 0), (0, 2), (-2, 1), (-1,), (1,)], [(-1,), (-2, -1), (-3,), (-1, -3)], [False, True], [None, 3, 0],
    ["float64", "float32"], [(), (2,)],
))
CASES = [CASES[k] for k in RNG.permutation(len(CASES))[:96]]


@pytest.mark.parametrize(("taps_in", "taps_out", "backwards", "steps", "dtype", "shape"), CASES)
def test_taps_directions_and_steps(taps_in, taps_out, backwards, steps, dtype, shape):
    x = RNG.normal(size=(8, *shape)).astype(dtype)
    init = RNG.normal(size=shape if taps_out == (-1,) else (-min(taps_out), *shape)).astype(dtype)
    vx = T.TensorType(dtype, (None,) * x.ndim)("x")
    vi = T.TensorType(dtype, (None,) * init.ndim)("init")

    def step(*args):
        xs, ys = args[: len(taps_in)], args[len(taps_in):]
        return np.asarray(0.5, dtype) * sum(xs[1:], xs[0]) + np.asarray(0.3, dtype) * T.tanh(sum(ys[1:], ys[0]))

    out, updates = fuse.scan(
        step, {"input": vx, "taps": list(taps_in)}, {"initial": vi, "taps": list(taps_out)}, n_steps=steps,
        go_backwards=backwards,
    )
    assert not updates
    assert out.dtype == dtype
    got = fuse.function([vx, vi], out, on_unused_input="ignore")(x, init)
    want = scanned(taps_in, taps_out, backwards, steps, x, init)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=3e-7 if dtype == "float32" else 1e-14)
    assert got.shape == want.shape
    assert got.dtype == want.dtype


@pytest.mark.parametrize(("taps_in", "taps_out", "backwards", "steps"), [
    ((0,), (-1,), False, None), ((-1, 1), (-2, -1), True, None), ((0, 2), (-3,), False, 4), ((0,), (-1, -3), True, 3),
])
def test_gradients_to_sequence_and_start(taps_in, taps_out, backwards, steps):
    init = RNG.normal(size=() if taps_out == (-1,) else (-min(taps_out),))

    def formula(x, start, c):
        def step(*args):
            return T.tanh(c * sum(args[1:], args[0])) * c

        out, _ = fuse.scan(
            step, {"input": x, "taps": list(taps_in)}, {"initial": start, "taps": list(taps_out)}, n_steps=steps,
            go_backwards=backwards,
        )
        return (out * T.arange(out.shape[0])).sum() + out[-1] ** 2

    verify_grad(formula, [RNG.normal(size=7), init, np.float64(0.4)], rng=np.random.default_rng(3))


def elman(x, h0, w, u, b):
    h, _ = fuse.scan(lambda x_t, h, w, u, b: T.tanh(T.dot(x_t, u) + T.dot(h, w) + b), x, h0, [w, u, b])
    return h


def test_elman_gradient_is_that_of_finite_differences():
    shapes = [(6, 3), (4,), (4, 4), (3, 4), (4,)]
    points = [0.5 * RNG.normal(size=s) for s in shapes]
    verify_grad(lambda *args: (elman(*args) ** 2).sum(), points, rng=np.random.default_rng(3))
    verify_grad(lambda *args: (elman(*args)[-1] ** 3).sum(), points, rng=np.random.default_rng(3))


def test_elman_on_a_batch():
    points = [0.5 * RNG.normal(size=s) for s in [(5, 2, 3), (2, 4), (4, 4), (3, 4), (4,)]]
    verify_grad(lambda *args: (elman(*args) ** 2).sum(), points, rng=np.random.default_rng(3))


def test_second_derivatives_both_ways():
    x, c = T.dvector("x"), T.dscalar("c")
    out, _ = fuse.scan(lambda x_t, y, c: T.sin(c * y + x_t), x, T.constant(0.5, dtype="float64"), c)
    cost = (out**2).sum()
    first = fuse.grad(cost, c)
    second = fuse.function([x, c], [fuse.grad(first, c), fuse.Rop(first, c, T.constant(1.0, dtype="float64")), first])
    value = RNG.normal(size=5)
    a, b, _ = second(value, 0.7)
    eps = 1e-6
    numeric = (second(value, 0.7 + eps)[2] - second(value, 0.7 - eps)[2]) / (2 * eps)
    np.testing.assert_allclose([a, b], numeric, rtol=1e-8)


def test_forward_and_reverse_agree():
    x, v, w = T.dvectors("x", "v", "w")
    c = T.dscalar("c")
    out, _ = fuse.scan(lambda x_t, y, z, c: [T.tanh(c * y + x_t * z), z * c], x, [T.constant(0.5, dtype="float64"),
                       T.constant(1.0, dtype="float64")], c)
    forward = (fuse.Rop(out[0], x, v) * w).sum()
    backward = (fuse.Lop(out[0], x, w) * v).sum()
    values = [RNG.normal(size=6) for _ in range(3)]
    a, b = fuse.function([x, v, w, c], [forward, backward])(*values, 0.8)
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_several_outputs_of_which_one_is_not_read_again():
    x = T.dvector("x")
    (total, square), _ = fuse.scan(lambda x_t, s: [s + x_t, x_t**2], x, [np.float64(0), None])
    a, b = fuse.function([x], [total, square])([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(a, [1, 3, 6])
    np.testing.assert_array_equal(b, [1, 4, 9])


def test_steps_from_a_variable_and_none():
    n, a = T.lscalar("n"), T.dscalar("a")
    power, _ = fuse.scan(lambda p, a: p * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=n)
    f = fuse.function([n, a], power)
    np.testing.assert_array_equal(f(3, 2.0), [2, 4, 8])
    assert f(0, 2.0).shape == (0,)
    with pytest.raises(ValueError, match="not negative"):
        f(-1, 2.0)
    with pytest.raises(FuseValueError, match="n_steps is not negative"):
        fuse.scan(lambda p: p, outputs_info=a, n_steps=-3)


def test_sequences_that_are_too_short():
    x, n = T.dvector("x"), T.lscalar("n")
    out, _ = fuse.scan(lambda x_t: x_t, x, n_steps=n)
    f = fuse.function([x, n], out + 0)
    assert f([1.0, 2.0], 1).shape == (1,)
    with pytest.raises(ValueError, match="less than its 3 steps"):
        f([1.0, 2.0], 3)


def test_the_shortest_sequence_decides():
    x, y = T.dvectors("x", "y")
    out, _ = fuse.scan(lambda a, b: a * b, [x, y])
    np.testing.assert_array_equal(fuse.function([x, y], out)([1.0, 2.0, 3.0], [2.0, 5.0]), [2, 10])


def test_until_ends_the_loop_and_its_gradient():
    a, limit = T.dscalars("a", "limit")
    values, _ = fuse.scan(
        lambda p, a: (p * a, fuse.scan_module.until(p * a > limit)), outputs_info=T.ones_like(a), non_sequences=a,
        n_steps=1000,
    )
    f = fuse.function([a, limit], [values, fuse.grad(values[-1], a)])
    out, slope = f(2.0, 50.0)
    np.testing.assert_array_equal(out, [2, 4, 8, 16, 32, 64])
    assert slope == 6 * 2.0**5
    assert f(3.0, 1.0)[1] == 1


def test_updates_of_shared_variables():
    count, x = fuse.shared(0, "count"), T.dvector("x")
    out, updates = fuse.scan(lambda x_t: (x_t + count, {count: count + 2}), x)
    f = fuse.function([x], out, updates=updates)
    np.testing.assert_array_equal(f([1.0, 1.0, 1.0]), [1, 3, 5])
    assert count.get_value() == 6
    _, updates = fuse.scan(lambda: [(count, count + 1)], n_steps=4)
    assert isinstance(updates, OrderedDict)
    fuse.function([], [], updates=updates)()
    assert count.get_value() == 10


def test_random_streams_draw_anew_in_each_step():
    stream = T.shared_randomstreams.RandomStreams(3)
    draws, updates = fuse.scan(lambda: stream.uniform(size=(2,)), n_steps=5)
    f = fuse.function([], draws, updates=updates)
    first, second = f(), f()
    assert len(np.unique(np.concatenate([first, second]))) == 20


def test_nested_loops_and_their_gradient():
    def formula(m, c):
        def row_total(row, c):
            inner, _ = fuse.scan(lambda v, s, c: T.sin(s * c + v), row, T.zeros((), dtype="float64"), c)
            return inner[-1] * c

        out, _ = fuse.map(row_total, m, c)
        return (out**2).sum()

    verify_grad(formula, [RNG.normal(size=(3, 4)), np.float64(0.6)], rng=np.random.default_rng(3))


def test_what_the_step_reads_is_found_and_strict_forbids_it():
    x, y, w = T.dvector("x"), T.dscalar("y"), fuse.shared(2.0, "w")
    out, _ = fuse.scan(lambda x_t: x_t * y * T.exp(w), x)
    np.testing.assert_allclose(fuse.function([x, y], out)([1.0, 2.0], 3.0), np.array([3, 6]) * np.exp(2))
    with pytest.raises(FuseValueError, match="reads y, w too"):
        fuse.scan(lambda x_t: x_t * y * w, x, strict=True)
    assert fuse.scan(lambda x_t, y, w: x_t * y * w, x, non_sequences=[y, w], strict=True)


def test_truncated_gradient():
    x = T.dvector("x")
    out, _ = fuse.scan(lambda x_t, s: s + x_t, x, np.float64(0), truncate_gradient=2)
    np.testing.assert_array_equal(fuse.function([x], fuse.grad(out[-1], x))(np.ones(5)), [0, 0, 0, 1, 1])


def test_reduce_and_folds():
    x = T.dvector("x")
    last, _ = fuse.reduce(lambda v, s: s * 10 + v, x, np.float64(0))
    left, _ = fuse.foldl(lambda v, s: s * 10 + v, x, np.float64(0))
    right, _ = fuse.foldr(lambda v, s: s * 10 + v, x, np.float64(0))
    assert [float(v) for v in fuse.function([x], [last, left, right])([1.0, 2.0, 3.0])] == [123, 123, 321]


def test_errors_say_what_is_wrong():
    x, i = T.dvector("x"), T.lscalar("i")
    with pytest.raises(FuseTypeError, match="upcast or downcast"):
        fuse.scan(lambda x_t, s: s + x_t, x, i)
    with pytest.raises(FuseTypeError, match="number of dimensions"):
        fuse.scan(lambda x_t, s: s + x, x, T.dscalar())
    with pytest.raises(FuseValueError, match="how many steps"):
        fuse.scan(lambda s: s, outputs_info=i)
    with pytest.raises(FuseValueError, match="outputs_info has 2 entries and fn returns 1"):
        fuse.scan(lambda x_t, s: s + x_t, x, [T.dscalar(), None])
    for taps in ([0], [-1, -1], [1]):
        with pytest.raises(ValueError, match="taps"):
            fuse.scan(lambda x_t, s: s, x, {"initial": x, "taps": taps})
    with pytest.raises(FuseTypeError, match="no axis"):
        fuse.scan(lambda v: v, T.dscalar())
    f = fuse.function([x], fuse.scan(lambda s: T.concatenate([s, s]), outputs_info=x, n_steps=2)[0])
    with pytest.raises(ShapeError):
        f([1.0])


def test_carry_style():
    x, w = T.dmatrix("x"), T.dmatrix("w")

    def step(carry, x_t):
        h = T.tanh(T.dot(carry["h"], w) + x_t)
        return {"h": h, "n": carry["n"] + 1}, (h.sum(), x_t.max())

    carry, (sums, tops) = fuse.loop(step, {"h": T.zeros_like(x[0]), "n": np.int64(0)}, x)
    a, b = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))
    h, n, s, t = fuse.function([x, w], [carry["h"], carry["n"], sums, tops])(a, b)
    want, total = np.zeros(3), []
    for row in a:
        want = np.tanh(want @ b + row)
        total.append(want.sum())
    np.testing.assert_allclose(h, want)
    np.testing.assert_allclose(s, total)
    np.testing.assert_array_equal(t, a.max(1))
    assert n == 4
    last, _ = fuse.loop(lambda c, _: (c * 2, None), w, n_steps=3)
    np.testing.assert_allclose(last.eval({w: b}), b * 8)
    with pytest.raises(FuseTypeError, match="structure"):
        fuse.loop(lambda c, _: ((c, c), None), w, n_steps=3)


def test_while_loop_counts_and_differentiates():
    a = T.dscalar("a")
    x, n = fuse.while_loop(lambda c: c[0] < 100, lambda c: (c[0] * a, c[1] + 1), (T.ones_like(a), np.int64(0)))
    f = fuse.function([a], [x, n, fuse.grad(x, a)])
    assert [float(v) for v in f(3.0)] == [243, 5, 5 * 81]
    assert [float(v) for v in f(1000.0)] == [1000, 1, 1]
    none = fuse.while_loop(lambda c: c < 0, lambda c: c + 1, a)
    assert float(none.eval({a: 3.0})) == 3
    most = fuse.while_loop(lambda c: c > 0, lambda c: c + 1, a, max_steps=7)
    assert float(most.eval({a: 3.0})) == 10


def test_pickle_and_clone():
    import pickle

    x, c = T.dvector("x"), T.dscalar("c")
    out, _ = fuse.scan(lambda x_t, s, c: s * c + x_t, x, np.float64(0), c)
    f = pickle.loads(pickle.dumps(fuse.function([x, c], out)))
    np.testing.assert_array_equal(f([1.0, 2.0], 10.0), [1, 12])
    again = fuse.clone(out, {c: c + 1})
    np.testing.assert_array_equal(again.eval({x: [1.0, 2.0], c: 9.0}), [1, 12])
    assert fuse.clone(again, {c: c}) is again


def test_equal_loops_are_one_node():
    x, c = T.dvector("x"), T.dscalar("c")
    a, _ = fuse.scan(lambda x_t, s, c: s * c + x_t, x, np.float64(0), c)
    b, _ = fuse.scan(lambda u, v, w: v * w + u, x, np.float64(0), c)
    assert a is b


def both(inputs, outputs, values):
    """The results of compiled code, after a comparison with the interpreter's."""
    found = fuse.function(inputs, outputs)(*values)
    plain = fuse.function(inputs, outputs, mode="FAST_COMPILE")(*values)
    for a, b in zip(found, plain, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return found


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16", "float32", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_dtypes_and_shapes(dtype, shape):
    x = T.TensorType(dtype, (None,) * (len(shape) + 1))("x")
    start = T.TensorType(dtype, (None,) * len(shape))("start")
    two = np.asarray(2, dtype)
    (a, b), _ = fuse.scan(lambda x_t, s: [s + x_t * two, x_t - s], x, [start, None])
    values = RNG.integers(-3, 4, (6, *shape)).astype(dtype), RNG.integers(0, 4, shape).astype(dtype)
    both([x, start], [a, b, a[-1]], values)


def test_states_that_are_truth_values():
    x = T.dvector("x")
    start = T.constant(False)
    (seen, _), _ = fuse.scan(lambda x_t, s, n: [T.or_(s, T.gt(x_t, 1.0)), T.switch(s, n + 1, n)], x,
                             [start, T.constant(0, dtype="int64")])
    [found] = both([x], [seen], [np.array([0.0, 2.0, 0.0])])
    assert found.tolist() == [False, True, True]


def test_arrays_of_any_layout():
    x, w, s = T.tensor3("x"), T.dmatrix("w"), T.dmatrix("s")
    out, _ = fuse.scan(lambda x_t, h, w: T.tanh(T.dot(h, w) + x_t), x, s, w)
    rows = np.moveaxis(RNG.normal(size=(5, 3, 7)), 2, 0)[::-1]
    values = [rows, RNG.normal(size=(6, 6))[::-2, ::2], np.asfortranarray(RNG.normal(size=(5, 3)))]
    both([x, w, s], [out, fuse.grad((out**2).sum(), w), fuse.grad(out[-1].sum(), x)], values)


def test_a_long_loop_of_unknown_length():
    limit, v = T.dscalar("limit"), T.dvector("v")
    (n, rows), _ = fuse.scan(
        lambda n, r: ([n + 1.0, r + v], fuse.scan_module.until(n > limit)),
        outputs_info=[T.constant(0.0, dtype="float64"), T.zeros_like(v)], n_steps=10**6,
    )
    f = fuse.function([limit, v], [n, rows, rows[-1]])
    a, b, last = f(40000.0, np.array([1.0, 2.0]))
    assert len(a) == len(b) == 40002
    np.testing.assert_array_equal(b, np.outer(np.arange(1, 40003), [1, 2]))
    np.testing.assert_array_equal(last, b[-1])


def test_embeddings_looked_up_and_tables_filled_in():
    table, ids = T.dmatrix("table"), T.lvector("ids")
    out, _ = fuse.scan(lambda i, h, t: T.tanh(h + t[i]), ids, T.zeros_like(table[0]), table)
    cost = (out**2).sum()
    values = [RNG.normal(size=(5, 3)), np.array([0, 4, 4, -1])]
    both([table, ids], [out, fuse.grad(cost, table)], values)
    f = fuse.function([table, ids], out)
    with pytest.raises(IndexError):
        f(values[0], np.array([0, 7]))
    x = T.dvector("x")
    filled, _ = fuse.scan(lambda i, t: T.set_subtensor(t[i], t[i - 1] * x[i]), T.arange(1, x.shape[0]), T.ones_like(x))
    [found, _] = both([x], [filled[-1], fuse.grad(filled[-1].sum(), x)], [np.array([1.0, 2.0, 3.0, 4.0])])
    np.testing.assert_array_equal(found, [1, 2, 6, 24])


def test_updates_are_computed_by_loops():
    w, x = fuse.shared(np.ones(3), "w"), T.dmatrix("x")
    last, _ = fuse.loop(lambda w, x_t: (w - 0.1 * (w - x_t), None), w, x)
    step = fuse.function([x], last.sum(), updates={w: last})
    value, rows = np.ones(3), RNG.normal(size=(4, 3))
    for _ in range(2):
        for row in rows:
            value = value - 0.1 * (value - row)
        np.testing.assert_allclose(step(rows), value.sum())
        np.testing.assert_allclose(w.get_value(), value)


def test_bodies_without_compiled_form_run_step_by_step():
    m = T.dmatrix("m")
    out, _ = fuse.scan(lambda a: T.nlinalg.matrix_inverse(a) + T.eye(2), outputs_info=m, n_steps=3)
    both([m], [out], [np.array([[2.0, 1.0], [0.0, 3.0]])])
    order, _ = fuse.map(lambda row: T.sort(row), m)
    np.testing.assert_array_equal(order.eval({m: [[2.0, 1.0], [0.0, 3.0]]}), [[1, 2], [0, 3]])


def test_a_second_process_compiles_nothing(tmp_path):
    import os
    import subprocess
    import sys

    program = """
import fuse, fuse.tensor as T
from fuse.codegen import load
x, w = T.dmatrix("x"), T.dmatrix("w")
h, _ = fuse.scan(lambda x_t, h, w: T.tanh(x_t + T.dot(h, w)), x, T.zeros_like(x[0]), w)
f = fuse.function([x, w], [h, fuse.grad((h ** 2).sum(), w)])
found = f([[1.0, 2.0], [3.0, 4.0]], [[0.1, 0.2], [0.3, 0.4]])[1].tolist()
print(found, load.stats()["compiles"], load.stats()["planned"])
"""
    found = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={**os.environ, "FUSE_CACHE_DIR": str(tmp_path)},
        ).stdout.rsplit(maxsplit=2)
        for _ in range(2)
    ]
    assert found[0][0] == found[1][0]
    assert found[0][2] == "1" and int(found[0][1]) > 0
    assert found[1][1:] == ["0", "0"]


def test_jacobians_are_one_loop_for_all_rows():
    x, w, s = T.dmatrix("x"), T.dmatrix("w"), T.dvector("s")
    h, _ = fuse.scan(lambda x_t, h, w: T.tanh(T.dot(h, w) + x_t), x, s, w)
    rows = T.jacobian(h[-1], s)
    second = T.hessian((h[-1] ** 2).sum(), s)
    values = [RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3)]
    found, curved = both([x, w, s], [rows, second], values)
    f = fuse.function([x, w, s], [h[-1], fuse.grad((h[-1] ** 2).sum(), s)])
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        up, down = f(*values[:2], values[2] + step), f(*values[:2], values[2] - step)
        np.testing.assert_allclose(found[:, k], (up[0] - down[0]) / 2e-6, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(curved[:, k], (up[1] - down[1]) / 2e-6, rtol=1e-5, atol=1e-8)
    assert not any(n.op.name == "each" for n in fuse.expr.toposort([rows, second]))


@pytest.mark.parametrize("checkpoint", [0, 1, 3, 50])
def test_steps_done_again_give_the_same_gradient(checkpoint):
    x, w, s = T.dmatrix("x"), T.dmatrix("w"), T.dvector("s")

    def slopes(**options):
        (h, y), _ = fuse.scan(
            lambda x_t, h, w: [T.tanh(T.dot(h, w) + x_t), (h * x_t).sum()], x, [s, None], w, **options
        )
        return fuse.grad((y**2).sum() + (h[-1] ** 2).sum() + h.sum(), [x, w, s])

    values = [RNG.normal(size=(10, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3)]
    plain = fuse.function([x, w, s], slopes())(*values)
    again = fuse.function([x, w, s], slopes(checkpoint=checkpoint))(*values)
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_stores_at_computed_places():
    x, ids = T.dmatrix("x"), T.lmatrix("ids")
    start = T.zeros_like(x[0])
    values = [RNG.normal(size=(5, 4)), RNG.integers(-4, 4, (5, 4))]
    for change in (T.inc_subtensor, T.set_subtensor):
        out, _ = fuse.scan(lambda r, i, s, change=change: T.tanh(change(s[i], r)), [x, ids], start)
        both([x, ids], [out, fuse.grad((out**2).sum(), x)], values)
        out, _ = fuse.scan(lambda r, i, s, change=change: change(s[i], r) * 0.5, [x, ids], start)
        both([x, ids], [out, fuse.grad((out**2).sum(), x)], values)
    rows, _ = fuse.scan(lambda r, i, s: T.inc_subtensor(s[i[0], i], r[:2]), [x, ids[:, :2]], T.zeros((4, 4)))
    both([x, ids], [rows, fuse.grad((rows**2).sum(), x)], [values[0], values[1] % 4])


# ---------------------------------------------------------------- derivatives taken inside a step
def test_a_step_may_differentiate_one_of_its_arguments_by_another():
    """fn is given the non-sequences themselves: the rows of a Jacobian, a Hessian and a product with one."""
    x, v, w = T.dvector("x"), T.dvector("v"), fuse.shared(np.array([1.0, 2.0]), "w")
    y = x**2 * w
    rows, updates = fuse.scan(lambda i, y, x: T.grad(y[i], x), T.arange(y.shape[0]), non_sequences=[y, x])
    at, along = np.array([4.0, 3.0]), np.array([0.5, -1.0])
    np.testing.assert_allclose(fuse.function([x], rows, updates=updates)(at), np.diag([8.0, 12.0]))
    by_shared, _ = fuse.scan(lambda i, y, w: T.grad(y[i], w), T.arange(y.shape[0]), non_sequences=[y, w])
    np.testing.assert_allclose(fuse.function([x], by_shared)(at), np.diag(at**2))
    slope = T.grad((x**3).sum() + x.prod(), x)
    hessian, _ = fuse.scan(lambda i, g, x: T.grad(g[i], x), T.arange(slope.shape[0]), non_sequences=[slope, x])
    np.testing.assert_allclose(fuse.function([x], hessian)(at), [[24.0, 1.0], [1.0, 18.0]])
    product, _ = fuse.scan(
        lambda i, y, x, v: (T.grad(y[i], x) * v).sum(), T.arange(y.shape[0]), non_sequences=[y, x, v], strict=False
    )
    np.testing.assert_allclose(fuse.function([x, v], product)(at, along), [4.0, -12.0])


def test_a_shared_variable_among_the_arguments_has_its_value_of_the_step():
    total = fuse.shared(1.0, "total")
    seen, updates = fuse.scan(lambda t: (t * 1.0, {t: t * 2}), n_steps=4, non_sequences=total)
    np.testing.assert_array_equal(fuse.function([], seen, updates=updates)(), [1.0, 2.0, 4.0, 8.0])
    assert float(total.get_value()) == 16.0


def smoothed(y, alpha, start):
    """Squared errors of exponential smoothing: (their sum as a state, each of them kept, the last level)."""
    def step(state, now):
        error = now[0] - state[0]
        return (state[0] + alpha * error, state[1] + error * error), (error * error,)

    (level, cost), (squares,) = fuse.loop(step, (start, 0.0 * start), (y,))
    return cost, squares, level


def loops_of(f):
    return sum(line.strip().startswith("loop with ") for line in f.explain().splitlines())


def test_few_numbers_are_differentiated_in_the_same_loop():
    y, alpha, start = T.dvector("y"), T.dscalar("alpha"), T.dscalar("start")
    cost, squares, level = smoothed(y, alpha, start)
    formulas = [cost, squares.sum(), level * cost + (squares ** 2).sum()]
    data = RNG.normal(size=9)
    for formula in formulas:
        def value(a, b, formula=formula):
            return fuse.clone(formula, {y: T.constant(data), alpha: a, start: b})

        verify_grad(value, [0.3, -0.2], rng=RNG)
        # Asked for the slope in the series too, the gradient is found by a loop backwards.
        forwards = fuse.grad(formula, [alpha])
        backwards = fuse.grad(formula, [alpha, y])
        f = fuse.function([y, alpha, start], [*forwards, *backwards[:1]])
        found = f(data, 0.3, -0.2)
        np.testing.assert_allclose(found[:1], found[1:], rtol=1e-12)
    f = fuse.function([y, alpha, start], [cost, *fuse.grad(cost, [alpha])])
    f(data, 0.3, -0.2)
    assert loops_of(f) == 1
    second = fuse.function([y, alpha, start], fuse.hessian(cost, [alpha])[0])
    verify = fuse.function([y, alpha, start], fuse.grad(cost, alpha))
    slope = (verify(data, 0.3 + 1e-6, -0.2) - verify(data, 0.3 - 1e-6, -0.2)) / 2e-6
    np.testing.assert_allclose(second(data, 0.3, -0.2), slope, rtol=1e-6)


def test_numbers_of_which_the_arguments_of_a_loop_are_formulas():
    y, theta = T.dvector("y"), T.dvector("theta")
    a, b = theta[0], T.exp(theta[1])
    scaled = 0.5 * a

    def step(state, now):
        h, cost = state
        return (b + a * now[0] ** 2 + scaled * h, cost + T.log(h) + now[0] ** 2 / h), ()

    cost = fuse.loop(step, (b / (1.0 - a), 0.0 * b), (y,))[0][1]
    data, at = RNG.normal(size=7), np.array([0.3, -0.4])
    value = fuse.function([y, theta], cost)
    f = fuse.function([y, theta], [cost, fuse.grad(cost, theta)])
    _, slope = f(data, at)
    assert loops_of(f) == 1
    by_a, by_scaled, again = fuse.function([y, theta], fuse.grad(cost, [a, scaled, theta[0]]))(data, at)
    moves = 1e-6 * np.eye(2)
    expected = [(value(data, at + m) - value(data, at - m)) / 2e-6 for m in moves]
    np.testing.assert_allclose(slope, expected, rtol=1e-7)
    np.testing.assert_allclose([by_a, again], expected[0], rtol=1e-7)
    # What is asked for may be part of the way to what else is asked for, or be kept from what lies before it.
    backwards = fuse.function([y, theta], [*fuse.grad(cost, [scaled, y])])
    np.testing.assert_allclose(by_scaled, backwards(data, at)[0], rtol=1e-12)
    part = fuse.grad(cost, theta, consider_constant=[scaled])
    np.testing.assert_allclose(
        fuse.function([y, theta], part)(data, at)[0], by_a - 0.5 * by_scaled, rtol=1e-10)
    known = fuse.grad(cost, theta, known_grads={scaled: T.constant(2.0)})
    np.testing.assert_allclose(
        fuse.function([y, theta], known)(data, at)[0], by_a - 0.5 * by_scaled + 1.0, rtol=1e-10)


def test_an_infinite_slope_at_the_start_is_no_number_only_where_it_is_used():
    a = T.dscalar("a")
    [root], _ = fuse.loop(lambda state, _: ((T.sqrt(state[0]) * a,), ()), (T.constant(0.0),), None, 1)
    assert fuse.function([a], fuse.grad(root, a))(2.0) == 0.0


def test_states_that_are_elements_of_the_step_before():
    y, phi = T.dvector("y"), T.dscalar("phi")

    def step(state, now):
        error = now[0] - phi * state[0]
        return (now[0], state[1] + error * error), ()

    cost = fuse.loop(step, (y[0], 0.0 * y[0]), (y[1:],))[0][1]
    f = fuse.function([y, phi], [cost, fuse.grad(cost, phi)])
    for n in (5, 2, 1):
        data = RNG.normal(size=n)
        errors = data[1:] - 0.5 * data[:-1]
        np.testing.assert_allclose(f(data, 0.5), [errors @ errors, -2 * errors @ data[:-1]], rtol=1e-12, atol=1e-15)
    with pytest.raises(IndexError):
        f(np.empty(0), 0.5)
    assert not any(line.strip().startswith("call ") for line in f.explain().splitlines())


def test_states_that_nothing_reads_are_disconnected():
    x0, y0, z0 = T.dvectors("x0", "y0", "z0")
    (x, y, z), _ = fuse.scan(lambda x, y, z: (x**2, y, x + 1), outputs_info=[x0, y0, z0], n_steps=4)
    both = fuse.function([x0, y0, z0], fuse.grad((x + y + z).sum(), [x0, y0]), on_unused_input="ignore")
    assert [g.tolist() for g in both([1.0], [1.0], [1.0])] == [[2 + 4 + 8 + 16 + 1 + 2 + 4 + 8.0], [4.0]]
    with pytest.raises(fuse.gradient.DisconnectedInputError):
        fuse.grad((x + y + z).sum(), z0)
    with pytest.raises(fuse.gradient.DisconnectedInputError):
        fuse.grad(x.sum(), y0)


def test_gradients_of_loops_have_test_values():
    x, w = T.dvector("x"), T.dscalar("w")
    x.tag.test_value, w.tag.test_value = np.array([1.0, 2.0, 3.0]), np.array(2.0)
    with fuse.config.change_flags(compute_test_value="raise"):
        total, _ = fuse.scan(lambda x, s, w: s * w + x, sequences=x, outputs_info=T.constant(0.0), non_sequences=w)
        slope = fuse.grad(total[-1], w)
    assert float(slope.tag.test_value) == 2 * 2.0 * 1 + 2


def test_whole_numbers_kept_by_a_loop_pass_no_gradient_on():
    u, n = T.dvector("u"), T.ivector("n")
    (x, twice), _ = fuse.scan(lambda u, n, x: (x + u * n, 2 * n), sequences=[u, n],
                              outputs_info=[T.constant(0.0), None])
    slope = fuse.grad((x**2).sum() + twice.sum(), u)
    assert slope.eval({u: [1.0, 1.0], n: [1, 2]}).tolist() == [8.0, 12.0]


def test_outputs_and_updates_may_come_in_a_list():
    count, w = fuse.shared(2.0), T.dscalar("w")
    (a, b), updates = fuse.scan(lambda w: [(w + 1, w + 2), {count: count + w}], non_sequences=w, n_steps=2)
    f = fuse.function([w], [a, b], updates=updates)
    assert [v.tolist() for v in f(1.0)] == [[2.0, 2.0], [3.0, 3.0]] and float(count.get_value()) == 4.0


def test_a_carry_may_be_a_dataclass():
    @dataclasses.dataclass
    class Phase:
        q: object
        p: object

    q = T.dscalar("q")
    last, kept = fuse.loop(
        lambda s, _: (Phase(s.q + 0.5 * s.p, s.p - 0.5 * s.q), {"energy": s.q ** 2 + s.p ** 2}), Phase(q, 0.0 * q),
        None, 2,
    )
    found = fuse.function([q], [last.q, kept["energy"]])(2.0)
    np.testing.assert_allclose(found[0], 1.5)
    np.testing.assert_allclose(found[1], [4.0, 5.0])
