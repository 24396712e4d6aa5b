"""Products of large matrices, and of stacks, in tiles: our threads share them, BLAS multiplies each without its own.

OpenBLAS has kernels for small matrices on processors with AVX-512, which need no preparation; with them a product cut
into tiles is as fast on one core as one whole, often faster, and its threads need not wait for one another: those of
BLAS do, so that a core which is busy elsewhere stops them all. Other libraries get their products whole.

A tile is small enough that BLAS takes no threads for it. What BLAS would read in long strides is copied first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import numpy as np

from fuse.codegen import blas, memory, threads
from fuse.codegen.native import NO_MEMORY, PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH, MUCH_WORK

TILE, DEPTH = 32, 256  # rows and columns of a tile, and how much of the sum one call of BLAS adds up
ROWS, COLUMNS = 256, 128  # of the result that one thread does at a time, with a copy of what it needs of `b`
LEAST = 1 << 19  # multiplications: BLAS has no threads for fewer
FEW = 2  # rows and columns
WIDEST = 1 << 21  # elements of `b`: more are read from memory for each block of rows
EACH = 1 << 16  # multiplications of one matrix of a stack at least
CLASHING = 2048  # bytes: elements so far apart, or a multiple of it, have few places in a cache
REFUSED = 1  # status: this product is not for tiles
SLOTS = 1 + PLAN
PROCESSORS = ("SkylakeX", "Cooperlake", "SapphireRapids")  # OpenBLAS's names of those with AVX-512


def source_of(dtype: str, stacked: bool) -> str:
    """The kernel of ``out = alpha * a @ b + beta * out``, of matrices or stacks of them.

    `turned` is 1 where matrices of `a` are read transposed, 2 where those of `b` are, 3 where both are.

    What was copied is reached from where it stood: one call of BLAS for all forms. What differs between these is
    arithmetic, as LLVM would write the loops once for each outcome of a condition.
    """
    one = "float32(1.0)" if dtype == "float32" else "1.0"
    size, (down, over) = np.dtype(dtype).itemsize, ((1, 2) if stacked else (0, 1))
    layout, count = ("C count", "size(a2, 0)") if stacked else ("C", "1")
    sizes = "count, r0, c0, r1, c1, n0, n2" if stacked else "r0, c0, r1, c1, n0, n2"
    unfit = "" if stacked else f" or n0 < {FEW} or n2 < {FEW} or n1 * n2 > {WIDEST}"
    return f"""def kernel(a0, a1, a2, turned, alpha, beta, part):
    count = {count}
    n0 = size(a2, {down})
    n2 = size(a2, {over})
    left = turned & 1
    right = turned >> 1
    n1 = size(a0, {over}) + left * (size(a0, {down}) - size(a0, {over}))
    r0 = n0 + left * (n1 - n0)
    c0 = n1 + left * (n0 - n1)
    r1 = n1 + right * (n2 - n1)
    c1 = n2 + right * (n1 - n2)
    status = refused('{layout} r0 c0; {layout} r1 c1; {layout} n0 n2', a0, a1, a2, {sizes})
    if status != 0:
        return status
    work = count * n0 * n1 * n2
    if work < {LEAST}{unfit}:
        return {REFUSED}
    if address(a0, 0) % {size} + address(a1, 0) % {size} + address(a2, 0) % {size} > 0:
        return {REFUSED}
    pack0 = left if n0 * {size} % {CLASHING} == 0 else 0
    pack2 = 1 if turned > 1 or n0 > {4 * TILE} else 0
    columns = {COLUMNS} if pack2 == 1 else {TILE}
    strips = (n2 + columns - 1) // columns
    high = (n0 + {ROWS - 1}) // {ROWS}
    rows = ((n0 + high - 1) // high + {TILE - 1}) // {TILE} * {TILE}
    blocks = high * strips
    items = count * blocks
    if part.segment == {ASK} and work * {size} // 4 >= {MUCH_WORK}:
        put(part, 0, 1)
        ask(part, 0)
        tell(part, 1, items, work * {size} // 4, 1, 4)
        return {MUCH}
    room = heap('{dtype}', {DEPTH * (TILE + COLUMNS)})
    if missing(room):
        return {NO_MEMORY}
    packed0 = (address(room, 0) - address(a0, 0)) // {size}
    packed2 = (address(room, {DEPTH * TILE}) - address(a1, 0)) // {size}
    for item in range(part.low, reach(part, items)):
        matrix = item // blocks
        block = item - matrix * blocks
        top = block // strips * rows
        start = block % strips * columns
        from0 = matrix * n0 * n1
        from2 = matrix * n1 * n2
        for level in range((n1 + {DEPTH - 1}) // {DEPTH}):
            p = level * {DEPTH}
            depth = smaller({DEPTH}, n1 - p)
            for panel in range(pack2 * ((smaller(columns, n2 - start) + {TILE - 1}) // {TILE})):
                j = start + panel * {TILE}
                width = smaller({TILE}, n2 - j)
                source = from2 + p * n2 + j + right * (j * (n1 - 1) + p * (1 - n2))
                reorder(right, depth + right * (width - depth), width + right * (depth - width), a1, source,
                        n2 + right * (n1 - n2), room, {DEPTH * TILE} * (1 + panel), width)
            for row in range((smaller(rows, n0 - top) + {TILE - 1}) // {TILE}):
                i = top + row * {TILE}
                height = smaller({TILE}, n0 - i)
                for tile in range(pack0):
                    reorder(0, depth, height, a0, from0 + p * n0 + i, n0, room, 0, height)
                row0 = n1 + left * (n0 - n1) + pack0 * (height - n0)
                plain0 = from0 + i * n1 + p + left * (i * (1 - n1) + p * (n0 - 1))
                at0 = plain0 + pack0 * (packed0 - plain0)
                for tile in range((smaller(columns, n2 - start) + {TILE - 1}) // {TILE}):
                    j = start + tile * {TILE}
                    width = smaller({TILE}, n2 - j)
                    plain2 = from2 + p * n2 + j
                    at2 = plain2 + pack2 * (packed2 + {DEPTH * TILE} * tile - plain2)
                    gemm(left, height, width, depth, alpha, a0, at0, row0, a1, at2, n2 + pack2 * (width - n2),
                         beta if level == 0 else {one}, a2, (matrix * n0 + i) * n2 + j, n2)
    release(room)
    return 0
"""


@cache
def serves(dtype: str) -> bool:
    """Whether products of this dtype are cut into tiles here."""
    if blas.processor() not in PROCESSORS:
        return False
    return all(blas.address(f"{blas.PREFIX}{blas.LETTERS[dtype]}{name}") is not None for name in ("gemm", "omatcopy"))


@cache
def _kernel(dtype: str, rank: int) -> Callable[..., int]:
    from fuse.codegen.load import compile_kernel

    operand, number = ArgType(dtype, rank), ArgType(dtype)
    types = (operand, operand, ArgType(dtype, rank, True), ArgType("int64"), number, number, ArgType(PART, SLOTS))
    return compile_kernel(source_of(dtype, rank > 2), "kernel", types)


def multiply(a: Any, b: Any, out: Any, turned: int, alpha: float = 1.0, beta: float = 0.0) -> bool:
    """``out = alpha * a @ b + beta * out``, if this is a product for tiles; `turned` as for the kernel.

    Workers of ours leave the cores to the threads of BLAS that a large product is otherwise done by. Raises
    MemoryError, as a part of `out` may be done by then.
    """
    if a.size * out.shape[-1] < LEAST:
        return False
    dtype = blas.NAMES.get(out.dtype.char)
    if dtype is not None and serves(dtype):
        status = _kernel(dtype, a.ndim)(a, b, out, turned, alpha, beta)
        if status == NO_MEMORY:
            raise MemoryError("there is no memory for what a product copies of its operands")
        if not status:
            return True
    threads.hush()
    return False


def multiplied(a: Any, b: Any) -> Any:
    """The product of two stacks of matrices in tiles, as ``matmul`` makes it; None where it is not for tiles."""
    if not a.ndim == b.ndim > 2 or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.dtype != b.dtype:
        return None
    shape = (*a.shape[:-1], b.shape[-1])
    dtype = blas.NAMES.get(a.dtype.char)
    if prod(shape[-2:]) * a.shape[-1] < EACH or a.size * shape[-1] < LEAST or dtype is None or not serves(dtype):
        return None
    (x, left), (y, right) = _flat(a), _flat(b)
    out = memory.recycled(shape, a.dtype)
    return out if multiply(x, y, out.reshape(-1, *shape[-2:]), left + 2 * right) else None


def _flat(a: Any) -> tuple[Any, int]:
    """A stack with one leading axis, and 1 where its matrices lie transposed in memory; they are turned round then."""
    turned = not a.flags.c_contiguous and a.swapaxes(-1, -2).flags.c_contiguous
    a = a.swapaxes(-1, -2) if turned else a
    return a.reshape(-1, *a.shape[-2:]), int(turned)
