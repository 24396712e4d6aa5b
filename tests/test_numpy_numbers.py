"""NumPy's functions of the bits, divisors and exponents of numbers build expressions with NumPy's values and dtypes."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import FuseError


def same_as_numpy(build, *values):
    args = [T.TensorType(v.dtype, (None,) * v.ndim)() for v in values]
    with np.errstate(all="ignore"):
        expected = build(*values)
    for found, one in zip(fuse.function(args, list(build(*args)))(*values), expected, strict=True):
        assert found.dtype == one.dtype
        np.testing.assert_array_equal(found, one)


def whole_numbers(dtype):
    limits = np.iinfo(dtype)
    some = np.random.default_rng(0).integers(limits.min, limits.max, 20, dtype=dtype, endpoint=True)
    return np.array([*some, limits.min, limits.max, 0, 1], dtype)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_bits_and_divisors(dtype):
    a, b = whole_numbers(dtype), np.arange(1, 25).astype(dtype)
    count = [np.bitwise_count] if hasattr(np, "bitwise_count") else []
    same_as_numpy(lambda a, b: [np.gcd(a, b), np.lcm(b, b[::-1]), np.gcd(b[:, None], b), *[f(a) for f in count]], a, b)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_exponents_and_neighbours(dtype):
    x = np.random.default_rng(1).normal(size=10)
    with np.errstate(over="ignore"):
        x = np.array([*x, 0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-310, 1e-40, 6e-8, 1e308], dtype)
    powers = [-5000, -2100, -1080, -400, -150, -20, 0, 3, 20, 150, 1025, 1080, 2090, 5000]
    mode = fuse.Mode("numba", "strict")  # zeros times infinity are NaN
    args = T.vector("x", dtype=dtype), T.lvector("n")
    found = fuse.function(args, np.ldexp(args[0][:, None], args[1]), mode=mode)(x, powers)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, np.ldexp(x[:, None], np.array(powers)))
    n = T.vector("n", dtype="uint64")
    assert fuse.function([n], np.ldexp(x.dtype.type(-1), n))(np.array([2, 2**64 - 1], "u8")).tolist() == [-4, -np.inf]
    same_as_numpy(lambda x: [*np.frexp(x), np.nextafter(x, x[::-1]), np.spacing(x)], x)


def test_complex_numbers_are_rounded_in_both_parts():
    z = (np.random.default_rng(2).normal(size=(8, 2)) * 5) @ np.array([1, 1j])
    same_as_numpy(lambda z: [np.rint(z), np.round(z), np.round(z, 2), np.round(z, -1)], z)
    x = T.zvector("z")
    np.testing.assert_allclose(fuse.function([x], np.float_power(x, 2.5))(z), np.float_power(z, 2.5), rtol=1e-13)


def test_mantissas_have_gradients_and_jumps_have_none():
    x = T.dvector("x")
    assert fuse.function([x], fuse.grad(np.frexp(x)[0].sum(), x))([3.0, 0.3]).tolist() == [0.25, 2.0]
    for refused in (
        lambda: fuse.grad(np.nextafter(x, 1.0).sum(), x), lambda: np.gcd(x, 2), lambda: np.bitwise_count(x),
        lambda: np.spacing(x * 1j),
    ):
        with pytest.raises(FuseError, match=r"gradient|not defined for"):
            refused()


def test_orders_of_nothing_are_told():
    x = T.dvector("x")
    f = fuse.function([x], [T.median(x), np.percentile(x, 30)])
    assert [float(v) for v in f([3.0, 1.0])] == [2.0, pytest.approx(1.6)]
    with pytest.raises(IndexError, match="size 0 have no value"):
        f([])
