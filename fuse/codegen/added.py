"""The kernels of ``C + alpha * A @ B``: BLAS adds to the memory of ``C``, small products are loops.

BLAS rounds each of the long sums it is made of to the precision of ``C``; beyond `LONGEST_SUM` terms, where this would
begin to show and a pass more does not, the product is computed by itself. Stored plans make these kernels by name, so
nothing of planning is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import blas, memory, tiles
from fuse.codegen.calls import remembered
from fuse.codegen.native import ArgType
from fuse.codegen.products import TRANSPOSED, SmallProduct, limit, lines_of

Array = Any
LONGEST_SUM = 1024
ROOM = 1024  # elements of a small product


def source_of(dtype: str, left: int, right: int, sign: int) -> str:
    """The kernel ``(c, a, b, alpha, out)`` for these forms of the operands; ``out`` may be ``c``."""
    number = "float32" if dtype == "float32" else "float64"
    first, second = "n1 n0" if left == TRANSPOSED else "n0 n1", "n2 n1" if right == TRANSPOSED else "n1 n2"
    product = "\n".join([" " * 8 + line for line in lines_of(dtype, left, right, "a1", "a2", "product")])
    turned = (left == TRANSPOSED) + 2 * (right == TRANSPOSED)
    row_a, row_b = first.split()[1], second.split()[1]
    large = f" or n0 * n1 * n2 >= {tiles.LEAST}" if tiles.serves(dtype) else ""
    return f"""def kernel(a0, a1, a2, a3, a4):
    n0 = size(a4, 0)
    n2 = size(a4, 1)
    n1 = size(a1, {0 if left == TRANSPOSED else 1})
    status = refused('C n0 n2; C {first}; C {second}; C; C n0 n2', a0, a1, a2, a3, a4, n0, n2, n1)
    if status != 0:
        return status
    if n1 > {LONGEST_SUM} or n0 > {blas.LONGEST} or n2 > {blas.LONGEST}{large}:
        return -1
    end = address(a4, n0 * n2)
    if address(a1, 0) < end and address(a4, 0) < address(a1, n0 * n1):
        return -1
    if address(a2, 0) < end and address(a4, 0) < address(a2, n1 * n2):
        return -1
    alpha = {number}({sign}.0) * load(a3, 0)
    if n0 * n1 * n2 <= {limit(left, right)} and n0 * n2 <= {ROOM}:
        product = scratch('{dtype}', {ROOM})
{product}
        for i in range(n0 * n2):
            independent()
            store(a4, i, load(a0, i) + alpha * load(product, i))
        return 0
    if address(a0, 0) != address(a4, 0):
        for i in range(n0 * n2):
            independent()
            store(a4, i, load(a0, i))
    gemm({turned}, n0, n2, n1, alpha, a1, 0, {row_a}, a2, 0, {row_b}, {number}(1.0), a4, 0, n2)
    return 0
"""


def _sum_source(dtype: str, sign: int) -> str:
    """The kernel ``(c, product, alpha, out)``, for products that were computed by themselves."""
    return f"""def kernel(a0, a1, a2, a3):
    n0 = size(a3, 0)
    n1 = size(a3, 1)
    status = refused('C n0 n1; C n0 n1; C; C n0 n1', a0, a1, a2, a3, n0, n1)
    if status != 0:
        return status
    alpha = {"float32" if dtype == "float32" else "float64"}({sign}.0) * load(a2, 0)
    for i in range(n0 * n1):
        independent()
        store(a3, i, load(a0, i) + alpha * load(a1, i))
    return 0
"""


@cache
def _compiled(source: str, dtype: str, ranks: tuple[int, ...]) -> Callable[..., int]:
    from fuse.codegen.load import compile_kernel

    types = [ArgType(dtype, rank, k == len(ranks) - 1) for k, rank in enumerate(ranks)]
    return compile_kernel(source, "kernel", tuple(types))


class AddedProduct(SmallProduct):
    """The kernel for one dtype, form and sign; compiled when it is first called."""

    sign = 1

    def __call__(self, *arrays: Array) -> int:
        return self.compiled()(*arrays)

    def compiled(self) -> Callable[..., int]:
        if self.kernel is None:
            if blas.address(f"{blas.PREFIX}{blas.LETTERS[self.dtype]}gemm") is None:
                return lambda *arrays: 1
            source = source_of(self.dtype, self.left, self.right, self.sign)
            self.kernel = _compiled(source, self.dtype, (2, 2, 2, 0, 2))
        return self.kernel


@cache
def _added(dtype: str, left: int, right: int, sign: int) -> AddedProduct:
    made = AddedProduct(dtype, left, right)
    made.sign = sign
    return made


@remembered
def added_product(dtype: str, left: int, right: int, sign: int) -> AddedProduct:
    """The kernel of sums of this dtype, of operands of these forms."""
    return _added(dtype, left, right, sign)


def _in_tiles(c: Array, a: Array, b: Array, alpha: float, out: Array, turned: int) -> bool:
    """Whether the whole step was done in tiles."""
    if a.size * out.shape[1] < tiles.LEAST or a.size > LONGEST_SUM * len(out):
        return False
    if c.shape != out.shape or np.may_share_memory(out, a) or np.may_share_memory(out, b):
        return False
    if c is not out:
        np.copyto(out, c)
    return tiles.multiply(a, b, out, turned, alpha, 1.0)


@remembered
def sum_of_product(dtype: str, left: int, right: int, sign: int) -> Callable[..., Any]:
    """The same for any layouts and sizes: in tiles, or NumPy's product, and the sum of it and ``c``."""
    turned = (left == TRANSPOSED) + 2 * (right == TRANSPOSED)

    def call(c: Array, a: Array, b: Array, alpha: Array, out: Array) -> None:
        if _in_tiles(c, a, b, sign * float(alpha), out, turned):
            return
        a, b = (a.T if left == TRANSPOSED else a), (b.T if right == TRANSPOSED else b)
        product = np.dot(a, b, memory.recycled(out.shape, out.dtype))
        if _compiled(_sum_source(dtype, sign), dtype, (2, 2, 0, 2))(c, product, alpha, out):
            np.multiply(product, sign * alpha, product)
            np.add(c, product, out)

    return call
