"""Statistics of long rows from one reading: against NumPy in long double, with special values, as bits."""
from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work
from statistics_cases import (
    ONE,
    WIDE,
    formulas,
    near_numpy,
    softmax_slope,
    special_like_numpy,
    turn,
    values_for,
)

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.program import compile_program
from fuse.codegen.runner import BY_ROWS
from fuse.codegen.wellformed import check
from fuse.config import config
from fuse.reference import evaluate

RNG = np.random.default_rng(8)
NARROW = ("logsumexp", "variance", "softmax gradient", "layer norm gradient")


@pytest.fixture(autouse=True)
def every_row_is_long(monkeypatch):
    """Every array is much work, every row long, and pieces have one chunk."""
    with much_work(monkeypatch, 3, LONG_ROW=1, PIECE_BYTES=1):
        yield


def along_rows(dtype, name):
    """The formula of columns for rows: (inputs, outputs, what NumPy says of transposed arrays)."""
    inputs, outputs, numpy = formulas(dtype)[name]
    rows = [v.type(v.name) for v in inputs]
    turned = fuse.clone(outputs, replace=dict(zip(inputs, turn(rows), strict=True)))
    return rows, turn(turned), numpy


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float64") for name in formulas("float64")),
                                             *((name, "float32") for name in NARROW)])
def test_as_near_as_numpy_and_the_same_bits_for_any_threads(name, dtype):
    with config.change_flags(floatX=dtype):
        inputs, outputs, numpy = along_rows(dtype, name)
        f = fuse.function(inputs, outputs)
    for n, m in ((1, 3), (7, 5), (512, 2), (1300, 4), (1537, 7)):
        near_numpy(f, numpy, values_for(inputs, n, m), dtype, rows=True)
    if name in ONE:
        assert "tile_rows" in f.source


@pytest.mark.parametrize("name", ["variance", "softmax gradient", "layer norm gradient"])
def test_kernels_say_the_same_as_their_interpreter(name):
    inputs, outputs, _ = along_rows("float64", name)
    program = compile_program(inputs, outputs)
    (launcher,) = program.planned.launchers
    args = [np.ascontiguousarray(a) for a in turn(values_for(inputs, 11, 4))]
    given = dict(zip(inputs, args, strict=True))
    program(*args)
    (layouts,) = [x for x in launcher.variants if BY_ROWS in x]
    kernel = launcher.scheduled(layouts)[0]
    assert check(kernel) is kernel
    want = {base: evaluate([base], given)[0] for base in launcher.region.outputs}
    arrays = [given[b] if b in given else np.empty_like(want[b]) for b in launcher.bases]
    scratch = [np.empty(11, b.dtype) for b in kernel.buffers if b.lent]
    interpret.run(kernel, [*arrays, *scratch], [11] * len(kernel.scalars))
    for base, have in zip(launcher.bases, arrays, strict=True):
        if base in want:
            np.testing.assert_allclose(have, want[base], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "variance", "log-softmax gradient", "logits of a mask"])
def test_infinities_and_nan_come_out_as_from_numpy(name):
    inputs, outputs, numpy = along_rows("float64", name)
    special_like_numpy(fuse.function(inputs, outputs), numpy, values_for(inputs, 1400, 7), rows=True)


def test_a_spread_beside_a_large_mean_keeps_its_digits():
    x = T.dmatrix("x")
    f = fuse.function([x], [x.var(1), x.var()])
    a = RNG.normal(size=(6, 4000)) + 1e8
    a[1] = np.linspace(0, 1e9, 4000)  # pieces whose means lie far apart
    rows, whole = f(a)
    assert "tile_rows" in f.source
    np.testing.assert_allclose(rows, a.astype(WIDE).var(1), rtol=2e-14)
    np.testing.assert_allclose(whole, a.astype(WIDE).var(), rtol=2e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_heads_far_from_what_they_stand_for_cost_few_digits(dtype):
    with config.change_flags(floatX=dtype):
        x = T.matrix("x", dtype)
        f = fuse.function([x], [x.var(1), x.mean(1)])
    a, place = RNG.normal(size=(6, 4000)), np.arange(4000)
    a[0] += 1e8
    a[1, 0] = 1e6
    a[2, :64] = 1e6  # the head of the first piece
    a[3, place % 512 < 64] += 1e6
    a[4] = 0.1
    a[5, place < 512] = 1e6
    a = a.astype(dtype)
    eps, wide = np.finfo(dtype).eps, a.astype(WIDE)
    for have, want in zip(f(a), (wide.var(1), wide.mean(1)), strict=True):
        rounded = (wide.mean(1) * eps) ** 2  # of the mean
        np.testing.assert_array_less(abs(have - want), 16 * eps * abs(want) + rounded + 1e-30)
    assert f(a)[1][4] == a[4, 0]


def test_statistics_of_everything_and_of_rows_of_more_axes():
    x, y = T.dtensor3("x"), T.dmatrix("y")
    z = x - y.dimshuffle(0, 1, "x")
    f = fuse.function([x, y], [z.var((1, 2)), T.logsumexp(x), x.var(-1), T.exp(x - x.max()).sum()])
    a, b = RNG.normal(size=(3, 5, 700)) * 4, RNG.normal(size=(3, 5))
    c = a - b[..., None]
    want = c.var((1, 2)), np.log(np.exp(a).sum()), a.var(-1), np.exp(a - a.max()).sum()
    for have, exact in zip(f(a, b), want, strict=True):
        np.testing.assert_allclose(have, exact, rtol=1e-12)
    for u, v in ((a[:, ::-1], b), (a[..., ::2], b), (np.asfortranarray(a), b), (a[:0], b[:0])):
        if u.size:
            np.testing.assert_allclose(f(u, v)[2], u.var(-1), rtol=1e-12)


def test_sums_over_rows_beside_statistics_of_rows():
    x, b = T.dmatrix("x"), T.dvector("b")
    weight = T.exp(-(x * b).sum(1))
    spread = x.var(1)
    f = fuse.function([x, b], [weight, (x * weight[:, None]).sum(0), spread, (x * spread[:, None]).sum(0)])
    a, v = RNG.normal(size=(3, 1200)) / 9, RNG.normal(size=1200) / 9
    first, second = np.exp(-a @ v), a.var(1)
    for have, exact in zip(f(a, v), (first, first @ a, second, second @ a), strict=True):
        np.testing.assert_allclose(have, exact, rtol=1e-11, atol=1e-13)


def test_what_must_be_exact_keeps_its_sweeps_and_long_products_are_in_them():
    x, w, k = T.dmatrix("x"), T.dmatrix("w"), T.lvector("k")
    cost = (T.nnet.softmax(x) * w).sum()
    f = fuse.function([x, w], [cost, T.grad(cost, x)], mode="strict")
    args = turn(values_for([x, w], 1100, 5))
    np.testing.assert_allclose(f(*args)[1], softmax_slope(*turn(args)).T, rtol=1e-11, atol=1e-14)
    assert "tile_rows" not in f.source
    g = fuse.function([x, w, k], [x[k].var(1), T.switch(w > 0, x[k] - x[k].max(1, keepdims=True), 0).sum(1)])
    order = np.array([3, 0, -1, 2, 2])
    a = args[0][order]
    variance, below = g(*args, order)
    np.testing.assert_allclose(variance, a.var(1), rtol=1e-12)
    np.testing.assert_allclose(below, np.where(args[1] > 0, a - a.max(1, keepdims=True), 0).sum(1), rtol=1e-12)
