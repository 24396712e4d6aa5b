"""Calls of compiled functions with values that are wrong, odd, shared, aliased or badly laid out."""
from __future__ import annotations

import array
import copy
import decimal
import gc
import os
import pickle
import warnings

import numpy as np
import pytest
from in_threads import in_threads

import fuse
import fuse.tensor as T
from fuse.errors import DTypeError, FuseError, FuseIndexError, FuseTypeError, ShapeError
from fuse.types import TensorType

A = np.arange(6.0).reshape(2, 3)


def double(dtype, ndim, name="the_input", **options):
    x = TensorType(dtype, (None,) * ndim)(name)
    return fuse.function([x], x + x, **options)


@pytest.fixture(scope="module")
def functions():
    cases = [("float64", 0), ("float64", 1), ("float64", 2), ("float32", 1), ("float16", 1), ("int32", 0), ("int64", 1),
             ("uint8", 1), ("complex64", 1), ("bool", 1), ("float32", 0), ("uint64", 0), ("bool", 0), ("complex128", 0)]
    return {case: double(*case) for case in cases}


class Plain(np.ndarray):
    """A subclass of a user."""


class Wild(np.ndarray):
    """A subclass whose arithmetic and comparisons are not numbers."""

    def __add__(self, other):
        return "nonsense"

    def __array_ufunc__(self, *args, **kwargs):
        raise RuntimeError("arithmetic on the subclass itself")


class Unwilling:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array today")


RECORDS = np.zeros(5, dtype=[("a", "i1"), ("b", "f8"), ("c", "c8"), ("d", "f4", (2,))])
RECORDS["b"], RECORDS["c"], RECORDS["d"] = np.arange(5), 1j * np.arange(5), np.arange(10).reshape(5, 2)

REFUSED = [
    (("float64", 2), np.zeros(3), ShapeError),
    (("float64", 2), np.zeros((1, 2, 3)), ShapeError),
    (("float64", 2), np.ma.array(A, mask=A > 2), DTypeError),
    (("float64", 2), A.astype(object), DTypeError),
    (("float64", 2), np.array([["a", "b"]]), DTypeError),
    (("float64", 2), None, FuseTypeError),
    (("float64", 2), {}, DTypeError),
    (("float64", 2), {1, 2}, DTypeError),
    (("float64", 2), "abc", DTypeError),
    (("float64", 2), b"abc", DTypeError),
    (("float64", 2), print, DTypeError),
    (("float64", 2), [[1, 2], [3]], DTypeError),
    (("float64", 2), A.astype(np.longdouble), DTypeError),
    (("float64", 2), A + 0j, DTypeError),
    (("float64", 2), A.astype("datetime64[s]"), DTypeError),
    (("float64", 2), A.astype("timedelta64[s]"), DTypeError),
    (("float64", 1), RECORDS, DTypeError),
    (("float64", 1), (q for q in [1.0, 2.0]), DTypeError),
    (("float64", 1), Unwilling(), FuseError),
    (("float64", 1), T.dvector("v"), DTypeError),
    (("float64", 0), 10**400, DTypeError),
    (("float64", 0), np.ma.masked, DTypeError),
    (("float64", 0), 1j, DTypeError),
    (("float64", 0), "1", DTypeError),
    (("float64", 0), np.zeros(1), ShapeError),
    (("float64", 0), decimal.Decimal("1.5"), DTypeError),
    (("float32", 0), 1 + 0j, DTypeError),
    (("int32", 0), 2**31, DTypeError),
    (("int32", 0), -(2**31) - 1, DTypeError),
    (("int32", 0), 10**30, DTypeError),
    (("int32", 0), 3.5, DTypeError),
    (("int32", 0), float("nan"), DTypeError),
    (("int32", 0), np.int64(2**40), DTypeError),
    (("int32", 0), np.float32(2.5), DTypeError),
    (("int32", 0), 2.0**63, DTypeError),
    (("uint64", 0), 2.0**64, DTypeError),
    (("int32", 0), np.complex64(1), DTypeError),
    (("int32", 0), np.array([3]), ShapeError),
    (("uint64", 0), -1, DTypeError),
    (("float16", 1), np.array([1e6], "f4"), DTypeError),
    (("float16", 1), [1e6], DTypeError),
    (("bool", 1), [0.5], DTypeError),
    (("bool", 1), np.array([0, 1]), DTypeError),
    (("bool", 1), [0, 2], DTypeError),
    (("bool", 1), [-1], DTypeError),
    (("bool", 1), [1j], DTypeError),
    (("int64", 1), np.array([np.nan]), DTypeError),
    (("int64", 1), [float("nan")], DTypeError),
    (("int64", 1), np.array([1.0]), DTypeError),
    (("int64", 1), np.array([2**63], "u8"), DTypeError),
    (("int64", 1), np.array([2**64 - 1], "u8"), DTypeError),
    (("uint8", 1), [-1], DTypeError),
    (("uint8", 1), [256], DTypeError),
    (("uint8", 1), np.array([-1], "i1"), DTypeError),
    (("float32", 1), np.array([0.1]), DTypeError),
]


WHOLE = [
    (3.0, "int32"), (np.float64(-3.0), "int8"), ([1.0, 2.0], "int64"), (np.float64(0.5), "float32"), (1, "bool"),
    ([0, 1.0], "bool"), (np.int8(0), "bool"),
]


@pytest.mark.parametrize("value, dtype", WHOLE)
def test_numbers_and_lists_that_lose_nothing_are_taken(value, dtype):
    taken = fuse.TensorType(dtype, (None,) * np.ndim(value)).filter(value)
    assert taken.dtype == dtype and np.array_equal(taken, value)
    with pytest.raises(DTypeError):
        fuse.TensorType(dtype, (None,) * np.ndim(value)).filter(np.asarray(value, "float64"))


@pytest.mark.parametrize("case, value, kind", REFUSED, ids=[f"{c[0]}-{c[1]}-{n}" for n, (c, *_) in enumerate(REFUSED)])
def test_values_that_do_not_fit_are_refused_by_name(functions, case, value, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind, match="the_input") as caught:
            functions[case](value)
    assert isinstance(caught.value, FuseError)
    assert "input 0" in str(caught.value)


def unaligned(values):
    values = np.asarray(values)
    raw = np.zeros(values.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(values.tobytes(), np.uint8)
    return np.frombuffer(raw.data, values.dtype, offset=1).reshape(values.shape)


def read_only(values):
    values = np.array(values)
    values.flags.writeable = False
    return values


TAKEN = [
    (("float64", 2), np.arange(6).reshape(2, 3)),
    (("float64", 2), A.astype(">f8")),
    (("float64", 2), A.astype("f4")),
    (("float64", 2), A.view(Plain)),
    (("float64", 2), A.view(np.matrix)),
    (("float64", 2), [[1, 2], [3, 4]]),
    (("float64", 2), ((1, 2.5), (3, 4))),
    (("float64", 2), np.broadcast_to(np.arange(3.0), (2, 3))),
    (("float64", 2), np.broadcast_to(np.float64(7), (2, 3))),
    (("float64", 2), np.asfortranarray(A)),
    (("float64", 2), A[::-1, ::-1]),
    (("float64", 2), A.T),
    (("float64", 2), A[:, ::2]),
    (("float64", 2), np.zeros((0, 3))),
    (("float64", 2), np.zeros((3, 0))[::-1]),
    (("float64", 2), read_only(A)),
    (("float64", 2), unaligned(A)),
    (("float64", 2), unaligned(A).T),
    (("float64", 2), np.lib.stride_tricks.as_strided(np.arange(5.0), (3, 3), (8, 8))),
    (("float64", 1), RECORDS["b"]),
    (("float64", 1), RECORDS["b"][::-2]),
    (("complex64", 1), RECORDS["c"]),
    (("float32", 1), RECORDS["d"][:, 1]),
    (("float64", 1), unaligned(np.arange(5.0))),
    (("float64", 1), memoryview(np.arange(4.0))),
    (("float64", 1), array.array("d", [1, 2, 3])),
    (("float64", 1), range(3)),
    (("float64", 1), []),
    (("int64", 1), []),
    (("float16", 1), [1.5, 2.0]),
    (("float16", 1), [float("inf")]),
    (("uint8", 1), [255, 0]),
    (("int64", 1), np.array([5], "u8")),
    (("bool", 1), [True, False]),
    (("float64", 0), np.float32(3)),
    (("float64", 0), np.array(3.0)),
    (("float64", 0), 3),
    (("float64", 0), True),
    (("float64", 0), 2**53 - 1),
    (("float64", 0), float("nan")),
    (("float32", 0), 0.5),
    (("int32", 0), np.uint8(3)),
    (("int32", 0), np.bool_(True)),
    (("int32", 0), True),
    (("int32", 0), np.array(-3, ">i8")),
    (("int32", 0), 2**31 - 1),
    (("uint64", 0), 2**64 - 1),
    (("complex128", 0), 1 + 2j),
    (("complex128", 0), 2),
    (("bool", 0), np.bool_(True)),
]


@pytest.mark.parametrize("case, value", TAKEN, ids=[f"{c[0]}-{c[1]}-{n}" for n, (c, _) in enumerate(TAKEN)])
def test_values_that_fit_are_taken_in_any_form(functions, case, value):
    before = copy.deepcopy(value) if not isinstance(value, memoryview) else None
    got = functions[case](value)
    plain = np.asarray(value).astype(case[0])
    with np.errstate(over="ignore"):
        want = np.add(plain, plain)
    assert type(got) is np.ndarray
    assert got.dtype == want.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, want)
    assert not np.shares_memory(got, value) if isinstance(value, np.ndarray) else True
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(np.asarray(value), np.asarray(before))


def test_arithmetic_of_subclasses_is_not_called(functions):
    np.testing.assert_array_equal(functions["float64", 2](np.array(A).view(Wild)), A + A)


@pytest.mark.parametrize("seed", range(3))
def test_every_numpy_scalar_for_every_scalar_input(seed):
    """Refused, or the same number."""
    dtypes = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
              "float64", "complex64", "complex128"]
    for want in dtypes[seed::3]:
        f = fuse.function([x := TensorType(want, ())("x")], T.switch(True, x, x))
        for have in dtypes:
            for number in (0, 1, 3, -1, 100, 200, 2**31, 2**63 - 1, 0.5):
                with np.errstate(all="ignore"):
                    value = np.array(number).astype(have)[()]
                try:
                    got = f(value)
                except FuseError:
                    continue
                assert got.dtype == want
                assert got == np.array(value).astype(want), (want, have, number)
                if np.dtype(want).kind in "iu" and np.dtype(have).kind in "biu":
                    assert int(got) == int(value), (want, have, number)


# ---------------------------------------------------------------- memory
def test_inputs_that_alias_each_other():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], [x + y, x * y, x])
    base = np.arange(10.0)
    first = base[:5]
    for a, b in [(first, base[5:]), (first, base[2:7]), (first, first[::-1]), (base, base), (first, first)]:
        want = [a + b, a * b, a.copy()]
        got = f(a, b)
        for have, need in zip(got, want, strict=True):
            np.testing.assert_array_equal(have, need)
            assert not np.shares_memory(have, base)
    np.testing.assert_array_equal(base, np.arange(10.0))


def test_outputs_are_separate_arrays():
    x = T.dmatrix("x")
    s = fuse.shared(np.ones((2, 3)))
    c = T.constant(np.ones((2, 3)))
    outs = [x, x, x.T, x[0], x[::-1], x.reshape((3, 2)), s, s, s.T, c, c[0], T.broadcast_to(x[0], (4, 3)), x.flatten()]
    f = fuse.function([x], outs, updates=[(s, s + 0)])
    got = [f(A), f(A)]
    every = [*got[0], *got[1], A, s.get_value(borrow=True), c.data]
    for i, a in enumerate(every):
        assert all(not np.shares_memory(a, b) for b in every[:i]), i
    for a in got[0]:
        a[...] = -1
    for a, b in zip(f(A), got[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(s.get_value(), np.ones((2, 3)))


def test_results_of_earlier_calls_stay():
    """Kept memory between calls is never that of a result."""
    x = T.dmatrix("x")
    f = fuse.function([x], [T.dot(T.exp(x), x.T), T.nnet.softmax(x).sum(axis=0)])
    first = f(A)
    kept = [a.copy() for a in first]
    for k in range(4):
        f(A + k)
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_swapped_and_crossed_updates():
    a, b = fuse.shared(np.arange(3.0)), fuse.shared(-np.arange(3.0))
    f = fuse.function([], [a, b], updates=[(a, b), (b, a)])
    f()
    np.testing.assert_array_equal(a.get_value(), -np.arange(3.0))
    np.testing.assert_array_equal(b.get_value(), np.arange(3.0))
    assert not np.shares_memory(a.get_value(borrow=True), b.get_value(borrow=True))
    c, d = fuse.shared(np.ones(4)), fuse.shared(np.zeros(4))
    g = fuse.function([], c.sum(), updates=[(c, c * 2), (d, c[::-1] + d)])
    assert float(g()) == 4.0
    np.testing.assert_array_equal(d.get_value(), np.ones(4))
    np.testing.assert_array_equal(c.get_value(), np.full(4, 2.0))


@pytest.mark.parametrize("fault", ["index", "shape", "late shape", "dtype", "empty", "solve"])
def test_a_failing_call_leaves_shared_variables_as_they_were(fault):
    s = fuse.shared(np.arange(4.0))
    n = fuse.shared(0)
    x, k = T.dvector("x"), T.lvector("k")
    late = {
        "index": s[k].sum(), "shape": (s + x).sum(), "late shape": T.dot(T.exp(s), x), "dtype": x.sum(),
        "empty": x.max(), "solve": T.nlinalg.matrix_inverse(T.outer(x, x))[0, 0],
    }[fault]
    f = fuse.function([x, k], late, updates=[(s, s * 2 + 1), (n, n + 1)], on_unused_input="ignore")
    good = np.arange(4.0)
    bad_x = {"shape": np.zeros(3), "late shape": np.zeros(3), "dtype": np.zeros(3, complex), "empty": np.zeros(0),
             "solve": np.zeros(4)}.get(fault, good)
    before = s.get_value()
    for _ in range(2):
        with pytest.raises(FuseError):
            f(bad_x, np.array([0, 99 if fault == "index" else 0]))
        np.testing.assert_array_equal(s.get_value(), before)
        assert int(n.get_value()) == 0
    if fault != "solve":
        f(good, np.array([0]))
        np.testing.assert_array_equal(s.get_value(), before * 2 + 1)


# ---------------------------------------------------------------- who calls
def program():
    x = T.dmatrix("x")
    p = T.nnet.softmax(T.tanh(T.dot(x, x.T)))
    y = T.exp(p) + p.sum(axis=0)
    return fuse.function([x], [y, T.dot(y, y).sum(axis=1), y.max()])


def test_eight_threads_at_once():
    f = program()
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(n, 4)) for n in (3, 30, 7, 90, 3, 1, 50, 8)]
    want = [f(v) for v in values]
    fresh = program()  # threads also meet the compilation of layouts
    wrong = []

    def work(i):
        for _ in range(40):
            got = fresh(values[i] if i % 2 else np.asfortranarray(values[i]))
            if not all(np.allclose(a, b, rtol=1e-12) for a, b in zip(got, want[i], strict=True)):
                wrong.append(i)

    in_threads(work, range(8))
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_child():
    f = program()
    want = f(A)
    other = fuse.function([x := T.dvector("x")], T.cosh(x) * 3)  # compiled in the child
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            same = all(np.array_equal(a, b) for a, b in zip(f(A), want, strict=True))
            status = 0 if same and np.allclose(other(np.ones(3)), np.cosh(1) * 3) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for a, b in zip(f(A), want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_recursion():
    """A function called while it runs: from __array__ of its own argument."""
    x, y = T.dvector("x"), T.dvector("y")
    f = fuse.function([x, y], [T.exp(x) + y, T.dot(x, y)])

    class Again:
        def __init__(self, depth):
            self.depth = depth

        def __array__(self, dtype=None, copy=None):
            return np.ones(3) if not self.depth else f(np.zeros(3), Again(self.depth - 1))[0]

    np.testing.assert_array_equal(f(np.zeros(3), Again(5))[0], np.full(3, 7.0))


def test_pickled_functions():
    f = program()
    g = pickle.loads(pickle.dumps(f))
    for a, b in zip(f(A), g(A), strict=True):
        np.testing.assert_array_equal(a, b)
    s = fuse.shared(np.arange(3.0), name="s")
    h = fuse.function([], s * 1, updates=[(s, s + 1)])
    h()
    again = pickle.loads(pickle.dumps(h))
    np.testing.assert_array_equal(again(), np.arange(3.0) + 1)
    again()
    np.testing.assert_array_equal(s.get_value(), np.arange(3.0) + 1)


def test_calls_with_many_layouts_and_sizes():
    x, y = T.dmatrix("x"), T.fmatrix("y")
    f = fuse.function([x, y], [(x * y).sum(axis=0), x + y, (x - y).max(axis=1)])
    rng = np.random.default_rng(1)
    for n, m in [(2, 3), (1, 5), (5, 1), (1, 1), (40, 17), (3, 300)]:
        big = rng.normal(size=(2 * n, 2 * m))
        for a in (big[::2, ::2], big[:n, :m], big.T[:m, :n].T, big[::-2, ::-2], big[n - 1::-1, :m]):
            for b in (a.astype("f4"), np.asfortranarray(a.astype("f4"))):
                got = f(a, b)
                want = [(a * b).sum(axis=0), a + b, (a - b).max(axis=1)]
                for have, need in zip(got, want, strict=True):
                    np.testing.assert_allclose(have, need, rtol=1e-12, atol=1e-12)


def test_sizes_that_do_not_go_together_say_so():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], T.exp(x) * y)
    np.testing.assert_array_equal(f([0.0], [1.0, 2.0]), [1, 2])
    np.testing.assert_array_equal(f(np.zeros(2), [3.0]), [3, 3])
    assert f(np.zeros(0), [3.0]).shape == (0,)
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
            f(np.zeros(2), np.zeros(3))


def test_indices_out_of_bounds_say_so():
    x, k = T.dvector("x"), T.lvector("k")
    f = fuse.function([x, k], T.exp(x[k]) + 1)
    for bad in ([3], [-4], [0, 2**62], [-(2**63)]):
        with pytest.raises(FuseIndexError):
            f(np.zeros(3), bad)
    np.testing.assert_array_equal(f(np.zeros(3), [-3, 2]), [2, 2])


def test_indices_that_no_int64_holds_are_beyond_every_end():
    """They became negative ones."""
    x, i = T.dvector(), T.TensorType("uint64", ())()
    at, parts = fuse.function([x, i], 2 * x[i]), fuse.function([x, i], [x[:i], x[i:], T.set_subtensor(x[i:], 0.0)])
    value, far = np.arange(3.0), np.uint64(2**64 - 1)
    for have, want in zip(parts(value, far), (value, value[:0], value), strict=True):
        np.testing.assert_array_equal(have, want)
    with pytest.raises(IndexError, match="out of bounds for axis 0 with size 3"):
        at(value, far)
    assert at(value, np.uint64(2)) == 4


def test_more_dimensions_than_arrays_have_say_so():
    with pytest.raises(fuse.errors.ShapeError, match="an array has 64 dimensions at most, not 65"):
        T.dvector().dimshuffle(*["x"] * 64, 0)


def test_steps_of_ranges_that_are_0_say_so():
    step = T.lscalar("step")
    f = fuse.function([step], T.arange(0, 10, step).sum())
    assert f(3) == 18
    with pytest.raises(FuseError, match="the step of arange is 0"):
        f(0)


def test_functions_do_not_keep_their_inputs_alive():
    import weakref

    f = double("float64", 2)
    value = np.ones((4, 4)).view(Plain)
    ghost = weakref.ref(value)
    f(value)
    del value
    gc.collect()
    assert ghost() is None


def test_a_call_that_makes_kernels_keeps_no_arrays_in_cycles():
    """They stayed until Python's collector came, the large result of a first call among them."""
    import weakref

    m = T.dmatrix()
    f = fuse.function([m], T.tanh(m) + m.sum(1, keepdims=True))
    gc.collect()
    gc.disable()
    try:
        for rows in (10, 5000):
            value = np.ones((rows, 100))
            result = f(value)
            ghosts = weakref.ref(value), weakref.ref(result)
            del value, result
            assert all(ghost() is None for ghost in ghosts)
    finally:
        gc.enable()


def test_where_numpy_raises_or_warns_of_overflow_numbers_are_computed():
    x, n = T.dvector("x"), T.iscalar("n")
    f = fuse.function([x, n], [T.fft.rfft(x.reshape((1, -1))), T.exp(x) / x, n + 1])
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(f([np.inf, -np.inf], np.float16(3))[0]).any()


def test_arrays_of_more_than_two_to_the_31_elements():
    x, i = T.bvector("x"), T.lscalar("i")
    big = np.broadcast_to(np.int8(3), (2**31 + 7,))  # one byte of memory
    f = fuse.function([x, i], [x[i], x[-5:] * 2, x.shape[0], x[2**31:].sum(), x[:: 2**24].sum()])
    got = f(big, 2**31 + 3)
    for have, want in zip(got, [3, np.full(5, 6, "i1"), 2**31 + 7, 21, 3 * 129], strict=True):
        np.testing.assert_array_equal(have, want)
    with pytest.raises(FuseIndexError, match="2147483655"):
        f(big, 2**31 + 7)


@pytest.mark.parametrize("mode", ["strict", "default"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_integers_at_their_limits(dtype, mode):
    """In whole formulas, with numbers in them that rules know: as NumPy has them."""
    x = TensorType(dtype, (None,))("x")
    info, one = np.iinfo(dtype), np.dtype(dtype).type
    values = np.array([info.min, info.min + 1, 0, 1, 2, 7, info.max - 1, info.max], dtype)
    formulas = [
        lambda v, k: v // k(-1 if info.min else 1), lambda v, k: v % k(-1 if info.min else 1), lambda v, k: v // k(0),
        lambda v, k: v % k(0), lambda v, k: v // k(3), lambda v, k: v % k(3), lambda v, k: abs(v),
        lambda v, k: v * k(2) // k(2), lambda v, k: v + k(1) - k(1), lambda v, k: (v + k(1)) > v, lambda v, k: v * v,
        lambda v, k: v ** k(3), lambda v, k: (v << k(info.bits - 1)) >> k(info.bits - 1),
        lambda v, k: v << k(info.bits), lambda v, k: v >> k(info.bits),
        lambda v, k: v * v >= k(0), lambda v, k: k(0) - (-v), lambda v, k: ~v + k(1), lambda v, k: v - v,
        lambda v, k: v ^ v,
        lambda v, k: v // v, lambda v, k: v % v, lambda v, k: (v // k(2)) * k(2) + v % k(2),
    ]
    got = fuse.function([x], [form(x, lambda n: T.constant(n, dtype=dtype)) for form in formulas], mode=mode)(values)
    with np.errstate(all="ignore"):
        for number, (have, form) in enumerate(zip(got, formulas, strict=True)):
            np.testing.assert_array_equal(have, form(values, one), err_msg=str(number))
