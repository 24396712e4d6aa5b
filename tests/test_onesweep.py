"""Statistics of columns from one reading of the rows: against NumPy in long double, with special values, as bits."""
from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work
from statistics_cases import ONE, WIDE, formulas, near_numpy, softmax_slope, special_like_numpy, values_for

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.program import compile_program
from fuse.codegen.runner import BY_ROWS
from fuse.codegen.wellformed import check
from fuse.config import config
from fuse.reference import evaluate

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def by_rows_in_small_tiles(monkeypatch):
    """Every array is much work and tall, and tiles have few rows."""
    with much_work(monkeypatch, 3, BLOCK_WORK=1 << 6, ROWS=2, FEW_ROWS=1, TILE_BYTES=1, TILE_ROWS=5):
        yield


NARROW = ("weighted exponentials", "log-softmax gradient", "layer norm gradient")
# A row alone has a kernel of its own, and so have few columns: some formulas of every kind meet them.
ROW_ALONE = ("logsumexp", "weighted exponentials", "covariance", "not of tiles")
FLAT = ("variance", "weighted exponentials", "multiples", "softmax gradient", "log-softmax gradient",
        "batch norm gradient", "logits of a mask", "not of tiles")


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float64") for name in formulas("float64")),
                                             *((name, "float32") for name in NARROW)])
def test_as_near_as_numpy_and_the_same_bits_for_any_threads(name, dtype):
    with config.change_flags(floatX=dtype):
        inputs, outputs, numpy = formulas(dtype)[name]
        f = fuse.function(inputs, outputs)
    row_alone = [(1, 3)] if name in ROW_ALONE else []
    for n, m in (*row_alone, (2, 1), (5, 4), (23, 9), (301, 17 if name in FLAT else 130)):
        near_numpy(f, numpy, values_for(inputs, n, m), dtype)
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
    special_like_numpy(fuse.function(inputs, outputs), numpy, values_for(inputs, 31, 7))


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


def test_factors_and_divisors_from_outside_the_loops():
    """What deviations are multiplied with has a name in the kernel, and a dtype."""
    x, weight, count = T.dmatrix("x"), T.TensorType("float64", (True,))("weight"), T.dscalar("count")
    scaled = (x - x.sum(axis=0, keepdims=True) / count) * weight / count
    f = fuse.function([x, weight, count], scaled + scaled.sum(axis=0, keepdims=True))
    value = RNG.normal(size=(23, 9))
    want = (value - value.mean(axis=0)) * 2.5 / 23
    np.testing.assert_allclose(f(value, [2.5], 23.0), want + want.sum(axis=0), rtol=1e-12, atol=1e-12)
