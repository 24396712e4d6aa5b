"""Formulas whose kernels for GPUs tests/ptx.py compiles: every kind of kernel, at the dtypes where it differs."""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from elementwise_cases import ELEMENTWISE, arity, examples, node_of

import fuse
import fuse.tensor as T
from fuse import types as ty
from fuse.codegen import cuda_launch, mathlib
from fuse.codegen.inline import compute_dtype
from fuse.codegen.mathlib import complexes
from fuse.expr import Expr, variable
from fuse.frontend.random import RandomStreams
from fuse.types import TensorType

Formula = tuple[list[Expr], list[Expr]]
BATCH = 10  # ops in one kernel
AXES = (None, 2, 0, (0, 1), (1, 2), (0, 2))
PLACES = ((1, 2, "rows"), (0, 2, "columns"), (0, 1, "a vector"))
FLOATS = ("float32", "float64")
IN_FLOAT64 = object()  # stands for a function that computes float32 through float64


@dataclass(frozen=True)
class Case:
    """``make()`` gives inputs and results of a formula, or the launches of a kernel.

    ``narrow``: no kernel computes anything in float64. ``hosted``: no kernel is made, the formula runs on the CPU.
    ``layouts``: of the arrays, where they are not all contiguous.
    ``held``: how many loads the kernels have that hold rows in registers, by groups of elements and one by one.
    ``promises``: instructions, as regular expressions, each of which some kernel has.
    ``flying``: loads, and how many of them some kernel begins before it branches or stores.
    """

    name: str
    make: Callable[[], Any]
    narrow: bool = False
    layouts: tuple[str, ...] | None = None
    promises: tuple[str, ...] = ()
    hosted: bool = False
    held: tuple[int, ...] = ()
    flying: tuple[tuple[str, int], ...] = ()


def tensor(dtype: str, ndim: int) -> Expr:
    return variable(TensorType(dtype, (None,) * ndim))


def is_narrow(*dtypes: str) -> bool:
    return not any(d in ("float64", "complex128") for d in dtypes)


# ---------------------------------------------------------------- the table of ops
def functions_of(op: Any, dtype: str) -> list[Any]:
    """What the op's kernel calls of mathlib, at ``dtype``: None for what GPUs do not have."""
    try:
        names = re.findall(r"mathlib\.(\w+)", inspect.getsource(op.kernel))
    except (OSError, TypeError):
        return []
    dtype = "float32" if dtype == "float16" else dtype
    widened = mathlib._WIDE if dtype == "float32" else set()
    known = mathlib._table(dtype, "cuda")
    return [IN_FLOAT64 if n in widened and n in known else known.get(n) for n in names]


def is_numba_s(function: Any) -> bool:
    """Whether a function is one of NumPy's, or calls one: of complex numbers Numba computes those in float64."""
    if isinstance(function, str):
        return function.startswith("np.")
    return "np" in getattr(getattr(function, "__code__", None), "co_names", ())


def kind_of(op: Any, params: dict[str, Any], dtype: str) -> str | None:
    """"narrow", "wide" (float64 somewhere) or "hosted" for an op of operands of ``dtype``; None where it takes none."""
    node = node_of(op, [dtype] * arity(op), params)
    if node is None:
        return None
    wanted, _ = op.signature(*node.args, **params)
    used = functions_of(op, compute_dtype(wanted))
    if None in used:
        return "hosted"
    through = any(f is IN_FLOAT64 or f is complexes.arccosh or getattr(f, "in_float64", False) for f in used)
    of_numba = compute_dtype(wanted) in ty.COMPLEX and any(map(is_numba_s, used))
    return "narrow" if is_narrow(dtype, *wanted, node.type.dtype) and not through and not of_numba else "wide"


def batches(dtype: str) -> Iterator[tuple[str, str, list[tuple[Any, dict[str, Any], int]]]]:
    """Ops that take operands of ``dtype``, so many as fit one kernel: (names, kind, ops)."""
    groups: dict[str, list[tuple[Any, dict[str, Any], int]]] = {"narrow": [], "wide": [], "hosted": []}
    for op in ELEMENTWISE:
        for params in examples(op):
            kind = kind_of(op, params, dtype)
            if kind is not None:
                groups[kind].append((op, params, arity(op)))
    for kind, found in groups.items():
        for k in range(0, len(found), BATCH):
            part = found[k : k + BATCH]
            yield ", ".join(dict.fromkeys(str(op) for op, _, _ in part)), kind, part


def applied(dtype: str, ops: Sequence[tuple[Any, dict[str, Any], int]]) -> Formula:
    inputs = [tensor(dtype, 1) for _ in range(max(n for _, _, n in ops))]
    return inputs, [op(*inputs[:n], **params) for op, params, n in ops]


def elementwise(dtypes: Sequence[str]) -> Iterator[Case]:
    for dtype in dtypes:
        for names, kind, ops in batches(dtype):
            yield Case(f"{dtype}: {names}", partial(applied, dtype, ops), kind == "narrow", hosted=kind == "hosted")


def mixed() -> Iterator[Case]:
    """Operands of several dtypes: what Numba would widen."""

    def made(*dtypes: str) -> Formula:
        x, y = [tensor(d, 1) for d in dtypes]
        return [x, y], [x + y, x * 2 - y, T.maximum(x, y), x > y, T.switch(x > 0, x, y)]

    for pair in (("float32", "int8"), ("float32", "int16"), ("float32", "float16"), ("complex64", "float32"),
                 ("int8", "uint8"), ("float16", "int8"), ("bool", "float32")):  # fmt: skip
        yield Case(f"mixed: {' and '.join(pair)}", partial(made, *pair), narrow=True)
    for pair in (("float32", "int64"), ("float64", "complex64"), ("int64", "uint64"), ("float64", "bool")):
        yield Case(f"mixed: {' and '.join(pair)}", partial(made, *pair))

    def casts(dtype: str, targets: Sequence[str]) -> Formula:
        x = tensor(dtype, 1)
        return [x], [T.cast(x, d) for d in targets]

    for dtype in ty.DTYPES:
        targets = [d for d in ty.DTYPES if d != dtype and (d in ty.COMPLEX or dtype not in ty.COMPLEX)]
        for narrow in (True, False):
            part = [d for d in targets if is_narrow(dtype, d) == narrow]
            if part:
                yield Case(f"casts of {dtype} to {', '.join(part)}", partial(casts, dtype, part), narrow)


# ---------------------------------------------------------------- reductions
def reductions(dtypes: Sequence[str], axes: Sequence[Any] = AXES) -> Iterator[Case]:
    def made(dtype: str, axis: Any) -> Formula:
        x = tensor(dtype, 3)
        found = [f(x, axis=axis) for f in (T.sum, T.prod, T.all, T.any)]
        if dtype not in ty.COMPLEX:
            found += [f(x, axis=axis) for f in (T.max, T.min)]
        return [x], found

    for dtype in dtypes:
        for axis in axes:
            narrow = is_narrow(dtype) and dtype != "float16"
            yield Case(f"{dtype}: reductions over {axis}", partial(made, dtype, axis), narrow)


# ---------------------------------------------------------------- rows and columns
def softmax(x: Expr, axis: int) -> Expr:
    return T.special.softmax(x, axis=axis)


def log_softmax(x: Expr, axis: int) -> Expr:
    return T.special.log_softmax(x, axis=axis)


def logsumexp(x: Expr, axis: int) -> Expr:
    return T.logsumexp(x, axis=axis)


def variance(x: Expr, axis: int) -> Expr:
    return T.var(x, axis=axis)


def layer_norm(x: Expr, axis: int) -> Expr:
    small = T.constant(1e-5, dtype=x.dtype)
    return (x - x.mean(axis, keepdims=True)) / T.sqrt(x.var(axis, keepdims=True) + small)


ROWS = (softmax, log_softmax, logsumexp, variance, layer_norm)
READ_ONCE = (softmax, layer_norm)
# Loads of the kernels that hold rows; two values of 8 bytes, and groups of 8 elements, have registers for fewer.
HELD = {(softmax, "float64"): (4, 8, 8), (layer_norm, "float16"): (4, 8, 16)}


def rows(dtypes: Sequence[str], functions: Sequence[Any] = ROWS, places: Sequence[Any] = PLACES) -> Iterator[Case]:
    def made(f: Callable[[Expr, int], Expr], dtype: str, axis: int, ndim: int, grad: bool) -> Formula:
        x = tensor(dtype, ndim)
        found = f(x, axis)
        return [x], [fuse.grad((found * T.cos(x) if found.ndim == ndim else found).sum(), x) if grad else found]

    for dtype in dtypes:
        for f in functions:
            for axis, ndim, where in places:
                for grad in (False, True):
                    name = f"{dtype}: {f.__name__} of {where}{', gradient' if grad else ''}"
                    once = f in READ_ONCE and where == "rows" and not grad
                    loads = HELD.get((f, dtype), (4, 8, 8, 16)) if once else ()
                    yield Case(name, partial(made, f, dtype, axis, ndim, grad), is_narrow(dtype), held=loads)


# ---------------------------------------------------------------- indices, draws, long formulas
def indexed(dtypes: Sequence[str]) -> Iterator[Case]:
    def gathered(dtype: str, ndim: int) -> Formula:
        x, i = tensor(dtype, ndim), tensor("int64", 1)
        return [x, i], [x[i] + x[i], x[i, i] if ndim == 2 else x[i[::-1]]]

    def scattered(dtype: str, ndim: int, adds: bool) -> Formula:
        x, i, y = tensor(dtype, ndim), tensor("int64", 1), tensor(dtype, ndim)
        store = T.inc_subtensor if adds else T.set_subtensor
        return [x, i, y], [store(x[i], y)]

    def gradient(dtype: str, ndim: int) -> Formula:
        x, i = tensor(dtype, ndim), tensor("int64", 1)
        return [x, i], [(x[i] ** 2).sum(), fuse.grad((x[i] ** 2).sum(), x)]

    for dtype in dtypes:
        for ndim in (1, 2):
            where = f"{dtype}, {ndim} axes"
            narrow = is_narrow(dtype)
            yield Case(f"{where}: gather", partial(gathered, dtype, ndim), narrow)
            yield Case(f"{where}: set_subtensor at indices", partial(scattered, dtype, ndim, False), narrow)
            yield Case(f"{where}: inc_subtensor at indices", partial(scattered, dtype, ndim, True), narrow)
            if dtype in ty.FLOATING:
                yield Case(f"{where}: gradient of a gather", partial(gradient, dtype, ndim), narrow)


def draws(dtypes: Sequence[str]) -> Iterator[Case]:
    def made(kind: str, dtype: str) -> Formula:
        n = tensor("int64", 0)
        return [n], [getattr(RandomStreams(7), kind)(size=(n,), dtype=dtype)]

    for dtype in dtypes:
        for kind in ("uniform", "normal"):
            yield Case(f"{dtype}: {kind} draws", partial(made, kind, dtype))


def black_scholes(dtype: str, greeks: bool) -> Formula:
    s, k, t, r, v = [tensor(dtype, 1) for _ in range(5)]
    d1 = (T.log(s / k) + (r + v**2 / 2) * t) / (v * T.sqrt(t))
    d2 = d1 - v * T.sqrt(t)

    def below(x: Expr) -> Expr:
        return T.erfc(-x / T.sqrt(T.constant(2, dtype=dtype))) / 2

    price = s * below(d1) - k * T.exp(-r * t) * below(d2)
    return [s, k, t, r, v], [price, *(fuse.grad(price.sum(), [s, k, t, r, v]) if greeks else [])]


def differences(dtype: str) -> Formula:
    """Nothing is left of equal products, unless one of them is rounded together with the difference."""
    x, y = tensor(dtype, 1), tensor(dtype, 1)
    return [x, y], [x * x - y * y]


def stored() -> Formula:
    """bfloat16 in memory, float32 in registers."""
    b = tensor("uint16", 2)
    x = T.from_bfloat16(b)
    return [b], [T.to_bfloat16(softmax(x, 1)), T.to_bfloat16(T.tanh(x) * 2), x.sum(0)]


def by_weights(dtype: str) -> Formula:
    """A logistic regression's cost and gradient, to which all rows add."""
    x, w, t = tensor(dtype, 2), tensor(dtype, 1), tensor(dtype, 1)
    z = (x * w).sum(1)
    cost = (T.nnet.softplus(z) - t * z).mean()
    return [x, w, t], [cost, T.grad(cost, w)]


def stencil(dtype: str) -> Formula:
    x = tensor(dtype, 2)
    inner = x[1:-1, 1:-1]
    return [x], [inner + (x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2] - 4 * inner) / 4]


def turned(dtype: str) -> Formula:
    x, y = tensor(dtype, 2), tensor(dtype, 2)
    return [x, y], [x.T * y + y[::-1, ::-1], x.dimshuffle(1, 0).sum(0)]


def spread(dtype: str) -> Formula:
    x, v = tensor(dtype, 2), tensor(dtype, 1)
    return [x, v], [x * v + v[:, None][:1], T.outer(v, v)]


def recurrent(dtype: str) -> Formula:
    """A loop whose steps the host launches, with sums of columns beside rows."""
    x, h = tensor(dtype, 2), tensor(dtype, 2)
    states, _ = fuse.scan(lambda v, h: softmax(h, 1) * v + v[:, None] * h.sum(0), sequences=[x], outputs_info=[h])
    return [x, h], [states]


def of_each_thread(dtype: str) -> Formula:
    """A loop over elements that have nothing to do with each other, and its gradient."""
    x, h, a = tensor(dtype, 2), tensor(dtype, 1), tensor(dtype, 0)
    states, _ = fuse.scan(lambda v, h: T.sqrt(T.exp(v * a) + h) - h, sequences=[x], outputs_info=[h])
    return [x, h, a], [states, fuse.grad((states**2).sum(), h)]


def of_each_block(dtype: str) -> Formula:
    """A recurrent layer on a batch: a block for each of its rows."""
    x, w, h = tensor(dtype, 3), tensor(dtype, 2), tensor(dtype, 2)
    states, _ = fuse.scan(lambda v, h: softmax(v + T.dot(h, w), 1) + h, sequences=[x], outputs_info=[h])
    return [x, w, h], [states, fuse.grad((states**2).sum(), h)]


def of_one_block(dtype: str) -> Formula:
    """Rows, columns, sums of everything and numbers, one after the other in each step."""
    x, h, c = tensor(dtype, 2), tensor(dtype, 2), tensor(dtype, 0)

    def step(v: Expr, h: Expr, c: Expr) -> list[Expr]:
        new = T.tanh(h.T + v).max(1, keepdims=True) + layer_norm(h, 0) + T.dot(v, h) * c
        return [new, T.sqrt((new * new).sum()) * c]

    (states, numbers), _ = fuse.scan(step, sequences=[x], outputs_info=[h, c])
    return [x, h, c], [states, numbers]


def ends_early(dtype: str) -> Formula:
    h, a = tensor(dtype, 0), tensor(dtype, 0)
    states, _ = fuse.scan(lambda h: (h * a + a, fuse.scan_module.until(h > 20)), outputs_info=[h], n_steps=50)
    return [h, a], [states]


def best_ways(dtype: str) -> Formula:
    """Viterbi's algorithm for a batch: where the largest of each column is, found row by row."""
    x, w, h = tensor(dtype, 3), tensor(dtype, 2), tensor(dtype, 2)

    def step(v: Expr, h: Expr) -> list[Expr]:
        both = h[:, :, None] + w
        return [both.max(1) + v, both.argmax(1)]

    (best, ways), _ = fuse.scan(step, sequences=[x], outputs_info=[h, None])
    return [x, w, h], [best[-1], ways]


LOOPS = (recurrent, of_each_thread, of_each_block, of_one_block, ends_early, best_ways)


def several(dtypes: Sequence[str]) -> Iterator[Case]:
    two_bytes = r"ld\.global(\.nc)?(\.v4)?\.[bu]16", r"st\.global(\.v4)?\.[bu]16"
    yield Case("stored as bfloat16", stored, True, promises=(*two_bytes, r"ld\.global\.v2\.b32"))  # beside float32
    for dtype in dtypes:
        narrow = is_narrow(dtype)
        for formula in (stencil, turned, spread, by_weights, *LOOPS):
            yield Case(f"{dtype}: {formula.__name__}", partial(formula, dtype), narrow)
        bits = dtype.replace("float", "f")
        apart = rf"mul\.rn\.{bits}", rf"sub\.rn\.{bits}"
        yield Case(f"{dtype}: products rounded one by one", partial(differences, dtype), narrow, promises=apart)
        yield Case(f"{dtype}: Black-Scholes", partial(black_scholes, dtype, False), narrow)
        yield Case(f"{dtype}: Black-Scholes with greeks", partial(black_scholes, dtype, True), narrow)
        for layouts in (("S1", "S1"), ("S0", "S0"), ("S-1", "S1"), ("S0", "C")):
            named = partial(lambda d: ([x := tensor(d, 2)], [T.exp(x) * 2]), dtype)
            yield Case(f"{dtype}: arrays laid out as {' and '.join(layouts)}", named, narrow, layouts)


def vectors(dtypes: Sequence[str]) -> Iterator[Case]:
    """Contiguous arrays along which neighbouring threads go: several elements with one instruction."""

    def doubled(dtype: str) -> Formula:
        x, y = tensor(dtype, 2), tensor(dtype, 2)
        return [x, y], [x * 2 + y]

    def summed(dtype: str, axis: int | None) -> Formula:
        x = tensor(dtype, 2)
        return [x], [x.sum(axis)]

    width = {"float16": "v4.b32", "int16": "v4.b32", "int8": "v2.b32", "int32": "v4.u32", "float32": "v4.f32",
             "int64": "v2.u64", "float64": "v2.f64"}  # fmt: skip
    for dtype in [d for d in dtypes if d in width]:
        load, store = [rf"{move}.global(.nc)?.{width[dtype]}" for move in ("ld", "st")]
        narrow = is_narrow(dtype)
        four = (load, 4), (r"ld.global(.nc)?.[bfsu]\d+", 8)  # two groups of each array, four elements of each
        yield Case(f"{dtype}: 16 bytes at once", partial(doubled, dtype), narrow, promises=(load, store), flying=four)
        if dtype in FLOATS:
            whole = partial(summed, dtype, None)
            yield Case(f"{dtype}: a sum, 16 bytes at once", whole, narrow, promises=(load,), flying=((load, 2),))
            yield Case(f"{dtype}: sums of rows, 16 bytes at once", partial(summed, dtype, 1), narrow, promises=(load,))


def own_kernels(dtypes: Sequence[str]) -> Iterator[Case]:
    """The kernels that fuse itself launches between those of formulas."""
    for dtype in dtypes:
        narrow = is_narrow(dtype)
        yield Case(f"{dtype}: adding copies", partial(cuda_launch._adding, dtype, dtype), narrow)
        for layouts in (("C", "S0"), ("S1", "C"), ("S-1", "S-1")):
            where = " from ".join(layouts)
            yield Case(f"{dtype}: copying to {where}", partial(cuda_launch._storing, dtype, 2, layouts, False), narrow)
            yield Case(f"{dtype}: increasing {where}", partial(cuda_launch._storing, dtype, 2, layouts, True), narrow)


def cases(quick: bool) -> list[Case]:
    """What is compiled; ``quick`` leaves out what differs little from the rest."""
    if quick:
        return [
            *elementwise(("int64", "float32")), *reductions(("float32",), (None, 2, 0)), *reductions(("bool",), (2,)),
            *rows(("float32",), (softmax, layer_norm), PLACES[:2]), *vectors(("float32", "int64")),
            *indexed(("float32",)), *draws(("float32",)), *several(("float32",)),
            *own_kernels(("float16", "complex64")),
        ]
    plain = [d for d in ty.DTYPES if d not in ("float16", "bool")]
    each = ("float32", "float64", "int64", "complex64")
    return [
        *elementwise(ty.DTYPES), *mixed(), *reductions(each),
        *reductions([d for d in ty.DTYPES if d not in each], (None, 2)), *rows(("float32",)),
        *rows(("float64",), (softmax, layer_norm)), *rows(("float16",), (softmax, layer_norm), PLACES[:1]),
        *vectors(ty.DTYPES), *indexed(plain), *draws(FLOATS), *several(FLOATS), *own_kernels(ty.DTYPES),
    ]
