"""Images: correlations with filters and their gradients, beside windows gathered in a matrix and BLAS (im2col)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS", "correlated"]

Array = Any


def _windows(x: Array, height: int, width: int) -> Array:
    """The windows of each image as a matrix: [image, place in the window and channel, place of the window]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3)).transpose(0, 1, 4, 5, 2, 3)
    images, channels, _, _, down, across = view.shape
    return np.ascontiguousarray(view).reshape(images, channels * height * width, down * across)


def correlated(x: Array, w: Array) -> Array:
    """The correlation of images and filters by BLAS: (images, filters, rows of places, columns of places)."""
    down, across = (n - k + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
    return np.matmul(w.reshape(len(w), -1), _windows(x, *w.shape[2:])).reshape(len(x), len(w), down, across)


def _mean_square_by_hand(x: Array, w: Array) -> tuple[Any, ...]:
    y = correlated(x, w)
    slopes = (y * (2 / y.size)).reshape(*y.shape[:2], -1)
    at_w = np.matmul(slopes, _windows(x, *w.shape[2:]).transpose(0, 2, 1)).sum(axis=0).reshape(w.shape)
    parts = np.matmul(w.reshape(len(w), -1).T, slopes).reshape(len(x), *w.shape[1:], *y.shape[2:])
    at_x = np.zeros_like(x)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            at_x[:, :, i : i + y.shape[2], j : j + y.shape[3]] += parts[:, :, i, j]
    return np.mean(y * y), at_x, at_w


def _images(rng: np.random.Generator, x: tuple[int, ...], w: tuple[int, ...], dtype: str = "float32") -> Data:
    scale = np.sqrt(np.prod(w[1:]))
    return {"x": rng.standard_normal(x).astype(dtype), "w": (rng.standard_normal(w) / scale).astype(dtype)}


_SIZES: dict[str, dict[str, Any]] = {
    "4x1x28x28 5x5": {"x": (4, 1, 28, 28), "w": (20, 1, 5, 5), "dtype": "float64"},
    "32x1x28x28 5x5_f4": {"x": (32, 1, 28, 28), "w": (20, 1, 5, 5)},
    "32x20x12x12 5x5_f4": {"x": (32, 20, 12, 12), "w": (50, 20, 5, 5)},
    "32x64x28x28 3x3_f4": {"x": (32, 64, 28, 28), "w": (64, 64, 3, 3)},
}
_PEERS = ("fuse", "numpy", "jax", "torch", "torch-compile")

WORKLOADS = (
    Workload(
        name="learn/correlate",
        sizes=_SIZES,
        quick=(),
        data=_images,
        formula=lambda m, x, w: m.correlate2d(x, w),
        reference=correlated,
        peers=_PEERS,
    ),
    Workload(
        name="learn/correlate gradient",
        sizes=_SIZES,
        quick=(),
        data=_images,
        formula=lambda m, x, w: m.mean(m.correlate2d(x, w) ** 2),
        reference=_mean_square_by_hand,
        wrt=("x", "w"),
        peers=_PEERS,
    ),
)
