"""Statistics of columns from one reading of the rows: against NumPy in long double, with special values, as bits."""
from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.kernel import check
from fuse.codegen.program import compile_program
from fuse.codegen.runner import BY_ROWS
from fuse.config import config
from fuse.reference import evaluate

RNG = np.random.default_rng(5)
WIDE = np.longdouble


@pytest.fixture(autouse=True)
def by_rows_in_small_tiles(monkeypatch):
    """Every array is much work and tall, and tiles have few rows."""
    with much_work(monkeypatch, 3, BLOCK_WORK=1 << 6, ROWS=2, FEW_ROWS=1, TILE_BYTES=1, TILE_ROWS=5):
        yield


def softmax(x):
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def logsumexp(x):
    top = np.where(np.isinf(x.max(0)), 0, x.max(0))
    return np.log(np.exp(x - top).sum(0)) + top


def softmax_slope(x, w):
    p = softmax(x)
    return p * (w - (p * w).sum(0))


def normal(x, eps=1e-5):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


def normal_slope(x, w, eps=1e-5):
    y = normal(x, eps)
    return (w - w.mean(0) - y * (w * y).mean(0)) / np.sqrt(x.var(0) + eps)


def batch_norm(x, g, b):
    return (x - x.mean(0)) / T.sqrt(x.var(0) + 1e-5) * g + b


def formulas(dtype):
    """name: (inputs, outputs, what NumPy says in long double)."""
    x, w = (T.TensorType(dtype, (None, None))(name) for name in "xw")
    g, b = (T.TensorType(dtype, (None,))(name) for name in "gb")
    soft, log_soft = T.nnet.softmax(x, axis=0), T.nnet.log_softmax(x, axis=0)
    norm, full = batch_norm(x, 1, 0), batch_norm(x, g, b)
    costs = [(v * w).sum() for v in (soft, log_soft, norm, full)]
    return {
        "softmax": ([x], [soft], lambda x: [softmax(x)]),
        "logsumexp": ([x], [T.logsumexp(x, axis=0)], lambda x: [logsumexp(x)]),
        "log-softmax": ([x], [log_soft], lambda x: [x - logsumexp(x)]),
        "layer norm": ([x], [norm], lambda x: [normal(x)]),
        "variance": ([x], [x.var(0), x.std(0), x.mean(0)], lambda x: [x.var(0), x.std(0), x.mean(0)]),
        "weighted exponentials": (
            [x, w, b], [T.exp(x - x.max(0)).sum(0), (T.exp(x - x.max(0)) * w * b * 3).sum(0), w.max(0), w.prod(0)],
            lambda x, w, b: [np.exp(x - x.max(0)).sum(0), (np.exp(x - x.max(0)) * w * b * 3).sum(0), w.max(0),
                             w.prod(0)]),
        "covariance": (
            [x, w], [((x - x.mean(0)) * (w - w.mean(0))).sum(0), ((x - x.mean(0)) * w).sum(0) / 7],
            lambda x, w: [((x - x.mean(0)) * (w - w.mean(0))).sum(0), ((x - x.mean(0)) * w).sum(0) / 7]),
        "multiples": (
            [x, b], [(-2 * (x - x.mean(0)) ** 2 / b).sum(0), ((x - x.mean(0)) * b).sum(0),
                     (((x - x.mean(0)) / b) ** 2).sum(0)],
            lambda x, b: [-2 * ((x - x.mean(0)) ** 2 / b).sum(0), ((x - x.mean(0)) * b).sum(0) * 0,
                          (((x - x.mean(0)) / b) ** 2).sum(0)]),
        "standard scores": (
            [x, w], [(norm**2).sum(0), (norm * w).sum(0), (w / x.std(0) + norm * 3).sum(0)],
            lambda x, w: [(normal(x) ** 2).sum(0), (normal(x) * w).sum(0), (w / x.std(0) + normal(x) * 3).sum(0)]),
        "softmax gradient": ([x, w], [costs[0], T.grad(costs[0], x)],
                             lambda x, w: [(softmax(x) * w).sum(), softmax_slope(x, w)]),
        "log-softmax gradient": ([x, w], [costs[1], T.grad(costs[1], x)],
                                 lambda x, w: [((x - logsumexp(x)) * w).sum(), w - softmax(x) * w.sum(0)]),
        "layer norm gradient": ([x, w], [costs[2], T.grad(costs[2], x)],
                                lambda x, w: [(normal(x) * w).sum(), normal_slope(x, w)]),
        "batch norm gradient": (
            [x, w, g, b], [costs[3], *T.grad(costs[3], [x, g, b])],
            lambda x, w, g, b: [((normal(x) * g + b) * w).sum(), normal_slope(x, w * g), (w * normal(x)).sum(0),
                                w.sum(0)]),
        "logits of a mask": (
            [x, w], [T.logsumexp(T.switch(w > 0, x, -np.inf), axis=0)],
            lambda x, w: [logsumexp(np.where(w > 0, x, -np.inf))]),
        "not of tiles": (
            [x, w], [T.exp(x - w.max(0)).sum(0), (abs(x - x.mean(0))).sum(0), T.exp(x.min(0) - x).sum(0)],
            lambda x, w: [np.exp(x - w.max(0)).sum(0), abs(x - x.mean(0)).sum(0), np.exp(x.min(0) - x).sum(0)]),
    }


NARROW = ("weighted exponentials", "log-softmax gradient", "layer norm gradient")
ONE = ("softmax", "logsumexp", "layer norm", "variance", "weighted exponentials", "softmax gradient",
       "log-softmax gradient", "layer norm gradient", "batch norm gradient", "logits of a mask", "standard scores")


def values_for(inputs, n, m):
    rng = np.random.default_rng([n, m])  # the same in any order of the tests: two rows may nearly cancel
    return [rng.normal(size=(n, m) if v.ndim == 2 else m).astype(v.dtype) + (v.name in "gb") * 2 for v in inputs]


def bits(values):
    return [np.asarray(v).tobytes() for v in values]


def close(got, want, args, dtype):
    """As near as sums of that many rounded values are; ``want`` may vanish beside what it is summed of."""
    eps = np.finfo(dtype).eps
    for have, exact in zip(got, want, strict=True):
        assert have.dtype == dtype
        scale = np.max(np.abs(exact), initial=1, where=np.isfinite(exact))
        np.testing.assert_allclose(have.astype(WIDE), exact, rtol=40 * eps, atol=40 * eps * scale * len(args[0]) ** 0.5)


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float64") for name in formulas("float64")),
                                             *((name, "float32") for name in NARROW)])
def test_as_near_as_numpy_and_the_same_bits_for_any_threads(name, dtype):
    with config.change_flags(floatX=dtype):
        inputs, outputs, numpy = formulas(dtype)[name]
        f = fuse.function(inputs, outputs)
    for n, m in ((1, 3), (2, 1), (5, 4), (23, 9), (301, 17)):
        args = values_for(inputs, n, m)
        found = {}
        for count in (1, 2, 5):
            fuse.set_num_threads(count)
            for _ in range(2):
                found.setdefault(bits(f(*args))[0], count)
        assert len(found) == 1
        with np.errstate(all="ignore"):
            want = numpy(*[a.astype(WIDE) for a in args])
        close(f(*args), want, args, dtype)
    if name in ONE:
        assert "tile_rows" in f.source


@pytest.mark.parametrize("name", list(formulas("float64")))
def test_kernels_say_the_same_as_their_interpreter(name):
    inputs, outputs, _ = formulas("float64")[name]
    program = compile_program(inputs, outputs)
    kernels = [x.scheduled((*("C",) * len(x.bases), BY_ROWS))[0] for x in program.planned.launchers]
    assert all(check(kernel) is kernel for kernel in kernels)
    if len(kernels) > 1:
        return
    args = values_for(inputs, 11, 4)
    given = dict(zip(inputs, args, strict=True))
    (launcher,), (kernel,) = program.planned.launchers, kernels
    results = launcher.region.outputs
    arrays = [given[b] if b in given else np.empty([11, 4][2 - b.ndim:], b.dtype) for b in launcher.bases]
    scratch = [np.empty((4,) if b.ndim == 1 and b.name != "count" else (11, 4)[: b.ndim], b.dtype)
               for b in kernel.buffers if b.lent]
    interpret.run(kernel, [*arrays, *scratch], [11] * len(kernel.scalars))
    assert results
    for base, have in zip(launcher.bases, arrays, strict=True):
        if base in results:
            np.testing.assert_allclose(have, evaluate([base], given)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["logsumexp", "softmax gradient", "weighted exponentials", "layer norm gradient",
                                  "logits of a mask"])
def test_infinities_and_nan_come_out_as_from_numpy(name):
    inputs, outputs, numpy = formulas("float64")[name]
    f = fuse.function(inputs, outputs)
    args = values_for(inputs, 31, 7)
    x = args[0]
    x[:12, 1] = -np.inf  # whole tiles of nothing
    x[:, 2] = -np.inf
    x[20, 3] = np.inf
    x[30, 4], x[2, 4] = np.nan, 800.0
    x[7, 5], x[29, 5] = -800.0, 900.0
    with np.errstate(all="ignore"):
        want = numpy(*args)
    for have, exact in zip(f(*args), want, strict=True):
        if np.ndim(have):
            np.testing.assert_array_equal(np.isnan(have), np.isnan(exact))
            scale = np.nanmax(np.where(np.isfinite(exact), abs(exact), 0))
            np.testing.assert_allclose(have, exact, rtol=1e-9, atol=1e-12 * scale)


def test_a_spread_beside_a_large_mean_keeps_its_digits():
    x = T.dmatrix("x")
    f = fuse.function([x], [x.var(0), T.nnet.softmax(x, axis=0)])
    a = RNG.normal(size=(400, 6)) + 1e8
    a[:, 1] = np.linspace(0, 1e9, 400)  # tiles whose means lie far apart
    variance, soft = f(a)
    assert "tile_rows" in f.source
    np.testing.assert_allclose(variance, a.astype(WIDE).var(0), rtol=2e-14)
    np.testing.assert_allclose(soft.sum(0), 1, rtol=1e-13)


def test_what_must_be_exact_keeps_its_sweeps():
    x, w = T.dmatrices("x", "w")
    cost = (T.nnet.softmax(x, axis=0) * w).sum()
    f = fuse.function([x, w], [cost, T.grad(cost, x)], mode="strict")
    args = values_for([x, w], 40, 5)
    np.testing.assert_allclose(f(*args)[1], softmax_slope(*args), rtol=1e-12, atol=1e-14)
    assert "tile_rows" not in f.source
