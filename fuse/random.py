"""Random draws as functions of keys: no state, no hidden order; the same key gives the same draws.

A key is a vector of two uint64. What is drawn from it is Philox4x32-10 of the key and of the position in the result
(see fuse.frontend.philox), so it does not depend on threads, chunking or device. `split` and `fold_in` make new keys of
a key, in domains of their own: no draw of a key is the key of another one.

What is made of a key is an expression, and an array where the key is one of `PRNGKey`, or of keys split from it, and
nothing is traced.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend import random as laws
from fuse.frontend.decompositions import cholesky
from fuse.frontend.held import Array, computed
from fuse.frontend.join import stack
from fuse.frontend.jumps import drawn_by
from fuse.frontend.layout import iota, linear_index
from fuse.frontend.linalg import dot
from fuse.frontend.philox import philox
from fuse.frontend.sizes import Size, as_size, sizes_of
from fuse.frontend.softmax import softmax
from fuse.frontend.unit_interval import open_interval
from fuse.trace import TRACE

Shape = Any

# The domains of counters: draws have the key's second word as it is, keys of keys have it changed.
_SPLIT, _FOLD, _SEED = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7  # odd, without a pattern


P = ParamSpec("P")


def _of_a_key(build: Callable[Concatenate[Any, P], Expr]) -> Callable[Concatenate[Any, P], Any]:
    """``build``, whose results are arrays where its key and all else is known, outside of traces."""

    @wraps(build)
    def built(key: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        made = build(_key(key), *args, **kwargs)
        return made if type(key) is not Array or TRACE.active else computed(made)

    return built


def _word(value: int) -> Expr:
    return constant(np.uint64(value), dtype="uint64")


def _key(key: Any) -> Expr:
    found = as_expr(key)
    if found.type.dtype != "uint64" or found.type.ndim != 1:
        raise FuseTypeError(f"a key is a vector of two uint64 (see fuse.random.key), not a {found.type.describe()}")
    return found


def _derived(key: Expr, position: Expr, domain: int) -> Expr:
    """The keys for these positions in a domain, along a last axis."""
    count = ew.xor(key[1], _word(domain))
    return stack([philox(position, key[0], count, half=half) for half in (0, 1)], axis=-1)


class _Source(laws.RandomStreams):
    """The distributions of random streams, whose bits come from a key."""

    def __init__(self, key: Any) -> None:
        self._from = _key(key)
        self.state_updates = []  # there is no state that draws change

    def _bits(self, sizes: Sequence[Size]) -> tuple[Expr, Expr]:
        position = linear_index(*sizes) if sizes else _word(0)
        low, high = [philox(position, self._from[0], self._from[1], half=half) for half in (0, 1)]
        return low, high


# ---------------------------------------------------------------- keys
def key(seed: Any) -> Expr:
    """The key of a seed: an integer, or a 0-d integer expression.

    Raises FuseTypeError for what is no integer.

    >>> key(0).eval()
    array([ 7021537952442578943, 16672243060418148067], dtype=uint64)
    """
    number = as_expr(np.uint64(seed & 0xFFFFFFFFFFFFFFFF)) if isinstance(seed, int) else as_expr(seed)
    if number.type.ndim or number.type.dtype not in ty.DISCRETE:
        raise FuseTypeError(f"a seed is an integer, not a {number.type.describe()}")
    word = ew.cast(number, "uint64")
    return stack([philox(word, _word(_SEED), _word(0), half=half) for half in (0, 1)])


def PRNGKey(seed: Any) -> Any:
    """The key of a seed as an array: what is drawn with it, or with keys made of it, are arrays, too.

    The key of an expression, such as a seed in a trace, is an expression.

    >>> first, second = split(PRNGKey(0))
    >>> normal(first, (2,)).round(3)
    array([-0.854,  0.013])
    """
    return computed(key(seed))


@_of_a_key
def split(key: Any, num: int = 2) -> Expr:
    """``num`` new keys, as the rows of a matrix; use them instead of ``key``.

    >>> import fuse.random as R
    >>> first, second = R.split(R.key(0))
    >>> bool((R.uniform(first, 3).eval() != R.uniform(second, 3).eval()).all())
    True
    """
    return _derived(_key(key), ew.cast(iota(as_size(num)), "uint64"), _SPLIT)


@_of_a_key
def fold_in(key: Any, data: Any) -> Expr:
    """The key that belongs to ``key`` and the integer ``data``, such as the number of a step.

    Raises FuseTypeError for what is no integer.

    >>> import fuse.random as R
    >>> bool((R.fold_in(R.key(0), 1).eval() != R.fold_in(R.key(0), 2).eval()).all())
    True
    """
    number = as_expr(data)
    if number.type.ndim or number.type.dtype not in ty.DISCRETE:
        raise FuseTypeError(f"fold_in takes an integer, not a {number.type.describe()}")
    return _derived(_key(key), ew.cast(number, "uint64"), _FOLD)


# ---------------------------------------------------------------- draws
@_of_a_key
def bits(key: Any, shape: Shape = ()) -> Expr:
    """64 random bits for each element, as uint64.

    >>> bits(key(0), 2).eval()
    array([1254029417144024987, 7435193065936358096], dtype=uint64)
    """
    return _Source(key)._bits(laws.as_sizes(shape))[0]


@_of_a_key
def uniform(key: Any, shape: Shape = None, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers between the bounds, evenly and never 0 or 1 where those are; of the bounds' shape where none is given.

    >>> uniform(key(1), (2, 3)).type
    TensorType(float64, (2, 3))
    """
    return _Source(key).uniform(shape, minval, maxval, dtype=dtype)


@_of_a_key
def normal(key: Any, shape: Shape = None, mean: Any = 0.0, std: Any = 1.0, dtype: Any = None) -> Expr:
    """Normally distributed numbers.

    >>> normal(key(1), (2, 3), dtype="float32").type
    TensorType(float32, (2, 3))
    """
    return _Source(key).normal(shape, mean, std, dtype=dtype)


@_of_a_key
def truncated_normal(key: Any, shape: Shape = None, mean: Any = 0.0, std: Any = 1.0, dtype: Any = None) -> Expr:
    """Draws of a normal law without its tails beyond two of its standard deviations ``std``.

    >>> bool((abs(truncated_normal(key(1), 1000).eval()) <= 2).all())
    True
    """
    return _Source(key).normal(shape, mean, std, dtype=dtype, truncate=True)


@_of_a_key
def bernoulli(key: Any, p: Any = 0.5, shape: Shape = None) -> Expr:
    """Truth values that are true with probability ``p``, of its shape where none is given.

    >>> bernoulli(key(1), [0.0, 1.0]).eval()
    array([False,  True])
    """
    p = as_expr(p)
    sizes = laws.draw_sizes(shape, None, p)
    u = _Source(key)._uniform(sizes, laws.float_dtype(None, p))
    return ew.lt(u, *laws.fitted(sizes, drawn_by(p)))


@_of_a_key
def randint(key: Any, shape: Shape, minval: Any, maxval: Any, dtype: Any = "int64") -> Expr:
    """Integers from ``minval`` to ``maxval - 1``, evenly.

    >>> draws = randint(key(1), 1000, 1, 7).eval()
    >>> int(draws.min()), int(draws.max())
    (1, 6)
    """
    if not isinstance(maxval, Expr) and np.ndim(maxval) == 0:
        highest: Any = int(maxval) - 1
    else:
        highest = ew.sub(ew.cast(as_expr(maxval), "int64"), 1)
    return _Source(key).random_integers(shape, minval, highest, dtype=dtype)


@_of_a_key
def permutation(key: Any, x: Any) -> Expr:
    """0..x-1 in random order for an integer, else the rows (first axis) of ``x`` in random order.

    >>> sorted(permutation(key(1), 4).eval().tolist())
    [0, 1, 2, 3]
    """
    x = as_expr(x)
    if not x.type.ndim:
        return _Source(key).permutation(None, x)
    return x[_Source(key).permutation(None, sizes_of(x)[0])]


@_of_a_key
def choice(key: Any, a: Any, shape: Shape = (), replace: bool = True, p: Any = None) -> Expr:
    """Elements of the vector ``a`` (an integer: of 0..a-1), with probabilities ``p``; ``replace=False``: none twice.

    >>> choice(key(1), [2.0, 5.0], 3, p=[0.0, 1.0]).eval()
    array([5., 5., 5.])
    """
    return _Source(key).choice(shape, a, replace, p)


@_of_a_key
def categorical(key: Any, logits: Any, shape: Shape = None) -> Expr:
    """Positions along the last axis, each with a probability proportional to ``exp(logits)`` there.

    ``shape`` is that of the result, to which the other axes of ``logits`` broadcast.

    >>> categorical(key(1), [[0.0, -1e9], [-1e9, 0.0]]).eval()
    array([0, 1])
    """
    logits = as_expr(logits)
    *outer, count = sizes_of(logits)
    sizes = tuple(outer) if shape is None else laws.as_sizes(shape)
    noise = gumbel(key, (*sizes, count), dtype=laws.float_dtype(None, logits))
    return ew.add(drawn_by(logits), noise).argmax(axis=-1)


@_of_a_key
def exponential(key: Any, shape: Shape = None, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Exponentially distributed numbers with mean ``scale``.

    >>> bool((exponential(key(1), 1000).eval() >= 0).all())
    True
    """
    u, scale = _open(key, shape, dtype, scale)
    return ew.mul(ew.neg(ew.log(u)), scale)


@_of_a_key
def gumbel(key: Any, shape: Shape = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers with the distribution function exp(-exp(-(x - loc) / scale)).

    >>> gumbel(key(1), 3).type
    TensorType(float64, (3,))
    """
    u, loc, scale = _open(key, shape, dtype, loc, scale)
    return ew.sub(loc, ew.mul(scale, ew.log(ew.neg(ew.log(u)))))


@_of_a_key
def logistic(key: Any, shape: Shape = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers with the distribution function 1 / (1 + exp(-(x - loc) / scale)).

    >>> logistic(key(1), 3).type
    TensorType(float64, (3,))
    """
    u, loc, scale = _open(key, shape, dtype, loc, scale)
    return ew.add(loc, ew.mul(scale, ew.sub(ew.log(u), ew.log1p(ew.neg(u)))))


@_of_a_key
def laplace(key: Any, shape: Shape = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers with the density exp(-abs(x - loc) / scale) / (2 scale).

    >>> laplace(key(1), 3).type
    TensorType(float64, (3,))
    """
    u, loc, scale = _open(key, shape, dtype, loc, scale)
    side = ew.sub(ew.mul(2, u), 1)
    return ew.sub(loc, ew.mul(ew.mul(scale, ew.sgn(side)), ew.log1p(ew.neg(abs(side)))))


@_of_a_key
def cauchy(key: Any, shape: Shape = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers with the density 1 / (pi scale (1 + ((x - loc) / scale) ** 2)).

    >>> cauchy(key(1), 3).type
    TensorType(float64, (3,))
    """
    u, loc, scale = _open(key, shape, dtype, loc, scale)
    return ew.add(loc, ew.mul(scale, ew.tan(ew.mul(constant(np.pi, dtype=u.type.dtype), ew.sub(u, 0.5)))))


@_of_a_key
def gamma(key: Any, a: Any, shape: Shape = None, scale: Any = 1.0, dtype: Any = None) -> Expr:
    """Numbers of the gamma distribution with shape parameter ``a`` and mean ``a * scale``, by its quantile function.

    Differentiable in ``a`` and ``scale``: a draw is a function of them and of uniform bits.

    >>> gamma(key(1), [0.5, 2.0, 30.0]).type
    TensorType(float64, (3,))
    """
    from fuse.frontend.incomplete import gammaincinv

    u, a, scale = _open(key, shape, dtype, a, scale)
    return ew.mul(gammaincinv(a, u), scale)


@_of_a_key
def beta(key: Any, a: Any, b: Any, shape: Shape = None, dtype: Any = None) -> Expr:
    """Numbers of the beta distribution with parameters ``a`` and ``b``, by its quantile function; differentiable.

    >>> beta(key(1), 2.0, [0.5, 1.0]).type
    TensorType(float64, (2,))
    """
    from fuse.frontend.incomplete import betaincinv

    u, a, b = _open(key, shape, dtype, a, b)
    return betaincinv(a, b, u)


@_of_a_key
def dirichlet(key: Any, alpha: Any, shape: Shape = None, dtype: Any = None) -> Expr:
    """Probabilities along a last axis, of the Dirichlet distribution with parameters ``alpha``; differentiable.

    ``shape`` is that of the result without its last axis, where none is given that of ``alpha``.

    >>> dirichlet(key(1), [1.0, 2.0, 3.0], 5).sum(axis=-1).eval()
    array([1., 1., 1., 1., 1.])
    """
    alpha = as_expr(alpha)
    if not alpha.type.ndim:
        raise FuseTypeError("the parameters of dirichlet are along a last axis, which a scalar does not have")
    name = laws.float_dtype(dtype, alpha)
    sizes = sizes_of(alpha) if shape is None else (*laws.as_sizes(shape), sizes_of(alpha)[-1])
    first, second = split(key)
    # Draws for small parameters are 0, all of a row at once; their logarithms are not, which are those of draws for
    # parameters larger by 1 and of a power of uniform numbers (G. Marsaglia, W. W. Tsang, 2000, section 6).
    larger, power = gamma(first, ew.add(alpha, 1), sizes, dtype=name), ew.log(uniform(second, sizes, dtype=name))
    return softmax(ew.add(ew.log(larger), ew.true_div(power, ew.cast(alpha, name))), -1)


@_of_a_key
def multivariate_normal(key: Any, mean: Any, cov: Any, shape: Shape = (), dtype: Any = None) -> Expr:
    """Vectors, along a last axis, with a mean and a covariance matrix; ``shape`` is that of the result without it.

    >>> multivariate_normal(key(1), [0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], 5).type
    TensorType(float64, (5, 2))
    """
    mean, cov = as_expr(mean), as_expr(cov)
    if mean.type.ndim != 1 or cov.type.ndim != 2:
        raise FuseTypeError(
            f"multivariate_normal takes a vector and a matrix, not a {mean.type.describe()} and a "
            f"{cov.type.describe()}: fuse.vmap draws for several of them"
        )
    name = laws.float_dtype(dtype, mean, cov)
    noise = normal(key, (*laws.as_sizes(shape), sizes_of(mean)[0]), dtype=name)
    return ew.add(ew.cast(mean, name), dot(noise, cholesky(ew.cast(cov, name)).T))


@_of_a_key
def rademacher(key: Any, shape: Shape = (), dtype: Any = "int64") -> Expr:
    """-1 and 1, evenly.

    >>> sorted(set(rademacher(key(1), 100).eval().tolist()))
    [-1, 1]
    """
    return ew.cast(ew.sub(ew.mul(2, ew.cast(bernoulli(key, 0.5, shape), "int8")), 1), dtype)


@_of_a_key
def t(key: Any, df: Any, shape: Shape = None, dtype: Any = None) -> Expr:
    """Numbers of Student's distribution with ``df`` degrees of freedom.

    >>> t(key(1), [1.0, 5.0]).type
    TensorType(float64, (2,))
    """
    first, second = split(key)
    df = as_expr(df)
    half = ew.true_div(ew.cast(df, laws.float_dtype(dtype, df)), 2)
    squares = ew.true_div(gamma(first, half, shape, dtype=dtype), half)
    return ew.mul(normal(second, sizes_of(squares), dtype=squares.type.dtype), ew.pow(squares, -0.5))


@_of_a_key
def poisson(key: Any, lam: Any = 1.0, shape: Shape = None, dtype: Any = "int64") -> Expr:
    """Counts of rare events with mean ``lam``.

    >>> poisson(key(1), [0.0, 0.0]).eval()
    array([0, 0])
    """
    return _Source(key).poisson(shape, lam, dtype=dtype)


@_of_a_key
def binomial(key: Any, n: Any, p: Any = 0.5, shape: Shape = None, dtype: Any = "int64") -> Expr:
    """How many of ``n`` trials succeed, each with probability ``p``.

    >>> binomial(key(1), 5, [0.0, 1.0]).eval()
    array([0, 5])
    """
    return _Source(key).binomial(shape, n, p, dtype=dtype)


def _open(key: Any, shape: Shape, dtype: Any, *params: Any) -> list[Expr]:
    """Uniform numbers from (0, 1), both ends left out, and the parameters in their dtype."""
    found = [as_expr(p) for p in params]
    name = laws.float_dtype(dtype, *found)
    sizes = laws.draw_sizes(shape, None, *found)
    inner = "float32" if name == "float16" else name
    u = open_interval(_Source(key)._bits(sizes)[0], inner)
    return [ew.cast(x, name) for x in (u, *laws.fitted(sizes, *found))]


__all__ = [
    "PRNGKey", "bernoulli", "beta", "binomial", "bits", "categorical", "cauchy", "choice", "dirichlet", "exponential",
    "fold_in", "gamma", "gumbel", "key", "laplace", "logistic", "multivariate_normal", "normal", "permutation",
    "poisson", "rademacher", "randint", "split", "t", "truncated_normal", "uniform",
]
