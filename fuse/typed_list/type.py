"""The type of lists whose entries have one type."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr
from fuse.typebase import Type


class TypedListType(Type):
    """The type of lists of values of ``ttype``; with a ``depth``, of lists of lists of them.

    >>> import fuse, fuse.tensor as T
    >>> entries = TypedListType(T.dvector)("entries")
    >>> fuse.function([entries], entries[1] * 2)([[1.0], [2.0, 3.0]])
    array([4., 6.])
    """

    __props__ = ("ttype",)

    def __init__(self, ttype: Any, depth: int = 0) -> None:
        if depth < 0:
            raise FuseTypeError(f"the depth of a list of lists is at least 0, not {depth}")
        if not isinstance(ttype, Type):
            raise FuseTypeError(f"a typed list has a type for its entries, not {ttype!r:.40}")
        self.ttype = TypedListType(ttype, depth - 1) if depth else ttype

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> list[Any]:
        """``value`` as a list of valid entries; FuseTypeError where it is no list."""
        if not isinstance(value, list):
            raise FuseTypeError(f"a list is needed for {self}, not {type(value).__name__}")
        return [self.ttype.filter(v, strict=strict, allow_downcast=allow_downcast) for v in value]

    def get_depth(self) -> int:
        """How many lists stand around the lists of entries."""
        return self.ttype.get_depth() + 1 if isinstance(self.ttype, TypedListType) else 0

    def values_eq(self, a: Any, b: Any) -> bool:
        """Whether two lists have equal entries."""
        return len(a) == len(b) and all(map(self.ttype.values_eq, a, b))

    def copied(self, value: Any) -> list[Any]:
        return [self.ttype.copied(v) for v in value]

    def getitem(self, x: Expr, index: Any) -> Expr:
        """``x[index]`` of a variable of this type."""
        from fuse.typed_list.basic import getitem

        return getitem(x, index)

    def __str__(self) -> str:
        return f"TypedList <{self.ttype}>"
