"""Programs on a GPU, in the simulator: every op of the table, reductions, rows, columns, scatters, state.

The simulator runs the generated kernels in plain Python, a thread for each of theirs, so arrays are small here.
`python -m tests.fuzz --device simulator` runs random programs.
"""
from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from elementwise_cases import KERNEL_DTYPES, cases, operands, wrong_places
from fuzz import failure
from random_programs import make_program

import fuse
import fuse.tensor as T
from fuse import types as ty
from fuse.codegen import device, dlpack, mathlib, turns
from fuse.codegen.cuda_array import DeviceArray, foreign, to_device
from fuse.codegen.cuda_launch import Launches
from fuse.codegen.inline import compute_dtype, inline
from fuse.codegen.kernel import Axis, Buffer, Combine, Compute, Init, Kernel, Load, Loop, Store
from fuse.codegen.wellformed import check
from fuse.errors import DeviceError, FuseTypeError, ShapeError
from fuse.op import OPS
from fuse.reference import evaluate

if not os.environ.get("FUSE_TEST_GPU"):  # tests/gpu runs some of this on a card
    device.simulate()
rng = np.random.default_rng(5)
X = rng.normal(size=(5, 13))
V, W = rng.normal(size=13), rng.normal(size=5)


def on_both(inputs, outputs, values, hosted=False, **options):
    """The results of a function on the device and of the interpreter; ``hosted``: such a call is the CPU's."""
    f = fuse.function(inputs, outputs, device="cuda", **options)
    given = {v: v.type.filter(a) for v, a in zip(inputs, values, strict=True)}
    want = evaluate(outputs, given)
    with device.counted() as seen:
        got = f(*values)
    assert ("calls on the host" in seen()) == hosted
    for have, need in zip(got, want, strict=True):
        need = np.asarray(need)
        assert isinstance(have, np.ndarray) and have.dtype == need.dtype and have.shape == need.shape
        tolerance = 1e-4 if need.dtype in ("float32", "complex64") else 1e-11
        np.testing.assert_allclose(have, need, rtol=tolerance, atol=tolerance)
    return f


# ---------------------------------------------------------------- ops of the table
def kernel_of(ops, want):
    """One loop with every op in it, and the ops that have a text for GPUs."""
    axis = Axis("i0", None)
    body = [Load(f"x{k}", d, f"a{k}", (axis,)) for k, d in enumerate(want)]
    buffers, kept = [Buffer(f"a{k}", d, 1) for k, d in enumerate(want)], []
    names = tuple([f"x{k}" for k in range(len(want))])
    for op, params, out in ops:
        work = "float32" if out == "float16" else out
        statement = Compute(f"v{len(kept)}", work, op, names, want, want, tuple(sorted(params.items())))
        emitter = _probe(op, params, want)
        if emitter is None:
            continue
        body += [statement, Store(f"o{len(kept)}", (axis,), statement.name)]
        buffers.append(Buffer(f"o{len(kept)}", out, 1, True))
        kept.append((op, params, out))
    sizes = (("buffer", "a0", 0),)
    return check(Kernel(tuple(buffers), (), (axis,), sizes, (), (Loop(axis, tuple(body)),))), kept


def _probe(op, params, want):
    def resolve(name, dtype):
        found = mathlib.resolve(name, dtype, "cuda")
        return (found, None) if isinstance(found, str) else (name, found)

    try:
        return inline(op, ["a", "b", "c"][: len(want)], dict(params), compute_dtype(want), resolve, "t")
    except FuseTypeError:
        return None


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
def test_every_elementwise_op(dtype, count):
    wrong = []
    for want, ops in cases(dtype, count).items():
        kernel, kept = kernel_of(ops, want)
        arrays = [np.ascontiguousarray(a[:: max(len(a) // 60, 1)]) for a in operands(want)]
        outputs = [to_device(np.zeros(len(arrays[0]), out)) for _, _, out in kept]
        Launches(kernel)([*map(to_device, arrays), *outputs], None)
        for (op, params, out), made in zip(kept, outputs, strict=True):
            have = made.get()
            bad = wrong_places(op, params, out, arrays, have)
            wrong += [(op.name, params, *(a[k] for a in arrays), "gives", have[k]) for k in np.flatnonzero(bad)[:3]]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool", "complex64"])
def test_every_reduction(dtype):
    x = ty.TensorType(dtype, (None, None, None))("x")
    data = (rng.normal(size=(3, 4, 6)) * 3).astype(dtype)
    names = ("sum", "prod") if dtype.startswith("complex") else ("sum", "prod", "max", "min", "all", "any")
    on_both([x], [getattr(T, name)(x, axis=axis) for name in names for axis in (None, 0, 2)], [data])
    turned = data.transpose(2, 0, 1)[::-1]
    on_both([x], [getattr(T, name)(x, axis=axis) for name in names[::2] for axis in (1, (0, 2))], [turned])


# ---------------------------------------------------------------- fused formulas
def formulas():
    x, v, w = T.dmatrix("x"), T.dvector("v"), T.dvector("w")
    for axis in (0, 1):
        m = x - x.max(axis, keepdims=True)
        soft = T.exp(m) / T.exp(m).sum(axis, keepdims=True)
        norm = (x - x.mean(axis, keepdims=True)) / T.sqrt(x.var(axis, keepdims=True) + 1e-5)
        scale = v if axis == 1 else w.dimshuffle(0, "x")
        yield f"softmax {axis}", [x], [soft], [X]
        yield f"softmax gradient {axis}", [x], [T.grad((soft**2).sum(), x)], [X]
        yield f"logsumexp {axis}", [x], [T.log(T.exp(m).sum(axis)), x.var(axis)], [X]
        yield f"layer norm {axis}", [x, v, w], [norm * scale + 1], [X, V, W]
        slopes = T.grad(T.sin(norm * scale).sum(), [x, v if axis else w])
        yield f"layer norm gradient {axis}", [x, v, w], slopes, [X, V, W]
    yield "whole", [x], [x.var(), (x - x.mean()) / x.std(), T.exp(x - x.max()).sum()], [X]
    yield "broadcast", [x, v, w], [x * v + w.dimshuffle(0, "x"), T.outer(v, w)], [X, V, W]
    yield "views", [x], [x.T * 2 + 1, x[::-1, 1::2] * 3, x[1:, 2:] - x[:-1, :-2], x.flatten()[::3] + 1], [X]
    yield "products", [x, v], [T.dot(x, v), T.nnet.sigmoid(T.dot(x, x.T)), T.grad(T.tanh(T.dot(x, v)).sum(), v)], [X, V]


@pytest.mark.parametrize("case", list(formulas()), ids=lambda c: c[0])
def test_fused_formulas(case):
    _, inputs, outputs, values = case
    on_both(inputs, outputs, values, on_unused_input="ignore")


@pytest.mark.parametrize("threads", [8, 64])
def test_many_long_rows_keep_nothing_in_memory(threads, monkeypatch):
    from fuse.codegen import cuda_launch

    monkeypatch.setattr(cuda_launch, "IN_CACHE", 8 * 2 * 300 - 1)
    monkeypatch.setattr(device.current(), "threads", threads)  # 64: rows are done in chunks
    x = T.dmatrix("x")
    outputs = [T.nnet.softmax(x), T.exp(x - x.max(1, keepdims=True)).sum()]
    f = on_both([x], outputs, [rng.normal(size=(2, 300))])
    ((launches, _),) = f.fn.regions[0].variants.values()
    assert launches.far.compiled and not launches.compiled and "compute again" in f.explain()
    assert not any(a.kind == "cells" for s in launches.far.sources for a in s.arguments)
    f(np.ones((2, 299)))
    assert launches.compiled


@pytest.mark.parametrize("block", [1, 64])
def test_any_size_of_blocks(block, monkeypatch):
    monkeypatch.setattr(device.current(), "block", block)
    monkeypatch.setattr(device.current(), "threads", block)
    x = T.dmatrix("x")
    tall = rng.normal(size=(150, 3))
    on_both([x], [T.nnet.softmax(x), x.sum(0), x.sum(), T.nnet.softmax(x.T), x.var(1)], [tall])


def test_what_has_no_text_for_gpus_counts_on_the_host():
    v, n = T.dvector("v"), T.lscalar("n")
    f = on_both([v, n], [T.jv(1, T.arange(n).dimshuffle(0, "x") + v)], [V, 3])
    assert "on the host: jv" in f.explain()


@pytest.mark.parametrize("axis", [0, 1])
def test_few_long_rows_are_done_in_chunks(axis, monkeypatch):
    monkeypatch.setattr(device.current(), "threads", 32)
    x, g, s = T.dmatrix("x"), T.dvector("g"), fuse.shared(0.0)
    long = rng.normal(size=(2, 300))
    scale = g.dimshuffle(*(("x", 0) if axis else (0, "x")))
    norm = (x - x.mean(axis, keepdims=True)) / T.sqrt(x.var(axis, keepdims=True) + 1e-5) * scale
    cost = T.sin(norm).sum()
    m = x - x.max(axis, keepdims=True)
    outputs = [T.exp(m) / T.exp(m).sum(axis, keepdims=True), x.sum(axis), cost, *T.grad(cost, [x, g])]
    f = on_both([x, g], outputs, [long if axis else long.T.copy(), rng.normal(size=300)], updates=[(s, s + 1)])
    assert any("in chunks" in line for line in f.explain().splitlines())
    soft = fuse.function([x], outputs[0], device="cuda")
    with device.counted() as seen:
        soft(long if axis else long.T.copy())
    assert seen()["launches"] == 2  # largest values and sums of the chunks, and what comes of them


def test_sums_of_columns_beside_rows_keep_what_rounding_loses():
    x = T.fmatrix("x")
    f = fuse.function([x], [T.nnet.softmax(x), x.sum(0)], device="cuda")
    assert "float64" not in f.source and "in copies" in f.explain()
    data = np.ones((40, 5), "f4")
    data[::20] = [2**24, -(2**24), np.inf, np.nan, 1]
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(f(data)[1], data.sum(0, dtype="f8").astype("f4"))


def test_one_kernel_for_a_row_formula_and_its_launches():
    x = T.dmatrix("x")
    f = fuse.function([x], T.nnet.softmax(x), device="cuda")
    assert len(f.fn.kernels) == 1 and "a group of threads each" in f.explain()
    with device.counted() as seen:
        f(X)
    assert seen()["launches"] == 1


def test_lanes_find_in_scratch_memory_what_they_stored():
    """Sweeps over one row agree on how many elements a thread takes at once, and on when they may."""
    x, y = T.fmatrix("x"), T.fmatrix("y")
    long = x
    for k in range(30):
        long = T.tanh(long + y * k)
    e = T.exp(long)
    f = fuse.function([x, y], e / e.sum(1, keepdims=True), device="cuda")
    for source in f.fn.regions[0].launches(("C",) * len(f.fn.regions[0].bases))[0].sources:
        kept = [line for line in source.text.splitlines() if "_cells + " in line]
        assert kept and not any("load4(" in line or "store4(" in line for line in kept)
    light = fuse.function([x, y], T.exp(x) / T.exp(x + y).sum(1, keepdims=True) * y, device="cuda")
    text = light.source
    assert text.count("load4(") >= 3 and text.count("wide_i1") == 1 + text.count("// 4 * wide_i1")
    a, b = rng.normal(size=(2, 3, 8)).astype("f4")
    for values in ((a, b), (a[:, 1:], b[:, 1:]), (a[1:], b[1:])):
        want = np.exp(values[0]) / np.exp(values[0] + values[1]).sum(1, keepdims=True) * values[1]
        np.testing.assert_allclose(light(*values), want, rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 127, 128, 129, 131, 200, 331])
def test_several_elements_under_way(n):
    """16 threads with two groups of four, or four elements, at once, and what is left of them."""
    x, y, i = T.fvector("x"), T.fvector("y"), T.lvector("i")
    outputs = [x * 2 + y, (x * y).sum(), x[::-1] - 1, T.concatenate([x, y])[i] * 2]
    a, b = rng.normal(size=(2, n)).astype("f4")
    f = on_both([x, y, i], outputs, [a, b, rng.integers(-2 * n, 2 * n, n) if n else np.zeros(0, "i8")])
    assert "_group += 2 * step" in f.source and "_turn += 4 * step" in f.source
    g, h = T.TensorType("float16", (None,))("g"), T.TensorType("int8", (None,))("h")
    short = on_both([g], [g * 2], [a.astype("f2")]), on_both([h], [h + h], [(a * 9).astype("i1")])
    assert all("load8(" in f.source and "store8(" in f.source for f in short)
    c, d = [to_device(np.r_[np.float32(0), v])[1:] for v in (a, b)]  # beside multiples of 16 bytes
    found = fuse.function([x, y], outputs[:2], device="cuda")(c, d)
    np.testing.assert_allclose(found[0].get(), a * 2 + b, rtol=1e-6)
    np.testing.assert_allclose(found[1].get(), (a.astype("f8") * b).sum(), rtol=1e-5, atol=1e-5)


def test_scratch_memory_of_rows_of_odd_length_is_not_taken_several_elements_at_once():
    """That of the second group would begin beside a multiple of 16 bytes, where a GPU reads nothing."""
    i, j = Axis("i0", None), Axis("i1", None)
    sweeps = (
        Loop(j, (Load("v", "float32", "x", (i, j)), Store("t", (j,), "v"))),
        Loop(j, (Load("u", "float32", "t", (j,)), Combine("acc", OPS["sum"], "float32", "u", "float32"))),
    )
    body = Loop(i, (Init("acc", OPS["sum"], "float32"), *sweeps, Store("out", (i,), "acc")))
    buffers = (
        Buffer("x", "float32", 2, layout="S-1"), Buffer("out", "float32", 1, True),
        Buffer("t", "float32", 1, True, scratch=True),
    )
    sizes = ("buffer", "x", 0), ("buffer", "x", 1)
    data = np.arange(5 * 134, dtype="f4").reshape(5, 134) % 11
    out = to_device(np.zeros(5, "f4"))
    Launches(check(Kernel(buffers, (), (i, j), sizes, (), (body,))))([to_device(data)[:, ::2], out], None)
    np.testing.assert_array_equal(out.get(), data[:, ::2].sum(1))


@pytest.mark.parametrize("shape", [(5, 16), (5, 136), (5, 13)])
def test_rows_of_half_floats(shape):
    x = T.TensorType("float16", (None, None))("x")
    data = rng.normal(size=shape).astype("f2")
    f = fuse.function([x], [T.nnet.softmax(x), x - x.sum(1, keepdims=True, dtype="float16")], device="cuda")
    wide = data.astype("f8")
    soft = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    for have, want in zip(f(data), (soft, wide - wide.sum(1, keepdims=True)), strict=True):
        np.testing.assert_allclose(have, want, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_held_in_registers_where_they_fit(dtype, monkeypatch):
    from fuse.codegen import cuda_launch

    chosen = []

    def holds(on, source, *rest):
        fits = whether(on, source, *rest)
        if fits:
            chosen.append((source.held.count, source.held.slots, source.broad))
        return fits

    whether = cuda_launch.holds
    monkeypatch.setattr(cuda_launch, "holds", holds)
    x = T.matrix("x", dtype=dtype)
    m = x - x.max(1, keepdims=True)
    soft = T.exp(m) / T.exp(m).sum(1, keepdims=True)
    wide = 4 if dtype == "float32" else 2
    on = device.current()  # whose blocks have 8 threads, the larger ones 16
    rows = [(16, wide, 4, False), (13, 1, 8, False), (34 * wide, wide, 8, False), (65 * wide, wide, 8, True)]
    rows += [(65, 1, 16, False), (255, 1, 16, True)] if wide == 4 else [(65, 1, 8, True)]
    for columns, *how in rows:
        chosen.clear()
        on_both([x], [soft], [rng.normal(size=(on.multiprocessors * 2, columns)).astype(dtype)])
        assert chosen == [tuple(how)], columns
    chosen.clear()
    on_both([x], [soft], [rng.normal(size=(2, 1200)).astype(dtype)])
    assert not chosen
    launches, _ = fuse.function([x], soft, device="cuda").fn.regions[0].launches(("C", "C"))
    for source in launches.held[0]:
        assert source.text.count("(a0," if source.held.count > 1 else "a0[") == source.held.slots
        assert not any(argument.kind == "cells" for argument in source.arguments)  # no scratch memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_in_registers_some_of_which_are_read_down_a_column(dtype):
    """These take one element at a time, the others several: from the first of their places, as GPUs want it."""
    x, y = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype)
    on_both([x, y], [T.nnet.softmax(x.T - y)], [a.astype(dtype) for a in rng.normal(size=(2, 8, 8))])


@pytest.mark.parametrize(("dtype", "axis"), [("float32", 1), ("float64", 0)])
def test_largest_values_and_sums_of_exponentials_take_one_sweep(dtype, axis, monkeypatch):
    """Also of rows that rise or fall, where a row has infinities, or is nothing but -inf, and of chunks of rows."""
    from fuse.codegen import cuda_launch

    monkeypatch.setattr(cuda_launch, "IN_CACHE", -1)
    monkeypatch.setattr(device.current(), "threads", 32)
    rows = rng.normal(size=(9, 263)).astype(dtype)
    rows[0], rows[1] = np.sort(rows[0]) * 30, np.sort(rows[1])[::-1] * 30
    rows[2], rows[3, :200], rows[4, 5], rows[5, 9] = -np.inf, -np.inf, np.inf, np.nan
    rows[6, 1:], rows[7, ::2] = -np.inf, -np.inf
    x, v = T.matrix("x", dtype=dtype), T.vector("v", dtype=dtype)
    data = rows if axis else np.ascontiguousarray(rows.T)
    along = v if axis else v[:, None]
    outputs = [[T.nnet.softmax(x, axis=axis)], [T.logsumexp(x * 2 + along, axis=axis)], [
        T.exp(x - x.max(axis, keepdims=True)).sum(axis), x.max(axis)]]
    f = [fuse.function([x, v], o, device="cuda", on_unused_input="ignore") for o in outputs]
    shift = rng.normal(size=263).astype(dtype)
    with np.errstate(all="ignore"):
        wide = rows.astype("f8")
        power = np.exp(wide - wide.max(1, keepdims=True))
        soft = power / power.sum(1, keepdims=True)
        both = wide * 2 + shift
        top = both.max(1)
        logs = np.where(np.isinf(top), top, np.log(np.exp(both - top[:, None]).sum(1)) + top)
    for part in (slice(None), slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)):
        with np.errstate(all="ignore"), device.counted() as seen:
            found = [a for each in f for a in each(np.ascontiguousarray(data[part] if axis else data[:, part]), shift)]
        assert part == slice(None) or seen()["launches"] == 6  # few long rows
        wanted = [soft[part] if axis else soft[part].T, logs[part], power.sum(1)[part], wide.max(1)[part]]
        for have, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-30)
    for each in f:
        launches, _ = each.fn.regions[0].launches(("C",) * len(each.fn.regions[0].bases))
        text = (launches.far or launches).sources[0].text
        assert "_scale" in text


# ---------------------------------------------------------------- indices
def test_gathers_and_scatters():
    x, v, i = T.dmatrix("x"), T.dvector("v"), T.lvector("i")
    at = np.array([1, 3, 1, 0, -1])
    outputs = [
        x[i], x[i].sum(), T.grad((x[i] ** 2).sum(), x), v[i] * 2, T.grad((v[i] ** 2).sum(), v),
        T.set_subtensor(v[i], 7.0), T.inc_subtensor(x[:, i], 1.0), x[i, i + 1],
    ]
    on_both([x, v, i], outputs, [X, V, at])


def test_copies_of_a_large_result_are_few(monkeypatch):
    from fuse.codegen import cuda_launch

    monkeypatch.setattr(cuda_launch, "COPIES", 2 * 8 * len(V))
    v, i = T.dvector("v"), T.lvector("i")
    at = rng.integers(0, len(V), 40)
    f = on_both([v, i], [T.grad((v[i] ** 2).sum(), v)], [V, at])
    region = f.fn.regions[-1]
    launches, _ = region.launches(("C",) * len(region.bases))
    source = next(s for s in launches.sources if s.part.copied)
    sizes = dict.fromkeys(launches.kernel.axes, len(V))
    blocks, threads, lanes = launches.geometry(device.current(), source, 40, sizes)
    assert blocks * threads // lanes <= 2


def test_an_index_out_of_bounds_is_an_error_that_leaves_shared_variables_alone():
    v, i, s = T.dvector("v"), T.lvector("i"), fuse.shared(1.0)
    f = fuse.function([v, i], v[i].sum(), updates=[(s, s + v[i].sum())], device="cuda")
    with pytest.raises(IndexError):
        f(V, [0, 99])
    assert s.get_value() == 1.0
    f(V, [0, 1])
    assert s.get_value() == pytest.approx(1 + V[0] + V[1])


def test_the_largest_of_nothing_is_an_error():
    x = T.dmatrix("x")
    f = fuse.function([x], x.max(1), device="cuda")
    assert f(np.zeros((0, 3))).shape == (0,)
    with pytest.raises(ValueError):
        f(np.zeros((2, 0)))


# ---------------------------------------------------------------- loops
def test_loops_and_their_gradients():
    x, h, w, a, n = T.dmatrix("x"), T.dvector("h"), T.dmatrix("w"), T.dscalar("a"), T.lscalar("n")
    states, _ = fuse.scan(lambda xt, ht, w: T.tanh(xt + T.dot(ht, w)), sequences=x, outputs_info=h, non_sequences=w)
    cost = (states**2).sum()
    values = [rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 3)) / 3]
    on_both([x, h, w], [states, cost, *T.grad(cost, [x, h, w])], values)
    powers, _ = fuse.scan(lambda p, a: p * a + 1, outputs_info=T.constant(1.0), non_sequences=a, n_steps=n)
    on_both([a, n], [powers, T.grad(powers.sum(), a)], [0.5, 5])
    on_both([a, n], [powers], [0.5, 0])
    doubled = fuse.while_loop(lambda c: c[1] < 100.0, lambda c: (c[0] + 1, c[1] * 2), (T.constant(0), a))
    on_both([a], list(doubled), [3.0])


def test_a_lazy_choice():
    x, c = T.dvector("x"), T.lscalar("c")
    chosen = fuse.ifelse.ifelse(c, T.exp(x), x * 2)
    on_both([x, c], [chosen, T.grad(chosen.sum(), x)], [V, 1])
    on_both([x, c], [chosen, T.grad(chosen.sum(), x)], [V, 0])


# ---------------------------------------------------------------- state
def test_shared_variables_stay_on_the_device():
    x, w = T.dmatrix("x"), fuse.shared(np.zeros(13))
    cost = ((T.dot(x, w) - 1) ** 2).mean()
    update = [(w, w - 0.1 * T.grad(cost, w))]
    step = fuse.function([x], cost, updates=update, device="cuda")
    costs = [float(step(X)) for _ in range(4)]
    trained = w.get_value()
    w.set_value(np.zeros(13))
    plain = fuse.function([x], cost, updates=update)
    np.testing.assert_allclose(costs, [float(plain(X)) for _ in range(4)], rtol=1e-12)
    np.testing.assert_allclose(trained, w.get_value(), rtol=1e-12)
    free = fuse.function([], [], updates=[(w, w * 2)], device="cuda")
    free()
    with device.counted() as seen:
        free()
    assert "bytes to the host" not in seen() and "bytes to the device" not in seen()
    np.testing.assert_allclose(w.get_value(), 4 * trained, rtol=1e-12)


def test_draws_are_those_of_the_cpu():
    from fuse.tensor.shared_randomstreams import RandomStreams

    def draws(where):
        streams = RandomStreams(7)
        outputs = [streams.uniform((3, 5)), streams.normal((4,)), streams.binomial((6,), p=0.3)]
        f = fuse.function([], outputs, device=where)
        return [*f(), *f()]

    for a, b in zip(draws("cpu"), draws("cuda"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_arrays_on_the_device_come_and_go_without_copies():
    x = T.dmatrix("x")
    f = fuse.function([x], [x + 1, x.sum()], device="cuda")
    given = to_device(X)

    class Foreign:  # what another library's array looks like
        __cuda_array_interface__ = given.__cuda_array_interface__

    with device.counted() as seen:
        total, _ = f(given)
        again, _ = f(Foreign())
    assert isinstance(total, DeviceArray) and "bytes to the device" not in seen() and "bytes to the host" not in seen()
    np.testing.assert_array_equal(np.asarray(total), X + 1)
    np.testing.assert_array_equal(again.get(), X + 1)
    elsewhere = SimpleNamespace(
        __cuda_array_interface__=given.__cuda_array_interface__, __dlpack_device__=lambda: (dlpack.CUDA, 3)
    )
    with pytest.raises(DeviceError, match=r"^input x .*on GPU 3, where this process works on GPU 0"):
        f(elsewhere)
    kept = f.on_device(X)
    assert all(isinstance(a, DeviceArray) for a in kept)
    np.testing.assert_array_equal(f(kept[0])[0].get(), X + 1 + 1)


def test_sizes_of_one_at_run_time_broadcast():
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], x + y, device="cuda")
    np.testing.assert_array_equal(f(X, X[:1]), X + X[:1])
    with pytest.raises(ValueError):
        f(X, X[:2])


# ---------------------------------------------------------------- device arrays
def test_views_are_numpy_s():
    a = rng.normal(size=(4, 5, 6))
    d = to_device(a)
    back, none = slice(None, None, -1), slice(0, 0)
    for index in [(1,), (back,), (..., 2), (slice(1, 3), None, -1), (0, slice(4, None, -2), none)]:
        np.testing.assert_array_equal(d[index].get(), a[index])
        np.testing.assert_array_equal(d[index].copy().get(), a[index])
    np.testing.assert_array_equal(d.transpose(2, 0, 1).get(), a.transpose(2, 0, 1))
    np.testing.assert_array_equal(d.T.reshape(6, -1).get(), a.T.reshape(6, -1))
    np.testing.assert_array_equal(d[0].diagonal(1).get(), a[0].diagonal(1))
    np.testing.assert_array_equal(d[:, :1].broadcast_to((4, 5, 6)).get(), np.broadcast_to(a[:, :1], (4, 5, 6)))
    with pytest.raises(ShapeError):
        d.reshape(7, 7)
    with pytest.raises(IndexError):
        d[4]


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "complex64"])
def test_dlpack(dtype):
    a = (rng.normal(size=(3, 4)) * 3).astype(dtype)
    d = to_device(a)
    taken = np.from_dlpack(d.T[1:])
    np.testing.assert_array_equal(taken, a.T[1:])
    with device.counted() as seen:
        kept = np.from_dlpack(d)
        del d
    np.testing.assert_array_equal(kept, a)  # its memory is kept as long as somebody has it
    assert not seen()
    d = to_device(a)
    d.__dlpack__()  # nobody takes it
    np.testing.assert_array_equal(np.from_dlpack(d, copy=True), a)
    with pytest.raises(BufferError):
        d.__dlpack__(dl_device=(2, 3))
    told = {**d.__cuda_array_interface__, "data": (d.address, True)}
    kept = foreign(SimpleNamespace(__cuda_array_interface__=told, owner=d))  # of a library that forbids to write there
    assert kept[1:].__cuda_array_interface__["data"][1] and dlpack.is_read_only(kept.__dlpack__(max_version=(1, 0)))
    with pytest.raises(BufferError, match="read-only"):
        kept.__dlpack__()


# ---------------------------------------------------------------- the simulator's threads
def test_threads_take_turns_between_barriers():
    """What is read without a barrier is seen to be missing, memory of a block is its threads', and errors come out."""
    cuda, threads = turns.Cuda(), 5

    def turned(out, barriers, fails):
        room, tid = cuda.shared.array(8, "int64"), cuda.threadIdx.x
        for k in range(3):
            room[tid] = 10 * k + tid
            if barriers:
                cuda.syncthreads()
            out[cuda.blockIdx.y, k, tid] = room[threads - 1 - tid]
            if barriers:
                cuda.syncthreads()
        if tid == fails:
            raise ZeroDivisionError("in a thread")
        cuda.syncthreads()

    want = np.tile(10 * np.arange(3)[:, None] + np.arange(threads)[::-1], (2, 1, 1))
    for barriers in (True, False):
        out = np.zeros_like(want)
        turns.run(cuda, turned, True, (1, 2), threads, (out, barriers, None))
        assert np.array_equal(out, want) == barriers
    alive = threading.active_count()
    with pytest.raises(ZeroDivisionError) as seen:
        turns.run(cuda, turned, True, (1, 1), threads, (out, True, 3))
    assert "in thread 3 of block (0, 0)" in seen.value.__notes__ and threading.active_count() <= alive + 1
    with pytest.raises(RuntimeError, match="barrier"):
        turns.run(cuda, turned, False, (1, 1), threads, (out, True, None))


# ---------------------------------------------------------------- where there is no GPU
def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"} | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environment, timeout=120)


def test_a_gpu_that_is_not_there_is_an_error_and_auto_takes_the_cpu_with_one_warning():
    code = """
import warnings, fuse, fuse.tensor as T
x = T.dvector()
for make in (lambda: fuse.function([x], x + 1, device="cuda"), lambda: fuse.shared(1.0, device="cuda")):
    try:
        make()
    except fuse.errors.DeviceError as error:
        print("refused:", "NVIDIA" in str(error))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    print(fuse.function([x], x + 1, device="auto")([1.0]), fuse.function([x], x + 2, device="auto")([1.0]), len(seen))
"""
    done = run(code)
    assert done.stdout.split("\n")[:3] == ["refused: True", "refused: True", "[2.] [3.] 1"], done.stderr


def test_flags_choose_the_device():
    code = """
import fuse, fuse.tensor as T
x = T.dvector()
f = fuse.function([x], x * 2)
print(f.maker.mode.device, f([1]))
"""
    done = run(code, FUSE_FLAGS="device=gpu", NUMBA_ENABLE_CUDASIM="1")
    assert done.stdout.strip() == "cuda [2.]", done.stderr
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES=3"):
        fuse.config.device = "cuda3"


def test_a_function_of_the_cpu_has_no_results_on_a_device():
    x = T.dscalar("x")
    with pytest.raises(FuseTypeError, match="device='cuda'"):
        fuse.function([x], x + 1).on_device(1.0)


def test_memory_that_there_is_not(monkeypatch):
    def none(size):
        raise MemoryError("out of memory")

    monkeypatch.setattr(device.current(), "allocate", none)
    monkeypatch.setattr(device.current(), "free", {})
    with pytest.raises(DeviceError, match="no memory for"):
        to_device(np.zeros(10**5))


def test_functions_of_the_cpu_leave_lent_arrays_of_variables_on_a_device_alone():
    w, own = fuse.shared(np.zeros(3)), np.ones(3)
    twice = fuse.function([], w * 2, device="cuda")
    grow = fuse.function([], updates=[(w, w + 1)], device="cpu")
    w.set_value(own, borrow=True)
    np.testing.assert_array_equal(twice(), [2, 2, 2])
    grow()
    lent = w.get_value(borrow=True)
    twice()
    grow()
    assert own.tolist() == [1, 1, 1] and lent.tolist() == [2, 2, 2]
    grow()  # in place, as the variable's array is its own again
    np.testing.assert_array_equal(twice(), [8, 8, 8])


# ---------------------------------------------------------------- random programs
@pytest.mark.parametrize("seed", range(2000, 2010))
@pytest.mark.parametrize("mode", ["default", "strict"])
def test_random_programs(seed, mode):
    with fuse.config.change_flags(device="cuda"):
        assert failure(make_program(seed), mode) is None
