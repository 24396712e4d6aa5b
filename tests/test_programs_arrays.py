"""Programs that move data about: indexing, masks, shapes, joins, casts and reductions, each against NumPy."""
# ruff: noqa: B905, SIM300
# Programs as their authors write them.
from __future__ import annotations

import numpy
import numpy as np
import pytest
from numeric_oracles import gradient_by_differences, softmax

import fuse
import fuse.tensor as T
from fuse import config, function, shared
from fuse.tensor.extra_ops import to_one_hot

M = np.arange(12.0).reshape(3, 4) - 5.5  # without zeros, of both signs
CUBE = np.arange(24.0).reshape(2, 3, 4)


def check(inputs, values, pairs, **options):
    """One function of all the symbolic results; each equals its NumPy value, in value, shape and kind of dtype."""
    f = function(inputs, [s for s, _ in pairs], **options)
    for k, (got, (symbolic, want)) in enumerate(zip(f(*values), pairs)):
        want = np.asarray(want)
        assert got.shape == want.shape, (k, got.shape, want.shape)
        assert got.dtype.kind == want.dtype.kind, (k, got.dtype, want.dtype)
        assert str(got.dtype) == symbolic.dtype, k
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14, err_msg=str(k))


def test_slices_of_every_kind():
    x, i, j = T.dmatrix("x"), T.lscalar("i"), T.iscalar("j")
    check([x, i, j], [M, 1, 3], [
        (x[0], M[0]), (x[-1], M[-1]), (x[i], M[1]), (x[i, j], M[1, 3]), (x[:, i], M[:, 1]), (x[i:], M[1:]),
        (x[i:j], M[1:3]), (x[::2], M[::2]), (x[::-1], M[::-1]), (x[:, ::-1], M[:, ::-1]), (x[-2:], M[-2:]),
        (x[i:j, 1:-1], M[1:3, 1:-1]), (x[..., 0], M[..., 0]), (x[:, None], M[:, None]), (x[None], M[None]),
        (x[x.shape[0] - 1], M[2]), (x[: x.shape[1] // 2], M[:2]), (x[j:i:-1], M[3:1:-1]), (x[5:], M[5:]),
        (x[:, j % 2], M[:, 1]), (x[i * 2:], M[2:]), (x[i][j], M[1][3]), (x.T[i], M.T[1]), (x[:-i], M[:-1]),
    ])


def test_slice_object_and_tuple_as_index():
    x = T.dtensor3("x")
    chosen = (slice(None), 1, slice(0, None, 2))
    check([x], [CUBE], [(x[chosen], CUBE[chosen]), (x[(0, 1)], CUBE[0, 1]), (x[..., 1:3], CUBE[..., 1:3]),
                        (x[:, ::-1, None, 0], CUBE[:, ::-1, None, 0])])


def test_integer_and_mask_indices():
    x, i, m = T.dmatrix("x"), T.ivector("i"), T.imatrix("m")
    rows, table = np.array([2, 0, 2], "int32"), np.array([[0, 1], [2, 2]], "int32")
    check([x, i, m], [M, rows, table], [
        (x[i], M[rows]), (x[:, i], M[:, rows]), (x[i, 1], M[rows, 1]), (x[i, i], M[rows, rows]),
        (x[T.arange(i.shape[0]), i], M[np.arange(3), rows]), (x[m], M[table]), (x[m].sum(axis=1), M[table].sum(1)),
        (x[i][:, 1:3], M[rows][:, 1:3]), (x[[0, 2]], M[[0, 2]]), (x[x > 0], M[M > 0]),
        (x[(x > 0).nonzero()], M[M > 0]),
        (x[T.eq(x[:, 0], -5.5)], M[M[:, 0] == -5.5]), (x.take(i, axis=0), M.take(rows, axis=0)),
        (T.take(x, [1, 1]), M.take([1, 1])), (x[i, :2], M[rows, :2]), (x[1:, i], M[1:, rows]),
        (x.nonzero()[0], M.nonzero()[0]), (T.nonzero_values(x), M[M.nonzero()]),
        (x[np.array([True, False, True])], M[[True, False, True]]), (x[-1][i], M[-1][rows]),
    ])


def test_writing_into_parts():
    x, v, i = T.dmatrix("x"), T.dvector("v"), T.lvector("i")
    vec, idx = np.array([10.0, 20.0, 30.0, 40.0]), np.array([0, 2, 0])

    def changed(index, value, add=False):
        out = M.copy()
        if add:
            np.add.at(out, index, value)
        else:
            out[index] = value
        return out

    check([x, v, i], [M, vec, idx], [
        (T.set_subtensor(x[0], v), changed(0, vec)), (T.set_subtensor(x[:, 1], 0), changed((slice(None), 1), 0)),
        (T.inc_subtensor(x[1:], v), changed(slice(1, None), vec, True)),
        (T.inc_subtensor(x[i], v), changed(idx, vec, True)),
        (T.set_subtensor(x[x < 0], 0.0), changed(M < 0, 0.0)),
        (T.inc_subtensor(x[i, i], 1.0), changed((idx, idx), 1.0, True)),
        (T.set_subtensor(x[::2, ::-1], v), changed((slice(None, None, 2), slice(None, None, -1)), vec)),
        (T.set_subtensor(x[0, 0], v.sum()), changed((0, 0), 100.0)),
        (T.set_subtensor(T.zeros_like(x)[0], 1.0), np.array([[1.0] * 4] + [[0.0] * 4] * 2)),
        (T.set_subtensor(x[i[0]:i[1]], x[1:3] * 2), changed(slice(0, 2), M[1:3] * 2)),
        (T.inc_subtensor(x[0][1:3], 1.0, inplace=False), changed((0, slice(1, 3)), 1.0, True)[0]),
    ])


def test_padding_a_batch_of_images_by_set_subtensor():
    x = T.dtensor3("x")
    out = T.zeros((x.shape[0], x.shape[1] + 2, x.shape[2] + 2), dtype=x.dtype)
    padded = T.set_subtensor(out[:, 1:-1, 1:-1], x)
    got, g = function([x], [padded, T.grad((padded ** 2).sum(), x)])(CUBE)
    np.testing.assert_array_equal(got, np.pad(CUBE, ((0, 0), (1, 1), (1, 1))))
    np.testing.assert_array_equal(g, 2 * CUBE)


def test_one_hot_codes_in_four_spellings():
    y = T.ivector("y")
    labels = np.array([2, 0, 1, 2], "int32")
    n = 3
    code = T.eq(y.dimshuffle(0, "x"), T.arange(n).dimshuffle("x", 0))
    check([y], [labels], [
        (T.cast(code, "float64"), np.eye(n)[labels]), (to_one_hot(y, n), np.eye(n)[labels]),
        (T.eye(n)[y], np.eye(n)[labels]),
        (T.set_subtensor(T.zeros((y.shape[0], n))[T.arange(y.shape[0]), y], 1), np.eye(n)[labels]),
    ])


def test_shapes_as_expressions():
    x, v = T.dtensor3("x"), T.dvector("v")
    n, h, w = x.shape
    check([x, v], [CUBE, np.arange(5.0)], [
        (x.shape, np.array([2, 3, 4])), (x.shape[1], 3), (T.prod(x.shape), 24), (x.shape[0] * x.shape[1], 6),
        (x.size, 24), (T.shape(x)[-1], 4), (x.reshape((n, h * w)), CUBE.reshape(2, 12)),
        (x.reshape((-1, x.shape[2])), CUBE.reshape(-1, 4)), (T.reshape(x, [24]), CUBE.reshape(24)),
        (x.reshape((x.shape[0], -1)), CUBE.reshape(2, -1)), (x.flatten(), CUBE.ravel()),
        (x.flatten(2), CUBE.reshape(2, 12)),
        (T.flatten(x, outdim=2), CUBE.reshape(2, 12)), (T.flatten(x, ndim=2), CUBE.reshape(2, 12)),
        (x.reshape(T.stack([n * h, w]), ndim=2), CUBE.reshape(6, 4)), (x.ravel(), CUBE.ravel()),
        (x.sum() / x.shape[0], CUBE.sum() / 2), (x.sum() / T.cast(x.shape[0], "float64"), CUBE.sum() / 2),
        (v.shape[0] // 2, 2), (v[: v.shape[0] // 2].sum(), 1.0), (T.ones((n, w)), np.ones((2, 4))),
        (T.zeros(x.shape, dtype="int32"), np.zeros((2, 3, 4), int)), (T.arange(v.shape[0]), np.arange(5)),
        (T.alloc(7.0, n, h), np.full((2, 3), 7.0)), (T.zeros((v.shape[0], v.shape[0] + 1)), np.zeros((5, 6))),
        (T.eye(v.shape[0], k=1), np.eye(5, k=1)), (x.shape.prod(), 24),
        (T.as_tensor_variable([n, h]), np.array([2, 3])),
    ])
    assert x.ndim == 3 and x.flatten(2).ndim == 2 and x.sum(axis=[0, 2]).ndim == 1


def test_dimshuffle_and_broadcasting():
    x, v, r, c = T.dmatrix("x"), T.dvector("v"), T.drow("r"), T.dcol("c")
    vec = np.array([1.0, -2.0, 3.0])
    check([x, v, r, c], [M, vec, M[:1], M[:, :1]], [
        (x + r, M + M[:1]), (x * c, M * M[:, :1]), (r * c, M[:1] * M[:, :1]),
        (x - v.dimshuffle(0, "x"), M - vec[:, None]),
        (v.dimshuffle("x", 0) * v.dimshuffle(0, "x"), np.outer(vec, vec)), (T.outer(v, v), np.outer(vec, vec)),
        (x.dimshuffle(1, 0), M.T), (x.T, M.T), (T.transpose(x), M.T),
        (x.dimshuffle("x", 1, "x", 0).shape, [1, 4, 1, 3]),
        (r.dimshuffle(1), M[0]), (T.addbroadcast(x[:1], 0) + x, M[:1] + M), (T.unbroadcast(r, 0), M[:1]),
        (T.shape_padleft(v), vec[None]), (T.shape_padright(v, 2), vec[:, None, None]),
        (T.shape_padaxis(x, 1), M[:, None]),
        (T.patternbroadcast(x[:, :1], (False, True)) + x, M[:, :1] + M), (T.addbroadcast(c, 1).dimshuffle(0), M[:, 0]),
        (x.swapaxes(0, 1), M.T), (x / abs(x).sum(axis=1, keepdims=True), M / abs(M).sum(1, keepdims=True)),
        (x - x.mean(axis=0), M - M.mean(0)), (v[:, None] + v[None, :], vec[:, None] + vec),
        (r.broadcastable[0] * T.ones_like(r), np.ones((1, 4))), (T.squeeze(c), M[:, 0]),
    ])
    assert r.broadcastable == (True, False) and c.broadcastable == (False, True)


def test_a_size_of_one_met_at_run_time_broadcasts():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    f = function([x, y], [x + y, T.grad(T.sum((x + y) ** 2), x)])
    total, g = f(M, M[:, :1])
    np.testing.assert_allclose(total, M + M[:, :1])
    np.testing.assert_allclose(g, 2 * (M + M[:, :1]))
    total, g = f(M[:1], M)
    np.testing.assert_allclose(g, (2 * (M[:1] + M)).sum(0, keepdims=True))
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        f(M, M[:2])


def test_joins_and_splits():
    x, v = T.dmatrix("x"), T.dvector("v")
    vec = np.array([1.0, 2.0, 3.0, 4.0])
    first, second = T.split(v, [1, 3], 2)
    check([x, v], [M, vec], [
        (T.concatenate([x, x * 2]), np.concatenate([M, M * 2])), (T.concatenate([x, x], axis=1), np.hstack([M, M])),
        (T.concatenate((x, v.dimshuffle("x", 0)), axis=0), np.vstack([M, vec])),
        (T.stack([v, v * 2]), np.stack([vec, vec * 2])),
        (T.stack(v, v ** 2), np.stack([vec, vec ** 2])), (T.stack([v, v], axis=1), np.stack([vec, vec], 1)),
        (T.stack([v.sum(), v.prod()]), np.array([10.0, 24.0])), (T.join(1, x, x), np.hstack([M, M])),
        (T.join(0, x, x[:1]), np.vstack([M, M[:1]])), (first, vec[:1]), (second, vec[1:]),
        (T.tile(v, 2), np.tile(vec, 2)),
        (T.tile(x, (2, 1)), np.tile(M, (2, 1))), (T.repeat(v, 3), np.repeat(vec, 3)),
        (T.repeat(x, 2, axis=0), M.repeat(2, 0)),
        (x.repeat(2, axis=1), M.repeat(2, 1)), (T.horizontal_stack(x, x), np.hstack([M, M])),
        (T.vertical_stack(x, x), np.vstack([M, M])),
        (T.as_tensor_variable([v[0], 5.0, v[2]]), np.array([1.0, 5.0, 3.0])),
        (T.concatenate([v, [9.0]]), np.append(vec, 9.0)), (T.roll(v, 1), np.roll(vec, 1)),
        (T.concatenate([T.ones((x.shape[0], 1)), x], axis=1), np.hstack([np.ones((3, 1)), M])),
    ])


def test_split_sizes_that_do_not_add_up_are_an_error():
    x, sizes = T.dmatrix("x"), T.lvector("sizes")
    f = function([x, sizes], T.split(x, sizes, n_splits=2, axis=1))
    left, right = f(M, [1, 3])
    np.testing.assert_array_equal(left, M[:, :1])
    np.testing.assert_array_equal(right, M[:, 1:])
    with pytest.raises(ValueError, match=r"shape \(3, 4\), not \(3, 3\)"):
        f(M, [1, 2])
    with pytest.raises(ValueError, match=r"shape \(3, 4\), not \(3, 5\)"):
        f(M, [2, 3])
    a, b = T.split(x, [2, 2], 2, axis=1)
    got = function([x], T.grad(T.sum(a ** 2) + T.sum(b), x))(M)
    np.testing.assert_array_equal(got, np.hstack([2 * M[:, :2], np.ones((3, 2))]))


def test_products_of_arrays():
    x, v, a, b = T.dmatrix("x"), T.dvector("v"), T.dtensor3("a"), T.dtensor3("b")
    vec, B = np.array([1.0, -2.0, 3.0, 0.5]), CUBE.transpose(0, 2, 1) / 10
    check([x, v, a, b], [M, vec, CUBE, B], [
        (T.dot(x, v), M @ vec), (x.dot(v), M @ vec), (T.dot(v, v), vec @ vec), (T.dot(x, x.T), M @ M.T),
        (x @ v, M @ vec),
        (T.dot(a, v), CUBE @ vec), (T.dot(a, x.T), CUBE @ M.T), (T.tensordot(a, b, axes=[[1, 2], [2, 1]]),
                                                               np.tensordot(CUBE, B, [[1, 2], [2, 1]])),
        (T.tensordot(x, x, axes=2), (M * M).sum()), (T.tensordot(x, v, 1), M @ vec), (T.batched_dot(a, b), CUBE @ B),
        (T.batched_dot(a[:, 0], b[:, :, 0]), (CUBE[:, 0] * B[:, :, 0]).sum(1)), (T.outer(v, v), np.outer(vec, vec)),
        (T.diag(v), np.diag(vec)), (T.diag(x), np.diag(M)), (T.nlinalg.trace(x[:, :3]), np.trace(M[:, :3])),
        (x[:, :3].trace(), np.trace(M[:, :3])), (x.diagonal(), M.diagonal()), (T.tri(3), np.tri(3)),
        (T.triu(x), np.triu(M)), (T.tril(x, -1), np.tril(M, -1)), (T.nlinalg.matrix_dot(x, x.T, x), M @ M.T @ M),
        ((x.dimshuffle(0, 1, "x") * x.T.dimshuffle("x", 0, 1)).sum(axis=1), M @ M.T),
        (T.batched_tensordot(a, b, axes=[[2], [1]]), CUBE @ B), (2 * T.dot(x, v) + 1, 2 * (M @ vec) + 1),
    ])


def test_reductions_over_axes():
    x, a = T.dmatrix("x"), T.dtensor3("a")
    value, index = T.max_and_argmax(x, axis=1)
    check([x, a], [M, CUBE], [
        (x.sum(), M.sum()), (x.sum(0), M.sum(0)), (T.sum(a, axis=(0, 2)), CUBE.sum((0, 2))),
        (a.sum(axis=-1), CUBE.sum(-1)),
        (T.mean(x, axis=1), M.mean(1)), (x.mean(axis=[0, 1]), M.mean()), (T.var(x, axis=0), M.var(0)),
        (x.var(axis=1, ddof=1), M.var(1, ddof=1)), (T.std(x), M.std()),
        (x.std(axis=1, keepdims=True), M.std(1, keepdims=True)),
        (T.max(x), M.max()), (x.max(axis=0), M.max(0)), (T.min(x, axis=1), M.min(1)), (T.argmax(x), M.argmax()),
        (x.argmax(axis=1), M.argmax(1)), (T.argmin(x, axis=0), M.argmin(0)), (T.argmax(x, axis=-1, keepdims=True),
                                                                           M.argmax(-1)[:, None]),
        (value, M.max(1)), (index, M.argmax(1)), (T.prod(x, axis=0), M.prod(0)), (T.all(x > -10), True),
        (T.any(x > 5, axis=1), (M > 5).any(1)), (x.norm(2), np.linalg.norm(M)), (x.norm(1, axis=1), abs(M).sum(1)),
        (T.cumsum(x, axis=1), M.cumsum(1)), (T.cumprod(x, axis=0), M.cumprod(0)), (x.ptp(axis=0), np.ptp(M, axis=0)),
        (T.ptp(x), np.ptp(M)), ((x > 0).sum(), 6), ((x > 0).mean(), 0.5), (T.sum(x ** 2, axis=1, keepdims=True),
                                                                          (M ** 2).sum(1, keepdims=True)),
        (T.sqrt(T.mean(T.sqr(x))), np.sqrt((M ** 2).mean())), (T.sum(x, dtype="float64"), M.sum()),
        (T.mean(a, axis=(1, 2), keepdims=True), CUBE.mean((1, 2), keepdims=True)),
        (T.max(a, axis=(0, 1)), CUBE.max((0, 1))),
    ])


def test_masks_and_choices():
    x, y = T.dmatrix("x"), T.imatrix("y")
    labels = (np.arange(12).reshape(3, 4) % 3).astype("int32")
    check([x, y], [M, labels], [
        (T.switch(T.gt(x, 0), x, -x), np.where(M > 0, M, -M)), (T.where(y, x, 0.0), np.where(labels, M, 0)),
        (x * (x > 0), M * (M > 0)), (x * T.neq(y, 0), M * (labels != 0)),
        (T.and_(x > 0, y > 0), (M > 0) & (labels > 0)),
        ((x > 0) & (y > 0), (M > 0) & (labels > 0)), ((x > 0) | (y > 0), (M > 0) | (labels > 0)), (~(x > 0), ~(M > 0)),
        (T.xor(x > 0, y > 0), (M > 0) ^ (labels > 0)), (T.eq(y, 1).sum(axis=0), (labels == 1).sum(0)),
        (T.mean(T.neq(T.argmax(x, axis=1), [3, 3, 0])), 1 / 3), (T.clip(x, -1, 1), M.clip(-1, 1)),
        (x.clip(0, 2), M.clip(0, 2)),
        (T.maximum(x, y), np.maximum(M, labels)), (T.minimum(x, 0), np.minimum(M, 0)), (T.ge(x, y), M >= labels),
        (T.sgn(x), np.sign(M)), (T.isnan(x), np.isnan(M)), (T.isinf(1 / (x * 0 + 1)), np.zeros((3, 4), bool)),
        (T.sum(x * T.cast(T.lt(x, 0), "float64")) / T.sum(T.lt(x, 0)), M[M < 0].mean()),
        (T.inv(x), 1 / M), (T.floor(x), np.floor(M)), (T.round(x, mode="half_to_even"), np.round(M)), (abs(x), abs(M)),
        (T.eq(T.arange(4), 2), np.arange(4) == 2), ((0 < x) * (x < 3), (0 < M) & (M < 3)), (T.switch(1, x, 0), M),
    ])


def test_masked_sequence_loss():
    """The mean cross-entropy over the words of sentences of several lengths."""
    rng = np.random.RandomState(0)
    scores, words = rng.normal(size=(4, 3, 5)), rng.randint(0, 5, (4, 3)).astype("int32")
    mask = (np.arange(4)[:, None] < np.array([4, 2, 3])).astype(config.floatX)
    s, y, m = T.tensor3("s"), T.imatrix("y"), T.matrix("m")
    p = T.nnet.softmax(s.reshape((s.shape[0] * s.shape[1], s.shape[2])))
    flat = y.flatten()
    picked = p.flatten()[T.arange(flat.shape[0]) * 5 + flat].reshape((y.shape[0], y.shape[1]))
    cost = ((-T.log(picked) * m).sum(axis=0) / m.sum(axis=0)).mean()
    again = (T.nnet.categorical_crossentropy(p, flat).reshape(y.shape) * m).sum(0) / m.sum(0)
    f = function([s, y, m], [cost, again.mean(), T.grad(cost, s)])

    def plain(v):
        q = np.take_along_axis(softmax(v), words[..., None], 2)[..., 0]
        return ((-np.log(q) * mask).sum(0) / mask.sum(0)).mean()

    value, other, gradient = f(scores, words, mask)
    assert value == pytest.approx(plain(scores)) and other == pytest.approx(plain(scores))
    np.testing.assert_allclose(gradient, gradient_by_differences(plain, scores), atol=1e-8)


def test_casts_and_integer_arithmetic():
    i, x, b = T.ivector("i"), T.fvector("x"), T.bvector("b")
    ints, floats, bytes_ = np.array([7, -7, 3], "int32"), np.array([1.5, -2.5, 3.0],
     "float32"), np.array([100, -100, 7], "int8")
    check([i, x, b], [ints, floats, bytes_], [
        (i / 2, ints / 2), (i // 2, ints // 2), (i % 4, ints % 4), (i * i, ints * ints),
        (T.cast(x, "int32"), floats.astype("int32")),
        (x.astype("float64"), floats.astype(float)), (i.astype(config.floatX), ints.astype(float)),
        (b + b, bytes_ + bytes_),
        (T.mean(i), ints.mean()), (T.sum(b), 7), (i + x, ints + floats), (x + 1, floats + 1), (x * 2.0, floats * 2),
        (T.true_div(i, 3), ints / 3), (T.int_div(i, 3), ints // 3), (i ** 2, ints ** 2), (-i, -ints),
        (i > x, ints > floats),
        (T.cast(i > 0, "int8"), (ints > 0).astype("int8")), (T.sqrt(T.cast(abs(i), "float64")), np.sqrt(abs(ints))),
        (T.exp(i), np.exp(ints)), (T.minimum(i, 0), np.minimum(ints, 0)), (i & 3, ints & 3), (i | 8, ints | 8),
        (i ^ 1, ints ^ 1),
    ])
    assert (x + 1).dtype == (x * 2.0).dtype == "float32" and (i + x).dtype == "float64" and (i / 2).dtype == "float64"
    assert T.sum(b).dtype == "int64" and (b + b).dtype == "int8" and T.mean(i).dtype == "float64"


def test_type_table_of_the_library_reference():
    for prefix, dtype in zip("bwilfdcz", "int8 int16 int32 int64 float32 float64 complex64 complex128".split()):
        for kind, ndim in (("scalar", 0), ("vector", 1), ("matrix", 2), ("row", 2), ("col", 2), ("tensor3", 3),
         ("tensor4", 4)):
            variable = getattr(T, prefix + kind)("v")
            assert (variable.dtype, variable.ndim, variable.name) == (dtype, ndim, "v")
    assert T.matrix().dtype == config.floatX and T.scalar("s", dtype="int16").dtype == "int16"
    made = T.TensorType("float32", (False, True, False))("made")
    assert made.type.broadcastable == (False, True, False) and made.type.dtype == "float32"
    assert [v.name for v in T.dmatrices("a", "b", "c")] == ["a", "b", "c"] and len(T.vectors(2)) == 2
    assert T.dmatrix("q").type == T.dmatrix and T.tensor(dtype="int8", broadcastable=(True,)).type.dtype == "int8"


def test_constants_and_numpy_on_the_left():
    x = T.dvector("x")
    a = np.array([1.0, 2.0, 3.0])
    check([x], [a], [
        (a + x, a + a), (a * x, a * a), (np.float64(2) * x, 2 * a), (T.dot(np.eye(3) * 2, x), 2 * a),
        (T.constant(a) + x, a + a), (T.as_tensor_variable([1, 2, 3]) * x, [1, 2, 3] * a), (np.exp(x), np.exp(a)),
        (np.float32(0.5) * x, 0.5 * a), (1 - x, 1 - a), (2 ** x, 2 ** a), (5 // x, 5 // a),
        (numpy.maximum(x, 2), np.maximum(a, 2)),
        (a > x, a > a), (x.sum() * np.int64(3), 18.0), (np.sqrt(2) * x.mean(), np.sqrt(2) * 2),
    ])


def test_special_functions_and_sorting():
    import scipy.special as special

    x = T.dvector("x")
    a = np.array([0.7, 0.2, 0.9, 0.4])
    check([x], [a], [
        (T.erf(x), special.erf(a)), (T.erfc(x), special.erfc(a)), (T.gammaln(x), special.gammaln(a)),
        (T.psi(x), special.psi(a)),
        (T.gamma(x), special.gamma(a)), (T.erfinv(x), special.erfinv(a)), (T.sort(x), np.sort(a)),
        (T.argsort(x), np.argsort(a)),
        (x[x.argsort()[::-1]], np.sort(a)[::-1]), (T.nnet.sigmoid(x), special.expit(a)),
        (T.nnet.softplus(x), np.log1p(np.exp(a))),
        (T.log(T.sum(T.exp(x))), special.logsumexp(a)), (T.nnet.hard_sigmoid(x), np.clip(0.2 * a + 0.5, 0, 1)),
        (T.nnet.relu(x - 0.5, 0.1), np.where(a > 0.5, a - 0.5, 0.1 * (a - 0.5))),
        (T.nnet.elu(x - 0.5), np.where(a > 0.5, a - 0.5, np.expm1(a - 0.5))),
        (T.nnet.logsoftmax(T.shape_padleft(x)), np.log(softmax(a[None]))),
        (T.extra_ops.bincount(T.cast(x * 3, "int64")), np.bincount((a * 3).astype(int))),
        (T.deg2rad(x), np.deg2rad(a)), (T.arctan2(x, 1 - x), np.arctan2(a, 1 - a)), (T.log1p(x), np.log1p(a)),
        (T.expm1(x), np.expm1(a)),
        (T.mgrid[0:2, 0:3][1], np.mgrid[0:2, 0:3][1]), (T.extra_ops.diff(x), np.diff(a)),
        (T.arange(1, 2, 0.25), np.arange(1, 2, 0.25)),
        (T.arange(10)[::3], np.arange(10)[::3]), (x.fill(1.5), np.full(4, 1.5)),
    ])


def test_losses():
    rng = np.random.RandomState(0)
    scores, target = rng.normal(size=(5, 4)), rng.randint(0, 4, 5)
    soft = softmax(rng.normal(size=(5, 4)))
    s, y, t = T.dmatrix("s"), T.lvector("y"), T.dmatrix("t")
    p, q = T.nnet.softmax(s), softmax(scores)
    sig = 1 / (1 + np.exp(-scores))
    nll = -np.log(q[np.arange(5), target])
    check([s, y, t], [scores, target, soft], [
        (T.nnet.categorical_crossentropy(p, y), nll),
        (T.nnet.categorical_crossentropy(p, t), -(soft * np.log(q)).sum(1)),
        (T.nnet.crossentropy_softmax_1hot(s, y)[0], nll),
        (-T.mean(T.log(p)[T.arange(y.shape[0]), y]), nll.mean()), (T.nnet.binary_crossentropy(T.nnet.sigmoid(s), t),
                                                                  -(soft * np.log(sig) + (1 - soft) * np.log(1 - sig))),
        (T.nnet.sigmoid_binary_crossentropy(s, t), -(soft * np.log(sig) + (1 - soft) * np.log(1 - sig))),
        (T.sum(t * (T.log(t) - T.log(p)), axis=1), (soft * np.log(soft / q)).sum(1)),
        (T.mean((s - t) ** 2), ((scores - soft) ** 2).mean()),
        (T.mean(abs(s - t)), abs(scores - soft).mean()), (T.argmax(p, axis=1), scores.argmax(1)),
        (T.switch(abs(s) < 1, 0.5 * s ** 2, abs(s) - 0.5),
         np.where(abs(scores) < 1, 0.5 * scores ** 2, abs(scores) - 0.5)),
        (T.sum(s * t, axis=1) / (s.norm(2, axis=1) * t.norm(2, axis=1)),
         (scores * soft).sum(1) / np.linalg.norm(scores, axis=1) / np.linalg.norm(soft, axis=1)),
    ])


def test_moving_windows_without_scan():
    signal = np.sin(np.arange(20.0))
    x = T.dvector("x")
    width = 5
    windows = x[T.arange(x.shape[0] - width + 1)[:, None] + T.arange(width)[None, :]]
    total = T.concatenate([T.zeros((1,)), T.cumsum(x)])
    check([x], [signal], [
        (windows.mean(axis=1), np.convolve(signal, np.ones(5) / 5, "valid")),
        ((total[width:] - total[:-width]) / width, np.convolve(signal, np.ones(5) / 5, "valid")),
        (T.dot(windows, np.array([1.0, 0, 0, 0, -1.0])), np.convolve(signal, [-1.0, 0, 0, 0, 1.0], "valid")),
    ])


def test_game_of_life_step_on_a_shared_board():
    board = shared((np.random.RandomState(0).uniform(size=(8, 8)) > 0.6).astype("int8"), "board")
    start = board.get_value()
    around = sum(T.roll(T.roll(board, i, 0), j, 1) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
    alive = T.or_(T.eq(around, 3), T.and_(T.eq(around, 2), T.eq(board, 1)))
    step = function([], updates=[(board, T.cast(alive, "int8"))])
    for _ in range(3):
        step()
        n = sum(np.roll(np.roll(start, i, 0), j, 1) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
        start = ((n == 3) | ((n == 2) & (start == 1))).astype("int8")
    np.testing.assert_array_equal(board.get_value(), start)


def test_mandelbrot_steps_with_complex_numbers():
    c = T.zmatrix("c")
    z = shared(np.zeros((6, 8), complex), "z")
    escaped = shared(np.zeros((6, 8), "int64"), "escaped")
    new = z ** 2 + c
    inside = abs(new) < 2
    step = function([c], updates=[(z, T.switch(inside, new, z)), (escaped, escaped + T.cast(inside, "int64"))])
    plane = np.linspace(-2, 1, 8) + 1j * np.linspace(-1, 1, 6)[:, None]
    w, count = np.zeros((6, 8), complex), np.zeros((6, 8), int)
    for _ in range(10):
        step(plane)
        moved = w ** 2 + plane
        ok = abs(moved) < 2
        w, count = np.where(ok, moved, w), count + ok
    np.testing.assert_array_equal(escaped.get_value(), count)
    np.testing.assert_allclose(z.get_value(), w)
    assert fuse.tensor.real(z).eval().shape == (6, 8)
