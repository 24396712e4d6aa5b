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
    """Ops that work element by element."""

    has = staticmethod(lambda op: op.kind == "elementwise")


class DimShuffle(metaclass=_Family):
    """The op that orders, inserts and drops axes."""

    has = staticmethod(lambda op: op.name == "dimshuffle")


class CAReduce(metaclass=_Family):
    """Reductions: sum, prod, max, min, all, any."""

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
