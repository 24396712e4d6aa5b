"""Statistics and learning beyond the classics: mixtures, normalisations in training, distances, processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]


def _points(rng: np.random.Generator, n: int, clusters: int, dimensions: int) -> Data:
    return {
        "x": rng.standard_normal((n, dimensions)),
        "mu": rng.standard_normal((clusters, dimensions)),
        "ls": rng.uniform(-0.5, 0.5, (clusters, dimensions)),
        "w": rng.standard_normal(clusters),
    }


def _mixture(m: Any, x: Any, mu: Any, ls: Any, w: Any) -> Any:
    """Return the mean log-likelihood of a mixture of normals: ``ls`` are logs of deviations, ``w`` logits."""
    z = (x[:, None, :] - mu[None, :, :]) * m.exp(-ls)[None, :, :]
    each = m.log_softmax(w, axis=0) - m.sum(ls, axis=1) - m.sum(z * z, axis=2) / 2
    return m.mean(m.logsumexp(each, axis=1))


def _mixture_gradient(x: Any, mu: Any, ls: Any, w: Any) -> tuple[Any, ...]:
    z = (x[:, None, :] - mu) * np.exp(-ls)
    weights = w - np.log(np.exp(w).sum())
    each = weights - ls.sum(axis=1) - (z * z).sum(axis=2) / 2
    top = each.max(axis=1, keepdims=True)
    e = np.exp(each - top)
    total = e.sum(axis=1, keepdims=True)
    share = e / total / len(x)
    along_mu = np.einsum("nk,nkd->kd", share, z) * np.exp(-ls)
    along_ls = np.einsum("nk,nkd->kd", share, z * z - 1)
    mass = share.sum(axis=0)
    return (np.log(total) + top).mean(), along_mu, along_ls, mass - np.exp(weights)


def _batch(rng: np.random.Generator, n: int, features: int) -> Data:
    shape = n, features
    return {
        "x": rng.standard_normal(shape),
        "w": rng.standard_normal(shape),
        "gamma": rng.uniform(0.5, 1.5, features),
        "beta": rng.standard_normal(features),
    }


def _batch_norm(m: Any, x: Any, w: Any, gamma: Any, beta: Any) -> Any:
    mean = m.mean(x, axis=0)
    variance = m.var(x, axis=0)
    y = gamma * (x - mean) / m.sqrt(variance + 1e-5) + beta
    return m.sum(m.maximum(y, 0.0) * w)


def _batch_norm_gradient(x: Any, w: Any, gamma: Any, beta: Any) -> tuple[Any, ...]:
    scale = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    z = (x - x.mean(axis=0)) * scale
    y = gamma * z + beta
    g = w * (y > 0)
    slope = g * gamma
    along_x = scale * (slope - slope.mean(axis=0) - z * (slope * z).mean(axis=0))
    return (np.maximum(y, 0) * w).sum(), along_x, (g * z).sum(axis=0), g.sum(axis=0)


def _rms_norm(m: Any, x: Any, g: Any) -> Any:
    return x / m.sqrt(m.mean(x * x, axis=1, keepdims=True) + 1e-6) * g


def _cosine(m: Any, x: Any, y: Any) -> Any:
    return m.sum(x * y, axis=1) / m.sqrt(m.sum(x * x, axis=1) * m.sum(y * y, axis=1))


def _cosine_cost(m: Any, x: Any, y: Any) -> Any:
    return m.sum(_cosine(m, x, y))


def _cosine_gradient(x: Any, y: Any) -> tuple[Any, ...]:
    xx, yy = ((v * v).sum(axis=1, keepdims=True) for v in (x, y))
    norms = np.sqrt(xx * yy)
    c = (x * y).sum(axis=1, keepdims=True) / norms
    return c.sum(), y / norms - c * x / xx, x / norms - c * y / yy


def _places(rng: np.random.Generator, n: int, k: int, dimensions: int) -> Data:
    return {"x": rng.standard_normal((n, dimensions)), "y": rng.standard_normal((k, dimensions))}


def _distances(m: Any, x: Any, y: Any) -> Any:
    return m.sqrt(m.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=2))


def _radial(m: Any, x: Any, y: Any) -> Any:
    """Return the mean of a radial kernel, its squared distances through a product of matrices."""
    square = m.sum(x * x, axis=1)[:, None] + m.sum(y * y, axis=1)[None, :] - 2 * m.dot(x, y.T)
    return m.mean(m.exp(-0.5 * square))


def _radial_gradient(x: Any, y: Any) -> tuple[Any, ...]:
    e = np.exp(-0.5 * ((x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T))
    return e.mean(), (e @ y - e.sum(axis=1, keepdims=True) * x) / e.size


def _words(rng: np.random.Generator, n: int, vocabulary: int, features: int) -> Data:
    return {
        "table": rng.standard_normal((vocabulary, features)),
        "ids": rng.integers(0, vocabulary, n),
        "w": rng.standard_normal((n, features)),
    }


def _embedding(m: Any, table: Any, ids: Any, w: Any) -> Any:
    return m.mean(m.tanh(table[ids]) * w)


def _embedding_gradient(table: Any, ids: Any, w: Any) -> tuple[Any, ...]:
    t = np.tanh(table[ids])
    slope = np.zeros_like(table)
    np.add.at(slope, ids, (1 - t * t) * w / w.size)
    return (t * w).mean(), slope


def _matrices(rng: np.random.Generator, rows: int, columns: int) -> Data:
    return {name: rng.standard_normal((rows, columns)) for name in "xy"}


def _process(rng: np.random.Generator, n: int) -> Data:
    x, y = rng.standard_normal((n, 3)), rng.standard_normal(n)
    return {"x": x, "y": y, "one": np.eye(n), "s": rng.uniform(0.5, 1.5, 3)}


def _gaussian_process(m: Any, x: Any, y: Any, one: Any, s: Any) -> Any:
    """Return minus the log-likelihood of a Gaussian process: ``s`` are amplitude, length and deviation of noise."""
    d = x[:, None, :] - x[None, :, :]
    k = s[0] * s[0] * m.exp(m.sum(d * d, axis=2) / (-2 * s[1] * s[1])) + s[2] * s[2] * one
    return (m.sum(y * m.dot(m.inv(k), y)) + m.logdet(k)) / 2


def _gaussian_process_gradient(x: Any, y: Any, one: Any, s: Any) -> tuple[Any, ...]:
    squares = ((x[:, None, :] - x) ** 2).sum(axis=2)
    smooth = s[0] ** 2 * np.exp(squares / (-2 * s[1] ** 2))
    k = smooth + s[2] ** 2 * one
    inverse = np.linalg.inv(k)
    a = inverse @ y
    slope = (inverse - np.outer(a, a)) / 2
    value = (y @ a + np.linalg.slogdet(k)[1]) / 2
    along = 2 * smooth / s[0], smooth * squares / s[1] ** 3, 2 * s[2] * one
    return value, np.array([(slope * d).sum() for d in along])


_ROWS = {"20000x100": {"rows": 20_000, "columns": 100}, "100x20": {"rows": 100, "columns": 20}}

WORKLOADS = (
    Workload(
        name="model/mixture gradient",
        sizes={
            "10000x20x4": {"n": 10_000, "clusters": 20, "dimensions": 4},
            "200x5x2": {"n": 200, "clusters": 5, "dimensions": 2},
        },
        quick=(),
        data=_points,
        formula=_mixture,
        reference=_mixture_gradient,
        wrt=("mu", "ls", "w"),
    ),
    Workload(
        name="model/batch_norm gradient",
        sizes={"10000x100": {"n": 10_000, "features": 100}, "64x64": {"n": 64, "features": 64}},
        quick=(),
        data=_batch,
        formula=_batch_norm,
        reference=_batch_norm_gradient,
        wrt=("x", "gamma", "beta"),
    ),
    Workload(
        name="model/rms_norm",
        sizes=_ROWS,
        quick=(),
        data=lambda rng, rows, columns: {"x": rng.standard_normal((rows, columns)), "g": rng.uniform(0, 1, columns)},
        formula=_rms_norm,
    ),
    Workload(name="model/cosine", sizes=_ROWS, quick=(), data=_matrices, formula=_cosine),
    Workload(
        name="model/cosine gradient",
        sizes=_ROWS,
        quick=(),
        data=_matrices,
        formula=_cosine_cost,
        reference=_cosine_gradient,
        wrt=("x", "y"),
    ),
    Workload(
        name="model/distances",
        sizes={
            "1000x800x3": {"n": 1000, "k": 800, "dimensions": 3},
            "300x200x50": {"n": 300, "k": 200, "dimensions": 50},
        },
        quick=(),
        data=_places,
        formula=_distances,
    ),
    Workload(
        name="model/radial gradient",
        sizes={"1000x800x30": {"n": 1000, "k": 800, "dimensions": 30}},
        quick=(),
        data=_places,
        formula=_radial,
        reference=_radial_gradient,
        wrt=("x",),
    ),
    Workload(
        name="model/gaussian process gradient",
        sizes={"300": {"n": 300}, "50": {"n": 50}},
        quick=(),
        data=_process,
        formula=_gaussian_process,
        reference=_gaussian_process_gradient,
        wrt=("s",),
    ),
    Workload(
        name="model/embedding gradient",
        sizes={
            "20000 of 5000x64": {"n": 20_000, "vocabulary": 5000, "features": 64},
            "100 of 1000x16": {"n": 100, "vocabulary": 1000, "features": 16},
        },
        quick=(),
        data=_words,
        formula=_embedding,
        reference=_embedding_gradient,
        wrt=("table",),
    ),
)
