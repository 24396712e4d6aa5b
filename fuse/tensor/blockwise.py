"""PyTensor's ``tensor.blockwise``: an op of arrays of few axes, for arrays with more axes in front."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseValueError
from fuse.expr import as_expr
from fuse.transforms.mapped import vectorize


class Blockwise:
    """``core_op`` at each entry of the axes in front of those that ``signature`` names, which broadcast as in NumPy.

    The signature may be the op's ``gufunc_signature``. Raises FuseValueError where there is none.

    >>> import fuse.tensor as T
    >>> pairs = Blockwise(T.dot, signature="(n),(n)->()")
    >>> pairs([[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0]).eval()
    array([21., 43.])
    """

    def __init__(self, core_op: Any, signature: str | None = None, name: str | None = None, **_: Any) -> None:
        found = getattr(core_op, "gufunc_signature", None) if signature is None else signature
        if found is None:
            kind = type(core_op).__name__
            raise FuseValueError(f"Signature not provided nor found in core_op {kind}: Blockwise(op, '(n)->()')")
        self.core_op, self.signature, self.name = core_op, found, name
        self._function = vectorize(lambda *args: core_op(*args), signature=found)

    def __call__(self, *inputs: Any, **_: Any) -> Any:
        return self._function(*map(as_expr, inputs))

    def make_node(self, *inputs: Any) -> Any:
        """The application to ``inputs``, with its ``outputs``."""
        found = self(*inputs)
        return (found[0] if isinstance(found, (list, tuple)) else found).owner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blockwise) and (self.core_op, self.signature) == (other.core_op, other.signature)

    def __hash__(self) -> int:
        return hash((Blockwise, self.signature))

    def __repr__(self) -> str:
        return self.name or f"Blockwise{{{self.core_op}, {self.signature}}}"


__all__ = ["Blockwise"]
