"""Convolutions, pooling, patches and batch normalisation, against loops of NumPy and SciPy."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import correlate

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.tensor.nnet import abstract_conv, neighbours
from fuse.tensor.signal import downsample, pool
from fuse.tensor.signal.conv import conv2d as plain_conv2d

RNG = np.random.default_rng(3)


def tensors(*arrays):
    return [T.TensorType(a.dtype, (None,) * a.ndim)() for a in arrays]


def evaluated(build, *arrays):
    inputs = tensors(*arrays)
    return fuse.function(inputs, build(*inputs))(*arrays)


def zeros_around(mode, sizes):
    if mode == "valid":
        return [(0, 0)] * len(sizes)
    if mode == "full":
        return [(k - 1, k - 1) for k in sizes]
    if mode == "half":
        return [(k // 2, k // 2) for k in sizes]
    return [(m, m) if isinstance(m, int) else m for m in mode]


def convolved(x, w, mode, strides, flip, dilation, groups=1):
    """One correlation of SciPy per image, filter and channel."""
    n = x.ndim - 2
    if flip:
        w = w[(..., *[slice(None, None, -1)] * n)]
    wide = np.zeros((*w.shape[:2], *[(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]))
    wide[(slice(None), slice(None), *[slice(None, None, d) for d in dilation])] = w
    x = np.pad(x, [(0, 0), (0, 0), *zeros_around(mode, wide.shape[2:])])
    per_group, filters = w.shape[1], len(w) // groups
    out = [
        [
            sum(correlate(image[f // filters * per_group + c], wide[f, c], "valid") for c in range(per_group))
            for f in range(len(w))
        ]
        for image in x
    ]
    return np.array(out)[(slice(None), slice(None), *[slice(None, None, s) for s in strides])]


MODES = ("valid", "full", "half", (1, 2), ((1, 0), (0, 2)))
GRID = list(itertools.product(MODES, ((1, 1), (2, 1), (3, 2)), (True, False), ((1, 1), (2, 1)), (1, 2)))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_conv2d_in_every_way(mode):
    for _, strides, flip, dilation, groups in [g for g in GRID if g[0] == mode]:
        x, w = RNG.normal(size=(3, 4, 9, 8)), RNG.normal(size=(6, 4 // groups, 3, 2))
        got = evaluated(
            lambda a, b, s=strides, f=flip, d=dilation, g=groups: T.nnet.conv2d(
                a, b, border_mode=mode, subsample=s, filter_flip=f, filter_dilation=d, num_groups=g),
            x, w,
        )
        np.testing.assert_allclose(got, convolved(x, w, mode, strides, flip, dilation, groups), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_conv2d_of_other_dtypes(dtype):
    x, w = (RNG.normal(size=(2, 3, 6, 6)) * 5).astype(dtype), (RNG.normal(size=(2, 3, 3, 3)) * 5).astype(dtype)
    got = evaluated(T.nnet.conv2d, x, w)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, convolved(x, w, "valid", (1, 1), True, (1, 1)), rtol=1e-4, atol=1e-3)


def test_conv3d():
    x, w = RNG.normal(size=(2, 2, 5, 4, 3)), RNG.normal(size=(3, 2, 2, 2, 2))
    for mode in ("valid", "half", "full"):
        got = evaluated(lambda a, b, m=mode: T.nnet.conv3d(a, b, border_mode=m), x, w)
        np.testing.assert_allclose(got, convolved(x, w, mode, (1, 1, 1), True, (1, 1, 1)), atol=1e-12)


@pytest.mark.parametrize(("mode", "strides", "flip", "dilation", "groups"), [
    ("valid", (1, 1), True, (1, 1), 1), ("half", (2, 1), True, (2, 1), 2), ("full", (3, 2), False, (1, 1), 1),
])
def test_gradients_of_conv2d_twice(mode, strides, flip, dilation, groups):
    x, w = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(4, 4 // groups, 3, 2))

    def conv(a, b):
        return T.nnet.conv2d(a, b, border_mode=mode, subsample=strides, filter_flip=flip, filter_dilation=dilation,
                             num_groups=groups)

    T.verify_grad(conv, [x, w], rng=np.random.RandomState(1))
    for i in (0, 1):
        T.verify_grad(
            lambda a, b, i=i: T.grad(T.sqr(conv(a, b)).sum(), (a, b)[i]), [x, w], rng=np.random.RandomState(1)
        )


def test_gradients_by_name_are_those_of_grad():
    x, w = RNG.normal(size=(2, 3, 7, 6)), RNG.normal(size=(4, 3, 3, 2))
    g = RNG.normal(size=convolved(x, w, "half", (2, 1), True, (1, 1)).shape)

    def by_name(a, b, c):
        options = {"border_mode": "half", "subsample": (2, 1)}
        out = T.nnet.conv2d(a, b, **options)
        return [
            *T.Lop(out, [a, b], c),
            abstract_conv.conv2d_grad_wrt_inputs(c, b, (None, None, a.shape[2], a.shape[3]), **options),
            abstract_conv.conv2d_grad_wrt_weights(a, c, (None, None, 3, 2), **options),
        ]

    at_x, at_w, named_x, named_w = evaluated(by_name, x, w, g)
    np.testing.assert_allclose(named_x, at_x, atol=1e-12)
    np.testing.assert_allclose(named_w, at_w, atol=1e-12)


def test_the_transpose_is_the_transpose():
    x, w = RNG.normal(size=(2, 3, 7, 6)), RNG.normal(size=(4, 3, 3, 2))
    y = RNG.normal(size=convolved(x, w, "valid", (2, 2), True, (1, 1)).shape)
    there = evaluated(lambda a, b: T.nnet.conv2d(a, b, subsample=(2, 2)), x, w)
    back = evaluated(lambda a, b: T.nnet.conv2d_transpose(a, b, (2, 3, 7, 6), input_dilation=(2, 2)), y, w)
    assert abs((there * y).sum() - (back * x).sum()) < 1e-10


def test_unshared_filters():
    x, w = RNG.normal(size=(2, 3, 5, 4)), RNG.normal(size=(2, 3, 3, 3, 3, 2))  # filters, places, channels, window
    got = evaluated(lambda a, b: T.nnet.conv2d(a, b, None, w.shape, unshared=True, filter_flip=False), x, w)
    want = np.zeros((2, 2, 3, 3))
    for f, i, j in np.ndindex(2, 3, 3):
        want[:, f, i, j] = (x[:, :, i : i + 3, j : j + 2] * w[f, i, j]).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_other_convolutions():
    x, w = RNG.normal(size=(5, 6)), RNG.normal(size=(2, 3, 2))
    got = evaluated(plain_conv2d, x, w)
    want = [correlate(x, f[::-1, ::-1], "valid") for f in w]
    np.testing.assert_allclose(got, want, atol=1e-12)
    signal, filters = RNG.normal(size=(2, 3, 9)), RNG.normal(size=(4, 3, 3))
    got = evaluated(lambda a, b: T.nnet.causal_conv1d(a, b, filter_shape=(4, 3, 3)), signal, filters)
    assert got.shape == (2, 4, 9)
    np.testing.assert_allclose(got[:, :, 0], np.einsum("nc,fc->nf", signal[:, :, 0], filters[:, :, 0]), atol=1e-12)
    image, each, mix = RNG.normal(size=(2, 3, 5, 5)), RNG.normal(size=(6, 1, 3, 3)), RNG.normal(size=(4, 6, 1, 1))
    got = evaluated(lambda a, b, c: T.nnet.separable_conv2d(a, b, c, num_channels=3), image, each, mix)
    want = np.einsum("fk,nkij->nfij", mix[:, :, 0, 0], convolved(image, each, "valid", (1, 1), True, (1, 1), 3))
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize(("build", "error"), [
    (lambda: T.nnet.conv2d(T.matrix(), T.tensor4()), ShapeError),
    (lambda: T.nnet.conv2d(T.tensor4(), T.tensor4(), border_mode="same"), FuseValueError),
    (lambda: T.nnet.conv2d(T.tensor4(), T.tensor4(), border_mode=-1), FuseValueError),
    (lambda: T.nnet.conv2d(T.tensor4(), T.tensor4(), subsample=(0, 1)), FuseValueError),
    (lambda: T.nnet.conv2d(T.tensor4(), T.tensor4(), (1, 3, 8, 8), (2, 4, 3, 3)), ShapeError),
    (lambda: T.nnet.conv2d(T.tensor4(), T.tensor4(), (1, 3, 2, 2), (2, 3, 3, 3)), ShapeError),
    (lambda: T.nnet.conv2d(T.ztensor4(), T.tensor4()), FuseTypeError),
    (lambda: pool.pool_2d(T.vector(), (2, 2), True), ShapeError),
    (lambda: pool.pool_2d(T.matrix(), (2, 2), False, pad=(1, 1)), FuseValueError),
    (lambda: pool.pool_2d(T.matrix(), (2, 2), True, mode="median"), FuseValueError),
    (lambda: pool.pool_2d(T.matrix(), None, True), FuseValueError),
])
def test_what_is_refused(build, error):
    with pytest.raises(error):
        build()


def test_shapes_that_do_not_fit_at_run_time():
    with pytest.raises(FuseError, match="channels"):
        evaluated(T.nnet.conv2d, np.zeros((1, 3, 5, 5)), np.zeros((1, 2, 3, 3)))
    with pytest.raises(FuseError, match="larger than the input"):
        evaluated(T.nnet.conv2d, np.zeros((1, 2, 2, 5)), np.zeros((1, 2, 3, 3)))


def test_shape_functions():
    for mode, stride in itertools.product(("valid", "half", "full", 2), (1, 2, 3)):
        x, w = np.zeros((2, 3, 11, 10)), np.zeros((4, 3, 3, 4))
        modes = mode if isinstance(mode, str) else (mode, mode)
        want = convolved(x, w, modes, (stride, stride), True, (1, 1)).shape
        assert abstract_conv.get_conv_output_shape(x.shape, w.shape, mode, (stride, stride)) == want


# ---------------------------------------------------------------- pooling
def pooled(x, window, ignore_border, strides, pad, mode):
    """Theano's definition, one window after the other."""
    sizes = [n + 2 * p for n, p in zip(x.shape, pad, strict=True)]
    filler = -np.inf if mode == "max" else 0.0
    around = np.pad(x, [(p, p) for p in pad], constant_values=filler)
    counted = np.pad(np.ones_like(x), [(p, p) for p in pad])
    if ignore_border:
        found = [max(0, (n - w) // s + 1) for n, w, s in zip(sizes, window, strides, strict=True)]
    else:
        found = [
            (n - 1) // s + 1 if s >= w else max(0, (n - 1 - w + s) // s) + 1
            for n, w, s in zip(sizes, window, strides, strict=True)
        ]
    out = np.zeros(found)
    for at in np.ndindex(*found):
        cut = tuple(slice(i * s, i * s + w) for i, s, w in zip(at, strides, window, strict=True))
        part, count = around[cut], counted[cut].sum()
        if mode == "max":
            out[at] = part.max()
        elif mode == "sum":
            out[at] = part.sum()
        else:
            out[at] = part.sum() / (part.size if mode == "average_inc_pad" else count)
    return out


@pytest.mark.parametrize("mode", ["max", "sum", "average_inc_pad", "average_exc_pad"])
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (7, 6)])
def test_pool_2d(window, mode):
    x = RNG.normal(size=(11, 9))
    turn = ("max", "sum", "average_inc_pad", "average_exc_pad").index(mode) + window[0]
    ways = itertools.product((True, False), (window, (1, 1), (3, 2)), ((0, 0), (1, 1)))
    for ignore, strides, pad in [w for w in ways if w[0] or not any(w[2])][turn % 2 :: 2]:  # half of them each
        got = evaluated(lambda a, i=ignore, s=strides, p=pad: pool.pool_2d(a, window, i, s, p, mode), x)
        np.testing.assert_allclose(got, pooled(x, window, ignore, strides, pad, mode), atol=1e-12)


def test_gradients_of_pooling():
    x = RNG.normal(size=(2, 6, 7))
    for mode in ("max", "sum", "average_inc_pad", "average_exc_pad"):
        T.verify_grad(lambda a, m=mode: pool.pool_2d(a, (3, 2), True, (2, 1), (1, 0), m), [x],
                      rng=np.random.RandomState(1))
    T.verify_grad(lambda a: pool.pool_2d(a, (6, 7), True), [x], rng=np.random.RandomState(1))
    T.verify_grad(lambda a: T.grad(T.sqr(pool.pool_2d(a, (2, 2), True)).sum(), a), [x], rng=np.random.RandomState(1))


def test_windows_that_do_not_fit():
    for size, window, stride in itertools.product(((8, 5), (2, 2), (12, 1)), ((9, 9), (3, 3)), ((1, 1), (10, 10))):
        x = np.ones((1, *size))
        got = evaluated(lambda a, w=window, s=stride: pool.pool_2d(a, w, True, s), x)
        assert list(got.shape) == pool.Pool.out_shape(x.shape, window, True, stride)
        assert pool.pool_2d(T.constant(x), window, True, stride).type.shape == got.shape
    with pytest.raises(ShapeError):
        pool.Pool.out_shape((3,), (2, 2))


def test_theanos_ops_of_pooled_gradients():
    x, g = RNG.normal(size=(4, 7)), RNG.normal(size=(2, 3))
    largest = np.where(x[:, :6] == np.kron(pooled(x, (2, 2), True, (2, 2), (0, 0), "max"), np.ones((2, 2))), 1, 0)
    rest = {"ws": (2, 2), "stride": None, "pad": None}
    spread = np.pad(np.kron(g, np.ones((2, 2))), ((0, 0), (0, 1)))
    a, b = T.dmatrices("a", "b")
    both = [
        pool.AveragePoolGrad(True, "sum")(a, b, **rest),
        pool.MaxPoolGrad(True)(a, pool.pool_2d(a, (2, 2), True), b, **rest),
        pool.DownsampleFactorMaxGradGrad(True)(a, pool.pool_2d(a, (2, 2), True), T.constant(spread), (2, 2)),
    ]
    average, top, again = fuse.function([a, b], both)(x, g)
    np.testing.assert_allclose(average, spread)
    np.testing.assert_allclose(top, spread * np.pad(largest, ((0, 0), (0, 1))))
    np.testing.assert_allclose(again, g)


def test_equal_largest_elements_share_the_gradient():
    got = evaluated(lambda a: T.grad(pool.pool_2d(a, (2, 2), True).sum(), a), np.array([[1.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(got, [[1, 1], [0, 1]])


def test_other_pooling():
    x = RNG.normal(size=(2, 4, 4, 6))
    got = evaluated(lambda a: pool.pool_3d(a, (2, 2, 3), True), x)
    want = x.reshape(2, 2, 2, 2, 2, 2, 3).max(axis=(2, 4, 6))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(evaluated(lambda a: downsample.max_pool_2d(a, (2, 3), True), x),
                                  x.reshape(2, 4, 2, 2, 2, 3).max(axis=(3, 5)))
    same = evaluated(lambda a: pool.max_pool_2d_same_size(a, (3, 4)), x)
    top = x[..., :3, :4].max(axis=(2, 3), keepdims=True)
    want = np.zeros_like(x)
    want[..., :3, :4] = np.where(x[..., :3, :4] == top, x[..., :3, :4], 0)
    np.testing.assert_array_equal(same, want)


# ---------------------------------------------------------------- larger images
@pytest.mark.parametrize("ratio", [1, 2, 3, 6, (7, 4), (24, 20)])
def test_bilinear_upsampling(ratio):
    x = RNG.normal(size=(2, 1, 3, 5))
    up, down = ratio if isinstance(ratio, tuple) else (ratio, 1)
    common = np.gcd(up, down)
    up, down = up // common, down // common

    def larger(values):  # the first value (up - 1) // 2 times more, then up places from each value to the next
        places = np.arange(0, len(values) * up, down) - (up - 1) // 2
        return np.interp(places / up, np.arange(len(values)), values)

    want = np.apply_along_axis(larger, 3, np.apply_along_axis(larger, 2, x))
    given = {"frac_ratio": ratio} if isinstance(ratio, tuple) else {"ratio": ratio}
    np.testing.assert_allclose(evaluated(lambda a: abstract_conv.bilinear_upsampling(a, **given), x), want, atol=1e-12)
    if not isinstance(ratio, tuple):
        n = T.iscalar()
        f = fuse.function([n], abstract_conv.bilinear_upsampling(T.constant(x), n))
        np.testing.assert_allclose(f(ratio), want, atol=1e-12)
        kernel = fuse.function([n], abstract_conv.bilinear_kernel_1D(n, normalize=False))(ratio)
        np.testing.assert_array_equal(kernel, np.convolve(np.ones(ratio), np.ones(ratio)))


# ---------------------------------------------------------------- patches
def test_patches_and_back():
    x = RNG.normal(size=(2, 3, 4, 6))
    want = x.reshape(2, 3, 2, 2, 2, 3).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 6)
    np.testing.assert_array_equal(evaluated(lambda a: neighbours.images2neibs(a, (2, 3)), x), want)
    np.testing.assert_array_equal(
        evaluated(lambda a: neighbours.neibs2images(neighbours.images2neibs(a, (2, 3)), (2, 3), x.shape), x), x
    )
    T.verify_grad(lambda a: neighbours.images2neibs(a, (3, 3), (1, 1)), [x[:1]], rng=np.random.RandomState(1))


def test_patches_that_wrap_around():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    got = evaluated(lambda a: neighbours.images2neibs(a, (3, 3), (1, 1), "wrap_centered"), x)
    want = [np.roll(x[0, 0], (1 - i, 1 - j), (0, 1)).ravel() for i in range(3) for j in range(3)]
    np.testing.assert_array_equal(got, want)


# ---------------------------------------------------------------- batch normalisation
@pytest.mark.parametrize(("axes", "rank"), [("per-activation", 2), ("spatial", 4), ((0, 2), 3)])
def test_batch_normalisation(axes, rank):
    x = RNG.normal(size=(5, 3, 4, 2)[:rank])
    over = {"per-activation": (0,), "spatial": (0, 2, 3)}.get(axes, axes)
    kept = [n for a, n in enumerate(x.shape) if a not in over]
    g, b, m, v = RNG.normal(size=kept), RNG.normal(size=kept), RNG.normal(size=kept), RNG.random(kept) + 1
    wide = [np.expand_dims(p, over) for p in (g, b, m, v)]
    mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
    got = evaluated(
        lambda *i: list(T.nnet.bn.batch_normalization_train(*i[:3], axes, 1e-3, 0.2, *i[3:])), x, g, b, m, v
    )
    count = x.size / mean.size
    want = [
        (x - mean) / np.sqrt(var + 1e-3) * wide[0] + wide[1], mean.squeeze(over), 1 / np.sqrt(var + 1e-3).squeeze(over),
        m * 0.8 + mean.squeeze(over) * 0.2, v * 0.8 + var.squeeze(over) * count / (count - 1) * 0.2,
    ]
    for have, expect in zip(got, want, strict=True):
        np.testing.assert_allclose(have, expect, rtol=1e-10)
    got = evaluated(lambda *i: T.nnet.bn.batch_normalization_test(*i, axes, 1e-3), x, g, b, m, v)
    np.testing.assert_allclose(got, (x - wide[2]) / np.sqrt(wide[3] + 1e-3) * wide[0] + wide[1], rtol=1e-10)
    T.verify_grad(
        lambda *i: T.nnet.bn.batch_normalization_train(*i, axes, 1e-3)[0], [x, g, b], rng=np.random.RandomState(1)
    )


def test_hierarchical_softmax():
    x, w1, b1 = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2)), RNG.normal(size=2)
    w2, b2 = RNG.normal(size=(2, 3, 5)), RNG.normal(size=(2, 5))

    def softmax(a):
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    inner = softmax(np.einsum("nf,cfo->nco", x, w2) + b2)
    want = (softmax(x @ w1 + b1)[:, :, None] * inner).reshape(4, 10)
    got = evaluated(lambda *i: T.nnet.h_softmax(i[0], 4, 9, 2, 5, *i[1:]), x, w1, b1, w2, b2)
    np.testing.assert_allclose(got, want[:, :9], rtol=1e-10)
    target = np.array([0, 7, 3, 9])
    got = evaluated(lambda *i: T.nnet.h_softmax(i[0], 4, 10, 2, 5, *i[1:5], target), x, w1, b1, w2, b2)
    np.testing.assert_allclose(got, want[np.arange(4), target], rtol=1e-10)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "FAST_RUN"])
def test_pooling_of_fewer_elements_than_a_window_and_of_bools(mode):
    x, b = T.dmatrix("x"), T.TensorType("bool", (None, None))("b")
    few = pool.pool_2d(x, (3, 1), ignore_border=True, stride=(1, 1))
    results = [few, fuse.grad(few.sum(), x), pool.pool_2d(b, (2, 2), True)]
    value, slope, of_bools = fuse.function([x, b], results, mode=mode)(np.ones((1, 3)), np.eye(4, dtype=bool))
    assert value.shape == (0, 3) and not slope.any()
    np.testing.assert_array_equal(of_bools, np.eye(2, dtype=bool))
    v, t = T.dvectors("v", "t")  # bounds of slices that count from 0 are below it where no window fits
    for window, stride, padding, n in ((10, 5, 3, 2), (10, 1, 0, 8), (4, 3, 0, 1)):
        for kind in ("max", "sum"):
            none = pool.Pool(ndim=1, ignore_border=True, mode=kind)(v, (window,), (stride,), (padding,))
            value, slope = fuse.function([v], [none, fuse.grad(none.sum(), v)], mode=mode)(np.ones(n))
            assert value.shape == (0,) and slope.tolist() == [0] * n
    largest = pool.Pool(ndim=1, ignore_border=True)(v, (2,), (2,), (0,))
    moved = pool.DownsampleFactorMaxGradGrad(ndim=1, ignore_border=True)(v, largest, t, (2,), (2,), (0,))
    assert fuse.function([v, t], moved, mode=mode)([1.0, 3, 5, 2], [10.0, 20, 30, 40]).tolist() == [20, 30]
