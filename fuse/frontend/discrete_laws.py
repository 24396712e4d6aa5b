"""What discrete draws are made of: SciPy's quantiles, integers from any range, and checks of probabilities."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.reductions import all as all_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.selecting import within
from fuse.frontend.sizes import broadcast_sizes
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import TensorType

EXACT = 1 << 53  # of so many integers a float64 tells each from the next
INT64 = np.iinfo("int64")


# ---------------------------------------------------------------- laws without a simple formula
# Means from which SciPy takes long, and gives up further on: Cornish and Fisher's expansion differs from the law by
# less than what one count more or less makes.
_LARGE = 1e9


def _quantile_type(u: Expr, *params: Expr, law: str) -> TensorType:
    return TensorType("int64", ty.broadcast_static([u.type.shape, *[p.type.shape for p in params]]))


def _quantile_numpy(u: Any, *params: Any, law: str) -> Any:
    from scipy import stats

    if law == "poisson" and np.any(params[0] >= _LARGE):
        mean = np.asarray(params[0], "float64")
        large, z = mean >= _LARGE, stats.norm.ppf(u)
        small = stats.poisson.ppf(u, np.where(large, 1.0, mean))
        found = np.where(large, np.floor(mean + np.sqrt(mean) * z + (z * z - 1) / 6 + 0.5), small)
    else:
        found = np.asarray(getattr(stats, law).ppf(u, *params))
    if not (found < 2.0**63).all():
        raise FuseValueError(f"draws of the {law} law need finite parameters in its range: {_OF[law]}")
    return np.maximum(found, 0).astype("int64")  # ppf is -1 at u = 0, where the smallest value belongs


_OF = {"binom": "0 <= n and 0 <= p <= 1", "poisson": "0 <= lam, and counts that fit into int64"}


@op_record(
    "opaque", name="quantile", numpy=_quantile_numpy, infer=_quantile_type,
    shape=lambda node, *sizes: broadcast_sizes(sizes), grad=lambda g, out, *args, law: (DISCONNECTED,) * len(args),
)
def discrete_quantile(op: Op, u: Expr, *params: Expr, law: str) -> Expr:
    """The value below which a fraction ``u`` of the discrete distribution ``law`` lies."""
    return op(u, *params, law=law)


# ---------------------------------------------------------------- integers
def require_bounds(low: Expr, high: Expr) -> tuple[Expr, Expr]:
    """Both as integers, floats cut as NumPy cuts them; FuseValueError where they are known and no range of int64."""
    low, high = _integral(low), _integral(high)
    for bound in (low, high):
        if isinstance(bound, Constant) and bound.data.size and int(bound.data.max()) > INT64.max:
            raise FuseValueError(f"bounds of random_integers fit into int64, which {bound.data.max()} does not")
    if isinstance(low, Constant) and isinstance(high, Constant) and np.any(low.data > high.data):
        raise FuseValueError(f"random_integers goes from the lower bound to the higher: {low.data} > {high.data}")
    return low, high


def _integral(bound: Expr) -> Expr:
    """A bound, of floats their whole part; FuseTypeError where it is no real number."""
    if bound.type.dtype in ty.DISCRETE:
        return bound
    if bound.type.dtype not in ty.FLOATING:
        raise FuseTypeError(f"bounds of random_integers are real numbers, not a {bound.type.describe()}")
    if not isinstance(bound, Constant):
        return ew.cast(bound, "int64")
    if not np.all(np.abs(bound.data) < 2.0**63):  # NaN, too
        raise FuseValueError(f"bounds of random_integers fit into int64, which {bound.data} does not")
    return constant(bound.data.astype("int64"))


def in_order(low: Expr, high: Expr) -> Expr:
    """``low``, where it is not above ``high``: else a call is a FuseIndexError, in compiled loops too."""
    if isinstance(low, Constant) and isinstance(high, Constant):
        return low
    return ew.add(ew.cast(low, "int64"), within(ew.cast(ew.gt(low, high), "int64"), 1))


def known_span(low: Expr, high: Expr) -> int:
    """The largest number of integers from ``low`` to ``high``, as far as it is known; else that of their dtypes."""
    ends = []
    for bound, name in ((low, "min"), (high, "max")):
        if isinstance(bound, Constant):
            ends.append(int(getattr(bound.data, name)()) if bound.data.size else 0)
        elif bound.type.dtype == "bool":
            ends.append(name == "max")
        else:
            ends.append(int(getattr(np.iinfo(bound.type.dtype), name)))
    return ends[1] - ends[0] + 1


def scaled_bits(bits: Expr, span: Expr) -> Expr:
    """``floor(bits * span / 2**64)`` of uint64, exactly, as int64; a ``span`` of 0 stands for 2**64."""
    half, mask = constant(32, dtype="uint64"), constant((1 << 32) - 1, dtype="uint64")
    (a, b), (c, d) = [(ew.right_shift(x, half), ew.and_(x, mask)) for x in (bits, span)]
    first = ew.add(ew.mul(a, d), ew.right_shift(ew.mul(b, d), half))
    second = ew.add(ew.mul(b, c), ew.and_(first, mask))
    high = ew.add(ew.mul(a, c), ew.add(ew.right_shift(first, half), ew.right_shift(second, half)))
    return ew.cast(ew.switch(ew.eq(span, 0), bits, high), "int64")


# ---------------------------------------------------------------- probabilities
def require_probability(p: Expr) -> None:
    """FuseValueError where ``p`` is known and does not lie between 0 and 1."""
    if isinstance(p, Constant) and not ((p.data >= 0) & (p.data <= 1)).all():
        raise FuseValueError(f"a probability is from 0 to 1, not {p.data}")


def checked_weights(weights: Expr, least: Any = 1) -> Expr:
    """Weights none of which is negative, NaN or infinite, ``least`` in each row positive; else a FuseValueError."""
    text = f"probabilities are not negative, and at least {least if isinstance(least, int) else 'one for each draw'} " \
           "of them (of each row) positive"
    enough = all_(ew.ge(sum_(ew.cast(ew.gt(weights, 0), "int64"), axis=-1), least))
    good = ew.and_(all_(ew.and_(ew.ge(weights, 0), ew.lt(weights, np.inf))), enough)
    if not isinstance(weights, Constant) or not isinstance(least, int):
        return required(weights, [good], text, "FuseValueError")
    given = weights.data
    if not (((given >= 0) & (given < np.inf)).all() and ((given > 0).sum(-1) >= least).all()):
        raise FuseValueError(f"{text}: {given}")
    return weights
