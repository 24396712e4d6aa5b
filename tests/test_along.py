"""Steps along an axis outside of loops: cumulative sums and products, recurrences, places in ordered vectors."""

from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work

import fuse
import fuse.tensor as T
from fuse import reference
from fuse.codegen import along
from fuse.codegen.program import compile_program
from fuse.frontend.scans import recurrence

SHAPES = [(7,), (1,), (0,), (5, 6), (3, 70), (17, 9), (6, 1), (3, 0), (4, 3, 70), (20, 3, 2), (2, 5, 1)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Arrays of any size have kernels."""
    monkeypatch.setattr(along, "FEW", 0)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "uint64"])
def test_cumulative_results_are_those_of_numpy_to_the_bit(dtype):
    rng = np.random.default_rng(2)
    for ndim in (1, 2, 3) if dtype == "float64" else (2,):
        x = T.TensorType(dtype, (None,) * ndim)("x")
        outputs = [f(x, axis=axis) for axis in range(ndim) for f in (T.cumsum, T.cumprod)]
        program = compile_program([x], outputs)
        for shape in [s for s in SHAPES if len(s) == ndim]:
            value = (rng.normal(size=shape) * 3).astype(dtype)
            if dtype.startswith("float") and value.size > 4:
                value.flat[4] = np.nan
            for a in (value, value[::-1], value[..., ::2], np.asfortranarray(value), np.repeat(value, 2, 0)[1::2]):
                want = [f(a, axis=axis, dtype=dtype) for axis in range(ndim) for f in (np.cumsum, np.cumprod)]
                for got, w in zip(program(a), want, strict=True):
                    np.testing.assert_array_equal(got, w)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_lines_strips_and_values(threads, monkeypatch):
    rng = np.random.default_rng(3)
    x, v = T.dtensor3("x"), T.dvector("v")
    outputs = [T.cumsum(x, axis=0), T.cumprod(x, axis=1), T.cumsum(x, axis=2), recurrence(x, -x, 2, reverse=True)]
    outputs += [recurrence(x, x * 2, 1), T.searchsorted(T.sort(v), x)]
    monkeypatch.setattr(along, "MUCH_WORK", 1)
    along._along.cache_clear()  # kernels know when there is much work
    with much_work(monkeypatch, threads):
        program = compile_program([x, v], outputs)
        for shape in [(5, 6, 7), (40, 3, 150), (2, 9, 1100), (3, 4, 1)]:
            values = rng.normal(size=shape), rng.normal(size=50)
            want = reference.evaluate(outputs, dict(zip([x, v], values, strict=True)))
            for got, w in zip(program(*values), want, strict=True):
                np.testing.assert_allclose(got, w, rtol=1e-11, atol=1e-11)
    along._along.cache_clear()


@pytest.mark.parametrize("dtypes", ["float64 float64", "float32 float32", "int8 int8", "float32 int64", "int8 float64"])
def test_places_in_ordered_vectors_are_those_of_numpy(dtypes):
    """Those of numbers of another dtype, too, which are compared in the one that holds both."""
    rng, (dtype, other) = np.random.default_rng(4), dtypes.split()
    x, v, number = T.TensorType(dtype, (None,))("x"), T.TensorType(other, (None, None))("v"), T.TensorType(other, ())()
    sides = ("left", "right")
    program = compile_program([x, v, number], [T.searchsorted(x, each, side) for each in (v, number) for side in sides])
    for n in (0, 1, 2, 3, 7, 100):
        ordered = np.sort((rng.normal(size=n) * 20).astype(dtype))
        sought = np.append(rng.normal(size=600 - n) * 20, ordered).astype(other)
        given = [ordered]
        if other.startswith("float"):
            sought[3:6], sought[9] = np.nan, np.inf
        if dtype.startswith("float"):
            given += [np.full(n, np.nan, dtype), np.sort(np.append(ordered, [np.nan, -np.inf, np.nan])).astype(dtype)]
        for xs in given:
            values = sought.reshape(20, 30)[::2], sought[4]
            want = [np.searchsorted(xs, each, side) for each in values for side in sides]
            for got, w in zip(program(xs, *values), want, strict=True):
                np.testing.assert_array_equal(got, w)


def test_derivatives_of_products_with_zeros_and_of_recurrences():
    """Against differences of the values; the recurrence and its transpose are each other's derivatives."""
    rng = np.random.default_rng(5)
    x, w = T.dmatrices("x", "w")
    for axis in (0, 1):
        slope = T.grad((T.cumprod(x, axis=axis) * w).sum(), x)
        mixed = (recurrence(x, w * w, axis) * recurrence(w, x, axis, reverse=True) * T.sin(w)).sum()
        f = fuse.function([x, w], [slope, T.grad((slope * T.cos(x)).sum(), x), mixed, *T.grad(mixed, [x, w])])
        for shape in ((4, 5), (1, 3), (3, 1)):
            given = rng.normal(size=(2, *shape))
            given[0].flat[[0, 2]] = 0.0
            found = f(*given)
            changes = {"x": np.zeros((3, *shape)), "w": np.zeros((3, *shape))}
            for name, k in (("x", 0), ("w", 1)):
                for at in np.ndindex(*shape):
                    move = np.zeros((2, *shape))
                    move[(k, *at)] = 1e-6
                    up, down = given + move, given - move
                    products = [(np.cumprod(a[0], axis) * a[1]).sum() for a in (up, down)]
                    sums = [(f(*a)[0] * np.cos(a[0])).sum() for a in (up, down)]
                    values = [f(*a)[2] for a in (up, down)]
                    for row, (high, low) in zip(changes[name], (products, sums, values), strict=True):
                        row[at] = (high - low) / 2e-6
            wanted = [*changes["x"], changes["w"][2]]
            for got, want in zip((found[0], found[1], found[3], found[4]), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_calls_at_c_level_have_them():
    """From the fourth call on, where a kernel refuses an array, too."""
    x, v = T.dmatrix("x"), T.dvector("v")
    f = fuse.function([x, v], [T.cumsum(x, axis=1), T.searchsorted(v, x)])
    value, ordered = np.random.default_rng(6).normal(size=(4, 30)), np.linspace(-1, 1, 9)
    for k in range(12):
        a = (value * k)[:, :: 1 + k % 2]
        for got, want in zip(f(a, ordered[::1]), [np.cumsum(a, 1), np.searchsorted(ordered, a)], strict=True):
            np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(f(a, np.repeat(ordered, 2)[::2])[1], np.searchsorted(ordered, a))
