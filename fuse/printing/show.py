"""Print: an identity that prints its value each time a compiled function computes it."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.expr import Expr, as_expr
from fuse.op import Op, register

Writer = Callable[["Print", Any], None]


def _print_fn(op: Print, value: Any) -> None:
    for attr in op.attrs:
        found = getattr(value, attr)
        print(op.message, attr, "=", found() if callable(found) else found)


class Print:
    """``Print("message")(x)`` is ``x``, and prints it at run time: "message __str__ = [1. 2.]".

    ``attrs`` names what is printed of the array (attributes, or methods without arguments: ``("shape", "min")``).
    ``global_fn(op, value)`` may do something else with the value. The gradient passes through unchanged.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> y = fuse.printing.Print("x is", attrs=("shape",))(x)
    >>> (2 * y).eval({x: [1.0, 2.0]})
    x is shape = (2,)
    array([2., 4.])
    """

    def __init__(self, message: str = "", attrs: Sequence[str] = ("__str__",), global_fn: Writer = _print_fn) -> None:
        self.message, self.attrs, self.global_fn = message, tuple(attrs), global_fn

    def _key(self) -> tuple[Any, ...]:
        return self.message, self.attrs, self.global_fn

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Print) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Print({self.message!r})"

    def __call__(self, x: Any) -> Expr:
        return PRINT(as_expr(x), how=self)


def _show(value: Any, how: Print) -> Any:
    how.global_fn(how, value)
    return value


PRINT = register(Op(
    name="print", kind="view", numpy=_show, infer=lambda x, how: x.type, shape=lambda node, sizes: sizes,
    grad=lambda g, out, x, how: (g,), jvp=lambda tangents, out, x, how: tangents[0], nargs=1,
    doc="The identity, which prints its argument.",
))
