"""Column sums of rows in groups: every number of rows beside a multiple of a group, against NumPy, and as bits."""
from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work

import fuse
import fuse.tensor as T
from fuse.codegen import plans
from fuse.codegen.kernel import Loop, walk
from fuse.codegen.program import compile_program
from fuse.codegen.runner import BY_ROWS

RNG = np.random.default_rng(11)
ROWS = (1, 2, 7, 8, 9, 17, 23, 40)


def formulas(dtype):
    """What needs several sweeps, several sums, rows by an index, and a choice; and what NumPy says."""
    x, w = (T.TensorType(dtype, (None, None))(name) for name in "xw")
    k = T.lvector("k")
    d = x - x.mean(0)
    outputs = [
        (x * x).sum(0), x.var(0), (d * w).sum(0), T.switch(x > 0, x, 2 * w).sum(0), x.max(0), w.prod(0),
        (x * w[k]).sum(0), (3 * d * d * w).sum(0) + (2 * d).max(0),
    ]

    def expected(x, w, k):
        d = x - x.mean(0)
        return [
            (x * x).sum(0), x.var(0), (d * w).sum(0), np.where(x > 0, x, 2 * w).sum(0), x.max(0), w.prod(0),
            (x * w[k]).sum(0), (3 * d * d * w).sum(0) + (2 * d).max(0),
        ]

    return [x, w, k], outputs, expected


@pytest.fixture
def by_rows(monkeypatch):
    """Every array is much work and tall, and tiles have nineteen rows."""
    with much_work(monkeypatch, 2, FEW_ROWS=0, TILE_BYTES=1, TILE_ROWS=19):
        yield


def agree(dtype):
    inputs, outputs, expected = formulas(dtype)
    f = fuse.function(inputs, outputs)
    rtol = 1e-12 if dtype == "float64" else 2e-5
    for n in ROWS:
        for m in (1, 5, 37):
            x, w = (RNG.standard_normal((n, m)).astype(dtype) for _ in range(2))
            k = RNG.integers(-n, n, n)
            for got, want in zip(f(x, w, k), expected(x.astype("f8"), w.astype("f8"), k), strict=True):
                np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * n, err_msg=f"{n} {m}")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_strips_agree_with_numpy(dtype):
    agree(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tiles_agree_with_numpy(dtype, by_rows):
    agree(dtype)


def test_rows_are_added_in_their_order():
    x = T.dmatrix("x")
    f = fuse.function([x], (x * x).sum(0))
    for n in ROWS:
        value = RNG.standard_normal((n, 300)) * 10.0 ** RNG.integers(-8, 8, (n, 1))
        np.testing.assert_array_equal(f(value), (value * value).sum(0))


def test_rows_of_float32_are_added_in_pairs():
    """Those of a group in float32, the groups of eight, of two and of one in float64."""
    x = T.fmatrix("x")
    f = fuse.function([x], (x * x).sum(0))
    for n in ROWS:
        value = (RNG.standard_normal((n, 300)) * 10.0 ** RNG.integers(-4, 4, (n, 1))).astype("f4")
        rows, total = list(value * value), np.zeros(300)
        for width in (8, 2, 1):
            while len(rows) >= width:
                group, rows = rows[:width], rows[width:]
                while len(group) > 1:
                    group = [a + b for a, b in zip(group[::2], group[1::2], strict=True)]
                total += group[0]
        np.testing.assert_array_equal(f(value), total.astype("f4"))


def test_groups_are_of_light_sweeps(monkeypatch):
    monkeypatch.setattr(plans, "structure", lambda program, order: None)
    x = T.dmatrix("x")

    def widths(out, *flags):
        (launcher,) = compile_program([x], [out]).launchers
        kernel, _ = launcher.scheduled(("C",) * len(launcher.bases) + flags)
        return [s.width for s in walk(kernel.body) if isinstance(s, Loop) and s.width]

    assert widths((x * x).sum(0)) == [8]
    assert widths((x * x).sum(0), BY_ROWS) == []  # memory is read in order, one row after the other
    assert widths(x.var(0), BY_ROWS) == [8]  # the second look at the rows of a tile
    assert widths(T.exp(T.sin(x) + T.cos(x)).sum(0)) == []


def test_sums_of_float32_in_float64_are_that(by_rows):
    x = T.fmatrix("x")
    f = fuse.function([x], [x.sum(0, dtype="float64"), ((x - x.mean(0)) ** 2).sum(0, dtype="float64")])
    value = RNG.standard_normal((40, 5)).astype("f4")
    mean = value.astype("f8").mean(0).astype("f4")
    np.testing.assert_allclose(f(value)[0], value.astype("f8").sum(0), rtol=1e-14)
    np.testing.assert_allclose(f(value)[1], ((value - mean) ** 2).astype("f8").sum(0), rtol=1e-6)
