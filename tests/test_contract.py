"""Sums of products that become products of matrices: values against NumPy, which sums do, sizes of one, errors."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T

A, B = T.matrix("A"), T.matrix("B")
FORMS = {  # formula, NumPy, all of shapes (m, k) and (k, n)
    "middle": ((A[:, :, None] * B[None, :, :]).sum(1), lambda a, b: a @ b),
    "last": ((A[:, None, :] * B.T[None, :, :]).sum(-1), lambda a, b: a @ b),
    "first": ((B[:, :, None] * A.T[:, None, :]).sum(0), lambda a, b: (a @ b).T),
    "mean": (T.mean(A[:, :, None] * B, axis=1), lambda a, b: a @ b / a.shape[1]),
    "four": ((2.0 * T.exp(A)[:, :, None] * B * B.sum(1)[:, None]).sum(1),
             lambda a, b: 2 * np.exp(a) @ (b * b.sum(1)[:, None])),
    "gradient": (fuse.grad(((A[:, :, None] * B).sum(1) ** 2).sum(), A), lambda a, b: 2 * a @ b @ b.T),
}


def dots(f: fuse.Function) -> int:
    return f.explain().count("call dot")


@pytest.mark.parametrize("name", FORMS)
def test_values_are_numpys(name):
    formula, numpy = FORMS[name]
    f = fuse.function([A, B], formula)
    assert dots(f) == 1 + (name == "gradient")
    rng = np.random.default_rng(0)
    for m, k, n in [(3, 4, 5), (1, 1, 1), (2, 0, 3), (30, 17, 20)]:
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        with np.errstate(all="ignore"):
            wanted = numpy(a, b)
        for _ in range(5 if m == 3 else 1):
            np.testing.assert_allclose(f(a, b), wanted, rtol=1e-12, atol=1e-12)
        turned, wide = np.asfortranarray(a), np.repeat(b, 2, 1)[:, ::2]
        np.testing.assert_allclose(f(turned, wide), wanted, rtol=1e-12, atol=1e-12)


def test_sizes_of_one_broadcast_and_others_must_agree():
    f = fuse.function([A, B], FORMS["middle"][0])
    a, b = np.ones((2, 1)), np.arange(6.0).reshape(3, 2)
    assert f(a, b).tolist() == (a[:, :, None] * b).sum(1).tolist()
    with pytest.raises(fuse.errors.ShapeError):
        f(np.ones((2, 4)), b)
    g = fuse.function([A, B], FORMS["gradient"][0])
    assert g(a, b).tolist() == (2 * (a[:, :, None] * b).sum(1) @ b.sum(0)[:, None]).tolist()
    x = T.tensor3("x")
    cost = ((x * B).sum(1) ** 2).sum()  # of run-time sizes that may be 1, and then are summed over
    h = fuse.function([x, B], fuse.grad(cost, [x, B]))
    for shape in [(2, 3, 2), (2, 3, 1), (2, 1, 2), (1, 3, 1)]:
        values = np.random.default_rng(2).standard_normal(shape), b
        slow = fuse.function([x, B], fuse.grad(cost, [x, B]), mode="FAST_COMPILE")
        for found, wanted in zip(h(*values), slow(*values), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_what_stays_in_loops():
    x, short, v = T.tensor3("x"), T.tensor("float64", shape=(None, 3)), T.vector("v")
    integers = T.lmatrix("i")
    product = A[:, :, None] * B
    for formula in [
        (product + 1).sum(1), [product.sum(1), product], product.sum((0, 1)), product.max(1), (x * B).sum(1),
        (short[:, :, None] * B).sum(1), (A * v).sum(1), (integers[:, :, None] * integers).sum(1),
    ]:
        assert not dots(fuse.function([A, B, x, short, v, integers], formula, on_unused_input="ignore"))
    assert not dots(fuse.function([A, B], product.sum(1), mode="strict"))


def test_single_precision():
    a, b = T.fmatrix(), T.fmatrix()
    f = fuse.function([a, b], (a[:, :, None] * b).sum(1))
    x, y = np.random.default_rng(1).standard_normal((2, 9, 9)).astype("f4")
    assert dots(f) == 1 and f(x, y).dtype == np.float32
    np.testing.assert_allclose(f(x, y), x @ y, rtol=1e-5, atol=1e-5)


def test_a_product_of_fewer_axes_that_is_repeated_before_the_sum():
    s, m, x = T.scalar("s"), T.matrix("m"), T.vector("x")
    product = x.dimshuffle(0, "x") * (T.clip(x, 0.5, 5.0) / x).dimshuffle("x", 0)
    three = product.dimshuffle(0, "x", 1) * product
    ones = T.fill(m, T.fill(s, 1.0).dimshuffle("x", "x")).dimshuffle(0, 1, "x")
    value = (T.fill(three, ones) * product).sum(axis=1)
    a = np.array([0.25, 1.0, 7.0])
    want = np.tile(np.outer(a, np.clip(a, 0.5, 5.0) / a).sum(0), (3, 1))
    np.testing.assert_allclose(fuse.function([s, m, x], value)(2.0, np.ones((3, 3)), a), want, rtol=1e-12)
