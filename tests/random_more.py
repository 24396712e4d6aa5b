"""Steps of the random programs of seeds 4k + 1: ends of integers, repeated indices, many states, second gradients."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import random_programs as rp
import random_steps as rs
from random_programs import FLOATS, Maker

import fuse
import fuse.tensor as T
from fuse.expr import Expr
from fuse.ifelse import ifelse

SIZES = (0, 1, 2, 3, 5, 7, 16, 17, 33, 64, 129, 1000)
REAL = "fiu"


def _kind(*kinds: str, least: int = 0) -> Callable[[Expr], bool]:
    return lambda x: np.dtype(x.type.dtype).kind in "".join(kinds) and x.type.ndim >= least


def _ends(maker: Maker, x: Expr) -> Any:
    """A number of the dtype of ``x``, often one at an end of its range."""
    info = np.iinfo(x.type.dtype)
    number = maker.choose(info.min, info.max, info.min + 1, 0, 1, max(info.min, -1), 2, 7, info.bits - 1, info.bits)
    return T.constant(number, dtype=x.type.dtype)


def _integers(maker: Maker, bounds: Any) -> Expr | None:
    """Division, remainders, shifts, powers and bits of integers of two dtypes, the ends of their ranges included."""
    x = maker.pick(_kind("iu"))
    if x is None:
        return None
    near = rp._compatible(maker, x)
    y = maker.pick(lambda y: _kind("iub")(y) and near(y)) if maker.rng.random() < 0.7 else None
    other = _ends(maker, x) if y is None else y
    if maker.rng.random() < 0.2:
        x, other = other, x
    if maker.rng.random() < 0.2:
        return maker.choose(T.neg, T.abs, T.sgn, T.sqr, T.invert)(x)
    if maker.rng.random() < 0.15:
        return maker.choose(T.sum, T.prod, T.max, T.min, T.mean, T.cumsum)(x)
    return maker.choose(
        T.int_div, T.int_div, T.mod, T.mod, lambda a, b: T.divmod(a, b)[1], T.left_shift, T.right_shift,
        T.bitwise_and, T.bitwise_or, T.bitwise_xor, T.pow, T.mul, T.sub, T.add, T.true_div, T.maximum, T.minimum, T.lt,
        T.ge, T.eq, lambda a, b: T.cast(a, maker.choose(*[d for d in rp.DTYPES if "int" in d])) + b,
    )(x, other)


def _repeated(maker: Maker, bounds: Any) -> Expr | None:
    """Stores and increments at positions that repeat, are negative, in several axes, or told by a mask."""
    x = maker.pick(lambda x: x.type.ndim > 0 and 0 not in maker.shape(x))
    if x is None:
        return None
    n, rng = maker.shape(x)[0], maker.rng
    kind = maker.choose("row", "rows", "pairs", "mask", "matrix", "computed", "last")
    where: Any = rng.integers(-n, n, 7)
    if kind == "rows":
        where = rng.integers(-min(n, 2), min(n, 2), 9)
    elif kind == "pairs" and x.type.ndim > 1:
        where = (rng.integers(-n, n, 6), rng.integers(0, min(maker.shape(x)[1], 2), 6))
    elif kind == "mask":
        where = rng.random(maker.shape(x)[: int(rng.integers(1, x.type.ndim + 1))]) < 0.5
    elif kind == "matrix":
        where = rng.integers(0, n, (3, 2))
    elif kind == "computed":
        y = maker.pick(lambda y: np.dtype(y.type.dtype).kind == "i" and y.type.ndim == 1)
        where = where if y is None else y % n
    elif kind == "last" and x.type.ndim > 1:
        where = (slice(None), rng.integers(-maker.shape(x)[1], maker.shape(x)[1], 3))
    target = x[where]
    shape = maker.value(target).shape
    y = maker.pick(lambda y: np.can_cast(y.type.dtype, x.type.dtype, "same_kind") and rp._fits(maker.shape(y), shape))
    value = T.constant(1, dtype=x.type.dtype) if y is None else y
    if rng.random() < 0.4:
        return maker.choose(T.set_subtensor, T.inc_subtensor)(target, value)
    if rng.random() < 0.5:
        return T.inc_subtensor(T.zeros_like(x)[where], value)
    return T.inc_subtensor(target, value)


def _gathered(maker: Maker, bounds: Any) -> Any:
    """Repeats by counts, joins of several dtypes, splits in three, positions and values of the largest, pads, views."""
    x = maker.pick(lambda x: _kind(REAL, least=1)(x) and 0 not in maker.shape(x))
    if x is None:
        return None
    axis, n, rng = int(maker.rng.integers(x.type.ndim)), maker.shape(x)[0], maker.rng
    kind = maker.choose(
        "repeat", "join", "split", "topk", "cumulative", "sort", "view", "sizes", "unique", "typed", "long")
    if kind == "repeat":
        return T.repeat(x, rng.integers(0, 3, n), axis=0) if n < 100 else T.repeat(x, 3, axis=0)
    if kind == "join":
        parts = [x, T.cast(x, maker.choose("float64", "float32", "int64", "int8")) if x.type.dtype not in FLOATS
                 else T.cast(x, maker.choose("float64", "float32")), x[:1] if axis == 0 else x, x]
        return T.concatenate(parts[: int(rng.integers(2, 5))], axis=axis)
    if kind == "split" and n > 2:
        return T.split(x, [1, n - 2, 1], 3, axis=0)
    if kind == "topk":
        k = int(rng.integers(1, maker.shape(x)[-1] + 1))
        return T.topk(x, k)
    if kind == "cumulative":
        return maker.choose(T.cumsum, T.cumprod)(T.gt(x, 0) if rng.random() < 0.3 else x, axis=axis)
    if kind == "sort":
        return maker.choose(T.sort, T.argsort)(x, axis=maker.choose(axis, None, -1), kind="stable")
    if kind == "view":
        last = maker.choose(lambda: x[..., None], lambda: x[None, ::-1], lambda: x[..., ::-2], lambda: x[bounds[0]:],
                            lambda: x[: bounds[1] : 2], lambda: x.T[:bounds[1]], lambda: x[..., -1:0:-1])()
        return last.ravel() if rng.random() < 0.2 else last
    if kind == "sizes":
        return x * T.cast(x.shape[axis] * x.size - 3, maker.choose("float32", "int32", "int8"))
    if kind == "typed":
        dtype = maker.choose("float64", "float32", "int64", "int16", "int8", "uint8")
        if np.dtype(dtype).kind != "f" and x.type.dtype in FLOATS:
            dtype = "float64"
        return maker.choose(T.sum, T.prod)(x, axis=axis, dtype=dtype)
    if kind == "long":
        return T.sum(T.tile(x.flatten()[:40], 40)) + x
    if x.type.dtype in FLOATS:  # how many there are must not hang on a rounding
        return T.unique(T.round(x)) if x.type.dtype != "float16" else None
    return T.unique(x)


def _matrices(maker: Maker, bounds: Any) -> Expr | None:
    """Products in stacks, of vectors with matrices and turned ones; systems that have one solution."""
    x = maker.pick(lambda x: x.type.dtype in ("float64", "float32") and x.type.ndim > 1 and max(maker.shape(x)) < 80)
    if x is None:
        return None
    kind = maker.choose("batched", "turned", "bias", "vector", "solve", "inverse", "chain", "stack")
    if kind == "stack" and x.type.ndim == 2:
        return T.matmul(T.stack([x, x * 2]), x.T)
    if x.type.ndim == 3:
        return maker.choose(T.batched_dot, T.matmul)(x, x.dimshuffle(0, 2, 1))
    square = T.dot(x, x.T)
    if kind == "turned":
        return T.dot(x.T, x[::-1]) if maker.rng.random() < 0.5 else T.dot(x.T[::-1], x)
    if kind == "bias":
        return T.tanh(square + x[:, 0]) * 2
    if kind == "vector" and maker.shape(x)[1]:
        return T.dot(x, x[0]) + T.dot(x[:, 0], x).sum() if maker.shape(x)[0] else None
    n = maker.shape(x)[0]
    if kind in ("solve", "inverse") and 0 < n < 20:
        a = square + T.eye(x.shape[0], dtype=x.type.dtype) * (1 + T.sum(abs(x)) ** 2)
        return T.slinalg.solve(a, x) if kind == "solve" else T.nlinalg.matrix_inverse(a)
    return T.dot(square, x) - x


def _mixed(maker: Maker, bounds: Any) -> Expr | None:
    """Products and sums in which only one factor has the dtype that all are computed in, and may go or leave."""
    x = maker.pick(_kind("iufb"))
    wide = maker.pick(lambda y: y.type.dtype in ("float64", "float32", "complex128") and rp._compatible(maker, x)(y))
    if x is None or wide is None:
        return None
    near = rp._compatible(maker, x)
    y = maker.pick(lambda y: _kind("iufb")(y) and near(y) and rp._compatible(maker, wide)(y))
    y, s = x if y is None else y, maker.choose(wide, wide, T.sum(wide), T.constant(1.5))
    terms = [(s * x) * y, (x * s) * y, (s + x) + y, (s - x) - y, (s * x) * (s * y), (y * s) * (2 * x)]
    whole = terms[int(maker.rng.integers(len(terms)))]
    return maker.choose(lambda a: a, T.sum, T.mean, lambda a: T.sum(a, axis=-1) if a.type.ndim else a,
                        lambda a: a / s, lambda a: a - s)(whole)  # fmt: skip


def _states(maker: Maker, bounds: Any) -> Any:
    """A scan with several states, further taps, a variable that steps update, and outputs of which some are unused."""
    x = rs._sequence(maker)
    if x is None or maker.shape(x)[0] < 4:
        return None
    taps = maker.choose((0,), (0, 2), (-1, 1), (-2, 0, 1))
    first = x[:3]
    maker.value(first)
    past = maker.choose([-3, -1], [-1], [-2], [-3, -2, -1])
    counter = fuse.shared(np.zeros((), "float64"), name=f"counter{len(maker.pool)}")
    maker.values[counter] = np.zeros(())
    counts = maker.rng.random() < 0.5
    rows = maker.value(x)
    samples = [rows[k] for k in range(len(taps))] + [rows[k] for k in range(len(past))] + [rows[0], np.asarray(0)]
    ends = maker.rng.random() < 0.2

    def step(*own: Expr) -> Any:
        body = rs._grown(maker, own, samples, bounds)
        nexts = [rs._next(body, own[-3]), rs._next(body, own[-2]), own[-1] + 1]
        found = [*nexts, body.pool[-1]]
        updates = {counter: counter * 2 + 1} if counts else {}
        return (found, updates, fuse.scan_module.until(rs._ending(body, own))) if ends else (found, updates)

    start = {"initial": first[0] if past == [-1] else first[: -min(past)], "taps": past}
    outputs, updates = fuse.scan(
        step, [{"input": x, "taps": list(taps)}], [start, x[0], T.constant(0, dtype="int64"), None], return_list=True,
        go_backwards=bool(maker.rng.random() < 0.3))
    made: list[Any] = [o[-1] if maker.rng.random() < 0.4 else o for o in outputs if maker.rng.random() < 0.8]
    maker.updates += updates.items()
    return [*made, *updates.values()]


def _choice(maker: Maker, bounds: Any) -> Expr | None:
    """A lazy choice of two values of one type."""
    x = maker.pick(lambda x: not x.is_leaf)
    if x is None:
        return None
    y = maker.pick(lambda y: y.type == x.type)
    test = T.gt(maker.choose(bounds[0], bounds[1], T.real(x).sum()), maker.choose(0, 1))
    return ifelse(test, x, y if y is not None else x)


def _second(maker: Maker, bounds: Any) -> Any:
    """Second derivatives, products with Jacobians, and gradients at an inner value."""
    outs = [x for x in maker.pool if x.type.dtype in ("float64", "float32") and not x.is_leaf]
    leaves = [x for x in maker.pool if x.is_leaf and x.type.dtype in ("float64", "float32")]
    if not outs or not leaves:
        return None
    out = outs[int(maker.rng.integers(len(outs)))]
    leaf = leaves[int(maker.rng.integers(len(leaves)))]
    kind = maker.choose("hessian", "forward", "rows", "inner", "first")
    if kind == "forward":
        return T.Rop(out, leaf, T.ones_like(leaf))
    slope = T.grad(T.sum(T.sqr(out)), leaf, disconnected_inputs="ignore")
    if kind == "rows" and out.type.ndim == 1 and out.type.dtype == "float64" and maker.shape(out)[0] < 8:
        return fuse.gradient.jacobian(out, leaf, disconnected_inputs="ignore")
    if kind == "hessian":
        return T.grad(T.sum(slope * 3), leaf, disconnected_inputs="ignore")
    return [slope, T.sum(slope * leaf)]


MORE: tuple[Callable[..., Any], ...] = (
    _integers, _integers, _integers, _repeated, _repeated, _repeated, _gathered, _gathered, _gathered, _matrices,
    _states, _states, _choice, _second, _mixed, _mixed)
