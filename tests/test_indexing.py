"""Indexing: every kind of index against NumPy, storing, selecting, gradients, and what the errors say."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import FuseIndexError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import substitute
from fuse.frontend.shape import shape_of
from fuse.frontend.slices import slice_length
from fuse.reference import evaluate

X = np.arange(60.0).reshape(3, 4, 5)

# Index kinds for an axis of size 3, 4 or 5 in the place they stand; each is also tried with symbolic parts.
CASES = [
    np.s_[0], np.s_[-1], np.s_[1:], np.s_[:-1], np.s_[::2], np.s_[::-1], np.s_[-100:100], np.s_[2:0], np.s_[3:0:-2],
    np.s_[100::-1], np.s_[:-100:-1], np.s_[...], np.s_[()], np.s_[None], np.s_[..., None], np.s_[0, None, :, None, -1],
    np.s_[..., 0], np.s_[0, ..., 0], np.s_[:, 1], np.s_[1:3, 0], np.s_[1, 2, 3], np.s_[:, ::-1, 1:4:2],
    np.s_[[0, 2]], np.s_[[0, 0, -1]], np.s_[[]], np.s_[[[0, 1], [2, 0]]], np.s_[:, [1, 3]], np.s_[..., [0, -1]],
    np.s_[[0, 1], [2, 3]], np.s_[[0, 1], [2, 3], [4, 0]], np.s_[[[0], [1]], [2, 3]], np.s_[[0, 1], :, [3, 4]],
    np.s_[:, [0, 1], [3, 4]], np.s_[0, :, [1, 2]], np.s_[0, [1, 2]], np.s_[:, 0, [1, 2]], np.s_[[1, 2], 0],
    np.s_[1:, [0, 3]], np.s_[[0, 2], 1:], np.s_[[0, 2], 1:, 0], np.s_[::-1, [0, 3], ::2], np.s_[[2], ..., [1]],
    np.s_[None, [0, 2]], np.s_[[0, 2], None], np.s_[:, None, [0, 2]], np.s_[[0, 2], None, [1, 3]],
    np.s_[[0, 1], None, 0],
    np.s_[X > 30], np.s_[X[..., 0] > 10], np.s_[:, X[0] > 10],
    np.s_[np.array([True, False, True])], np.s_[:, [True, False, True, True]], np.s_[np.array([True, False, True]), 1:],
    np.s_[[True, False, True], [0, 3]], np.s_[True], np.s_[False], np.s_[0, True], np.s_[:, True, [1, 2]],
    np.s_[np.zeros((0, 2), int)], np.s_[np.int8(1)], np.s_[np.array(2)], np.s_[np.array([1, 2], np.uint8)],
    np.s_[np.array([[1]]), np.array([0, 1]), 2], np.s_[(1, 2), ],
]


def named(index):
    return repr(index).replace("\n", "")[:60]


def symbolic(index, values):
    """``index`` with its ints, bounds and arrays as input variables; ``values`` collects what these stand for."""
    if isinstance(index, tuple):
        return tuple([symbolic(i, values) for i in index])
    if isinstance(index, slice):
        return slice(*[symbolic(v, values) for v in (index.start, index.stop, index.step)])
    if index is None or index is Ellipsis:
        return index
    array = np.asarray(index, dtype="int64" if np.size(index) == 0 else None)
    variable = T.tensor(array.dtype, shape=(None,) * array.ndim)
    values[variable] = array
    return variable


@pytest.mark.parametrize("index", CASES, ids=named)
@pytest.mark.parametrize("static", [True, False], ids=["sizes known", "sizes unknown"])
def test_constant_index_is_numpys(index, static):
    x = T.tensor("float64", shape=X.shape if static else (None,) * 3)
    out = x[index]
    want = X[index]
    [got] = evaluate([out], {x: X})
    np.testing.assert_array_equal(got, want)
    assert got.dtype == out.type.dtype and out.type.ndim == want.ndim
    assert all(n is None or n == m for n, m in zip(out.type.shape, want.shape, strict=True))
    if static:
        assert out.type.shape == want.shape, "constant indices of known sizes leave nothing unknown"
    sizes = [as_array(n, {x: X}) for n in shape_of(out)]
    assert tuple(sizes) == want.shape


def as_array(size, values):
    return size if isinstance(size, int) else int(evaluate([size], values)[0])


@pytest.mark.parametrize("index", CASES, ids=named)
def test_symbolic_index_is_numpys(index):
    x = T.dtensor3("x")
    values = {x: X}
    out = x[symbolic(index, values)]
    want = X[index]
    np.testing.assert_array_equal(evaluate([out], values)[0], want)
    assert tuple([as_array(n, values) for n in shape_of(out)]) == want.shape


@pytest.mark.parametrize("index", CASES, ids=named)
def test_set_and_inc_are_numpys(index):
    x = T.dtensor3("x")
    part = X[index]
    if isinstance(index, bool) or isinstance(index, tuple) and len(index) == 2 and index[1] is True:
        with pytest.raises(FuseTypeError, match="with a 0-d mask: write switch"):
            T.set_subtensor(x[index], 0)
        return
    y = T.tensor("float64", shape=(None,) * part.ndim)
    value = -1.0 - np.arange(part.size).reshape(part.shape)
    want_set, want_inc = X.copy(), X.copy()
    want_set[index] = value
    np.add.at(want_inc, index, value)
    target = x[index]
    if target.op.name == "dimshuffle" and target.args[0] is x:  # a new axis alone is all of x
        with pytest.raises(FuseTypeError, match="takes an indexed expression"):
            T.set_subtensor(target, y)
        return
    got = evaluate([T.set_subtensor(target, y), T.inc_subtensor(target, y)], {x: X, y: value})
    np.testing.assert_array_equal(got[0], want_set)
    np.testing.assert_array_equal(got[1], want_inc)
    want_set[index] = 7
    np.testing.assert_array_equal(evaluate([target.set(7)], {x: X})[0], want_set)


def random_index(rng, shape):
    """An index of random kinds for an array of ``shape``."""
    entries, axis = [], 0
    length = rng.integers(1, 4)
    shared = tuple(rng.integers(1, 3, size=rng.integers(1, 3)))
    while axis < len(shape):
        n = shape[axis]
        kind = rng.integers(0, 7)
        if kind == 0:
            entries.append(int(rng.integers(-n, n)))
        elif kind in (1, 2):
            bounds = [None if rng.random() < 0.3 else int(rng.integers(-n - 2, n + 3)) for _ in range(2)]
            entries.append(slice(*bounds, [None, 1, 2, -1, -2, 3][rng.integers(0, 6)]))
        elif kind == 3:
            entries.append(None)
            continue
        elif kind == 4:
            entries.append(rng.integers(-n, n, size=shared))
        elif kind == 5:
            entries.append(rng.integers(-n, n, size=1))
        else:
            mask = np.zeros(n, bool)
            mask[rng.permutation(n)[: min(length, n)]] = True
            entries.append(mask if shared == (1,) else slice(None))
        axis += 1
        if rng.random() < 0.1 and Ellipsis not in [e for e in entries if e is Ellipsis]:
            entries.append(Ellipsis)
            axis += rng.integers(0, len(shape) - axis + 1)
    return tuple(entries)


def test_random_indices_are_numpys():
    rng = np.random.default_rng(7)
    tried = 0
    for _ in range(600):
        shape = tuple(rng.integers(1, 6, size=rng.integers(1, 5)))
        a = rng.integers(0, 1000, size=shape).astype("float64")
        index = random_index(rng, shape)
        try:
            want = a[index]
        except IndexError:
            continue
        tried += 1
        x = T.tensor("float64", shape=[n if rng.random() < 0.5 else None for n in shape])
        values = {x: a}
        spelled = symbolic(index, values) if rng.random() < 0.5 else index
        out = x[spelled]
        got, = evaluate([out], values)
        np.testing.assert_array_equal(got, want, err_msg=f"{shape} {index}")
        assert tuple([as_array(n, values) for n in shape_of(out)]) == want.shape, (shape, index)
        if out.op.name == "dimshuffle" and out.args[0] is x:
            continue
        value = rng.integers(0, 9, size=want.shape).astype("float64")
        expected = a.copy()
        np.add.at(expected, index, value)
        np.testing.assert_array_equal(evaluate([T.inc_subtensor(out, value)], values)[0], expected, err_msg=str(index))
        expected[index] = value
        stored = a.copy()
        stored[index] = value
        np.testing.assert_array_equal(evaluate([T.set_subtensor(out, value)], values)[0], stored, err_msg=str(index))
    assert tried > 300


def test_slice_length_is_numpys_for_all_bounds():
    """The integer formula of a slice's length, with every argument symbolic and with each kind of constant."""
    n, start, stop = T.lscalars("n", "start", "stop")
    for step in (1, 2, 3, -1, -2, -3):
        whole = slice_length(n, start, stop, step)
        whole_dynamic = slice_length(n, start, stop, T.constant(step, dtype="int64") + n * 0)
        for size in (0, 1, 2, 4):
            for low in (*range(-5, 6), None):
                for high in (*range(-5, 6), None):
                    want = len(range(*slice(low, high, step).indices(size)))
                    got = slice_length(n, low, high, step)
                    assert as_array(got, {n: np.int64(size)}) == want, (size, low, high, step)
                    if low is not None and high is not None:
                        values = {n: np.int64(size), start: np.int64(low), stop: np.int64(high)}
                        assert as_array(whole, values) == as_array(whole_dynamic, values) == want


# ---------------------------------------------------------------- gradients
def check_gradient(build, *points, outputs=None):
    """d/dx of a random projection of ``build(*xs)`` against central differences through the interpreter."""
    rng = np.random.default_rng(0)
    points = [np.asarray(p, dtype="float64") for p in points]
    xs = [T.tensor("float64", shape=(None,) * p.ndim) for p in points]
    out = build(*xs)
    weight = rng.normal(size=np.shape(evaluate([out], dict(zip(xs, points, strict=True)))[0]))
    cost = (out * weight).sum()
    grads = evaluate(fuse.grad(cost, xs), dict(zip(xs, points, strict=True)))
    for k, p in enumerate(points):
        assert grads[k].shape == p.shape
        for position in np.ndindex(p.shape):
            shifted = []
            for h in (1e-5, -1e-5):
                moved = [q.copy() for q in points]
                moved[k][position] += h
                shifted.append(evaluate([cost], dict(zip(xs, moved, strict=True)))[0])
            numeric = (shifted[0] - shifted[1]) / 2e-5
            np.testing.assert_allclose(grads[k][position], numeric, rtol=1e-6, atol=1e-7)


A = np.arange(12.0).reshape(3, 4) / 7
INDICES = [
    np.s_[1], np.s_[::-1, 1:3], np.s_[[0, 2, 2]], np.s_[:, [3, 3, 1]], np.s_[[0, 1], [2, 2]], np.s_[0, [1, 1]],
    np.s_[A > 0.5], np.s_[None, [0, 0], 1:], np.s_[[[0, 1], [2, 0]], 1],
]


@pytest.mark.parametrize("index", INDICES, ids=named)
def test_gradient_of_reading(index):
    check_gradient(lambda x: x[index] ** 2, A)


@pytest.mark.parametrize("index", INDICES, ids=named)
@pytest.mark.parametrize("store", [T.set_subtensor, T.inc_subtensor])
def test_gradient_of_storing(index, store):
    """Of repeated indices only the last value of set_subtensor has an influence, and only its gradient is not 0."""
    value = np.random.default_rng(1).normal(size=A[index].shape)
    check_gradient(lambda x, y: store(x[index], y) ** 2, A, value)
    check_gradient(lambda x, y: store(x[index], y) ** 2, A, 0.3)


ROTATED = {
    "roll": lambda x, a: T.roll(x, a, 1),
    "two axes": lambda x, a: T.roll(x, (a, 2), (0, 1)),
    "modulo": lambda x, a: x[:, (T.arange(x.shape[1]) + a) % x.shape[1]],
    "written the other way": lambda x, a: x[(a + (T.arange(x.shape[0]) - 1)) % x.shape[0]],
    "from the end": lambda x, a: x[T.arange(x.shape[0]) - abs(a) % x.shape[0]],
}


@pytest.mark.parametrize("form", ROTATED)
def test_gradients_around_periodic_boundaries_are_read_and_not_stored(form):
    """What turns an axis around is turned back; everything else may meet itself, and is added up where it was read."""
    x, g, a = T.dmatrix("x"), T.dmatrix("g"), T.lscalar("a")
    back = T.grad((ROTATED[form](x, a) * g).sum(), x)
    assert not any(n.op.name in ("inc_gather", "inc_subtensor") for n in fuse.expr.toposort([back]))
    f = fuse.function([x, g, a], back, on_unused_input="ignore")
    forward = fuse.function([x, a], ROTATED[form](x, a), mode="FAST_COMPILE")
    rng = np.random.default_rng(0)
    for rows, columns in ((3, 5), (1, 4), (4, 1)):
        for shift in (0, 1, -2, 7):
            places = np.arange(float(rows * columns)).reshape(rows, columns)
            value = rng.normal(size=(rows, columns))
            want = np.zeros(rows * columns)
            want[forward(places, shift).astype(int)] = value
            np.testing.assert_array_equal(f(places, value, shift), want.reshape(rows, columns))


def test_gradients_of_places_that_may_meet_are_added_up():
    x, i = T.dvector("x"), T.lvector("i")
    for index, at in ((T.arange(x.shape[0]) // 2, [0, 0, 1, 1, 2]), ((T.arange(3) + 1) % x.shape[0], [1, 2, 3]),
                      ((T.arange(x.shape[0]) + i) % x.shape[0], [4, 1, 1, 1, 4])):  # fmt: skip
        f = fuse.function([x, i], T.grad((x[index] * 2).sum(), x), on_unused_input="ignore")
        np.testing.assert_array_equal(f(np.zeros(5), [4, 0, -1, -2, 0]), np.bincount(at, minlength=5) * 2.0)


def test_gradient_of_storing_one_value_into_a_row_broadcasts():
    check_gradient(lambda x, y: T.set_subtensor(x[1:], y) ** 2, A, A[:1, :1])
    check_gradient(lambda x, y: T.inc_subtensor(x[:, [0, 0]], y) ** 2, A, A[:, :1])


def test_second_derivative_through_gather():
    x = T.dvector("x")
    cost = (x[[0, 0, 1]] ** 3).sum()
    second = fuse.grad(fuse.grad(cost, x).sum(), x)
    np.testing.assert_allclose(evaluate([second], {x: np.array([2.0, 3.0, 5.0])})[0], [24.0, 18.0, 0.0])


def test_forward_mode_through_indexing():
    x, v = T.dvectors("x", "v")
    out = T.set_subtensor(x[1:], x[:-1] ** 2)[[0, 2, 2]]
    at, along = np.array([2.0, 3.0, 5.0]), np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(evaluate([fuse.Rop(out, x, v)], {x: at, v: along})[0], [1.0, 60.0, 60.0])


# ---------------------------------------------------------------- storing
def test_chained_indices_store_into_the_intermediate():
    """x[1:][:, i] indexes x[1:], x[1:, i] indexes x: the results differ, though the values read are equal."""
    x = T.dmatrix("x")
    i = np.array([0, 2])
    a, b = T.set_subtensor(x[1:][:, i], 0), T.set_subtensor(x[1:, i], 0)
    first, second = evaluate([a, b], {x: A})
    want = A[1:].copy()
    want[:, i] = 0
    np.testing.assert_array_equal(first, want)
    whole = A.copy()
    whole[1:, i] = 0
    np.testing.assert_array_equal(second, whole)


def test_store_into_a_transposed_view():
    x = T.dmatrix("x")
    got, = evaluate([T.set_subtensor(x.T[0], 9)], {x: A})
    want = A.T.copy()
    want[0] = 9
    np.testing.assert_array_equal(got, want)


def test_storing_leaves_the_shared_variable_alone():
    w = fuse.shared(np.zeros((3, 3)))
    v = T.scalar("v")
    out = T.set_subtensor(w[0:2, 0:2], v)
    np.testing.assert_array_equal(evaluate([out], {v: np.array(5.0)})[0], [[5, 5, 0], [5, 5, 0], [0, 0, 0]])
    assert not w.get_value().any()


def test_dtypes_of_stored_values():
    f = T.fvector("f")
    assert T.set_subtensor(f[0], 0.1).type.dtype == "float32"  # a Python number takes the array's dtype
    assert T.set_subtensor(f[0], T.bscalar()).type.dtype == "float32"
    with pytest.raises(FuseTypeError, match=r"complex128 values do not fit into a float32 array.*astype\('float32'\)"):
        T.set_subtensor(f[0], T.zscalar())
    with pytest.raises(FuseTypeError, match="float"):
        T.inc_subtensor(T.ivector()[0], 0.5)
    with pytest.raises(FuseValueError, match="300 does not fit into int8"):
        T.inc_subtensor(T.bvector()[0], 300)


@pytest.mark.parametrize("into, value", [
    ("float32", np.float64(7 / 3)), ("float16", np.float32(0.1)), ("complex64", np.complex128(1 / 3 + 2j)),
    ("int32", np.int64(2**33 + 5)), ("int8", np.int64(300)),
])
@pytest.mark.parametrize("index", [lambda n: slice(n, None), lambda n: [2, 0, 2], lambda n: n])
def test_values_of_the_same_kind_take_the_arrays_dtype(into, value, index):
    x, y, n = T.vector("x", dtype=into), T.scalar("y", dtype=value.dtype), T.lscalar("n")
    array, part = np.array([1, 2, 3], into), x[index(n)]
    stored, added = array.copy(), array.copy()
    stored[index(1)] = value.astype(into)
    np.add.at(added, index(1), value.astype(into))
    f = fuse.function([x, y, n], [T.set_subtensor(part, y), T.inc_subtensor(part, y)], on_unused_input="ignore")
    for found, want in zip(f(array, value, 1), (stored, added), strict=True):
        assert found.dtype == into
        np.testing.assert_array_equal(found, want)


def test_store_errors():
    x = T.dmatrix("x")
    with pytest.raises(FuseTypeError, match=r"takes an indexed expression as in set_subtensor\(x\[0:2\], y\)"):
        T.set_subtensor(x, 1)
    with pytest.raises(ShapeError, match="does not fit into the indexed part"):
        T.set_subtensor(x[0], T.dmatrix())
    known = T.tensor("float64", shape=(3, 4))
    with pytest.raises(ShapeError, match="does not broadcast"):
        T.inc_subtensor(known[0], np.zeros(3))
    with pytest.raises(fuse.FuseError):
        evaluate([T.set_subtensor(x[0], T.constant(np.zeros(3)))], {x: A})


# ---------------------------------------------------------------- errors
def test_indices_known_to_be_out_of_bounds():
    x = T.tensor("float64", shape=(3, 4), name="x")
    for index in (3, -4, (0, 4), ([0, 3],), (slice(None), [-5]), (0, [1, 4])):
        with pytest.raises(FuseIndexError, match="out of bounds"):
            x[index]
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0]
    with pytest.raises(FuseIndexError, match="at most one ellipsis"):
        x[..., ...]
    with pytest.raises(FuseIndexError, match=r"shape \(4,\) does not match axis 0, which has size 3"):
        x[np.ones(4, bool)]
    with pytest.raises(FuseIndexError, match="do not go together"):
        x[[0, 1], [0, 1, 2]]
    with pytest.raises(FuseValueError, match="step cannot be zero"):
        x[::0]


def test_indices_out_of_bounds_at_run_time():
    x, i = T.dmatrix("x"), T.lvector("i")
    k = T.lscalar("k")
    for out, values in [
        (x[i], {x: A, i: np.array([3])}), (x[k], {x: A, k: np.int64(-4)}), (x[5], {x: A}),
        (T.inc_subtensor(x[i], 1), {x: A, i: np.array([-4])}), (x[T.lvector()[:0] > 0], {x: A}),
    ]:
        if out.op.name == "gather" and out.args[1].op.name == "part":
            continue
        with pytest.raises(FuseIndexError):
            evaluate([out], values)


def test_mask_of_wrong_length_is_no_silent_selection():
    x, mask = T.dvector("x"), T.tensor("bool", shape=(None,))
    with pytest.raises(FuseIndexError, match="does not match"):
        evaluate([x[mask]], {x: np.arange(4.0), mask: np.array([True, False, True])})


def test_index_kinds_that_are_mistakes():
    x = T.dmatrix("x")
    for index in (1.0, T.dvector("v"), np.array([0.5]), "row", [0.0]):
        with pytest.raises(FuseTypeError, match="an index is an integer, a slice"):
            x[index]
    with pytest.raises(FuseTypeError, match=r"astype\('int64'\), or use a comparison"):
        x[T.dvector("v")]
    with pytest.raises(FuseTypeError, match="slice bounds are integers"):
        x[: T.dscalar()]
    with pytest.raises(FuseTypeError, match="slice bounds are integers"):
        x[:1.5]


# ---------------------------------------------------------------- shapes
def test_shape_vector_elements_are_known_expressions():
    x = T.tensor("float64", shape=(None, 3))
    assert x.shape[0] is T.shape_i(x, 0) and x.shape[-1].data == 3
    assert [a.data for a in x.shape[1:].args] == [3]


def test_shapes_need_no_values():
    """The sizes of an indexed expression do not depend on its elements."""
    x = T.dmatrix("x")
    rows, columns = shape_of(T.exp(x)[1::2, ::-1])
    hidden = T.dmatrix("other")
    rows, columns = substitute([rows, columns], {x: hidden})
    assert [as_array(n, {hidden: np.zeros((6, 2))}) for n in (rows, columns)] == [3, 2]


# ---------------------------------------------------------------- selecting
M = np.random.default_rng(3).normal(size=(3, 4, 2))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [1, [0, 1], [[0, 1], [1, 0]], []])
def test_take(axis, indices):
    x = T.dtensor3("x")
    want = np.take(M, np.asarray(indices, int), axis=axis)
    np.testing.assert_array_equal(evaluate([T.take(x, indices, axis=axis)], {x: M})[0], want)
    np.testing.assert_array_equal(evaluate([x.take(indices, axis)], {x: M})[0], want)


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_take_modes(mode):
    x, i = T.dtensor3("x"), T.lvector("i")
    at = np.array([-7, -1, 0, 3, 9])
    got, = evaluate([T.take(x, i, axis=1, mode=mode)], {x: M, i: at})
    np.testing.assert_array_equal(got, np.take(M, at, axis=1, mode=mode))
    with pytest.raises(FuseValueError, match="mode is one of"):
        T.take(x, i, mode="around")


def test_nonzero_family():
    x = T.imatrix("x")
    a = np.array([[0, 3, 0], [5, 0, 6]], "int32")
    rows, columns = T.nonzero(x)
    for got, want in zip(evaluate([rows, columns], {x: a}), np.nonzero(a), strict=True):
        np.testing.assert_array_equal(got, want)
    pairs = [
        (T.nonzero(x, return_matrix=True), np.array(np.nonzero(a))), (T.flatnonzero(x), np.flatnonzero(a)),
        (T.nonzero_values(x), a[np.nonzero(a)]), (T.argwhere(x), np.argwhere(a)), (x[x.nonzero()], a[a.nonzero()]),
    ]
    for got, want in pairs:
        value, = evaluate([got], {x: a})
        np.testing.assert_array_equal(value, want)
        assert value.dtype == want.dtype
    with pytest.raises(ShapeError, match="nonzero of a scalar"):
        T.nonzero(T.dscalar())
    check_gradient(lambda x: T.nonzero_values(x) ** 2, [[0.0, 3.0], [2.0, 1.0]][1:])


@pytest.mark.parametrize("mode", ["raise", "wrap", "clip"])
def test_choose(mode):
    a = np.array([[0, 1, 2], [2, 1, 0]])
    if mode != "raise":
        a = a * 3 - 2
    choices = [np.arange(3.0), np.arange(6).reshape(2, 3), np.array(-1, "int8")]
    i = T.lmatrix("i")
    got, = evaluate([T.choose(i, choices, mode=mode)], {i: a})
    np.testing.assert_array_equal(got, np.choose(a, choices, mode=mode))
    whole = np.random.default_rng(0).normal(size=(3, 2, 3))
    for shape in ((3, 2, 3), (None, None, None)):
        c = T.tensor("float64", shape=shape)
        got, = evaluate([T.choose(i, c, mode=mode)], {i: a, c: whole})
        np.testing.assert_array_equal(got, np.choose(a, whole, mode=mode))


def test_choose_out_of_bounds():
    i = T.lvector("i")
    out = T.choose(i, [[1.0, 2.0], [3.0, 4.0]])
    for bad in ([0, 2], [-1, 0]):
        with pytest.raises(FuseIndexError):
            evaluate([out], {i: np.array(bad)})
    check_gradient(lambda x, y: T.choose(T.constant([0, 1, 1]), [x, y]) ** 2, A[0, :3], A[1, :3])


def test_compress_take_along_axis_searchsorted_unique():
    x = T.dtensor3("x")
    for axis in (None, 0, 1, 2):
        condition = [1, 0, 1][: 2 if axis == 2 else 3]
        got, = evaluate([T.compress(condition, x, axis=axis)], {x: M})
        np.testing.assert_array_equal(got, np.compress(condition, M, axis=axis))
        order = np.argsort(M, axis=axis)
        i = T.tensor("int64", shape=(None,) * order.ndim)
        source = x
        got, = evaluate([T.take_along_axis(source, i, axis=axis)], {x: M, i: order})
        np.testing.assert_array_equal(got, np.take_along_axis(M, order, axis=axis))
    v = T.dvector("v")
    edges, at = np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0])
    for side in ("left", "right"):
        got, = evaluate([T.searchsorted(edges, v, side=side)], {v: at})
        np.testing.assert_array_equal(got, np.searchsorted(edges, at, side=side))
    mixed = np.array([3.0, 1.0, 2.0])
    got, = evaluate([T.searchsorted(mixed, v, sorter=np.argsort(mixed))], {v: at})
    np.testing.assert_array_equal(got, np.searchsorted(mixed, at, sorter=np.argsort(mixed)))
    y = T.lvector("y")
    found = T.unique(y, return_index=True, return_inverse=True, return_counts=True)
    a = np.array([3, 1, 3, 2])
    for got, want in zip(evaluate(found, {y: a}), np.unique(a, True, True, True), strict=True):
        np.testing.assert_array_equal(got, want)


def test_pick_one_element_per_row():
    """x[arange(n), y], the index of classification losses."""
    x, y = T.dmatrix("x"), T.ivector("y")
    labels = np.array([3, 0, 1], "int32")
    out = x[T.arange(y.shape[0]), y]
    np.testing.assert_array_equal(evaluate([out], {x: A, y: labels})[0], A[np.arange(3), labels])
    check_gradient(lambda x: T.log(1 + x[T.arange(3), labels]), A)


def test_compiled_functions_agree_with_the_interpreter():
    x, i, k = T.dmatrix("x"), T.lvector("i"), T.lscalar("k")
    outputs = [
        x[i], x[1:, i], x[::-1, k], x[i, i], x[x > 0.5], T.set_subtensor(x[i], 0), T.inc_subtensor(x[:, i], 1.5),
        x[k:, None], T.exp(x)[i] + 1, fuse.grad((x[i] ** 2).sum(), x),
    ]
    values = {x: A, i: np.array([0, 2, 2]), k: np.int64(1)}
    f = fuse.function([x, i, k], outputs)
    for got, want in zip(f(*values.values()), evaluate(outputs, values), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-15)
    with pytest.raises(FuseIndexError):
        f(A, np.array([7]), 1)


ALONG = {
    "rows": lambda x, k, i: x[(slice(None),) * k + (i,)],
    "fused": lambda x, k, i: T.exp(x)[(slice(None),) * k + (i,)] * 2,
    "sum": lambda x, k, i: x[(slice(None),) * k + (i,)].sum(),
    "reduced": lambda x, k, i: x[(slice(None),) * k + (i - 1,)].sum(axis=-1) + 1,
    "repeated": lambda x, k, i: T.alloc(x.sum(), *[n or 4 for n in x.type.shape])[(slice(None),) * k + (i,)],
}


@pytest.mark.parametrize("form", ALONG)
@pytest.mark.parametrize("pattern", [(True,), (True, False), (False, True), (True, True), (True, False, True)])
def test_indices_into_axes_of_size_one_are_checked(pattern, form):
    """What lies at an index is the same wherever it is, but only an index within bounds has anything."""
    x, i = fuse.tensor.TensorType("float64", pattern)("x"), T.lvector("i")
    value = np.random.default_rng(0).normal(size=[1 if one else 4 for one in pattern])
    for k in range(len(pattern)):
        expr = ALONG[form](x, k, i)
        f, plain = fuse.function([x, i], expr), fuse.function([x, i], expr, mode="FAST_COMPILE")
        for index in ([0], [0, 0], [-1, 0], [0, 1], [0, -2], [1, 1], [5, 0]):
            try:
                want = plain(value, index)
            except IndexError:
                with pytest.raises(IndexError):
                    f(value, index)
            else:
                np.testing.assert_allclose(f(value, index), want, rtol=1e-14)
