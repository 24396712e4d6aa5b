"""Programs that once went wrong, each found by the fuzzer or by special values, made as small as they go."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

import fuse
import fuse.tensor as T
from fuse import reference, rules
from fuse.codegen import memory
from fuse.codegen.loop_entry import PIECE
from fuse.codegen.sizes import Sizes
from fuse.errors import FuseError, FuseValueError, ShapeError
from fuse.ifelse import ifelse
from fuse.looping import tidy
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
    f = fuse.function([x], [T.logsumexp(x), T.logsumexp(x, axis=1), T.log(T.sum(T.exp(x), axis=1))], mode=mode)
    for shape in ((2, 0), (0, 3)):
        total, *outs = f(np.zeros(shape))
        assert total == -np.inf
        for out in outs:
            np.testing.assert_array_equal(out, np.full(shape[0], -np.inf))
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


@pytest.mark.parametrize("mode", MODES)
def test_sums_of_bools_are_bools_where_a_kernel_reads_them(mode):
    """True + True was 2 for whatever read it in the same kernel."""
    a, b = (TensorType("bool", (None,))(n) for n in "ab")
    either = a + b
    outs = [either, either * np.int8(3), T.cast(either, "int64"), T.sum(either), T.switch(either, 1, 0) + either,
            T.cast(T.sum(a, dtype="bool"), "int8"), fuse.scan(lambda x, s: s + x, a, b[0])[0] * np.int8(2)]
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    got = fuse.function([a, b], outs, mode=mode)(x, y)
    for have, want in zip(got, [x | y, 3 * (x | y), x | y, 3, 2 * (x | y), 1, [2, 2, 2, 2]], strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("mode", MODES)
def test_a_slice_in_a_loop_that_broadcasts_or_does_not_fit(mode):
    """A state of known size was filled with the slice that there was, and kept what stood in memory behind it."""
    state, i = TensorType("float64", (2,))("state"), T.lscalar("i")
    for fixed in (state, T.dvector("v")):
        kept, _ = fuse.scan(lambda s: T.fill(s, T.tanh(s[:i])), outputs_info=[fixed], n_steps=3)
        f = fuse.function([fixed, i], kept, mode=mode)
        want = np.array([1.0, 2.0])
        for count in (1, 2):
            rows, have = [], want
            for _ in range(3):
                have = np.broadcast_to(np.tanh(have[:count]), (2,))
                rows.append(have)
            np.testing.assert_allclose(f(want, count), rows, rtol=1e-14)
        with pytest.raises(ShapeError):
            f(want, 0)


@pytest.mark.parametrize("mode", MODES)
def test_positions_in_results_of_ops_with_several(mode):
    """The largest of a monotone function was looked for in what has several results, and no shape."""
    x = T.dmatrix("x")
    kept = fuse.scan(lambda r: T.nonzero(r)[0], x)[0]
    f = fuse.function([x], [T.argmax(kept, axis=1), T.argmax(T.svd(x)[1])], mode=mode)
    value = np.array([[1.0, 0.0, 2.0], [3.0, 4.0, 0.0]])
    got = f(value)
    np.testing.assert_array_equal(got[0], [1, 1])
    np.testing.assert_array_equal(got[1], 0)


@pytest.mark.parametrize("mode", MODES)
def test_arrays_of_nothing_at_any_address(mode):
    """NumPy calls arrays without elements aligned wherever they begin; kernels refused them."""
    x, i = TensorType("float32", (None, None))("x"), T.lscalar("i")
    f = fuse.function([x, i], [x * 2 + 1, x.sum(axis=1), x[i:] - 1], mode=mode)
    raw = np.zeros(41, "u1")
    for shape in ((0, 4), (2, 0)):
        value = np.ndarray(shape, "float32", raw.data, 1)
        got = f(value, 0)
        assert [a.shape for a in got] == [shape, shape[:1], shape]
        np.testing.assert_array_equal(got[1], np.zeros(shape[0]))
    odd = np.ndarray((2, 3), "float32", raw.data, 1)
    assert f(odd, 2)[2].shape == (0, 3)


@pytest.mark.parametrize("mode", MODES)
def test_loops_in_loops_over_positions(mode):
    """A size inside of a loop led through an op with several results, which has none."""
    x, s = T.dmatrix("x"), T.dmatrix("s")

    def step(row, state):
        return T.tanh(T.set_subtensor(state[T.nonzero(state > 0)], row[0]))

    kept, _ = fuse.scan(step, x, s)
    slope = fuse.grad(kept[-1].sum(), s)
    again = fuse.scan(step, x, s, checkpoint=2)[0]
    f = fuse.function([x, s], [kept, slope, again, fuse.grad(again[-1].sum(), s)], mode=mode)
    rows, start = np.array([[0.3], [-0.5], [0.7]]), np.array([[1.0, -2.0], [-0.1, 0.2]])
    want, state = [], start
    for row in rows:
        state = np.tanh(np.where(state > 0, row[0], state))
        want.append(state)
    got = f(rows, start)
    np.testing.assert_allclose(got[0], want, rtol=1e-14)
    np.testing.assert_allclose(got[2], want, rtol=1e-14)
    np.testing.assert_allclose(got[1], got[3], rtol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_by_any_formula(mode):
    """Sizes were computed in Python's ints whatever the dtypes of a formula: of 1.5 * n as n; squares had no value."""
    x, k = T.dvector("x"), T.lscalar("k")
    n = x.shape[0]
    formulas = [
        (n * n * k, lambda n, k: n * n * k), (T.cast(n * 1.5, "int64") * k, lambda n, k: int(n * 1.5) * k),
        (T.cast(n + T.cast(250, "uint8"), "uint8") * k, lambda n, k: (n + 250) % 256 * k),
        (T.cast(T.ceil(n / 2.0), "int64") + T.gt(n, 1.5), lambda n, k: -(-n // 2) + (n > 1.5)),
    ]
    f = fuse.function([x, k], [T.arange(m) * x[0] for m, _ in formulas], mode=mode)
    for count in (1, 2, 3, 7):
        for have, (_, size) in zip(f(np.full(count, 2.0), 3), formulas, strict=True):
            np.testing.assert_array_equal(have, np.arange(size(count, 3)) * 2.0)


@pytest.mark.parametrize("mode", MODES)
def test_sums_of_parts_whose_other_sizes_one_part_tells(mode):
    """The sum of a join became a sum of sums, whose type no longer told of a size of 1."""
    x, y = TensorType("float64", (None, 1, None))("x"), TensorType("float64", (1, None, None))("y")
    f = fuse.function([x, y], T.concatenate([x, y], axis=1).dimshuffle(1, 2).sum(), mode=mode)
    assert float(f(np.ones((1, 1, 4)), np.ones((1, 2, 4)))) == 12.0
    with pytest.raises(ShapeError):
        f(np.ones((1, 1, 4)), np.ones((1, 2, 1)))


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_arguments_without_derivative_in_loops(checkpoint):
    """A gradient that no rule gives went into the body of the backward loop."""
    x, order, start = T.dvector("x"), T.dvector("order"), T.dscalar("start")
    kept, _ = fuse.scan(lambda a, k, s: T.kv(k, a) + s, [x, order], start, checkpoint=checkpoint)
    values = np.array([0.5, 1.5, 2.5]), np.array([0.0, 1.0, 2.0]), 0.1
    slope = fuse.function([x, order, start], fuse.grad(kept[-1], x))(*values)
    np.testing.assert_allclose(slope, special.kvp(values[1], values[0]), rtol=1e-10)
    with pytest.raises(FuseError, match="order of a Bessel function"):
        fuse.grad(kept[-1], order)


@pytest.mark.parametrize("mode", MODES)
def test_diagonals_of_single_rows(mode):
    """A rule forgot a size of 1, and a size became clip(n, 0, 1), which the wrapper did not know."""
    x = TensorType("float64", (1, None))("x")
    f = fuse.function([x], [T.diagonal(x), fuse.grad(T.sum(T.sqr(T.diagonal(x))), x)], mode=mode)
    for count in (0, 1, 3):
        value = np.arange(2.0, 2 + count)[None]
        diagonal, slope = f(value)
        np.testing.assert_array_equal(diagonal, np.diagonal(value))
        np.testing.assert_array_equal(slope, np.where(np.arange(count) == 0, 2 * value, 0))


@pytest.mark.parametrize("mode", MODES)
def test_a_cast_to_half_floats_rounds_where_it_stands(mode):
    """It was none within a kernel: what overflows went on as a number, and LLVM rounded a double at the end instead."""
    v = T.vector("v")
    h = T.cast(v, "float16")
    f = fuse.function([v], [T.tanh(h), T.sqrt(h), T.tanh(h[0]), T.cast(h, "float64") - v], mode=mode)
    values = np.array([0.1, 1.6389229e06, 2.5, 65519.0])
    with np.errstate(over="ignore"):
        want = values.astype("float16")
    got = f(values)
    np.testing.assert_allclose(got[0], np.tanh(want), rtol=2e-3)
    np.testing.assert_allclose(got[1], np.sqrt(want), rtol=2e-3)
    np.testing.assert_allclose(got[2], np.tanh(want[0]), rtol=2e-3)
    np.testing.assert_array_equal(got[3], want.astype("float64") - values)


def test_a_layout_in_which_an_index_is_checked_elsewhere():
    """The kernel for it has other numbers among its arguments than the one for contiguous arrays."""
    row = TensorType("int32", (1, None))("row")
    x, i = T.dmatrix("x"), T.lscalar("i")
    f = fuse.function([row, x, i], ((x - (i & row)) * 2)[np.array([-2, 2, 1, -2])], mode="strict")
    whole = np.arange(34, dtype="int32").reshape(1, 34)
    values = np.arange(51.0).reshape(3, 17)
    for given in (whole[:, :17], whole[:, ::-2], whole[:, ::2], whole.T[:17].T):
        np.testing.assert_array_equal(f(given, values, 3), ((values - (3 & given)) * 2)[[-2, 2, 1, -2]])


def test_a_negative_zero_added_to_zeros_is_zero():
    """The sum was taken for the value itself, in mode strict too."""
    y, at = T.dvector("y"), T.lvector("at")
    zeros = T.zeros((y.shape[0], 3))
    f = fuse.function([y, at], T.inc_subtensor(zeros[T.arange(y.shape[0]), at], y), mode="strict")
    assert not np.signbit(f(np.full(4, -0.0), np.array([0, 1, 2, 0]))).any()


def test_all_single_floats_are_rounded_to_half_floats_as_numpy_does():
    x = T.fvector("x")
    f = fuse.function([x], T.cast(T.cast(x, "float16"), "float32") + 0, mode="strict")
    bits = np.concatenate([np.arange(0, 2**32, 65521, dtype="uint64"), np.arange(0x33000000, 0x48000000, 4095)])
    values = np.concatenate([bits.astype("uint32"), np.uint32([0x477FEFFF, 0x477FF000, 0x38800000])]).view("f4")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(f(values), values.astype("float16").astype("f4"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["arcsin", "arctan", "sinh", "arcsinh", "tanh", "arctanh", "erf", "sin", "tan", "sgn",
                                  "trunc", "deg2rad"])
def test_odd_functions_are_cast_to_half_floats(name, dtype):
    x = T.vector("x", dtype)
    values = np.linspace(-0.9, 0.9, 41).astype(dtype)
    plain = fuse.function([x], getattr(T, name)(x))(values)
    halves = fuse.function([x], T.cast(getattr(T, name)(x), "float16"))(values)
    np.testing.assert_array_equal(halves, plain.astype("float32").astype("float16"))


@pytest.mark.parametrize("mode", MODES)
def test_bools_are_shifted_in_the_dtype_of_the_other(mode):
    """They were int8, so that uint8 shifted by a bool became int16, which holds other numbers."""
    b = TensorType("bool", (None,))("b")
    bools = np.array([True, False])
    for dtype in ("uint8", "int16", "uint32", "uint64"):
        x = TensorType(dtype, (None,))("x")
        ends = np.array([np.iinfo(dtype).max, 3], dtype)
        shifted = [T.left_shift(x, b), T.right_shift(x, b), T.left_shift(b, x)]
        got = fuse.function([x, b], shifted, mode=mode)(ends, bools)
        for have, want in zip(got, [ends << bools, ends >> bools, bools << ends], strict=True):
            assert have.dtype == want.dtype
            np.testing.assert_array_equal(have, want)
    assert fuse.function([b], T.left_shift(b, b), mode=mode)(bools).dtype == np.int8


def test_unsigned_constants_beyond_signed_ones_beside_a_sum():
    """Such constants were left to Numba's pipeline, which refused our marks of accesses in helpers it compiled."""
    from fuse.codegen import lower

    x = TensorType("uint64", (None,))("x")
    big = np.uint64(2**64 - 2)
    lower.unsupported.clear()
    values = np.array([2**64 - 1, 5, 2**63], "u8")
    got = fuse.function([x], [x % big, T.mean(x), T.lt(x, big)], mode="strict")(values)
    assert lower.unsupported == []
    for have, want in zip(got, [values % big, values.mean(), values < big], strict=True):
        np.testing.assert_array_equal(have, want)


def test_rolls_by_any_shift():
    """The shift was taken from positions before its remainder, which overflows at the ends of int64."""
    x, n = T.dvector("x"), T.lscalar("n")
    f = fuse.function([x, n], T.roll(x, n))
    for size in (5, 1, 0):
        for shift in (0, 1, -1, 7, -7, 2**63 - 1, -(2**63)):
            np.testing.assert_array_equal(f(np.arange(float(size)), shift), np.roll(np.arange(float(size)), shift))


def test_a_size_that_is_taken_to_be_another_one_is_computed_to_be_compared():
    x, v = T.dmatrix("x"), T.dvector("v")
    f = fuse.function([x, v], T.le(x, T.arange(T.nonzero(v > 0)[0].shape[0])))
    a = np.random.default_rng(0).normal(size=(5, 3))
    for n in (3, 1):
        np.testing.assert_array_equal(f(a, np.r_[np.ones(n), -np.ones(4)]), a <= np.arange(n))
    with pytest.raises(ShapeError):
        f(a, np.ones(2))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32"])
def test_sums_and_products_of_narrow_integers_wrap_where_they_are_read_in_the_same_kernel(dtype):
    x = T.lmatrix("x")
    a = np.random.default_rng(1).integers(-2**62, 2**62, (30, 7)) | 1
    sums, want = ([r(v, axis, dtype=dtype) for axis in (None, 0, 1) for r in (np.sum, np.prod)] for v in (x, a))
    sums, want = [T.cast(r, "float64") / 3 for r in sums], [r.astype("float64") / 3 for r in want]
    for got, exact in zip(fuse.function([x], sums)(a), want, strict=True):
        np.testing.assert_array_equal(got, exact)


def test_a_size_that_is_known_now_is_compared_with_that_of_a_repeated_value():
    """The repeated value was taken out of the arithmetic, and its size with it."""
    s, m = T.dscalar("s"), T.lscalar("m")
    f = fuse.function([s, m], T.constant([1.0, 2.0]) + T.alloc(s, m))
    np.testing.assert_array_equal(f(1.0, 2), [2.0, 3.0])
    for size in (0, 3):
        with pytest.raises(ShapeError):
            f(1.0, size)


def test_rows_with_nan_have_the_least_element_that_the_formula_says_in_strict_mode():
    x = T.dvector("x")
    f = fuse.function([x], [T.argmin(T.special.log_softmax(x, axis=0)), T.argmax(T.exp(x))], mode="strict")
    assert [int(k) for k in f(np.array([1e4, np.nan, -1.4]))] == [0, 1]
    assert [int(k) for k in f(np.array([800.0, 900.0]))] == [0, 0]  # both exponentials are infinite


def test_fewer_axes_than_the_indices_are_added_in_the_reference():
    """NumPy's add.at reads behind the end there."""
    x = T.dvector("x")
    out = T.inc_subtensor(x[np.array([[1, 0], [0, 1], [1, 1]])], x)
    for mode in ("FAST_COMPILE", "FAST_RUN"):
        np.testing.assert_array_equal(fuse.function([x], out, mode=mode)(np.array([0.5, 2.0])), [3.0, 7.0])


NARROW = {
    "int8": ([100, -100, 7], [120, 99, 9]),
    "int64": ([2**40, 3, -5], [2**41, 7, 11]),
    "float32": ([1e30, 3.3e25, 1.1], [1e30, 1.7e-30, 3.7]),
}


@pytest.mark.parametrize("dtype", NARROW)
def test_what_is_left_of_a_product_or_sum_is_computed_in_its_dtype(dtype):
    """(s*a)*b with ``s`` taken out, or cancelled, was a*b in the dtype of these: integers wrapped."""
    s, r = T.dscalar("s"), T.dvector("r")
    a, b = T.vector("a", dtype=dtype), T.vector("b", dtype=dtype)
    x, y = (np.array(v, dtype).astype(float) for v in NARROW[dtype])
    w = np.array([1.1, 2.2, 3.3])
    cases = [
        (((s * a) * b).sum(), (1.7 * x * y).sum()), (((a * s) * b).mean(), (1.7 * x * y).mean()),
        ((r * a * b) / r, x * y), ((r * a / b) / r, x / y), ((r * a) / (r * b), x / y), ((r + a + b) - r, x + y),
        ((r - a - b) - r, -x - y), (T.dot(s * a, b), (1.7 * x * y).sum()), (-(s * a) * b / s, -x * y),
        ((r[:, None] * a * b).sum(axis=1), (w[:, None] * x * y).sum(1)),
    ]  # fmt: skip
    values = {s: np.array(1.7), r: w} | {v: np.array(d, dtype) for v, d in zip((a, b), NARROW[dtype], strict=True)}
    for got, (_, want) in zip(reference.evaluate(rules.optimize([c for c, _ in cases]), values), cases, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_parts_of_a_join_are_compared_before_a_loop_writes_them():
    """Each part was written with its own sizes: a longer one behind the memory of the step."""
    x = TensorType("float64", (False, True, False))("x")
    joined = fuse.scan(lambda a: T.join(1, T.dot(a, a.T).dimshuffle(0, "x", 1), a.dimshuffle(0, "x", 1)), x)[0]
    f = fuse.function([x], joined)
    a = np.array([[[2.0]], [[3.0]]])
    np.testing.assert_array_equal(f(a), [[[[4.0], [2.0]]], [[[9.0], [3.0]]]])
    with pytest.raises(ShapeError):
        f(np.ones((2, 1, 4)))
    parts = [T.dtensor3(), T.dtensor3()]
    assert len(Sizes([T.join(1, *parts)]).guards) == 2


def test_steps_and_branches_are_rewritten_in_the_mode_of_the_function():
    """A loop whose steps are calls, and a branch, were simplified by the default rules: x / x was 1, also for 0."""
    x, s, c = T.matrix("x", dtype="uint8"), T.matrix("s", dtype="uint8"), T.bscalar("c")
    products = fuse.scan(lambda e, state: [T.fill(state, e), T.dot(state / state, e)], x, [s, None])[0][1]
    v = T.dvector("v")
    inside = fuse.scan(lambda w: ifelse(T.gt(w, 0), v / v * w, v), v)[0]
    f = fuse.function([x, s, c, v], [products, ifelse(c, v / v, v), inside], mode="strict")
    got = f(np.array([[0, 1, 2], [3, 0, 1]], "u1"), np.array([[0, 1, 1], [1, 1, 1]], "u1"), 1, np.array([0.0, 2.0]))
    nan = np.nan
    for have, want in zip(got, [[[nan, 3], [nan, nan]], [nan, 1], [[0, 2], [nan, 2]]], strict=True):
        np.testing.assert_array_equal(have, want)


def test_positions_are_indexed_by_arrays_of_any_rank():
    """The index of an ``arange`` along one axis was read by its last axes only: a triangle's rows at two axes of
    indices were those of other rows."""
    x, n = T.dmatrix("x"), T.lscalar("n")
    a, i = np.random.default_rng(0).normal(size=(40, 17)), np.array([[13, 0, 9], [-17, -1, -9]])
    j, zero = np.array([[1, 2, 0], [3, -1, 4]]), np.array([[0, -1, 0]])
    cases = [
        (T.triu(x, 1)[i], np.triu(a, 1)[i]),
        ((x[:, :1] * 2 + T.arange(40)[:, None])[i], (a[:, :1] * 2 + np.arange(40)[:, None])[i]),
        ((T.arange(n)[:, None] * 2.5)[j, zero], (np.arange(5)[:, None] * 2.5)[j, zero]),
        ((T.arange(n)[None, :] * 2.5)[zero, j], (np.arange(5)[None, :] * 2.5)[zero, j]),
        ((T.arange(n)[:, None, None] * T.arange(4)[:, None] + T.arange(2))[j],
         (np.arange(5)[:, None, None] * np.arange(4)[:, None] + np.arange(2))[j]),
    ]  # fmt: skip
    for got, (_, want) in zip(fuse.function([x, n], [c for c, _ in cases])(a, 5), cases, strict=True):
        np.testing.assert_array_equal(got, want)
    y, v = T.TensorType("float64", (True, False))("y"), T.dvector("v")
    f = fuse.function([y, v, n], (v + (y + T.arange(n)))[np.array([[0], [-1]]), np.array([1, 0, -1])])
    np.testing.assert_array_equal(f(a[:1], a[1], 17), (a[1] + (a[:1] + np.arange(17)))[[[0], [0]], [1, 0, -1]])
    for rows, columns in ((5, 0), (-6, 0), (0, 1)):
        with pytest.raises(IndexError):
            fuse.function([n], (T.arange(n)[:, None] * 2.5)[[[rows]], [[columns]]])(5)


def test_what_takes_the_place_of_a_loops_value_has_its_axes_of_size_1():
    """A pass may find a value whose type says less; what reads it was built on the axis that it may drop."""
    x, like = T.dmatrix("x"), T.TensorType("float64", (False, True))()
    known = tidy._as_known(x, like)
    assert known.type.broadcastable == (False, True) and tidy._as_known(known, like) is known
    f = fuse.function([x], known.dimshuffle(0))
    assert f([[1.0], [2.0]]).tolist() == [1.0, 2.0]
    with pytest.raises(ShapeError):
        f([[1.0, 2.0]])


def test_a_half_float_from_a_double_is_rounded_where_it_is_stored():
    """LLVM made one rounding, of double to half, of two: by a function that nobody has, so nothing linked."""
    x = T.vector("x", dtype="float16")
    a = np.array([0.5, 2.0, -1.0], "f2")
    got = fuse.function([x], T.tanh(T.j0(x)), mode="strict")(a)
    np.testing.assert_allclose(got, np.tanh(special.j0(a.astype("f8"))), rtol=2e-3)


def test_labels_that_no_column_has_are_refused_where_only_the_gradient_is_asked_for():
    x, y = T.dmatrix("x"), T.ivector("y")
    picked = T.log(T.nnet.softmax(x))[T.arange(y.shape[0]), y]
    hot = T.inc_subtensor(T.zeros_like(x)[T.arange(y.shape[0]), y], T.cast(y, "float64"))
    for formula in (T.grad(picked.sum(), x), hot, hot.sum(axis=1)):
        f = fuse.function([x, y], formula)
        assert np.isfinite(f(np.ones((2, 3)), np.array([0, -1], "int32"))).all()
        for labels in ([3, 0], [0, -4]):
            with pytest.raises(IndexError, match="out of bounds"):
                f(np.ones((2, 3)), np.array(labels, "int32"))


def test_the_smallest_integer_of_a_dtype_is_the_negative_of_a_wider_one():
    """1 / (1 + exp(-128 * x)) became the logistic function of -128 * x: as an int8, -128 is its own negative."""
    x = T.dvector("x")
    a = np.array([0.01, -0.003])
    got = fuse.function([x], [1 / (1 + T.exp(x * factor)) for factor in (-128, -32768, -(2**31), -127)])(a)
    for have, factor in zip(got, (-128, -32768, -(2**31), -127), strict=True):
        np.testing.assert_allclose(have, special.expit(-a * factor), rtol=1e-13)


def test_strict_rules_do_not_look_through_casts_at_what_was_rounded():
    """-(c * x) in float64 of a product in float32 was computed in float64: other bits, in mode strict too."""
    x, y, z, w = T.fvector("x"), T.dvector("y"), T.zvector("z"), T.zvector("w")
    c = np.float32(0.1)
    formulas = [
        -T.cast(c * x, "float64"), -T.cast(c / x, "float64"),
        y + T.cast(-c * x, "float64"), y - T.cast(-c / x, "float64"),
        z * 1, z / 1, z * -1, -z * w, w / -z, -(z * 2j),
    ]  # fmt: skip
    inf = np.inf
    values = {
        x: np.array([0.3, 1.7, 5.1], "f4"), y: np.array([1e-3, 1.0, -0.2]),
        z: np.array([complex(inf, 1), complex(0.0, -0.0), complex(1, 1)]), w: np.array([2j, 1j, 1 - 1j]),
    }  # fmt: skip
    got = fuse.function(list(values), formulas, mode="strict")(*values.values())
    for have, want in zip(got, reference.evaluate(formulas, values), strict=True):
        parts = [np.atleast_1d(v).view("f8") for v in (have, want)]
        np.testing.assert_array_equal(*parts)
        np.testing.assert_array_equal(*[np.signbit(v) | np.isnan(v) for v in parts])


@pytest.mark.parametrize("mode", MODES)
def test_errors_of_parts_that_are_not_read_stay(mode):
    """Of rows of other lengths one was read, or all were added up."""
    a, b, x, y, i, s = T.dmatrix(), T.dmatrix(), T.dvector(), T.dvector(), T.lscalar(), T.dscalar()
    with pytest.raises(ShapeError):
        fuse.function([a, b], T.join(0, a, b).sum(), mode=mode)(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ShapeError):
        fuse.function([x, y], T.stack([x, y])[0], mode=mode)(np.ones(2), np.ones(3))
    with pytest.raises(IndexError):
        fuse.function([i, s], (T.constant(np.ones(1)) + s)[i], mode=mode)(1, 2.0)


def test_quotients_keep_their_form_where_numbers_are_folded_or_leave_sums():
    """x / y / y became x / (y * y), and sum(m / total * x) the quotient of a sum of m * x: infinite in float32."""
    x, y, total = T.fvector("x"), T.fvector("y"), T.fscalar("total")
    e = T.exp(y / 1e20)
    formulas = [
        0.5 * x / y / y * 4, 2 * (x / y) * (x / y) * 3, (2 / y) / (3 / x), x / (y / x) / x, e * (x / y) * (x / y) * e,
        (x / total * y).sum(), (1e-30 * x * y).sum(), (x * y / total).sum(), T.sqr(x / total).sum(), (x / 3 * 2).sum(),
    ]  # fmt: skip
    a, b = np.array([1e25, 3e24], "f4"), np.array([2e20, 1e20], "f4")
    got = fuse.function([x, y, total], formulas)(a, b, np.float32(2e25))
    wide = reference.evaluate(formulas[:7], {x: a, y: b, total: np.float32(2e25)})
    for have, want in zip(got, wide, strict=False):
        np.testing.assert_allclose(have, want, rtol=1e-5)
    assert np.isinf(got[7])  # as it was written
    assert str(rules.simplify((x * y / total).sum())) == "sum(x * y) / total"


def test_equal_terms_are_not_combined_where_their_number_is_none_of_the_dtype():
    """3e38 * x + 2e38 * x was 5e38 * x, and x / 1e-40 became 1e40 * x: infinite in float32."""
    x = T.fvector("x")
    a = np.array([1e-10, -3e-12], "f4")
    large, small = np.float32(3e38), np.float32(1e-40)
    formulas = [large * x + np.float32(2e38) * x, x / small + 2 * x, x / large + x / np.float32(2e38)]
    got = fuse.function([x], formulas)(a)
    for have, want in zip(got, reference.evaluate(formulas, {x: a}), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)
    assert str(rules.simplify(3 * x - x)) == "2.0 * x"


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_functions_of_large_complex_numbers(dtype):
    """tanh(800) was no number, sqrt(1e308j) half of itself along one axis, and exp(1e4 + 0j) lost its 0."""
    x = T.TensorType(dtype, (False,))("x")
    info = np.finfo(dtype)
    steps = [0.0, -0.0, 1.0, -2.5, 25.0, 90.0, 800.0, -800.0, 1e4, float(info.max) * 0.6, -float(info.max) * 0.6]
    z = np.array([complex(a, b) for a in steps for b in (0.0, -0.0, 1.0, -2.5, 20.0)] + [1j * b for b in steps], dtype)
    functions = "exp exp2 sinh cosh tanh sin cos sqrt arccosh".split()
    f = fuse.function([x], [getattr(T, name)(x) for name in functions], mode="strict")
    for name, got in zip(functions, f(z), strict=True):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(z.astype("complex128") if dtype == "complex64" and name == "sqrt" else z)
        for a, b in ((got.real, want.real), (got.imag, want.imag)):
            np.testing.assert_allclose(a, b, rtol=200 * info.eps, atol=float(info.tiny), err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_are_made_of_tests(mode):
    """The number that a test is counted as lost its cast, and was looked for among the values of the plan."""
    y, n = T.lrow("y"), T.lscalar("n")
    made = T.fill(y, T.cast(n > 2, "int64"))
    f = fuse.function([y, n], [made, abs(made).sum() >= 3], mode=mode)
    for k in (1, 5):
        got, enough = f(np.zeros((1, 3), "int64"), k)
        np.testing.assert_array_equal(got, [[int(k > 2)] * 3])
        assert enough == (k > 2)


@pytest.mark.parametrize("mode", MODES)
def test_loops_without_dear_functions_are_in_no_blocks(mode):
    """A cast of a literal was taken for a dear function where there was one before the loop."""
    x, n = T.dscalar("x"), T.lscalar("n")
    f = fuse.function([x, n], [fuse.loop(lambda s, _: ((s[0] * 2 + 1,), ()), (x,), None, n)[0][0], T.sin(x)], mode=mode)
    assert f(0.5, 40)[0] == 2.0**40 * 1.5 - 1


def test_an_expression_is_no_flag():
    """Where fuse itself asked for its truth it was True, as it is for the user's `x or T.matrix()`: flags were on."""
    x, k = T.dmatrix("x"), T.scalar("k", dtype="bool")
    for make in (lambda: x.sum(axis=0, keepdims=k), lambda: T.cumsum(x, axis=k == 0) if T.all(x) else x,
                 lambda: fuse.jit(lambda a, b: np.sum(a, axis=0, keepdims=b))(np.ones((2, 3)), False)):  # fmt: skip
        with pytest.raises((FuseError, TypeError)):
            make()
    assert (x or k) is x


def test_all_values_of_a_scan_are_held_constant_or_differentiated_by():
    x = fuse.shared(np.array([0.1, 0.2, 0.3]))
    values, _ = fuse.scan(lambda v: v * x, outputs_info=[T.ones(3)], n_steps=3)
    powers = np.array([0.1, 0.2, 0.3]) ** np.arange(1, 4)[:, None]
    held = fuse.grad((values[-1] * x).sum(), x, consider_constant=[values])
    np.testing.assert_allclose(held.eval(), powers[2])
    both = fuse.grad((values[-1] * values[0]).sum(), values)
    np.testing.assert_allclose(both.eval(), [powers[2], np.zeros(3), powers[0]])


def test_gradients_stop_at_the_states_that_a_draw_reaches():
    """A probability that is a state, and does not come from what is differentiated by, leaves all else a gradient."""
    x, streams = T.dvector("x"), fuse.tensor.shared_randomstreams.RandomStreams(3)

    def step(h, c):
        return h * x * streams.binomial(size=(3,), n=1, p=c, dtype="float64"), c * 1.0

    values, _ = fuse.scan(step, outputs_info=[T.ones(3), T.ones(3)], n_steps=3)
    np.testing.assert_allclose(fuse.grad(values[0][-1].sum(), x).eval({x: [1.0, 2.0, 3.0]}), [3.0, 12.0, 27.0])
    reached, _ = fuse.scan(lambda h, c: (step(h, c)[0], c * x), outputs_info=[T.ones(3), T.ones(3)], n_steps=3)
    with pytest.raises(fuse.gradient.NullTypeGradError):
        fuse.grad(reached[0][-1].sum(), x)


@pytest.mark.parametrize("mode", MODES)
def test_positions_of_one_beside_what_broadcasts(mode):
    v, w, i = T.dvector("v"), T.dvector("w"), T.lvector("i")
    f = fuse.function([v, w, i], [v + w, T.arange(v.shape[0])[i] * 1.0], mode=mode)
    got = f(np.ones(1), np.ones(3), [0, -1, 0])
    np.testing.assert_array_equal(got[0], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(got[1], [0.0, 0.0, 0.0])
    with pytest.raises(IndexError):
        f(np.ones(1), np.ones(3), [0, -2, 0])


@pytest.mark.parametrize("mode", MODES)
def test_what_is_filled_has_the_size_of_the_value(mode):
    """Where only the value's size was known, that of what is filled was compared with nothing."""
    x, y = T.dmatrix("x"), T.TensorType("float64", (4, 1))("y")
    f = fuse.function([x, y], T.fill(x, y), mode=mode)
    assert f(np.ones((4, 3)), np.ones((4, 1))).shape == f(np.ones((1, 3)), np.ones((4, 1))).shape == (4, 3)
    with pytest.raises(ShapeError):
        f(np.ones((2, 3)), np.ones((4, 1)))


def test_indices_are_looked_at_where_other_axes_are_empty():
    """An index was checked by the loops over what it selects, which do not run where there is nothing to select."""
    x, i = T.dmatrix("x"), T.lvector("i")
    rows, columns = fuse.function([x, i], x[i] * 2), fuse.function([x, i], T.set_subtensor(x[:, i], 1.0).sum(axis=1))
    steps = fuse.function([x, i], fuse.scan(lambda k: x[:, i].sum() + k, sequences=T.arange(3.0))[0])
    for f, shape, found in ((rows, (2, 0), (1, 0)), (columns, (0, 2), (0,)), (steps, (0, 2), (3,))):
        f(np.ones((2, 3), order="F"), [1])  # the kernel for this layout serves arrays without elements too
        assert f(np.zeros(shape), [-2]).shape == found
        for bad in (2, -3):
            with pytest.raises(IndexError):
                f(np.zeros(shape), [bad])


@pytest.mark.parametrize("of", ["its own transpose", "its own row", "a clone"])
def test_updates_are_not_written_over_what_is_read_elsewhere(of):
    """``get_value(borrow=True)`` hands out the very array that an update in place would write to; a clone has it."""
    start = np.arange(9.0).reshape(3, 3)
    s, x = fuse.shared(start), T.dmatrix("x") if of == "its own transpose" else T.dvector("x")
    clone = s.clone()
    new = s + clone[::-1] if of == "a clone" else s + x
    f = fuse.function([x], updates=[(s, new)], on_unused_input="ignore")
    want = start
    for _ in range(7):  # later calls take another path
        own = s.get_value(borrow=True)
        other = own.T if of == "its own transpose" else own[0]
        want = want + (want.T if of == "its own transpose" else want[0] if of == "its own row" else want[::-1])
        f(other)
        np.testing.assert_array_equal(s.get_value(), want)


def test_calls_that_fail_late_store_nothing_and_others_store_once():
    """A size without a value was met after an update in place, and the call was made again from there."""
    n, m, total = T.lscalar("n"), T.lscalar("m"), fuse.shared(np.zeros(3))
    f = fuse.function([n, m], T.zeros((n // m,)) + 1, updates=[(total, total + 1)])
    for k in range(6):
        assert f(7, 2).shape == (3,) and total.get_value().tolist() == [k + 1.0] * 3
    assert f(-7, -2).shape == (3,) and total.get_value().tolist() == [7.0] * 3
    with pytest.raises(FuseError):
        f(-7, 2)
    assert total.get_value().tolist() == [7.0] * 3
    g = fuse.function([n], T.alloc(T.arange(2.0), n, 2), updates=[(total, total + 1)])
    with pytest.raises(FuseError):
        g(-1)
    assert total.get_value().tolist() == [7.0] * 3


@pytest.mark.parametrize("size", ["divided by nothing", "beyond all memory"])
def test_what_is_updated_in_place_is_updated_once(size):
    """Calls at C level that fell back to Python behind an update in place made it twice."""
    memory.addresses()
    x, total = T.dvector("x"), fuse.shared(np.zeros(3))
    n = x.shape[0]
    many = T.maximum(0, 8 // n) if size == "divided by nothing" else n * 10**18
    f = fuse.function([x], T.zeros((many,)) + 1, updates=[(total, total + 1)])
    before, steps = total.get_value(), set()
    for _ in range(6):  # later calls take another path
        try:
            f(np.zeros(0 if size == "divided by nothing" else 8))
        except ValueError:
            pass
        else:
            assert size == "divided by nothing"
        after = total.get_value()
        steps |= set(after - before)
        before = after
    assert steps == {1.0} if size == "divided by nothing" else steps <= {0.0, 1.0}


def test_what_is_no_array_in_a_container_is_no_address():
    """Sizes, and whether arrays share memory, were asked of whatever the container held: the process died."""
    memory.addresses()
    x, total, other = T.dvector("x"), fuse.shared(np.zeros(3)), fuse.shared(np.zeros(3))
    f = fuse.function([x], x.sum(), updates=[(total, total + 1), (other, other + total)])
    for _ in range(6):
        f(np.ones(2))
    total.container.value = [1.0, 2.0, 3.0]
    with pytest.raises((AttributeError, TypeError)):
        f(np.ones(2))
    total.container.value = np.array(1.0)
    with pytest.raises(IndexError):
        f(np.ones(2))


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_given_arrays_of_another_shape_leave_shared_variables_alone(mode):
    x, total = T.dvector("x"), fuse.shared(0.0)
    f = fuse.function([x], [x * 2, x + 1], updates=[(total, total + x.sum())], mode=mode)
    out = np.full(3, 7.0)
    with pytest.raises(ShapeError):
        f(np.ones(3), out=[out, np.empty(2)])
    assert float(total.get_value()) == 0
    if mode == "FAST_COMPILE":
        assert out.tolist() == [7.0] * 3


def test_shapes_that_an_op_does_not_keep_to():
    """What ``infer_shape`` says is believed only as long as it holds: memory was read beyond its end."""
    cube = T.TensorType("float64", (None, 1, None))

    class Half(fuse.Op):
        __props__ = ()
        itypes, otypes = [cube], [cube]

        def perform(self, node, inputs, outputs):
            outputs[0][0] = inputs[0][: len(inputs[0]) // 2].copy()

        def infer_shape(self, node, shapes):
            return shapes

    x = cube("x")
    with pytest.raises(ShapeError):
        fuse.function([x], Half()(x) * 2 + x)(np.ones((4, 1, 3)))


@pytest.mark.parametrize("end", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_a_condition_that_ends_a_loop_with_the_last_step_of_a_piece(end):
    """Loops of unknown length run in pieces; one more step was done where the condition came at the end of one."""
    limit, n = T.dscalar("limit"), T.lscalar("n")
    counted, _ = fuse.scan(lambda s: (s + 1, fuse.scan_module.until(s + 1 >= limit)),
                           outputs_info=T.constant(0.0, dtype="float64"), n_steps=n)  # fmt: skip
    f = fuse.function([limit, n], [counted, counted.shape[0]])
    for given in ((float(end), 10**6), (1e9, end)):
        values, count = f(*given)
        np.testing.assert_array_equal(values, np.arange(1.0, end + 1))
        assert count == end


def simplified(outputs, values, mode="default"):
    """The values of ``outputs``, loops in them too, after rewriting."""
    return reference.evaluate(tidy.tidied(rules.optimize(outputs, mode), mode), values)


@pytest.mark.parametrize("dtype, least", [("float32", 1e-10), ("float64", 1e-20)])
def test_a_small_constant_is_not_lost_in_a_large_one(dtype, least):
    """1 - y + 1e-10 became (1 + 1e-10) - y, which is 1 - y: the logarithm of 0, which the small one was to prevent."""
    y, x = TensorType(dtype, (None,))("y"), TensorType(dtype, (None,))("x")
    e = np.asarray(least, dtype)
    a, b = np.array([1, 0.5], dtype), np.array([1, 3], dtype)
    outputs = [T.log(1 - y + e), T.sqrt(e + (1 - y**2)), e - y + 1, y - x + e * y, (y + 1) - x + 2, x / 3 + y - x / 3]
    got = simplified(outputs, {y: a, x: b})
    for have, want in zip(got, reference.evaluate(outputs, {y: a, x: b}), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)
    assert rules.simplify(1 + x + 2).args[0].data == 3  # exact ones are one


def test_the_crossentropy_of_a_sure_sigmoid_keeps_its_digits():
    """As softplus(x) - t * x it was 0 from x = 17 on in float32, and 1 % off at 10."""
    x, t = T.fvectors("x", "t")
    a, b = np.array([10, 17, 30, 0, -20, -3, 4], "f4"), np.array([1, 1, 1, 1, 0, 0.5, 0], "f4")
    p = T.nnet.sigmoid(x)
    wide, share = a.astype(float), b.astype(float)
    want = share * np.log1p(np.exp(-wide)) + (1 - share) * np.log1p(np.exp(wide))
    for cost in (-(t * T.log(p) + (1 - t) * T.log(1 - p)), t * T.softplus(-x) + (1 - t) * T.softplus(x)):
        np.testing.assert_allclose(simplified([cost], {x: a, t: b})[0], want, rtol=1e-6)
    slope = fuse.grad(-(t * T.log(p) + (1 - t) * T.log(1 - p)).sum(), x)
    np.testing.assert_allclose(simplified([slope], {x: a, t: b})[0], 1 / (1 + np.exp(-wide)) - share, atol=1e-7)


def test_the_logarithm_of_a_power_of_zero_with_exponent_zero():
    """log(rate**count) became count * log(rate): NaN where nothing was expected and nothing counted."""
    x, k = T.dvectors("x", "k")
    cost = T.log(T.maximum(x, 0) ** k)
    values = {x: np.array([0.0, -1.0, 2.0, 3.0]), k: np.array([0.0, 0.0, 0.0, 2.0])}
    value, by_x, by_k = simplified([cost, *fuse.grad(cost.sum(), [x, k])], values)
    np.testing.assert_allclose(value, [0, 0, 0, 2 * np.log(3)])
    np.testing.assert_allclose(by_x, [0, 0, 0, 2 / 3])
    np.testing.assert_allclose(by_k, [0, 0, np.log(2), np.log(3)])


def test_the_logarithm_of_a_sum_of_shifted_exponentials_does_not_cancel():
    """log(sum(exp(x - max(x)))) became logsumexp(x) - max(x); with the maximum added it is logsumexp(x)."""
    x = T.fmatrix("x")
    a = np.array([[10000, 10000, 9999], [3, -1, 2]], "f4")
    for keep in (False, True):
        largest = T.max(x, axis=1, keepdims=True)
        log = T.log(T.sum(T.exp(x - largest), axis=1, keepdims=keep))
        want = np.log(np.exp(a - a.max(1, keepdims=True)).sum(1, keepdims=keep))
        np.testing.assert_allclose(simplified([log], {x: a})[0], want, rtol=1e-6)
        added = largest if keep else T.max(x, axis=1)
        for whole in (log + added, added + log, log - (-added)):
            found = rules.simplify(whole if keep else whole.dimshuffle(0, "x"))
            assert found is rules.simplify(T.logsumexp(x, axis=1, keepdims=True))
        assert rules.simplify(x - (log if keep else log.dimshuffle(0, "x")) - largest).op.name == "log_softmax"


def test_factors_are_not_multiplied_sooner_than_large_numbers_let_them():
    """(1e-30 * a * b) * (1e30 * c) became a * b * c, which is infinite in float32 where nothing written is."""
    a, b, c = T.fvectors("abc")
    values = {a: np.float32([1e25]), b: np.float32([1e25]), c: np.float32([1e-20])}
    product = (np.float32(1e-30) * a * b) * (np.float32(1e30) * c)
    np.testing.assert_allclose(simplified([product], values)[0], 1e30, rtol=1e-5)
    assert rules.simplify((2 * a * b) * (3 * c)) is rules.simplify((np.float32(6) * a * b) * c)


def test_slopes_where_functions_are_large_or_saturate():
    """Of arcsinh 0 for 1e200, of elu 0 from -17 on in float32: a square overflowed, a sum cancelled."""
    x = T.fvector("x")
    at = np.float32([-30, -10, 0, 2, 1e25])
    elu, arcsinh = simplified([fuse.grad(f(x).sum(), x) for f in (T.nnet.elu, T.arcsinh)], {x: at})
    np.testing.assert_allclose(elu, np.exp(np.minimum(at.astype(float), 0)), rtol=1e-6)
    np.testing.assert_allclose(arcsinh, 1 / np.hypot(at.astype(float), 1), rtol=1e-6)
    again = fuse.grad(fuse.grad(T.nnet.elu(x).sum(), x).sum(), x)
    np.testing.assert_allclose(reference.evaluate([again], {x: np.float32([-1, 800])})[0], [np.exp(-1), 0], rtol=1e-6)
    p, t = T.dmatrices("p", "t")
    slope = fuse.grad(T.nnet.categorical_crossentropy(T.nnet.softmax(p), t).sum(), t)
    [found] = simplified([slope], {p: np.array([[1.0, 2.0]]), t: np.array([[1.0, 0.0]])})
    np.testing.assert_allclose(found, [[np.log1p(np.e), np.log1p(1 / np.e)]])  # a target of 0 has a slope too
    v = T.dvector("v")
    for std in (np.nanstd(v), T.std(v)):
        np.testing.assert_array_equal(simplified([fuse.grad(std, v)], {v: np.ones(3)})[0], 0)


def test_constants_to_differentiate_by_are_not_folded():
    """Where something else in the cost was made stable, constants were folded: no gradient reached them."""
    x, two, one = T.dscalar("x"), T.constant(2.0), T.constant(1.0)
    slopes = fuse.grad(T.log(one + T.exp(x)) + T.exp(two) * x, [two, one])
    np.testing.assert_allclose(simplified(slopes, {x: 1.0}), [np.exp(2), 1 / (1 + np.e)])


def test_what_a_stable_form_does_without_has_a_slope_of_zero():
    """x**0 became 1, and softmax(m - r) softmax(m): the gradient by x or r was refused as disconnected."""
    x, s = T.dvector("x"), T.dscalar("s")
    cost = T.log(1 + T.exp(s)) + (x**0).sum()
    by_s, by_x = simplified(fuse.grad(cost, [s, x]), {s: 0.0, x: np.ones(2)})
    assert by_s == 0.5 and by_x.tolist() == [0, 0]
    assert simplified([fuse.Rop(cost, x, T.ones_like(x))], {s: 0.0, x: np.ones(2)})[0] == 0
    rows = fuse.gradient.jacobian(T.log(1 + T.exp(s)) + T.stack([x[0] ** 0]), x)
    assert simplified([rows], {s: 0.0, x: np.ones(2)})[0].tolist() == [[0, 0]]


def test_magnitudes_of_complex_numbers_are_multiplied_one_by_one():
    """abs(x * y) is another number in the last place: in mode strict not a bit may change."""
    x, y = T.zvector("x"), T.zvector("y")
    for product in (abs(x) * abs(y), abs(x) / abs(y)):
        assert rules.simplify(product, "strict") is product


@pytest.mark.parametrize("sides", [1, 3])
def test_sums_over_steps_have_the_shape_of_the_state(sides):
    """What is added in each step was summed without the zeros that it starts from, to which it broadcasts."""
    m = T.dmatrix("m")
    a = np.arange(12.0).reshape(4, 3)[:, :sides]
    sums, _ = fuse.scan(lambda row, total: total + row, sequences=[m], outputs_info=[T.zeros(3)])
    products, _ = fuse.scan(lambda row, total: total + T.outer(row, row), sequences=[m], outputs_info=[T.zeros((3, 3))])
    got = simplified([sums[-1], products[-1]], {m: a})
    np.testing.assert_array_equal(got[0], np.zeros(3) + a.sum(0))
    np.testing.assert_array_equal(got[1], np.zeros((3, 3)) + a.T @ a)


def test_zeros_of_both_signs_are_no_constant_sequence():
    """A sequence of 0.0 and -0.0 was taken to be 0.0 in every step."""
    values, _ = fuse.scan(lambda v: 1 / v, sequences=[T.constant(np.array([0.0, -0.0]))])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(simplified([values], {}, "strict")[0], [np.inf, -np.inf])


def test_softmax_of_nothing_is_nothing():
    x = T.dmatrix("x")
    for out in (T.exp(x) / T.sum(T.exp(x), axis=1, keepdims=True), T.nnet.logsoftmax(x)):
        assert reference.evaluate(rules.stabilize([out]), {x: np.zeros((2, 0))})[0].shape == (2, 0)


def test_large_arrays_met_before_change_no_bits_of_small_ones():
    x = T.dmatrix("x")
    rng = np.random.default_rng(4)
    smalls = [rng.standard_normal((n, 10)) for n in range(20, 200)]
    firsts = list(map(fuse.function([x], x.std()), smalls))
    f = fuse.function([x], x.std())
    f(rng.standard_normal((300, 1000)))
    assert list(map(f, smalls)) == firsts


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_second_derivatives_where_the_first_is_a_case_of_its_own(mode):
    """The Hessian of logaddexp between equal numbers was 0, and so were the mixed ones of x**0 and 0 * log(y)."""
    x, y = T.dscalars("x", "y")
    log2 = np.log(2.0)
    cases = [
        (T.logaddexp, (0.5, 0.5), [0.25, -0.25, -0.25, 0.25]), (T.logaddexp, (np.inf, np.inf), [0, 0, 0, 0]),
        (T.pow, (2.0, 0.0), [0, 0.5, 0.5, log2**2]), (T.pow, (0.0, 0.0), [0] * 4), (T.pow, (0.0, 3.0), [0] * 4),
        (T.xlogy, (0.0, 2.0), [0, 0.5, 0.5, 0]), (T.xlogy, (0.0, 0.0), [0, 0, 0, 0]),
        (T.xlog1py, (0.0, 1.0), [0, 0.5, 0.5, 0]), (T.hypot, (0.0, 0.0), [0, 0, 0, 0]),
    ]  # fmt: skip
    functions = list(dict.fromkeys(f for f, _, _ in cases))
    hessians = [[T.grad(slope, v) for slope in T.grad(f(x, y), [x, y]) for v in (x, y)] for f in functions]
    bends = [T.grad(x**y, x), T.grad(T.grad(T.sinc(x), x), x), T.grad(T.grad(T.grad(x**y, x), x), x)]
    products = T.cumprod(T.stack([x, y, x]))[2]
    bends += [T.grad(np.fmod(x, y), x), T.grad(T.grad(products, x), x)]
    f = fuse.function([x, y], [h for four in hessians for h in four] + bends, mode=mode)
    for function, at, wanted in cases:
        place = 4 * functions.index(function)
        np.testing.assert_allclose(f(*at)[place : place + 4], wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(f(1e-9, 1.0)[-4], -(np.pi**2) / 3)  # cancelled
    assert f(1e-310, 0.0)[-5] == 0  # 0 times infinity
    assert [float(v) for v in f(0.0, 1.0)[-3:]] == [0, 1, 2]  # NaN, and 0 and 1 where zeros have cases of their own


def test_a_number_computed_in_place_from_a_size_that_the_same_kernel_is_read_for():
    """A product with the number of different values was put into the kernel that gives these: no function."""
    x, v, a = T.dmatrix("x"), T.dvector("v"), T.dscalar("a")
    total = (T.maximum(v, T.clip(x, -5.0, 5.0)) * a).sum()
    f = fuse.function([x, v, a], T.fill(T.unique(T.round(x)), total).sum())
    values = np.sin(np.arange(30.0)[None])
    want = np.maximum(np.arange(30.0), values).sum() * 2 * len(np.unique(values.round()))
    np.testing.assert_allclose(f(values, np.arange(30.0), 2.0), want)


def test_a_size_is_known_before_the_kernel_of_what_has_it():
    """A grid of half the rows: its size and its step come from one number, whose kernel was merged with the grid's."""
    x = T.dmatrix("x")
    n = T.cast(T.cast(x.shape[0] / 2.0, "int64"), "float64")
    f = fuse.function([x], [T.arange(n, dtype="float64") * (2 / (n - 1)) - 1, x[: T.cast(n, "int64")] * T.exp(-n) + n])
    values = np.arange(14.0).reshape(7, 2)
    grid, part = f(values)
    np.testing.assert_allclose(grid, [-1, 0, 1])
    np.testing.assert_allclose(part, values[:3] * np.exp(-3) + 3)
