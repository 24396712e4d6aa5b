"""Formulas of statistics along an axis, what NumPy says of them in long double, and how results are compared."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fuse
import fuse.tensor as T

WIDE = np.longdouble
# Those of one reading of memory.
ONE = ("softmax", "logsumexp", "layer norm", "variance", "weighted exponentials", "softmax gradient",
       "log-softmax gradient", "layer norm gradient", "batch norm gradient", "logits of a mask", "standard scores")


def softmax(x):
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def logsumexp(x):
    top = np.where(np.isinf(x.max(0)), 0, x.max(0))
    return np.log(np.exp(x - top).sum(0)) + top


def softmax_slope(x, w):
    p = softmax(x)
    return p * (w - (p * w).sum(0))


def normal(x, eps=1e-5):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


def normal_slope(x, w, eps=1e-5):
    y = normal(x, eps)
    return (w - w.mean(0) - y * (w * y).mean(0)) / np.sqrt(x.var(0) + eps)


def batch_norm(x, g, b):
    return (x - x.mean(0)) / T.sqrt(x.var(0) + 1e-5) * g + b


def formulas(dtype):
    """name: (inputs, outputs, what NumPy says in long double)."""
    x, w = (T.TensorType(dtype, (None, None))(name) for name in "xw")
    g, b = (T.TensorType(dtype, (None,))(name) for name in "gb")
    soft, log_soft = T.nnet.softmax(x, axis=0), T.nnet.log_softmax(x, axis=0)
    norm, full = batch_norm(x, 1, 0), batch_norm(x, g, b)
    costs = [(v * w).sum() for v in (soft, log_soft, norm, full)]
    return {
        "softmax": ([x], [soft], lambda x: [softmax(x)]),
        "logsumexp": ([x], [T.logsumexp(x, axis=0)], lambda x: [logsumexp(x)]),
        "log-softmax": ([x], [log_soft], lambda x: [x - logsumexp(x)]),
        "layer norm": ([x], [norm], lambda x: [normal(x)]),
        "variance": ([x], [x.var(0), x.std(0), x.mean(0)], lambda x: [x.var(0), x.std(0), x.mean(0)]),
        "weighted exponentials": (
            [x, w, b], [T.exp(x - x.max(0)).sum(0), (T.exp(x - x.max(0)) * w * b * 3).sum(0), w.max(0), w.prod(0)],
            lambda x, w, b: [np.exp(x - x.max(0)).sum(0), (np.exp(x - x.max(0)) * w * b * 3).sum(0), w.max(0),
                             w.prod(0)]),
        "covariance": (
            [x, w], [((x - x.mean(0)) * (w - w.mean(0))).sum(0), ((x - x.mean(0)) * w).sum(0) / 7],
            lambda x, w: [((x - x.mean(0)) * (w - w.mean(0))).sum(0), ((x - x.mean(0)) * w).sum(0) / 7]),
        "multiples": (
            [x, b], [(-2 * (x - x.mean(0)) ** 2 / b).sum(0), ((x - x.mean(0)) * b).sum(0),
                     (((x - x.mean(0)) / b) ** 2).sum(0)],
            lambda x, b: [-2 * ((x - x.mean(0)) ** 2 / b).sum(0), ((x - x.mean(0)) * b).sum(0) * 0,
                          (((x - x.mean(0)) / b) ** 2).sum(0)]),
        "standard scores": (
            [x, w], [(norm**2).sum(0), (norm * w).sum(0), (w / x.std(0) + norm * 3).sum(0)],
            lambda x, w: [(normal(x) ** 2).sum(0), (normal(x) * w).sum(0), (w / x.std(0) + normal(x) * 3).sum(0)]),
        "softmax gradient": ([x, w], [costs[0], T.grad(costs[0], x)],
                             lambda x, w: [(softmax(x) * w).sum(), softmax_slope(x, w)]),
        "log-softmax gradient": ([x, w], [costs[1], T.grad(costs[1], x)],
                                 lambda x, w: [((x - logsumexp(x)) * w).sum(), w - softmax(x) * w.sum(0)]),
        "layer norm gradient": ([x, w], [costs[2], T.grad(costs[2], x)],
                                lambda x, w: [(normal(x) * w).sum(), normal_slope(x, w)]),
        "batch norm gradient": (
            [x, w, g, b], [costs[3], *T.grad(costs[3], [x, g, b])],
            lambda x, w, g, b: [((normal(x) * g + b) * w).sum(), normal_slope(x, w * g), (w * normal(x)).sum(0),
                                w.sum(0)]),
        "logits of a mask": (
            [x, w], [T.logsumexp(T.switch(w > 0, x, -np.inf), axis=0)],
            lambda x, w: [logsumexp(np.where(w > 0, x, -np.inf))]),
        "not of tiles": (
            [x, w], [T.exp(x - w.max(0)).sum(0), (abs(x - x.mean(0))).sum(0), T.exp(x.min(0) - x).sum(0)],
            lambda x, w: [np.exp(x - w.max(0)).sum(0), abs(x - x.mean(0)).sum(0), np.exp(x.min(0) - x).sum(0)]),
    }


def values_for(inputs, n, m):
    """Values of n × m matrices and vectors of m."""
    rng = np.random.default_rng([n, m])  # the same in any order of the tests: two rows may nearly cancel
    return [rng.normal(size=(n, m) if v.ndim == 2 else m).astype(v.dtype) + (v.name in "gb") * 2 for v in inputs]


def turn(values):
    """The transposes of matrices; other values as they are."""
    return [v.T if v.ndim == 2 else v for v in values]


def near_numpy(
    f: Callable[..., Any], numpy: Callable[..., Any], args: Sequence[Any], dtype: str, rows: bool = False
) -> None:
    """Assert that ``f`` has the bits of one thread with any number of them, and is as near as sums of rounded values.

    ``rows``: ``f`` takes and gives transposed matrices.
    """
    given = [np.ascontiguousarray(a) for a in turn(args)] if rows else args
    found = set()
    for count in (1, 2, 5):
        fuse.set_num_threads(count)
        found.update([b"".join([np.asarray(v).tobytes() for v in f(*given)]) for _ in range(2)])
    assert len(found) == 1
    with np.errstate(all="ignore"):
        want = list(map(np.asarray, numpy(*[a.astype(WIDE) for a in args])))
    eps = np.finfo(dtype).eps
    for have, exact in zip(f(*given), turn(want) if rows else want, strict=True):
        assert have.dtype == dtype
        scale = np.max(np.abs(exact), initial=1, where=np.isfinite(exact))  # what it is summed of
        np.testing.assert_allclose(have.astype(WIDE), exact, rtol=40 * eps, atol=40 * eps * scale * len(args[0]) ** 0.5)


def special_like_numpy(
    f: Callable[..., Any], numpy: Callable[..., Any], args: Sequence[Any], rows: bool = False
) -> None:
    """Assert that infinities, NaN and large numbers in columns of the first argument come out as NumPy has them."""
    x = args[0]
    n = len(x)
    x[: 3 * n // 7, 1] = -np.inf  # whole tiles, or pieces, of nothing
    x[:, 2] = -np.inf
    x[2 * n // 3, 3] = np.inf
    x[n - 1, 4], x[2, 4] = np.nan, 800.0
    x[7, 5], x[n - 2, 5] = -800.0, 900.0
    with np.errstate(all="ignore"):
        want = list(map(np.asarray, numpy(*args)))
    pairs = zip(f(*turn(args)), turn(want), strict=True) if rows else zip(f(*args), want, strict=True)
    for have, exact in pairs:
        if np.ndim(have):
            np.testing.assert_array_equal(np.isnan(have), np.isnan(exact))
            scale = np.nanmax(np.where(np.isfinite(exact), abs(exact), 0))
            np.testing.assert_allclose(have, exact, rtol=1e-9, atol=1e-11 * scale)
