"""Random draws: RandomStreams and MRG_RandomStreams, with Philox4x32-10 behind every distribution.

Each random variable owns a shared state (key, count). The key follows from the seed and the number of the variable in
its stream, the count grows by one per call of a compiled function (``default_update``), the position in the result
does the rest. So the same seed gives the same draws for any number of threads, and two variables are independent.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.axes import specify_shape
from fuse.frontend.discrete_laws import (
    EXACT,
    checked_weights,
    discrete_quantile,
    in_order,
    known_span,
    require_bounds,
    require_probability,
    scaled_bits,
)
from fuse.frontend.jumps import drawn_by
from fuse.frontend.layout import broadcast_to, dimshuffle, iota, linear_index
from fuse.frontend.philox import philox
from fuse.frontend.random_state import StateVariable, entropy_of, first_state
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.selecting import searchsorted, take_along_axis, within
from fuse.frontend.shared import SharedVariable, shared
from fuse.frontend.sizes import Size, as_size, as_size_expr, as_sizes, broadcast_sizes, sizes_of, static_int
from fuse.frontend.unit_interval import MANTISSA, open_interval, unit_interval

# Bits of the radius of a normal number, which decide how far its tail reaches (8.6 and 6.7 standard deviations).
RADIUS = {"float64": 53, "float32": 32}


def float_dtype(dtype: Any, *params: Expr) -> str:
    """The dtype of a continuous distribution: the one asked for, else floatX promoted with the parameters'."""
    if dtype is None:
        floats = [p.type.dtype for p in params if p.type.dtype not in ty.DISCRETE]
        dtype = ty.promote(ty.dtype_name("floatX"), *floats)
    name = ty.dtype_name(dtype)
    if name not in ty.FLOATING:
        raise FuseTypeError(f"a continuous distribution has a float dtype, not {name}")
    return name


def _is_constant(x: Expr, value: float) -> bool:
    return isinstance(x, Constant) and x.type.ndim == 0 and float(x.data) == value

P = ParamSpec("P")


def _with_state(
    draw: Callable[Concatenate[RandomStreams, P], Expr]
) -> Callable[Concatenate[RandomStreams, P], Expr]:
    """``draw``, whose result has its state as ``rng``, and as ``update`` the pair of that and the next one."""

    @wraps(draw)
    def drawn(self: RandomStreams, *args: P.args, **kwargs: P.kwargs) -> Expr:
        known = len(self.state_updates)
        found = draw(self, *args, **kwargs)
        if len(self.state_updates) > known:
            update = self.state_updates[-1]
            found.__dict__.update(rng=update[0], update=update)
        return found

    return drawn


class RandomStreams:
    """A source of random variables, each an expression that a compiled function draws anew in every call.

    ``seed``: an integer or a sequence of integers; None takes one from the operating system. The same seed gives the
    same draws. ``size`` of a draw is an integer, a tuple of integers and 0-d expressions, an integer vector (its length
    known, or given as ``ndim``), or None for the shape of the parameters.

    >>> import fuse
    >>> u = RandomStreams(seed=42).uniform(size=(2,))
    >>> draw = fuse.function([], u)
    >>> bool((draw() != draw()).all())
    True
    """

    def __init__(self, seed: Any = None, no_warn: bool = False, use_cuda: Any = None) -> None:
        self.default_instance_seed = seed
        self.state_updates: list[tuple[SharedVariable, Expr]] = []
        self._first_entropy = self._entropy = entropy_of(seed)

    @property
    def rstate(self) -> list[Any]:
        """The states (key, count) of all variables so far; assigned, they are put back, or copied from elsewhere."""
        return [state.get_value() for state, _ in self.state_updates]

    @rstate.setter
    def rstate(self, states: Sequence[Any]) -> None:
        self.set_rstate(states)

    def updates(self) -> list[tuple[SharedVariable, Expr]]:
        """The pairs (state, next state) of all variables so far."""
        return list(self.state_updates)

    def seed(self, seed: Any = None) -> None:
        """Start every variable of this source again, from ``seed`` (None: from the seed it was made with)."""
        self._entropy = self._first_entropy if seed is None else entropy_of(seed)
        for number, (state, _) in enumerate(self.state_updates):
            state.set_value(self._first_state(number))

    def set_rstate(self, states: Sequence[Any]) -> None:
        """Put back what ``rstate`` gave."""
        if len(states) != len(self.state_updates):
            raise FuseValueError(f"{len(states)} states for {len(self.state_updates)} random variables")
        for (state, _), value in zip(self.state_updates, states, strict=True):
            state.set_value(np.asarray(value, "uint64"))

    def __getitem__(self, state: SharedVariable) -> Any:
        """The value of ``state``, the ``rng`` of one of this source's variables, which further draws read."""
        if not any(state is known for known, _ in self.state_updates):
            raise KeyError(state)
        return state.get_value(borrow=True)

    def __setitem__(self, state: SharedVariable, value: Any) -> None:
        """Give ``state``, the ``rng`` of one of this source's variables, another value."""
        self[state]
        state.set_value(value)

    def _first_state(self, number: int) -> Any:
        return first_state(self._entropy, number)

    def _new_state(self) -> SharedVariable:
        number = len(self.state_updates)
        state = shared(self._first_state(number), name=f"random_state_{number}", shape=(2,))
        state.__class__ = StateVariable
        state.default_update = ew.add(state, constant(np.array([0, 1], dtype="uint64")))
        self.state_updates.append((state, state.default_update))
        return state

    def _bits(self, sizes: Sequence[Size]) -> tuple[Expr, Expr]:
        """Two times 64 random bits per element."""
        state = self._new_state()
        position = linear_index(*sizes) if sizes else constant(0, dtype="uint64")
        low, high = [philox(position, state[0], state[1], half=half) for half in (0, 1)]
        return low, high

    def _uniform(self, sizes: Sequence[Size], dtype: str) -> Expr:
        return unit_interval(self._bits(sizes)[0], dtype, MANTISSA[dtype])

    # ---------------------------------------------------------------- continuous
    @_with_state
    def uniform(
        self, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: int | None = None, dtype: Any = None,
        nstreams: Any = None, **_: Any,
    ) -> Expr:
        """Numbers between ``low`` and ``high``, evenly; of those between 0 and 1 none is 0 or 1, and has a logarithm.

        >>> RandomStreams(1).uniform(size=(2, 3)).type
        TensorType(float64, (2, 3))
        """
        low, high = as_expr(low), as_expr(high)
        name = float_dtype(dtype, low, high)
        sizes = draw_sizes(size, ndim, low, high)
        u, low, high = open_interval(self._bits(sizes)[0], name), *fitted(sizes, low, high)
        low, high = ew.cast(low, name), ew.cast(high, name)
        if _is_constant(low, 0) and _is_constant(high, 1):
            return u
        return ew.add(ew.mul(u, ew.sub(high, low)), low)

    @_with_state
    def normal(
        self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None,
        nstreams: Any = None, truncate: bool = False, **_: Any,
    ) -> Expr:
        """Normally distributed numbers with mean ``avg`` and standard deviation ``std`` (Box and Muller, 1958).

        ``truncate``: only values within two standard deviations, which are then 0.88 of ``std`` themselves.

        >>> RandomStreams(1).normal(size=(2, 3), dtype="float32").type
        TensorType(float32, (2, 3))
        """
        if truncate:
            return self._truncated(1.0, size, avg, std, ndim, dtype)
        avg, std = as_expr(avg), as_expr(std)
        name = float_dtype(dtype, avg, std)
        inner = "float32" if name == "float16" else name
        sizes = draw_sizes(size, ndim, avg, std)
        first, second = self._bits(sizes)
        kept = RADIUS[inner]
        # (k + 1/2) / 2**kept lies in (0, 1], so the logarithm is finite.
        inside = ew.add(unit_interval(first, inner, kept), constant(2.0 ** -(kept + 1), dtype=inner))
        radius = ew.sqrt(ew.mul(constant(-2, dtype=inner), ew.log(inside)))
        angle = ew.mul(constant(2 * np.pi, dtype=inner), unit_interval(second, inner, MANTISSA[inner]))
        return _scaled(ew.cast(ew.mul(radius, ew.cos(angle)), name), *fitted(sizes, avg, std))

    @_with_state
    def truncated_normal(
        self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None,
        nstreams: Any = None, **_: Any,
    ) -> Expr:
        """Draws of a normal law without its tails beyond two deviations; ``std`` is the deviation of what is left."""
        return self._truncated(0.8796256610342398, size, avg, std, ndim, dtype)  # scipy.stats.truncnorm.std(-2, 2)

    def _truncated(self, spread: float, size: Any, avg: Any, std: Any, ndim: int | None, dtype: Any) -> Expr:
        avg, std = as_expr(avg), as_expr(std)
        name = float_dtype(dtype, avg, std)
        sizes = draw_sizes(size, ndim, avg, std)
        u = self._uniform(sizes, "float64")
        edge = 0.9544997361036416  # erf(sqrt(2)), the probability of staying within
        inside = ew.mul(constant(edge, dtype="float64"), ew.sub(ew.mul(constant(2, dtype="float64"), u), 1))
        z = ew.cast(ew.mul(constant(np.sqrt(2.0) / spread), ew.erfinv(inside)), name)
        return _scaled(z, *fitted(sizes, avg, std))

    # ---------------------------------------------------------------- discrete
    @_with_state
    def binomial(
        self, size: Any = None, n: Any = 1, p: Any = 0.5, ndim: int | None = None, dtype: Any = "int64",
        nstreams: Any = None, prob: Any = None, **_: Any,
    ) -> Expr:
        """How many of ``n`` trials succeed, each with probability ``p``.

        >>> RandomStreams(1).binomial(size=(3,), p=0.2).type
        TensorType(int64, (3,))
        """
        n, p = as_expr(n), as_expr(p if prob is None else prob)
        sizes = draw_sizes(size, ndim, n, p)
        n, p = fitted(sizes, n, p)
        if static_int(n) == 1:
            require_probability(p)
            u = self._uniform(sizes, float_dtype(None, p))
            return ew.cast(ew.lt(u, drawn_by(p)), ty.dtype_name(dtype))
        drawn = discrete_quantile(self._uniform(sizes, "float64"), drawn_by(n), drawn_by(p), law="binom")
        return ew.cast(drawn, ty.dtype_name(dtype))

    @_with_state
    def poisson(
        self, size: Any = None, lam: Any = 1.0, ndim: int | None = None, dtype: Any = "int64", **_: Any
    ) -> Expr:
        """Counts of rare events with mean ``lam``."""
        lam = as_expr(lam)
        sizes = draw_sizes(size, ndim, lam)
        draws = discrete_quantile(self._uniform(sizes, "float64"), *fitted(sizes, drawn_by(lam)), law="poisson")
        return ew.cast(draws, ty.dtype_name(dtype))

    @_with_state
    def random_integers(
        self, size: Any = None, low: Any = 0, high: Any = 1, ndim: int | None = None, dtype: Any = "int64", **_: Any
    ) -> Expr:
        """Integers from ``low`` to ``high``, both included, evenly.

        >>> RandomStreams(1).random_integers(size=(3,), low=1, high=6).type
        TensorType(int64, (3,))
        """
        low, high = require_bounds(as_expr(low), as_expr(high))
        sizes, span = draw_sizes(size, ndim, low, high), known_span(low, high)
        low, high = [ew.cast(drawn_by(x), "int64") for x in fitted(sizes, in_order(low, high), high)]
        count = ew.add(ew.sub(high, low), 1)
        if span <= EXACT:
            steps = ew.cast(ew.floor(ew.mul(self._uniform(sizes, "float64"), ew.cast(count, "float64"))), "int64")
        else:
            steps = scaled_bits(self._bits(sizes)[0], ew.cast(count, "uint64"))
        return ew.cast(ew.add(low, steps), ty.dtype_name(dtype))

    @_with_state
    def choice(
        self, size: Any = 1, a: Any = 2, replace: bool = True, p: Any = None, ndim: int | None = None,
        dtype: Any = "int64", nstreams: Any = None, **_: Any,
    ) -> Expr:
        """Elements of the vector ``a`` (an integer: of 0..a-1), with probabilities ``p``, by default all alike.

        A number as ``p`` is none, as in Theano. ``replace=False``: none twice; ``size`` is then one number. A matrix
        ``p`` with ``replace=False`` draws ``size`` distinct columns for each row (Theano's MRG_RandomStreams).
        """
        a = as_expr(p).shape[-1] if p is not None and (a is None or as_expr(p).type.ndim == 2) else as_expr(a)
        count = as_size(a) if a.type.ndim == 0 else sizes_of(a)[0]
        if a.type.ndim > 1:
            raise ShapeError(f"choice draws from a vector or from 0..a-1, not from a {a.type.describe()}")
        if isinstance(count, int) and count < 1:
            raise FuseValueError(f"choice needs something to choose from, not {count} elements")
        weights = None if p is None or not as_expr(p).type.ndim else as_expr(p)
        if weights is not None:
            weights = specify_shape(weights, [*sizes_of(weights)[:-1], count])
        if not replace:
            places = self._distinct(size, ndim, count, weights)
        elif weights is None:
            u = self._uniform(as_sizes(size, ndim), "float64")
            places = ew.cast(ew.floor(ew.mul(u, ew.cast(drawn_by(count), "float64"))), "int64")
            if not isinstance(count, int) and not a.type.ndim:
                places = within(places, count)  # there may be none
        else:
            if weights.type.ndim != 1:
                raise ShapeError(f"the probabilities of choice are a vector, not a {weights.type.describe()}")
            from fuse.frontend.scans import cumsum

            u = self._uniform(as_sizes(size, ndim), "float64")
            edges = cumsum(ew.cast(drawn_by(checked_weights(weights)), "float64"))
            # The last edge stands for everything above: rounding must not lead past the end.
            places = searchsorted(edges[:-1], ew.mul(u, edges[-1]), side="right")
        return ew.cast(places, ty.dtype_name(dtype)) if a.type.ndim == 0 else a[places]

    def _distinct(self, size: Any, ndim: int | None, count: Size, weights: Expr | None) -> Expr:
        """Positions without repetition: those of the earliest of independent exponential arrival times."""
        sizes = as_sizes(size, ndim)
        if len(sizes) != 1:
            raise ShapeError("choice without replacement draws one vector: size is a single number")
        wanted = sizes[0]
        if isinstance(wanted, int) and isinstance(count, int) and wanted > count:
            raise FuseValueError(f"cannot choose {wanted} of {count} elements without replacement")
        if weights is None:
            order = _argsort(self._uniform((count,), "float64"))
            if not (isinstance(wanted, int) and isinstance(count, int)):
                enough = ew.le(as_size_expr(wanted), as_size_expr(count))
                order = required(order, [enough], "choice: fewer elements than are wanted", "FuseValueError")
            return order[:wanted]
        weights = drawn_by(checked_weights(weights, wanted))
        # (k + 1/2) / 2**53 is never 0: an element of weight 0 comes after all others
        u = ew.add(self._uniform(sizes_of(weights), "float64"), constant(2.0**-54))
        return _argsort(ew.true_div(ew.neg(ew.log1p(ew.neg(u))), weights))[..., :wanted]

    @_with_state
    def permutation(
        self, size: Any = None, n: Any = 1, ndim: int | None = None, dtype: Any = "int64", **_: Any
    ) -> Expr:
        """Permutations of 0..n-1, along a last axis behind ``size``.

        >>> perm = RandomStreams(1).permutation(n=4)
        >>> sorted(perm.eval().tolist())
        [0, 1, 2, 3]
        """
        sizes = () if size is None else as_sizes(size, ndim)
        order = _argsort(self._uniform((*sizes, as_size(n)), "float64"))
        return ew.cast(order, ty.dtype_name(dtype))

    @_with_state
    def multinomial(
        self, size: Any = None, n: Any = 1, pvals: Any = None, ndim: int | None = None, dtype: Any = "int64",
        nstreams: Any = None, **_: Any,
    ) -> Expr:
        """How often each of the outcomes with probabilities ``pvals`` (last axis) occurs in ``n`` trials.

        One result per row of ``pvals``, or ``size`` of them for a vector. ``n`` may differ between results.
        """
        p = as_expr([0.5, 0.5] if pvals is None else pvals)
        if not p.type.ndim:
            raise ShapeError("the probabilities of multinomial are a vector or the rows of a matrix, not a scalar")
        if isinstance(p, Constant):
            p = checked_weights(p)
        n = as_expr(n)
        params = [sizes_of(p)[:-1], sizes_of(n)]
        rows = broadcast_sizes(params) if size is None else as_sizes(size, ndim)
        if max(map(len, params)) > len(rows):
            raise FuseValueError(f"the parameters of multinomial have more axes than the size, which has {len(rows)}")
        from fuse.frontend.scans import cumsum

        edges = cumsum(ew.cast(drawn_by(p), "float64"), axis=p.type.ndim - 1)
        most = as_size(n if not n.type.ndim else ew.maximum(max_(n), 0))
        u = self._uniform((*rows, most), "float64")
        # rows, trials, classes: an outcome is the number of inner edges that the draw has passed.
        inner = _with_axis(edges[..., :-1], 2)
        total = _with_axis(edges[..., -1:], 2)
        passed = ew.ge(ew.mul(dimshuffle(u, [*range(u.type.ndim), "x"]), total), inner)
        outcome = sum_(ew.cast(passed, "int64"), axis=-1)
        hits = ew.eq(dimshuffle(outcome, [*range(outcome.type.ndim), "x"]), iota(sizes_of(p)[-1]))
        if n.type.ndim:
            hits = ew.and_(hits, dimshuffle(ew.lt(iota(most), dimshuffle(drawn_by(n), [*range(n.type.ndim), "x"])), [
                *range(n.type.ndim + 1), "x"]))
        return ew.cast(sum_(ew.cast(hits, "int64"), axis=-2), ty.dtype_name(dtype))

    @_with_state
    def multinomial_wo_replacement(
        self, size: None = None, n: Any = 1, pvals: Any = None, ndim: None = None, dtype: Any = "int64",
        nstreams: Any = None, **_: Any,
    ) -> Expr:
        """``n`` distinct columns for each row of the probabilities ``pvals``: a matrix with ``n`` columns.

        Raises FuseValueError for a ``size`` or ``ndim``, which follow from ``pvals`` and ``n``.
        """
        if size is not None or ndim is not None:
            raise FuseValueError("multinomial_wo_replacement takes no size or ndim: one row of n for each of pvals")
        p = as_expr([[0.5, 0.5]] if pvals is None else pvals)
        if p.type.ndim != 2:
            raise ShapeError(f"the probabilities of multinomial_wo_replacement are rows, not a {p.type.describe()}")
        return self.choice(size=n, a=None, replace=False, p=p, dtype=dtype)

    @_with_state
    def shuffle_row_elements(self, input: Any) -> Expr:
        """``input`` with the elements of each row (last axis) in random order."""
        x = as_expr(input)
        if not x.type.ndim:
            raise ShapeError("shuffle_row_elements needs rows, not a scalar")
        return take_along_axis(x, _argsort(self._uniform(sizes_of(x), "float64")), axis=-1)


class MRG_RandomStreams(RandomStreams):
    """Theano's second source of random variables; here the same generator under that name."""

    def __init__(self, seed: Any = 12345, use_cuda: Any = None) -> None:
        super().__init__(seed)


def draw_sizes(size: Any, ndim: int | None, *params: Expr) -> tuple[Size, ...]:
    """The sizes of a draw; those of the broadcast parameters where ``size`` is None."""
    if size is None:
        return broadcast_sizes([sizes_of(p) for p in params])
    sizes = as_sizes(size, ndim)
    if ndim is not None and ndim != len(sizes):
        raise FuseValueError(f"ndim is {ndim}, the size has {len(sizes)} entries")
    for p in params:
        if p.type.ndim > len(sizes):
            raise ShapeError(f"a parameter that is a {p.type.describe()} does not broadcast to {len(sizes)} axes")
    return sizes


def fitted(sizes: Sequence[Size], *params: Expr) -> list[Expr]:
    """The parameters, those with axes as large as the draw where nothing says that they are no larger."""
    rank = len(sizes)

    def fits(p: Expr) -> bool:
        return all(n == 1 or n == m for n, m in zip(sizes_of(p), sizes[rank - p.type.ndim :], strict=True))

    return [p if fits(p) else broadcast_to(p, sizes) for p in params]


def _scaled(z: Expr, avg: Expr, std: Expr) -> Expr:
    name = z.type.dtype
    avg, std = ew.cast(avg, name), ew.cast(std, name)
    z = z if _is_constant(std, 1) else ew.mul(z, std)
    return z if _is_constant(avg, 0) else ew.add(z, avg)


def _with_axis(x: Expr, from_end: int) -> Expr:
    """``x`` with an axis of size 1 at position ``-from_end`` of the result."""
    at = x.type.ndim + 1 - from_end
    return dimshuffle(x, [*range(at), "x", *range(at, x.type.ndim)])


def _argsort(x: Expr) -> Expr:
    from fuse.frontend.sorting import argsort

    return argsort(x, axis=-1)


__all__ = ["MRG_RandomStreams", "RandomStreams"]
