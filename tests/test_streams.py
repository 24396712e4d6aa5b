"""Streaming stores: the same bits as ordinary ones, only where a result is large and written once, and really there."""
from __future__ import annotations

import platform

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import emit_streams, plans, processor
from fuse.codegen.native import Kernel
from fuse.codegen.program import compile_program

RNG = np.random.default_rng(5)
N = 50_003


@pytest.fixture
def small_cache(monkeypatch):
    """A cache so small that these arrays do not fit."""
    monkeypatch.setattr(emit_streams, "cache_bytes", lambda: 1 << 12)
    monkeypatch.setattr(plans, "structure", lambda program, order: None)  # such plans are not for others


def kernels(program):
    """The compiled kernels of a program."""
    found = [r.variants.values() for r in program.scope.values() if hasattr(r, "variants")]
    compiled = [getattr(v, "__self__", None) for each in found for v in each]
    return [k for k in compiled if isinstance(k, Kernel)]


def sources(program):
    return "\n".join(k.source for k in kernels(program))


def test_only_large_results_are_streamed():
    x = T.dvector("x")
    f = fuse.function([x], x + 1)
    f(np.ones(N))
    streaming = [k.source for k in kernels(f.fn) if "stream(" in k.source]  # of those that are much work
    assert streaming and all(f">= {processor.cache_bytes()}\n" in source for source in streaming)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors have other instructions")
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8", "complex128"])
def test_the_machine_code_streams(dtype, small_cache):
    x = T.TensorType(dtype, (None,))("x")
    program = compile_program([x], [x + x])
    (got,) = program(np.ones(N, dtype))
    assert (got == 2).all()
    kernel = kernels(program)[-1]
    assert "movnt" in kernel.assembly() and "sfence" in kernel.assembly()


FORMULAS = {
    "one": lambda a, b: [a + 1],
    "several results": lambda a, b: [a + b, (a + b) * a, T.cast(a > b, "int8"), a - b],
    "neighbours": lambda a, b: [a[1:-1] * 2 - a[:-2] - a[2:], a[::-1] + b],
    "with its gradient": lambda a, b: [((a - b) ** 2).sum(), fuse.grad(((a - b) ** 2).sum(), a)],
    "chosen": lambda a, b: [T.switch(a > b, a, b * 2)],
    "half": lambda a, b: [T.cast(a, "float16")],
    "complex": lambda a, b: [T.complex(a, b) * 2],
    "rows": lambda a, b: [a[:50_000].reshape((50, 1000)) - b[:1000], a[:50_001].reshape((21, 2381)) * b[:2381]],
    "columns": lambda a, b: [a[:50_000].reshape((1000, 50)) / a[:50_000].reshape((1000, 50)).sum(axis=0)],
    "transposed": lambda a, b: [a[:50_000].reshape((50, 1000)).T + b[:50]],
    "rows and their means": lambda a, b: [
        a[:49_800].reshape((50, 996)) - a[:49_800].reshape((50, 996)).mean(axis=1, keepdims=True)
    ],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list(FORMULAS))
def test_streamed_results_have_the_same_bits(name, dtype, small_cache, monkeypatch):
    x, y = T.TensorType(dtype, (None,))("x"), T.TensorType(dtype, (None,))("y")
    outputs = FORMULAS[name](x, y)
    memory = RNG.random(2 * N + 9).astype(dtype)
    operands = [(memory[start : start + N], memory[-N:]) for start in range(4)]  # that begin anywhere
    with monkeypatch.context() as patched:
        patched.setattr(emit_streams, "cache_bytes", lambda: 1 << 60)
        ordinary = compile_program([x, y], outputs)
        wanted = [[v.copy() for v in ordinary(*each)] for each in operands]
    streams = compile_program([x, y], outputs)
    for each, want in zip(operands, wanted, strict=True):
        for u, v in zip(streams(*each), want, strict=True):
            np.testing.assert_array_equal(u, v)
    assert "stream(" in sources(streams)


def test_given_arrays_may_begin_anywhere(small_cache):
    x = T.fvector("x")
    f = fuse.function([x], x * 2 + 1)
    a = RNG.random(N).astype("float32")
    memory = np.empty(N + 20, "float32")
    for start in range(20):
        memory[:] = -1
        f(a, out=[memory[start : start + N]])
        np.testing.assert_array_equal(memory[start : start + N], a * 2 + 1)
        assert (memory[:start] == -1).all() and (memory[start + N :] == -1).all()


def test_operands_may_be_overwritten(small_cache):
    x = T.dvector("x")
    f = fuse.function([x], x * 2 + 1)
    a = RNG.random(N)
    want = a * 2 + 1
    f(a, out=[a])
    np.testing.assert_array_equal(a, want)


def test_long_bodies_and_indexed_stores_are_ordinary(small_cache):
    x, i = T.dvector("x"), T.lvector("i")
    a, k = RNG.random(N), RNG.permutation(N)
    scattered = T.inc_subtensor(T.zeros_like(x)[i], x)
    for given, output, want in (([x], T.exp(x) + x, np.exp(a) + a), ([x, i], scattered, None)):
        program = compile_program(given, [output])
        (got,) = program(*(a, k)[: len(given)])
        np.testing.assert_allclose(got if want is not None else got[k], want if want is not None else a, rtol=1e-14)
        assert "stream(" not in sources(program)


def test_the_size_of_the_cache(tmp_path):
    for k, text in enumerate(["32K", "1024K", "8M"]):
        (tmp_path / f"index{k}").mkdir()
        (tmp_path / f"index{k}" / "size").write_text(text + "\n")
    assert processor._linux(str(tmp_path)) == 8 << 20
    assert processor._linux(str(tmp_path / "none")) == 0
