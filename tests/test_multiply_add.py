"""Products within sums of loops: rounded once where that is meant, and nowhere else."""

import re
from fractions import Fraction

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.multiply_add import has_multiply_add

needs_it = pytest.mark.skipif(not has_multiply_add(), reason="this processor has no multiply-add instruction")
A, B = 1 + 2.0**-30, 1 - 2.0**-30  # whose product, 1 - 2**-60, is 1 when it is rounded


def _once(formula, dtype="float64", mode="default"):
    """One step of a loop from a, b, c, by the compiled loop, and its text."""
    a, b, c = (T.scalar(name, dtype=dtype) for name in "abc")
    n = T.lscalar("n")
    final = fuse.loop(lambda state, _: ((-state[0], -state[1], formula(*state)), ()), (a, b, c), None, n)[0][2]
    f = fuse.function([a, b, c, n], final, mode=mode)

    def run(*values):
        return f(*[np.dtype(dtype).type(v) for v in values], 1)

    f(1, 1, 1, 1)
    return run, f.source


@needs_it
@pytest.mark.parametrize("formula, exact", [
    (lambda a, b, c: c + a * b, lambda a, b, c: c + a * b),
    (lambda a, b, c: a * b - c, lambda a, b, c: a * b - c),
    (lambda a, b, c: c - a * b, lambda a, b, c: c - a * b),
    (lambda a, b, c: a * a - c, lambda a, b, c: a * a - c),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_product_within_a_sum_is_not_rounded(formula, exact, dtype):
    run, text = _once(formula, dtype)
    assert "fma(" in text
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.uniform(1, 2, 2).astype(dtype)
        c = dtype == "float32" and np.float32(a * b) or a * b
        expected = np.dtype(dtype).type(float(exact(*map(Fraction, map(float, (a, b, c))))))
        assert run(a, b, c) == expected


@pytest.mark.parametrize("formula", [
    lambda a, b, c: a * a - b * b,
    lambda a, b, c: -(a * a) + b * b,
    lambda a, b, c: a * b - b * a * c,
])  # fmt: skip
def test_differences_of_two_products_stay_as_they_are(formula):
    run, text = _once(formula)
    assert "fma(" not in text
    assert run(0.1, 0.1, 1.0) == 0.0


def test_a_product_that_is_read_twice_and_one_of_integers_stay():
    _, text = _once(lambda a, b, c: T.exp(a * b) + (a * b + c))
    assert "fma(" not in text
    _, text = _once(lambda a, b, c: a * b + c, "int64")
    assert "fma(" not in text


def test_strict_rounds_both():
    run, text = _once(lambda a, b, c: c + a * b, mode="strict")
    assert "fma(" not in text
    assert run(A, B, -1.0) == 0.0
    if has_multiply_add():
        assert _once(lambda a, b, c: c + a * b)[0](A, B, -1.0) == -(2.0**-60)


def test_only_loops_do_so():
    a, b, c = T.dvectors("a", "b", "c")
    f = fuse.function([a, b, c], a * b + c)
    assert f([A], [B], [-1.0])[0] == 0.0
    assert not re.search(r"\bfma\(", f.source)


SIZES = (0, 1, 7, 8, 9, 31, 32, 33, 511, 512, 513, 1023, 1024, 1025, 1030)


@needs_it
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_products_and_of_squares(dtype):
    """Eight elements and more are added with products that are not rounded; fewer are added as NumPy adds them."""
    x, y = (T.vector(name, dtype=dtype) for name in "xy")
    results = [(x * y).sum(), (x**2).sum(), ((x - y) ** 2 * y).sum()]
    f = fuse.function([x, y], results)
    strict = fuse.function([x, y], results, mode="strict")
    rng = np.random.default_rng(0)
    given = rng.standard_normal((2, SIZES[-1])).astype(dtype)
    for n in SIZES:
        a, b = given[:, :n]
        terms = a * b, a * a, (a - b) * (a - b) * b
        for function in (f, strict):
            for found, each in zip(function(a, b), terms, strict=True):
                exact = float(sum(map(Fraction, each.tolist())))
                assert abs(found - exact) <= 4 * np.finfo(dtype).eps * abs(each.astype("float64")).sum()
                if n < 8:
                    assert found == np.dtype(dtype).type(sum(each.tolist()))
    assert f.source.count("radd_product(") == 3 and "radd_product" not in strict.source


@needs_it
def test_only_sums_take_products_in():
    x, y = T.dmatrices("x", "y")
    product = x * y
    f = fuse.function([x, y], [product.max(1), (x**2 * y).prod(1), product.sum(1), abs(product).sum(1)])
    a, b = np.random.default_rng(1).uniform(0.9, 1.1, (2, 40, 70))
    total = (a * b).sum(1)
    for found, expected in zip(f(a, b), [(a * b).max(1), (a**2 * b).prod(1), total, total], strict=True):
        assert np.allclose(found, expected, rtol=1e-14)
    assert "radd_product" not in f.source
