"""Little work on a GPU: all parts of a kernel in one launch, of one block, in the simulator."""
from __future__ import annotations

import numpy as np
import pytest
from races import watched
from test_cuda import V, W, X, formulas, on_both, rng

import fuse
import fuse.tensor as T
from fuse.codegen import device

CASES = ("whole", "layer norm 1", "logsumexp 0", "softmax gradient 0", "layer norm gradient 0", "products")


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(device.current(), "little", 1 << 20)


def launches(f, values):
    with device.counted() as seen:
        f(*values)
    return seen()["launches"]


def test_parts_of_a_kernel_are_one_launch(little, monkeypatch):
    x, v, i = T.dmatrix("x"), T.dvector("v"), T.lvector("i")
    c, h, b = T.cvector("c"), T.TensorType("float16", (None,))("h"), T.bvector("b")
    standard = (v - v.mean()) / v.std()
    outputs = [
        standard, (standard**3).mean(), v.max(), x.max(1) * v.sum(), T.argmax(x, 1), T.set_subtensor(v[i], v.min()),
        (c * c.sum()).real, h - h.max(), b * b.sum(), (b > 1).any(), T.grad(T.log(T.exp(x).sum(1)).sum(), x),
    ]
    inputs = [x, v, i, c, h, b]
    for n in (5, 40):
        values = [
            np.resize(X, (n, 3)), np.resize(V, n) * np.arange(1, n + 1), np.array([0, n - 1, 0]),
            np.resize(W, n).astype("c8") * 1j, np.resize(W, n).astype("f2"), np.arange(n, dtype="i1"),
        ]
        f = on_both(inputs, outputs, values)
    assert "with little work: one launch" in f.explain()
    few = launches(f, values)
    monkeypatch.setattr(device.current(), "little", 39)
    assert launches(f, values) > few


@pytest.mark.parametrize("name", CASES)
def test_fused_formulas_of_little_work(name, little):
    (case,) = [c for c in formulas() if c[0] == name]
    f = on_both(*case[1:], on_unused_input="ignore")
    if name == "whole":
        assert launches(f, case[3]) == 1


def test_sums_that_rows_meet_in_are_part_of_the_launch(little, monkeypatch):
    """Each group of the block has a copy of them; what rounding loses is kept."""
    x, w, t = T.fmatrix("x"), T.fvector("w"), T.fvector("t")
    z = (x * w).sum(1)
    cost = (T.nnet.softplus(z) - t * z).mean()
    soft = T.nnet.softmax(x)
    outputs = [cost, T.grad(cost, w), soft, soft.sum(0), T.cast(soft * 9, "int16").sum(0), (x - z[:, None]).sum(0)]
    for block, shape in ((8, (20, 5)), (8, (0, 3)), (64, (3, 7))):
        monkeypatch.setattr(device.current(), "block", block)
        monkeypatch.setattr(device.current(), "broad", block)
        values = [rng.normal(size=s).astype("f4") for s in (shape, shape[1:], shape[:1])]
        with np.errstate(invalid="ignore"), watched() as races:
            f = on_both([x, w, t], outputs, values)
        assert launches(f, values) == 1 and not races
    large = np.ones((40, 5), "f4")
    large[::20] = [2**24, -(2**24), np.inf, np.nan, 1]
    with np.errstate(invalid="ignore"):
        sums = fuse.function([x], [soft, x.sum(0)], device="cuda")(large)[1]
        np.testing.assert_array_equal(sums, large.sum(0, dtype="f8").astype("f4"))
    monkeypatch.setattr(device.current(), "little", 2)
    assert launches(f, values) > 1


def test_nothing_and_one_element(little):
    x = T.dmatrix("x")
    f = fuse.function([x], [x.sum(), (x - x.mean(1, keepdims=True)) * 2, (x * 2).sum(0) + 1], device="cuda")
    for shape in ((0, 3), (3, 0), (1, 1)):
        a = np.full(shape, 2.0)
        found = f(a)
        assert found[0] == a.sum() and not found[1].any() and found[1].shape == shape
        np.testing.assert_array_equal(found[2], (a * 2).sum(0) + 1)


def test_statistics_of_rows_that_are_scattered_are_of_whole_rows():
    """Several blocks shared a row, and each found a largest value of its own."""
    x, i = T.dmatrix("x"), T.lvector("i")
    rows, at = np.random.default_rng(2).normal(size=(3, 37)), np.array([4, 0, 4])
    power = T.exp(x - x.max(1, keepdims=True))
    f = fuse.function([x, i], T.inc_subtensor(T.zeros((5, x.shape[1]))[i], power), device="cuda")
    want = np.zeros((5, 37))
    np.add.at(want, at, np.exp(rows - rows.max(1, keepdims=True)))
    np.testing.assert_allclose(f(rows, at), want, rtol=1e-14)
