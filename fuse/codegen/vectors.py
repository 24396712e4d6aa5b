"""Large products with vectors: loops of ours, which our threads share.

BLAS has threads of its own for these, that wait for one another, so that a core which is busy elsewhere stops them all:
a product of 10 microseconds then takes as many milliseconds. On one core loops of ours take as long as BLAS, or up to
a third longer (float32).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import blas, threads
from fuse.codegen.native import PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH, MUCH_WORK

LEAST = 10_000, 1 << 17, 1 << 17  # multiplications of each form; BLAS has no threads for fewer, or does well with them
BLOCK = 4096  # elements whose products are added up by themselves
STRIP = 512  # columns, at most, that one thread adds up at a time
DOT, ROWS, COLUMNS = range(3)  # both are vectors, or elements of rows, or of columns, are added up with weights


def rows_added(zero: str, weight: str, row: str, j: str, count: str, out: str) -> list[str]:
    """The sum of ``n1`` rows of a matrix with weights, of which ``{k}`` stands for the number: elements ``j``."""
    w, r = ([text.format(k=f"m + {u}") for u in range(4)] for text in (weight, row))
    each = [f"for {j} in range({count}):", "    independent()"]
    return [
        *each, f"    store({out}, {zero})",
        "for block in range(n1 // 4):", "    m = block * 4", *[f"    w{u} = {w[u]}" for u in range(4)],
        *["    " + line for line in each],
        f"        even = fma(w2, {r[2]}, w0 * {r[0]})", f"        odd = fma(w3, {r[3]}, fma(w1, {r[1]}, load({out})))",
        f"        store({out}, even + odd)",
        "for k in range(n1 // 4 * 4, n1):", f"    weight = {weight.format(k='k')}", *["    " + line for line in each],
        f"        store({out}, fma(weight, {row.format(k='k')}, load({out})))",
    ]


def source_of(dtype: str, form: int) -> str:
    """The kernel ``(a, v, out)`` of this form, for contiguous arrays."""
    size, zero = np.dtype(dtype).itemsize, "float32(0.0)" if dtype == "float32" else "0.0"
    sizes, layouts = {
        DOT: (["n1 = size(a0, 0)"], "'C n1; C n1; C', a0, a1, a2, n1"),
        ROWS: (["n0 = size(a0, 0)", "n1 = size(a0, 1)"], "'C n0 n1; C n1; C n0', a0, a1, a2, n0, n1"),
        COLUMNS: (["n1 = size(a0, 0)", "n0 = size(a0, 1)"], "'C n1 n0; C n1; C n0', a0, a1, a2, n1, n0"),
    }[form]
    items = {DOT: f"(n1 + {BLOCK - 1}) // {BLOCK}", ROWS: "n0", COLUMNS: f"(n0 + {STRIP - 1}) // {STRIP}"}[form]
    work = f"{2 * size + 4} * n1" if form == DOT else f"{size + 4} * n0 * n1"
    little = "" if form == DOT else f" and work >= {MUCH_WORK}"  # which need no memory for sums of blocks
    product = "load(a0, {at}) * load(a1, k)"
    lines = [
        *sizes, f"status = refused({layouts})", "if status != 0:", "    return status", f"items = {items}",
        f"work = {work}", f"if part.segment == {ASK}{little}:", f"    put(part, 0, {1 + (form == DOT)})",
        f"    ask(part, {f'{size} * items' if form == DOT else '0'})",
        "    tell(part, 1, items, work, 1, 4)", *["    tell(part, 2, 1, 0, 1, 1)"] * (form == DOT),
        f"    return {MUCH}",
    ]
    if form == DOT:
        lines += [
            f"sums = lent(part, '{dtype}', 0)", "if wanted(part, 1):",
            "    for item in range(part.low, reach(part, items)):", f"        total = {zero}",
            f"        for k in range(item * {BLOCK}, smaller((item + 1) * {BLOCK}, n1)):",
            f"            total = radd(total, {product.format(at='k')})", "        store(sums, item, total)",
            "if wanted(part, 2):", "    whole = 0.0", "    for item in range(items):",
            "        whole += load(sums, item)", "    store(a2, 0, whole)",
        ]
    elif form == ROWS:
        lines += [
            "for i in range(part.low, reach(part, items)):", "    total = 0.0",
            f"    for block in range((n1 + {BLOCK - 1}) // {BLOCK}):", f"        some = {zero}",
            f"        for k in range(block * {BLOCK}, smaller((block + 1) * {BLOCK}, n1)):",
            f"            some = radd(some, {product.format(at='i * n1 + k')})", "        total += some",
            "    store(a2, i, total)",
        ]
    else:
        added = rows_added(zero, "load(a1, {k})", "load(a0, ({k}) * n0 + start + j)", "j", "width", "a2, start + j")
        lines += [
            "wide = ((n0 + items - 1) // larger(items, 1) + 15) // 16 * 16",  # as wide as the others, nearly
            "for item in range(part.low, reach(part, items)):", "    start = item * wide",
            "    width = smaller(wide, n0 - start)", *["    " + line for line in added],
        ]
    return "def kernel(a0, a1, a2, part):\n" + "".join(f"    {line}\n" for line in [*lines, "return 0"])


@cache
def _kernel(dtype: str, form: int) -> Callable[..., int]:
    from fuse.codegen.load import compile_kernel

    first, last = (1, 0) if form == DOT else (2, 1)
    types = (ArgType(dtype, first), ArgType(dtype, 1), ArgType(dtype, last, True), ArgType(PART, 1 + 2 * PLAN))
    return compile_kernel(source_of(dtype, form), "kernel", types)


def multiply(a: Any, v: Any, out: Any, form: int) -> bool:
    """The product of `a` and the vector `v` into `out`, if it is a large one of contiguous arrays.

    Workers of ours leave the cores to the threads of BLAS that a large product is otherwise done by.
    """
    if a.size < LEAST[form]:
        return False
    dtype = blas.NAMES.get(out.dtype.char)
    if dtype is not None and not _kernel(dtype, form)(a, v, out):
        return True
    threads.hush()
    return False
