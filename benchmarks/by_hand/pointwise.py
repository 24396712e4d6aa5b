"""Pointwise formulas by hand: one loop, outputs reused, in chunks on all threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.mathematics import ORDERED, SUMS, erf, exp, log, power, sigmoid, sin, tanh
from benchmarks.by_hand.threads import GRAIN, chunked
from benchmarks.records import Data

__all__ = ["KERNELS"]

Kernel = Callable[..., Any]

# What the loop does with an element, by workload. ``k`` is the type of the constants, ``y`` are the results.
_BODIES: dict[str, tuple[str, str]] = {
    "stream/copy": ("a", "y0 = a"),
    "stream/triad": ("a b", "y0 = a + k(3) * b"),
    "elementwise/a+1": ("a", "y0 = a + k(1)"),
    "elementwise/2a+3b": ("a b", "y0 = k(2) * a + k(3) * b"),
    "elementwise/a²+b²+2ab": ("a b", "y0 = a * a + b * b + k(2) * a * b"),
    "elementwise/2a+b¹⁰": ("a b", "b2 = b * b; b4 = b2 * b2; y0 = k(2) * a + b4 * b4 * b2"),
    "elementwise/gauss": ("a b c", "t = (a - b) / c; y0 = exp(k(-0.5) * t * t) / c"),
    "elementwise/three results": ("a b", "s = a + b; y0 = s * a; y1 = s * b; y2 = s * s"),
    "elementwise/sqrt(a)/b": ("a b", "y0 = sqrt(a) / b"),
    "function/exp": ("a", "y0 = exp(a)"),
    "function/log": ("a", "y0 = log(a)"),
    "function/tanh": ("a", "y0 = tanh(a)"),
    "function/sin": ("a", "y0 = sin(a)"),
    "function/erf": ("a", "y0 = erf(a)"),
    "function/pow": ("a b", "y0 = power(a, b)"),
    "function/sigmoid": ("a", "y0 = k(1) / (k(1) + exp(-a))"),
    "function/log1p(exp)": ("a", "y0 = log(k(1) + exp(a))"),
    "black-scholes/price": (
        "s k_ t r v",
        "root = v * sqrt(t); d1 = (log(s / k_) + (r + k(0.5) * v * v) * t) / root; "
        "half = k(0.5); c = k(0.7071067811865476); "
        "y0 = s * (half + half * erf(d1 * c)) - k_ * exp(-r * t) * (half + half * erf((d1 - root) * c))",
    ),
    "black-scholes/greeks": (
        "s k_ t r v",
        "side = sqrt(t); root = v * side; d1 = (log(s / k_) + (r + k(0.5) * v * v) * t) / root; "
        "half = k(0.5); c = k(0.7071067811865476); "
        "n1 = half + half * erf(d1 * c); n2 = half + half * erf((d1 - root) * c); "
        "factor = exp(-r * t); discounted = k_ * factor; "
        "vega = s * exp(-half * d1 * d1) * k(0.3989422804014327) * side; "
        "y0 = s * n1 - discounted * n2; y1 = n1; y2 = -factor * n2; "
        "y3 = vega * v * half / t + r * discounted * n2; y4 = t * discounted * n2; y5 = vega",
    ),
    "call/(x+y)*x": ("x y", "y0 = (x + y) * x"),
    "call/x+y": ("x y", "y0 = x + y"),
    "call/4in3out": ("a b c d", "y0 = a + b; y1 = c * d - a; y2 = (a - d) * b"),
}
_COSTLY = ("function/", "black-scholes/", "elementwise/gauss")
_BLOCK = 512  # elements whose first result is added up while it is in cache


def _scope(kind: Any) -> dict[str, Any]:
    functions = {"exp": exp, "log": log, "tanh": tanh, "sin": sin, "erf": erf, "power": power, "sigmoid": sigmoid}
    return functions | {"sqrt": np.sqrt, "k": kind}


def _loop(names: list[str], body: str, results: int, kind: Any) -> Kernel:
    """Return ``loop(*inputs, *outputs)`` over vectors of one length."""
    outs = [f"out{i}" for i in range(results)]
    lines = [f"def loop({', '.join([*(f'in_{name}' for name in names), *outs])}):"]
    lines += [f"    for i in range(in_{names[0]}.shape[0]):", *(f"        {name} = in_{name}[i]" for name in names)]
    lines += [f"        {statement}" for statement in body.split("; ")]
    lines += [f"        out{i}[i] = y{i}" for i in range(results)]
    scope = _scope(kind)
    exec("\n".join(lines), scope)
    return numba.njit(scope["loop"], **ORDERED)


def _results(body: str) -> int:
    return sum(f"y{i} = " in body for i in range(9))


def _vectors(name: str, inputs: Data) -> Kernel:
    """Return the loop over arrays, serial or in chunks."""
    words, body = _BODIES[name]
    model = next(iter(inputs.values()))
    shape, flat = model.shape, model.reshape(-1)
    results = _results(body)
    outs = [np.empty(shape, model.dtype) for _ in range(results)]
    loop = _loop(words.split(), body, results, model.dtype.type)
    if flat.size >= (GRAIN // 4 if name.startswith(_COSTLY) else GRAIN):
        loop = chunked(loop, len(inputs) + results)
    found = outs[0] if results == 1 else tuple(outs)
    if len(inputs) == 1:
        (out,) = outs

        def one(a: Any) -> Any:
            loop(a, out)
            return out

        return one

    def several(*values: Any) -> Any:
        loop(*values, *outs)
        return found

    return several


def _scalars(name: str) -> Kernel:
    """Return the formula as a function of numbers, or of 0-d arrays as NumPy has them."""
    words, body = _BODIES[name]
    count = _results(body)
    results = ", ".join(f"y{i}" for i in range(count))
    lines = [
        f"def formula({', '.join(words.split())}):",
        *(f"    {s}" for s in body.split("; ")),
        f"    return {results}",
    ]
    scope = _scope(float)
    exec("\n".join(lines), scope)
    return numba.njit(scope["formula"], **ORDERED)


def _pointwise(name: str, inputs: Data) -> Kernel:
    vectors = all(np.ndim(value) for value in inputs.values())
    return _vectors(name, inputs) if vectors else _scalars(name)


@numba.njit(**SUMS)
def _total(x, n):
    total = x[0] - x[0]
    for i in range(n):
        total += x[i]
    return total


def _greeks(inputs: Data) -> Kernel:
    """Return the sum of the prices and the five greeks; the prices themselves never leave the cache."""
    model = inputs["s"]
    words, body = _BODIES["black-scholes/greeks"]
    loop = _loop(words.split(), body, 6, model.dtype.type)
    outs = [np.empty_like(model) for _ in range(5)]
    partial_sums = np.zeros(-(-len(model) // _BLOCK), np.float64)

    def block(s, k, t, r, v, b, c, d, e, f, sums):
        prices = np.empty(_BLOCK, s.dtype)
        for i in range(sums.shape[0]):
            low, high = i * _BLOCK, min(s.shape[0], (i + 1) * _BLOCK)
            p = prices[: high - low]
            loop(s[low:high], k[low:high], t[low:high], r[low:high], v[low:high], p, b[low:high], c[low:high],
                 d[low:high], e[low:high], f[low:high])  # fmt: skip
            sums[i] = _total(p, high - low)

    serial = numba.njit(block, **ORDERED)
    threads = numba.get_num_threads()

    def split(s, k, t, r, v, b, c, d, e, f, sums):
        blocks = sums.shape[0]
        step = (blocks + threads - 1) // threads
        for thread in numba.prange(threads):
            first, last = min(blocks, thread * step), min(blocks, (thread + 1) * step)
            low, high = first * _BLOCK, min(s.shape[0], last * _BLOCK)
            serial(s[low:high], k[low:high], t[low:high], r[low:high], v[low:high], b[low:high], c[low:high],
                   d[low:high], e[low:high], f[low:high], sums[first:last])  # fmt: skip

    run = numba.njit(split, parallel=True, **ORDERED) if model.size >= GRAIN // 4 else serial
    kind = model.dtype.type

    def greeks(*values: Any) -> Any:
        run(*values, *outs, partial_sums)
        return kind(_total(partial_sums, partial_sums.shape[0])), *outs

    return greeks


def _read(inputs: Data) -> Kernel:
    """Return the sum of a vector: what reading alone allows."""
    threads = numba.get_num_threads()

    @numba.njit(parallel=True, **SUMS)
    def read(a):
        step = -(-a.shape[0] // threads)
        sums = np.zeros(threads * 8, a.dtype)
        for thread in numba.prange(threads):
            part = a[thread * step : (thread + 1) * step]
            sums[thread * 8] = _total(part, part.shape[0])
        return sums.sum()

    return read


KERNELS: dict[str, Kernel] = {name: partial(_pointwise, name) for name in _BODIES} | {
    "black-scholes/greeks": _greeks,
    "stream/read": _read,
}
