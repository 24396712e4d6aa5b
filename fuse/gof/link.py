"""Theano's ``gof.link``: linkers, which make functions of graphs; here each is a mode of ``fuse.function``."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.compiled import function
from fuse.internals import lookup as _lookup
from fuse.mode import Mode

__all__ = ["CLinker", "DualLinker", "Linker", "NumbaLinker", "OpWiseCLinker", "PerformLinker", "VM_Linker"]


class Cell:
    """A place for the value of an input or output of a thunk: ``data`` is what the list ``storage`` holds."""

    def __init__(self, storage: list[Any] | None = None) -> None:
        self.storage = [None] if storage is None else storage

    @property
    def data(self) -> Any:
        """The value."""
        return self.storage[0]

    @data.setter
    def data(self, value: Any) -> None:
        self.storage[0] = value

    value = data


class Linker:
    """Makes a function of a graph: ``linker.accept(graph).make_function()``.

    >>> import fuse, fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> f = PerformLinker().accept(fuse.FunctionGraph([x, y], [x + y])).make_function()
    >>> f([1.0, 2.0], [3.0, 4.0])
    array([4., 6.])
    """

    mode: str | Mode = "FAST_RUN"

    def __init__(self, *_: Any, **__: Any) -> None:
        self.fgraph: Any = None

    def accept(self, fgraph: Any, no_recycling: Any = None, profile: Any = None) -> Linker:
        """A linker of the same kind for this graph."""
        made = type(self)()
        made.fgraph = fgraph
        return made

    def make_function(self, unpack_single: bool = True, **_: Any) -> Callable[..., Any]:
        """The function of the graph's inputs; its one result, or a list of them."""
        if self.fgraph is None:
            raise ValueError("a linker makes functions of a graph: linker.accept(graph).make_function()")
        found = list(self.fgraph.outputs)
        single = unpack_single and len(found) == 1
        inputs = list(self.fgraph.inputs)
        return function(inputs, found[0] if single else found, mode=self.mode, on_unused_input="ignore")

    def make_thunk(
        self, input_storage: Sequence[list[Any]] | None = None, output_storage: Sequence[list[Any]] | None = None,
        storage_map: Any = None,
    ) -> tuple[Callable[[], None], list[Cell], list[Cell]]:
        """What runs the graph once, the places that it reads and those that it writes.

        The lists that hold the values may be given; else they are new.

        >>> import fuse, fuse.tensor as T
        >>> x = T.dscalar("x")
        >>> run, [given], [found] = PerformLinker().accept(fuse.FunctionGraph([x], [x + 1])).make_thunk()
        >>> given.data = 2.0
        >>> run()
        >>> float(found.data)
        3.0
        """
        call = self.make_function(unpack_single=False)
        given, found = [
            [Cell(place) for place in ([None] * len(variables) if places is None else places)]
            for places, variables in ((input_storage, self.fgraph.inputs), (output_storage, self.fgraph.outputs))
        ]

        def thunk() -> None:
            for cell, value in zip(found, call(*[cell.data for cell in given]), strict=True):
                cell.data = value

        return thunk, given, found


class PerformLinker(Linker):
    """One operation after the other, by NumPy."""

    mode = Mode("py", None)


class OpWiseCLinker(Linker):
    """Compiled kernels."""


class DualLinker(Linker):
    """Both ways, whose results are compared."""

    mode = "DebugMode"


CLinker = VM_Linker = NumbaLinker = OpWiseCLinker

__getattr__ = _lookup(__name__)
