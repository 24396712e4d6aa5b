"""logsumexp, variance and sums by hand: one reading, accumulators in registers or in a stripe of the first cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import BLOCK, exp_flat, log_flat, moments, product, squares, total
from benchmarks.by_hand.mathematics import ORDERED, SUMS, exp, log
from benchmarks.by_hand.normalise import _long_row, below_tops, stripe_moments, stripe_statistics
from benchmarks.by_hand.threads import GRAIN, chunked, columned
from benchmarks.records import Data

__all__ = ["KERNELS"]

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)
_STRIPE = 512


@_sums
def _logsumexp_rows(x, out):
    n = x.shape[1]
    group = max(1, BLOCK // n)
    buffer, tops, sums = np.empty(BLOCK, x.dtype), np.empty(group, x.dtype), np.empty(group, x.dtype)
    if n <= BLOCK:
        for first in range(0, x.shape[0], group):
            rows = x[first : first + group]
            below_tops(rows, buffer, tops)
            exp_flat(buffer[: rows.shape[0] * n])
            for i in range(rows.shape[0]):
                sums[i] = total(buffer[i * n : i * n + n])
            log_flat(sums[: rows.shape[0]], tops, out[first : first + group])
        return
    for i in range(x.shape[0]):
        top, found = _long_row(x[i], buffer)
        out[i] = top + log(found)


@_sums
def _variance_rows(x, out):
    for i in range(x.shape[0]):
        out[i] = moments(x[i])[1]


@_sums
def _squares_rows(x, out):
    for i in range(x.shape[0]):
        out[i] = squares(x[i])


@_ordered
def _exp_sum(x, buffer):
    found = x[0] - x[0]
    for low in range(0, x.shape[0], BLOCK):
        block = x[low : low + BLOCK]
        part = buffer[: block.shape[0]]
        for i in range(block.shape[0]):
            part[i] = exp(block[i])
        found += total(part)
    return found


@_ordered
def _exp_rows(x, out):
    buffer = np.empty(BLOCK, x.dtype)
    for i in range(x.shape[0]):
        out[i] = _exp_sum(x[i], buffer)


@_sums
def _product_rows(x, y, out):
    for i in range(x.shape[0]):
        out[i] = product(x[i], y[i])


@_ordered
def _logsumexp_columns(x, out, low, high):
    scratch = np.empty((3, _STRIPE), x.dtype)
    for start in range(low, high, _STRIPE):
        width = min(high, start + _STRIPE) - start
        tops, sums = scratch[0, :width], scratch[1, :width]
        stripe_statistics(x, start, tops, sums, scratch[2, :width])
        log_flat(sums, tops, out[0, start : start + width])


@_sums
def _variance_columns(x, out, low, high):
    scratch = np.empty((3, _STRIPE), x.dtype)
    for start in range(low, high, _STRIPE):
        width = min(high, start + _STRIPE) - start
        stripe_moments(
            x, start, scratch[0, :width], out[0, start : start + width], scratch[1, :width], scratch[2, :width]
        )


def _stripes(body: str, names: str) -> Callable[..., Any]:
    """Return a kernel that adds ``body`` of the elements of each column, stripe by stripe."""
    arrays = names.split()
    slices = "\n            ".join(f"{name}_ = {name}[i, start:start + width]" for name in arrays)
    text = f"""
def kernel({", ".join(arrays)}, out, low, high):
    for start in range(low, high, stripe):
        width = min(high, start + stripe) - start
        sums = out[0, start:start + width]
        sums[:] = 0
        for i in range({arrays[0]}.shape[0]):
            {slices}
            for j in range(width):
                sums[j] += {body}
"""
    scope: dict[str, Any] = {"exp": exp, "stripe": _STRIPE}
    exec(text, scope)
    return numba.njit(scope["kernel"], **(ORDERED if "exp" in body else SUMS))


def _rows(serial: Callable[..., Any], inputs: Data) -> Callable[..., Any]:
    x = inputs["x"]
    out = np.empty(len(x), x.dtype)
    run = chunked(serial, len(inputs) + 1, align=1) if x.size >= GRAIN else serial

    def value(*values: Any) -> Any:
        run(*values, out)
        return out

    return value


def _columns(serial: Callable[..., Any], inputs: Data) -> Callable[..., Any]:
    x = inputs["x"]
    out = np.empty((1, x.shape[1]), x.dtype)
    found, width = out[0], x.shape[1]
    run = columned(serial, len(inputs) + 1) if x.size >= GRAIN else lambda *values: serial(*values, 0, width)

    def value(*values: Any) -> Any:
        run(*values, out)
        return found

    return value


def _all(serial: Callable[..., Any], inputs: Data) -> Callable[..., Any]:
    """Return the kernel for rows on the whole array cut into pieces, and the sum of the pieces."""
    x = inputs["x"]
    kind = x.dtype.type
    pieces = -(-x.size // 65536) * 2
    while x.size % pieces:
        pieces -= 1
    out = np.empty(pieces, x.dtype)
    run = chunked(serial, len(inputs) + 1, align=1) if x.size >= GRAIN else serial

    def value(*values: Any) -> Any:
        run(*(value.reshape(pieces, -1) for value in values), out)
        return kind(total(out))

    return value


KERNELS: dict[str, Callable[..., Any]] = {
    "rows/logsumexp": partial(_rows, _logsumexp_rows),
    "rows/variance": partial(_rows, _variance_rows),
    "rows/sum x²": partial(_rows, _squares_rows),
    "rows/sum exp(x)": partial(_rows, _exp_rows),
    "rows/sum x*y": partial(_rows, _product_rows),
    "columns/logsumexp": partial(_columns, _logsumexp_columns),
    "columns/variance": partial(_columns, _variance_columns),
    "columns/sum x²": partial(_columns, _stripes("x_[j] * x_[j]", "x")),
    "columns/sum exp(x)": partial(_columns, _stripes("exp(x_[j])", "x")),
    "columns/sum x*y": partial(_columns, _stripes("x_[j] * y_[j]", "x y")),
    "all/sum x²": partial(_all, _squares_rows),
    "all/sum exp(x)": partial(_all, _exp_rows),
    "all/sum x*y": partial(_all, _product_rows),
}
