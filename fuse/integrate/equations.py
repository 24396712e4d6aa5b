"""odeint: the solution of an initial value problem at given times, as an expression."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import testvalues, tree
from fuse.autodiff.stop import disconnected_grad
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr, constant, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.axes import shape_padleft
from fuse.frontend.creation import arange
from fuse.frontend.join import join
from fuse.frontend.layout import dimshuffle
from fuse.frontend.loops import results
from fuse.frontend.reductions import all as all_of
from fuse.frontend.reductions import sum as total
from fuse.frontend.selecting import searchsorted
from fuse.frontend.sizes import as_size_expr
from fuse.integrate.tableau import BETWEEN, ERROR, STAGES, TIMES
from fuse.scan_module.carry import carried, taken_apart
from fuse.scan_module.scan_utils import Info, State
from fuse.types import DISCRETE, TensorType, promote

Slopes = Callable[[Sequence[Expr], Expr], list[Expr]]
SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0  # factors between one step size and the next
METHODS = ("dopri5", "rk4")


@testvalues.after
def odeint(
    func: Callable[..., Any], y0: Any, t: Any, args: Sequence[Any] = (), method: str = "dopri5", rtol: Any = None,
    atol: Any = None, max_steps: int = 100_000, first_step: Any = None, steps: int = 1,
    checkpoint: int | None = None, tfirst: bool = False,
) -> Any:
    """The solution of dy/dt = ``func(y, t, *args)`` with y = ``y0`` at ``t[0]``, at the times ``t``.

    ``y0`` is an expression, array or list of numbers of any shape, or a tuple, list or dict of expressions and arrays,
    which ``func`` returns as well. The result has one row for each time, the first being ``y0``. ``t`` is a vector that
    increases, or decreases. ``tfirst``: ``func(t, y, *args)``, as `scipy.integrate.solve_ivp` has it.

    * ``method="dopri5"``: Dormand and Prince's pair of orders 5 and 4. Steps are chosen so that their error is about
      ``atol + rtol * |y|`` (root of the mean square; both 1.49e-8 where not given, 1e-5 for float32); between their
      ends the continuous extension serves, as in `solve_ivp(dense_output=True)`. At most ``max_steps`` steps are tried.
      ``first_step``: the size of the first one.
    * ``method="rk4"``: the classical method of order 4, with ``steps`` equal steps between neighbouring times.
      ``checkpoint``: for gradients only each so many states are kept, and steps between done again (0: about the root).

    The solution is one compiled loop, its gradient (with respect to ``y0``, ``args``, ``t``, and whatever else ``func``
    reads) one that runs backwards through the same steps, the exact derivative of what was computed; the sizes of steps
    count as constants. Derivatives of any order and Jacobians go through it. In a `vmap` each problem has steps of its
    own; as one state, many problems share their steps.

    Raises IntegrationError at run time where the end is not reached within ``max_steps`` or steps become too small to
    tell, and where ``t`` is not monotonic; FuseTypeError where ``func`` returns something that is not like ``y0``.

    >>> import fuse, fuse.tensor as T
    >>> from fuse.integrate import odeint
    >>> rate, start = T.dscalars("rate", "start")
    >>> y = odeint(lambda y, t: -rate * y, start, [0.0, 1.0, 2.0])
    >>> f = fuse.function([start, rate], [y, fuse.grad(y[-1], rate)])
    >>> f(1.0, 0.5)[0].round(6)
    array([1.      , 0.606531, 0.367879])
    >>> round(float(f(1.0, 0.5)[1]), 6)
    -0.735759
    """
    if method not in METHODS:
        raise FuseValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    if checkpoint is not None and method != "rk4":
        raise FuseValueError("checkpoint needs a number of steps that is known before: method='rk4'")
    if isinstance(y0, list) and not any(isinstance(y, Expr) for y in tree.leaves(y0)):
        y0 = np.asarray(y0)  # a vector, as SciPy has it
    starts, structure = taken_apart(tree.map(lambda y: y if isinstance(y, Expr) else np.asarray(y), y0))
    starts = [_floating(y) for y in starts]
    times = _floating(t if isinstance(t, Expr) else as_expr(np.asarray(t)))
    if times.type.ndim != 1:
        raise FuseTypeError(f"t is a vector of times, not a {times.type.describe()}")
    if not starts:
        raise FuseValueError("y0 has no values: give a number, an array or a tree of them")
    args = args if isinstance(args, (tuple, list)) else (args,)
    parameters = [tree.map(lambda leaf: leaf if callable(leaf) else as_expr(leaf), a) for a in args]
    if max_steps < 1:
        raise FuseValueError(f"max_steps is at least 1, not {max_steps}")

    def slopes(values: Sequence[Expr], time: Expr) -> list[Expr]:
        y = tree.unflatten(structure, list(values))
        found = func(time, y, *parameters) if tfirst else func(y, time, *parameters)
        if isinstance(y, Expr) and isinstance(found, (list, tuple)):
            found = as_expr(list(found))  # [dx, dy] for a vector
        leaves, returned = taken_apart(found)
        if returned != structure:
            raise FuseTypeError(f"func returns what y0 is like, {structure}, not {returned}")
        for new, old in zip(leaves, starts, strict=True):
            if new.type.ndim > old.type.ndim:
                raise FuseTypeError(
                    f"the slope of a {old.type.describe()} has its axes, a {new.type.describe()} has more: reduce it"
                )
        return [_like(new, old) for new, old in zip(leaves, values, strict=True)]

    if method == "rk4":
        rows = _fixed(slopes, starts, times, int(steps), checkpoint)
    else:
        usual = 1.49e-8 if all(y.type.dtype in ("float64", "complex128") for y in starts) else 1e-5
        rtol, atol = (usual if x is None else x for x in (rtol, atol))
        rows = _adaptive(slopes, starts, times, rtol, atol, int(max_steps), first_step)
    return tree.unflatten(structure, [join(0, shape_padleft(y), r) for y, r in zip(starts, rows, strict=True)])


def _floating(x: Expr) -> Expr:
    return ew.cast(x, "floatX") if x.type.dtype in DISCRETE else x


def _like(slope: Expr, value: Expr) -> Expr:
    """``slope`` in the dtype and shape of ``value``."""
    if slope.type.dtype != value.type.dtype:
        slope = ew.cast(slope, value.type.dtype)
    same = slope.type.ndim == value.type.ndim and all(
        m == n or m != 1 for m, n in zip(slope.type.shape, value.type.shape, strict=True))
    return slope if same else ew.add(slope, ew.mul(0, value))


def _plus(values: Sequence[Expr], step: Expr, *terms: tuple[float, Sequence[Expr]]) -> list[Expr]:
    """``values`` and ``step`` times the sum of slopes with their factors."""
    return [ew.add(y, ew.mul(_as(step, y), _sum(terms, k))) for k, y in enumerate(values)]


def _sum(terms: Sequence[tuple[float, Sequence[Expr]]], k: int) -> Expr:
    parts = [ew.mul(constant(c, dtype=slope[k].type.dtype), slope[k]) for c, slope in terms if c]
    out = parts[0]
    for part in parts[1:]:
        out = ew.add(out, part)
    return out


def _as(x: Expr, like: Expr) -> Expr:
    return x if promote(x.type.dtype, like.type.dtype) == like.type.dtype else ew.cast(x, like.type.dtype)


# ---------------------------------------------------------------- fixed steps
def _fixed(
    slopes: Slopes, starts: list[Expr], times: Expr, steps: int, checkpoint: int | None
) -> list[Expr]:
    """The solutions at all times but the first by the classical method, each interval in ``steps`` equal steps."""
    if steps < 1:
        raise FuseValueError(f"steps is at least 1, not {steps}")
    first, sizes = times[:-1], ew.sub(times[1:], times[:-1])
    if steps > 1:
        sizes = ew.true_div(sizes, constant(steps, dtype=times.type.dtype))
        inner = ew.cast(arange(steps), times.type.dtype)
        first = ew.add(first.dimshuffle(0, "x"), ew.mul(sizes.dimshuffle(0, "x"), inner)).flatten()
        sizes = ew.add(sizes.dimshuffle(0, "x"), ew.mul(inner, 0)).flatten()
    states = [State(Info(y, (-1,))) for y in starts]
    y = [s.leaves[0] for s in states]
    time, size = (_element(x) for x in (first, sizes))
    half = ew.mul(size, 0.5)
    k1 = slopes(y, time)
    k2 = slopes(_plus(y, half, (1.0, k1)), ew.add(time, half))
    k3 = slopes(_plus(y, half, (1.0, k2)), ew.add(time, half))
    k4 = slopes(_plus(y, size, (1.0, k3)), ew.add(time, size))
    nexts = _plus(y, size, (1 / 6, k1), (1 / 3, k2), (1 / 3, k3), (1 / 6, k4))
    node = carried(first.shape[0], [first, sizes], [time, size], states, nexts, nexts, None, checkpoint)
    return [row[steps - 1::steps] if steps > 1 else row for row in results(node)[1]]


def _element(sequence: Expr) -> Expr:
    return variable(TensorType(sequence.type.dtype, ()))


# ---------------------------------------------------------------- adaptive steps
def _adaptive(
    slopes: Slopes, starts: list[Expr], times: Expr, rtol: Any, atol: Any, max_steps: int, first_step: Any
) -> list[Expr]:
    """The solutions at all times but the first by steps of chosen sizes, from the continuous extension."""
    dtype = times.type.dtype
    rtol, atol = (ew.cast(as_expr(x), dtype) for x in (rtol, atol))
    first, end = times[0], times[-1]
    forward = disconnected_grad(ew.switch(ew.ge(end, first), constant(1, dtype=dtype), constant(-1, dtype=dtype)))
    slope = slopes(starts, first)
    size = _first_size(slopes, starts, slope, first, forward, rtol, atol) if first_step is None else \
        ew.cast(abs(as_expr(first_step)), dtype)
    wanted = [*starts, *slope, first, disconnected_grad(size), constant(False), constant(False)]
    states = [State(Info(x, (-1,))) for x in wanted]
    leaves, n = [s.leaves[0] for s in states], len(starts)
    y, k1, (time, size, refused, _) = leaves[:n], leaves[n : 2 * n], leaves[2 * n :]

    left = ew.mul(forward, ew.sub(end, time))
    last = ew.ge(ew.mul(size, 1.01), left)
    taken = ew.switch(last, left, size)
    step = disconnected_grad(ew.mul(forward, taken))
    ks, new = [k1], y
    for at, row in zip(TIMES[1:], STAGES, strict=True):
        new = _plus(y, step, *zip(row, ks, strict=True))
        ks.append(slopes(new, ew.add(time, ew.mul(step, at))))
    wrong = [disconnected_grad(ew.mul(_as(step, x), _sum(tuple(zip(ERROR, ks, strict=True)), k)))
             for k, x in enumerate(y)]
    size_of_error = _norm(wrong, [ew.maximum(abs(a), abs(b)) for a, b in zip(y, new, strict=True)], rtol, atol, dtype)
    accepted = ew.le(size_of_error, 1)
    factor = ew.clip(ew.mul(SAFETY, ew.pow(size_of_error, -0.2)), SMALLEST, LARGEST)
    factor = ew.switch(ew.isnan(size_of_error), constant(SMALLEST, dtype=dtype), factor)
    factor = ew.switch(ew.or_(refused, ew.invert(accepted)), ew.minimum(factor, 1), factor)
    following = disconnected_grad(ew.mul(taken, factor))
    unit = 10 * {"float32": 2.0**-23, "float16": 2.0**-10}.get(dtype, 2.0**-52)
    stuck = ew.and_(ew.invert(accepted), ew.invert(ew.gt(following, ew.mul(unit, abs(time)))))
    done = ew.and_(accepted, last)
    kept = [ew.switch(accepted, a, b) for a, b in zip([*new, *ks[-1]], [*y, *k1], strict=True)]
    ended = ew.switch(accepted, ew.add(time, step), time)
    extra = [ew.mul(_as(step, x), _sum(tuple(zip(BETWEEN, ks, strict=True)), k)) for k, x in enumerate(y)]
    nexts = [*kept, ended, ew.cast(following, dtype), ew.invert(accepted), done]
    node = carried(
        as_size_expr(max_steps), [], [], states, nexts, [*y, *kept, *k1, time, ended, step, *extra],
        ew.or_(done, stuck), ragged=True,
    )
    finals, found, count = results(node)
    assert count is not None
    before, after, slope_after, slope_before = (found[i * n : (i + 1) * n] for i in range(4))
    starts_of, ends_of, sizes_of, *extra = found[4 * n :]
    wanted_times = times[1:]
    # within a batch there may be more rows than steps were done here
    behind = ew.ge(arange(ends_of.shape[0]), count)
    bounds = ew.switch(behind, constant(np.inf, dtype=dtype), ew.mul(forward, ends_of))
    place = disconnected_grad(searchsorted(bounds, ew.mul(forward, wanted_times)))
    place = ew.minimum(place, ew.sub(count, 1))
    moved = ew.sub(wanted_times, starts_of[place])
    still = ew.eq(sizes_of[place], 0)  # all times are one: what follows from the slope at the start is left
    part = ew.true_div(moved, ew.switch(still, np.asarray(1, dtype), sizes_of[place]))
    monotonic = all_of(ew.ge(ew.mul(forward, ew.sub(times[1:], times[:-1])), 0))
    rows = [_between(part, sizes_of[place], *[x[k][place] for x in (before, after, slope_before, slope_after, extra)])
            for k in range(n)]
    rows = [_where(still, ew.add(y[place], ew.mul(_upto(moved, y), s[place])), r)
            for r, y, s in zip(rows, before, slope_before, strict=True)]
    failed = (
        f"the end of the times was not reached: {max_steps} steps were tried (max_steps), or steps became too small, "
        f"as they do at a singularity or for values that are not finite"
    )
    unordered = "the times of odeint increase, or they decrease"
    rows = [required(r, [monotonic], unordered, "IntegrationError") for r in rows]
    return [required(r, [finals[-1]], failed, "IntegrationError") for r in rows]


def _upto(x: Expr, like: Expr) -> Expr:
    """The vector ``x`` in the rank and precision of ``like``, whose first axis it has."""
    return _as(dimshuffle(x, 0, *["x"] * (like.type.ndim - 1)), like)


def _where(condition: Expr, a: Expr, b: Expr) -> Expr:
    return ew.switch(dimshuffle(condition, 0, *["x"] * (a.type.ndim - 1)), a, b)


def _between(part: Expr, size: Expr, y: Expr, end: Expr, slope: Expr, last: Expr, extra: Expr) -> Expr:
    """Values at ``part`` of each step, from those at its ends, the slopes there, and the fifth coefficient."""
    part, size = _upto(part, y), _upto(size, y)
    whole = ew.sub(end, y)
    bend = ew.sub(ew.mul(size, slope), whole)
    twist = ew.sub(ew.sub(whole, ew.mul(size, last)), bend)
    rest = ew.sub(1, part)
    inner = ew.add(bend, ew.mul(part, ew.add(twist, ew.mul(rest, extra))))
    return ew.add(y, ew.mul(part, ew.add(whole, ew.mul(rest, inner))))


def _norm(values: Sequence[Expr], scales: Sequence[Expr], rtol: Expr, atol: Expr, dtype: str) -> Expr:
    """The root of the mean square of ``values`` in units of what is tolerated at these scales."""
    squares, count = [], []
    for x, scale in zip(values, scales, strict=True):
        unit = ew.add(atol, ew.mul(rtol, ew.cast(disconnected_grad(scale), dtype)))
        squares.append(total(ew.sqr(ew.true_div(ew.cast(abs(x), dtype), unit))))
        count.append(ew.cast(x.size, dtype))
    whole, number = squares[0], count[0]
    for a, b in zip(squares[1:], count[1:], strict=True):
        whole, number = ew.add(whole, a), ew.add(number, b)
    return disconnected_grad(ew.sqrt(ew.true_div(whole, ew.maximum(number, 1))))


def _first_size(
    slopes: Slopes, y: list[Expr], slope: list[Expr], time: Expr, forward: Expr, rtol: Expr, atol: Expr
) -> Expr:
    """A size for the first step; Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4."""
    dtype = time.type.dtype
    y, slope, time = [disconnected_grad(x) for x in y], [disconnected_grad(x) for x in slope], disconnected_grad(time)
    scales = [abs(x) for x in y]
    d0, d1 = _norm(y, scales, rtol, atol, dtype), _norm(slope, scales, rtol, atol, dtype)
    small = ew.or_(ew.lt(d0, 1e-5), ew.lt(d1, 1e-5))
    guess = ew.switch(small, constant(1e-6, dtype=dtype), ew.true_div(ew.mul(0.01, d0), d1))
    step = ew.mul(forward, guess)
    there = slopes(_plus(y, step, (1.0, slope)), ew.add(time, step))
    changes = [ew.sub(a, b) for a, b in zip(there, slope, strict=True)]
    d2 = ew.true_div(_norm(changes, scales, rtol, atol, dtype), guess)
    most = ew.maximum(d1, d2)
    better = ew.switch(
        ew.le(most, 1e-15), ew.maximum(constant(1e-6, dtype=dtype), ew.mul(guess, 1e-3)),
        ew.pow(ew.true_div(constant(0.01, dtype=dtype), most), 0.2),
    )
    size = ew.minimum(ew.mul(100.0, guess), better)
    size = ew.switch(ew.and_(ew.gt(size, 0), ew.lt(size, float("inf"))), size, constant(1e-6, dtype=dtype))
    return disconnected_grad(ew.cast(size, dtype))
