"""Units of a loop's body that call a function of the user's: ops of a class with `numba_perform`."""
from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fuse.codegen.loop_emit import NotCompiled, Place
from fuse.codegen.text import as_dtype
from fuse.expr import Expr, make
from fuse.op import OPS
from fuse.types import TupleType

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def call_own(w: Writer, node: Expr) -> None:
    """Call the function with numbers and arrays of its inputs, and an array for each result; leave where it raises."""
    from fuse.codegen import array_views

    function = node.op.meta["numba"](node)
    if function is None:
        raise NotCompiled(node.op.name)
    results = [node]
    if isinstance(node.type, TupleType):
        results = [make(OPS["part"], (node,), {"i": i}) for i in range(len(node.type.elements))]
    for value in (*node.args, *results):
        if value.type.dtype == "float16":
            raise NotCompiled("half floats in Numba")
    arguments: list[tuple[str, Any]] = []
    for arg in node.args:
        if arg.type.ndim == 0:
            arguments.append((as_dtype(w.number(arg), arg.type.dtype), array_views.type_of(arg.type.dtype)))
        else:
            arguments.append(_array(w.place(arg), arg.type.dtype, writable=False))
    for value in results:
        if value not in w.sizes.of:
            w.sizes.of[value] = w.sizes.sizes_of(value)
        place = w.values[value] = w.new(value) if value.type.ndim else w.scratch(value.type.dtype, ())
        arguments.append(_array(place, value.type.dtype, writable=True))
    try:
        called = array_views.guarded(function, [kind for _, kind in arguments])
    except Exception as error:  # whatever Numba has to say about a function of the user's
        text = f"numba_perform of {node.op} does not compile, so its loop runs step by step: {error}"
        warnings.warn(text, stacklevel=2)
        raise NotCompiled(text) from error
    name, failed = w.fresh("own"), w.fresh("failed")
    w.root.helpers |= {name: called, **array_views.ARRAYS}
    w.lines += [f"{failed} = {name}({', '.join(text for text, _ in arguments)})", f"if {failed} != 0:", "    return 3"]


def _array(place: Place, dtype: str, writable: bool) -> tuple[str, Any]:
    """An array as text, and Numba's type of it."""
    from fuse.codegen import array_views

    def listed(texts: Sequence[str]) -> str:
        return f"({', '.join([f'int64({t})' for t in texts])}{',' if len(texts) == 1 else ''})"

    layout, shape = "C" if place.strides is None else "A", place.shape
    strides = [place.stride(d) for d in range(len(shape))]
    text = f"{array_views.name_of(layout, writable)}({place.buffer}, int64({place.offset}), {listed(shape)}, "
    return text + f"{listed(strides)})", array_views.type_of(dtype, len(shape), layout, writable)
