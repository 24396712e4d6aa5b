"""Memory of results: given out again when nobody holds it, and never before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from in_threads import in_threads

import fuse
import fuse.tensor as T
from fuse.codegen import memory, tiles

N = memory.LARGE // 8 + 5  # float64 elements of an array whose memory is recycled


@pytest.fixture(autouse=True)
def fresh():
    """Nothing kept before a test; skipped where this Python has no such allocator."""
    gc.collect()
    if sys.implementation.name != "cpython" or sys.maxsize < 2**32:
        pytest.skip("the allocator is for 64-bit CPython: elsewhere NumPy's own serves")
    assert memory.addresses()
    memory.free()
    with fuse.config.change_flags(recycle=1 << 30):
        yield
    memory.free()


def plus_one():
    x = T.dvector("x")
    return fuse.function([x], x + 1)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_a_dropped_result_is_given_out_again():
    f, x = plus_one(), np.arange(float(N))
    first = f(x)
    place = address(first)
    del first
    assert memory.kept() > N * 8 - 1
    again = f(x)
    assert address(again) == place and memory.kept() == 0
    assert np.array_equal(again, x + 1) and again.flags.owndata and again.flags.writeable


def test_a_loop_that_keeps_the_last_result_needs_two_blocks():
    f, x = plus_one(), np.arange(float(N))
    places = set()
    y = None
    for _ in range(6):
        y = f(x)
        places.add(address(y))
    assert len(places) == 2 and np.array_equal(y, x + 1)


HOLDERS = {
    "the result": lambda y: y,
    "a slice": lambda y: y[1:],
    "a transposed view": lambda y: y.reshape(1, -1).T,
    "a view of another dtype": lambda y: y.view("u1"),
    "an iterator": lambda y: y.flat,
    "a memoryview": memoryview,
    "a memoryview of a view": lambda y: memoryview(y[::2]),
    "DLPack": lambda y: np.from_dlpack(y),
    "an array around its interface": lambda y: np.asarray(memoryview(y)),
    "frombuffer": lambda y: np.frombuffer(y, dtype="f8"),
    "a subclass": lambda y: y.view(np.matrix),
    "a ctypes array": lambda y: np.ctypeslib.as_ctypes(y),
    "a shared variable that borrowed it": lambda y: borrowed(y),
}


def borrowed(y):
    shared = fuse.shared(np.zeros(1))
    shared.set_value(y, borrow=True)
    return shared


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_what_is_held_is_not_given_out(hold):
    f, x = plus_one(), np.arange(float(N))
    holder = hold(f(x))
    others = [f(x * k) for k in range(4)]
    assert memory.kept() == 0
    value = holder.get_value(borrow=True) if hasattr(holder, "get_value") else holder
    assert len({address(o) for o in others}) == 4
    expected = hold(x + 1)
    expected = expected.get_value() if hasattr(expected, "get_value") else expected
    assert np.array_equal(np.array(value), np.array(expected))


def test_a_weak_reference_dies_with_the_result():
    f, x = plus_one(), np.arange(float(N))
    y = f(x)
    reference = weakref.ref(y)
    assert reference() is y
    del y
    gc.collect()
    assert reference() is None


def test_torch_tensors_hold_their_memory():
    torch = pytest.importorskip("torch")
    f, x = plus_one(), np.arange(float(N))
    tensor = torch.from_dlpack(f(x))
    f(x * 2), f(x * 3)
    assert np.array_equal(tensor.numpy(), x + 1)


def test_what_a_user_does_to_a_result_does_not_reach_the_next():
    f, x = plus_one(), np.arange(float(N))
    y = f(x)
    y.shape = (1, N)
    y.flags.writeable = False
    del y
    y = f(x)
    y.dtype = "u1"
    y.resize(3, refcheck=False)
    del y
    y = f(x)
    y.resize(2 * N, refcheck=False)
    assert np.array_equal(y[:N], x + 1)
    del y
    z = f(x)
    assert z.shape == (N,) and z.dtype == "f8" and z.flags.writeable and np.array_equal(z, x + 1)


def test_stored_updates_are_no_results():
    x = T.dvector("x")
    total = fuse.shared(np.zeros(N))
    step = fuse.function([x], total * 2, updates=[(total, total + x.sum() * x)])
    ones = np.ones(N)
    seen = [step(ones) for _ in range(3)]
    kept = total.get_value(borrow=True)
    again = [step(ones) for _ in range(2)]
    for k, result in enumerate([*seen, *again]):
        assert np.array_equal(result, np.full(N, 2.0 * N * k))
    assert np.array_equal(total.get_value(), np.full(N, 5.0 * N)) and kept.shape == (N,)


def test_threads_never_share_a_result():
    f, wrong = plus_one(), []

    def work(seed: float) -> None:
        x = np.full(N, seed)
        y = None
        for _ in range(30):
            y = f(x)
            if y[0] != seed + 1 or y[-1] != seed + 1 or not (y == seed + 1).all():
                wrong.append(seed)

    in_threads(work, [float(k) for k in range(4)])
    assert not wrong


def test_nothing_is_kept_where_the_flag_forbids_it():
    f, x = plus_one(), np.arange(float(N))
    f(x)
    with fuse.config.change_flags(recycle=0):
        assert memory.kept() == 0
        f(x)
        assert memory.kept() == 0
    f(x)
    assert memory.kept() > 0
    f.free()
    assert memory.kept() == 0
    with pytest.raises(ValueError, match="0 or more"):
        fuse.config.recycle = -1


def test_the_limit_holds_for_the_process_and_the_oldest_goes_first():
    with fuse.config.change_flags(recycle=20 * N):
        f, x = plus_one(), np.arange(float(N))
        results = [f(x) for _ in range(4)]
        places = [address(r) for r in results]
        while results:
            del results[0]
        assert 8 * N <= memory.kept() <= 20 * N
        assert address(f(x)) == places[-1]
        y = T.dvector("y")
        larger = fuse.function([y], T.concatenate([y + 1, y, y]))
        larger(x)
        assert memory.kept() <= 20 * N


def test_a_block_serves_what_is_hardly_smaller_only():
    block = memory.recycled((N,), np.dtype("f8"))
    place = address(block)
    del block
    small = memory.recycled((N // 2,), np.dtype("f8"))
    assert address(small) != place
    near = memory.recycled((N - N // 16,), np.dtype("f8"))
    assert address(near) == place


def test_many_blocks_are_more_than_there_are_slots():
    with fuse.config.change_flags(recycle=1 << 34):
        held = [memory.recycled((N,), np.dtype("f8")) for _ in range(memory.BLOCKS + 3)]
        while held:
            held.pop()
        assert memory.kept() <= memory.BLOCKS * (8 * N + memory.PAGE)


def test_too_large_an_array_is_an_ordinary_memory_error():
    with pytest.raises(MemoryError):
        memory.recycled((1 << 46,), np.dtype("f8"))
    with pytest.raises(ValueError):
        memory.recycled((-3,), np.dtype("f8"))
    with pytest.raises(TypeError):
        memory.recycled(("a",), np.dtype("f8"))
    assert memory.recycled((N,), np.dtype("f8")).shape == (N,)


# What each thread has for itself: rows, and what it copies of the operands of a product.
OWN = 200_000 + 8 * tiles.DEPTH * (tiles.TILE + tiles.COLUMNS) * (fuse.get_num_threads() + 1)

PEAKS = {
    "softmax": (lambda x: T.nnet.softmax(x), 1),
    "layer norm": (lambda x: (x - x.mean(axis=1, keepdims=True)) / T.sqrt(x.var(axis=1, keepdims=True) + 1e-5), 1),
    "log softmax": (lambda x: T.nnet.logsoftmax(x), 1),
    "value and gradient": (lambda x: [(T.exp(-x**2) * x).sum(), T.grad((T.exp(-x**2) * x).sum(), x)], 1),
    "five formulas": (lambda x: [T.exp(x), T.sin(x) * x, x**3 - x, T.tanh(x), T.log1p(x * x)], 5),
    "dense layer": (lambda x: T.tanh(T.dot(x, T.constant(np.eye(400))) + 1.0), 1),
    "chain of dots": (lambda x: T.dot(T.dot(T.dot(x, T.constant(np.eye(400))) * 2, T.constant(np.eye(400))) + 1,
                                      T.constant(np.eye(400))), 2),
}


@pytest.mark.parametrize("case", PEAKS.values(), ids=PEAKS)
def test_peak_memory_is_that_of_the_outputs(case):
    """Beyond inputs and outputs what threads have for themselves: others share the memory of outputs, or each other."""
    formula, outputs = case
    x = T.dmatrix("x")
    f = fuse.function([x], formula(x))
    value = np.random.default_rng(0).normal(size=(1000, 400))
    f(value)
    tracemalloc.start()
    try:
        held = f(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held is not None and peak < outputs * value.nbytes + OWN


def test_an_intermediate_is_let_go_before_the_next_is_made():
    x = T.dmatrix("x")
    chain = x
    for _ in range(6):
        chain = T.tanh(T.dot(chain, chain))
    f = fuse.function([x], chain)
    value = np.random.default_rng(0).normal(size=(400, 400)) * 0.05
    expected = value
    for _ in range(6):
        expected = np.tanh(expected @ expected)
    assert np.allclose(f(value), expected, rtol=1e-8, atol=1e-12)
    tracemalloc.start()
    try:
        f(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * value.nbytes + OWN


def test_memory_of_a_dead_intermediate_takes_the_result():
    """tanh(dot) over the dot's own memory; not where the dot is read again, transposed, or a result."""
    x, y = T.dmatrices("x", "y")
    product = T.dot(x, y)
    a, b = np.random.default_rng(1).normal(size=(2, 30, 30))
    p = a @ b
    for formula, expected in [
        (T.tanh(product) * 2, np.tanh(p) * 2),
        ([product, T.tanh(product)], [p, np.tanh(p)]),
        (T.tanh(product) + product.T, np.tanh(p) + p.T),
        ([T.tanh(product), T.exp(product)], [np.tanh(p), np.exp(p)]),
        (T.dot(T.tanh(product), product), np.tanh(p) @ p),
        (T.tanh(product) / product.sum(), np.tanh(p) / p.sum()),
        (T.tanh(product) - product[::-1], np.tanh(p) - p[::-1]),
        (T.tanh(product) - product[0], np.tanh(p) - p[0]),
        (product / product.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)),
        (product / product.sum(axis=0), p / p.sum(axis=0)),
        (T.cast(product, "float32") + 1, p.astype("f4") + 1),
        ([x * 2, product - y, T.exp(x) + product], [a * 2, p - b, np.exp(a) + p]),
        ([x * k + (product if k == 5 else 0) for k in range(9)], [a * k + (p if k == 5 else 0) for k in range(9)]),
    ]:
        f = fuse.function([x, y], formula)
        for _ in range(2):
            got = f(a, b)
            for one, other in zip(got if isinstance(got, list) else [got],
                                  expected if isinstance(expected, list) else [expected], strict=True):
                assert np.allclose(one, other, rtol=1e-6)


def test_results_outlive_the_function_and_the_process_ends_well():
    code = (
        "import sys, types, numpy as np, fuse, fuse.tensor as T\n"
        "x = T.dvector(); f = fuse.function([x], x + 1)\n"
        f"y = f(np.arange({N}.0)); del f\n"
        "assert y[3] == 4; sys.modules['held'] = types.SimpleNamespace(y=y); print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_its_own():
    f, x = plus_one(), np.arange(float(N))
    f(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(f(x), x + 1) and memory.kept() > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert memory.kept() > 0
