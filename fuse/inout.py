"""In and Out: what a function takes and gives, with options."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, origin_text
from fuse.expr import Expr, TensorVariable, as_expr
from fuse.types import TensorType


class In:
    """An input of a function with options.

    * ``name``: the keyword of the call (default: the variable's name);
    * ``value``: what the input is when the call does not give it;
    * ``update``: an expression that becomes the value for the next call;
    * ``strict``: take only arrays of exactly the dtype; ``allow_downcast``: cast even where precision is lost
      (None: only a Python float into floatX);
    * ``mutable``: the function may overwrite the array of a call; a result then stands in its memory where it can.
      Arrays that are ``value`` are never overwritten, but by an op in place (``accept_inplace=True``);
    * ``borrow``: results may be the array of a call itself, which is so where it is mutable;
    * ``autoname``, ``implicit``, ``shared``: accepted.

    >>> import fuse, fuse.tensor as T
    >>> x, step = T.dscalars("x", "step")
    >>> f = fuse.function([x, fuse.In(step, value=1.0)], x + step)
    >>> float(f(2.0)), float(f(2.0, step=5.0))
    (3.0, 7.0)
    """

    def __init__(
        self,
        variable: Expr,
        name: str | None = None,
        value: Any = None,
        update: Expr | None = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        autoname: bool = True,
        implicit: bool | None = None,
        borrow: bool | None = None,
        shared: bool = False,
    ) -> None:
        if not isinstance(variable, Expr):
            raise FuseTypeError(f"an input is a symbolic variable, not {type(variable).__name__} {variable!r:.60}")
        if name is not None and not isinstance(name, str):
            raise FuseTypeError(f"the name of an input is a string, not {type(name).__name__} {name!r:.60}")
        if isinstance(value, TensorVariable):
            raise FuseTypeError(
                f"the value of an input is an array or a shared variable, not the expression {value!r:.60}: inputs are "
                "one list, function([x, y], ...), and givens={x: expression} stands for an input"
            )
        self.variable = variable
        self.name = name if name is not None else variable.name if autoname else None
        self.value = value
        self.update = None if update is None else as_expr(update)
        if self.update is not None and rank_of(self.update.type) != rank_of(variable.type):
            raise FuseTypeError(
                f"the update of an input has its rank: {name or variable.name or 'the input'} is a "
                f"{variable.type.describe()}, the update a {self.update.type.describe()}"
            )
        self.strict = strict
        self.allow_downcast = allow_downcast
        self.mutable = bool(mutable)
        self.borrow = self.mutable or bool(borrow)
        if mutable and borrow is not None and not borrow:
            warnings.warn(
                f"the input {named(variable)} is mutable, so results may be in its memory: borrow=False has no effect",
                stacklevel=2,
            )
        self.implicit = bool(implicit)

    @property
    def type(self) -> TensorType:
        return self.variable.type

    def filter(self, value: Any) -> np.ndarray[Any, Any]:
        """``value`` as an array of the input's type."""
        return self.type.filter(value, strict=self.strict, allow_downcast=self.allow_downcast)

    def __repr__(self) -> str:
        return f"In({self.name or self.variable.type.describe()})"


def rank_of(type_: Any) -> Any:
    """The rank of arrays; a type of other objects as it is."""
    return type_.ndim if isinstance(type_, TensorType) else type_


class Out:
    """An output with options; ``borrow`` is accepted, and nothing is lost without it.

    Outputs are new arrays, in memory that results had which were dropped; or what the call gives as ``out=``, or in the
    memory of an input that is ``mutable``. Theano's borrowed outputs are overwritten by the next call: these never are.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.function([x], Out(x**2, borrow=True))(3.0))
    9.0
    """

    def __init__(self, variable: Any, borrow: bool = False) -> None:
        self.variable = as_expr(variable)
        self.borrow = borrow

    def __repr__(self) -> str:
        return f"Out({self.variable.name or self.variable.type.describe()})"


def named(expr: Expr, kind: str = "") -> str:
    """The name; where there is none ``a KIND without a name``, or ``without a name`` after a noun, and the line."""
    if expr.name:
        return expr.name
    made = f"without a name ({expr.type.describe()}, made at {origin_text(expr.origin)})"
    return f"a {kind} {made}" if kind else made
