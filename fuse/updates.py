"""OrderedUpdates: a dict from shared variables to expressions that refuses two updates of one variable."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from fuse.errors import DoubleUpdateError, FuseTypeError
from fuse.expr import Expr


class OrderedUpdates(OrderedDict[Any, Any]):
    """Updates in the order given; ``+`` and ``update`` join two and raise where both update one variable.

    >>> import fuse
    >>> a, b = fuse.shared(1.0, "a"), fuse.shared(2.0, "b")
    >>> both = OrderedUpdates({a: a + 1}) + OrderedUpdates({b: b * 2})
    >>> [target.name for target in both]
    ['a', 'b']
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, Expr) or key.op.name != "shared":
            raise FuseTypeError(f"the keys of updates are shared variables, not {type(key).__name__} {key!r:.60}")
        super().__setitem__(key, value)

    def update(self, *others: Any, **_: Any) -> None:
        for other in others:
            pairs: Iterable[tuple[Any, Any]] = other.items() if hasattr(other, "items") else other
            for key, value in pairs:
                if key in self and self[key] is not value:
                    raise DoubleUpdateError(f"two updates of the shared variable {key.name or key}: give it one")
                self[key] = value

    def __add__(self, other: Any) -> OrderedUpdates:
        joined = OrderedUpdates()
        joined.update(self)
        joined.update(other)
        return joined

    def __radd__(self, other: Any) -> OrderedUpdates:
        joined = OrderedUpdates()
        joined.update(other)
        joined.update(self)
        return joined
