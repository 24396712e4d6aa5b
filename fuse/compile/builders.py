"""Theano's ``compile.builders``: ops made of graphs."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.autodiff.from_graph import OpFromGraph as OpFromGraph
from fuse.errors import FuseTypeError, MethodNotDefined
from fuse.expr import Expr, as_expr


class SymbolicOp(OpFromGraph):
    """PyTensor's OpFromGraph by class: ``build_inner_graph(*inputs)`` gives the outputs for the types of a call.

    ``__props__`` are arguments by name. Raises FuseTypeError for other arguments than these and OpFromGraph's.

    >>> import fuse.tensor as T
    >>> class Double(SymbolicOp):
    ...     def build_inner_graph(self, x):
    ...         return [x + x]
    >>> Double()(T.dvector("x"))
    x + x
    """

    __props__: tuple[str, ...] = ()

    def __init__(self, input_types: Sequence[Any] | None = None, **kwargs: Any) -> None:
        for name in self.__props__:
            if name not in kwargs and not hasattr(self, name):
                raise FuseTypeError(f"{type(self).__name__} needs {name}=")
            if name in kwargs:
                setattr(self, name, kwargs.pop(name))
        self._options = kwargs
        self._types: list[Any] | None = None if input_types is None else list(input_types)
        if self._types is not None:
            inputs = [t() for t in self._types]
            super().__init__(inputs, list(self.build_inner_graph(*inputs)), **kwargs)
        self.name = kwargs.get("name") or type(self).__name__

    @staticmethod
    def filter_inputs(*inputs: Any) -> Any:
        """The arguments of a call as variables."""
        return [as_expr(i) for i in inputs]

    def build_inner_graph(self, *inputs: Expr) -> Sequence[Expr]:
        """The outputs for ``inputs``."""
        raise MethodNotDefined(
            f"{type(self).__name__} has no build_inner_graph(*inputs): write it; it returns the outputs"
        )

    def _for(self, given: Sequence[Expr]) -> SymbolicOp:
        """The op for the types of ``given``."""
        types = [i.type for i in given]
        if self._types == types:
            return self
        return type(self)(types, **self._options, **{name: getattr(self, name) for name in self.__props__})

    def __call__(self, *args: Any, **_: Any) -> Any:
        given = self.filter_inputs(*args)
        return super(SymbolicOp, self._for(given)).__call__(*given)

    def make_node(self, *args: Any) -> Any:
        """The application of the graph as one op."""
        given = self.filter_inputs(*args)
        return super(SymbolicOp, self._for(given)).make_node(*given)

    def _key(self) -> Any:
        return type(self), self._types, [getattr(self, name) for name in self.__props__]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolicOp) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(type(self))
