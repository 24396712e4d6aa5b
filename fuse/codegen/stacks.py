"""Stacks of small matrices outside of loops: solved, inverted and factored by loops of ours, one matrix after another.

NumPy's routines hand one matrix after another to LAPACK, which takes several times what the arithmetic of a small one
does. The text for one matrix is that of compiled loops (`loop_matrices.py`). Few matrices and large ones, and
what LAPACK would refuse, are left to NumPy: which of the two serves depends on sizes alone.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fuse.codegen.calls import opaque_call, remembered
from fuse.expr import Expr, make, variable
from fuse.op import OPS
from fuse.types import TensorType

Array = Any

FEW = 16  # matrices, for which nothing is compiled
ROWS = 8  # of a matrix: up to there this takes half of the time or less
ROWS_OF_TRIANGLES = 48  # for which SciPy has no loop over stacks
_SQUARE, _COLUMNS = ("n", "n"), ("n", "m")
# The sizes of one matrix of each operand, and those of each result.
SHAPES: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]] = {
    "solve": ((_SQUARE, _COLUMNS), (_COLUMNS,)),
    "solve_triangular": ((_SQUARE, _COLUMNS), (_COLUMNS,)),
    "matrix_inverse": ((_SQUARE,), (_SQUARE,)),
    "cholesky": ((_SQUARE,), (_SQUARE,)),
    "det": ((_SQUARE,), ((),)),
    "slogdet": ((_SQUARE,), ((), ())),
}


def has_stacks(node: Expr) -> bool:
    """Whether ``node`` takes stacks of matrices that may be small."""
    if OPS.get(node.op.name) is not node.op or node.op.name not in SHAPES:
        return False
    types = [a.type for a in node.args]
    small = all(n is None or n <= _most_rows(node) for n in types[0].shape[-2:])
    return small and types[0].dtype in ("float64", "float32") and all(
        t.dtype == types[0].dtype and t.ndim > 2 for t in types)


def _most_rows(node: Expr) -> int:
    return ROWS_OF_TRIANGLES if node.op.name == "solve_triangular" else ROWS


class _OneMatrix:
    """What a unit of a loop's body is written with, in the place of `loop_units.Units`: operands are entries of stacks.

    The parameters of the kernel are the stacks, with one leading axis each, results behind operands.
    """

    exact = around_loop = False

    def __init__(self, node: Expr) -> None:
        from fuse.codegen.loop_emit import Place
        from fuse.codegen.loop_matrices import MATRICES

        operands, results = SHAPES[node.op.name]
        parts = [node] if len(results) == 1 else [make(OPS["part"], (node,), {"i": i}) for i in range(len(results))]
        self.arrays = [*node.args, *parts]
        self.shapes = dict(zip(self.arrays, (*operands, *results), strict=True))
        self.root = self
        self.helpers: dict[str, Any] = {}
        self.where: dict[Any, Any] = {}
        self.lines: list[str] = []
        self.memory: list[str] = []
        self.count = 0
        self.values: dict[Expr, Any] = {
            x: Place(f"a{k}", f"at{k}", shape) for k, (x, shape) in enumerate(self.shapes.items()) if shape
        }
        self.given = {node: self.values.get(node)}
        MATRICES[node.op.name](self, node)
        self.operands = len(operands)

    def shape(self, x: Expr) -> tuple[str, ...]:
        return self.shapes[x]

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def place(self, x: Expr) -> Any:
        return self.values[x]

    def new(self, node: Expr) -> Any:
        return self.given[node]

    def scratch(self, dtype: str, shape: Sequence[str]) -> Any:
        from fuse.codegen.loop_emit import Place

        name = self.fresh("memory")
        self.memory.append(f"{name} = scratch({dtype!r}, {ROWS ** len(shape)})")
        return Place(name, "0", tuple(shape))

    @property
    def text(self) -> str:
        names = [f"a{k}" for k in range(len(self.arrays))]
        shapes = list(self.shapes.values())
        numbers = [(k, x) for k, x in enumerate(self.arrays) if not shapes[k]]
        lines = [
            "count = size(a0, 0)", "n = size(a0, 1)", *(["m = size(a1, 2)"] if self.operands == 2 else []),
            *self.memory, "for entry in range(count):",
            *[f"    at{k} = entry * {' * '.join(shape)}" for k, shape in enumerate(shapes) if shape],
            *["    " + line for line in self.lines],
            *[f"    store(a{k}, entry, {self.values[x]})" for k, x in numbers], "return 0",
        ]
        return f"def kernel({', '.join(names)}):\n" + "".join(f"    {line}\n" for line in lines)

    def compiled(self) -> Callable[..., int]:
        from fuse.codegen.load import compile_kernel
        from fuse.codegen.native import ArgType

        types = [
            ArgType(x.type.dtype, 1 + len(shape), k >= self.operands)
            for k, (x, shape) in enumerate(self.shapes.items())
        ]
        return compile_kernel(self.text, "kernel", tuple(types), self.helpers)


@remembered
def stacks_call(node: Expr) -> Callable[..., Any]:
    """An op of stacks of matrices, by a kernel of ours where they are many and small."""
    plain = opaque_call(node)
    dtype, most = node.args[0].type, _most_rows(node)
    operands, results = SHAPES[node.op.name]
    kernels: list[Callable[..., int]] = []

    def call(*args: Array) -> Any:
        found = _stacked(args, most)
        if found is None:
            return plain(*args)
        lead, stacks = found
        if not kernels:
            one = [variable(TensorType(dtype.dtype, (None, None)), None) for _ in operands]
            kernels.append(_OneMatrix(make(node.op, tuple(one), node.params)).compiled())
        n, m = stacks[0].shape[-1], stacks[-1].shape[-1]
        outs = [np.empty(lead + (n, m)[: len(shape)], dtype.numpy_dtype) for shape in results]
        flat = [out.reshape((-1, *out.shape[len(lead):])) for out in outs]
        if kernels[0](*stacks, *flat):
            return plain(*args)  # which tells the error
        return outs[0] if len(outs) == 1 else outs

    return call


def _stacked(args: Sequence[Array], most: int) -> tuple[tuple[int, ...], list[Array]] | None:
    """The leading sizes of the result, and operands with one leading axis; None where NumPy is to be called."""
    n = args[0].shape[-1]
    if not 0 < n <= most or any(a.shape[-2] != n for a in args):
        return None
    lead = args[0].shape[:-2]
    if any(a.shape[:-2] != lead for a in args):
        try:
            lead = np.broadcast_shapes(*[a.shape[:-2] for a in args])
        except ValueError:
            return None
    count = prod(lead)
    if count < FEW:
        return None
    stacks = []
    for a in args:
        wide = a if a.shape[:-2] == lead else np.broadcast_to(a, (*lead, *a.shape[-2:]))
        stacks.append(np.ascontiguousarray(wide).reshape((count, *a.shape[-2:])))
    return lead, stacks
