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
from fuse.codegen.native import PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH

TILE, DEPTH = 32, 256  # rows and columns of a tile, and how much of the sum one call of BLAS adds up
ROWS, COLUMNS = 128, 128  # of the result that one thread does at a time; more rows are worth a copy of `b`
LEAST = 1 << 19  # multiplications: BLAS has no threads for fewer
FEW = 16  # rows or columns: below, BLAS does better
WIDEST = 1 << 21  # elements that are read again for each block of rows: more are read from memory
EACH, WIDEST_STACKS = 1 << 16, 1 << 23  # of stacks: multiplications of one matrix at least, and elements copied at most
REFUSED = 1  # status: this product is not for tiles
SLOTS = 1 + 2 * PLAN
PROCESSORS = ("SkylakeX", "Cooperlake", "SapphireRapids")  # OpenBLAS's names of those with AVX-512


def source_of(dtype: str, stacked: bool) -> str:
    """The kernel of ``out = alpha * a @ b + beta * out``, of matrices or stacks of them.

    `turned` is 1 where matrices of `a` are read transposed, 2 where those of `b` are, 3 where both are.

    Operands that were copied are reached from where they were: one call of BLAS for all forms. What differs between
    them is arithmetic, as LLVM would write the loops once for each outcome of a condition.
    """
    one = "float32(1.0)" if dtype == "float32" else "1.0"
    size, (down, over) = np.dtype(dtype).itemsize, ((1, 2) if stacked else (0, 1))
    layout, count = ("C count", "size(a2, 0)") if stacked else ("C", "1")
    sizes = "count, r0, c0, r1, c1, n0, n2" if stacked else "r0, c0, r1, c1, n0, n2"
    read_again = "packs * n2" if stacked else "n2"
    few, widest = (1, WIDEST_STACKS) if stacked else (FEW, WIDEST)
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
    packs = 1 if turned > 1 or n0 > {ROWS} else 0
    copied = count * n1 * ({read_again} + left * n0)
    if work < {LEAST} or n0 < {few} or n2 < {few} or copied > {widest}:
        return {REFUSED}
    if address(a0, 0) % {size} + address(a1, 0) % {size} + address(a2, 0) % {size} > 0:
        return {REFUSED}
    panels0 = left * ((n0 + {TILE - 1}) // {TILE})
    each = panels0 + packs * ((n2 + {TILE - 1}) // {TILE})
    panels = count * each
    apart = each * {TILE} * n1
    columns = {COLUMNS} if packs == 1 else {TILE}
    strips = (n2 + columns - 1) // columns
    blocks = (n0 + {ROWS - 1}) // {ROWS} * strips
    items = count * blocks
    if part.segment == {ASK}:
        put(part, 0, 2)
        ask(part, {size} * count * apart)
        tell(part, 1, panels, {2 * size} * count * apart, 1, 4)
        tell(part, 2, items, work * {size} // 4, 1, 4)
        return {MUCH}
    room = lent(part, '{dtype}', 0)
    if wanted(part, 1):
        for panel in range(part.low, reach(part, panels)):
            matrix = panel // each
            number = panel - matrix * each
            second = 1 if number >= panels0 else 0
            turn = second * right
            n = n0 + second * (n2 - n0)
            at = (number - second * panels0) * {TILE}
            width = smaller({TILE}, n - at)
            source = matrix * n1 * n + at * (1 + turn * (n1 - 1)) + second * (address(a1, 0) - address(a0, 0)) // {size}
            reorder(turn, n1 + turn * (width - n1), width + turn * (n1 - width), a0, source, n + turn * (n1 - n),
                    room, panel * {TILE} * n1, width)
    if wanted(part, 2):
        packed0 = (address(room, 0) - address(a0, 0)) // {size}
        packed2 = (address(room, 0) - address(a1, 0)) // {size} + panels0 * {TILE} * n1
        for item in range(part.low, reach(part, items)):
            matrix = item // blocks
            block = item - matrix * blocks
            top = block // strips * {ROWS}
            start = block % strips * columns
            from0 = matrix * n0 * n1 + left * (packed0 + matrix * (apart - n0 * n1))
            from2 = matrix * n1 * n2 + packs * (packed2 + matrix * (apart - n1 * n2))
            across = (smaller(columns, n2 - start) + {TILE - 1}) // {TILE}
            tiles = (smaller({ROWS}, n0 - top) + {TILE - 1}) // {TILE} * across
            for level in range((n1 + {DEPTH - 1}) // {DEPTH}):
                p = level * {DEPTH}
                for tile in range(tiles):
                    i = top + tile // across * {TILE}
                    j = start + tile % across * {TILE}
                    height = smaller({TILE}, n0 - i)
                    width = smaller({TILE}, n2 - j)
                    at0 = from0 + i * n1 + p + left * p * (height - 1)
                    at2 = from2 + p * n2 + j + packs * (j * (n1 - 1) + p * (width - n2))
                    gemm(left, height, width, smaller({DEPTH}, n1 - p), alpha, a0, at0, n1 + left * (height - n1),
                         a1, at2, n2 + packs * (width - n2), beta if level == 0 else {one},
                         a2, (matrix * n0 + i) * n2 + j, n2)
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

    Workers of ours leave the cores to the threads of BLAS that a large product is otherwise done by.
    """
    if a.size * out.shape[-1] < LEAST:
        return False
    dtype = blas.NAMES.get(out.dtype.char)
    if dtype is not None and serves(dtype) and not _kernel(dtype, a.ndim)(a, b, out, turned, alpha, beta):
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
