"""Programs that once went wrong, each found by the fuzzer or by special values, made as small as they go."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseValueError, ShapeError
from fuse.types import TensorType

MODES = ["strict", "default"]


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_of_an_array(mode):
    """x[:] is a subtensor with nothing in its spec; it became source that is no Python."""
    x = T.dmatrix("x")
    s = fuse.shared(np.arange(3.0))
    a = np.arange(6.0).reshape(2, 3)
    got = fuse.function([x], [x[:], x[:] * 2, s[:]], mode=mode)(a)
    for have, want in zip(got, [a, a * 2, np.arange(3.0)], strict=True):
        np.testing.assert_array_equal(have, want)
    assert not np.shares_memory(got[0], a)


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("to", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("of", ["float64", "float32"])
def test_casts_of_floats_wrap_around(of, to, count):
    """Negative floats as unsigned integers saturated, and gave other numbers in vectorised loops."""
    x = TensorType(of, (None,))("x")
    f = fuse.function([x], T.cast(x, to), mode="strict")
    for number in (-3.7, 3.7, -1.0, -129.0, 255.5, 256.0, 300.0, -0.5, -100000.0, 65537.0, 2.0**30):
        want = int(np.trunc(np.float64(np.dtype(of).type(number)))) % 2 ** (8 * np.dtype(to).itemsize)
        got = f(np.full(count, number, of))
        assert (got == np.array(want, "u8").astype(to)).all(), (number, got[0])
    if to == "uint64":
        big = np.array([2.0**63, 2.0**63 + 2.0**40, 1.5 * 2.0**63, 2.0**64 - 2.0**40], of)
        np.testing.assert_array_equal(f(big), [int(v) for v in big])


@pytest.mark.parametrize("name", ["eq", "neq", "lt", "le", "gt", "ge"])
def test_comparisons_of_signed_with_unsigned_are_exact(name):
    """int64 with uint64 was compared in float64, which holds neither."""
    x, y = TensorType("int64", (None,))("x"), TensorType("uint64", (None,))("y")
    signed = [0, 1, -1, 2**63 - 1, 2**63 - 2, -(2**63), 5]
    unsigned = [0, 1, 2**63, 2**63 - 1, 2**63 - 2, 2**64 - 1, 5]
    pairs = list(itertools.product(signed, unsigned))
    a, b = np.array([p[0] for p in pairs], "i8"), np.array([p[1] for p in pairs], "u8")
    test = {"eq": int.__eq__, "neq": int.__ne__, "lt": int.__lt__, "le": int.__le__, "gt": int.__gt__, "ge": int.__ge__}
    op = getattr(T, name)
    one, other = fuse.function([x, y], [op(x, y), op(y, x)], mode="strict")(a, b)
    np.testing.assert_array_equal(one, [test[name](p, q) for p, q in pairs])
    np.testing.assert_array_equal(other, [test[name](q, p) for p, q in pairs])


@pytest.mark.parametrize("mode", MODES)
def test_logsumexp_of_nothing(mode):
    """log(sum(exp(x))) of no elements is log(0), also where it is recognised as logsumexp; max of none is an error."""
    x = T.dmatrix("x")
    f = fuse.function([x], [T.logsumexp(x, axis=1), T.log(T.sum(T.exp(x), axis=1))], mode=mode)
    for out in f(np.zeros((2, 0))):
        np.testing.assert_array_equal(out, [-np.inf, -np.inf])
    for out in f(np.zeros((0, 3))):
        assert out.shape == (0,)
    with pytest.raises(FuseValueError, match="max over an axis of size 0"):
        fuse.function([x], T.max(x, axis=1) + 1, mode=mode)(np.zeros((2, 0)))
    assert fuse.function([x], T.max(x, axis=1) + 1, mode=mode)(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("mode", MODES)
def test_sums_across_a_kernel_are_not_read_in_it(mode):
    """Two kernels were merged of which one reads the other's sum over rows: a KeyError of the scheduler."""
    x, w = TensorType("float64", (None, 1, None))("x"), TensorType("float64", (None, 1, None))("w")
    row, column = TensorType("float64", (1, 1, None))("row"), TensorType("float64", (None, 1, 1))("column")
    chosen = T.switch(T.eq(x, T.max(x, axis=0).dimshuffle("x", 0, 1)), row, 0.0)
    total = (-(chosen * x) / column).sum(axis=2).dimshuffle(0, 1, "x")
    f = fuse.function([x, row, column, w], chosen / column + T.fill(w, total) * w, mode=mode)
    rng = np.random.default_rng(0)
    a, r, c, v = (rng.normal(size=s) for s in ((2, 1, 4), (1, 1, 4), (2, 1, 1), (2, 1, 4)))
    picked = np.where(a == a.max(axis=0), r, 0.0)
    want = picked / c + (-(picked * a) / c).sum(axis=2, keepdims=True) * v
    np.testing.assert_allclose(f(a, r, c, v), want, rtol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_numbers_of_complex_formulas(mode):
    """The index of rules took float() of a complex zero."""
    z = TensorType("complex64", (None,))("z")
    values = np.array([0, 1j, 1, -1], "c8")
    got = fuse.function([z], [T.neq(z, T.constant(0j, dtype="complex64")), z * 1, z + 0, z - 0j], mode=mode)(values)
    for have, want in zip(got, [values != 0, values, values, values], strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("mode", MODES)
def test_false_plus_negative_zero(mode):
    """In strict mode ``x + 0`` is not ``x``, however the 0 is written."""
    x = T.dvector("x")
    zeros = np.array([-0.0, 0.0, 1.0])
    got = fuse.function([x], T.isnan(T.constant(0, dtype="int8")) + x, mode=mode)(zeros)
    np.testing.assert_array_equal(got, zeros)
    if mode == "strict":
        assert not np.signbit(got).any()


@pytest.mark.parametrize("mode", MODES)
def test_bounds_of_a_gradient_broadcast(mode):
    """grad_clip and grad_scale have the shape of all their operands: the reference had that of the first."""
    x, y = T.dvectors("x", "y")
    outs = [fuse.gradient.grad_scale(x, y), fuse.gradient.grad_clip(x, y, y + 1)]
    for have in fuse.function([x, y], outs, mode=mode)([2.0], [1.0, 2.0, 3.0]):
        np.testing.assert_array_equal(have, [2.0, 2.0, 2.0])
    for have, want in zip(fuse.reference.evaluate(outs, {x: np.array([2.0]), y: np.ones(3)}), [3, 3], strict=True):
        assert have.shape == (want,)


def test_erfcx_far_below_zero():
    """exp(x**2) there is infinite; its correction made it minus infinity."""
    x = T.dvector("x")
    values = np.array([-1971503703.0, -30.0, -26.0, -1e5, -1e160, -np.inf, np.inf, 1e9])
    np.testing.assert_allclose(fuse.function([x], T.erfcx(x))(values), special.erfcx(values), rtol=1e-12)




@pytest.mark.parametrize("mode", MODES)
def test_products_of_wrong_shapes_change_nothing(mode):
    """An update in place ran before a product that then refused its shapes."""
    s = fuse.shared(np.arange(4.0))
    x = T.dvector("x")
    f = fuse.function([x], T.dot(T.exp(s), x), updates=[(s, s * 2 + 1)], mode=mode)
    with pytest.raises(ShapeError):
        f(np.zeros(3))
    np.testing.assert_array_equal(s.get_value(), np.arange(4.0))


def test_unsigned_values_beyond_signed_inputs():
    """2**63 as uint64 went into an int64 input as -2**63."""
    x = T.lvector("x")
    f = fuse.function([x], x + 0)
    for value in (2**63, 2**64 - 1):
        with pytest.raises(FuseError, match="without loss"):
            f(np.array([value], "u8"))
    np.testing.assert_array_equal(f(np.array([2**63 - 1], "u8")), [2**63 - 1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("view", ["reshape", "slice", "turned slice"])
def test_views_of_a_variable_that_is_updated(mode, view):
    """An update in place wrote over a view that was an output, or was still to be read."""
    start = np.arange(-3.0, 3.0).reshape(2, 3)
    s = fuse.shared(start)
    make = {"reshape": lambda a: a.reshape((6,)), "slice": lambda a: a[1:], "turned slice": lambda a: a.T[::-1]}[view]
    new = T.clip(s, 0.5, 5.0) / 1
    f = fuse.function([], [make(s), T.exp(make(s)).sum()], updates=[(s, new)], mode=mode)
    got, total = f()
    np.testing.assert_array_equal(got, make(start))
    np.testing.assert_allclose(total, np.exp(make(start)).sum(), rtol=1e-14)
    np.testing.assert_array_equal(s.get_value(), np.clip(start, 0.5, 5))
    np.testing.assert_array_equal(f()[0], make(np.clip(start, 0.5, 5)))
