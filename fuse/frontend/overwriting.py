"""Theano's ops that work in place: ``T.inplace.exp_inplace(x)`` is ``exp(x)``, whose value a function leaves in ``x``.

That happens in functions which accept it: ``accept_inplace=True``, or ``In(x, mutable=True)``. In others, and where
``x`` is no input, such an op is the plain one.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import INPUT, Expr, as_expr, rebuild, toposort, transform
from fuse.frontend.arithmetic import cast
from fuse.op import DISCONNECTED, elementwise
from fuse.types import DISCRETE

NAME = "overwriting"


def _broadcast(x: Any, y: Any) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(y)))


@elementwise(
    name=NAME, numpy=_broadcast, dtype=lambda *dtypes, **_: (dtypes, dtypes[0]), sympy="x", builtin=True,
    grad=(lambda g, out, x, y: g, DISCONNECTED),
)
def overwriting(x, y):
    """``x``, which takes the place of the input ``y``."""
    return x


class InPlace:
    """The form of an elementwise function that works in place of its first argument, and has its dtype.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> f = fuse.function([x, y], T.inplace.add_inplace(x, y), accept_inplace=True)
    >>> values = np.ones(2)
    >>> f(values, [1.0, 2.0]) is values, values
    (True, array([2., 3.]))
    """

    def __init__(self, plain: Callable[..., Expr], name: str) -> None:
        self.plain = plain
        self.__name__ = name
        self.__doc__ = f"{name.removesuffix('_inplace')}, in place of the first argument."

    def __call__(self, *args: Any, **params: Any) -> Any:
        out = self.plain(*args, **params)
        target = as_expr(args[0])
        while target.op.name == NAME:  # what an op in place left in its argument, another one may leave there
            target = target.args[1]
        if target.op is not INPUT:
            return cast(out, target.type.dtype)
        if out.op.name == "true_div" and all(a.type.dtype in DISCRETE for a in out.args):
            raise FuseTypeError(
                f"{self.__name__} of integers makes a {out.type.describe()}, which has no place in its first argument, "
                f"a {target.type.describe()}: the dtypes differ"
            )
        out = cast(out, target.type.dtype)
        if out.type.ndim != target.type.ndim or any(
            one == 1 and size != 1 for one, size in zip(target.type.shape, out.type.shape, strict=True)
        ):
            raise FuseTypeError(
                f"{self.__name__} makes a {out.type.describe()}, which does not fit in its first argument, "
                f"a {target.type.describe()}"
            )
        return overwriting(out, target)

    def __repr__(self) -> str:
        return self.__name__


@cache
def in_place(plain: Callable[..., Expr], name: str) -> InPlace:
    """``plain``, in place of its first argument; programs ask for it by ``name``."""
    return InPlace(plain, name)


def taken_apart(roots: Sequence[Expr]) -> tuple[list[Expr], dict[Expr, Expr]]:
    """``roots`` with plain ops, and what each input that is written over becomes."""
    written: dict[Expr, Expr] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op.name != NAME:
            return rebuild(node, args) if args else node
        before = written.get(args[1])
        if before is not None and before is not args[0] and before not in set(toposort([args[0]])):
            raise FuseValueError(f"two ops in place write over {args[1]}, and neither takes what the other left")
        written[args[1]] = args[0]
        return args[0]

    if not any(node.op.name == NAME for node in toposort(roots)):
        return list(roots), {}
    return transform(roots, visit), written
