"""PyTensor's distributions, drawn by NumPy's generators and SciPy: one table, and those that need more than a line."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.errors import FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.sizes import as_size, as_sizes, sizes_of
from fuse.tensor.random.op import RandomVariable
from fuse.tensor.random.utils import broadcast_params, normalize_size_param

broadcast_shapes = np.broadcast_shapes


def _scipys(name: str, order: Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]) -> Callable[..., Any]:
    """What draws from a distribution of SciPy; ``order`` makes its arguments of the parameters."""
    def draw(rng: Any, *args: Any) -> Any:
        from scipy import stats

        *params, size = args
        given, named = order(*params)
        found = np.asarray(getattr(stats, name).rvs(*given, **named, size=size, random_state=rng))
        wanted = np.broadcast_shapes(*[np.shape(p) for p in params]) if size is None else size
        return found if found.shape == wanted else np.broadcast_to(found, wanted).copy()  # SciPy drops axes of size 1

    return draw


def _located(*shapes: str) -> Callable[..., Any]:
    """Parameters that are SciPy's shapes, then loc and scale."""
    def order(*params: Any) -> Any:
        count = len(shapes)
        return params[:count], dict(zip(("loc", "scale"), params[count:], strict=False))

    return order


def _per_row(method: str, ranks: tuple[int, ...]) -> Callable[..., Any]:
    """What draws with a method that takes one set of parameters at a time."""
    def draw(rng: Any, *params: Any, size: Any = None) -> Any:
        if len(params) > len(ranks):
            *params, size = params  # type: ignore[assignment]
        if all(p.ndim == r for p, r in zip(params, ranks, strict=True)):
            return getattr(rng, method)(*params, size=size)
        batch = np.broadcast_shapes(*[p.shape[: p.ndim - r] for p, r in zip(params, ranks, strict=True)])
        batch = batch if size is None else size
        rows = [np.broadcast_to(p, batch + p.shape[p.ndim - r :]) for p, r in zip(params, ranks, strict=True)]
        made = np.array([getattr(rng, method)(*[row[i] for row in rows]) for i in np.ndindex(*batch)])
        return made.reshape(batch + rows[-1].shape[len(batch) :])

    return draw


def _categorical(rng: Any, p: Any, size: Any = None) -> Any:
    if size is None:
        size = p.shape[:-1]
    elif len(size) < p.ndim - 1 or any(s == 1 != n for s, n in zip(size[::-1], p.shape[-2::-1], strict=False)):
        raise ValueError("`size` is incompatible with the shape of `p`")
    edges, drawn = p.cumsum(axis=-1), rng.uniform(size=size)
    return (np.asarray(drawn)[..., None] >= edges).sum(axis=-1)


def _multivariate_normal(rng: Any, mean: Any, cov: Any, size: Any = None) -> Any:
    if size is None:
        size = np.broadcast_shapes(mean.shape[:-1], cov.shape[:-2])
    factor = np.linalg.cholesky(cov)
    return mean + (factor @ rng.normal(size=(*size, mean.shape[-1]))[..., None])[..., 0]


def _integers(rng: Any, low: Any, high: Any, size: Any) -> Any:
    draw = rng.integers if hasattr(rng, "integers") else rng.randint
    return draw(low, high, size)


def _inverse_gamma(rng: Any, shape: Any, scale: Any, size: Any) -> Any:
    return 1 / rng.gamma(shape, 1 / scale, size)


def _random(rng: Any, size: Any) -> Any:
    return rng.uniform(size=size)


# name: (signature, dtype, parameters with defaults, what draws; None: the method of that name of the generator)
DISTRIBUTIONS: dict[str, tuple[str, str, str, Any]] = {
    "uniform": ("(),()->()", "floatX", "low=0.0, high=1.0", None),
    "triangular": ("(),(),()->()", "floatX", "left, mode, right", None),
    "beta": ("(),()->()", "floatX", "alpha, beta", None),
    "normal": ("(),()->()", "floatX", "loc=0.0, scale=1.0", None),
    "lognormal": ("(),()->()", "floatX", "mean=0.0, sigma=1.0", None),
    "exponential": ("()->()", "floatX", "scale=1.0", None),
    "weibull": ("()->()", "floatX", "shape", None),
    "logistic": ("(),()->()", "floatX", "loc=0.0, scale=1.0", None),
    "vonmises": ("(),()->()", "floatX", "mu, kappa", None),
    "chisquare": ("()->()", "floatX", "df", None),
    "rayleigh": ("()->()", "floatX", "scale=1.0", None),
    "power": ("()->()", "floatX", "a", None),
    "f": ("(),()->()", "floatX", "dfnum, dfden", None),
    "zipf": ("()->()", "int64", "a", None),
    "wald": ("(),()->()", "floatX", "mean=1.0, scale=1.0", None),
    "laplace": ("(),()->()", "floatX", "loc=0.0, scale=1.0", None),
    "poisson": ("()->()", "int64", "lam=1.0", None),
    "geometric": ("()->()", "int64", "p", None),
    "hypergeometric": ("(),(),()->()", "int64", "ngood, nbad, nsample", None),
    "binomial": ("(),()->()", "int64", "n, p", None),
    "standard_cauchy": ("->()", "floatX", "", None),
    "standard_exponential": ("->()", "floatX", "", None),
    "standard_gamma": ("()->()", "floatX", "shape", None),
    "standard_t": ("()->()", "floatX", "df", None),
    "random": ("->()", "floatX", "", _random),
    "integers": ("(),()->()", "int64", "low, high", _integers),
    "invgamma": ("(),()->()", "floatX", "shape, scale=1.0", _inverse_gamma),
    "halfnormal": ("(),()->()", "floatX", "loc=0.0, scale=1.0", _scipys("halfnorm", _located())),
    "pareto": ("(),()->()", "floatX", "b, scale=1.0", _scipys("pareto", lambda b, scale: ((b,), {"scale": scale}))),
    "gumbel": ("(),()->()", "floatX", "loc, scale=1.0", _scipys("gumbel_r", _located())),
    "cauchy": ("(),()->()", "floatX", "loc=0.0, scale=1.0", _scipys("cauchy", _located())),
    "halfcauchy": ("(),()->()", "floatX", "loc=0.0, scale=1.0", _scipys("halfcauchy", _located())),
    "truncexpon": ("(),(),()->()", "floatX", "b, loc=0.0, scale=1.0", _scipys("truncexpon", _located("b"))),
    "t": ("(),(),()->()", "floatX", "df, loc=0.0, scale=1.0", _scipys("t", _located("df"))),
    "bernoulli": ("()->()", "int64", "p", _scipys("bernoulli", _located("p"))),
    "negative_binomial": ("(),()->()", "int64", "n, p", _scipys("nbinom", _located("n", "p"))),
    "betabinom": ("(),(),()->()", "int64", "n, a, b", _scipys("betabinom", _located("n", "a", "b"))),
    "gengamma": (
        "(),(),()->()", "floatX", "alpha=1.0, p=1.0, lambd=1.0",
        _scipys("gengamma", lambda alpha, p, lambd: ((alpha / p, p), {"scale": lambd})),
    ),
    "dirichlet": ("(a)->(a)", "floatX", "alphas", _per_row("dirichlet", (1,))),
    "multinomial": ("(),(p)->(p)", "int64", "n, p", _per_row("multinomial", (0, 1))),
    "categorical": ("(p)->()", "int64", "p", _categorical),
    "multivariate_normal": ("(n),(n,n)->(n)", "floatX", "mean, cov", _multivariate_normal),
    "gamma": ("(),()->()", "floatX", "shape, scale", None),
}
_CLASS_NAMES = {
    "lognormal": "LogNormalRV", "vonmises": "VonMisesRV", "halfnormal": "HalfNormalRV", "halfcauchy": "HalfCauchyRV",
    "invgamma": "InvGammaRV", "truncexpon": "TruncExponentialRV", "t": "StudentTRV", "negative_binomial":
    "NegBinomialRV", "betabinom": "BetaBinomialRV", "gengamma": "GenGammaRV", "multivariate_normal": "MvNormalRV",
    "hypergeometric": "HyperGeometricRV",
}


def _distribution(name: str) -> type[RandomVariable]:
    signature, dtype, params, draw = DISTRIBUTIONS[name]
    order = inspect.signature(eval(f"lambda {params}: 0"))  # the text is of the table above

    def call(self: Any, *args: Any, size: Any = None, **kwargs: Any) -> Any:
        own = {k: kwargs.pop(k) for k in list(kwargs) if k in order.parameters}
        if len(args) == len(order.parameters) + 1 and size is None:
            *args, size = args  # type: ignore[assignment]
        bound = order.bind(*args, **own)
        bound.apply_defaults()
        return RandomVariable.__call__(self, *bound.args, size=size, **kwargs)

    body: dict[str, Any] = {
        "name": name, "signature": signature, "dtype": dtype, "__call__": call,
        "__doc__": f"The distribution ``{name}({params})``; ``size``, ``rng``, ``dtype`` as for every RandomVariable.",
        "__module__": __name__,
    }
    if draw is not None:
        body["rng_fn"] = staticmethod(draw)
    return type(_CLASS_NAMES.get(name, f"{name.title().replace('_', '')}RV"), (RandomVariable,), body)


for _name in DISTRIBUTIONS:
    _class = _distribution(_name)
    globals()[_class.__name__] = _class
    globals()[_name] = _class()
_of: dict[str, Any] = {_name: globals()[_name] for _name in DISTRIBUTIONS}
nbinom = _of["negative_binomial"]
_gamma = _of["gamma"]


def gamma(shape: Any, rate: Any = None, scale: Any = None, **kwargs: Any) -> Any:
    """The gamma distribution, by its ``rate`` or its ``scale``; FuseValueError for both or none.

    >>> gamma(2.0, scale=3.0, size=(2,)).type
    TensorType(float64, (2,))
    """
    if rate is not None and scale is not None:
        raise FuseValueError("Cannot specify both rate and scale; one must be left as None")
    if rate is None and scale is None:
        raise FuseValueError("Must specify scale: gamma(shape, scale=...)")
    if rate is not None:
        scale = ew.true_div(1.0, as_expr(rate))
    return _gamma(shape, scale, **kwargs)


def standard_normal(*, size: Any = None, rng: Any = None, dtype: Any = None, return_next_rng: bool = False) -> Any:
    """Normal numbers with mean 0 and deviation 1.

    >>> standard_normal(size=3).type
    TensorType(float64, (3,))
    """
    return _of["normal"](0.0, 1.0, size=size, rng=rng, dtype=dtype, return_next_rng=return_next_rng)


_all_integers = _of["integers"]


def integers(low: Any, high: Any = None, size: Any = None, **kwargs: Any) -> Any:
    """Integers from ``low`` to below ``high``; from 0 to below ``low`` where there is no ``high``.

    >>> integers(6, size=3).type
    TensorType(int64, (3,))
    """
    return _all_integers(0, low, size=size, **kwargs) if high is None else _all_integers(low, high, size=size, **kwargs)


randint = integers


class PermutationRV(RandomVariable):
    """A permutation of the entries of the first core axis, or of 0..n-1 for a number."""

    name = "permutation"
    dtype = None

    def _supp_shape_from_params(self, dist_params: Any, param_shapes: Any = None) -> tuple[Any, ...]:
        (x,) = dist_params
        if not self.ndims_params[0]:
            return (as_size(as_expr(x)) if not as_expr(x).type.ndim else as_size(as_expr(x).ravel()[0]),)
        return sizes_of(as_expr(x))[as_expr(x).type.ndim - self.ndims_params[0] :]

    def rng_fn(self, rng: Any, x: Any, size: Any) -> Any:
        batch = x.shape[: x.ndim - self.ndims_params[0]] if size is None else size
        rows = np.broadcast_to(x, batch + x.shape[x.ndim - self.ndims_params[0] :])
        made = [rng.permutation(row if row.ndim else int(row)) for row in (rows[i] for i in np.ndindex(*batch))]
        return np.array(made).reshape(batch + made[0].shape) if made else np.empty(rows.shape)


def permutation(x: Any, size: Any = None, rng: Any = None, return_next_rng: bool = False, **kwargs: Any) -> Any:
    """``x`` with the entries of its first axis in random order; 0..x-1 for an integer.

    >>> sorted(permutation(4).eval().tolist())
    [0, 1, 2, 3]
    """
    x = as_expr(x)
    op = PermutationRV(ndim_supp=max(x.type.ndim, 1), ndims_params=(x.type.ndim,), dtype=x.type.dtype)
    if not x.type.ndim:
        x = ew.cast(x, "int64")
        op = PermutationRV(ndim_supp=1, ndims_params=(0,), dtype="int64")
    return op(x, size=size, rng=rng, return_next_rng=return_next_rng, **kwargs)


class ChoiceWithoutReplacement(RandomVariable):
    """Distinct entries of the first axis of the first parameter; the last one is the shape of a draw."""

    name = "choice_without_replacement"
    dtype = None
    __props__ = ("name", "ndim_supp", "ndims_params", "dtype", "inplace", "has_p")
    has_p = False

    def _supp_shape_from_params(self, dist_params: Any, param_shapes: Any = None) -> tuple[Any, ...]:
        a, *_, core = map(as_expr, dist_params)
        return (*as_sizes(core), *sizes_of(a)[1:])

    def rng_fn(self, rng: Any, a: Any, *args: Any) -> Any:
        *weights, core, size = args
        p = weights[0] if weights else None
        shape = tuple(map(int, core))
        made = [rng.choice(a if a.ndim else int(a), shape, replace=False, p=p) for _ in np.ndindex(*(size or ()))]
        return np.array(made).reshape((*(size or ()), *np.shape(made[0])))


def choice(
    a: Any, size: Any = None, replace: bool = True, p: Any = None, rng: Any = None, return_next_rng: bool = False,
    **kwargs: Any,
) -> Any:
    """Entries of ``a`` (an integer: of 0..a-1), with probabilities ``p``, by default all alike.

    Raises ShapeError where ``p`` is no vector.

    >>> choice(5, size=(2, 3)).type.ndim
    2
    """
    a = as_expr(a)
    given = {"rng": rng, **kwargs}
    if replace:
        count = a if not a.type.ndim else sizes_of(a)[0]
        if p is None:
            next_rng, at = integers(0, count, size=size, return_next_rng=True, **given)
        else:
            if as_expr(p).type.ndim != 1:
                raise ShapeError("p must be a vector")
            next_rng, at = _of["categorical"](p, size=size, return_next_rng=True, **given)
        found = a[at] if a.type.ndim else at
        return (next_rng, found) if return_next_rng else found
    core = as_expr(np.array([], "int64")) if size is None else normalize_size_param(size)
    params = [a] if p is None else [a, as_expr(p)]
    ranks = (a.type.ndim, *[1] * (p is not None), 1)
    supp = max(a.type.ndim - 1, 0) + int(core.type.shape[0] or 0)
    dtype = a.type.dtype if a.type.ndim else "int64"
    op = ChoiceWithoutReplacement(ndim_supp=supp, ndims_params=ranks, dtype=dtype)
    return op(*params, core, return_next_rng=return_next_rng, **given)


__all__ = [
    "broadcast_params", "broadcast_shapes", "choice", "integers", "nbinom", "permutation", "randint", "standard_normal",
    *DISTRIBUTIONS,
]
