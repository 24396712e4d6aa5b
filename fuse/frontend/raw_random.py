"""Draws as functions of a generator's state: Theano's ``raw_random``, on NumPy's ``RandomState``.

A function such as ``uniform(state, size)`` gives the state after the draw and the sample, with NumPy's numbers. These
run in Python, one operation after the other; RandomStreams draws inside compiled loops.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import product
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend.apply import Apply
from fuse.frontend.class_op import Op
from fuse.frontend.sizes import as_size, as_size_expr, as_sizes, broadcast_sizes, make_vector, sizes_of
from fuse.typebase import Type
from fuse.types import TensorType


class RandomStateType(Type):
    """The type of NumPy's ``RandomState`` objects.

    >>> random_state_type("rng").type
    RandomStateType
    """

    __props__ = ()

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        if type(value) is not np.random.RandomState:
            raise FuseTypeError(f"a numpy.random.RandomState is needed, not {type(value).__name__}")
        return value

    def values_eq(self, a: Any, b: Any) -> bool:
        """Whether two generators will draw the same numbers."""
        kind, keys, place, has_gauss, gauss = a.get_state()
        other = b.get_state()
        same = kind == other[0] and place == other[2] and has_gauss == other[3] and np.array_equal(keys, other[1])
        return bool(same and (not has_gauss or gauss == other[4]))


random_state_type = RandomStateType()


class RandomGeneratorType(Type):
    """The type of NumPy's ``Generator`` objects.

    >>> random_generator_type("rng").type
    RandomGeneratorType
    """

    __props__ = ()

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        if not isinstance(value, np.random.Generator):
            raise FuseTypeError(f"a numpy.random.Generator is needed, not {type(value).__name__}")
        return value

    @staticmethod
    def may_share_memory(a: Any, b: Any) -> bool:
        """Whether a draw from ``a`` moves ``b`` on."""
        return a.bit_generator is b.bit_generator

    def values_eq(self, a: Any, b: Any) -> bool:
        """Whether two generators will draw the same numbers."""
        return _equal_states(a.bit_generator.state, b.bit_generator.state)


def _equal_states(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal_states(a[k], b[k]) for k in a)
    return bool(np.array_equal(a, b))


random_generator_type = RandomGeneratorType()


def generator_type(value: Any) -> Type | None:
    """The type of a generator of NumPy's; None for anything else."""
    if isinstance(value, np.random.Generator):
        return random_generator_type
    return random_state_type if isinstance(value, np.random.RandomState) else None


class RandomFunction(Op):
    """The op of a method of ``RandomState`` (a name), or of a function ``fn(generator, *args, size)``.

    Called with (state, size, *args), it gives (state after the draw, sample of the type ``outtype``). An empty ``size``
    leaves it to the arguments; ``ndim_added`` is how many axes the sample has beyond ``size``.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> rng = random_state_type()
    >>> _, sample = RandomFunction("uniform", T.dvector)(rng, (3,), 0.0, 1.0)
    >>> draw = fuse.function([rng], sample)
    >>> bool((draw(np.random.RandomState(1)) == np.random.RandomState(1).uniform(size=3)).all())
    True
    """

    __props__ = ("fn", "outtype", "inplace", "ndim_added")
    without_gradient = "draws of NumPy's generators have no derivative in their parameters"

    def __init__(self, fn: Any, outtype: Any, inplace: bool = False, ndim_added: int = 0) -> None:
        self.fn = fn
        self.outtype = getattr(outtype, "type", outtype)
        self.inplace = bool(inplace)
        self.ndim_added = int(ndim_added)
        if inplace:
            self.destroy_map = {0: [0]}

    @property
    def exec_fn(self) -> Callable[..., Any]:
        """What draws."""
        return getattr(np.random.RandomState, self.fn) if isinstance(self.fn, str) else self.fn

    def __str__(self) -> str:
        return f"RandomFunction{{{self.exec_fn.__name__}}}"

    def make_node(self, state: Any, size: Any, *args: Any) -> Apply:
        sizes = constant(np.array(size, "int64")) if isinstance(size, (tuple, list)) and not size else as_expr(size)
        if sizes.type.ndim != 1 or sizes.type.dtype not in ty.DISCRETE:
            raise ShapeError(f"the size of a draw is an integer vector, not a {sizes.type.describe()}")
        return Apply(self, [state, sizes, *map(as_expr, args)], [state.type(), self.outtype()])

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        sizes = node.inputs[1]
        length = sizes.type.shape[0]
        known = bool(length) and not self.ndim_added
        return [None, [sizes[i] for i in range(self.outtype.ndim)] if known else None]

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        state, size, args = inputs[0], tuple(int(n) for n in inputs[1]), inputs[2:]
        ndim = self.outtype.ndim
        if size and len(size) + self.ndim_added != ndim:
            raise ShapeError(f"{self} draws {len(size)} + {self.ndim_added} axes, its type has {ndim}")
        state = state if self.inplace else deepcopy(state)
        drawn = np.asarray(self.exec_fn(state, *args, size or None))
        if not size and not drawn.ndim:
            drawn = drawn.reshape((1,) * ndim)
        if drawn.ndim != ndim or size and drawn.shape[: len(size)] != size:
            raise ShapeError(f"{self} drew the shape {drawn.shape} for the size {size}, its type has {ndim} axes")
        output_storage[0][0] = state
        output_storage[1][0] = drawn.astype(self.outtype.dtype, copy=False)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i == 0, i > 1] for i in range(len(node.inputs))]

    def R_op(self, inputs: list[Expr], eval_points: list[Any]) -> list[Any]:
        return [None, None]


def infer_ndim_bcast(ndim: int | None, size: Any, *args: Expr) -> tuple[int, Expr, tuple[bool, ...]]:
    """(rank, sizes as an int64 vector, which sizes are 1) of a draw; -1 in ``size`` is the size of the arguments."""
    full = broadcast_sizes([sizes_of(a) for a in args])
    if size is None:
        if not args:
            raise FuseTypeError("without parameters to take it from, a draw needs a size")
        sizes = full
    elif isinstance(size, (tuple, list)):
        if ndim is not None and ndim != len(size):
            raise FuseValueError(f"ndim is {ndim}, the size has {len(size)} entries")
        sizes = tuple([_borrowed(n, i - len(size), full) for i, n in enumerate(size)])
    else:
        given = as_expr(size)
        if given.type.ndim != 1 or given.type.dtype not in ty.DISCRETE:
            raise FuseTypeError(f"the size of a draw is an integer vector or a list, not a {given.type.describe()}")
        if given.op.name != "make_vector" and not isinstance(given, Constant):  # its length is checked when it is known
            length = given.type.shape[0] if ndim is None else ndim
            if length is None:
                raise ShapeError("a size whose length is not known needs ndim")
            return length, given, (False,) * length
        sizes = as_sizes(given, ndim)
    if len(full) > len(sizes):
        raise FuseValueError(f"the parameters have {len(full)} axes, the draw {len(sizes)}")
    ones = tuple([n == 1 for n in sizes])
    vector = make_vector(*map(as_size_expr, sizes)) if sizes else constant(np.zeros(0, "int64"))
    return len(sizes), vector, ones


def _borrowed(n: Any, axis: int, full: Sequence[Any]) -> Any:
    n = as_size(n)
    if not isinstance(n, int) or n >= 0:
        return n
    if n != -1 or -axis > len(full):
        raise FuseValueError(f"the size {n}: -1 takes the size of the parameters, which have {len(full)} axes")
    return full[axis]


def _draw(fn: Any, state: Any, dtype: Any, size: Any, ndim: int | None, args: Sequence[Expr], sized_by: int) -> Any:
    _, sizes, ones = infer_ndim_bcast(ndim, size, *args[:sized_by])
    return RandomFunction(fn, TensorType(dtype, broadcastable=ones))(state, sizes, *args)


def _float(dtype: Any, *params: Expr) -> str:
    return ty.promote(ty.dtype_name("floatX"), *[p.dtype for p in params]) if dtype is None else ty.dtype_name(dtype)


def uniform(
    random_state: Any, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Any:
    """(state after, numbers from [low, high)).

    >>> state, sample = uniform(random_state_type(), (2, 3))
    >>> sample.type
    TensorType(float64, matrix)
    """
    args = as_expr(low), as_expr(high)
    return _draw("uniform", random_state, _float(dtype, *args), size, ndim, args, 2)


def normal(
    random_state: Any, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Any:
    """(state after, normally distributed numbers)."""
    args = as_expr(avg), as_expr(std)
    return _draw("normal", random_state, _float(dtype, *args), size, ndim, args, 2)


def binomial(
    random_state: Any, size: Any = None, n: Any = 1, p: Any = 0.5, ndim: int | None = None, dtype: Any = "int64",
    prob: Any = None,
) -> Any:
    """(state after, how many of ``n`` trials succeed)."""
    args = as_expr(n), as_expr(p if prob is None else prob)
    rank, sizes, _ = infer_ndim_bcast(ndim, size, *args)
    return RandomFunction("binomial", TensorType(dtype, [None] * rank))(random_state, sizes, *args)


def random_integers_helper(random_state: Any, low: Any, high: Any, size: Any) -> Any:
    """Integers from ``low`` to ``high``, both included."""
    return random_state.randint(low, np.asarray(high, "int64") + 1, size, "int64")


def random_integers(
    random_state: Any, size: Any = None, low: Any = 0, high: Any = 1, ndim: int | None = None, dtype: Any = "int64"
) -> Any:
    """(state after, integers from ``low`` to ``high``, both included)."""
    return _draw(random_integers_helper, random_state, dtype, size, ndim, (as_expr(low), as_expr(high)), 2)


def choice_helper(random_state: Any, a: Any, replace: Any, p: Any, size: Any) -> Any:
    """Elements of ``a``, or of 0..a-1; an empty ``p`` for even probabilities."""
    if a.ndim > 1 or p.ndim != 1:
        raise ShapeError(f"choice draws from a vector or 0..a-1 with a vector p, not from {a.ndim} axes with {p.ndim}")
    return random_state.choice(a if a.ndim else int(a), size, bool(replace), p if p.size else None)


def choice(
    random_state: Any, size: Any = None, a: Any = 2, replace: Any = True, p: Any = None, ndim: int | None = None,
    dtype: Any = "int64",
) -> Any:
    """(state after, elements of ``a``, or of 0..a-1)."""
    flag = constant(replace, dtype="int8") if isinstance(replace, bool) else as_expr(replace)
    no_weights = p is None or isinstance(p, (int, list, tuple)) and not p
    weights = constant(np.zeros(0)) if no_weights else as_expr(p)
    return _draw(choice_helper, random_state, dtype, () if size is None else size, ndim, (as_expr(a), flag, weights), 0)


def poisson(
    random_state: Any, size: Any = None, lam: Any = 1.0, ndim: int | None = None, dtype: Any = "int64"
) -> Any:
    """(state after, counts of rare events with mean ``lam``)."""
    return _draw("poisson", random_state, dtype, size, ndim, (as_expr(lam),), 0)


def permutation_helper(random_state: Any, n: Any, size: Any) -> Any:
    """Permutations of 0..n-1 along a last axis behind ``size``."""
    size = () if size is None else tuple(size)
    drawn = np.empty((*size, int(n)), "int64")
    for place in np.ndindex(*size):
        drawn[place] = random_state.permutation(int(n))
    return drawn


def permutation(
    random_state: Any, size: Any = None, n: Any = 1, ndim: int | None = None, dtype: Any = "int64"
) -> Any:
    """(state after, permutations of 0..n-1 along a last axis behind ``size``).

    Raises FuseTypeError where ``ndim`` is not that of the draw.
    """
    if size is None or isinstance(size, tuple) and not size:
        if ndim not in (None, 1):
            raise FuseTypeError(f"one permutation is a vector, ndim is {ndim}")
        ones: tuple[bool, ...] = ()
        sizes: Any = ()
    else:
        _, sizes, ones = infer_ndim_bcast(ndim, size)
    outtype = TensorType(dtype, broadcastable=(*ones, False))
    return RandomFunction(permutation_helper, outtype, ndim_added=1)(random_state, sizes, n)


def multinomial_helper(random_state: Any, n: Any, pvals: Any, size: Any) -> Any:
    """How often each outcome (the last axis of ``pvals``) occurs in ``n`` trials."""
    if size is None:
        size = np.broadcast_shapes(n.shape, pvals.shape[:-1])
    counts = np.broadcast_to(n, size)
    rows = np.broadcast_to(pvals, (*size, pvals.shape[-1])).astype("float64")
    drawn = np.empty(rows.shape, "int64")
    for place in product(*map(range, size)):
        row = rows[place]
        total = row.sum()
        # Rounded probabilities, of float32 above all, may add up to a little more than NumPy takes.
        drawn[place] = random_state.multinomial(counts[place], row / total if 1 < total < 1 + 1e-5 else row)
    return drawn


def multinomial(
    random_state: Any, size: Any = None, n: Any = 1, pvals: Any = (0.5, 0.5), ndim: int | None = None,
    dtype: Any = "int64",
) -> Any:
    """(state after, how often each outcome with probabilities ``pvals`` (last axis) occurs in ``n`` trials)."""
    n, pvals = as_expr(n), as_expr(pvals)
    _, sizes, ones = infer_ndim_bcast(ndim, size, n, pvals[..., 0])
    outtype = TensorType(dtype, broadcastable=(*ones, pvals.type.broadcastable[-1]))
    return RandomFunction(multinomial_helper, outtype, ndim_added=1)(random_state, sizes, n, pvals)


__all__ = [
    "RandomFunction", "RandomStateType", "binomial", "choice", "multinomial", "normal", "permutation", "poisson",
    "random_integers", "random_state_type", "uniform",
]
