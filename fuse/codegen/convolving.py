"""Correlations (convolutions) in compiled kernels: windows are gathered block by block, BLAS multiplies each block.

One kernel for each of the three ops of `frontend.correlate`, dtype, rank, strides, dilation and groups, for any sizes.
A block is one image, or as many rows of places of a large one that their windows stay in cache. What BLAS writes is
the result itself: nothing is copied or summed afterwards. Gradients of filters are added up over blocks and images by
BLAS; those of inputs are added to where the windows came from, while the block is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse import reference
from fuse.codegen import blas, memory
from fuse.codegen.native import ArgType
from fuse.errors import ShapeError
from fuse.expr import Expr
from fuse.frontend import correlate

Array = Any
Ints = tuple[int, ...]
BLOCK = 1 << 22  # bytes of the windows of a block: BLAS shares each product among its threads, so few large ones
def source_of(name: str, dtype: str, strides: Ints, dilation: Ints, groups: int) -> str:
    """The kernel of the op ``name``: its two operands and its result, contiguous; the result's sizes are right."""
    x, w, y = {"correlate": "a0 a1 a2", "correlate_wrt_input": "a2 a0 a1", "correlate_wrt_filters": "a0 a2 a1"}[
        name
    ].split()
    axes = range(len(strides))
    one, zero = ("float32(1.0)", "float32(0.0)") if dtype == "float32" else ("1.0", "0.0")
    images, filters, places = (" ".join([f"{letter}{k}" for k in axes]) for letter in "hko")
    wanted = {x: f"C n c {images}", w: f"C f per {filters}", y: f"C n f {places}"}
    described = "; ".join([wanted[a] for a in ("a0", "a1", "a2")])
    sizes = list(dict.fromkeys(described.replace("C ", "").replace(";", "").split()))
    lines = [f"n = size({x}, 0)", f"c = size({x}, 1)", f"f = size({w}, 0)", f"per = size({w}, 1)"]
    for k in axes:
        lines += [f"h{k} = size({x}, {k + 2})", f"k{k} = size({w}, {k + 2})", f"o{k} = size({y}, {k + 2})"]
    lines += [
        f"status = refused('{described}', a0, a1, a2, {', '.join(sizes)})",
        "if status != 0:",
        "    return status",
        f"rows = per * {filters.replace(' ', ' * ')}",
        f"inner = {' * '.join([f'o{k}' for k in axes][1:]) or '1'}",
        "places = o0 * inner",
        f"mine = f // {groups}",
        f"most = {BLOCK // np.dtype(dtype).itemsize} // (rows * inner)",
        "if most > o0:",
        "    most = o0",
        "if most < 1:",
        "    most = 1",
        f"windows = heap('{dtype}', rows * most * inner)",
        "if missing(windows):",
        "    return -1",
    ]
    if name != "correlate":
        lines += [
            f"for i in range({' * '.join(wanted['a2'].split()[1:])}):",
            "    independent()",
            f"    store(a2, i, {zero})",
        ]
    lines += [
        "for image in range(n):",
        f"    for group in range({groups}):",
        "        filters = group * mine * rows",
        "        for block in range((o0 + most - 1) // most):",
        "            first = block * most",
        "            count = o0 - first",
        "            if count > most:",
        "                count = most",
        "            width = count * inner",
        "            at = (image * f + group * mine) * places + first * inner",
    ]
    lines += [" " * 12 + line for line in {
        "correlate": [
            *_walk(x, strides, dilation, "store(windows, to + q, load({x}, at_x + q * {s}))"),
            f"gemm(0, mine, width, rows, {one}, {w}, filters, rows, windows, 0, width, {zero}, {y}, at, places)",
        ],
        "correlate_wrt_input": [
            f"gemm(1, rows, width, mine, {one}, {w}, filters, rows, {y}, at, places, {zero}, windows, 0, width)",
            *_walk(x, strides, dilation,
                   "store({x}, at_x + q * {s}, load({x}, at_x + q * {s}) + load(windows, to + q))"),
        ],
        "correlate_wrt_filters": [
            *_walk(x, strides, dilation, "store(windows, to + q, load({x}, at_x + q * {s}))"),
            f"gemm(2, mine, rows, width, {one}, {y}, at, places, windows, 0, width, {one}, {w}, filters, rows)",
        ],
    }[name]]
    lines += ["release(windows)", "return 0"]
    return "def kernel(a0, a1, a2):\n" + "".join(f"    {line}\n" for line in lines)


def _walk(x: str, strides: Ints, dilation: Ints, statement: str) -> list[str]:
    """Loops over all elements of the windows of a block: element ``to + q`` is one of ``x``, ``q`` strides on."""
    axes = range(len(strides))
    lines, depth = ["to = 0"], 0

    def loop(name: str, size: str) -> None:
        nonlocal depth
        lines.append("    " * depth + f"for {name} in range({size}):")
        depth += 1

    loop("channel", "per")
    for k in axes:
        loop(f"p{k}", f"k{k}")
    for k in axes[:-1]:
        loop(f"q{k}", f"o{k}" if k else "count")
    place = "image * c + group * per + channel"
    for k in axes[:-1]:
        row = f"first + q{k}" if k == 0 else f"q{k}"
        place = f"({place}) * h{k} + ({row}) * {strides[k]} + p{k} * {dilation[k]}"
    last, start = axes[-1], f" + first * {strides[-1]}" if len(strides) == 1 else ""
    place = f"({place}) * h{last} + p{last} * {dilation[-1]}{start}"
    extent = "count" if len(strides) == 1 else f"o{last}"
    lines.append("    " * depth + f"at_x = {place}")
    lines += ["    " * depth + f"for q in range({extent}):",
              "    " * (depth + 1) + "independent()",
              "    " * (depth + 1) + statement.format(x=x, s=strides[-1]),
              "    " * depth + f"to = to + {extent}"]
    return lines


@cache
def kernel(name: str, dtype: str, strides: Ints, dilation: Ints, groups: int) -> Callable[..., int]:
    """The compiled kernel of one op."""
    from fuse.codegen.load import compile_kernel

    rank = len(strides) + 2
    types = (ArgType(dtype, rank), ArgType(dtype, rank), ArgType(dtype, rank, True))
    return compile_kernel(source_of(name, dtype, strides, dilation, groups), "kernel", types)


def result_shape(node: Expr, a: Ints, b: Ints, sizes: Ints) -> Ints:
    """The shape of the result for operands of these shapes; raises ShapeError where they do not fit."""
    strides, dilation, groups = (node.params[key] for key in ("strides", "dilation", "groups"))
    if node.op.name == "correlate":
        correlate.check_sizes(a, b, dilation, groups)
        found = [correlate.windows_along(*at) for at in zip(a[2:], b[2:], strides, dilation, strict=True)]
        return (a[0], b[0], *found)  # type: ignore[arg-type]
    if node.op.name == "correlate_wrt_input":
        shape = (b[0], a[1] * groups, *sizes)
        correlate.check_output(shape, a, b, strides, dilation, groups)
    else:
        shape = (b[1], a[1] // groups, *sizes)
        correlate.check_output(a, shape, b, strides, dilation, groups)
    return shape


def call_of(node: Expr) -> Callable[..., Array]:
    """What computes the value of ``node``, a correlation: its kernel, or the op's own function for what is left."""
    name, keys = node.op.name, [node.params[key] for key in ("strides", "dilation", "groups")]

    def call(a: Array, b: Array, *sizes: Any) -> Array:
        dtype = a.dtype.name
        served = a.dtype == b.dtype and dtype in blas.LETTERS and a.size and b.size
        if served and blas.address(f"{blas.PREFIX}{blas.LETTERS[dtype]}gemm") is not None:
            try:
                shape = result_shape(node, a.shape, b.shape, tuple([int(n) for n in sizes]))
            except ShapeError:
                shape = ()
            if 0 not in shape and shape:
                out = memory.recycled(shape, a.dtype)
                if not kernel(name, dtype, *keys)(np.ascontiguousarray(a), np.ascontiguousarray(b), out):
                    return out
        return reference.apply(node, (a, b, *sizes))

    return call
