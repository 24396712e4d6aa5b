"""Products of large matrices in tiles: fuse's threads share them, and BLAS multiplies each without threads of its own.

OpenBLAS has kernels for small matrices on processors with AVX-512, which need no preparation; with them a product cut
into tiles is as fast on one core as one whole, often faster, and its threads need not wait for one another: those of
BLAS do, so that a core which is busy elsewhere stops them all. Other libraries get their products whole.

A tile is small enough that BLAS takes no threads for it. What BLAS would read in long strides is copied first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import blas, threads
from fuse.codegen.native import PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH

TILE, DEPTH = 32, 256  # rows and columns of a tile, and how much of the sum one call of BLAS adds up
ROWS, COLUMNS = 128, 128  # of the result that one thread does at a time; more rows are worth a copy of `b`
LEAST = 1 << 19  # multiplications: BLAS has no threads for fewer
FEW = 16  # rows or columns: below, BLAS does better
WIDEST = 1 << 21  # elements of the second operand: more are to be read from memory for each block of rows
REFUSED = 1  # status: this product is not for tiles
SLOTS = 1 + 2 * PLAN
PROCESSORS = ("SkylakeX", "Cooperlake", "SapphireRapids")  # OpenBLAS's names of those with AVX-512


def source_of(dtype: str) -> str:
    """The kernel of ``out = alpha * a @ b + beta * out``; `turned`: 1 where `a` is read transposed, 2 where `b` is, 3.

    Operands that were copied are reached from where they were: one call of BLAS for all forms. What differs between
    them is arithmetic, as LLVM would write the loops once for each outcome of a condition.
    """
    one = "float32(1.0)" if dtype == "float32" else "1.0"
    size = np.dtype(dtype).itemsize
    return f"""def kernel(a0, a1, a2, turned, alpha, beta, part):
    n0 = size(a2, 0)
    n2 = size(a2, 1)
    left = turned & 1
    right = turned >> 1
    n1 = size(a0, 1) + left * (size(a0, 0) - size(a0, 1))
    r0 = n0 + left * (n1 - n0)
    c0 = n1 + left * (n0 - n1)
    r1 = n1 + right * (n2 - n1)
    c1 = n2 + right * (n1 - n2)
    status = refused('C r0 c0; C r1 c1; C n0 n2', a0, a1, a2, r0, c0, r1, c1, n0, n2)
    if status != 0:
        return status
    if n0 * n1 * n2 < {LEAST} or n0 < {FEW} or n2 < {FEW} or n1 * n2 > {WIDEST} or left * n0 * n1 > {WIDEST}:
        return {REFUSED}
    if address(a0, 0) % {size} + address(a1, 0) % {size} + address(a2, 0) % {size} > 0:
        return {REFUSED}
    packs = 1 if turned > 1 or n0 > {ROWS} else 0
    panels0 = left * ((n0 + {TILE - 1}) // {TILE})
    panels = panels0 + packs * ((n2 + {TILE - 1}) // {TILE})
    columns = {COLUMNS} if packs == 1 else {TILE}
    strips = (n2 + columns - 1) // columns
    items = (n0 + {ROWS - 1}) // {ROWS} * strips
    if part.segment == {ASK}:
        put(part, 0, 2)
        ask(part, {size} * {TILE} * n1 * panels)
        tell(part, 1, panels, {2 * size} * {TILE} * n1 * panels, 1, 4)
        tell(part, 2, items, n0 * n1 * n2 * {size} // 4, 1, 4)
        return {MUCH}
    room = lent(part, '{dtype}', 0)
    if wanted(part, 1):
        for panel in range(part.low, reach(part, panels)):
            second = 1 if panel >= panels0 else 0
            turn = second * right
            n = n0 + second * (n2 - n0)
            at = (panel - second * panels0) * {TILE}
            width = smaller({TILE}, n - at)
            source = second * (address(a1, 0) - address(a0, 0)) // {size} + at * (1 + turn * (n1 - 1))
            reorder(turn, n1 + turn * (width - n1), width + turn * (n1 - width), a0, source, n + turn * (n1 - n),
                    room, panel * {TILE} * n1, width)
    if wanted(part, 2):
        packed0 = (address(room, 0) - address(a0, 0)) // {size}
        packed2 = (address(room, 0) - address(a1, 0)) // {size} + panels0 * {TILE} * n1
        for item in range(part.low, reach(part, items)):
            top = item // strips * {ROWS}
            start = item % strips * columns
            across = (smaller(columns, n2 - start) + {TILE - 1}) // {TILE}
            tiles = (smaller({ROWS}, n0 - top) + {TILE - 1}) // {TILE} * across
            for level in range((n1 + {DEPTH - 1}) // {DEPTH}):
                p = level * {DEPTH}
                for tile in range(tiles):
                    i = top + tile // across * {TILE}
                    j = start + tile % across * {TILE}
                    height = smaller({TILE}, n0 - i)
                    width = smaller({TILE}, n2 - j)
                    at0 = i * n1 + p + left * (packed0 + p * (height - 1))
                    at2 = p * n2 + j + packs * (packed2 + j * (n1 - 1) + p * (width - n2))
                    gemm(left, height, width, smaller({DEPTH}, n1 - p), alpha, a0, at0, n1 + left * (height - n1),
                         a1, at2, n2 + packs * (width - n2), beta if level == 0 else {one}, a2, i * n2 + j, n2)
    return 0
"""


@cache
def serves(dtype: str) -> bool:
    """Whether products of this dtype are cut into tiles here."""
    if blas.processor() not in PROCESSORS:
        return False
    return all(blas.address(f"{blas.PREFIX}{blas.LETTERS[dtype]}{name}") is not None for name in ("gemm", "omatcopy"))


@cache
def _kernel(dtype: str) -> Callable[..., int]:
    from fuse.codegen.load import compile_kernel

    matrix, number = ArgType(dtype, 2), ArgType(dtype)
    types = (matrix, matrix, ArgType(dtype, 2, True), ArgType("int64"), number, number, ArgType(PART, SLOTS))
    return compile_kernel(source_of(dtype), "kernel", types)


def multiply(a: Any, b: Any, out: Any, turned: int, alpha: float = 1.0, beta: float = 0.0) -> bool:
    """``out = alpha * a @ b + beta * out``, if this is a product for tiles; `turned` as for the kernel.

    Workers of ours leave the cores to the threads of BLAS that a large product is otherwise done by.
    """
    if a.size * out.shape[1] < LEAST:
        return False
    dtype = out.dtype.name
    if dtype in blas.LETTERS and serves(dtype) and not _kernel(dtype)(a, b, out, turned, alpha, beta):
        return True
    threads.hush()
    return False
