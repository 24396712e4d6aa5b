"""Every elementwise op, compiled through ``fuse.function``, on arrays that lie in memory in every way.

Kernels are compiled per layout class and per broadcast pattern, many ops per function. Every op meets contiguous arrays
and, in turns, half of the others; the dtypes take turns too, so that one op sees the layouts in different dtypes, and
every dtype that its kernel computes in.
"""
from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
import pytest
from elementwise_cases import (
    ELEMENTWISE,
    KERNEL_DTYPES,
    arity,
    examples,
    node_of,
    random_values,
    special_values,
    wrong_places,
)

import fuse
import fuse.tensor as T
from fuse.codegen import interpret
from fuse.codegen.kernel import Loop, walk
from fuse.codegen.runner import TURNED
from fuse.expr import variable
from fuse.reference import evaluate
from fuse.types import TensorType

DTYPES = ("float64", "float32", "int64", "uint8", "bool", "complex128")
BATCH = 12  # outputs of one function: enough to share the start, not so many that compiling takes its square
SHAPE = (5, 37)  # neither is a multiple of the lanes of a vector


# ---------------------------------------------------------------- layouts: each gives ``values`` in other memory
def padded(values: np.ndarray) -> np.ndarray:
    """The left part of a wider matrix: unit stride within rows, gaps between them."""
    wide = np.zeros((values.shape[0], values.shape[1] + 3), values.dtype)
    wide[:, :-3] = values
    return wide[:, :-3]


def every_second(values: np.ndarray) -> np.ndarray:
    wide = np.zeros([2 * n for n in values.shape], values.dtype)
    wide[::2, ::2] = values
    return wide[::2, ::2]


def backwards(values: np.ndarray) -> np.ndarray:
    return values[::-1, ::-1].copy()[::-1, ::-1]


def unaligned(values: np.ndarray) -> np.ndarray:
    """Elements that begin one byte after where the processor would like them."""
    memory = np.zeros(values.nbytes + 1, "uint8")
    out = memory[1:].view(values.dtype).reshape(values.shape)
    out[...] = values
    return out


LAYOUTS = {
    "contiguous": np.copy,
    "unaligned": unaligned,
    "padded": padded,
    "one row, repeated": lambda v: np.broadcast_to(v[:1], v.shape),
    "Fortran order": np.asfortranarray,
    "transposed": lambda v: padded(v.T).T,
    "one column, repeated": lambda v: np.broadcast_to(v[:, :1].copy(), v.shape),
    "every second": every_second,
    "backwards": backwards,
    "one number, repeated": lambda v: np.broadcast_to(v[:1, :1], v.shape),
}
# Arrays of one layout class share a kernel: unit stride along all axes, the last, the first, none.
CLASSES = {
    "C": ("contiguous", "unaligned"),
    "S1": ("padded", "one row, repeated"),
    "S0": ("Fortran order", "transposed", "one column, repeated"),
    "S-1": ("every second", "backwards", "one number, repeated"),
}
ANY, ROW, COLUMN, VECTOR, SCALAR = (None, None), (1, None), (None, 1), (None,), ()
# name -> (static shapes of the operands, [(layout of each operand, shape of each operand)])
M = SHAPE


def same(first: str, second: str) -> tuple:
    pairs = [(a, b) for a in CLASSES[first] for b in CLASSES[second]]
    return (ANY, ANY), [((a, b), (M, M)) for a, b in pairs]


def plain(types: tuple, *shapes: tuple) -> tuple:
    return types, [(("contiguous",) * len(types), s) for s in shapes]


GROUPS = {
    1: {
        **{name: ((ANY,), [((layout,), (M,)) for layout in layouts]) for name, layouts in CLASSES.items()},
        "0-d": plain((SCALAR,), *[((),)] * 8),
    },
    2: {
        "C with C": same("C", "C"),
        "S-1 with C": same("S-1", "C"),
        "S1 with S0": same("S1", "S0"),
        "with a row": plain((ANY, ROW), (M, (1, 37))),
        "with a column": plain((COLUMN, ANY), ((5, 1), M)),
        "column and row": plain((COLUMN, ROW), ((5, 1), (1, 37)), ((1, 1), (1, 1)), ((0, 1), (1, 3))),
        "with a vector": plain((ANY, VECTOR), (M, (37,)), ((0, 3), (3,))),
        "with a scalar": plain((ANY, SCALAR), *[(M, ())] * 3),
        "scalar first": plain((SCALAR, ANY), *[((), M)] * 3),
        "size 1 at run time": plain((ANY, ANY), ((1, 37), M), (M, (5, 1))),
        "0-d": plain((SCALAR, SCALAR), *[((), ())] * 8),
    },
}
# sizes of 0 and 1 go through the kernels of contiguous arrays
GROUPS[1]["C"][1].extend((("contiguous",), (s,)) for s in ((1, 1), (1, 7), (7, 1), (0, 4)))
GROUPS[2]["C with C"][1].extend((("contiguous",) * 2, (s, s)) for s in ((1, 1), (1, 7), (7, 1), (0, 4)))
# a third operand, and a fourth, are like the first
for more in (1, 2):
    GROUPS[2 + more] = {
        name: ((*types, *types[:1] * more),
               [((*names, *names[:1] * more), (*shapes, *shapes[:1] * more)) for names, shapes in runs])
        for name, (types, runs) in GROUPS[2].items()
        if name in ("C with C", "S-1 with C", "with a row")
    }


# ---------------------------------------------------------------- who meets whom
def accepted(op, dtype: str) -> list[dict]:
    """Parameters with which a kernel of ``op`` takes operands of ``dtype``, without losing something on the way in."""
    dtypes = [dtype] * arity(op)
    found = [(p, node_of(op, dtypes, p)) for p in examples(op)]
    return [p for p, node in found if node is not None
            and all(want == "bool" or np.can_cast(dtype, want) for want in op.signature(*node.args, **p)[0])]


def computed_in(op, dtype: str) -> bool:
    """Whether the kernel takes ``dtype`` as it is; operands of other dtypes are converted first."""
    return any(dtype in op.signature(*node_of(op, [dtype] * arity(op), p).args, **p)[0] for p in accepted(op, dtype))


@cache
def plan() -> dict[tuple[int, str, str], list]:
    """(number of operands, group, dtype) -> ops."""
    meetings: dict[tuple[int, str, str], list] = defaultdict(list)
    for number, op in enumerate(ELEMENTWISE):
        k = number % 3  # how many dtypes a group is compiled for
        # what takes none of them reads the bits of another dtype
        dtypes = [d for d in DTYPES if accepted(op, d)] or [d for d in KERNEL_DTYPES if accepted(op, d)]
        groups = list(GROUPS[arity(op)])
        if len(groups) > 3:
            groups = [groups[0], *groups[1 + number % 2 :: 2]]
        chosen = {(group, dtypes[(k + i) % len(dtypes)]) for i, group in enumerate(groups)}
        unmet = [d for d in dtypes if d not in {d for _, d in chosen} and computed_in(op, d)]
        chosen |= {(groups[(k + i) % len(groups)], d) for i, d in enumerate(unmet)}
        for group, dtype in chosen:
            meetings[arity(op), group, dtype].append(op)
    return meetings


def test_every_op_meets_groups_and_every_dtype_that_it_computes_in():
    met, seen = defaultdict(set), defaultdict(set)
    for (count, group, dtype), ops in plan().items():
        seen[count] |= {group}
        for op in ops:
            met[op] |= {group, dtype}
    assert set(met) == set(ELEMENTWISE) and all(groups == {*GROUPS[count]} for count, groups in seen.items())
    for op, found in met.items():
        groups = {*GROUPS[arity(op)]}
        assert len(found & groups) >= (len(groups) + 1) // 2
        assert found >= {next(iter(GROUPS[arity(op)])), *[d for d in DTYPES if computed_in(op, d)]}


# ---------------------------------------------------------------- running
def values(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Special values and random ones in random order."""
    pool = np.concatenate([special_values(dtype), random_values(dtype, 64, seed)])
    return np.random.default_rng(seed).choice(pool, shape) if shape else pool[7 * seed % len(pool)].reshape(())


CASES = sorted(plan())


@pytest.mark.parametrize(("count", "group", "dtype"), CASES, ids=[f"{n}-{g}-{d}" for n, g, d in CASES])
def test_results_do_not_depend_on_the_layout(count, group, dtype):
    ops = plan()[count, group, dtype]
    types, runs = GROUPS[count][group]
    inputs = [variable(TensorType(dtype, t), f"x{k}") for k, t in enumerate(types)]
    built = [(op, params, op(*inputs, **params)) for op in ops for params in accepted(op, dtype)]
    wrong = []
    for start in range(0, len(built), BATCH):
        batch = built[start:start + BATCH]
        outputs = [node for _, _, node in batch]
        f = fuse.function(inputs, outputs, on_unused_input="ignore")
        for seed, (layouts, shapes) in enumerate(runs):
            plain_arrays = [values(dtype, s, 3 * seed + k) for k, s in enumerate(shapes)]
            arrays = [LAYOUTS[name](a) for name, a in zip(layouts, plain_arrays, strict=True)]
            before = [a.copy() for a in arrays]
            with np.errstate(all="ignore"):
                want = evaluate(outputs, dict(zip(inputs, before, strict=True)))
            for (op, params, node), have, expected in zip(batch, f(*arrays), want, strict=True):
                assert (have.shape, have.dtype) == (expected.shape, expected.dtype), (op, params, layouts, shapes)
                assert have.dtype == node.dtype and not any(np.shares_memory(have, a) for a in arrays), op
                operands = [np.asarray(a, d) for a, d in zip(before, op.signature(*inputs, **params)[0], strict=True)]
                bad = wrong_places(op, params, node.dtype, operands, have)
                wrong += [(op.name, params, layouts, shapes, have[at], "not", expected[at])
                          for at in map(tuple, np.argwhere(bad)[:2])]
            for a, b in zip(arrays, before, strict=True):
                assert a.tobytes() == b.tobytes(), "an input was written to"
    assert not wrong, "\n".join(map(str, wrong))


# ---------------------------------------------------------------- three axes
@cache
def function_of_three_axes():
    x, y = T.dtensor3("x"), T.dtensor3("y")
    return fuse.function([x, y], [x - 2 * y, (x - 2 * y) * x])


STEPS = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (-1, 1, -2), (0, 1, 1), (1, 0, 0)]
AXES = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_three_axes_in_any_order_with_any_step(axes, steps):
    """Axes that can be walked as one must not be where a step lies between them."""
    f = function_of_three_axes()
    memory = np.random.default_rng(1).normal(size=(13, 13, 13))
    strides = [s * n for s, n in zip(steps, memory.strides, strict=True)]
    start = memory[6:, 6:, 6:] if min(steps) < 0 else memory
    view = np.lib.stride_tricks.as_strided(start, (3, 4, 5), strides).transpose(axes)
    other = np.arange(60.0).reshape(view.shape)
    for a, b in ((view, other), (other, view), (view, view)):
        difference, product = f(a, b)
        np.testing.assert_array_equal(difference, a - 2 * b)
        np.testing.assert_array_equal(product, (a - 2 * b) * a)


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 255, 2047, 2048, 2049, 4096, 4097, 6200])
@pytest.mark.parametrize("rows", [3, 130])
def test_columns_are_walked_in_blocks_that_cover_them_all(rows, columns):
    x = T.matrix("x")
    f = fuse.function([x], [T.nnet.softmax(x, axis=0), T.var(x, axis=0), T.max(x, axis=0), x.sum(axis=0)])
    a = np.random.default_rng(columns).normal(size=(rows, columns))
    e = np.exp(a - a.max(0))
    for got, want in zip(f(a), (e / e.sum(0), a.var(0), a.max(0), a.sum(0)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_axes_that_every_access_walks_as_one_become_one():
    x = T.tensor4("x")
    f = fuse.function([x], [x.sum(axis=(0, 1)), T.var(x, axis=1), T.nnet.softmax(x, axis=0)])
    a = np.random.default_rng(0).normal(size=(4, 5, 3, 2))
    e = np.exp(a - a.max(0))
    for got, want in zip(f(a), (a.sum((0, 1)), a.var(1), e / e.sum(0)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    (kernel,) = fuse.function([x], T.nnet.softmax(x, axis=0)).fn.kernels
    assert {s.axis.width for s in walk(kernel.body) if isinstance(s, Loop)} == {1, 3}
    (kernel,) = fuse.function([x], x.sum(axis=(0, 1, 2, 3))).fn.kernels
    assert [s.axis.width for s in walk(kernel.body) if isinstance(s, Loop)] == [4]


AXES = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
ORDERS = ["012", "021", "102", "210", "120"]


@pytest.mark.parametrize("k", range(len(AXES)), ids=lambda k: f"{AXES[k]}-{ORDERS[2 * k % 5]}")
def test_reductions_over_any_axes_of_any_layout(k):
    """Axes meet two of three pairs of layouts, in turns: each pair has kernels of its own."""
    axes, order = AXES[k], ORDERS[2 * k % 5]
    x, y = T.tensor3("x"), T.tensor3("y")
    mean = x.mean(axis=axes, keepdims=True)
    results = [(x * y).sum(axis=axes), x.max(axis=axes), (x - mean) * y, T.var(x, axis=axes), T.exp(x - mean).sum(axes)]
    f = fuse.function([x, y], results)
    rng = np.random.default_rng(0)
    permutation = [int(c) for c in order]
    for shape in ((3, 4, 5), (40, 1, 3), (2, 70, 9), (5, 3, 700)):
        a, b = rng.normal(size=shape), rng.normal(size=shape)
        other = np.ascontiguousarray(b.transpose(permutation)).transpose(np.argsort(permutation))
        centred = a - a.mean(axis=axes, keepdims=True)
        wanted = ((a * b).sum(axes), a.max(axes), centred * b, a.var(axes), np.exp(centred).sum(axes))
        pairs = [(a, other), (np.asfortranarray(a), other), (np.repeat(a, 2, axis=2)[..., ::2], b)]
        for first, second in (pairs[k % 3], pairs[(k + 1) % 3]):
            for got, want in zip(f(first, second), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)


def short_row_formulas(x, y):
    shifted = T.exp(x - x.max(axis=1, keepdims=True))
    soft = shifted / shifted.sum(axis=1, keepdims=True)
    return [
        (soft, lambda a, b: np.exp(a) / np.exp(a).sum(1, keepdims=True)),
        (T.logsumexp(x, axis=1), lambda a, b: np.log(np.exp(a).sum(1))),
        (T.var(x, axis=1) + y[:, 0], lambda a, b: a.var(1) + b[:, 0]),
        ((x * y).sum(axis=1), lambda a, b: (a * b).sum(1)),
        (x - (x * y).sum(axis=1, keepdims=True) * y, lambda a, b: a - (a * b).sum(1, keepdims=True) * b),
        ((T.tanh(x) * T.arange(x.shape[1])).sum(axis=1), lambda a, b: (np.tanh(a) * np.arange(a.shape[1])).sum(1)),
        ((y * x).min(axis=1) + T.prod(x, axis=1), lambda a, b: (a * b).min(1) + a.prod(1)),
    ]


@pytest.mark.parametrize(("number", "dtype"), [
    (k, ("float64", "float32")[k % 2]) for k in range(len(short_row_formulas(T.matrix(), T.matrix())))
])
def test_short_rows_and_long_ones_through_one_function(number, dtype):
    x, y = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype)
    formula, oracle = short_row_formulas(x, y)[number]
    f = fuse.function([x, y], formula, on_unused_input="ignore")
    rng = np.random.default_rng(number)
    tolerance = {"float64": 1e-11, "float32": 3e-5}[dtype]
    for shape in ((40, 1), (33, 16), (500, 10), (40, 17), (31, 3), (2500, 7), (32, 16), (2, 900), (1000, 2)):
        a, b = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
        other = ((a[::-1], np.asfortranarray(b)), (np.repeat(a, 2, axis=1)[:, ::2], b))[number % 2]
        for u, v in ((a, b), other):
            want = oracle(u.astype("float64"), v.astype("float64"))
            np.testing.assert_allclose(f(u, v), want, rtol=tolerance, atol=tolerance)
    hostile = a.copy()
    hostile[5, 1] = np.nan
    want = oracle(hostile, b)
    assert np.array_equal(np.isnan(np.asarray(f(hostile, b))), np.isnan(want))


def test_the_turned_kernel_agrees_with_the_interpreter_of_kernels():
    x, y = T.matrix("x"), T.matrix("y")
    for formula, oracle in short_row_formulas(x, y):
        (launcher,) = fuse.function([x, y], formula, on_unused_input="ignore").fn.planned.launchers
        kernel, _ = launcher.scheduled((*("C",) * len(launcher.bases), TURNED))
        light = formula is (x * y).sum(axis=1)  # better along the rows
        assert kernel.turned != light, kernel
        a, b = np.random.default_rng(0).normal(size=(2, 40, 5))
        want = oracle(a, b)
        arrays = [{x: a, y: b}.get(base, np.zeros(want.shape)) for base in launcher.bases]
        if not launcher.scalars:
            interpret.run(kernel, arrays, [])
            np.testing.assert_allclose(arrays[[b.output for b in kernel.buffers].index(True)], want, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "complex128", "int32"])
def test_operands_in_steps_are_staged_in_tiles_of_any_shape(dtype):
    x, y, r = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype), T.vector("r", dtype=dtype)
    cube = x * x * x - x
    results = [cube * y.T + x, (cube + y.T).sum(), cube.T * r + y, (x.T * y * r).sum(axis=0), (cube.T - y).sum(axis=1)]
    f = fuse.function([x, y, r], results)
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (31, 33), (32, 64), (70, 5), (3, 300), (130, 97)):
        a, b, v = ((rng.normal(size=s) * 2).astype(dtype) for s in ((n, m), (m, n), n))
        p, q, w = (u.astype("complex128") if dtype == "complex128" else u.astype("float64") for u in (a, b, v))
        c = p * p * p - p
        wanted = (c * q.T + p, (c + q.T).sum(), c.T * w + q, (p.T * q * w).sum(0), (c.T - q).sum(1))
        stepped = np.repeat(b, 2, axis=1)[:, ::2]
        for first, second in ((a, b), (np.asfortranarray(a), b), (a[::-1].copy()[::-1], stepped)):
            for got, want in zip(f(first, second, v), wanted, strict=True):
                close = {"float16": 3e-2, "float32": 1e-4}.get(dtype, 1e-11)
                np.testing.assert_allclose(got, want, rtol=close, atol=close * 10 * max(n, m))


def test_a_staged_kernel_agrees_with_the_interpreter_of_kernels():
    x, y = T.matrix("x"), T.matrix("y")
    for formula in (T.exp(x) * y.T, T.tanh(x + y.T).sum()):
        (launcher,) = fuse.function([x, y], formula).fn.planned.launchers
        a, b = np.random.default_rng(0).normal(size=(2, 40, 40))
        b = np.asfortranarray(b)
        for layouts in (("C",) * 3, tuple(["S0" if base is y else "C" for base in launcher.bases])):
            kernel, _ = launcher.scheduled(layouts)
            want = np.exp(a) * b.T if formula.ndim else np.tanh(a + b.T).sum()
            arrays = [{x: a, y: b}.get(base, np.zeros(want.shape)) for base in launcher.bases]
            interpret.run(kernel, arrays, [])
            np.testing.assert_allclose(arrays[[o.output for o in kernel.buffers].index(True)], want, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "complex64"])
def test_what_is_read_at_computed_places_is_picked_first_where_the_rest_is_dear(dtype):
    x, i = T.matrix("x", dtype=dtype), T.lvector("i")
    picked = T.exp(x[:, i] - x[:, i * 0]) + T.sin(x)
    f = fuse.function([x, i], [picked, (picked * T.cos(x)[:, i]).sum(axis=0), picked.sum()])
    assert "_lane" in f.source
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (3, 255), (2, 600)):
        a, at = rng.normal(size=(n, m)).astype(dtype), rng.integers(-m, m, m)
        wide = a.astype("complex128" if dtype == "complex64" else "float64")
        want = np.exp(wide[:, at] - wide[:, :1]) + np.sin(wide)
        close = {"float64": 1e-12, "float16": 2e-2}.get(dtype, 1e-4)
        for got, value in zip(f(a, at), (want, (want * np.cos(wide)[:, at]).sum(0), want.sum()), strict=True):
            np.testing.assert_allclose(got, value, rtol=close, atol=close * 20 * max(n, np.sqrt(m)))
        at[-1] = m
        with pytest.raises(IndexError):
            f(a, at)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "complex64"])
def test_places_that_go_around_are_runs_of_memory(dtype):
    x, a, m, k = T.matrix("x", dtype=dtype), T.lscalar("a"), T.lscalar("m"), T.lscalar("k")
    left, right = T.roll(x, a, 1), x[:, (T.arange(x.shape[1]) - a) % x.shape[1]]
    within, beyond = x[:, (T.arange(k) + a) % m], x[:, T.arange(k) - a]
    rolled = fuse.function([x, a], [left * x, left + right, (left * x).sum(axis=1), x + T.roll(x, -a, 1)])
    part = fuse.function([x, a, m, k], within + within)
    plain = fuse.function([x, a, k], beyond + beyond)
    assert "q0_first" in rolled.source and "q0_first" in plain.source and "remainder" not in rolled.source
    rng = np.random.default_rng(0)
    for n in (1, 2, 255, 256, 257, 700):
        v = (rng.normal(size=(2, n)) * 3).astype(dtype)
        for shift in (0, 1, -1, n, n - 1, -300, 300):
            turned = np.roll(v, shift, 1)
            close = {"rtol": 2e-2, "atol": 2e-2} if dtype == "float16" else {"rtol": 1e-5, "atol": 1e-5}
            wanted = turned * v, turned + turned, (turned * v).sum(axis=1), v + np.roll(v, -shift, 1)
            for got, want in zip(rolled(v, shift), wanted, strict=True):
                np.testing.assert_allclose(got, want, **(close if dtype != "int8" else {}))
            for size, length in ((n, n), (max(n // 2, 1), n), (n, 2 * n), (max(n // 3, 1), 700)):
                at = (np.arange(length) + shift) % size
                np.testing.assert_array_equal(part(v, shift, size, length), v[:, at] + v[:, at])
                at = np.arange(length) - shift
                try:
                    want = v[:, at] + v[:, at]
                except IndexError:
                    with pytest.raises(IndexError):
                        plain(v, shift, length)
                else:
                    np.testing.assert_array_equal(plain(v, shift, length), want)
    with pytest.raises(IndexError):
        part(v, 0, 701, 701)


@pytest.mark.parametrize("ndim", [3, 4])
def test_places_that_go_around_lie_along_the_axis_whatever_axes_are_joined(ndim):
    """Axes that the kernel joins are one entry of an index and several dimensions of the array."""
    x, y = (T.TensorType("float64", (None,) * ndim)(n) for n in "xy")
    a = T.lscalar("a")
    f = fuse.function([x, y, a], [y * T.roll(x, a, axis) for axis in range(ndim)])
    rng = np.random.default_rng(ndim)
    for shape in ((1, 17, 2, 3), (2, 5, 4, 1), (3, 2, 2, 5)):
        v, w = rng.normal(size=(2, *shape[-ndim:]))
        for shift in (1, -1, 3):
            for axis, got in enumerate(f(v, w, shift)):
                np.testing.assert_array_equal(got, w * np.roll(v, shift, axis))


# ---------------------------------------------------------------- the order of results
ORDERED = {
    "sum of two": (lambda x, y: x + y, 2),
    "beside a row": (lambda x, y: x * 2.0 + y.sum(axis=0), 2),
    "softmax": (lambda x, y: T.exp(x - x.max(axis=-1, keepdims=True)) / y, 2),
    "two results": (lambda x, y: [x + y, (x - y).sum(axis=0), x * y], 2),
    "three dimensions": (lambda x, y: T.sqrt(x * x + y), 3),
    "transposed": (lambda x, y: x.T + y.T, 2),
    "then another kernel": (lambda x, y: T.dot(x + y, (x - y).T) + 1.0, 2),
}


@pytest.mark.parametrize("permutation", [(1, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1)], ids=str)
@pytest.mark.parametrize("name", ORDERED)
def test_results_stand_in_memory_as_their_operands_do(name, permutation):
    """As in NumPy, where all operands of full rank have one order; values do not depend on it."""
    build, ndim = ORDERED[name]
    if len(permutation) != ndim:
        return
    x, y = (variable(TensorType("float64", (None,) * ndim), name) for name in "xy")
    results = build(x, y)
    f = fuse.function([x, y], results if isinstance(results, list) else [results])
    rng = np.random.default_rng(3)
    for shape in ((9, 7, 5)[:ndim], (40, 70, 3)[:ndim], (1, 6, 4)[:ndim], (0, 3, 2)[:ndim], (600, 500, 2)[:ndim]):
        plain = [rng.uniform(1.0, 2.0, shape) for _ in range(2)]
        expected = f(*plain)
        for _ in range(2):
            moved = [np.ascontiguousarray(a.transpose(permutation)).transpose(np.argsort(permutation)) for a in plain]
            found = f(*moved)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
            if name == "sum of two" and min(shape) > 1:
                assert found[0].strides == np.add(*moved).strides
            for a, b in zip(f(plain[0], moved[1]), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def test_updates_and_results_in_another_order_are_computed_once():
    """A call whose first kernel is made then must not run it twice, whatever else it gives."""
    x = T.dmatrix("x")
    state = fuse.shared(np.zeros((4, 3)))
    f = fuse.function([x], [x * 2.0, state + x], updates=[(state, state + x)])
    a = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    for k in range(1, 5):
        doubled, total = f(a)
        np.testing.assert_array_equal(doubled, 2 * a)
        np.testing.assert_array_equal(total, k * a)
        np.testing.assert_array_equal(state.get_value(), k * a)
    out = np.empty((4, 3))
    g = fuse.function([x], x + 1.0)
    assert g(a, out=out) is out
    np.testing.assert_array_equal(out, a + 1)
    assert out.flags.c_contiguous


def test_a_size_of_1_between_dimensions_that_become_one_loop():
    """The kernel takes such arrays: nothing is left to the interpreter."""
    x = T.TensorType("float64", (None, 1, None))("x")
    f = fuse.function([x], T.sqrt(x).sum())
    f.fn.scope["serve"] = None  # what a kernel refuses goes there
    values = np.arange(68.0).reshape(4, 1, 17)
    np.testing.assert_allclose(f(values), np.sqrt(values).sum(), rtol=1e-14)


def test_arrays_walked_backwards_or_in_twos():
    """The steps that kernels know, others, and operands of which one alone has such a step."""
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], [x.sum(axis=1), x * y, T.exp(x).sum(), x.max(axis=1)])
    values = np.random.default_rng(5).random((3, 1800))
    for columns in (0, 1, 2, 9, 600):
        for step in (-1, 2, -2, 3):
            for other in (step, 1):
                a, b = values[:, ::step][:, :columns], values[:, ::other][:, :columns]
                if columns:
                    expected = [a.sum(axis=1), a * b, np.exp(a).sum(), a.max(axis=1)]
                    for have, want in zip(f(a, b), expected, strict=True):
                        np.testing.assert_allclose(have, want, rtol=1e-13)
                else:
                    with pytest.raises(ValueError):
                        f(a, b)
