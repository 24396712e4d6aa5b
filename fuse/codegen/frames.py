"""Frames: of an array whose inner part is stored next, only what lies around that part is copied, or cleared.

There is one kernel for each dtype and rank, for contiguous arrays; whatever else comes is copied as a whole by NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import memory
from fuse.codegen.calls import remembered
from fuse.codegen.native import ArgType
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Array = Any
DTYPES = ("float64", "float32", "int64", "int32")
FEW = 1 << 20  # bytes of an array that NumPy copies while no kernel was made for it


def margins(node: Expr) -> tuple[int, ...] | None:
    """How many elements stand before and after the part that a set_subtensor stores, along each axis in turn.

    None where the part is no contiguous run of positions between two known margins, or surely a small one.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> margins(T.set_subtensor(x[1:-2], 0.0)), margins(T.set_subtensor(x[:1], 0.0))
    ((1, 2, 0, 0), None)
    """
    if node.op.name != "set_subtensor" or node.type.dtype not in DTYPES:
        return None
    found: list[int] = []
    for entry, size in zip(node.params["spec"], node.type.shape, strict=False):
        if entry[0] != "slice" or entry[3] not in (None, 1) or any(isinstance(v, tuple) for v in entry[1:]):
            return None
        _, start, stop, _ = entry
        if size is not None:
            start, stop, _ = slice(start, stop).indices(size)
            stop = None if max(start, stop) == size else max(start, stop) - size
        start = 0 if start is None else start
        stop = 0 if stop is None else stop
        if start < 0 or stop > 0 or stop == 0 and entry[2] == 0 or size is not None and 2 * (start - stop) > size:
            return None
        found += [start, -stop]
    return (*found, *[0, 0] * (node.type.ndim - len(found) // 2)) if any(found) else None


def source_of(ndim: int, cleared: bool, zero: str) -> str:
    """The kernel for arrays of this rank: of two arrays, or of one that is cleared."""
    sizes = [f"n{d}" for d in range(ndim)]
    arrays = ["a0"] if cleared else ["a0", "a1"]
    bounds = [name for d in range(ndim) for name in (f"low{d}", f"high{d}")]
    layouts = "; ".join([f"C {' '.join(sizes)}"] * len(arrays))
    lines = [f"{n} = size(a0, {d})" for d, n in enumerate(sizes)]
    lines += [f"status = refused('{layouts}', {', '.join([*arrays, *sizes])})", "if status != 0:", "    return status"]
    indent, at = "", ""
    for d in range(ndim):
        lines += [
            f"{indent}s{d} = smaller(low{d}, n{d})",
            f"{indent}e{d} = larger(s{d}, n{d} - high{d})",
        ]
        inner = sizes[d + 1 :]
        row = " * ".join(inner)
        base = f"({at}) * n{d}" if at else ""
        for begin, end in (("0", f"s{d}"), (f"e{d}", f"n{d}")):
            if inner:
                begin, end = (f"{v} * {row}" if v != "0" else v for v in (begin, end))
            place = f"{base} * {row} + k" if base and inner else f"{base} + k" if base else "k"
            value = zero if cleared else f"load(a1, {place})"
            lines += [f"{indent}for k in range({begin}, {end}):", f"{indent}    store(a0, {place}, {value})"]
        if inner:
            lines.append(f"{indent}for i{d} in range(s{d}, e{d}):")
            indent += "    "
            at = f"({at}) * n{d} + i{d}" if at else f"i{d}"
    lines.append("return 0")
    return f"def kernel({', '.join([*arrays, *bounds])}):\n" + "".join(f"    {line}\n" for line in lines)


class Frame:
    """The kernel for one dtype and rank; compiled when a large array comes, or a function is called often."""

    def __init__(self, dtype: str, ndim: int, cleared: bool) -> None:
        self.dtype, self.ndim, self.cleared = dtype, ndim, cleared
        self.kernel: Callable[..., int] | None = None

    def __call__(self, new: Array, *rest: Any) -> int:
        if self.kernel is None and new.nbytes < FEW:
            return 1
        return self.compiled()(new, *rest)

    def compiled(self) -> Callable[..., int]:
        if self.kernel is None:
            from fuse.codegen.load import compile_kernel

            zero = "0" if self.dtype.startswith("int") else "0.0"
            text = source_of(self.ndim, self.cleared, zero if self.dtype.endswith("64") else f"{self.dtype}({zero})")
            arrays = [ArgType(self.dtype, self.ndim, True)] + [ArgType(self.dtype, self.ndim)] * (not self.cleared)
            numbers = [ArgType("int64", None)] * (2 * self.ndim)
            self.kernel = compile_kernel(text, "kernel", (*arrays, *numbers))
        return self.kernel


@cache
def _frame(dtype: str, ndim: int, cleared: bool) -> Frame:
    return Frame(dtype, ndim, cleared)


@remembered
def frame(dtype: str, ndim: int, cleared: bool) -> Frame:
    """The kernel that copies, or clears, what lies around the inner part of arrays of this dtype and rank."""
    return _frame(dtype, ndim, cleared)


def whole(new: Array, source: Array, *margins: int) -> tuple[Array]:
    """A copy of all of ``source``, in its order of memory, in place of ``new``."""
    return (memory.copied(source),)


def cleared(new: Array, *margins: int) -> tuple[Array]:
    """``new`` itself, all of it cleared."""
    np.copyto(new, 0)
    return (new,)


def around(writer: Writer, node: Expr, arrays: list[str], margins: tuple[int, ...]) -> None:
    """Emit what fills the first array but for the part that is stored next: with zeros, or from the second one."""
    is_cleared = len(arrays) == 1
    kernel = writer.give("frame", frame(node.type.dtype, node.type.ndim, is_cleared))
    general = writer.give("fill", cleared if is_cleared else whole)
    arguments = ", ".join([*arrays, *map(str, margins)])
    writer.line(f"if {kernel}({arguments}): {arrays[0]}, = {general}({arguments})")
