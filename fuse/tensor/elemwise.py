"""Theano's ``tensor.elemwise``: classes of ops, for ``isinstance(node.op, Elemwise)``."""
from __future__ import annotations

from typing import Any

from fuse.expr import _LeafOp
from fuse.op import Op


class _Family(type):
    """A class whose instances are the op records that its ``has`` accepts."""

    def __instancecheck__(cls, op: Any) -> bool:
        return isinstance(op, (Op, _LeafOp)) and bool(cls.has(op))  # type: ignore[attr-defined]


class Elemwise(metaclass=_Family):
    """Ops that work element by element.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> isinstance((x + 1).owner.op, Elemwise), isinstance(x.sum().owner.op, Elemwise)
    (True, False)
    """

    has = staticmethod(lambda op: op.kind == "elementwise")


class DimShuffle(metaclass=_Family):
    """The op that orders, inserts and drops axes.

    >>> import fuse.tensor as T
    >>> isinstance(T.dmatrix("m").T.owner.op, DimShuffle)
    True
    """

    has = staticmethod(lambda op: op.name == "dimshuffle")


class CAReduce(metaclass=_Family):
    """Reductions: sum, prod, max, min, all, any.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> isinstance(x.sum().owner.op, CAReduce), isinstance((x + 1).owner.op, CAReduce)
    (True, False)
    """

    has = staticmethod(lambda op: op.kind == "reduction")


CAReduceDtype = CAReduce


class Sum(metaclass=_Family):
    """The sum."""

    has = staticmethod(lambda op: op.name == "sum")


class Prod(metaclass=_Family):
    """The product."""

    has = staticmethod(lambda op: op.name == "prod")


class Join(metaclass=_Family):
    """The op that joins along an axis."""

    has = staticmethod(lambda op: op.name == "join")


class Dot(metaclass=_Family):
    """The matrix product."""

    has = staticmethod(lambda op: op.name == "dot")
