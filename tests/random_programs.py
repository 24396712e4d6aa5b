"""Random programs and inputs: graphs of elementwise, broadcast, reduce, reshape-like and indexing ops from a seed."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fuse.tensor as T
from fuse.expr import Expr
from fuse.types import TensorType

FLOATS = ("float64", "float32")
DTYPES = (*FLOATS, "int64", "int32", "int8", "uint8", "bool")
UNARY = {
    "f": (T.exp, T.tanh, T.neg, T.abs_, T.sqr, T.sigmoid, T.floor, T.sgn, T.log1p, T.cos),
    "i": (T.neg, T.abs_, T.sqr, T.sgn),
    "u": (T.abs_, T.sqr),
    "b": (T.invert,),
}
BINARY = (T.add, T.mul, T.maximum, T.minimum)
NUMERIC = (T.sub, T.true_div)
REDUCTIONS = (T.sum, T.max, T.min, T.mean)


@dataclass
class RandomProgram:
    """Inputs, outputs and values for one seed."""

    inputs: list[Expr]
    outputs: list[Expr]
    values: list[np.ndarray[Any, Any]]


def make_program(seed: int, steps: int = 10) -> RandomProgram:
    """A program of about ``steps`` operations over run-time sizes ``n`` and ``m``, with values in random layouts."""
    rng = np.random.default_rng(seed)
    n, m = (int(rng.choice([0, 1, 2, 3, 5, 17, 40])) for _ in range(2))
    inputs: list[Expr] = []
    values: list[np.ndarray[Any, Any]] = []
    pool: list[tuple[Expr, tuple[str, ...]]] = []  # (expression, names of its axes: "n", "m", "1")
    sizes = {"n": n, "m": m, "1": 1}
    shapes: list[tuple[str, ...]] = [(), ("n",), ("m",), ("n", "m"), ("n", "m"), ("m", "n"), ("n", "1"), ("1", "m")]
    for k in range(int(rng.integers(2, 5))):
        axes = shapes[int(rng.integers(len(shapes)))]
        dtype = str(rng.choice(DTYPES, p=[0.4, 0.2, 0.1, 0.08, 0.08, 0.07, 0.07]))
        variable = TensorType(dtype, tuple(1 if a == "1" else None for a in axes))(f"x{k}")
        inputs.append(variable)
        values.append(_value(rng, dtype, tuple(sizes[a] for a in axes)))
        pool.append((variable, axes))
    for _ in range(steps):
        made = _step(rng, pool, sizes)
        if made is not None:
            pool.append(made)
    count = int(rng.integers(1, 4))
    outputs = [pool[int(i)][0] for i in rng.choice(len(pool), size=min(count, len(pool)), replace=False)]
    return RandomProgram(inputs, [*outputs, pool[-1][0]], values)


def _value(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    layout = rng.choice(["C", "F", "step", "reverse"])
    big = tuple(2 * n for n in shape) if layout == "step" else shape
    if dtype in FLOATS:
        a = rng.normal(size=big).astype(dtype) * 2
        if a.size and rng.random() < 0.2:
            a.flat[int(rng.integers(a.size))] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0])
    elif dtype == "bool":
        a = rng.random(size=big) < 0.5
    else:
        info = np.iinfo(dtype)
        a = rng.integers(max(info.min, -9), min(info.max, 10), size=big).astype(dtype)
    a = np.asarray(a)
    if layout == "F":
        a = np.array(a, order="F")
    elif layout == "step":
        a = a[tuple(slice(None, None, 2) for _ in shape)]
    elif layout == "reverse":
        a = a[tuple(slice(None, None, -1) for _ in shape)]
    return a


def _step(rng: np.random.Generator, pool: list[Any], sizes: dict[str, int]) -> tuple[Expr, tuple[str, ...]] | None:
    x, axes = pool[int(rng.integers(len(pool)))]
    kind = np.dtype(x.dtype).kind
    choice = rng.choice(["unary", "binary", "binary", "reduce", "keepdims", "transpose", "broadcast", "switch", "softmax", "gather", "cast"])
    if choice == "unary":
        table = UNARY["f" if kind == "f" else kind if kind in UNARY else "f"]
        return table[int(rng.integers(len(table)))](x), axes
    if choice == "cast":
        return T.cast(x, str(rng.choice(["float64", "float32"]))), axes
    if choice in ("binary", "switch"):
        partners = [(y, b) for y, b in pool if _compatible(axes, b)]
        y, b = partners[int(rng.integers(len(partners)))]
        out = tuple(q if p == "1" else p for p, q in zip(axes, b, strict=True)) if len(axes) == len(b) else (axes or b)
        if choice == "switch":
            return T.switch(T.gt(x, 0) if x.dtype != "bool" else x, x, y), out
        ops = BINARY if "bool" in (x.dtype, y.dtype) else BINARY + NUMERIC
        return ops[int(rng.integers(len(ops)))](x, y), out
    if choice in ("reduce", "keepdims") and axes:
        keep = choice == "keepdims"
        over = int(rng.integers(-1, len(axes)))
        reduce = REDUCTIONS[int(rng.integers(len(REDUCTIONS)))]
        reduced = range(len(axes)) if over < 0 else [over]
        if any(sizes[axes[a]] == 0 for a in reduced) and reduce is not T.sum:
            reduce = T.sum
        if x.dtype == "bool" and reduce in (T.max, T.min):
            return None
        out = tuple("1" if a in reduced else axes[a] for a in range(len(axes)) if keep or a not in reduced)
        return reduce(x, axis=None if over < 0 else over, keepdims=keep), out
    if choice == "transpose" and len(axes) == 2:
        return x.T, axes[::-1]
    if choice == "broadcast" and len(axes) == 1:
        return (x.dimshuffle(0, "x"), (axes[0], "1")) if rng.random() < 0.5 else (x.dimshuffle("x", 0), ("1", axes[0]))
    if choice == "softmax" and len(axes) == 2 and kind == "f" and "1" not in axes and 0 not in [sizes[a] for a in axes]:
        return T.nnet.softmax(x), axes
    if choice == "gather" and axes and sizes[axes[0]] > 0:
        index = [int(i) for i in rng.integers(-sizes[axes[0]], sizes[axes[0]], size=1)]
        return x[index], ("1", *axes[1:])
    return None


def _compatible(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    return not a or not b or len(a) == len(b) and all(p == q or "1" in (p, q) for p, q in zip(a, b, strict=True))
