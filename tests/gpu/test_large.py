"""Sizes at which all of a card's threads have work, against the same function on the CPU; tiny in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import device

SHAPES = [(2000, 777), (3, 1_000_003), (300_001, 5), (1, 1 << 22), (4096, 1024)]
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}


def sized(shape):
    return tuple([min(n, 7) for n in shape]) if device.current().simulated else shape


def outputs_of(x):
    m = x - x.max(1, keepdims=True)
    norm = (x - x.mean(1, keepdims=True)) / T.sqrt(x.var(1, keepdims=True) + 1e-5)
    soft = T.exp(m) / T.exp(m).sum(1, keepdims=True)
    return {
        "elementwise": [T.sin(x) * 2 + x * x, T.where(x > 0, x, -x)],
        "whole": [x.sum(), x.max(), (x * x).mean(), x.argmax()],
        "columns": [x.sum(0), x.min(0), x.var(0)],
        "rows": [soft, norm, T.log(T.exp(m).sum(1))],
        "gradients": [*T.grad((soft**2).sum() + T.sin(norm).sum(), [x])],
        "views": [x.T * 2, x[::-1, ::2] + 1],
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_large_arrays_give_what_the_cpu_gives_and_the_same_bits_each_time(shape, dtype):
    rng = np.random.default_rng(1)
    data = rng.normal(size=sized(shape)).astype(dtype)
    x = T.matrix("x", dtype=dtype)
    for name, outputs in outputs_of(x).items():
        f, plain = fuse.function([x], outputs, device="cuda"), fuse.function([x], outputs, device="cpu")
        got, again, want = f(data), f(data), plain(data)
        for a, b, c in zip(got, again, want, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)  # the same bits each time
            scale = np.abs(c).max() if c.ndim else max(abs(float(c)), np.sqrt(data.size))
            np.testing.assert_allclose(a, c, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, err_msg=name)


def test_scatters_of_many_indices(real):
    rng = np.random.default_rng(2)
    table, at = rng.normal(size=(5000, 64)), rng.integers(0, 5000, 100_000)
    x, i = T.dmatrix("x"), T.lvector("i")
    outputs = [T.grad((x[i] ** 2).sum(), x), x[i].sum(0)]
    f, plain = [fuse.function([x, i], outputs, device=where) for where in ("cuda", "cpu")]
    for a, b, c in zip(f(table, at), f(table, at), plain(table, at), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-10, atol=1e-8)


def test_a_million_draws_are_those_of_the_cpu():
    from fuse.tensor.shared_randomstreams import RandomStreams

    count = 20 if device.current().simulated else 10**6

    def draws(where):
        streams = RandomStreams(3)
        outputs = [streams.uniform((count,)), streams.normal((count,)), streams.random_integers((count,), 0, 9)]
        return fuse.function([], outputs, device=where)()

    for a, b in zip(draws("cpu"), draws("cuda"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_memory_comes_from_the_pool_and_goes_back_to_the_driver(real):
    x = T.fvector("x")
    f = fuse.function([x], T.exp(x) + 1, device="cuda")
    there = f.on_device(np.zeros(1 << 20, np.float32))[0]
    f(there)
    with device.counted() as seen:
        for _ in range(5):
            f(there)
    assert "allocations" not in seen()
    f.free()
    np.testing.assert_array_equal(there.get(), np.full(1 << 20, 2, np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_left_of_equal_products(dtype):
    """The machine code rounds each product, as its PTX says."""
    x, y = T.vector("x", dtype=dtype), T.vector("y", dtype=dtype)
    values = np.random.default_rng(2).normal(size=1000).astype(dtype)
    f = fuse.function([x, y], x * x - y * y, device="cuda")
    assert not f(values, values).any()
