"""Values added and stored at computed places: NumPy's results, in kernels, for every dtype and kind of index."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.kernel import Load, Loop, Update, walk
from fuse.codegen.program import compile_program
from fuse.codegen.runner import NARROW
from fuse.codegen.wellformed import check
from fuse.errors import FuseIndexError

RNG = np.random.default_rng(11)
DTYPES = (
    "bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
)
INDEX_DTYPES = ("int8", "uint8", "int16", "int32", "uint32", "int64")


def some(dtype, shape):
    values = RNG.integers(0, 50, shape) if np.dtype(dtype).kind in "biu" else RNG.normal(size=shape)
    values = values % 2 == 0 if dtype == "bool" else values
    return np.asarray(values + 1j * RNG.normal(size=shape) if dtype.startswith("complex") else values).astype(dtype)


def changed(x, index, y, is_inc):
    out = x.copy()
    if is_inc:
        np.add.at(out, index, y)
    else:
        out[index] = y
    return out


def kernels(function):
    """The operations of each kernel, as ``explain`` lists them."""
    return [line for line in function.explain().splitlines() if line.strip().startswith("kernel ")]


@pytest.mark.parametrize("is_inc", [True, False], ids=["inc", "set"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype, is_inc):
    store = T.inc_subtensor if is_inc else T.set_subtensor
    x, y, i = T.tensor(dtype, shape=(None, None)), T.tensor(dtype, shape=(None, None)), T.lvector("i")
    f = fuse.function([x, y, i], store(x[i], y))
    xv, iv = some(dtype, (7, 5)), RNG.integers(-7, 7, 20)
    yv = some(dtype, (20, 5))
    got = f(xv, yv, iv)
    np.testing.assert_array_equal(got, changed(xv, iv, yv, is_inc))  # the very order of NumPy's additions
    assert got.dtype == dtype and ("gather" in "".join(kernels(f))) == (dtype != "bool")


@pytest.mark.parametrize("dtype", INDEX_DTYPES)
def test_every_index_dtype(dtype):
    w, i = T.dmatrix("w"), T.tensor(dtype, shape=(None,))
    f = fuse.function([w, i], T.grad(T.sqr(w[i]).sum(), w))
    wv, iv = RNG.normal(size=(9, 3)), RNG.integers(0, 9, 30).astype(dtype)
    np.testing.assert_array_equal(f(wv, iv), changed(np.zeros_like(wv), iv, 2 * wv[iv], True))


def random_case(rng):
    """(shape of x, index arrays, shape of y): any rank, negative, repeated and no indices, sizes of 0 and 1."""
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 6], size=rng.integers(1, 4)))
    count = int(rng.integers(1, len(shape) + 1))
    block = tuple(int(n) for n in rng.choice([0, 1, 2, 5], size=rng.integers(1, 3), p=[0.1, 0.2, 0.3, 0.4]))
    indices = []
    for n in shape[:count]:
        own = tuple(1 if rng.random() < 0.2 else m for m in block)
        indices.append(rng.integers(-n, n, own if indices else block))
    full = (*np.broadcast_shapes(*[i.shape for i in indices]), *shape[count:])
    kept = full[int(rng.integers(0, len(full) + 1)) if rng.random() < 0.3 else 0 :]
    return shape, indices, tuple(1 if rng.random() < 0.2 else n for n in kept)


@pytest.mark.parametrize("seed", range(30))
def test_random_stores_are_numpys(seed):
    rng = np.random.default_rng(seed)
    shape, indices, y_shape = random_case(rng)
    static = rng.random() < 0.5
    is_inc, zeros = rng.random() < 0.6, rng.random() < 0.4
    xv = np.zeros(shape) if zeros else rng.normal(size=shape)
    yv = rng.normal(size=y_shape)
    shapes = [tuple([n if n == 1 or static else None for n in v.shape]) for v in (xv, yv, *indices)]
    x, y, *places = [T.tensor(d, shape=s) for d, s in zip(["float64"] * 2 + ["int64"] * 3, shapes, strict=False)]
    start = T.zeros_like(x) if zeros else x
    store = T.inc_subtensor if is_inc else T.set_subtensor
    f = fuse.function([x, y, *places], store(start[tuple(places)], T.exp(y)), on_unused_input="ignore")
    want = changed(xv, tuple(indices), np.exp(yv), is_inc)
    for layout in (lambda v: v, np.asfortranarray, lambda v: np.repeat(v, 2, axis=-1)[..., ::2]):
        args = [layout(v) if v.ndim else v for v in (xv, yv, *indices)]
        np.testing.assert_allclose(f(*args), want, rtol=1e-14)
    for k, i in enumerate(indices):
        if i.size and np.broadcast(*indices).size:
            wrong = [j.copy() for j in indices]
            wrong[k].flat[-1] = shape[k]
            with pytest.raises(FuseIndexError):
                f(xv, yv, *wrong)
    np.testing.assert_allclose(f(xv, yv, *indices), want, rtol=1e-14)  # and as before afterwards


@pytest.mark.parametrize("is_inc", [False, True])
def test_an_array_stored_into_itself_is_a_value_of_its_own(is_inc):
    """The array that is copied and the value that is stored are the same node, with places of their own."""
    x, i = T.dmatrix("x"), T.lvector("i")
    double = x * 2
    f = compile_program([x, i], [(T.inc_subtensor if is_inc else T.set_subtensor)(double[i], double)])
    (kernel,) = [k for k in f.kernels if any(b.dtype == "int64" for b in k.buffers)]
    values = RNG.normal(size=(3, 4)), np.array([2, 0, 0])
    np.testing.assert_array_equal(f(*values)[0], changed(values[0] * 2, values[1], values[0] * 2, is_inc))
    loads = [s for s in walk(kernel.body) if isinstance(s, Load) and len(s.index) == 2]
    assert loads and all(len(set(s.index)) == 2 and 0 not in s.index for s in loads)


def test_the_gradient_of_an_embedding_is_one_kernel():
    w, i = T.dmatrix("w"), T.lvector("i")
    cost = T.sqr(T.tanh(w[i])).sum()
    f = fuse.function([w, i], [cost, T.grad(cost, w)])
    assert len(kernels(f)) == 1, f.explain()
    wv, iv = RNG.normal(size=(50, 8)), RNG.integers(-50, 50, 400)
    t = np.tanh(wv[iv])
    for _ in range(5):
        got = f(wv, iv)
        np.testing.assert_allclose(got[0], (t * t).sum(), rtol=1e-13)
        want = changed(np.zeros_like(wv), iv, 2 * t * (1 - t * t), True)
        np.testing.assert_allclose(got[1], want, rtol=1e-12, atol=1e-14)


def test_batches_of_sequences_add_up_in_their_order():
    w, i, b = T.fmatrix("w"), T.lmatrix("i"), T.fvector("b")
    f = fuse.function([w, i, b], T.inc_subtensor(w[i], T.exp(b)[:, None] * T.ones_like(w[i])))
    wv, iv = RNG.normal(size=(4, 3)).astype("f"), RNG.integers(0, 4, (50, 20))
    bv = RNG.normal(size=20).astype("f")
    step = np.exp(bv)[:, None] * np.ones((50, 20, 3), "f")
    np.testing.assert_allclose(f(wv, iv, bv), changed(wv, iv, step, True), rtol=1e-5)
    g = fuse.function([w, i, b], T.set_subtensor(w[i], b[:, None] * T.ones_like(w[i])))
    np.testing.assert_array_equal(g(wv, iv, bv), changed(wv, iv, np.broadcast_to(bv[:, None], step.shape), False))


def test_a_table_trained_in_place_reads_its_old_values():
    values = RNG.normal(size=(6, 2))
    w, i = fuse.shared(values.copy()), T.lvector("i")
    cost = T.sqr(w[i]).sum()
    f = fuse.function([i], cost, updates=[(w, T.inc_subtensor(w[i], -0.1 * T.grad(cost, w)[i]))])
    iv = np.array([0, 2, 2, -1])
    for _ in range(6):
        gradient = changed(np.zeros_like(values), iv, 2 * values[iv], True)
        assert np.isclose(f(iv), (values[iv] ** 2).sum())
        values = changed(values, iv, -0.1 * gradient[iv], True)
        np.testing.assert_allclose(w.get_value(), values, rtol=1e-12)
    with pytest.raises(FuseIndexError):
        f(np.array([0, 6]))
    np.testing.assert_allclose(w.get_value(), values, rtol=1e-12)


def test_intermediate_tables_are_changed_where_they_are_and_read_before():
    x, i, j = T.dmatrix("x"), T.lvector("i"), T.lvector("j")
    table = T.exp(x)
    first = T.inc_subtensor(table[i], 1.0)
    f = fuse.function([x, i, j], [T.inc_subtensor(first[j], table[j]), T.set_subtensor(first[j], 2.0)])
    xv, iv, jv = RNG.normal(size=(5, 3)), np.array([0, 1, 1]), np.array([1, 1, 4])
    start = changed(np.exp(xv), iv, 1.0, True)
    got = f(xv, iv, jv)
    np.testing.assert_allclose(got[0], changed(start, jv, np.exp(xv)[jv], True), rtol=1e-14)
    np.testing.assert_allclose(got[1], changed(start, jv, 2.0, False), rtol=1e-14)


@pytest.mark.parametrize("is_inc", [True, False], ids=["inc", "set"])
def test_the_kernel_interpreter_agrees_and_no_thread_shares_the_loop_over_indices(is_inc):
    x, y, i = T.dmatrix("x"), T.dmatrix("y"), T.lvector("i")
    store = T.inc_subtensor if is_inc else T.set_subtensor
    program = compile_program([x, y, i], [store(T.zeros_like(x)[i], y * 2)])
    (launcher,) = program.planned.launchers
    kernel = check(launcher.scheduled(())[0])
    for loop in [s for s in walk(kernel.body) if isinstance(s, Loop) and s.split]:
        assert not any(isinstance(s, Update) for s in walk(loop.body))
    xv, yv, iv = RNG.normal(size=(4, 3)), RNG.normal(size=(9, 3)), RNG.integers(-4, 4, 9)
    (want,) = program(xv, yv, iv)
    got = np.empty_like(want)
    values = {x: xv, y: yv, i: iv}
    interpret.run(kernel, [values.get(b, got) for b in launcher.bases], [4] * len(kernel.scalars))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(want, changed(np.zeros_like(xv), iv, yv * 2, is_inc))


def test_rows_that_are_picked_and_added_up_are_read_along_themselves():
    """Lanes run along them, and an index to which is added is checked once for all of them."""
    table, picks, weights = T.dmatrix("table"), T.lmatrix("picks"), T.dmatrix("weights")
    out = [table[picks].sum(axis=1), (table[picks] * weights[:, :, None]).sum(axis=1), table[picks].max()]
    f = fuse.function([table, picks, weights], [*out, T.grad(T.tanh(out[0]).sum(), table)])
    rng = np.random.default_rng(4)
    for width, rows, count in [(3, 5, 4), (1, 5, 4), (20, 6, 2), (300, 3, 9), (7, 4, 1)]:
        e, w, i = rng.normal(size=(10, width)), rng.normal(size=(rows, count)), rng.integers(-10, 10, (rows, count))
        summed = e[i].sum(axis=1)
        slope = np.zeros_like(e)
        np.add.at(slope, i, (1 - np.tanh(summed) ** 2)[:, None, :] * np.ones((count, 1)))
        wanted = [summed, (e[i] * w[:, :, None]).sum(axis=1), e[i].max(), slope]
        for found, one in zip(f(e, i, w), wanted, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-11, atol=1e-12)
    i[-1, 0] = 10
    with pytest.raises(IndexError):
        f(e, i, w)
    with pytest.raises(IndexError):
        f(e[:, :0], i, w)
    assert "_lane in range" in fuse.function([table, picks], out[0]).source
    text = fuse.function([table, picks], T.grad(T.tanh(out[0]).sum(), table)).source.split("# kernel 0 (")[0]
    added = text[: text.rindex("radd(load(")]
    assert "_lane in range" in added[added.rindex("return 3") :]


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_few_columns_of_rows_that_are_picked_are_added_up_in_groups(dtype):
    """Lanes beyond the last column do what that does again, and store nothing."""
    picks, rng = T.lmatrix("picks"), np.random.default_rng(6)
    for shape in ((None, None), (None, 3), (None, None, None)):
        table, weights = T.TensorType(dtype, shape)("table"), T.TensorType(dtype, (None, None))("weights")
        shift = T.TensorType(dtype, (None,) * len(shape))("shift")
        factor = weights.dimshuffle(0, 1, *["x"] * (len(shape) - 1))
        f = compile_program([table, picks], [table[picks].sum(axis=1)])
        g = compile_program([table, picks, weights, shift], [(table[picks] * factor).sum(axis=1) * 2 + shift])
        widths = [(1,), (2,), (4,), (7,), (13,)] if len(shape) == 2 else [(2, 2), (1, 3), (5, 3)]
        for width in [(3,)] if shape[-1] else widths:
            e, w, s = [(rng.normal(size=n) * 9).astype(dtype) for n in ((11, *width), (600, 6), (600, *width))]
            i = rng.integers(-11, 11, (600, 6))
            for a in (e, np.asfortranarray(e)):
                (summed,), (weighed,) = f(a, i), g(a, i, w, s)
                np.testing.assert_allclose(summed, e[i].sum(axis=1, dtype=summed.dtype), rtol=1e-12, atol=1e-12)
                want = (e[i] * w.reshape(600, 6, *[1] * len(width))).sum(axis=1, dtype=summed.dtype) * 2 + s
                np.testing.assert_allclose(weighed, want, rtol=1e-12, atol=1e-12)
        i[-1, 0] = 11
        with pytest.raises(IndexError):
            f(e, i)
        for launcher in [*f.planned.launchers, *g.planned.launchers]:
            assert "_group in range" in launcher.source((*["C"] * len(launcher.bases), NARROW)).text
