"""Further steps of random programs: loops whose bodies are random programs, values used turned, choices, stencils."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import random_programs as rp
from random_programs import FLOATS, Array, Maker

import fuse
import fuse.tensor as T
from fuse.errors import FuseError
from fuse.expr import Expr
from fuse.scan_module import until

LONGEST = 7  # steps of a loop
INNER = (rp._elementwise, rp._elementwise, rp._elementwise, rp._reduce, rp._shuffle, rp._subtensor, rp._advanced,
         rp._store, rp._join, rp._product, rp._soft, rp._normalised, rp._scan)


# ---------------------------------------------------------------- loops
def _grown(maker: Maker, own: Sequence[Expr], samples: Sequence[Array], bounds: Any) -> Maker:
    """The body of a loop in the making: operations on its own variables, and on what it reads from outside."""
    outside = [x for x in (maker.pick() for _ in range(int(maker.rng.integers(0, 3)))) if x is not None]
    values = {**maker.values, **dict(zip(own, samples, strict=True))}
    body = Maker(maker.rng, maker.clean, [*outside, *own], values)
    for _ in range(int(maker.rng.integers(1, 5))):
        try:
            made = maker.choose(*INNER)(body, bounds)
        except FuseError:
            continue
        for x in made if isinstance(made, (list, tuple)) else [made]:
            body.add(x)
    return body


def _next(body: Maker, state: Expr) -> Expr:
    """A value of the body in the dtype and shape of ``state``."""
    dtype, shape = state.type.dtype, body.shape(state)
    y = body.pick(lambda y: y is not state and np.can_cast(y.type.dtype, dtype, "same_kind")
                  and rp._fits(body.shape(y), shape))
    if y is None:
        return state
    z = y if y.type.dtype == dtype else T.cast(y, dtype)
    if dtype in FLOATS:
        z = body.choose(z, T.tanh(z), (state + z) * np.asarray(0.5, dtype))
    return z if z.type == state.type else T.fill(state, z)


def _ending(body: Maker, own: Sequence[Expr]) -> Expr:
    """A condition on the last value of the body that can be summed."""
    x = body.pick(lambda x: x.type.dtype in FLOATS)
    return T.gt(abs(T.real(own[-1] if x is None else x)).sum(), body.choose(1.0, 5.0, 50.0))


def _sequence(maker: Maker) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is not None and maker.shape(x)[0] > LONGEST:
        x = x[:LONGEST]
        maker.value(x)
    return x


def _sample(value: Array, at: int) -> Array:
    return np.asarray(value[at]) if len(value) > at else np.zeros(value.shape[1:], value.dtype)


def _scan(maker: Maker, bounds: Any) -> Any:
    """A scan with sequences at several taps, states, outputs that are not carried, and perhaps an end of its own."""
    sequences = [x for x in (_sequence(maker) for _ in range(int(maker.rng.integers(0, 3)))) if x is not None]
    taps = [maker.choose((0,), (0,), (0,), (0, 1), (-1, 0)) for _ in sequences]
    samples = [_sample(maker.value(x), k) for x, t in zip(sequences, taps, strict=True) for k in range(len(t))]
    infos: list[Any] = []
    states: list[int] = []
    for _ in range(int(maker.rng.integers(0 if sequences else 1, 3))):
        first = maker.pick()
        if first is None:
            continue
        if first.type.ndim and maker.shape(first)[0] > 1 and maker.rng.random() < 0.25:
            infos.append({"initial": first[:2], "taps": [-2, -1]})
            samples += [maker.value(first)[0], maker.value(first)[1]]
            states.append(2)
        else:
            infos.append(first)
            samples.append(maker.value(first))
            states.append(1)
    free = int(maker.rng.integers(0 if states else 1, 2))
    steps = None if sequences and maker.rng.random() < 0.7 else maker.choose(bounds[1], 0, 1, 3, 5)
    ends = maker.rng.random() < 0.15

    def step(*own: Expr) -> Any:
        body = _grown(maker, own, samples, bounds)
        nexts, at = [], len(own) - sum(states)
        for count in states:
            nexts.append(_next(body, own[at + count - 1]))
            at += count
        found = [*nexts, *[body.pool[-1] for _ in range(free)]]
        return (found, until(_ending(body, own))) if ends else found

    outputs, _ = fuse.scan(
        step, [{"input": x, "taps": list(t)} for x, t in zip(sequences, taps, strict=True)], [*infos, *[None] * free],
        n_steps=steps, go_backwards=bool(maker.rng.random() < 0.3), return_list=True)
    return [y for o in outputs for y in ([o, o[-1]] if maker.rng.random() < 0.3 else [o])]


def _carried(maker: Maker, bounds: Any) -> Any:
    """A loop in carry style, over the first axis of an array, or while something holds."""
    first, x = maker.pick(), _sequence(maker)
    if first is None or x is None:
        return None
    if maker.rng.random() < 0.5:
        def step(carry: Expr, x_t: Expr) -> Any:
            body = _grown(maker, [x_t, carry], [_sample(maker.value(x), 0), maker.value(first)], bounds)
            return _next(body, carry), body.pool[-1]

        last, kept = fuse.loop(step, first, x, checkpoint=maker.choose(None, None, 0, 2))
        return [last, kept]
    limit = maker.choose(3, 6, bounds[1])

    def again(carry: Any) -> Expr:
        return T.and_(T.lt(carry[1], limit), T.lt(abs(T.real(carry[0])).sum(), 30.0))

    def more(carry: Any) -> Any:
        samples = [maker.value(first), np.asarray(0)]
        return _next(_grown(maker, carry, samples, bounds), carry[0]), carry[1] + 1

    return list(fuse.while_loop(again, more, (first, T.constant(0, dtype="int64")), max_steps=20))


def _folded(maker: Maker, bounds: Any) -> Any:
    """map and the folds."""
    x = _sequence(maker)
    if x is None:
        return None
    if maker.rng.random() < 0.5:
        def each(x_t: Expr) -> Expr:
            return _grown(maker, [x_t], [_sample(maker.value(x), 0)], bounds).pool[-1]

        return fuse.map(each, x)[0]
    first = maker.pick(lambda y: rp._fits(maker.shape(y), maker.shape(x)[1:]) or y.type.ndim == 0)
    if first is None:
        return None

    def step(x_t: Expr, state: Expr) -> Expr:
        return _next(_grown(maker, [x_t, state], [_sample(maker.value(x), 0), maker.value(first)], bounds), state)

    return maker.choose(fuse.foldl, fuse.foldr)(step, x, first)[0]


# ---------------------------------------------------------------- others
def _turned(maker: Maker, bounds: Any) -> Expr | None:
    """What is made of a row and a column, used along both of its axes, or turned, at once."""
    x = maker.pick(lambda x: x.type.ndim == 1 and maker.shape(x)[0] <= 40 and np.dtype(x.type.dtype).kind in "fiu")
    if x is None:
        return None
    y = maker.pick(lambda y: y.type.ndim == 1 and maker.shape(y) == maker.shape(x))
    y = x if y is None else y
    column, row = x.dimshuffle(0, "x"), y.dimshuffle("x", 0)
    e = maker.choose(lambda: T.outer(x, y), lambda: column - row, lambda: T.exp(-T.sqr(column - row)),
                     lambda: T.switch(T.gt(column, row), column, row * 2), lambda: T.eq(column, row) * column)()
    kind = maker.choose("transposed", "cube", "rows and columns", "summed", "dot", "nested")
    if kind == "transposed":
        return e.T - e * 2
    if kind == "rows and columns":
        return e.sum(axis=0) * e + e.sum(axis=1, keepdims=True)
    if kind == "dot":
        return T.dot(e, e.T) + e
    if maker.shape(x)[0] > 17:
        return e.T + e
    if kind == "cube":
        return e.dimshuffle(0, "x", 1) * e
    if kind == "summed":
        return (e.dimshuffle(0, "x", 1) * e).sum(axis=maker.choose(0, 1, 2)) + e
    return T.abs(e.dimshuffle(0, "x", 1)) * (e + 1) + e.dimshuffle(1, "x", 0)


def _chosen(maker: Maker, bounds: Any) -> Any:
    """Values that others select: where, choose, take along an axis, sorted positions, the largest."""
    x = maker.pick(lambda x: x.type.ndim > 0 and np.dtype(x.type.dtype).kind in "fiu")
    if x is None:
        return None
    axis = int(maker.rng.integers(x.type.ndim))
    kind = maker.choose("where", "choose", "along", "argsort", "take", "compress", "nonzero", "flip", "search", "bins")
    if kind == "where":
        y = maker.pick(rp._compatible(maker, x))
        return T.where(T.gt(x, 0), x, y if y is not None else 0)
    if kind == "choose":
        return T.choose(T.cast(T.gt(x, 0), "int64"), [x, x * 2])
    if kind == "along" and maker.shape(x)[axis]:
        return T.take_along_axis(x, T.argsort(x, axis=axis), axis)
    if kind == "argsort":
        return T.argsort(x, axis=axis)
    if kind == "take" and maker.shape(x)[axis]:
        return T.take(x, maker.rng.integers(-9, 9, 4), axis=axis, mode=maker.choose("clip", "wrap"))
    if kind == "compress":
        return T.compress(maker.rng.random(maker.shape(x)[axis]) < 0.5, x, axis=axis)
    if kind == "nonzero":
        return x.nonzero()[0]
    if kind == "search" and x.type.dtype in ("float64", "int64"):
        return T.searchsorted(T.sort(x.flatten()), x)
    if kind == "bins" and x.type.dtype == "int64" and x.type.ndim == 1:
        return T.bincount(x % 7, minlength=8)
    return T.flip(x, axis)


def _stencil(maker: Maker, bounds: Any) -> Expr | None:
    """Neighbours of each element: sums of slices, stores into inner parts, padding, convolution, pooling."""
    x = maker.pick(lambda x: x.type.ndim > 0 and x.type.dtype in ("float64", "float32") and min(maker.shape(x)) > 2)
    if x is None:
        return None
    kind = maker.choose("slices", "inner", "pad", "convolution", "pooling", "einsum")
    if kind == "slices":
        return x[2:] - 2 * x[1:-1] + x[:-2]
    if kind == "inner":
        return T.set_subtensor(T.zeros_like(x)[1:-1], x[2:] - x[:-2]) + x
    if kind == "pad":
        return T.pad(x, 1, mode="constant")
    if x.type.ndim != 2:
        return T.set_subtensor(x[1:-1], T.maximum(x[2:], x[:-2]))
    if kind == "convolution":
        kernel = T.constant(maker.rng.normal(size=(1, 1, 2, 2)).astype(x.type.dtype))
        return T.nnet.conv2d(x.dimshuffle("x", "x", 0, 1), kernel, border_mode=maker.choose("valid", "full"))[0, 0]
    if kind == "pooling":
        image = x.dimshuffle("x", "x", 0, 1)
        return T.signal.pool.pool_2d(image, (2, 2), ignore_border=True, mode=maker.choose("max", "sum"))[0, 0]
    return T.einsum(maker.choose("ij,ij->i", "ij,kj->ik", "ij,ij->j", "ij,ij->"), x, x)


FURTHER: tuple[Callable[..., Any], ...] = (_scan, _scan, _scan, _carried, _carried, _folded, _turned, _turned, _chosen,
                                           _chosen, _stencil)
